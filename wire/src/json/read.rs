//! From JSON to a message.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use super::FILTER_NAMES;
use super::tree::{Object, Tree, wrong};
use crate::body::{Contact, FindValueBody, ReplyBody, StoreBody};
use crate::extension::{EXT_HEAD_LEN, EXTENSIONS_MAX, ExtensionHead, Extensions};
use crate::fault::{Fault, FaultDetail};
use crate::head::{Flags, HEAD_LEN, Head, Kind, MAGIC, VERSION, VERSION_MIN};
use crate::id::Id;
use crate::network_key::{MAC_LEN, NetworkKey};
use crate::record::{Publisher, RECORD_RESERVED_ZERO, Record, SignedTail, ValueKind};
use crate::{Durability, STREAM_LEN_MAX, VALUE_LEN_MAX};

/// Why a text is not the JSON form of a message.
///
/// Members are named by their way from the outermost object: `records[0].value`; the
/// outermost object itself is the empty name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON; counted from 1.
    Syntax {
        /// The line where it ceases to be.
        line: usize,
        /// The byte of that line.
        column: usize,
    },
    /// A member that stands twice in one object.
    Duplicate {
        /// Which one.
        member: String,
    },
    /// A member that there is not, or not in such a message.
    Unknown {
        /// Which one.
        member: String,
    },
    /// A member that is missing, or that is not what it must be.
    Member {
        /// Which one.
        member: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The flags say `keyed`, but there is neither `mac` nor a key to make it with.
    MacMissing,
    /// The message would be longer than any may be.
    TooLong {
        /// Bytes that it would have.
        len: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column } => write!(f, "line {line}, column {column}: not JSON"),
            Self::Duplicate { member } => write!(f, "`{member}`: stands twice"),
            Self::Unknown { member } => write!(f, "`{member}`: no such member in such a message"),
            Self::Member { member, expected } if member.is_empty() => {
                write!(f, "must be {expected}")
            }
            Self::Member { member, expected } => write!(f, "`{member}`: must be {expected}"),
            Self::MacMissing => write!(f, "`mac`: missing, and no network key to make it with"),
            Self::TooLong { len } => {
                write!(f, "{len} bytes: a message has at most {STREAM_LEN_MAX}")
            }
        }
    }
}

impl core::error::Error for JsonError {}

/// The message that a text in JSON form says: exactly the bytes that [`super::to_json`]
/// was given. What it returns parses (by [`crate::Message::parse_stream`]; it may be longer
/// than a datagram).
///
/// Cost: linear in the text; allocates up to about 32 bytes for each of its values.
///
/// # Errors
/// [`JsonError`]; [`JsonError::MacMissing`] if the message is keyed but has no `mac`.
pub fn from_json(text: &str) -> Result<Vec<u8>, JsonError> {
    from_json_keyed(text, None)
}

/// The same as [`from_json`], but a keyed message without `mac` is signed with `key`.
///
/// The key is used only if the flags say `keyed` and `mac` is left out; `key_id` must then
/// be left out too, or be the key's.
///
/// # Errors
/// [`JsonError`]
pub fn from_json_keyed(text: &str, key: Option<&NetworkKey>) -> Result<Vec<u8>, JsonError> {
    let tree: Tree = serde_json::from_str(text)
        .map_err(|error| JsonError::Syntax { line: error.line(), column: error.column() })?;
    let mut object = Object::open(String::new(), tree)?;
    let mut head = read_head(&mut object)?;
    let mut body = Vec::new();
    read_body(&mut object, &mut head, &mut body)?;
    read_extensions(&mut object, &mut body)?;

    let keyed = head.flags().has(Flags::KEYED);
    let mac = if keyed { object.optional(|object| object.fixed("mac"), "mac")? } else { None };
    object.close()?;

    let len = HEAD_LEN + body.len() + if keyed { MAC_LEN } else { 0 };
    if len > STREAM_LEN_MAX {
        return Err(JsonError::TooLong { len });
    }
    // Below STREAM_LEN_MAX, thus far below 2³².
    head.body_len = U32::new(u32::try_from(body.len()).unwrap_or(u32::MAX));
    let signing =
        if keyed && mac.is_none() { Some(key.ok_or(JsonError::MacMissing)?) } else { None };
    if let Some(key) = signing {
        if ![0, key.id].contains(&head.key_id) {
            return Err(wrong("key_id".into(), "left out, or the id of the network key"));
        }
        head.key_id = key.id;
    }
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&body);
    if let Some(mac) = mac.or_else(|| signing.map(|key| key.mac(&out))) {
        out.extend_from_slice(&mac);
    }
    Ok(out)
}

fn read_head(object: &mut Object) -> Result<Head, JsonError> {
    let version = object.optional(|object| object.u8("version"), "version")?.unwrap_or(VERSION);
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(object.wrong("version", "1"));
    }
    let kinds = Kind::ALL.map(|kind| (kind, kind.name()));
    let kind = object
        .name("kind", &kinds)?
        .ok_or_else(|| object.wrong("kind", "ping, find_node, find_value, store or fault"))?;
    let mut flags = 0;
    for (path, name) in object.list("flags", Flags::NAMED.len())? {
        let named = Flags::NAMED.into_iter().find(|(_, known)| name.is_text(known));
        let (flag, _) = named.ok_or_else(|| {
            wrong(path, "reply, client, recurse, forward, more, want4, want6 or keyed")
        })?;
        flags |= flag.0;
    }
    let ignored = object.u16("flags_ignored")?;
    if ignored & !Flags::RESERVED_IGNORED.0 != 0 {
        return Err(object.wrong("flags_ignored", "a multiple of 4096, to 61440"));
    }
    if kind == Kind::Fault && !Flags(flags).has(Flags::REPLY) {
        return Err(object.wrong("flags", "with reply: a fault always is one"));
    }
    Ok(Head {
        magic: MAGIC,
        version,
        kind: kind as u8,
        flags: U16::new(flags | ignored),
        key_id: object.u8("key_id")?,
        arg: 0,
        body_len: U32::ZERO,
        time_s: U32::new(object.u32("time_s")?),
        tx_id: U64::new(object.word("tx_id")?),
        cookie: U64::new(object.word("cookie")?),
        target: if kind == Kind::Fault { Id::ZERO } else { Id(object.fixed("target")?) },
        sender: Id(object.fixed("sender")?),
    })
}

fn read_body(object: &mut Object, head: &mut Head, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let arg = object.optional(|object| object.u8("arg"), "arg")?;
    head.arg = arg.unwrap_or(0);
    let counted = match (Kind::from_u8(head.kind), head.is_reply()) {
        (Some(Kind::FindValue), false) => {
            read_find_value(object, out)?;
            None
        }
        (Some(Kind::Store), false) => {
            read_store(object, out)?;
            None
        }
        (Some(Kind::FindNode), true) => {
            read_reply(object, out)?;
            Some(read_contacts(object, out)?)
        }
        (Some(Kind::FindValue), true) => Some(if read_reply(object, out)? == 0 {
            read_contacts(object, out)?
        } else {
            read_records(object, out)?
        }),
        (Some(Kind::Store), true) => {
            read_reply(object, out)?;
            if Durability::from_u8(head.arg).is_none() {
                return Err(object.wrong("arg", "1 (memory), 2 (os) or 3 (disk)"));
            }
            None
        }
        (Some(Kind::Ping), true) => {
            read_reply(object, out)?;
            None
        }
        (Some(Kind::Fault), _) => {
            let (fault, detail) = read_fault(object)?;
            head.target = detail.to_target();
            Some(fault as u8)
        }
        (Some(Kind::Ping | Kind::FindNode) | None, _) => None,
    };
    if let Some(counted) = counted {
        if arg.is_some_and(|arg| arg != counted) {
            return Err(object.wrong("arg", "left out, or the count of items or the fault's code"));
        }
        head.arg = counted;
    }
    Ok(())
}

fn read_find_value(object: &mut Object, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let filter = object.optional(
        |object| {
            object
                .name("filter", &FILTER_NAMES)?
                .ok_or_else(|| object.wrong("filter", "any, immutable, signed or plain"))
        },
        "filter",
    )?;
    let body = FindValueBody {
        cursor: U16::new(object.u16("cursor")?),
        filter: filter.map_or(0, |kind| kind as u8),
        reserved: 0,
        publisher: object.fixed("publisher")?,
    };
    out.extend_from_slice(body.as_bytes());
    Ok(())
}

fn read_store(object: &mut Object, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let body = StoreBody { cas: U64::new(object.word("cas")?) };
    out.extend_from_slice(body.as_bytes());
    let start = out.len();
    if read_records(object, out)? != 1 {
        return Err(object.wrong("records", "a list of exactly one record"));
    }
    let announced = Record::parse_prefix(&out[start..]).is_ok_and(|(r, _)| r.is_announced());
    if announced {
        return Err(object.wrong("records[0].flags", "without bit 0: no store is announced"));
    }
    Ok(())
}

/// Reads a reply's fixed part and returns `total`.
fn read_reply(object: &mut Object, out: &mut Vec<u8>) -> Result<u16, JsonError> {
    let total = object.u16("total")?;
    let body = ReplyBody { observed: object.endpoint("observed")?, total: U16::new(total) };
    out.extend_from_slice(body.as_bytes());
    Ok(total)
}

/// Reads the contacts and returns how many there are.
fn read_contacts(object: &mut Object, out: &mut Vec<u8>) -> Result<u8, JsonError> {
    let items = object.list("contacts", usize::from(u8::MAX))?;
    let count = u8::try_from(items.len()).unwrap_or(u8::MAX);
    for (path, item) in items {
        let mut item = Object::open(path, item)?;
        let flags = item.u16("flags")?;
        if flags & Contact::FLAGS_RESERVED_ZERO != 0 {
            return Err(item.wrong("flags", "a multiple of 256, to 65280"));
        }
        let contact = Contact {
            id: Id(item.fixed("id")?),
            endpoint: item.endpoint("endpoint")?,
            flags: U16::new(flags),
        };
        out.extend_from_slice(contact.as_bytes());
        item.close()?;
    }
    Ok(count)
}

/// Reads the records and returns how many there are.
fn read_records(object: &mut Object, out: &mut Vec<u8>) -> Result<u8, JsonError> {
    let items = object.list("records", usize::from(u8::MAX))?;
    let count = u8::try_from(items.len()).unwrap_or(u8::MAX);
    for (path, item) in items {
        let mut item = Object::open(path, item)?;
        read_record(&mut item, out)?;
        item.close()?;
    }
    Ok(count)
}

fn read_record(item: &mut Object, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let kinds = ValueKind::ALL.map(|kind| (kind, kind.name()));
    let kind = item
        .name("kind", &kinds)?
        .ok_or_else(|| item.wrong("kind", "immutable, signed or plain"))?;
    let flags = item.u8("flags")?;
    if flags & RECORD_RESERVED_ZERO != 0 {
        return Err(item.wrong("flags", "a number to 255 whose bits 1 to 3 are zero"));
    }
    let tail = match kind {
        ValueKind::Signed => Some(SignedTail {
            sequence: U64::new(item.word("sequence")?),
            public_key: item.fixed("public_key")?,
            signature: item.fixed("signature")?,
            salt: item.fixed("salt")?,
        }),
        ValueKind::Immutable | ValueKind::Plain => None,
    };
    let id = if kind == ValueKind::Plain { Id(item.fixed("publisher")?) } else { Id::ZERO };
    let mut record = Record {
        value_len: 0,
        remaining_s: item.u32("remaining_s")?,
        cursor: item.u16("cursor")?,
        flags,
        publisher: match &tail {
            Some(tail) => Publisher::Signed(tail),
            None if kind == ValueKind::Plain => Publisher::Plain(&id),
            None => Publisher::Immutable,
        },
        value: &[],
    };
    let declared = item.optional(|item| item.u32("value_len"), "value_len")?;
    let value = if record.is_announced() { Vec::new() } else { item.bytes("value")? };
    let here = u32::try_from(value.len()).unwrap_or(u32::MAX);
    if !record.is_announced() && declared.is_some_and(|declared| declared != here) {
        return Err(item.wrong("value_len", "left out, or the length of the value"));
    }
    record.value_len = if record.is_announced() { declared.unwrap_or(0) } else { here };
    if usize::try_from(record.value_len).map_or(true, |len| len > VALUE_LEN_MAX) {
        let member = if record.is_announced() { "value_len" } else { "value" };
        return Err(item.wrong(member, "at most 1048576 bytes"));
    }
    out.extend_from_slice(record.head().as_bytes());
    match record.publisher {
        Publisher::Immutable => {}
        Publisher::Signed(tail) => out.extend_from_slice(tail.as_bytes()),
        Publisher::Plain(id) => out.extend_from_slice(&id.0),
    }
    out.extend_from_slice(&value);
    Ok(())
}

fn read_fault(object: &mut Object) -> Result<(Fault, FaultDetail), JsonError> {
    let mut item = object.inner("fault")?;
    let codes = Fault::ALL.map(|fault| (fault, fault.name()));
    let fault = item
        .name("code", &codes)?
        .ok_or_else(|| item.wrong("code", "the name of a code of FORMAT.md section 7"))?;
    let detail = FaultDetail {
        version_min: item.u8("version_min")?,
        version_max: item.u8("version_max")?,
        kinds: U16::new(item.u16("kinds")?),
        value_len_max: U32::new(item.u32("value_len_max")?),
        sequence: U64::new(item.word("sequence")?),
        retry_ms: U32::new(item.u32("retry_ms")?),
    };
    item.close()?;
    Ok((fault, detail))
}

fn read_extensions(object: &mut Object, out: &mut Vec<u8>) -> Result<(), JsonError> {
    for (path, item) in object.list("extensions", EXTENSIONS_MAX)? {
        let mut item = Object::open(path, item)?;
        let kind = U16::new(item.u16("type")?);
        let data = item.bytes("data")?;
        let len =
            u16::try_from(data.len()).map_err(|_| item.wrong("data", "at most 65535 bytes"))?;
        let start = out.len();
        out.reserve(EXT_HEAD_LEN + data.len());
        out.extend_from_slice(ExtensionHead { kind, len: U16::new(len) }.as_bytes());
        out.extend_from_slice(&data);
        Extensions::parse(&out[start..]).map_err(|_| {
            item.wrong("data", "zeros in type 0, a forward as in FORMAT.md section 8.3 in type 1")
        })?;
        item.close()?;
    }
    Ok(())
}
