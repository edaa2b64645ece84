//! Entering the network against odds.

use std::collections::HashSet;

use kdht_core::{Command, Config, Event};
use kdht_wire::Id;

use crate::common::{Conditions, Net, endpoint};

#[test]
fn a_join_tries_again_until_somebody_answers() {
    let mut net = Net::new(1, Conditions::CALM);
    let config = Config::default();
    let (first, second) = (net.add(config.clone()), net.add(config));
    net.kill(first);
    net.join(second, &[first]);
    net.run_for(10_000);
    let failed = |event: &Event| matches!(event, Event::JoinFailed { tried: 1, .. });
    assert!(net.events(second).iter().filter(|event| failed(event)).count() >= 2);
    net.restart(first);
    net.run_until(70_000, |net| net.has_joined(second));
    assert!(net.has_joined(second));
}

#[test]
fn a_node_whose_operations_are_all_taken_joins_all_the_same() {
    // One place for an operation, taken while the bootstrap node's answer comes.
    let mut net = Net::joined(2, Conditions::CALM, 20, &Config::default());
    let newcomer = net.add(Config { operations_max: 1, ..Config::default() });
    net.join(newcomer, &[0]);
    let request = kdht_core::Request::Ping;
    let silent = endpoint("50.0.0.1:4000");
    net.begin(newcomer, Command::Ask { endpoint: silent, id: None, request, recurse: false });
    net.run_until(120_000, |net| net.has_joined(newcomer));
    assert!(net.has_joined(newcomer));
}

#[test]
fn a_join_that_can_send_nothing_ends_without_exhausting_the_stack() {
    // One request in flight: every lookup of the refresh ends as soon as it begins.
    for pending_max in [1, 2, 5] {
        let mut net = Net::joined(3, Conditions::CALM, 100, &Config::default());
        let newcomer = net.add(Config { pending_max, ..Config::default() });
        net.join(newcomer, &[0]);
        net.run_until(120_000, |net| net.has_joined(newcomer));
        assert!(net.has_joined(newcomer), "{pending_max} requests in flight");
    }
}

/// In how many quarters of their range these ids lie; all of them share the first bit.
fn quarters(ids: impl Iterator<Item = Id>) -> usize {
    ids.map(|id| id.0[0] >> 5 & 3).collect::<HashSet<_>>().len()
}

#[test]
fn a_newcomers_farthest_bucket_is_filled_from_all_over_its_range() {
    for seed in 0..3 {
        let config = Config { k: 8, ..Config::default() };
        let mut net = Net::joined(seed, Conditions::CALM, 300, &config);
        let (mut held, mut by_chance) = (0, 0);
        for at in 200..300 {
            let own = net.id(at);
            let is_far = |id: &Id| id.shared_prefix(&own) == 0;
            held += quarters(net.node(at).members().map(|peer| peer.id).filter(is_far));
            // Eight different ones of all that are in the range, as chance has it.
            let mut there = net.sorted_by_distance(&own);
            there.retain(is_far);
            let mut drawn = Vec::new();
            for _ in 0..8 {
                let count = u64::try_from(there.len()).unwrap();
                let index = usize::try_from(net.rng.below(count)).unwrap();
                drawn.push(there.swap_remove(index));
            }
            by_chance += quarters(drawn.into_iter());
        }
        // The nodes around one id lie in half as many.
        assert!(
            10 * held >= 9 * by_chance,
            "seed {seed}: {held} quarters, and {by_chance} by chance"
        );
    }
}
