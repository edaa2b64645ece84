//! Values: where they are stored, found, cached and refused.

use std::collections::HashSet;

use kdht_core::{
    Command, Config, Event, Node, Outcome, Report, Request, Standing, Stored, Value, ValuePublisher,
};
use kdht_store::PublisherKey;
use kdht_wire::{
    Contact, Fault, Filter, Flags, Id, Kind, Message, Publisher, Record, key_of_string,
    key_of_value,
};

use crate::common::{Conditions, Datagram, Net, Reply, endpoint, is_reply};

fn immutable(bytes: &[u8], remaining_s: u32) -> (Id, Value) {
    let value = Value { publisher: ValuePublisher::Immutable, remaining_s, bytes: bytes.to_vec() };
    (key_of_value(bytes), value)
}

fn signed(by: u8, key: &Id, sequence: u64, bytes: &[u8]) -> Value {
    let tail = PublisherKey::from_seed(&[by; 32]).sign(key, sequence, &[0; 16], bytes);
    let publisher = ValuePublisher::Signed(tail);
    Value { publisher, remaining_s: 3_600, bytes: bytes.to_vec() }
}

fn stored(report: &Report) -> Stored {
    match report.outcome {
        Outcome::Stored(stored) => stored,
        ref other => panic!("{other:?}"),
    }
}

fn values(report: &Report) -> Vec<Vec<u8>> {
    match &report.outcome {
        Outcome::Values { values, .. } => values.iter().map(|value| value.bytes.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

fn get(key: Id, filter: Filter, values_max: u16) -> Command {
    Command::FindValue { key, filter, values_max, holders: 1 }
}

/// Asks one node for what it holds itself.
fn held_at(net: &mut Net, from: usize, at: usize, key: Id) -> Option<u32> {
    let request = Request::FindValue { key, filter: Filter::Any, cursor: 0 };
    let (endpoint, id) = (net.endpoint(at), Some(net.id(at)));
    let report = net.run(from, Command::Ask { endpoint, id, request, recurse: false });
    let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
    match Message::parse(&bytes).unwrap().body {
        kdht_wire::Body::Values { records, .. } => records.iter().next().map(|r| r.remaining_s),
        _ => None,
    }
}

#[test]
fn a_put_is_held_by_exactly_the_k_closest_and_found_from_everywhere() {
    for (seed, k) in [(1, 20), (2, 8)] {
        let config = Config { k, ..Config::default() };
        let mut net = Net::joined(seed, Conditions::CALM, 60, &config);
        for round in 0..5_u8 {
            let (key, value) = immutable(&[round; 500], 3_600);
            let putter = net.below(60);
            let report = net.run(putter, Command::Put { key, value, cas: None });
            let put = stored(&report);
            let k = u16::from(k);
            assert_eq!((put.asked, put.acknowledged, put.refused), (k, k, 0), "seed {seed}");
            let closest: HashSet<Id> =
                net.sorted_by_distance(&key).into_iter().take(usize::from(k)).collect();
            for at in 0..60 {
                let holds = held_at(&mut net, (at + 1) % 60, at, key).is_some();
                assert_eq!(holds, closest.contains(&net.id(at)), "seed {seed}, node {at}");
            }
            for at in 0..60 {
                let report = net.run(at, get(key, Filter::Any, 1));
                assert_eq!(values(&report), [vec![round; 500]], "seed {seed}, node {at}");
            }
        }
    }
}

#[test]
fn values_of_several_publishers_are_filtered_and_paged_through() {
    let mut net = Net::joined(3, Conditions::CALM, 40, &Config::default());
    let key = key_of_string("crowded");
    // Eleven values of 900 bytes: one fits into a datagram.
    for by in 1..=11 {
        let report =
            net.run(0, Command::Put { key, value: signed(by, &key, 1, &[by; 900]), cas: None });
        assert_eq!(stored(&report).acknowledged, 20);
    }
    for at in [1, 17, 39] {
        let all: HashSet<Vec<u8>> =
            values(&net.run(at, get(key, Filter::Any, 64))).into_iter().collect();
        assert_eq!(all, (1..=11).map(|by| vec![by; 900]).collect());
        assert_eq!(values(&net.run(at, get(key, Filter::Any, 3))).len(), 3);
        let only = Filter::Signed(PublisherKey::from_seed(&[7; 32]).public_key());
        assert_eq!(values(&net.run(at, get(key, only, 64))), [vec![7; 900]]);
        let nobody = Filter::Signed(PublisherKey::from_seed(&[77; 32]).public_key());
        assert!(matches!(net.run(at, get(key, nobody, 64)).outcome, Outcome::NotFound));
        assert!(matches!(net.run(at, get(key, Filter::Immutable, 1)).outcome, Outcome::NotFound));
    }
}

#[test]
fn a_found_value_is_cached_at_the_closest_that_lacked_it_for_a_halved_time() {
    let mut halved = 0;
    for seed in 0..12_u8 {
        let config = Config { k: 8, ..Config::default() };
        let mut net = Net::joined(u64::from(seed), Conditions::CALM, 80, &config);
        let (key, value) = immutable(&[seed; 100], 6_400);
        // Held by one of the ten closest only.
        let rank = usize::from(seed) % 4;
        let id = net.sorted_by_distance(&key)[rank];
        let holder = (0..80).find(|at| net.id(*at) == id).unwrap();
        let request = Request::Store { key, value, cas: None };
        let (endpoint, to) = (net.endpoint(holder), Some(id));
        net.run(holder ^ 1, Command::Ask { endpoint, id: to, request, recurse: false });
        let asker = (0..80).find(|at| ![holder, holder ^ 1].contains(at)).unwrap();
        let report = net.run(asker, get(key, Filter::Any, 1));
        assert_eq!(values(&report), [vec![seed; 100]]);
        net.run_for(1_000);
        let lacked =
            report.path.iter().position(|c| c.standing == Standing::Answered && c.lacked_value);
        let Some(rank) = lacked else { continue };
        let at = net.at_endpoint(&report.path[rank].endpoint).unwrap();
        let left_s = held_at(&mut net, asker, at, key).expect("cached");
        let wanted_s = 6_400 >> rank;
        assert!((wanted_s - 5..=wanted_s).contains(&left_s), "{left_s} s at rank {rank}");
        halved += u32::from(rank > 0);
    }
    assert!(halved > 0, "no case in which a closer node was known");
}

#[test]
fn a_value_is_gone_when_its_time_is_over() {
    let mut net = Net::joined(5, Conditions::CALM, 30, &Config::default());
    let (key, value) = immutable(b"short-lived", 60);
    net.run(0, Command::Put { key, value, cas: None });
    net.run_for(40_000);
    assert_eq!(values(&net.run(25, get(key, Filter::Any, 1))), [b"short-lived"]);
    net.run_for(25_000);
    assert!(matches!(net.run(25, get(key, Filter::Any, 1)).outcome, Outcome::NotFound));
    assert!((0..30).all(|at| net.node(at).usage().values == 0), "nodes drop it by themselves");
}

#[test]
fn a_node_that_leaves_hands_every_value_to_the_closest_that_stay() {
    let config = Config { k: 8, ..Config::default() };
    let mut net = Net::joined(15, Conditions::CALM, 30, &config);
    let keys: Vec<Id> = (0..20)
        .map(|byte| {
            let (key, value) = immutable(&[byte; 100], 3_600);
            net.run(3, Command::Put { key, value, cas: None });
            key
        })
        .collect();
    let leaver = (0..30).max_by_key(|at| net.node(*at).usage().values).unwrap();
    let held = net.node(leaver).usage().values;
    assert!(held > 0);
    net.with(leaver, |node, now, tray| node.drain(now, tray));
    let is_done = |event: &Event| matches!(event, Event::Drained { .. });
    net.run_for(30_000);
    let events = net.events(leaver);
    let drained = events.into_iter().find(is_done).expect("drained");
    assert!(matches!(drained, Event::Drained { handed, kept: 0 } if handed == held));
    net.kill(leaver);
    for key in keys {
        let closest = net.sorted_by_distance(&key).into_iter().take(8);
        for id in closest {
            let at = (0..30).find(|at| net.id(*at) == id).unwrap();
            let from = (0..30).find(|from| ![at, leaver].contains(from)).unwrap();
            assert!(held_at(&mut net, from, at, key).is_some());
        }
    }
}

#[test]
fn an_older_sequence_and_a_failed_comparison_are_refused_everywhere() {
    let mut net = Net::joined(6, Conditions::CALM, 30, &Config::default());
    let key = key_of_string("slot");
    let put = |net: &mut Net, sequence, cas| {
        let value = signed(1, &key, sequence, &sequence.to_le_bytes());
        stored(&net.run(0, Command::Put { key, value, cas }))
    };
    assert_eq!(put(&mut net, 5, None).acknowledged, 20);
    let rollback = put(&mut net, 4, None);
    assert_eq!((rollback.acknowledged, rollback.refused), (0, 20));
    assert_eq!(rollback.fault, Some(Fault::Sequence));
    let failed = put(&mut net, 6, Some(3));
    assert_eq!((failed.acknowledged, failed.fault), (0, Some(Fault::Cas)));
    assert_eq!(values(&net.run(9, get(key, Filter::Any, 1))), [5_u64.to_le_bytes()]);
    assert_eq!(put(&mut net, 6, Some(5)).acknowledged, 20);
    assert_eq!(values(&net.run(9, get(key, Filter::Any, 1))), [6_u64.to_le_bytes()]);
}

#[test]
fn a_store_without_a_cookie_is_refused_once_and_then_done() {
    let mut net = Net::new(7, Conditions::CALM);
    let (asker, holder) = (net.add(Config::default()), net.add(Config::default()));
    let (key, value) = immutable(b"value", 600);
    let request = Request::Store { key, value, cas: None };
    let endpoint = net.endpoint(holder);
    let report = net.run(asker, Command::Ask { endpoint, id: None, request, recurse: false });
    assert_eq!(report.messages, 2);
    assert_eq!(net.node(asker).counters().faults(Fault::Cookie), 1);
    assert_eq!(net.node(holder).usage().values, 1);
}

#[test]
fn a_value_that_does_not_prove_itself_is_held_by_no_node_not_even_the_putter() {
    let mut net = Net::joined(8, Conditions::CALM, 10, &Config::default());
    let (_, value) = immutable(b"value", 600);
    let wrong = key_of_value(b"other");
    let report = net.run(0, Command::Put { key: wrong, value, cas: None });
    assert_eq!((stored(&report).acknowledged, stored(&report).refused), (0, 10));
    assert_eq!(stored(&report).fault, Some(Fault::Hash));
    let held = |node: &Node| node.usage().values;
    assert!((0..10).all(|at| held(net.node(at)) == 0));
}

/// Nodes that hold a value, and a stranger closer to its key whom node 0 has verified and
/// who answers a FIND_VALUE as `lie` says.
fn net_with_liar(
    seed: u64,
    key: &Id,
    mut lie: impl FnMut(&Datagram, u16, Id) -> Vec<u8> + 'static,
) -> Net {
    let mut net = Net::joined(seed, Conditions::CALM, 20, &Config::default());
    let liar = Contact::new(key.with_bit(159, !key.bit(159)), endpoint("30.0.0.1:4000"));
    net.answer_strays(move |sent| {
        if is_reply(&sent.bytes) {
            return Vec::new();
        }
        let bytes = match Message::parse(&sent.bytes).unwrap().body {
            kdht_wire::Body::FindValue(body) => lie(sent, body.cursor.get(), liar.id),
            _ => Reply::default().bytes(&sent.bytes, liar.id, sent.from),
        };
        vec![Datagram { from: sent.to, to: sent.from, bytes }]
    });
    let ping = crate::common::Request::hello(liar.id).bytes();
    let to = net.endpoint(0);
    net.send(Datagram { from: liar.endpoint, to, bytes: ping });
    net.run_for(3_000);
    assert!(net.node(0).good_contacts().any(|contact| contact.id == liar.id));
    net
}

#[test]
fn forged_values_are_dropped_and_counted_and_the_lookup_goes_on() {
    let key = key_of_string("contested");
    let true_value = signed(1, &key, 1, b"true");
    let forged = {
        let mut forged = signed(1, &key, 2, b"false");
        forged.bytes = b"forged".to_vec();
        forged
    };
    let mut net = net_with_liar(9, &key, move |sent, _, id| {
        let plain = Record::whole(Publisher::Immutable, 60, b"not the key's").unwrap();
        let records = [forged.record(), plain];
        let reply = Reply { total: 2, records: &records, ..Reply::default() };
        reply.bytes(&sent.bytes, id, sent.from)
    });
    net.run(5, Command::Put { key, value: true_value, cas: None });
    // Node 0 holds a copy, as all do; another value there is none.
    let asker = net.add(Config { client: true, ..Config::default() });
    net.join(asker, &[0]);
    net.run_until(60_000, |net| net.has_joined(asker));
    let report = net.run(asker, get(key, Filter::Any, 8));
    assert_eq!(values(&report), [b"true"]);
}

#[test]
fn a_lookup_counts_each_forged_value_and_finds_none() {
    let key = key_of_string("forged only");
    let mut net = net_with_liar(10, &key, move |sent, _, id| {
        let records = [Record::whole(Publisher::Immutable, 60, b"false").unwrap(); 3];
        Reply { total: 3, records: &records, ..Reply::default() }.bytes(&sent.bytes, id, sent.from)
    });
    let report = net.run(0, get(key, Filter::Any, 8));
    assert!(matches!(report.outcome, Outcome::NotFound), "{:?}", report.outcome);
    assert_eq!(net.node(0).counters().values_unproven, 3);
    let answered = report.path.iter().filter(|c| c.standing == Standing::Answered).count();
    assert_eq!(answered, 20, "all others were asked as well");
}

#[test]
fn a_holder_that_gives_one_page_only_ends_the_search_with_that_page() {
    let key = key_of_string("two pages");
    for (seed, second) in [(11, "fault"), (12, "contacts"), (13, "nothing"), (14, "empty")] {
        let first = signed(1, &key, 1, b"first page");
        let mut net = net_with_liar(seed, &key, move |sent, cursor, id| {
            let empty = Reply { total: 2, ..Reply::default() };
            if cursor == 0 {
                let records = [first.record()];
                let reply = Reply { records: &records, flags: Flags::MORE, ..empty };
                return reply.bytes(&sent.bytes, id, sent.from);
            }
            match second {
                "fault" => {
                    let reply = Reply { arg: Fault::Busy as u8, ..Reply::default() };
                    reply.bytes_as(Kind::Fault, &sent.bytes, id, sent.from)
                }
                "contacts" => Reply::default().bytes(&sent.bytes, id, sent.from),
                "empty" => empty.bytes(&sent.bytes, id, sent.from),
                _ => Vec::new(),
            }
        });
        let report = net.run(0, get(key, Filter::Any, 8));
        assert_eq!(values(&report), [b"first page"], "second page: {second}");
        assert_eq!(net.node(0).operations(), 0);
    }
}
