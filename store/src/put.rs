//! One write: what is asked, what is acknowledged, what is refused.

use kdht_wire::{Durability, Id, Record};

/// Whom a value's bytes are charged to: by convention a hash of the sender's IP group.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceGroup(pub u64);

/// A value to be held.
///
/// The caller has checked what the store does not check again: [`crate::verify`] returned
/// `Ok` for `key` and `record`, the record is whole (not announced), and if it is plain,
/// that plain values are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// Where the value is to be found.
    pub key: Id,
    /// The value. Its `cursor` and `flags` are not looked at.
    pub record: &'a Record<'a>,
    /// Compare-and-swap: write only if the signed value held in the slot has this
    /// sequence, or if this is 0 and the slot is empty. Ignored for other kinds.
    pub cas: Option<u64>,
    /// Who is charged for the bytes.
    pub source: SourceGroup,
    /// Whether the sender of a plain value is its publisher, who alone may prolong it.
    /// Ignored for other kinds.
    pub by_publisher: bool,
}

/// What a put did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The value is new to its slot.
    Stored,
    /// The slot held the same value already, and does so still. What it has left to live
    /// is as before, unless a plain value's publisher renewed it.
    Refreshed,
}

/// An acknowledged put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// What the value survives.
    pub durability: Durability,
    /// What the put did.
    pub outcome: Outcome,
}

/// Why a put was refused; none of the values that readers see has changed.
///
/// Listed in the order in which they are checked. What is held "beside it" leaves out the
/// value that the refused one would have replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PutError {
    /// The value is longer than any that is held.
    TooLong {
        /// Its length in bytes.
        len: u32,
        /// [`crate::Limits::value_len_max`].
        len_max: u32,
    },
    /// No second is left of its life.
    Expired,
    /// Compare-and-swap named another sequence than the one held.
    Cas {
        /// The sequence held, 0 where the slot is empty.
        held: u64,
    },
    /// A higher sequence is held, or the same with other bytes or another salt; or the
    /// sequence is 0, which an empty slot has.
    Sequence {
        /// The sequence held.
        held: u64,
    },
    /// The key holds all that it may.
    KeyFull {
        /// Values held under the key beside it.
        values: u16,
        /// [`crate::Limits::key_values_max`].
        values_max: u16,
        /// Bytes of those values, without overhead.
        bytes: u64,
        /// [`crate::Limits::key_bytes_max`].
        bytes_max: u64,
    },
    /// The source holds all that it may.
    SourceFull {
        /// Bytes charged to the source beside it.
        bytes: u64,
        /// [`crate::Limits::source_bytes_max`].
        bytes_max: u64,
    },
    /// Evicting all values of keys farther from the own id would not make room, or the
    /// allocator has none.
    Full {
        /// Values held beside it.
        values: u32,
        /// [`crate::Limits::values_max`].
        values_max: u32,
        /// Bytes charged for them.
        bytes: u64,
        /// [`crate::Limits::bytes_max`].
        bytes_max: u64,
    },
}
