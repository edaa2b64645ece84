//! What strangers may send.

use std::collections::BTreeMap;
use std::time::Instant;

use kdht_core::Refusal;
use kdht_kmod::Settings;
use kdht_kmod_test::{Random, is_passed, mutate, vectors};
use kdht_wire::{DATAGRAM_LEN_MAX, KeyRing, Kind, Message, Outline};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, V6};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("5,000 mutated datagrams are passed and refused as the engine would", judges_mutants),
    ("every length from nothing to 2,048 is survived", survives_every_length),
    ("a source that asks too much is not served, and another is", throttles_a_source),
];

/// Allows whatever comes.
const UNLIMITED: Settings = Settings {
    allowance: Some((1_000_000_000, 1_000_000_000)),
    answer: None,
    k: None,
    value_len_max: None,
    cookie_secret: None,
    keys: None,
    routing: None,
    rules: None,
};

/// Why the engine would refuse it; nothing if it is served or passed.
fn refusal(bytes: &[u8]) -> Option<Refusal> {
    if is_passed(bytes, false, |_| true) {
        return None;
    }
    if bytes.len() > DATAGRAM_LEN_MAX {
        return Some(Refusal::Oversize);
    }
    let outline = Outline::parse(bytes).map_err(Refusal::from);
    let member = KeyRing::OPEN.verify(bytes, 0).map_err(Refusal::from);
    let parsed = Message::parse(bytes).map(|_| ()).map_err(Refusal::from);
    outline.map(|_| ()).and(member).and(parsed).err()
}

fn judges_mutants(_: &Module) {
    let mut random = Random::from_seed(11);
    let bases: Vec<Vec<u8>> = vectors().unwrap().into_iter().map(|vector| vector.bytes).collect();
    let daemon = Daemon::answering(V4, UNLIMITED);
    let client = Client::of(daemon.addr());
    let mut expected = BTreeMap::new();
    let mut passed = 0;
    for number in 0..5_000 {
        let base = random.pick(&bases).unwrap();
        let mut bytes = mutate(base, random.pick(&bases).unwrap(), &mut random);
        bytes.truncate(1_400);
        passed += u64::from(is_passed(&bytes, false, |_| true));
        if let Some(reason) = refusal(&bytes) {
            *expected.entry(reason as usize).or_insert(0) += 1;
        }
        client.send(&bytes);
        // So that neither side's queue overflows, whoever is slow.
        if number % 50 == 49 {
            client.drain();
        }
    }
    let counts = daemon.status().counts;
    for (at, (_, name)) in Refusal::NAMED.iter().enumerate() {
        let wanted = expected.get(&at).copied().unwrap_or(0);
        assert_eq!(counts.refused[at], wanted, "{name}");
    }
    assert_eq!(counts.passed, passed);
    assert!(expected.len() > 8, "{expected:?}");
    client.ask(&Request::of(Kind::Ping).bytes());
}

fn survives_every_length(_: &Module) {
    for ip in [V4, V6] {
        let daemon = Daemon::answering(ip, UNLIMITED);
        let client = Client::of(daemon.addr());
        let mut long = Request { total: DATAGRAM_LEN_MAX, ..Request::of(Kind::Ping) }.bytes();
        long.resize(2_048, 0);
        for len in 0..=long.len() {
            client.send(&long[..len]);
            if len % 50 == 49 {
                client.drain();
            }
        }
        let fresh = Client::of(daemon.addr());
        fresh.ask(&Request::of(Kind::Ping).bytes());
    }
}

fn throttles_a_source(_: &Module) {
    let allowance = Some((1, 10));
    let daemon = Daemon::answering(V4, Settings { allowance, ..Settings::default() });
    let ping = Request::of(Kind::Ping).bytes();
    let client = Client::of(daemon.addr());
    let begun = Instant::now();
    (0..10).for_each(|_| drop(client.ask(&ping)));
    (0..50).for_each(|_| client.send(&ping));
    let refused = daemon.status().counts.refused[Refusal::Throttled as usize];
    // Each second earns one more, and the first may have begun before.
    let earned = begun.elapsed().as_secs() + 1;
    assert!(refused <= 50 && refused + earned >= 50, "{refused} refused, {earned} earned");
    // On loopback each endpoint is a source of its own.
    Client::of(daemon.addr()).ask(&ping);
}
