//! Private networks: members work, strangers are not even answered.

use kdht_core::{Command, Config, Outcome, Refusal, Value, ValuePublisher};
use kdht_wire::{Endpoint, Filter, Flags, HEAD_LEN, Id, KeyRing, Kind, NetworkKey, key_of_value};

use crate::common::{Conditions, Net, Request, Solo, endpoint, is_reply};

const OURS: NetworkKey = NetworkKey { id: 1, secret: [0x11; 16] };
const NEXT: NetworkKey = NetworkKey { id: 2, secret: [0x22; 16] };
const THEIRS: NetworkKey = NetworkKey { id: 1, secret: [0x99; 16] };

fn config(keys: KeyRing) -> Config {
    Config { keys, ..Config::default() }
}

fn keyed(key: Option<NetworkKey>) -> Request<'static> {
    let request = Request::new(Kind::FindNode, Id([1; 20]), Id([2; 20]));
    Request { key, flags: Flags::CLIENT, ..request }
}

fn put_and_get(net: &mut Net, from: usize, at: usize, bytes: &[u8]) {
    let key = key_of_value(bytes);
    let value =
        Value { publisher: ValuePublisher::Immutable, remaining_s: 600, bytes: bytes.to_vec() };
    let report = net.run(from, Command::Put { key, value, cas: None });
    let Outcome::Stored(stored) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!((stored.asked, stored.acknowledged), (20, 20));
    let report =
        net.run(at, Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 });
    assert!(matches!(report.outcome, Outcome::Values { .. }), "{:?}", report.outcome);
}

#[test]
fn a_keyed_network_joins_stores_and_finds_and_every_datagram_is_keyed() {
    let mut net = Net::new(1, Conditions::CALM);
    net.log = Some(Vec::new());
    for at in 0..40 {
        net.add(config(KeyRing::new(OURS, None)));
        if at > 0 {
            net.join(at, &[at / 2]);
            net.run_until(60_000, |net| net.has_joined(at));
            assert!(net.has_joined(at));
        }
    }
    put_and_get(&mut net, 3, 33, b"private");
    for sent in net.log.take().unwrap() {
        KeyRing::new(OURS, None).verify(&sent.bytes, net.now().unix_s).unwrap();
    }
    assert!((0..40).all(|at| net.node(at).counters().refused_total() == 0));
}

#[test]
fn a_node_of_another_network_never_gets_in() {
    for keys in [KeyRing::new(THEIRS, None), KeyRing::OPEN] {
        let mut net = Net::joined(2, Conditions::CALM, 10, &config(KeyRing::new(OURS, None)));
        let stranger = net.add(config(keys));
        net.join(stranger, &[0, 1, 2]);
        net.run_for(30_000);
        assert!(!net.has_joined(stranger));
        assert_eq!(net.node(stranger).counters().datagrams_in, 0, "no answer at all");
        let own = net.id(stranger);
        assert!((0..10).all(|at| net.node(at).members().all(|peer| peer.id != own)));
    }
}

#[test]
fn what_a_stranger_sends_to_a_keyed_node_is_dropped_by_its_reason_without_an_answer() {
    let mut solo = Solo::new(3, config(KeyRing::new(OURS, None)));
    let from = endpoint("60.0.0.1:5000");
    let good = keyed(Some(OURS)).bytes();
    assert_eq!(solo.hand(&from, &good).len(), 1);
    let now_s = i64::from(solo.now.unix_s);
    let aged = |seconds: i64| {
        let time_s = u32::try_from(now_s + seconds).unwrap();
        Request { time_s, ..keyed(Some(OURS)) }.bytes()
    };
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut cases = vec![
        (Refusal::MacMissing, keyed(None).bytes()),
        (Refusal::MacWrong, keyed(Some(THEIRS)).bytes()),
        (Refusal::MacKey, keyed(Some(NEXT)).bytes()),
        (Refusal::MacWrong, flipped),
        (Refusal::Stale, aged(-121)),
        (Refusal::Stale, aged(121)),
        (Refusal::Short, good[..HEAD_LEN + 7].to_vec()),
    ];
    for cut in 1..8 {
        cases.push((
            if good.len() - cut < HEAD_LEN + 8 { Refusal::Short } else { Refusal::MacWrong },
            good[..good.len() - cut].to_vec(),
        ));
    }
    // Every bit counts, also those of fields that nobody looks at.
    for byte in 0..good.len() {
        let mut bytes = good.clone();
        bytes[byte] ^= 0x40;
        let sent = solo.hand(&from, &bytes);
        assert!(sent.is_empty(), "byte {byte}");
    }
    for (reason, bytes) in cases {
        let before = solo.node.counters().refused(reason);
        assert!(solo.hand(&from, &bytes).is_empty(), "{reason:?}");
        assert_eq!(solo.node.counters().refused(reason), before + 1, "{reason:?}");
    }
    assert_eq!(solo.hand(&from, &aged(-120)).len(), 1);
    assert_eq!(solo.hand(&from, &aged(120)).len(), 1);
    assert_eq!(solo.node.members().count(), 0);
}

#[test]
fn a_keyed_datagram_is_dropped_by_an_open_node() {
    let mut solo = Solo::new(4, Config::default());
    assert!(solo.hand(&endpoint("60.0.0.1:5000"), &keyed(Some(OURS)).bytes()).is_empty());
    assert_eq!(solo.node.counters().refused(Refusal::MacUnexpected), 1);
}

#[test]
fn a_recorded_request_is_dropped_after_121_seconds() {
    let mut solo = Solo::new(5, config(KeyRing::new(OURS, None)));
    let from = endpoint("60.0.0.1:5000");
    let recorded = keyed(Some(OURS)).bytes();
    for (age_s, is_answered) in [(0, true), (120, true), (121, false), (100_000, false)] {
        let mut later = solo.now;
        later.unix_s += age_s;
        later.mono = later.mono.plus_ms(u64::from(age_s) * 1_000);
        let before = std::mem::replace(&mut solo.now, later);
        assert_eq!(solo.hand(&from, &recorded).len(), usize::from(is_answered), "{age_s} s");
        solo.now = before;
    }
    assert_eq!(solo.node.counters().refused(Refusal::Stale), 2);
}

#[test]
fn a_request_bounced_back_as_a_reply_does_not_verify() {
    let mut solo = Solo::new(6, config(KeyRing::new(OURS, None)));
    let to: Endpoint = endpoint("60.0.0.1:5000");
    let request = kdht_core::Request::Ping;
    let ask = Command::Ask { endpoint: to, id: None, request, recurse: false };
    solo.node.begin(solo.now, ask, &mut solo.tray).unwrap();
    let mut sent = Vec::new();
    solo.tray.drain(|_, bytes| sent.push(bytes.to_vec()));
    let mut bounced = sent.remove(0);
    assert!(solo.hand(&to, &bounced).is_empty(), "as it is");
    assert_eq!(solo.node.counters().refused(Refusal::OwnId), 1);
    bounced[4] |= 1;
    assert!(solo.hand(&to, &bounced).is_empty() && is_reply(&bounced));
    assert_eq!(solo.node.counters().refused(Refusal::MacWrong), 1);
    assert!(solo.node.poll_event().is_none());
}

#[test]
fn keys_rotate_while_the_network_runs() {
    // First all also verify the next key, then they sign with it, then they drop the old.
    let steps = [
        KeyRing::new(OURS, None),
        KeyRing::new(OURS, Some(NEXT)),
        KeyRing::new(NEXT, Some(OURS)),
        KeyRing::new(NEXT, None),
    ];
    let mut net = Net::joined(7, Conditions::CALM, 30, &config(steps[0]));
    for (step, keys) in steps.iter().enumerate().skip(1) {
        for at in 0..30 {
            net.with(at, |node, _, _| node.set_keys(*keys));
            if at % 10 == 0 {
                let bytes = [u8::try_from(step * 30 + at).unwrap(); 50];
                put_and_get(&mut net, at, 29 - at, &bytes);
            }
        }
        // What still travels under the key that the next step drops.
        net.run_for(10_000);
    }
    for at in 0..30 {
        let counters = net.node(at).counters();
        assert_eq!(counters.refused(Refusal::MacKey) + counters.refused(Refusal::MacWrong), 0);
    }
}
