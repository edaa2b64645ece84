//! Bytes from anybody: a verdict always, the right one, and never a panic.

use std::collections::BTreeMap;

use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, EXTENSIONS_MAX, KeyRing, Message, Outline, STREAM_LEN_MAX,
};

use crate::support::vectors::{self, Vector};
use crate::support::{Random, reference, variant};

/// Puts `bytes` through all that reads bytes, and returns the verdict.
fn examine(bytes: &[u8], ring: &KeyRing, now_s: u32, len_max: usize) -> &'static str {
    // Either answer is right here; the vectors in `mac` check which.
    let _ = ring.verify(bytes, now_s);
    let _ = Outline::parse(bytes);
    let expected = reference::verdict(bytes, len_max);
    let parsed = if len_max == STREAM_LEN_MAX {
        Message::parse_stream(bytes)
    } else {
        Message::parse(bytes)
    };
    match parsed {
        Ok(message) => {
            assert_eq!(expected, "ok", "{bytes:02x?}");
            assert_eq!(walk(&message), bytes.len(), "{bytes:02x?}");
        }
        Err(error) => assert_eq!(variant(error), expected, "{bytes:02x?}"),
    }
    expected
}

/// The length of a message, added up from what is read of it.
fn walk(message: &Message<'_>) -> usize {
    let body_len = match message.body {
        Body::Ping | Body::FindNode | Body::Fault(..) => 0,
        Body::FindValue(body) => {
            assert!(body.filter().is_some());
            36
        }
        Body::Store { record, .. } => 8 + record.wire_len(),
        Body::PingReply(_) | Body::StoreReply(_) => 20,
        Body::Contacts { contacts, .. } => {
            assert_eq!(contacts.len(), usize::from(message.head.arg));
            20 + 40 * contacts.len()
        }
        Body::Values { records, .. } => {
            assert_eq!(records.iter().count(), records.count());
            20 + records.iter().map(|record| record.wire_len()).sum::<usize>()
        }
    };
    let extensions = message.extensions.iter();
    assert!(message.extensions.iter().count() <= EXTENSIONS_MAX);
    let has_forward = message.extensions.iter().any(|extension| extension.kind == 1);
    assert_eq!(message.extensions.forward().is_some(), has_forward);
    let extensions_len: usize = extensions.map(|extension| 4 + extension.data.len()).sum();
    72 + body_len + extensions_len + message.mac.map_or(0, |mac| mac.len())
}

/// Where the JSON form is built, checks that it makes the same bytes.
fn examine_json(bytes: &[u8], verdict: &str) {
    #[cfg(feature = "json")]
    {
        let json = kdht_wire::json::to_json(bytes);
        match json {
            Ok(json) => {
                assert_eq!(kdht_wire::json::from_json(&json).as_deref(), Ok(bytes), "{json}");
            }
            Err(_) => assert_ne!(verdict, "ok"),
        }
    }
    #[cfg(not(feature = "json"))]
    let _ = (bytes, verdict);
}

fn examine_vector(vector: &Vector, bytes: &[u8]) {
    let now_s = vector.now_s.unwrap_or(0);
    let verdict = examine(bytes, &vector.key_ring(), now_s, vector.len_max());
    examine_json(bytes, verdict);
}

#[test]
fn every_truncation_of_every_vector_gets_the_verdict_of_the_text() {
    for vector in vectors::read_all() {
        for len in 0..=vector.bytes.len() {
            examine_vector(&vector, &vector.bytes[..len]);
        }
    }
}

#[test]
fn every_truncation_with_its_length_told_gets_the_verdict_of_the_text() {
    for vector in vectors::read_all() {
        let mac_len =
            if vector.bytes.get(4).is_some_and(|flags| flags & 0x80 != 0) { 8 } else { 0 };
        for len in 72 + mac_len..vector.bytes.len() {
            let mut bytes = vector.bytes[..len].to_vec();
            let body_len = u32::try_from(len - 72 - mac_len).unwrap();
            bytes[8..12].copy_from_slice(&body_len.to_le_bytes());
            examine_vector(&vector, &bytes);
        }
    }
}

#[test]
fn every_mutation_of_a_byte_of_every_vector_gets_the_verdict_of_the_text() {
    for vector in vectors::read_all() {
        let (ring, now_s) = (vector.key_ring(), vector.now_s.unwrap_or(0));
        let mut bytes = vector.bytes.clone();
        for offset in 0..bytes.len() {
            for change in 1..=u8::MAX {
                bytes[offset] = vector.bytes[offset] ^ change;
                let verdict = examine(&bytes, &ring, now_s, vector.len_max());
                // Most bytes of a long message are its value, of which each is but two more
                // digits: changes of one bit show that as well as all 255 do.
                if bytes.len() < 500 || change.is_power_of_two() {
                    examine_json(&bytes, verdict);
                }
            }
            bytes[offset] = vector.bytes[offset];
        }
    }
}

#[test]
fn streams_are_bounded_by_their_own_limit() {
    let ring = KeyRing::OPEN;
    let mut bytes = vec![0; STREAM_LEN_MAX + 1];
    bytes[..4].copy_from_slice(b"KD\x01\x04");
    let longest = STREAM_LEN_MAX - 72;
    bytes[8..12].copy_from_slice(&u32::try_from(longest).unwrap().to_le_bytes());
    // An immutable record of the longest value, and padding over all that is left.
    bytes[80..84].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    bytes[88] = 1;
    let padding = 92 + (1 << 20);
    let padding_len = u16::try_from(STREAM_LEN_MAX - padding - 4).unwrap();
    bytes[padding + 2..padding + 4].copy_from_slice(&padding_len.to_le_bytes());
    assert_eq!(examine(&bytes[..STREAM_LEN_MAX], &ring, 0, STREAM_LEN_MAX), "ok");
    assert_eq!(examine(&bytes[..STREAM_LEN_MAX], &ring, 0, DATAGRAM_LEN_MAX), "Oversize");
    assert_eq!(examine(&bytes, &ring, 0, STREAM_LEN_MAX), "Oversize");
    examine_json(&bytes[..STREAM_LEN_MAX], "ok");
}

#[test]
fn random_bytes_of_every_length_get_the_verdict_of_the_text() {
    let key = vectors::read("mac")[0].keys[0];
    let rings = [KeyRing::OPEN, KeyRing::new(key, None)];
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for len in 0..=2048 {
        for round in 0..16 {
            let seed = len * 16 + round;
            let mut random = Random(seed);
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            random.fill(&mut bytes);
            if round > 0 && bytes.len() >= 80 {
                make_plausible(&mut bytes, &mut random);
            }
            let ring = &rings[usize::from(random.next().is_multiple_of(2))];
            let datagram = examine(&bytes, ring, 0, DATAGRAM_LEN_MAX);
            let stream = examine(&bytes, ring, 0, STREAM_LEN_MAX);
            assert!(datagram == stream || datagram == "Oversize", "seed {seed}");
            examine_json(&bytes, stream);
            *verdicts.entry(stream).or_default() += 1;
        }
    }
    // What is drawn reaches every check, or it would show little.
    for verdict in ["ok", "Items", "Extension", "ExtensionCount", "Padding", "Store", "Reserved"] {
        assert!(verdicts.contains_key(verdict), "{verdicts:?}");
    }
}

/// Gives random bytes a head that mostly passes, and bodies of small numbers, so that what
/// lies behind is reached.
fn make_plausible(bytes: &mut [u8], random: &mut Random) {
    let mut below = |bound: u64| u8::try_from(random.next() % bound).unwrap();
    bytes[..3].copy_from_slice(b"KD\x01");
    bytes[3] = 1 + below(5);
    bytes[4] = below(2) | if below(2) == 0 { 0x80 } else { 0 };
    bytes[5] &= 0xf0;
    bytes[7] = below(4);
    let mac_len = if bytes[4] & 0x80 != 0 { 8 } else { 0 };
    let body_len = u32::try_from(bytes.len() - 72 - mac_len).unwrap();
    bytes[8..12].copy_from_slice(&body_len.to_le_bytes());
    let (zeros, bound) = (below(4), 2 + u64::from(below(120)));
    for byte in &mut bytes[72..] {
        *byte = if below(4) < zeros { 0 } else { below(bound) };
    }
    // Now and then the last extension is made to end with the body.
    let tail_len = usize::from(below(60)).min(bytes.len() - 72 - mac_len);
    if body_len >= 4 && tail_len >= 4 && below(2) == 0 {
        let start = 72 + usize::try_from(body_len).unwrap() - tail_len;
        bytes[start + 2..start + 4]
            .copy_from_slice(&u16::try_from(tail_len - 4).unwrap().to_le_bytes());
    }
    if below(2) == 0 && tail_len < 60 {
        // A single extension over all that a request without a body has.
        let len = u16::try_from(body_len.saturating_sub(4)).unwrap();
        bytes[72..74].copy_from_slice(&u16::from(below(3)).to_le_bytes());
        bytes[74..76].copy_from_slice(&len.to_le_bytes());
    }
}
