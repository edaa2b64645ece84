//! Values of several holders: all publishers, and of each the newest.

use std::collections::HashSet;

use kdht_core::{Command, Config, Outcome, Report, Request as Ask, Value, ValuePublisher};
use kdht_store::PublisherKey;
use kdht_wire::{Filter, Id, key_of_string};

use crate::common::{Conditions, Net};

fn signed(by: u8, key: &Id, sequence: u64, bytes: &[u8]) -> Value {
    let tail = PublisherKey::from_seed(&[by; 32]).sign(key, sequence, &[0; 16], bytes);
    let publisher = ValuePublisher::Signed(tail);
    Value { publisher, remaining_s: 3_600, bytes: bytes.to_vec() }
}

/// Stores a value at the node of this rank in distance to the key, and nowhere else.
fn store_at(net: &mut Net, rank: usize, key: Id, value: Value) -> usize {
    let id = net.sorted_by_distance(&key)[rank];
    let at = (0..net.len()).find(|at| net.id(*at) == id).unwrap();
    let from = usize::from(at == 0);
    let (endpoint, id) = (net.endpoint(at), Some(id));
    let request = Ask::Store { key, value, cas: None };
    net.run(from, Command::Ask { endpoint, id, request, recurse: false });
    assert!(net.node(at).usage().values > 0);
    at
}

fn collect(net: &mut Net, at: usize, key: Id, holders: u8) -> Report {
    net.run(at, Command::FindValue { key, filter: Filter::Any, values_max: 64, holders })
}

fn bytes(report: &Report) -> HashSet<Vec<u8>> {
    match &report.outcome {
        Outcome::Values { values, .. } => values.iter().map(|v| v.bytes.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

/// A network of 60 in which somebody far from the key looks for it.
fn net(seed: u64, key: &Id) -> (Net, usize) {
    let mut config = Config { republish_s: 0, handovers_max: 0, ..Config::default() };
    config.store.value_len_max = 1 << 20;
    let net = Net::joined(seed, Conditions::CALM, 60, &config);
    let farthest = *net.sorted_by_distance(key).last().unwrap();
    let asker = (0..60).find(|at| net.id(*at) == farthest).unwrap();
    (net, asker)
}

#[test]
fn all_publishers_are_found_though_each_holder_knows_one_only() {
    for seed in 0..6 {
        let key = key_of_string("scattered");
        let (mut net, asker) = net(seed, &key);
        for (rank, by) in [(0, 1), (3, 2), (7, 3), (12, 4), (19, 5)] {
            store_at(&mut net, rank, key, signed(by, &key, 1, &[by; 700]));
        }
        let all: HashSet<Vec<u8>> = (1..=5).map(|by| vec![by; 700]).collect();
        assert_eq!(bytes(&collect(&mut net, asker, key, 20)), all, "seed {seed}");
        assert_eq!(bytes(&collect(&mut net, asker, key, 1)).len(), 1, "seed {seed}");
    }
}

#[test]
fn of_one_publisher_the_highest_sequence_wins_wherever_it_is_held() {
    for newest in [0, 5, 19] {
        let key = key_of_string("renewed");
        let (mut net, asker) = net(7, &key);
        for rank in [0, 2, 5, 9, 19] {
            let sequence = if rank == newest { 9 } else { 1 + rank as u64 % 3 };
            store_at(&mut net, rank, key, signed(1, &key, sequence, &sequence.to_le_bytes()));
        }
        let found = bytes(&collect(&mut net, asker, key, 20));
        assert_eq!(found, HashSet::from([9_u64.to_le_bytes().to_vec()]), "newest at {newest}");
    }
}

#[test]
fn a_quorum_is_made_of_the_closest_holders_and_ends_the_lookup() {
    let key = key_of_string("quorum");
    let (mut net, asker) = net(8, &key);
    for (rank, by) in [(0, 1), (1, 2), (2, 3), (18, 4), (19, 5)] {
        store_at(&mut net, rank, key, signed(by, &key, 1, &[by; 20]));
    }
    let three = collect(&mut net, asker, key, 3);
    assert!(bytes(&three).is_superset(&(1..=3).map(|by| vec![by; 20]).collect()));
    let Outcome::Values { holder: Some((holder, _)), .. } = three.outcome else { panic!() };
    assert_eq!(holder, net.sorted_by_distance(&key)[0]);
}

#[test]
fn each_holders_pages_are_turned() {
    let key = key_of_string("many pages");
    let (mut net, asker) = net(9, &key);
    for by in 1..=6 {
        store_at(&mut net, 0, key, signed(by, &key, 1, &[by; 900]));
        store_at(&mut net, 8, key, signed(10 + by, &key, 1, &[10 + by; 900]));
    }
    assert_eq!(bytes(&collect(&mut net, asker, key, 20)).len(), 12);
}

#[test]
fn what_this_node_holds_itself_is_collected_with_the_others() {
    let key = key_of_string("partly here");
    let (mut net, _) = net(10, &key);
    let here = store_at(&mut net, 4, key, signed(1, &key, 1, b"here"));
    store_at(&mut net, 6, key, signed(2, &key, 1, b"there"));
    let both = HashSet::from([b"here".to_vec(), b"there".to_vec()]);
    assert_eq!(bytes(&collect(&mut net, here, key, 20)), both);
}

#[test]
fn where_nobody_holds_it_nothing_is_found_and_the_lookup_ends() {
    let key = key_of_string("nowhere");
    let (mut net, asker) = net(11, &key);
    let report = collect(&mut net, asker, key, 20);
    assert!(matches!(report.outcome, Outcome::NotFound), "{:?}", report.outcome);
    let dead = store_at(&mut net, 3, key, signed(1, &key, 1, b"gone"));
    net.kill(dead);
    let report = collect(&mut net, asker, key, 20);
    assert!(matches!(report.outcome, Outcome::NotFound), "{:?}", report.outcome);
}

#[test]
fn values_that_no_datagram_carries_are_fetched_once_though_several_hold_them() {
    let key = key_of_string("large");
    let (mut net, asker) = net(12, &key);
    for (rank, by) in [(0, 1), (2, 1), (5, 1), (3, 2), (9, 3)] {
        store_at(&mut net, rank, key, signed(by, &key, 1, &vec![by; 20_000]));
    }
    store_at(&mut net, 7, key, signed(1, &key, 2, &[9; 5_000]));
    let report = collect(&mut net, asker, key, 20);
    let wanted = HashSet::from([vec![9; 5_000], vec![2; 20_000], vec![3; 20_000]]);
    assert_eq!(bytes(&report), wanted);
}

#[test]
fn a_holder_that_does_not_give_what_it_announced_hides_no_value_of_others() {
    for seed in 0..6 {
        let key = key_of_string("hidden");
        let (mut net, asker) = net(40 + seed, &key);
        for rank in [0, 2, 5, 9] {
            let at = store_at(&mut net, rank, key, signed(1, &key, 1, &[1; 20_000]));
            if rank < 9 {
                net.streams.closed.push(at);
            }
        }
        let report = collect(&mut net, asker, key, 20);
        assert_eq!(bytes(&report), HashSet::from([vec![1; 20_000]]), "seed {seed}");
    }
}
