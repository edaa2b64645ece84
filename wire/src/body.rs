//! The fixed parts that follow the head (§5), and the contact entry (§4).

use zerocopy::byteorder::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::endpoint::Endpoint;
use crate::id::Id;
use crate::record::{Publisher, Record};

/// One node as others are told of it (§4). `struct kdht_contact` in the C header.
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
pub struct Contact {
    /// The node's id.
    pub id: Id,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// None defined. Low byte must be zero, high byte is ignored.
    pub flags: U16,
}

const _: () = assert!(size_of::<Contact>() == 40);

impl Contact {
    /// Flag bits that must be zero.
    pub const FLAGS_RESERVED_ZERO: u16 = 0x00ff;

    /// A contact without flags.
    #[must_use]
    pub fn new(id: Id, endpoint: Endpoint) -> Self {
        Self { id, endpoint, flags: U16::ZERO }
    }
}

/// What every reply but a FAULT begins with. `struct kdht_reply` in the C header.
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
pub struct ReplyBody {
    /// The asker's endpoint as the replier saw it.
    pub observed: Endpoint,
    /// By kind: contacts that would have been sent had they all fitted (FIND_NODE),
    /// values held under the key that pass the filter (FIND_VALUE), nodes that
    /// acknowledged (STORE), zero (PING).
    pub total: U16,
}

const _: () = assert!(size_of::<ReplyBody>() == 20);

/// Body of a FIND_VALUE request. `struct kdht_find_value` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct FindValueBody {
    /// First position wanted among the values held under the key; zero to begin with.
    pub cursor: U16,
    /// A [`FilterKind`], unchecked.
    pub filter: u8,
    /// Must be zero.
    pub reserved: u8,
    /// The publisher that the filter names: a public key, or an id and 12 zeros.
    pub publisher: [u8; 32],
}

const _: () = assert!(size_of::<FindValueBody>() == 36);

/// How a FIND_VALUE request narrows what it wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum FilterKind {
    /// Every value.
    Any = 0,
    /// Immutable values only.
    Immutable = 1,
    /// The signed value of one public key.
    Signed = 2,
    /// The plain value of one publisher's id.
    Plain = 3,
}

impl FilterKind {
    /// The filter kind with this number.
    #[must_use]
    pub fn from_u8(raw: u8) -> Option<Self> {
        [Self::Any, Self::Immutable, Self::Signed, Self::Plain]
            .into_iter()
            .find(|kind| *kind as u8 == raw)
    }
}

/// A FIND_VALUE request's filter, checked.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Filter {
    /// Every value.
    #[default]
    Any,
    /// Immutable values only.
    Immutable,
    /// The signed value of this ed25519 public key.
    Signed([u8; 32]),
    /// The plain value of this publisher.
    Plain(Id),
}

impl Filter {
    /// Whether a value is one of those wanted. An asker checks this itself: a reply may
    /// hold whatever its sender likes.
    #[must_use]
    pub fn passes(&self, record: &Record<'_>) -> bool {
        match (self, record.publisher) {
            (Self::Any, _) | (Self::Immutable, Publisher::Immutable) => true,
            (Self::Signed(wanted), Publisher::Signed(tail)) => *wanted == tail.public_key,
            (Self::Plain(wanted), Publisher::Plain(id)) => wanted == id,
            _ => false,
        }
    }
}

impl FindValueBody {
    /// A request body from its parts.
    #[must_use]
    pub fn new(filter: &Filter, cursor: u16) -> Self {
        let mut publisher = [0; 32];
        let kind = match filter {
            Filter::Any => FilterKind::Any,
            Filter::Immutable => FilterKind::Immutable,
            Filter::Signed(key) => {
                publisher = *key;
                FilterKind::Signed
            }
            Filter::Plain(id) => {
                publisher[..id.0.len()].copy_from_slice(&id.0);
                FilterKind::Plain
            }
        };
        Self { cursor: U16::new(cursor), filter: kind as u8, reserved: 0, publisher }
    }

    /// The filter, or nothing where its kind is unknown.
    #[must_use]
    pub fn filter(&self) -> Option<Filter> {
        Some(match FilterKind::from_u8(self.filter)? {
            FilterKind::Any => Filter::Any,
            FilterKind::Immutable => Filter::Immutable,
            FilterKind::Signed => Filter::Signed(self.publisher),
            FilterKind::Plain => {
                let mut id = Id::ZERO;
                id.0.copy_from_slice(&self.publisher[..crate::ID_LEN]);
                Filter::Plain(id)
            }
        })
    }
}

/// Body of a STORE request, before its one record. `struct kdht_store` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct StoreBody {
    /// Compare-and-swap: the sequence that must be held for the write to happen, or
    /// [`StoreBody::UNCONDITIONAL`].
    pub cas: U64,
}

const _: () = assert!(size_of::<StoreBody>() == 8);

impl StoreBody {
    /// No compare-and-swap.
    pub const UNCONDITIONAL: u64 = u64::MAX;
}
