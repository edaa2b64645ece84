use std::collections::BTreeMap;

use kdht_kmod_test::{Random, mutate, vectors};
use kdht_wire::{Body, Message};

use crate::{compare, variant};

/// What the harness should print of `bytes`.
fn line(bytes: &[u8]) -> String {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => return variant(error),
    };
    let (items, len) = match message.body {
        Body::Contacts { contacts, .. } => (contacts.len(), 40 * contacts.len()),
        Body::Values { records, .. } => {
            (records.count(), records.iter().map(|record| record.wire_len()).sum())
        }
        Body::Store { record, .. } => (1, record.wire_len()),
        _ => (0, 0),
    };
    format!(
        "ok kind {} items {items} len {len} extensions {} hops {} mac {}",
        message.kind as u8,
        message.extensions.iter().count(),
        message.extensions.forward().map_or(255, |forward| forward.hops),
        u8::from(message.mac.is_some()),
    )
}

#[test]
fn every_vector_gets_its_verdict_from_the_module() {
    let vectors = vectors().unwrap();
    let datagrams: Vec<&[u8]> = vectors.iter().map(|vector| &vector.bytes[..]).collect();
    let expected: Vec<String> = datagrams.iter().map(|bytes| line(bytes)).collect();
    for (vector, expected) in vectors.iter().zip(&expected).filter(|(v, _)| !v.is_stream) {
        match vector.verdict.split_once(' ') {
            None => assert!(expected.starts_with("ok "), "{}: {expected}", vector.name),
            Some(("parse", name)) => assert_eq!(expected, name, "{}", vector.name),
            Some(_) => {}
        }
    }
    compare("parse", &datagrams, &expected);
}

#[test]
fn every_truncation_of_every_vector_gets_the_verdict_of_rust() {
    let vectors = vectors().unwrap();
    let cuts = vectors.iter().flat_map(|vector| {
        let bytes = &vector.bytes[..vector.bytes.len().min(1_300)];
        (0..bytes.len()).map(move |len| &bytes[..len])
    });
    let datagrams: Vec<&[u8]> = cuts.collect();
    let expected: Vec<String> = datagrams.iter().map(|bytes| line(bytes)).collect();
    compare("parse", &datagrams, &expected);
}

#[test]
fn two_hundred_thousand_mutated_datagrams_get_the_verdict_of_rust() {
    let seed = 6;
    let mut random = Random::from_seed(seed);
    let bases: Vec<Vec<u8>> = vectors().unwrap().into_iter().map(|vector| vector.bytes).collect();
    let datagrams: Vec<Vec<u8>> = (0..200_000)
        .map(|_| {
            let base = random.pick(&bases).unwrap().clone();
            let other = random.pick(&bases).unwrap().clone();
            mutate(&base, &other, &mut random)
        })
        .collect();
    let expected: Vec<String> = datagrams.iter().map(|bytes| line(bytes)).collect();

    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for line in &expected {
        *verdicts.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    // Nineteen verdicts there are; a corpus that misses one compares nothing of it.
    assert!(verdicts.len() == 19 && verdicts.values().all(|count| *count > 50), "{verdicts:?}");
    compare("parse", &datagrams, &expected);
}
