//! Numbers of commands and attributes: those of `kmod/kdht_netlink.h`. What each is for,
//! `kmod/kdht.yaml` says.

use neli::neli_enum;

/// The family's name.
pub const FAMILY_NAME: &str = "kdht";
/// The version of the family that this crate speaks.
pub const FAMILY_VERSION: u8 = 2;

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
    Join = 14,
    Candidates = 15,
    Seen = 16,
    Failed = 17,
    TableGet = 18,
    Learned = 19,
    Joined = 20,
    JoinFailed = 21,
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
    Routing = 25,
    Alpha = 26,
    B = 27,
    BucketGroupMax = 28,
    TableGroupMax = 29,
    CapsPrivate = 30,
    RefreshS = 31,
    Seed = 32,
    Entry = 33,
    Join = 34,
    RetryMs = 35,
    FillV4 = 36,
    FillV6 = 37,
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
    RequestsOut = 10,
    RepliesIn = 11,
    Timeouts = 12,
    ContactsUnreachable = 13,
    Outages = 14,
    FailuresForgiven = 15,
    Refreshes = 16,
    Forwarded = 17,
}

/// Attributes within [`Attribute::Entry`].
#[neli_enum(serialized_type = "u16")]
pub enum EntryAttribute {
    Contact = 1,
    Liveness = 2,
    Failures = 3,
    IsReplacement = 4,
    Depth = 5,
    SilentS = 6,
    RttUs = 7,
    RttDeviationUs = 8,
    Cookie = 9,
    AgeMs = 10,
    Pad = 11,
}

/// Attributes within [`Attribute::FillV4`] and [`Attribute::FillV6`].
#[neli_enum(serialized_type = "u16")]
pub enum FillAttribute {
    Buckets = 1,
    Unverified = 2,
    Good = 3,
    Doubtful = 4,
    Stale = 5,
    Replacements = 6,
    RefusedBucketGroup = 7,
    RefusedTableGroup = 8,
    RefusedFull = 9,
    Evicted = 10,
    Pad = 11,
}

impl neli::consts::genl::Cmd for Command {}
impl neli::consts::genl::NlAttrType for Attribute {}
impl neli::consts::genl::NlAttrType for KeysAttribute {}
impl neli::consts::genl::NlAttrType for KeyAttribute {}
impl neli::consts::genl::NlAttrType for StatsAttribute {}
impl neli::consts::genl::NlAttrType for EntryAttribute {}
impl neli::consts::genl::NlAttrType for FillAttribute {}
