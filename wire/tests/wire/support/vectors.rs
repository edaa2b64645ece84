//! The text form of the datagrams in `vectors/`, as its README describes it.

use std::fmt::Write;

use kdht_wire::{DATAGRAM_LEN_MAX, KeyRing, Message, NetworkKey, ParseError, STREAM_LEN_MAX};

use super::{hex, repository_file, unhex, variant};

/// The files, in the order that the README lists them.
pub(crate) const FILES: [&str; 7] =
    ["ping", "find_node", "find_value", "store", "fault", "refused", "mac"];

/// One message and what a receiver makes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) meaning: String,
    pub(crate) is_stream: bool,
    /// The receiver's network keys; none in an open network.
    pub(crate) keys: Vec<NetworkKey>,
    /// The receiver's clock, where it has keys.
    pub(crate) now_s: Option<u32>,
    /// `ok`, `parse` or `mac` and an error's name.
    pub(crate) verdict: String,
    pub(crate) bytes: Vec<u8>,
    /// The JSON form, where the verdict is `ok`.
    pub(crate) json: Option<String>,
}

impl Vector {
    pub(crate) fn key_ring(&self) -> KeyRing {
        self.keys
            .first()
            .map_or(KeyRing::OPEN, |first| KeyRing::new(*first, self.keys.get(1).copied()))
    }

    pub(crate) fn len_max(&self) -> usize {
        if self.is_stream { STREAM_LEN_MAX } else { DATAGRAM_LEN_MAX }
    }

    pub(crate) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        if self.is_stream { Message::parse_stream(bytes) } else { Message::parse(bytes) }
    }

    /// What the crate makes of it: membership first, then the parse.
    pub(crate) fn judge(&self) -> String {
        if let Err(error) = self.key_ring().verify(&self.bytes, self.now_s.unwrap_or(0)) {
            return format!("mac {}", variant(error));
        }
        match self.parse(&self.bytes) {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("parse {}", variant(error)),
        }
    }

    /// Its lines, with an empty one behind them.
    pub(crate) fn write(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: &str| writeln!(out, "{key}: {value}").unwrap();
        line("name", &self.name);
        line("meaning", &self.meaning);
        line("transport", if self.is_stream { "tcp" } else { "udp" });
        for key in &self.keys {
            line("key", &format!("{} {}", key.id, hex(&key.secret)));
        }
        if let Some(now_s) = self.now_s {
            line("now_s", &now_s.to_string());
        }
        line("verdict", &self.verdict);
        line("hex", &hex(&self.bytes));
        if let Some(json) = &self.json {
            line("json", json);
        }
        out.push('\n');
        out
    }

    fn read(lines: &str) -> Self {
        let mut vector = Self {
            name: String::new(),
            meaning: String::new(),
            is_stream: false,
            keys: Vec::new(),
            now_s: None,
            verdict: String::new(),
            bytes: Vec::new(),
            json: None,
        };
        for line in lines.lines() {
            let (key, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            match key {
                "name" => vector.name = value.to_owned(),
                "meaning" => vector.meaning = value.to_owned(),
                "transport" => vector.is_stream = value == "tcp",
                "key" => {
                    let (id, secret) = value.split_once(' ').unwrap();
                    let secret = unhex(secret).try_into().unwrap();
                    vector.keys.push(NetworkKey { id: id.parse().unwrap(), secret });
                }
                "now_s" => vector.now_s = Some(value.parse().unwrap()),
                "verdict" => vector.verdict = value.to_owned(),
                "hex" => vector.bytes = unhex(value),
                "json" => vector.json = Some(value.to_owned()),
                _ => panic!("{line}"),
            }
        }
        vector
    }
}

/// The path of a file from the top of the repository.
pub(crate) fn path(file: &str) -> String {
    format!("wire/vectors/{file}.txt")
}

/// The vectors of one file as it stands in the repository.
pub(crate) fn read(file: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(repository_file(&path(file))).unwrap();
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    let vectors: Vec<Vector> = blocks.map(Vector::read).collect();
    assert!(!vectors.is_empty(), "{file}");
    vectors
}

/// The vectors of every file.
pub(crate) fn read_all() -> Vec<Vector> {
    FILES.into_iter().flat_map(read).collect()
}
