//! Why a request was refused (§7).

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::Id;

/// A FAULT's code, in the head's `arg`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Fault {
    /// The version is not spoken here; the detail names those that are.
    Version = 1,
    /// The kind is unknown here; the detail names those that are known.
    Kind = 2,
    /// The head was sound, what follows it was not.
    Malformed = 3,
    /// The request needs a valid cookie; this FAULT's head carries one.
    Cookie = 4,
    /// Too busy for requests from endpoints that did not prove themselves.
    Busy = 5,
    /// The node is leaving and stores nothing more.
    Draining = 6,
    /// The value is longer than this node holds.
    TooLong = 7,
    /// An immutable value's key is not the hash of its bytes.
    Hash = 8,
    /// A signed value's signature does not verify.
    Signature = 9,
    /// A value of a higher sequence, or of the same one with other bytes, is held.
    Sequence = 10,
    /// The sequence held is not the one that compare-and-swap named.
    Cas = 11,
    /// Plain values are not accepted here.
    Plain = 12,
    /// The key holds as many values, or bytes, as it may.
    KeyFull = 13,
    /// The source holds as many bytes as it may.
    SourceFull = 14,
    /// The budget is used up by values that are kept before this one.
    Full = 15,
    /// The remaining lifetime is zero.
    Expired = 16,
    /// A lookup for the asker cannot be done now.
    Recurse = 17,
}

impl Fault {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Version,
        Self::Kind,
        Self::Malformed,
        Self::Cookie,
        Self::Busy,
        Self::Draining,
        Self::TooLong,
        Self::Hash,
        Self::Signature,
        Self::Sequence,
        Self::Cas,
        Self::Plain,
        Self::KeyFull,
        Self::SourceFull,
        Self::Full,
        Self::Expired,
        Self::Recurse,
    ];

    /// The fault with this code.
    #[must_use]
    pub fn from_u8(raw: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| *fault as u8 == raw)
    }

    /// The name that the JSON form, the counters and the documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Kind => "kind",
            Self::Malformed => "malformed",
            Self::Cookie => "cookie",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::TooLong => "too_long",
            Self::Hash => "hash",
            Self::Signature => "signature",
            Self::Sequence => "sequence",
            Self::Cas => "cas",
            Self::Plain => "plain",
            Self::KeyFull => "key_full",
            Self::SourceFull => "source_full",
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Recurse => "recurse",
        }
    }
}

/// What stands in place of the target in a FAULT, so that a FAULT is never longer than a
/// head (§7). `struct kdht_fault_detail` in the C header.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    PartialEq,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct FaultDetail {
    /// Oldest version spoken.
    pub version_min: u8,
    /// Newest version spoken.
    pub version_max: u8,
    /// Bit n set: kind n is known.
    pub kinds: U16,
    /// Longest value held, in bytes.
    pub value_len_max: U32,
    /// Sequence held, for SEQUENCE and CAS; else zero.
    pub sequence: U64,
    /// Milliseconds to wait before asking again, for BUSY and RECURSE; else zero.
    pub retry_ms: U32,
}

const _: () = assert!(size_of::<FaultDetail>() == size_of::<Id>());

impl FaultDetail {
    /// The detail as it stands in the head's target field.
    #[must_use]
    pub fn to_target(self) -> Id {
        zerocopy::transmute!(self)
    }

    /// The detail that a FAULT's target field holds.
    #[must_use]
    pub fn from_target(target: Id) -> Self {
        zerocopy::transmute!(target)
    }
}
