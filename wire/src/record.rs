//! A value as it travels (§6).

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::Id;
use crate::parse::ParseError;
use crate::{DATAGRAM_LEN_MAX, VALUE_LEN_MAX};

/// Bytes of a signed value's salt; all zeros where there is none.
pub const SALT_LEN: usize = 16;
/// Longest record without its value: a signed one.
pub const RECORD_LEN_MAX: usize = size_of::<RecordHead>() + size_of::<SignedTail>();
/// Record flag: the value's bytes are not here but must be fetched by TCP.
pub const RECORD_ANNOUNCED: u8 = 1 << 0;
/// Record flag bits that must be zero; the other undefined ones are ignored.
pub const RECORD_RESERVED_ZERO: u8 = 0x0e;

/// First bytes of every record. `struct kdht_record` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RecordHead {
    /// Bytes of the value, 0 to [`VALUE_LEN_MAX`], also where it is only announced.
    pub value_len: U32,
    /// Seconds that the value has left to live.
    pub remaining_s: U32,
    /// A [`ValueKind`], unchecked.
    pub kind: u8,
    /// [`RECORD_ANNOUNCED`] and reserved bits.
    pub flags: u8,
    /// In a reply the value's position with its holder; in a STORE zero.
    pub cursor: U16,
}

const _: () = assert!(size_of::<RecordHead>() == 12);

/// What follows the head of a signed record. `struct kdht_signed` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, Hash, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct SignedTail {
    /// Grows with every write to the slot.
    pub sequence: U64,
    /// The publisher's ed25519 public key; with the key, it names the slot.
    pub public_key: [u8; 32],
    /// ed25519 signature over [`crate::signing_input`].
    pub signature: [u8; 64],
    /// Signed along with the value; all zeros where there is none.
    pub salt: [u8; SALT_LEN],
}

const _: () = assert!(size_of::<SignedTail>() == 120);

/// How a value proves itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum ValueKind {
    /// Its key is the hash of its bytes.
    Immutable = 1,
    /// Its publisher signed it.
    Signed = 2,
    /// It does not: for networks whose members trust each other.
    Plain = 3,
}

impl ValueKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Immutable, Self::Signed, Self::Plain];

    /// The kind with this number.
    #[must_use]
    pub fn from_u8(raw: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == raw)
    }

    /// The name that the JSON form and the documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Immutable => "immutable",
            Self::Signed => "signed",
            Self::Plain => "plain",
        }
    }
}

/// How durable an acknowledged value is, in a STORE reply's `arg`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Durability {
    /// It survives as long as the process does.
    Memory = 1,
    /// It survives the process.
    Os = 2,
    /// It survives the host.
    Disk = 3,
}

impl Durability {
    /// The level with this number.
    #[must_use]
    pub fn from_u8(raw: u8) -> Option<Self> {
        [Self::Memory, Self::Os, Self::Disk].into_iter().find(|level| *level as u8 == raw)
    }

    /// The name that the JSON form and the documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }
}

/// Who published a value: what, with the key, names its slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Publisher<'a> {
    /// Nobody: the bytes themselves name it.
    Immutable,
    /// The holder of this ed25519 key.
    Signed(&'a SignedTail),
    /// The node with this id.
    Plain(&'a Id),
}

/// One value, checked: its parts fit its message and its kind is known. Neither its hash
/// nor its signature has been verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Bytes of the whole value, also where it is only announced.
    pub value_len: u32,
    /// Seconds that the value has left to live.
    pub remaining_s: u32,
    /// Its position with its holder.
    pub cursor: u16,
    /// The flags as they came, reserved bits included.
    pub flags: u8,
    /// Who published it.
    pub publisher: Publisher<'a>,
    /// The bytes; empty where it is only announced.
    pub value: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record of a whole value.
    ///
    /// # Errors
    /// [`ParseError::ValueLength`] where the value is longer than any may be.
    pub fn whole(
        publisher: Publisher<'a>,
        remaining_s: u32,
        value: &'a [u8],
    ) -> Result<Self, ParseError> {
        let value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        if value.len() > VALUE_LEN_MAX {
            return Err(ParseError::ValueLength(value_len));
        }
        Ok(Self { value_len, remaining_s, cursor: 0, flags: 0, publisher, value })
    }

    /// The same record without its bytes, which must be fetched by TCP.
    #[must_use]
    pub fn announced(self) -> Self {
        Self { flags: self.flags | RECORD_ANNOUNCED, value: &[], ..self }
    }

    /// Whether the bytes are not here but must be fetched by TCP.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.flags & RECORD_ANNOUNCED != 0
    }

    /// How the value proves itself.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self.publisher {
            Publisher::Immutable => ValueKind::Immutable,
            Publisher::Signed(_) => ValueKind::Signed,
            Publisher::Plain(_) => ValueKind::Plain,
        }
    }

    /// Bytes that the record takes in a message.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let tail_len = match self.publisher {
            Publisher::Immutable => 0,
            Publisher::Signed(_) => size_of::<SignedTail>(),
            Publisher::Plain(_) => size_of::<Id>(),
        };
        size_of::<RecordHead>() + tail_len + self.value.len()
    }

    /// Reads one record and returns what follows it.
    pub(crate) fn parse_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (head, rest) = RecordHead::ref_from_prefix(bytes).map_err(|_| ParseError::Items)?;
        if head.flags & RECORD_RESERVED_ZERO != 0 {
            return Err(ParseError::Reserved);
        }
        let kind = ValueKind::from_u8(head.kind).ok_or(ParseError::ValueKind(head.kind))?;
        let (publisher, rest) = match kind {
            ValueKind::Immutable => (Publisher::Immutable, rest),
            ValueKind::Signed => {
                let (tail, rest) =
                    SignedTail::ref_from_prefix(rest).map_err(|_| ParseError::Items)?;
                (Publisher::Signed(tail), rest)
            }
            ValueKind::Plain => {
                let (id, rest) = Id::ref_from_prefix(rest).map_err(|_| ParseError::Items)?;
                (Publisher::Plain(id), rest)
            }
        };
        let value_len = head.value_len.get();
        if usize::try_from(value_len).map_or(true, |len| len > VALUE_LEN_MAX) {
            return Err(ParseError::ValueLength(value_len));
        }
        let here = if head.flags & RECORD_ANNOUNCED != 0 { 0 } else { value_len as usize };
        let (value, rest) = rest.split_at_checked(here).ok_or(ParseError::Items)?;
        let record = Self {
            value_len,
            remaining_s: head.remaining_s.get(),
            cursor: head.cursor.get(),
            flags: head.flags,
            publisher,
            value,
        };
        Ok((record, rest))
    }

    /// The record's head as it stands on the wire.
    pub(crate) fn head(&self) -> RecordHead {
        RecordHead {
            value_len: U32::new(self.value_len),
            remaining_s: U32::new(self.remaining_s),
            kind: self.kind() as u8,
            flags: self.flags,
            cursor: U16::new(self.cursor),
        }
    }
}

const _: () = assert!(RECORD_LEN_MAX + crate::HEAD_LEN < DATAGRAM_LEN_MAX);
