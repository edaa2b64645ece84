use kdht_kmod_test::{Random, mutate, vectors};
use kdht_wire::{Flags, HEAD_LEN, KeyRing, MAC_LEN, Message, NetworkKey};

use crate::{compare, ring_bytes, variant};

fn record(ring: &KeyRing, now_s: u32, datagram: &[u8]) -> Vec<u8> {
    let mut record = ring_bytes(ring);
    record.extend_from_slice(&now_s.to_le_bytes());
    record.extend_from_slice(datagram);
    record
}

fn verdict(ring: &KeyRing, now_s: u32, datagram: &[u8]) -> String {
    ring.verify(datagram, now_s).map_or_else(variant, |()| "ok".to_owned())
}

#[test]
fn every_vector_gets_its_membership_from_the_module() {
    let vectors = vectors().unwrap();
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for vector in &vectors {
        let ring = vector.key_ring();
        let verdict = verdict(&ring, vector.now_s, &vector.bytes);
        if let Some(("mac", name)) = vector.verdict.split_once(' ') {
            assert_eq!(verdict, name, "{}", vector.name);
        }
        records.push(record(&ring, vector.now_s, &vector.bytes));
        expected.push(verdict);
    }
    compare("mac", &records, &expected);
}

#[test]
fn mutated_keyed_datagrams_get_the_membership_of_rust() {
    let mut random = Random::from_seed(81);
    let bases: Vec<Vec<u8>> = vectors().unwrap().into_iter().map(|vector| vector.bytes).collect();
    let first = NetworkKey { id: 7, secret: random.bytes() };
    let second = NetworkKey { id: 9, secret: random.bytes() };
    let rings = [KeyRing::OPEN, KeyRing::new(first, None), KeyRing::new(first, Some(second))];
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..20_000 {
        let mut bytes = mutate(random.pick(&bases).unwrap(), &bases[0], &mut random);
        let now_s = 1_700_000_000;
        if bytes.len() >= HEAD_LEN + MAC_LEN && random.below(4) > 0 {
            // Signed by one of the keys, at about now: most verify, some are just too old.
            let key = *random.pick(&[first, second]).unwrap();
            let signed = bytes.len() - MAC_LEN;
            let skew = u32::try_from(random.below(245)).unwrap();
            bytes[4] |= u8::try_from(Flags::KEYED.0).unwrap();
            bytes[6] = key.id;
            bytes[12..16].copy_from_slice(&(now_s - 122 + skew).to_le_bytes());
            let mac = key.mac(&bytes[..signed]);
            bytes[signed..].copy_from_slice(&mac);
        }
        let ring = random.pick(&rings).unwrap();
        expected.push(verdict(ring, now_s, &bytes));
        records.push(record(ring, now_s, &bytes));
    }
    for name in ["ok", "Short", "Missing", "Unexpected", "UnknownKey", "Wrong", "Stale"] {
        let count = expected.iter().filter(|verdict| *verdict == name).count();
        assert!(count > 50, "{name}: {count}");
    }
    compare("mac", &records, &expected);
}

#[test]
fn a_mac_of_any_length_is_that_of_rust() {
    // A message of every length whose padding ends anywhere in a word of SipHash.
    let key = NetworkKey { id: 1, secret: *b"sixteen bytes....".first_chunk().unwrap() };
    let ring = KeyRing::new(key, None);
    let head = kdht_wire::Head::request(
        kdht_wire::Kind::Ping,
        5,
        kdht_wire::Id::ZERO,
        kdht_wire::Id::ZERO,
    );
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for total in 80..=1_232 {
        let mut buf = [0; 1_232];
        let mut emit = kdht_wire::Emit::datagram(&mut buf, head, Some(&key), 1_232).unwrap();
        emit.pad_to(total);
        let len = emit.finish();
        assert!(Message::parse(&buf[..len]).is_ok());
        records.push(record(&ring, 0, &buf[..len]));
        expected.push("ok".to_owned());
    }
    compare("mac", &records, &expected);
}
