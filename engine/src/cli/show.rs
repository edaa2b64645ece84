//! How ids, bytes and values are read from words and written for people and machines.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use kdht::network_key;
use kdht_client::{Filter, Id, Options, Report, Standing, Value, ValuePublisher, key_of_string};
use kdht_wire::{KeyRing, Publisher};
use serde_json::{Map, Value as Json, json};

use super::Failure;
use super::args::{Reach, WantedArgs};

/// Writes one line of data. A reader that went away is no error of ours.
pub(crate) fn line(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Writes data as it is, and ends the process with exit code 1 where it cannot be written.
pub(crate) fn bytes(data: &[u8]) {
    let mut out = std::io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            talk(&format!("kdht: standard output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Writes a value as it is, and the end of the line behind it where one is wanted.
pub(crate) fn value(data: &[u8], ends_line: bool) {
    bytes(data);
    if ends_line && data.last() != Some(&b'\n') {
        bytes(b"\n");
    }
}

/// A value as one line: as text, or in hexadecimal where it is none, or more than a line.
pub(crate) fn one_line(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => hex(data),
    }
}

/// Writes one line of talk. Nobody listening is no error.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An address as people write it, such as 127.0.0.1:4000 or localhost:4000.
pub(crate) fn addr(word: &str) -> Result<SocketAddr, String> {
    let mut found = word.to_socket_addrs().map_err(|error| error.to_string())?;
    let addr = found.next().ok_or("has no address")?;
    if addr.port() == 0 { Err("port 0 is nobody's".to_owned()) } else { Ok(addr) }
}

/// A key as people write it: 40 hexadecimal digits are the key itself, anything else is
/// a name.
pub(crate) fn key(word: &str) -> Id {
    Id::from_hex(word).unwrap_or_else(|| key_of_string(word))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal digits; white space between them does not count.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(|| format!("`{c}` is not a hexadecimal digit")))
        .collect::<Result<_, _>>()
        .map_err(Failure::Misuse)?;
    if !digits.len().is_multiple_of(2) {
        return Err(Failure::misuse("an odd number of hexadecimal digits"));
    }
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or(0);
    Ok(digits.chunks_exact(2).map(byte).collect())
}

pub(crate) fn key_ring(path: Option<&Path>) -> Result<KeyRing, Failure> {
    path.map_or(Ok(KeyRing::OPEN), network_key::load).map_err(Failure::misuse)
}

pub(crate) fn options(reach: &Reach) -> Result<Options, Failure> {
    let keys = key_ring(reach.network_key.as_deref())?;
    let id = Some(Id(kdht::entropy().map_err(Failure::failed)?));
    Ok(Options { keys, id, ..Options::default() })
}

pub(crate) fn filter(wanted: &WantedArgs) -> Result<Filter, Failure> {
    if let Some(text) = &wanted.publisher {
        let key = <[u8; 32]>::try_from(unhex(text)?);
        let key = key.map_err(|_| Failure::misuse("a public key is 64 hexadecimal digits"))?;
        return Ok(Filter::Signed(key));
    }
    if let Some(text) = &wanted.plain_of {
        let id = Id::from_hex(text);
        let id = id.ok_or_else(|| Failure::misuse("an id is 40 hexadecimal digits"))?;
        return Ok(Filter::Plain(id));
    }
    Ok(if wanted.immutable { Filter::Immutable } else { Filter::Any })
}

/// A value with what is known of it; its bytes as text where they are text.
pub(crate) fn value_json(value: &Value) -> Json {
    let mut object = Map::new();
    let kind = value.record().kind().name();
    object.insert("kind".into(), kind.into());
    match &value.publisher {
        ValuePublisher::Immutable => {}
        ValuePublisher::Signed(tail) => {
            object.insert("public_key".into(), hex(&tail.public_key).into());
            object.insert("sequence".into(), tail.sequence.get().into());
        }
        ValuePublisher::Plain(id) => {
            object.insert("publisher".into(), id.to_string().into());
        }
    }
    object.insert("remaining_s".into(), value.remaining_s.into());
    object.insert("value_hex".into(), hex(&value.bytes).into());
    if let Ok(text) = std::str::from_utf8(&value.bytes) {
        object.insert("value".into(), text.into());
    }
    Json::Object(object)
}

/// Who published a value, in a word or two.
pub(crate) fn publisher(value: &Value) -> String {
    match value.record().publisher {
        Publisher::Immutable => "immutable".to_owned(),
        Publisher::Signed(tail) => {
            format!("signed by {} sequence {}", hex(&tail.public_key), tail.sequence.get())
        }
        Publisher::Plain(id) => format!("plain of {id}"),
    }
}

pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Known => "not asked",
        Standing::Asked => "asked",
        Standing::Slow => "slow",
        Standing::Answered => "answered",
        Standing::Failed => "failed",
    }
}

/// The nodes that a lookup knew, nearest first.
pub(crate) fn path_json(report: &Report) -> Json {
    let step = |c: &kdht_client::Candidate| {
        json!({
            "id": c.id.to_string(),
            "endpoint": c.endpoint.to_string(),
            "hop": c.hop,
            "standing": standing(c.standing),
            "rtt_us": (c.standing == Standing::Answered).then_some(c.rtt_us),
        })
    };
    Json::Array(report.path.iter().map(step).collect())
}

/// The same as lines of a table.
pub(crate) fn path_lines(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{:40}  hop  {:>9}  {:9}  endpoint", "id", "rtt", "standing")];
    for c in &report.path {
        let rtt = match c.standing {
            Standing::Answered => format!("{} µs", c.rtt_us),
            _ => "-".to_owned(),
        };
        let standing = standing(c.standing);
        lines.push(format!("{}  {:3}  {rtt:>9}  {standing:9}  {}", c.id, c.hop, c.endpoint));
    }
    lines
}

/// How a lookup went, in a line of talk.
pub(crate) fn talk_of(report: &Report) -> String {
    let ms = report.elapsed_ns / 1_000_000;
    format!("{} hops, {} requests, {ms} ms", report.hops, report.messages)
}
