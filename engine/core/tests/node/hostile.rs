//! Bytes that no node would send.

use kdht_core::{Config, Counters};
use kdht_wire::{Contact, Flags, Id, KeyRing, Kind, NetworkKey, Publisher, Record, key_of_value};

use crate::common::{Reply, Request, Solo, endpoint, rng};

const FROM: &str = "70.0.0.1:5000";

/// A datagram of every kind, requests and replies.
fn corpus(key: Option<NetworkKey>) -> Vec<Vec<u8>> {
    let value = [7; 300];
    let immutable = Record::whole(Publisher::Immutable, 600, &value).unwrap();
    let id = Id([3; 20]);
    let plain = Record::whole(Publisher::Plain(&id), 600, &value[..10]).unwrap();
    let tail = kdht_store::PublisherKey::from_seed(&[1; 32]).sign(&id, 1, &[0; 16], &value);
    let signed = Record::whole(Publisher::Signed(&tail), 600, &value).unwrap();
    let mut all = Vec::new();
    for kind in [Kind::Ping, Kind::FindNode, Kind::FindValue, Kind::Store] {
        for record in [immutable, plain, signed] {
            for (flags, len_min) in [(0, 0), (0x64, 400), (0x0e, 1_232)] {
                let target = key_of_value(&value);
                let flags = Flags(flags);
                let record = Some(record);
                let request =
                    Request { flags, len_min, record, key, ..Request::new(kind, target, id) };
                all.push(request.bytes());
            }
        }
    }
    let requests = all.clone();
    let named = [Contact::new(id, endpoint("40.0.0.1:4000")); 8];
    for request in requests.iter().filter(|_| key.is_none()) {
        for kind in Kind::ALL {
            let (contacts, records, total) = match kind {
                Kind::FindNode => (&named[..], &[][..], 8),
                Kind::FindValue => (&[][..], &[immutable, signed][..], 2),
                _ => (&[][..], &[][..], 0),
            };
            let arg = u8::from(matches!(kind, Kind::Store | Kind::Fault));
            let reply = Reply { total, contacts, records, arg, ..Reply::default() };
            all.push(reply.bytes_as(kind, request, id, endpoint(FROM)));
        }
    }
    all
}

fn taken(counters: &Counters) -> u64 {
    Kind::ALL.iter().map(|k| counters.requests_in.of(*k) + counters.replies_in.of(*k)).sum()
}

/// Hands in bytes and checks that they were counted once.
fn hand(solo: &mut Solo, bytes: &[u8], context: &str) {
    let before = *solo.node.counters();
    solo.now.mono = solo.now.mono.plus_ms(5);
    solo.hand(&endpoint(FROM), bytes);
    let after = solo.node.counters();
    let refused = after.refused_total() - before.refused_total();
    let served = taken(after) - taken(&before);
    assert_eq!(after.datagrams_in - before.datagrams_in, 1);
    assert!(refused == 1 || refused == 0 && served == 1, "{context}: {refused}, {served}");
}

fn still_serves(solo: &mut Solo) {
    let key = solo.node.config().keys.signing().copied();
    let request = Request { key, ..Request::new(Kind::Ping, Id([5; 20]), Id([5; 20])) };
    solo.wait_ms(10_000);
    let sent = solo.hand(&endpoint("71.0.0.1:5000"), &request.bytes());
    assert!(!sent.is_empty());
}

fn nodes(seed: u64) -> [(Solo, Option<NetworkKey>); 2] {
    let key = NetworkKey { id: 1, secret: [0x11; 16] };
    let keyed = Config { keys: KeyRing::new(key, None), ..Config::default() };
    let open = Solo::with_contacts(seed, Config::default(), 40).0;
    [(open, None), (Solo::new(seed, keyed), Some(key))]
}

#[test]
fn random_bytes_of_every_length_are_counted_once_and_harm_nothing() {
    for (mut solo, _) in nodes(1) {
        let mut rng = rng(1);
        for len in 0..=2_048_usize {
            for sound in [0, 2, 4, 24] {
                let mut bytes: Vec<u8> = Vec::new();
                while bytes.len() < len {
                    bytes.extend(rng.next_u64().to_le_bytes());
                }
                bytes.truncate(len);
                // As much of a sound head as `sound` says.
                let body_len = u32::try_from(len.saturating_sub(72)).unwrap().to_le_bytes();
                let kind = u8::try_from(1 + len % 5).unwrap();
                let head = [b'K', b'D', 1, kind, 0, 0, 0, 0];
                for (at, byte) in head.iter().chain(&body_len).enumerate().take(sound.min(len)) {
                    bytes[at] = *byte;
                }
                hand(&mut solo, &bytes, &format!("{len} bytes, {sound} sound"));
            }
        }
        still_serves(&mut solo);
    }
}

#[test]
fn every_truncation_and_many_mutations_are_counted_once_and_harm_nothing() {
    for (mut solo, key) in nodes(2) {
        let mut rng = rng(2);
        for (index, bytes) in corpus(key).iter().enumerate() {
            for len in (0..bytes.len()).filter(|len| len % 5 == 0 || *len < 100) {
                hand(&mut solo, &bytes[..len], &format!("message {index} cut to {len}"));
            }
            for round in 0..150 {
                let mut mutated = bytes.clone();
                for _ in 0..=rng.below(4) {
                    let at = usize::try_from(rng.below(mutated.len() as u64)).unwrap();
                    let [to, how, ..] = rng.next_u64().to_le_bytes();
                    mutated[at] = match how % 4 {
                        0 => 0,
                        1 => 0xff,
                        2 => mutated[at] ^ (1 << (to % 8)),
                        _ => to,
                    };
                }
                if let Some(key) = key {
                    // Half of them come from a member gone mad.
                    let end = mutated.len() - 8;
                    let mac = key.mac(&mutated[..end]);
                    if round % 2 == 0 {
                        mutated[end..].copy_from_slice(&mac);
                    }
                }
                hand(&mut solo, &mutated, &format!("message {index}, mutation {round}"));
            }
        }
        still_serves(&mut solo);
    }
}
