//! The datagrams in `vectors/`: what they are, and that the crate reads and writes them.

use std::collections::BTreeSet;
use std::hash::Hasher;

use ed25519_dalek::{Signature, VerifyingKey};
use kdht_wire::{
    Body, EXT_FORWARD, Emit, FindValueBody, Flags, Forward, Head, Id, MacError, Message,
    NetworkKey, ParseError, Publisher, Record, StoreBody, key_of_string, key_of_value,
    signing_input,
};
use siphasher::sip::SipHasher24;
use zerocopy::IntoBytes;

#[cfg(feature = "json")]
use crate::support::compare_or_bless;
#[cfg(not(feature = "json"))]
use crate::support::repository_file;
use crate::support::vectors::{self, FILES, Vector};
use crate::support::{catalogue, hex, reference, variant};

#[cfg(feature = "json")]
#[test]
fn files_are_what_the_catalogue_says() {
    for file in FILES {
        let written: String = catalogue::vectors(file)
            .into_iter()
            .map(|mut vector| {
                if vector.verdict == "ok" {
                    vector.json = Some(kdht_wire::json::to_json(&vector.bytes).unwrap());
                }
                vector.write()
            })
            .collect();
        assert!(written.lines().all(|line| line.len() <= 8192), "{file}: the README's limit");
        assert!(written.is_ascii(), "{file}: the README's alphabet");
        compare_or_bless(&vectors::path(file), &written);
    }
}

#[cfg(not(feature = "json"))]
#[test]
fn files_but_for_their_json_are_what_the_catalogue_says() {
    for file in FILES {
        let found = std::fs::read_to_string(repository_file(&vectors::path(file))).unwrap();
        let found: Vec<&str> = found.lines().filter(|line| !line.starts_with("json: ")).collect();
        let written: String = catalogue::vectors(file).iter().map(Vector::write).collect();
        assert_eq!(written.lines().collect::<Vec<_>>(), found);
    }
}

#[test]
fn every_vector_gets_the_verdict_that_the_catalogue_expects() {
    for vector in FILES.into_iter().flat_map(catalogue::vectors) {
        assert_eq!(vector.judge(), vector.verdict, "{}", vector.name);
        if let Some(error) = vector.verdict.strip_prefix("parse ") {
            assert_eq!(reference::verdict(&vector.bytes, vector.len_max()), error);
        }
    }
}

#[test]
fn every_file_reads_as_it_was_written() {
    let mut names = BTreeSet::new();
    for file in FILES {
        let mut catalogue = catalogue::vectors(file).into_iter();
        for vector in vectors::read(file) {
            assert!(names.insert(vector.name.clone()), "{} stands twice", vector.name);
            assert_eq!(vector.json.is_some(), vector.verdict == "ok", "{}", vector.name);
            let expected = catalogue.next().unwrap();
            assert_eq!(Vector { json: None, ..vector }, expected);
        }
        assert_eq!(catalogue.next(), None);
    }
}

#[test]
fn every_error_has_a_vector() {
    let parse = [
        ParseError::Short { have: 0 },
        ParseError::Oversize,
        ParseError::Magic,
        ParseError::Version(0),
        ParseError::Reserved,
        ParseError::Length { declared: 0 },
        ParseError::Kind(0),
        ParseError::FaultRequest,
        ParseError::FaultCode(0),
        ParseError::Body,
        ParseError::Items,
        ParseError::Filter(0),
        ParseError::ValueKind(0),
        ParseError::ValueLength(0),
        ParseError::Store,
        ParseError::Extension,
        ParseError::ExtensionCount,
        ParseError::Padding,
    ];
    let mac = [
        MacError::Short,
        MacError::Missing,
        MacError::Unexpected,
        MacError::UnknownKey(0),
        MacError::Wrong,
        MacError::Stale { skew_s: 0 },
    ];
    let parse = parse.into_iter().map(|error| format!("parse {}", variant(error)));
    let mac = mac.into_iter().map(|error| format!("mac {}", variant(error)));
    let shown: BTreeSet<String> = vectors::read_all().into_iter().map(|v| v.verdict).collect();
    for error in parse.chain(mac) {
        assert!(shown.contains(&error), "{error}");
    }
}

#[test]
fn every_sound_vector_is_emitted_as_it_was_read() {
    for vector in vectors::read_all().into_iter().filter(|vector| vector.verdict == "ok") {
        let message = vector.parse(&vector.bytes).unwrap();
        let mut again = emit_again(&message, &vector.keys);
        if message.mac.is_none() {
            // An emitter tells no key where it uses none; receivers ignore it there.
            again[6] = message.head.key_id;
        }
        assert_eq!(hex(&again), hex(&vector.bytes), "{}", vector.name);
    }
}

/// The bytes of a message, laid out anew from what was read of it.
fn emit_again(message: &Message<'_>, keys: &[NetworkKey]) -> Vec<u8> {
    let key = message.mac.map(|_| keys.iter().find(|key| key.id == message.head.key_id).unwrap());
    let mut buf = vec![0xaa; 4096];
    let mut head: Head = *message.head;
    if matches!(message.body, Body::Contacts { .. } | Body::Values { .. }) {
        head.arg = 0;
    }
    let mut emit = Emit::stream(&mut buf, head, key).unwrap();
    match message.body {
        Body::Ping | Body::FindNode | Body::Fault(..) => {}
        Body::FindValue(body) => emit.body(body).unwrap(),
        Body::Store { store, record } => {
            emit.body(store).unwrap();
            emit.store_record(&record).unwrap();
        }
        Body::PingReply(reply) | Body::StoreReply(reply) => emit.body(reply).unwrap(),
        Body::Contacts { reply, contacts } => {
            emit.body(reply).unwrap();
            contacts.iter().for_each(|contact| emit.contact(contact).unwrap());
        }
        Body::Values { reply, records } => {
            emit.body(reply).unwrap();
            records.iter().for_each(|record| emit.record(&record).unwrap());
        }
    }
    for extension in message.extensions.iter() {
        emit.extension(extension.kind, extension.data).unwrap();
    }
    let len = emit.finish();
    buf.truncate(len);
    buf
}

#[cfg(feature = "json")]
#[test]
fn every_json_form_makes_the_bytes_that_it_came_from() {
    for vector in vectors::read_all().into_iter().filter(|vector| vector.verdict == "ok") {
        let json = vector.json.as_deref().unwrap();
        let bytes = kdht_wire::json::from_json(json).unwrap();
        assert_eq!(hex(&bytes), hex(&vector.bytes), "{}", vector.name);
        assert_eq!(kdht_wire::json::to_json(&vector.bytes).as_deref(), Ok(json));
        let pretty = kdht_wire::json::to_json_pretty(&vector.bytes).unwrap();
        assert_eq!(kdht_wire::json::from_json(&pretty).as_deref(), Ok(&*vector.bytes));
    }
}

#[test]
fn a_ping_is_the_bytes_that_the_text_describes() {
    let expected = concat!(
        "4b44",                                     // magic
        "01",                                       // version
        "01",                                       // kind: PING
        "8000",                                     // flags: KEYED
        "07",                                       // key_id
        "00",                                       // arg
        "00000000",                                 // body_len
        "00f15365",                                 // time_s: 1700000000
        "0706050403020103",                         // tx_id, its top byte last
        "0000000000000000",                         // cookie
        "202122232425262728292a2b2c2d2e2f30313233", // target
        "404142434445464748494a4b4c4d4e4f50515253", // sender
    );
    let vectors = vectors::read("ping");
    let found = vectors.iter().find(|vector| vector.name == "ping_request_keyed").unwrap();
    let (head, mac) = found.bytes.split_at(72);
    assert_eq!(hex(head), expected);
    let mut sip = SipHasher24::new_with_key(&found.keys[0].secret);
    sip.write(head);
    assert_eq!(mac, sip.finish().to_le_bytes());
}

#[test]
fn the_mac_is_siphash_2_4_as_published() {
    // The 15-byte example of the SipHash paper, appendix A.
    let key = NetworkKey { id: 1, secret: std::array::from_fn(|at| u8::try_from(at).unwrap()) };
    let input: Vec<u8> = (0..15).collect();
    assert_eq!(key.mac(&input), 0xa129_ca61_49be_45e5_u64.to_le_bytes());
}

#[test]
fn signatures_stamps_and_keys_in_the_vectors_are_real() {
    let (mut signed, mut hashed, mut stamped) = (0, 0, 0);
    for vector in vectors::read_all().into_iter().filter(|vector| vector.verdict == "ok") {
        let message = vector.parse(&vector.bytes).unwrap();
        let key = message.head.target;
        let records: Vec<Record<'_>> = match message.body {
            Body::Store { record, .. } => vec![record],
            Body::Values { records, .. } => records.iter().collect(),
            _ => vec![],
        };
        let alone = records.len() == 1;
        for record in records.into_iter().filter(|record| !record.is_announced()) {
            match record.publisher {
                Publisher::Signed(tail) => {
                    assert_eq!(key, key_of_string("example"));
                    let sequence = tail.sequence.get();
                    let input = signing_input(&key, sequence, &tail.salt, record.value);
                    let signature = Signature::from_bytes(&tail.signature);
                    let public_key = VerifyingKey::from_bytes(&tail.public_key).unwrap();
                    public_key.verify_strict(&input, &signature).unwrap();
                    signed += 1;
                }
                // Beside others, an immutable value stands there for its layout only.
                Publisher::Immutable if alone => {
                    assert_eq!(key, key_of_value(record.value), "{}", vector.name);
                    hashed += 1;
                }
                Publisher::Immutable | Publisher::Plain(_) => {}
            }
        }
        if let Some(forward) = message.extensions.forward() {
            let stamp =
                Forward::stamp(forward.tx_id, &forward.origin, forward.epoch_s, &vector.keys[0]);
            assert_eq!(forward.stamp.get(), stamp);
            let of_kind = message.extensions.iter().filter(|e| e.kind == EXT_FORWARD).count();
            assert_eq!(of_kind, 1);
            stamped += 1;
        }
    }
    assert!(signed >= 5 && hashed >= 5 && stamped >= 2, "{signed} {hashed} {stamped}");
}

#[test]
fn what_is_signed_is_laid_out_as_the_text_says() {
    let input = signing_input(&Id([0x11; 20]), 0x0102_0304_0506_0708, &[0x22; 16], b"hello");
    let expected = concat!(
        "6b6468742d76616c75650100",
        "1111111111111111111111111111111111111111",
        "0807060504030201",
        "22222222222222222222222222222222",
        // printf hello | sha256sum
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    );
    assert_eq!(hex(&input), expected);
}

#[test]
fn a_fault_is_never_longer_than_a_head_and_a_mac() {
    for vector in vectors::read("fault") {
        let mac_len = if vector.keys.is_empty() { 0 } else { 8 };
        assert_eq!(vector.bytes.len(), 72 + mac_len, "{}", vector.name);
    }
}

#[test]
fn every_flag_and_filter_stands_in_a_vector() {
    let mut flags = Flags::default();
    let mut filters = BTreeSet::new();
    let mut unconditional = false;
    for vector in vectors::read_all().into_iter().filter(|vector| vector.verdict == "ok") {
        let message = vector.parse(&vector.bytes).unwrap();
        flags = flags.with(message.head.flags());
        match message.body {
            Body::FindValue(FindValueBody { filter, .. }) => drop(filters.insert(*filter)),
            Body::Store { store, .. } => {
                unconditional |= store.cas.get() == StoreBody::UNCONDITIONAL;
            }
            _ => {}
        }
    }
    assert_eq!(flags.0, !Flags::RESERVED_ZERO.0);
    assert_eq!(filters, BTreeSet::from([0, 1, 2, 3]));
    assert!(unconditional);
}

#[test]
fn extension_bytes_are_the_struct_as_it_lies_in_memory() {
    let vectors = vectors::read("find_node");
    let found = vectors.iter().find(|vector| vector.name == "find_node_request_forwarded").unwrap();
    let message = found.parse(&found.bytes).unwrap();
    let forward = message.extensions.forward().unwrap();
    assert_eq!(forward.as_bytes(), &found.bytes[76..116]);
    assert_eq!(forward.hops, Forward::HOPS_MAX);
}
