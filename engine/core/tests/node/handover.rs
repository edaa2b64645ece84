//! Hand-over: a newcomer that is closer to a key gets its values, from the closest holder.

use std::collections::HashMap;

use kdht_core::{Command, Config, Node, Outcome, Value, ValuePublisher};
use kdht_wire::{Id, Kind, Message, key_of_value};

use crate::common::{Conditions, Net, address, is_reply};

fn config(k: u8) -> Config {
    // What newcomers get, they get by being handed it.
    Config { k, republish_s: 0, ..Config::default() }
}

fn put(net: &mut Net, bytes: &[u8]) -> Id {
    let value =
        Value { publisher: ValuePublisher::Immutable, remaining_s: 80_000, bytes: bytes.to_vec() };
    let key = key_of_value(bytes);
    let report = net.run(0, Command::Put { key, value, cas: None });
    assert!(matches!(report.outcome, Outcome::Stored(stored) if stored.acknowledged > 0));
    key
}

fn handovers(net: &Net) -> u64 {
    (0..net.len()).map(|at| net.node(at).counters().handovers).sum()
}

fn add_at(net: &mut Net, id: Id, k: u8) -> usize {
    let endpoint = address(net.len());
    let newcomer = net.add_as(id, endpoint, config(k));
    net.join(newcomer, &[1]);
    net.run_until(60_000, |net| net.has_joined(newcomer));
    newcomer
}

#[test]
fn a_newcomer_that_is_closest_gets_the_value_within_seconds_and_once() {
    let mut net = Net::joined(1, Conditions::CALM, 50, &config(8));
    let key = put(&mut net, b"for whoever is closest");
    net.log = Some(Vec::new());
    let newcomer = add_at(&mut net, key.with_bit(159, !key.bit(159)), 8);
    net.run_for(20_000);
    assert_eq!(net.node(newcomer).usage().values, 1);
    let to = net.endpoint(newcomer);
    let stores = net.log.take().unwrap().into_iter().filter(|sent| {
        let kind = Message::parse(&sent.bytes).unwrap().head.kind;
        sent.to == to && !is_reply(&sent.bytes) && kind == Kind::Store as u8
    });
    assert_eq!(stores.count(), 1, "only the closest holder hands it over");
}

#[test]
fn a_newcomer_farther_than_the_closest_holder_is_handed_nothing() {
    let mut net = Net::joined(2, Conditions::CALM, 50, &config(8));
    let key = put(&mut net, b"not for everybody");
    let newcomer = add_at(&mut net, key.with_bit(0, !key.bit(0)), 8);
    net.run_for(20_000);
    assert_eq!((net.node(newcomer).usage().values, handovers(&net)), (0, 0));
}

#[test]
fn the_closest_node_of_each_key_holds_it_while_a_network_doubles() {
    let mut net = Net::joined(3, Conditions::CALM, 30, &config(8));
    let keys: Vec<Id> = (0..60_u8).map(|byte| put(&mut net, &[byte; 40])).collect();
    for _ in 0..30 {
        let id = net.rng.id();
        add_at(&mut net, id, 8);
        net.run_for(5_000);
    }
    net.run_for(30_000);
    let mut missing = 0;
    for key in &keys {
        let closest = net.sorted_by_distance(key)[0];
        let at = (0..net.len()).find(|at| net.id(*at) == closest).unwrap();
        let from = usize::from(at == 0);
        let filter = kdht_wire::Filter::Any;
        let request = kdht_core::Request::FindValue { key: *key, filter, cursor: 0 };
        let (endpoint, id) = (net.endpoint(at), Some(closest));
        let report = net.run(from, Command::Ask { endpoint, id, request, recurse: false });
        let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
        let body = Message::parse(&bytes).unwrap().body;
        missing += u32::from(!matches!(body, kdht_wire::Body::Values { .. }));
    }
    assert_eq!(missing, 0, "of {} keys", keys.len());
}

#[test]
fn a_store_full_of_values_is_handed_over_a_few_at_a_time() {
    let mut net = Net::joined(4, Conditions::CALM, 3, &config(2));
    for byte in 0..250_u8 {
        put(&mut net, &[byte; 30]);
    }
    let holds = |node: &Node| node.usage().values;
    let id = net.rng.id();
    let endpoint = address(net.len());
    let newcomer = net.add_as(id, endpoint, config(2));
    net.join(newcomer, &[1]);
    let mut most: HashMap<usize, usize> = HashMap::new();
    for _ in 0..300 {
        net.run_for(100);
        for at in 0..3 {
            let running = net.node(at).operations();
            most.entry(at).and_modify(|most| *most = running.max(*most)).or_insert(running);
        }
    }
    assert!(most.values().all(|most| *most <= 8 + 4), "{most:?} at once");
    let closest = |net: &Net, byte: u8| net.sorted_by_distance(&key_of_value(&[byte; 30]))[0] == id;
    let due = (0..250).filter(|byte| closest(&net, *byte)).count();
    assert!(due > 20 && holds(net.node(newcomer)) as usize >= due, "{due} due");
}

#[test]
fn a_node_told_so_hands_nothing_over() {
    let never = Config { handovers_max: 0, ..config(8) };
    let mut net = Net::joined(5, Conditions::CALM, 30, &never);
    let key = put(&mut net, b"kept");
    add_at(&mut net, key.with_bit(159, !key.bit(159)), 8);
    net.run_for(20_000);
    assert_eq!(handovers(&net), 0);
}
