//! From a message to JSON.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::FILTER_NAMES;
use crate::body::{Contact, FindValueBody, ReplyBody};
use crate::endpoint::Endpoint;
use crate::extension::Extension;
use crate::fault::{Fault, FaultDetail};
use crate::head::{Flags, Kind};
use crate::parse::{Body, Message, ParseError};
use crate::record::{Publisher, Record};

/// A message as one line of JSON, from which [`super::from_json`] makes the same bytes.
///
/// `bytes` is one whole message, by datagram or by TCP (up to [`crate::STREAM_LEN_MAX`]
/// bytes). Cost: one pass; allocates a little over twice the bytes.
///
/// # Errors
/// [`ParseError`], as [`Message::parse_stream`].
pub fn to_json(bytes: &[u8]) -> Result<String, ParseError> {
    Ok(written(serde_json::to_string(&Message::parse_stream(bytes)?)))
}

/// The same as [`to_json`], spread over indented lines for people.
///
/// # Errors
/// [`ParseError`], as [`Message::parse_stream`].
pub fn to_json_pretty(bytes: &[u8]) -> Result<String, ParseError> {
    Ok(written(serde_json::to_string_pretty(&Message::parse_stream(bytes)?)))
}

/// Writing to a string fails only where a map's key is no string or a type's own
/// `Serialize` fails, and there is neither here.
fn written(text: serde_json::Result<String>) -> String {
    text.expect("every member has a JSON form")
}

/// One object being written. Members that are zero or empty are left out.
struct Object<M>(M);

impl<M: SerializeMap> Object<M> {
    fn text(&mut self, name: &str, value: &str) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) -> Result<(), M::Error> {
        match value.into() {
            0 => Ok(()),
            value => self.0.serialize_entry(name, &value),
        }
    }

    /// An integer that a double may not hold: 16 digits.
    fn word(&mut self, name: &str, value: u64) -> Result<(), M::Error> {
        self.fixed(name, &value.to_be_bytes())
    }

    /// A field of fixed length.
    fn fixed(&mut self, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.bytes(name, bytes)
    }

    /// A field whose length is told by its digits.
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.0.serialize_entry(name, &Text(Hex(bytes)))
    }

    fn endpoint(&mut self, name: &str, endpoint: &Endpoint) -> Result<(), M::Error> {
        if *endpoint == Endpoint::NONE {
            return Ok(());
        }
        self.0.serialize_entry(name, &Text(endpoint))
    }

    fn list<T: Serialize>(&mut self, name: &str, items: &[T]) -> Result<(), M::Error> {
        if items.is_empty() {
            return Ok(());
        }
        self.0.serialize_entry(name, items)
    }
}

/// Lower-case hexadecimal digits, first byte first.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A string, written as `Display` does.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let head = self.head;
        let flags = head.flags();
        let named: Vec<&str> = Flags::NAMED
            .into_iter()
            .filter_map(|(flag, name)| flags.has(flag).then_some(name))
            .collect();
        let mut object = Object(serializer.serialize_map(None)?);
        object.number("version", head.version)?;
        object.text("kind", self.kind.name())?;
        object.list("flags", &named)?;
        object.number("flags_ignored", flags.0 & Flags::RESERVED_IGNORED.0)?;
        object.number("key_id", head.key_id)?;
        // Where items are listed, or a code is named, these tell it.
        if !matches!(self.body, Body::Contacts { .. } | Body::Values { .. } | Body::Fault(..)) {
            object.number("arg", head.arg)?;
        }
        object.number("time_s", head.time_s.get())?;
        object.word("tx_id", head.tx_id.get())?;
        object.word("cookie", head.cookie.get())?;
        if self.kind != Kind::Fault {
            object.fixed("target", &head.target.0)?;
        }
        object.fixed("sender", &head.sender.0)?;
        write_body(&mut object, &self.body)?;
        let extensions: Vec<Extension<'_>> = self.extensions.iter().collect();
        object.list("extensions", &extensions)?;
        if let Some(mac) = self.mac {
            object.bytes("mac", mac)?;
        }
        object.0.end()
    }
}

fn write_body<M: SerializeMap>(object: &mut Object<M>, body: &Body<'_>) -> Result<(), M::Error> {
    match body {
        Body::Ping | Body::FindNode => Ok(()),
        Body::FindValue(body) => write_find_value(object, body),
        Body::Store { store, record } => {
            object.word("cas", store.cas.get())?;
            object.list("records", &[*record])
        }
        Body::PingReply(reply) | Body::StoreReply(reply) => write_reply(object, reply),
        Body::Contacts { reply, contacts } => {
            write_reply(object, reply)?;
            object.list("contacts", contacts)
        }
        Body::Values { reply, records } => {
            write_reply(object, reply)?;
            let records: Vec<Record<'_>> = records.iter().collect();
            object.list("records", &records)
        }
        Body::Fault(fault, detail) => object.0.serialize_entry("fault", &Refusal(*fault, *detail)),
    }
}

fn write_find_value<M: SerializeMap>(
    object: &mut Object<M>,
    body: &FindValueBody,
) -> Result<(), M::Error> {
    object.number("cursor", body.cursor.get())?;
    let named = FILTER_NAMES.into_iter().find(|(kind, _)| *kind as u8 == body.filter);
    if let Some((_, name)) = named {
        object.text("filter", name)?;
    }
    object.fixed("publisher", &body.publisher)
}

fn write_reply<M: SerializeMap>(object: &mut Object<M>, reply: &ReplyBody) -> Result<(), M::Error> {
    object.endpoint("observed", &reply.observed)?;
    object.number("total", reply.total.get())
}

impl Serialize for Contact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(None)?);
        object.fixed("id", &self.id.0)?;
        object.endpoint("endpoint", &self.endpoint)?;
        object.number("flags", self.flags.get())?;
        object.0.end()
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(None)?);
        object.text("kind", self.kind().name())?;
        object.number("remaining_s", self.remaining_s)?;
        object.number("cursor", self.cursor)?;
        object.number("flags", self.flags)?;
        match self.publisher {
            Publisher::Immutable => {}
            Publisher::Signed(tail) => {
                object.word("sequence", tail.sequence.get())?;
                object.fixed("public_key", &tail.public_key)?;
                object.fixed("signature", &tail.signature)?;
                object.fixed("salt", &tail.salt)?;
            }
            Publisher::Plain(id) => object.fixed("publisher", &id.0)?,
        }
        if self.is_announced() {
            object.number("value_len", self.value_len)?;
        }
        object.bytes("value", self.value)?;
        object.0.end()
    }
}

struct Refusal(Fault, FaultDetail);

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(fault, detail) = self;
        let mut object = Object(serializer.serialize_map(None)?);
        object.text("code", fault.name())?;
        object.number("version_min", detail.version_min)?;
        object.number("version_max", detail.version_max)?;
        object.number("kinds", detail.kinds.get())?;
        object.number("value_len_max", detail.value_len_max.get())?;
        object.word("sequence", detail.sequence.get())?;
        object.number("retry_ms", detail.retry_ms.get())?;
        object.0.end()
    }
}

impl Serialize for Extension<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object(serializer.serialize_map(None)?);
        object.0.serialize_entry("type", &self.kind)?;
        object.bytes("data", self.data)?;
        object.0.end()
    }
}
