//! Refresh of idle ranges: each on its own, none too often, no two nodes in step.

use std::collections::HashSet;

use kdht_core::{Command, Config, NS_PER_S};
use kdht_wire::{Endpoint, Id, Kind, Message};

use crate::common::{Conditions, Datagram, Net, is_reply};

const HOUR_MS: u64 = 3_600_000;

/// The targets of the FIND_NODE requests that `from` sent, without repetitions.
fn looked_up(log: &[Datagram], from: &Endpoint) -> Vec<Id> {
    let mut targets = Vec::new();
    for sent in log.iter().filter(|sent| sent.from == *from && !is_reply(&sent.bytes)) {
        let head = Message::parse(&sent.bytes).unwrap().head;
        let is_new = !targets.contains(&head.target);
        if head.kind == Kind::FindNode as u8 && is_new {
            targets.push(head.target);
        }
    }
    targets
}

#[test]
fn each_idle_range_is_looked_up_once_within_the_hour() {
    for b in [1, 3] {
        let config = Config { k: 4, b, ..Config::default() };
        let mut net = Net::joined(1, Conditions::CALM, 60, &config);
        // Until no range is split any more.
        net.run_for(2 * HOUR_MS);
        let before: Vec<u64> = (0..60).map(|at| net.node(at).counters().refreshes).collect();
        net.log = Some(Vec::new());
        net.run_for(HOUR_MS + HOUR_MS / 16);
        let log = net.log.take().unwrap();
        for at in [0, 17, 59] {
            let (own, from) = (net.id(at), net.endpoint(at));
            let targets = looked_up(&log, &from);
            // Ranges of the first classes, each halved until its depth is a multiple of b.
            let deepest = net.node(at).members().map(|peer| peer.id.shared_prefix(&own)).max();
            let depth = deepest.unwrap().min(3);
            for class in 0..=depth {
                let bits = (class + 1).next_multiple_of(b);
                let hit: HashSet<Vec<bool>> = targets
                    .iter()
                    .filter(|target| target.shared_prefix(&own) == class)
                    .map(|target| (0..bits).map(|bit| target.bit(bit)).collect())
                    .collect();
                let known: HashSet<Vec<bool>> = net
                    .node(at)
                    .members()
                    .filter(|peer| peer.id.shared_prefix(&own) == class)
                    .filter(|peer| net.node(at).bucket_depth(peer) >= bits)
                    .map(|peer| (0..bits).map(|bit| peer.id.bit(bit)).collect())
                    .collect();
                assert!(known.is_subset(&hit), "b {b}, node {at}: a range of class {class} missed");
            }
            let refreshes = net.node(at).counters().refreshes - before[at];
            let buckets = net.node(at).fill()[0].buckets as u64;
            assert!(refreshes <= 2 * buckets, "{refreshes} refreshes of {buckets} buckets");
        }
    }
}

#[test]
fn a_range_in_which_something_was_looked_up_is_not_refreshed() {
    let mut net = Net::joined(2, Conditions::CALM, 40, &Config::default());
    let own = net.id(7);
    let far = |net: &mut Net| net.rng.id().with_bit(0, !own.bit(0));
    for _ in 0..12 {
        net.run_for(HOUR_MS / 8);
        let target = far(&mut net);
        net.run(7, Command::FindNode { target });
    }
    net.log = Some(Vec::new());
    for _ in 0..8 {
        let target = far(&mut net);
        net.run(7, Command::FindNode { target });
        let log = net.log.as_mut().unwrap();
        log.clear();
        net.run_for(HOUR_MS / 8);
        let from = net.endpoint(7);
        let targets = looked_up(net.log.as_ref().unwrap(), &from);
        assert!(targets.iter().all(|target| target.bit(0) == own.bit(0)));
    }
}

#[test]
fn nodes_that_started_together_do_not_refresh_together() {
    let mut net = Net::joined(3, Conditions::CALM, 50, &Config::default());
    let begun = net.now().mono;
    let mut first_s = Vec::new();
    let mut waiting: Vec<usize> = (0..50).collect();
    while net.now().mono.since(begun) < 5_000 * NS_PER_S {
        net.run_for(10_000);
        waiting.retain(|at| {
            let is_waiting = net.node(*at).counters().refreshes == 0;
            if !is_waiting {
                first_s.push(net.now().mono.since(begun) / NS_PER_S);
            }
            is_waiting
        });
    }
    assert!(waiting.is_empty(), "{} nodes never refreshed", waiting.len());
    let spread = first_s.last().unwrap() - first_s.first().unwrap();
    assert!(spread > 300, "all within {spread} s");
    let most = (0..5_000).step_by(10).map(|s| first_s.iter().filter(|at| **at == s).count()).max();
    assert!(most.unwrap() <= 10, "{most:?} of 50 in the same ten seconds");
}

#[test]
fn neither_a_client_nor_a_node_told_so_refreshes() {
    let mut net = Net::joined(4, Conditions::CALM, 20, &Config::default());
    for config in
        [Config { client: true, ..Config::default() }, Config { refresh_s: 0, ..Config::default() }]
    {
        let at = net.add(config);
        net.join(at, &[0]);
        net.run_until(60_000, |net| net.has_joined(at));
        net.run_for(3 * HOUR_MS);
        assert_eq!(net.node(at).counters().refreshes, 0);
    }
}
