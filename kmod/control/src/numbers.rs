//! Numbers of commands and attributes: those of `kmod/kdht_netlink.h`. What each is for,
//! `kmod/kdht.yaml` says.

use neli::neli_enum;

/// The family's name.
pub const FAMILY_NAME: &str = "kdht";
/// The version of the family that this crate speaks.
pub const FAMILY_VERSION: u8 = 1;

/// What is asked of the module.
#[neli_enum(serialized_type = "u8")]
pub enum Command {
    NodeGet = 1,
    NodeSet = 2,
    Attach = 3,
    Detach = 4,
    ContactAdd = 5,
    ContactDel = 6,
    Closest = 7,
    FilterBegin = 8,
    FilterAdd = 9,
    FilterComplete = 10,
    Sighted = 11,
    Publish = 12,
    Unpublish = 13,
}

/// Attributes of every command.
#[neli_enum(serialized_type = "u16")]
pub enum Attribute {
    Id = 1,
    Fd = 2,
    Answer = 3,
    K = 4,
    ValueLenMax = 5,
    CookieSecret = 6,
    Keys = 7,
    ThrottleSlots = 8,
    ThrottleRate = 9,
    ThrottleBurst = 10,
    Sockets = 11,
    ContactsV4 = 12,
    ContactsV6 = 13,
    Contact = 14,
    Target = 15,
    Family = 16,
    Stats = 17,
    Pad = 18,
    Filter = 19,
    FilterBits = 20,
    SightedLost = 21,
    Records = 22,
    PublishedS = 23,
    ValuesBytes = 24,
}

/// Attributes within [`Attribute::Keys`].
#[neli_enum(serialized_type = "u16")]
pub enum KeysAttribute {
    Key = 1,
}

/// Attributes within [`KeysAttribute::Key`].
#[neli_enum(serialized_type = "u16")]
pub enum KeyAttribute {
    Id = 1,
    Secret = 2,
}

/// Attributes within [`Attribute::Stats`].
#[neli_enum(serialized_type = "u16")]
pub enum StatsAttribute {
    DatagramsIn = 1,
    BytesIn = 2,
    DatagramsOut = 3,
    BytesOut = 4,
    Passed = 5,
    RequestsIn = 6,
    RepliesOut = 7,
    Refused = 8,
    Pad = 9,
}

impl neli::consts::genl::Cmd for Command {}
impl neli::consts::genl::NlAttrType for Attribute {}
impl neli::consts::genl::NlAttrType for KeysAttribute {}
impl neli::consts::genl::NlAttrType for KeyAttribute {}
impl neli::consts::genl::NlAttrType for StatsAttribute {}
