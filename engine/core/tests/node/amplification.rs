//! How many bytes a stranger draws, and that replies draw none.

use kdht_core::{Config, Refusal};
use kdht_wire::{
    Body, Contact, Endpoint, Fault, Flags, Id, Kind, Message, Publisher, Record, key_of_value,
};

use crate::common::{Reply, Request, Solo, address, endpoint, is_reply, rng};

const FROM: &str = "70.0.0.1:5000";

/// A node with many contacts that holds a long value.
fn node_with_value(seed: u64) -> (Solo, Id) {
    let (mut solo, _) = Solo::with_contacts(seed, Config::default(), 100);
    let value = [7; 1_000];
    let key = key_of_value(&value);
    let record = Record::whole(Publisher::Immutable, 600, &value).unwrap();
    let holder = address(9_000);
    let cookie = solo.cookie(&holder);
    let mut store = Request::store(key, Id([8; 20]), record, cookie);
    store.flags = Flags::CLIENT;
    solo.hand(&holder, &store.bytes());
    assert_eq!(solo.node.usage().values, 1);
    (solo, key)
}

/// The replies among what is sent to `from`.
fn replies(solo: &mut Solo, from: &Endpoint, bytes: &[u8]) -> Vec<Vec<u8>> {
    let sent = solo.hand(from, bytes);
    sent.into_iter().filter(|s| s.to == *from && is_reply(&s.bytes)).map(|s| s.bytes).collect()
}

#[test]
fn no_request_without_a_cookie_draws_more_than_three_times_its_bytes() {
    let (mut solo, held) = node_with_value(1);
    let from = endpoint(FROM);
    let cookie = solo.cookie(&from);
    let mut rng = rng(11);
    let mut worst = 0.0_f64;
    let value = [3; 400];
    let record = Record::whole(Publisher::Immutable, 600, &value).unwrap();
    let all_flags = [
        Flags::default(),
        Flags::RECURSE,
        Flags::WANT4.with(Flags::WANT6),
        Flags::MORE.with(Flags::FORWARD),
    ];
    for kind in [Kind::Ping, Kind::FindNode, Kind::FindValue, Kind::Store] {
        for target in [held, key_of_value(&value), rng.id()] {
            for flags in all_flags {
                for len_min in (0..=1_232).step_by(7) {
                    for (proven, cookie) in [(false, 0), (false, 12_345), (true, cookie)] {
                        // A lookup done for the asker draws requests to others.
                        if proven && flags.has(Flags::RECURSE) {
                            continue;
                        }
                        let sender = rng.id();
                        let flags = flags.with(Flags::CLIENT);
                        let record = Some(record);
                        let request = Request {
                            flags,
                            cookie,
                            len_min,
                            record,
                            ..Request::new(kind, target, sender)
                        };
                        let bytes = request.bytes();
                        let replies = replies(&mut solo, &from, &bytes);
                        let drawn: usize = replies.iter().map(Vec::len).sum();
                        let what = format!("{kind:?} {flags:?} of {} bytes", bytes.len());
                        assert!(replies.len() <= 1, "{what}");
                        assert!(proven || drawn <= 3 * bytes.len(), "{what} drew {drawn}");
                        if !proven {
                            worst = worst.max(drawn as f64 / bytes.len() as f64);
                        }
                        for reply in &replies {
                            let is_fault = reply[3] == Kind::Fault as u8;
                            assert!(!is_fault || reply.len() <= bytes.len(), "{what}");
                        }
                        solo.now.mono = solo.now.mono.plus_ms(50);
                    }
                }
            }
        }
        // So that a cookie of this round stays good.
        assert_eq!(solo.node.counters().refused(Refusal::Throttled), 0);
    }
    assert!(worst > 2.5, "the limit was never near: {worst}");
}

#[test]
fn three_hundred_bytes_draw_every_contact_and_411_any_value() {
    let (mut solo, held) = node_with_value(2);
    let from = endpoint(FROM);
    for (kind, target, len_min, whole) in [
        (Kind::FindNode, held, 300, true),
        (Kind::FindNode, held, 0, false),
        (Kind::FindValue, held, 411, true),
        (Kind::FindValue, held, 0, false),
    ] {
        let flags = Flags::CLIENT;
        let request = Request { flags, len_min, ..Request::new(kind, target, Id([5; 20])) };
        let reply = replies(&mut solo, &from, &request.bytes()).remove(0);
        let message = Message::parse(&reply).unwrap();
        let more = message.head.flags().has(Flags::MORE);
        assert_eq!(!more, whole, "{kind:?} of {len_min} bytes");
        let items = match message.body {
            Body::Contacts { contacts, reply } => {
                assert_eq!(reply.total.get(), 20);
                contacts.len()
            }
            Body::Values { records, reply } => {
                assert_eq!(reply.total.get(), 1);
                records.count()
            }
            other => panic!("{other:?}"),
        };
        assert!(!whole || items == if kind == Kind::FindNode { 20 } else { 1 });
        assert_eq!(usize::from(message.head.arg), items);
    }
}

#[test]
fn what_does_not_parse_draws_a_fault_no_longer_than_itself_or_nothing() {
    let (mut solo, held) = node_with_value(3);
    let from = endpoint(FROM);
    let mut codes = Vec::new();
    for kind in [Kind::Ping, Kind::FindNode, Kind::FindValue] {
        let bytes = Request { len_min: 150, ..Request::new(kind, held, Id([5; 20])) }.bytes();
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                for len in [24, 60, 71, 72, 100, bytes.len()] {
                    let drawn = replies(&mut solo, &from, &bytes[..len]);
                    solo.now.mono = solo.now.mono.plus_ms(20);
                    for reply in drawn.iter().filter(|reply| reply[3] == Kind::Fault as u8) {
                        assert!(reply.len() <= len, "byte {at} is {value}, {len} bytes");
                        let message = Message::parse(reply).unwrap();
                        let Body::Fault(code, detail) = message.body else { panic!() };
                        assert_eq!(message.head.tx_id.get().to_le_bytes(), bytes[16..24]);
                        assert_eq!((detail.version_min, detail.version_max), (1, 1));
                        codes.push(code);
                    }
                }
            }
        }
    }
    for code in [Fault::Version, Fault::Kind, Fault::Malformed] {
        assert!(codes.contains(&code), "{code:?}");
    }
}

#[test]
fn nothing_is_ever_sent_in_answer_to_a_reply_or_a_fault() {
    let (mut solo, known) = Solo::with_contacts(4, Config::default(), 20);
    let other = Solo::with_contacts(5, Config::default(), 20);
    let mut other = other.0;
    let from = known[0].endpoint;
    let named = [Contact::new(Id([9; 20]), endpoint("40.0.0.1:4000"))];
    for kind in Kind::ALL {
        let asked = if kind == Kind::Fault { Kind::Ping } else { kind };
        let record = Record::whole(Publisher::Immutable, 60, b"v").unwrap();
        let request =
            Request { record: Some(record), ..Request::new(asked, Id([1; 20]), Id([2; 20])) };
        let arg = u8::from(matches!(kind, Kind::Store | Kind::Fault));
        let contacts = if kind == Kind::FindNode { &named[..] } else { &[] };
        let reply = Reply { arg, contacts, ..Reply::default() };
        let sound = reply.bytes_as(kind, &request.bytes(), known[0].id, from);
        // Sound, of another version, of an unknown kind, cut, and with a wrong length.
        let mut spoiled = vec![sound.clone(); 5];
        spoiled[1][2] = 2;
        spoiled[2][3] = 77;
        spoiled[3].truncate(72);
        spoiled[4][8] ^= 1;
        for bytes in spoiled {
            assert!(solo.hand(&from, &bytes).is_empty(), "{kind:?}");
            assert!(other.hand(&endpoint(FROM), &bytes).is_empty(), "{kind:?}");
        }
    }
}

#[test]
fn two_nodes_of_different_versions_fall_silent_after_one_fault() {
    let (mut old, mut new) = (Solo::new(6, Config::default()), Solo::new(7, Config::default()));
    let (old_at, new_at) = (address(1), address(2));
    // What a node of version 2 would send: only the invariant fields are as we know them.
    let mut request = Request::new(Kind::FindNode, Id([1; 20]), Id([2; 20])).bytes();
    request[2] = 2;
    let faults = old.hand(&new_at, &request);
    assert_eq!(faults.len(), 1);
    let mut fault = faults[0].bytes.clone();
    assert!(matches!(Message::parse(&fault).unwrap().body, Body::Fault(Fault::Version, _)));
    assert!(new.hand(&old_at, &fault).is_empty());
    // The same FAULT, spoofed as the newer node's, in its version.
    fault[2] = 2;
    assert!(old.hand(&new_at, &fault).is_empty());
    assert_eq!(old.node.counters().refused(Refusal::Version), 2);
}

/// Replies and the pings that follow, to an endpoint that never answers, over two minutes.
#[test]
fn a_silent_victim_draws_no_more_than_three_times_what_was_sent_in_its_name() {
    let (mut solo, held) = node_with_value(5);
    let mut rng = rng(55);
    let mut number = 20_000;
    for kind in [Kind::Ping, Kind::FindNode, Kind::FindValue, Kind::Store] {
        for len_min in [0, 80, 88, 100, 200, 300, 352, 411, 464, 800, 1_232] {
            number += 1;
            let victim = address(number);
            let value = [3; 40];
            let record = Some(Record::whole(Publisher::Immutable, 600, &value).unwrap());
            let request = Request { len_min, record, ..Request::new(kind, held, rng.id()) };
            let asked = request.bytes();
            let mut sent = solo.hand(&victim, &asked);
            for _ in 0..240 {
                sent.extend(solo.wait_ms(500));
            }
            let drawn: usize = sent.iter().filter(|s| s.to == victim).map(|s| s.bytes.len()).sum();
            let len = asked.len();
            assert!(drawn <= 3 * len, "{kind:?} of {len} bytes drew {drawn}");
        }
    }
}
