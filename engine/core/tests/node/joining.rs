//! Entering the network against odds.

use kdht_core::{Command, Config, Event};

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
