//! From bytes to a checked message, without copying (§2 to §7).

use core::fmt;

use zerocopy::FromBytes;

use crate::body::{Contact, FindValueBody, ReplyBody, StoreBody};
use crate::extension::{EXTENSIONS_MAX, Extensions};
use crate::fault::{Fault, FaultDetail};
use crate::head::{BODY_LEN_OFFSET, Flags, Head, Kind, MAGIC, TX_ID_OFFSET, VERSION, VERSION_MIN};
use crate::network_key::MAC_LEN;
use crate::record::Record;
use crate::{DATAGRAM_LEN_MAX, STREAM_LEN_MAX};

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer bytes than a head.
    Short {
        /// Bytes that there are.
        have: u16,
    },
    /// More bytes than a message may have.
    Oversize,
    /// Not our format.
    Magic,
    /// A version that is not spoken here.
    Version(u8),
    /// A bit or byte that must be zero is not.
    Reserved,
    /// The declared body length disagrees with the bytes that there are.
    Length {
        /// What the head declares.
        declared: u32,
    },
    /// A kind that is not known here.
    Kind(u8),
    /// A FAULT that does not say it is a reply.
    FaultRequest,
    /// A fault code that is not known here.
    FaultCode(u8),
    /// The body is shorter than its kind's fixed part.
    Body,
    /// The contacts or records are more than the body holds.
    Items,
    /// A filter kind that is not known here.
    Filter(u8),
    /// A value kind that is not known here.
    ValueKind(u8),
    /// A value longer than any may be.
    ValueLength(u32),
    /// A STORE by datagram that only announces its value, or a STORE reply's durability
    /// that is not known here.
    Store,
    /// An extension that reaches past the body, or whose length is wrong for its type.
    Extension,
    /// More extensions than a message may have.
    ExtensionCount,
    /// Padding that is not zeros.
    Padding,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { have } => write!(f, "{have} bytes are fewer than a head"),
            Self::Oversize => write!(f, "more bytes than a message may have"),
            Self::Magic => write!(f, "it does not begin with KD"),
            Self::Version(version) => write!(f, "version {version} is not known"),
            Self::Reserved => write!(f, "a bit or byte that must be zero is not"),
            Self::Length { declared } => {
                write!(f, "its body is not the {declared} bytes that it declares")
            }
            Self::Kind(kind) => write!(f, "kind {kind} is not known"),
            Self::FaultRequest => write!(f, "a FAULT that is not a reply"),
            Self::FaultCode(code) => write!(f, "fault code {code} is not known"),
            Self::Body => write!(f, "the body is shorter than its kind's fixed part"),
            Self::Items => write!(f, "its contacts or records do not fit its body"),
            Self::Filter(filter) => write!(f, "filter {filter} is not known"),
            Self::ValueKind(kind) => write!(f, "value kind {kind} is not known"),
            Self::ValueLength(len) => write!(f, "a value of {len} bytes is too long"),
            Self::Store => write!(f, "a STORE without its value, or of no known durability"),
            Self::Extension => write!(f, "an extension of a wrong length"),
            Self::ExtensionCount => write!(f, "more than {EXTENSIONS_MAX} extensions"),
            Self::Padding => write!(f, "padding that is not zeros"),
        }
    }
}

impl core::error::Error for ParseError {}

/// What can be read of a message of any version, past or future (§2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outline {
    /// The version of all the rest.
    pub version: u8,
    /// Whether it is a reply, to which nothing is ever sent.
    pub is_reply: bool,
    /// Bytes between head and MAC, as declared.
    pub body_len: u32,
    /// The transaction id.
    pub tx_id: u64,
}

impl Outline {
    /// Bytes that hold every version-invariant field.
    pub const LEN: usize = TX_ID_OFFSET + 8;

    /// Reads the version-invariant fields.
    ///
    /// # Errors
    /// [`ParseError::Short`] or [`ParseError::Magic`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let Some(start) = bytes.first_chunk::<{ Self::LEN }>() else {
            return Err(ParseError::Short { have: saturating_u16(bytes.len()) });
        };
        if !start.starts_with(&MAGIC) {
            return Err(ParseError::Magic);
        }
        let mut body_len = [0; 4];
        body_len.copy_from_slice(&start[BODY_LEN_OFFSET..BODY_LEN_OFFSET + 4]);
        let mut tx_id = [0; 8];
        tx_id.copy_from_slice(&start[TX_ID_OFFSET..]);
        Ok(Self {
            version: start[2],
            is_reply: Flags(u16::from(start[4])).has(Flags::REPLY),
            body_len: u32::from_le_bytes(body_len),
            tx_id: u64::from_le_bytes(tx_id),
        })
    }
}

/// A message, checked once; every field below stays within its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// The head, raw.
    pub head: &'a Head,
    /// Its kind.
    pub kind: Kind,
    /// What it asks or answers.
    pub body: Body<'a>,
    /// What follows the body's items.
    pub extensions: Extensions<'a>,
    /// The MAC in a keyed network; whether it is right is [`crate::KeyRing::verify`]'s
    /// to say.
    pub mac: Option<&'a [u8; MAC_LEN]>,
}

/// A message's body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// PING request.
    Ping,
    /// PING reply.
    PingReply(&'a ReplyBody),
    /// FIND_NODE request.
    FindNode,
    /// FIND_NODE reply, or a FIND_VALUE reply of a node that holds no such value.
    Contacts {
        /// Its fixed part.
        reply: &'a ReplyBody,
        /// The closest contacts, in any order.
        contacts: &'a [Contact],
    },
    /// FIND_VALUE request.
    FindValue(&'a FindValueBody),
    /// FIND_VALUE reply of a node that holds values under the key. There may be none in
    /// it: too few bytes were asked with, or the cursor is past the last.
    Values {
        /// Its fixed part; `total` is not zero.
        reply: &'a ReplyBody,
        /// The values.
        records: Records<'a>,
    },
    /// STORE request.
    Store {
        /// Its fixed part.
        store: &'a StoreBody,
        /// The value.
        record: Record<'a>,
    },
    /// STORE reply; the head's `arg` is the durability.
    StoreReply(&'a ReplyBody),
    /// FAULT; the detail stands in the head's target field.
    Fault(Fault, FaultDetail),
}

/// Value records of a reply, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Records<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> Records<'a> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (record, after) = Record::parse_prefix(rest).ok()?;
            rest = after;
            Some(record)
        })
    }

    fn parse_prefix(bytes: &'a [u8], count: u8) -> Result<(Self, &'a [u8]), ParseError> {
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = Record::parse_prefix(rest)?;
        }
        let taken = bytes.len() - rest.len();
        Ok((Self { count, bytes: &bytes[..taken] }, rest))
    }
}

impl<'a> Message<'a> {
    /// Parses one datagram.
    ///
    /// Cost: one pass over the fixed parts and the padding; at most
    /// [`crate::EXTENSIONS_MAX`] extensions and 255 records are stepped over.
    ///
    /// # Errors
    /// [`ParseError`], checked in the order of FORMAT.md §10.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_within(bytes, DATAGRAM_LEN_MAX)
    }

    /// Parses one message of a TCP stream, cut out by its declared length.
    ///
    /// # Errors
    /// [`ParseError`], checked in the order of FORMAT.md §10.
    pub fn parse_stream(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_within(bytes, STREAM_LEN_MAX)
    }

    // Inlined, with what it calls for most messages: a body handed on by memory, from call to
    // call, costs more than all the checks.
    #[inline(always)]
    fn parse_within(bytes: &'a [u8], len_max: usize) -> Result<Self, ParseError> {
        if bytes.len() > len_max {
            return Err(ParseError::Oversize);
        }
        let Ok((head, rest)) = Head::ref_from_prefix(bytes) else {
            return Err(Self::why_short(bytes));
        };
        if head.magic != MAGIC {
            return Err(ParseError::Magic);
        }
        if !(VERSION_MIN..=VERSION).contains(&head.version) {
            return Err(ParseError::Version(head.version));
        }
        let flags = head.flags();
        let mac_len = if flags.has(Flags::KEYED) { MAC_LEN } else { 0 };
        if (rest.len() as u64) != u64::from(head.body_len.get()) + mac_len as u64 {
            return Err(ParseError::Length { declared: head.body_len.get() });
        }
        if flags.has(Flags::RESERVED_ZERO) {
            return Err(ParseError::Reserved);
        }
        let kind = Kind::from_u8(head.kind).ok_or(ParseError::Kind(head.kind))?;
        let (body_bytes, mac) = rest.split_at(rest.len() - mac_len);
        let (body, rest) = Body::parse_prefix(head, kind, body_bytes)?;
        let extensions = Extensions::parse(rest)?;
        Ok(Self { head, kind, body, extensions, mac: mac.first_chunk() })
    }

    /// What is wrong with fewer bytes than a head: that, if nothing that they tell already is.
    #[cold]
    fn why_short(bytes: &[u8]) -> ParseError {
        match Outline::parse(bytes) {
            Ok(outline) if !(VERSION_MIN..=VERSION).contains(&outline.version) => {
                ParseError::Version(outline.version)
            }
            Ok(_) => ParseError::Short { have: saturating_u16(bytes.len()) },
            Err(error) => error,
        }
    }
}

impl<'a> Body<'a> {
    #[inline(always)]
    fn parse_prefix(
        head: &'a Head,
        kind: Kind,
        bytes: &'a [u8],
    ) -> Result<(Self, &'a [u8]), ParseError> {
        match (kind, head.is_reply()) {
            (Kind::Ping, false) => Ok((Self::Ping, bytes)),
            (Kind::FindNode, false) => Ok((Self::FindNode, bytes)),
            (Kind::FindValue, false) => {
                let (body, rest) = fixed::<FindValueBody>(bytes)?;
                if body.reserved != 0 {
                    return Err(ParseError::Reserved);
                }
                if body.filter().is_none() {
                    return Err(ParseError::Filter(body.filter));
                }
                Ok((Self::FindValue(body), rest))
            }
            (Kind::Store, false) => {
                let (store, rest) = fixed::<StoreBody>(bytes)?;
                let (record, rest) = Record::parse_prefix(rest)?;
                if record.is_announced() {
                    return Err(ParseError::Store);
                }
                Ok((Self::Store { store, record }, rest))
            }
            (Kind::Fault, false) => Err(ParseError::FaultRequest),
            (Kind::Fault, true) => {
                let fault = Fault::from_u8(head.arg).ok_or(ParseError::FaultCode(head.arg))?;
                Ok((Self::Fault(fault, FaultDetail::from_target(head.target)), bytes))
            }
            (Kind::Ping, true) => {
                let (reply, rest) = fixed::<ReplyBody>(bytes)?;
                Ok((Self::PingReply(reply), rest))
            }
            (Kind::Store, true) => {
                let (reply, rest) = fixed::<ReplyBody>(bytes)?;
                if crate::Durability::from_u8(head.arg).is_none() {
                    return Err(ParseError::Store);
                }
                Ok((Self::StoreReply(reply), rest))
            }
            (Kind::FindNode, true) => Self::parse_contacts(head.arg, bytes),
            (Kind::FindValue, true) => {
                let (reply, rest) = fixed::<ReplyBody>(bytes)?;
                if reply.total.get() == 0 {
                    return Self::parse_contacts(head.arg, bytes);
                }
                let (records, rest) = Records::parse_prefix(rest, head.arg)?;
                Ok((Self::Values { reply, records }, rest))
            }
        }
    }

    #[inline]
    fn parse_contacts(count: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (reply, rest) = fixed::<ReplyBody>(bytes)?;
        let (contacts, rest) = <[Contact]>::ref_from_prefix_with_elems(rest, usize::from(count))
            .map_err(|_| ParseError::Items)?;
        // All are read, since that takes no branch for each.
        let flags = contacts.iter().fold(0, |flags, contact| flags | contact.flags.get());
        if flags & Contact::FLAGS_RESERVED_ZERO != 0 {
            return Err(ParseError::Reserved);
        }
        Ok((Self::Contacts { reply, contacts }, rest))
    }
}

fn fixed<T>(bytes: &[u8]) -> Result<(&T, &[u8]), ParseError>
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    T::ref_from_prefix(bytes).map_err(|_| ParseError::Body)
}

fn saturating_u16(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}
