//! The kdht wire format: what every byte of a message means, and nothing else.
//!
//! `FORMAT.md` beside this crate is the normative text; section numbers in these comments
//! (§) are its sections. Messages are a fixed [`Head`], a fixed body per [`Kind`], items
//! (contacts or value records), type-length extensions, and in keyed networks a MAC.
//!
//! Reading: [`Message::parse`] checks a message once and hands out references into it; no
//! accessor can fail or panic afterwards. Writing: [`Emit`] lays a message into the
//! caller's buffer and never passes its limit. Neither allocates.
//!
//! The crate is `no_std`, forbids `unsafe`, and can neither read a clock nor draw entropy.
//! Feature `json` adds the lossless JSON form of every message.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "json")]
extern crate alloc;

mod body;
mod emit;
mod endpoint;
mod extension;
mod fault;
mod head;
mod id;
#[cfg(feature = "json")]
pub mod json;
mod key;
mod network_key;
mod parse;
mod record;

pub use body::{Contact, Filter, FilterKind, FindValueBody, ReplyBody, StoreBody};
pub use emit::{Emit, EmitError};
pub use endpoint::Endpoint;
pub use extension::{
    EXT_FORWARD, EXT_HEAD_LEN, EXT_PADDING, EXTENSIONS_MAX, Extension, ExtensionHead, Extensions,
    Forward,
};
pub use fault::{Fault, FaultDetail};
pub use head::{
    ARG_OFFSET, BODY_LEN_OFFSET, Flags, HEAD_LEN, Head, Kind, MAGIC, SHARD_KERNEL, SHARD_OFFSET,
    TARGET_OFFSET, TX_ID_OFFSET, VERSION, VERSION_MIN,
};
pub use id::{Distance, ID_LEN, Id};
pub use key::{key_of_string, key_of_value, signing_input};
pub use network_key::{KeyRing, MAC_LEN, MacError, NetworkKey, TIME_SKEW_S_MAX};
pub use parse::{Body, Message, Outline, ParseError, Records};
pub use record::{
    Durability, Publisher, RECORD_ANNOUNCED, RECORD_LEN_MAX, RECORD_RESERVED_ZERO, Record,
    RecordHead, SALT_LEN, SignedTail, ValueKind,
};

/// Longest datagram that any node sends or accepts, in bytes of UDP payload: IPv6's
/// minimum MTU of 1280 less 40 bytes of IPv6 head and 8 of UDP.
pub const DATAGRAM_LEN_MAX: usize = 1232;

/// Longest value that travels inside a datagram, in bytes.
pub const INLINE_VALUE_LEN_MAX: usize = 1000;

/// Longest value at all, in bytes; above [`INLINE_VALUE_LEN_MAX`] it travels by TCP.
pub const VALUE_LEN_MAX: usize = 1 << 20;

/// Longest message by TCP, in bytes: the longest value, its record and its message's
/// fixed parts, and 256 bytes for extensions.
pub const STREAM_LEN_MAX: usize =
    HEAD_LEN + size_of::<ReplyBody>() + RECORD_LEN_MAX + VALUE_LEN_MAX + 256 + MAC_LEN;

/// Bytes that an endpoint without a valid cookie may draw per byte it sent (§9).
pub const UNPROVEN_FACTOR: usize = 3;

const _: () = assert!(
    HEAD_LEN + size_of::<ReplyBody>() + RECORD_LEN_MAX + INLINE_VALUE_LEN_MAX + MAC_LEN
        <= DATAGRAM_LEN_MAX,
    "a signed value of the longest inline length fits a keyed reply"
);
