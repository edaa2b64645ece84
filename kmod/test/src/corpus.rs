//! Datagrams to compare verdicts on: the golden ones, and what a stranger makes of them.

use std::io;

use kdht_wire::{BODY_LEN_OFFSET, DATAGRAM_LEN_MAX, HEAD_LEN, KeyRing, MAC_LEN, NetworkKey};

use crate::Random;

/// The files of `wire/vectors`, as a guest has no repository to read them from.
const FILES: [(&str, &str); 7] = [
    ("ping", include_str!("../../../wire/vectors/ping.txt")),
    ("find_node", include_str!("../../../wire/vectors/find_node.txt")),
    ("find_value", include_str!("../../../wire/vectors/find_value.txt")),
    ("store", include_str!("../../../wire/vectors/store.txt")),
    ("fault", include_str!("../../../wire/vectors/fault.txt")),
    ("refused", include_str!("../../../wire/vectors/refused.txt")),
    ("mac", include_str!("../../../wire/vectors/mac.txt")),
];

/// One golden message, as far as the module needs it (`wire/vectors/README.md`).
#[derive(Clone, Debug, Default)]
pub struct Vector {
    /// Unique in all files.
    pub name: String,
    /// Whether it is one message of a TCP stream, which the module never meets.
    pub is_stream: bool,
    /// The receiver's network keys; none in an open network.
    pub keys: Vec<NetworkKey>,
    /// The receiver's clock; zero where it has no keys.
    pub now_s: u32,
    /// `ok`, or `parse` or `mac` and an error's name.
    pub verdict: String,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Vector {
    /// The receiver's keys as a ring.
    #[must_use]
    pub fn key_ring(&self) -> KeyRing {
        let second = self.keys.get(1).copied();
        self.keys.first().map_or(KeyRing::OPEN, |first| KeyRing::new(*first, second))
    }

    fn read(block: &str) -> Option<Self> {
        let mut vector = Self::default();
        for line in block.lines() {
            let (key, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            match key {
                "name" => value.clone_into(&mut vector.name),
                "transport" => vector.is_stream = value == "tcp",
                "key" => {
                    let (id, secret) = value.split_once(' ')?;
                    let secret = unhex(secret)?.try_into().ok()?;
                    vector.keys.push(NetworkKey { id: id.parse().ok()?, secret });
                }
                "now_s" => vector.now_s = value.parse().ok()?,
                "verdict" => value.clone_into(&mut vector.verdict),
                "hex" => vector.bytes = unhex(value)?,
                _ => {}
            }
        }
        Some(vector)
    }
}

/// Every golden message of the repository.
///
/// # Errors
/// A file that is not in its form.
pub fn vectors() -> io::Result<Vec<Vector>> {
    let mut out = Vec::new();
    for (file, text) in FILES {
        for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            let vector = Vector::read(block);
            out.push(vector.ok_or_else(|| io::Error::other(format!("{file}.txt: {block}")))?);
        }
    }
    Ok(out)
}

/// Makes of `base` what a stranger might: cut, lengthened, or with bytes changed, and mostly
/// with its length told right again, so that what lies deeper is reached, too. `other` is
/// what a piece may be taken from.
#[must_use]
pub fn mutate(base: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..=random.below(3) {
        change(&mut bytes, other, random);
    }
    bytes.truncate(DATAGRAM_LEN_MAX + 1);
    if random.below(4) > 0 {
        tell_length(&mut bytes);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => {
            let more = random.below(64);
            bytes.extend((0..more).map(|_| random.byte() & 1));
        }
        2 => {
            // What a field's edge looks like.
            let edges = [0, 1, 2, 3, 4, 5, 8, 9, 17, 18, 40, 0x7f, 0x80, 0xff];
            let edge = random.pick(&edges).copied();
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = edge.unwrap_or(0));
        }
        3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        4 => {
            // The head's first bytes decide most of what follows.
            let early = random.below(HEAD_LEN.min(bytes.len()).min(8));
            bytes.iter_mut().skip(early).take(1).for_each(|byte| *byte = random.byte() & 0x8f);
        }
        _ => {
            let tail = other.get(random.below(other.len())..).unwrap_or_default();
            bytes.truncate(at.max(HEAD_LEN));
            bytes.extend_from_slice(tail);
        }
    }
}

fn tell_length(bytes: &mut [u8]) {
    let mac_len = if bytes.get(4).is_some_and(|flags| flags & 0x80 != 0) { MAC_LEN } else { 0 };
    let body_len = bytes.len().checked_sub(HEAD_LEN + mac_len);
    if let Some(body_len) = body_len.and_then(|len| u32::try_from(len).ok()) {
        let place = BODY_LEN_OFFSET..BODY_LEN_OFFSET + 4;
        bytes[place].copy_from_slice(&body_len.to_le_bytes());
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}
