//! Outages of a node's own network: nobody is blamed for them.

use std::collections::HashSet;

use kdht_core::{Command, Config, Liveness, Outcome, Standing};
use kdht_wire::Id;

use crate::common::{Conditions, Net};

fn good(net: &Net, at: usize) -> HashSet<Id> {
    net.node(at).good_contacts().map(|contact| contact.id).collect()
}

#[test]
fn an_hours_outage_of_its_own_costs_a_node_no_contact() {
    let mut net = Net::joined(1, Conditions::CALM, 40, &Config::default());
    let (before, own) = (good(&net, 5), net.endpoint(5));
    assert!(before.len() > 20);
    net.cut_off.push(own);
    net.log = Some(Vec::new());
    for _ in 0..12 {
        let target = net.rng.id();
        let report = net.run(5, Command::FindNode { target });
        assert!(matches!(report.outcome, Outcome::Unanswered));
        net.run_for(290_000);
    }
    assert_eq!(good(&net, 5), before, "somebody was blamed");
    assert!(net.node(5).counters().failures_forgiven >= 12);
    let log = net.log.take().unwrap();
    let sent = log.iter().filter(|datagram| datagram.from == own).count();
    // A lookup asks each of 39 once, and there are 4 witnesses a minute.
    assert!(sent <= 12 * 39 + 4 * 66 + 8, "{sent} requests in an hour");
    net.cut_off.clear();
    net.run_for(70_000);
    assert_eq!(net.node(5).counters().outages, 1);
    let target = net.rng.id();
    let report = net.run(5, Command::FindNode { target });
    let answered = report.path.iter().filter(|c| c.standing == Standing::Answered);
    let found: Vec<Id> = answered.map(|c| c.id).take(20).collect();
    let mut truth = net.sorted_by_distance(&target);
    truth.retain(|id| *id != net.id(5));
    assert_eq!(found, truth[..20], "lookups resume");
}

#[test]
fn after_an_outage_those_who_left_meanwhile_are_found_out() {
    let mut net = Net::joined(2, Conditions::CALM, 40, &Config::default());
    let own = net.endpoint(5);
    net.cut_off.push(own);
    let target = net.rng.id();
    net.run(5, Command::FindNode { target });
    net.run_for(60_000);
    for at in 20..40 {
        net.kill(at);
    }
    net.cut_off.clear();
    net.run_for(180_000);
    let left: HashSet<Id> = (20..40).map(|at| net.id(at)).collect();
    let good = good(&net, 5);
    assert!(good.is_disjoint(&left), "believed alive: {}", good.intersection(&left).count());
    assert!(good.len() >= 10, "those who stayed are known: {}", good.len());
}

#[test]
fn a_dead_contact_is_found_out_though_nothing_else_was_going_on() {
    let mut net = Net::joined(3, Conditions::CALM, 6, &Config::default());
    net.run_for(600_000);
    let dead = net.id(3);
    net.kill(3);
    // The only request that is under way is to the dead.
    let request = kdht_core::Request::Ping;
    let (endpoint, id) = (net.endpoint(3), Some(dead));
    net.run(0, Command::Ask { endpoint, id, request, recurse: false });
    net.run_for(30_000);
    let known = net.node(0).members().find(|peer| peer.id == dead).expect("kept");
    assert_ne!(known.liveness(), Liveness::Good);
    assert_eq!(good(&net, 0).len(), 4);
    assert_eq!(net.node(0).counters().outages, 0);
}

#[test]
fn a_node_with_one_contact_blames_it_for_its_silence() {
    let mut net = Net::joined(4, Conditions::CALM, 2, &Config::default());
    net.run_for(600_000);
    net.kill(1);
    let target = net.rng.id();
    net.run(0, Command::FindNode { target });
    assert!(good(&net, 0).is_empty());
}
