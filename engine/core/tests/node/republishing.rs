//! Republish: values outlive their holders, not their time, and one holder works for all.

use kdht_core::{Command, Config, Outcome, Value, ValuePublisher};
use kdht_wire::{Filter, Id, Kind, key_of_value};

use crate::common::{Conditions, Net};

const HOUR_MS: u64 = 3_600_000;

fn config(k: u8) -> Config {
    Config { k, ..Config::default() }
}

fn put(net: &mut Net, at: usize, bytes: &[u8], remaining_s: u32) -> Id {
    let value = Value { publisher: ValuePublisher::Immutable, remaining_s, bytes: bytes.to_vec() };
    let key = key_of_value(bytes);
    let report = net.run(at, Command::Put { key, value, cas: None });
    assert!(matches!(report.outcome, Outcome::Stored(stored) if stored.acknowledged > 0));
    key
}

fn holders(net: &Net) -> Vec<usize> {
    (0..net.len()).filter(|at| net.is_alive(*at) && net.node(*at).usage().values > 0).collect()
}

fn republishes(net: &Net) -> u64 {
    let live = (0..net.len()).filter(|at| net.is_alive(*at));
    live.map(|at| net.node(at).counters().republishes).sum()
}

/// Seconds that each live node says the value has left.
fn left_s(net: &mut Net, from: usize, key: Id) -> Vec<u32> {
    let mut found = Vec::new();
    for at in holders(net) {
        let request = kdht_core::Request::FindValue { key, filter: Filter::Any, cursor: 0 };
        let (endpoint, id) = (net.endpoint(at), Some(net.id(at)));
        let report = net.run(from, Command::Ask { endpoint, id, request, recurse: false });
        let Outcome::Reply { bytes, .. } = report.outcome else { continue };
        if let kdht_wire::Body::Values { records, .. } =
            kdht_wire::Message::parse(&bytes).unwrap().body
        {
            found.extend(records.iter().map(|record| record.remaining_s));
        }
    }
    found
}

#[test]
fn a_value_survives_while_a_third_of_its_holders_leaves_every_hour() {
    let mut net = Net::joined(1, Conditions::CALM, 60, &config(6));
    let key = put(&mut net, 0, b"survivor", 86_000);
    for hour in 0..17 {
        for at in holders(&net).into_iter().step_by(3).take(2) {
            net.kill(at);
        }
        net.run_for(HOUR_MS / 2);
        // Others come, so that the network does not run out of nodes.
        for _ in 0..2 {
            let newcomer = net.add(config(6));
            let by = (0..net.len() - 1).find(|at| net.is_alive(*at)).unwrap();
            net.join(newcomer, &[by]);
        }
        net.run_for(HOUR_MS * 7 / 10);
        let closest: Vec<Id> = net.sorted_by_distance(&key).into_iter().take(6).collect();
        let held = holders(&net).into_iter().filter(|at| closest.contains(&net.id(*at))).count();
        assert!(held >= 4, "hour {hour}: {held} of the 6 closest hold it");
    }
}

#[test]
fn one_of_the_holders_republishes_for_all() {
    let mut net = Net::joined(2, Conditions::CALM, 40, &Config::default());
    put(&mut net, 0, b"one for all", 86_000);
    assert_eq!(holders(&net).len(), 20);
    net.run_for(10 * HOUR_MS);
    let count = republishes(&net);
    // Each of 20 holders every hour would be 200 times.
    assert!((9..=24).contains(&count), "{count} times in ten hours");
}

#[test]
fn a_store_within_the_hour_spares_the_republish() {
    let mut net = Net::joined(3, Conditions::CALM, 30, &Config::default());
    for _ in 0..24 {
        put(&mut net, 0, b"put all the time", 80_000);
        net.run_for(HOUR_MS / 2);
    }
    assert_eq!(republishes(&net), 0);
}

#[test]
fn what_remains_of_a_life_is_republished_and_never_raised() {
    let mut net = Net::joined(4, Conditions::CALM, 40, &config(8));
    let key = put(&mut net, 0, b"mortal", 20_000);
    let begun = net.now().mono;
    for round in 0..5 {
        net.run_for(HOUR_MS);
        // New holders: the closest are gone.
        let closest = net.sorted_by_distance(&key)[0];
        let at = (0..net.len()).find(|at| net.id(*at) == closest).unwrap();
        if at != 1 {
            net.kill(at);
        }
        net.run_for(HOUR_MS / 20);
        let truth_s = 20_000 - net.now().mono.since(begun) / 1_000_000_000;
        let left_s = left_s(&mut net, 1, key);
        assert!(left_s.len() >= 6, "round {round}: {} holders", left_s.len());
        for left in left_s {
            assert!(u64::from(left) <= truth_s, "round {round}: {left} s, not {truth_s}");
            assert!(u64::from(left) + 30 > truth_s, "round {round}: {left} s of {truth_s}");
        }
    }
    net.run_for(2 * HOUR_MS);
    assert!(holders(&net).is_empty(), "it outlived its time");
}

#[test]
fn a_store_full_of_values_is_republished_a_few_at_a_time() {
    let mut net = Net::joined(5, Conditions::CALM, 12, &config(2));
    let mut keys = Vec::new();
    for byte in 0..200_u8 {
        keys.push(put(&mut net, usize::from(byte) % 12, &[byte; 50], 86_000));
    }
    let mut most = 0;
    for _ in 0..72 * 60 {
        net.run_for(1_000);
        most = (0..12).map(|at| net.node(at).operations()).max().unwrap().max(most);
    }
    assert!(republishes(&net) >= 200, "{} of 200", republishes(&net));
    // 4 republishes and as many refreshes.
    assert!(most <= 8, "{most} operations of one node at once");
}

#[test]
fn who_reached_nobody_tries_again_before_the_hour_is_over() {
    let mut net = Net::joined(6, Conditions::CALM, 20, &config(3));
    put(&mut net, 0, b"alone", 86_000);
    let holder = holders(&net)[0];
    let own = net.endpoint(holder);
    let stores = |net: &Net| net.node(holder).counters().requests_out.of(Kind::Store);
    net.cut_off.push(own);
    net.run_for(2 * HOUR_MS);
    let before = stores(&net);
    net.cut_off.clear();
    net.run_for(HOUR_MS * 6 / 10);
    assert!(stores(&net) > before, "a failed attempt counted as done");
}

#[test]
fn a_node_told_so_republishes_nothing() {
    let never = Config { republish_s: 0, ..Config::default() };
    let mut net = Net::joined(7, Conditions::CALM, 10, &never);
    put(&mut net, 0, b"left alone", 86_000);
    net.run_for(5 * HOUR_MS);
    assert_eq!(republishes(&net), 0);
}
