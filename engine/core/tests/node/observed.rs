//! What a node learns about its own endpoint, and what it does with it.

use kdht_core::{Command, Config, Event, Outcome, Standing};
use kdht_wire::{Contact, Endpoint, Id};

use crate::common::{Conditions, Net, Reply, Request, Solo, address, endpoint, rng};

/// Lets the node ping `contact`, which tells it that it is seen at `seen`.
fn tell(solo: &mut Solo, contact: &Contact, seen: Endpoint) {
    let (endpoint, request) = (contact.endpoint, kdht_core::Request::Ping);
    let ping = Command::Ask { endpoint, id: Some(contact.id), request, recurse: false };
    solo.node.begin(solo.now, ping, &mut solo.tray).unwrap();
    for sent in solo.wait_ms(1) {
        let pong = Reply::default().bytes(&sent.bytes, contact.id, seen);
        solo.hand(&contact.endpoint, &pong);
    }
    while solo.node.poll_event().is_some() {}
}

#[test]
fn each_node_of_a_network_learns_where_others_see_it() {
    for seed in 0..3 {
        let net = Net::joined(seed, Conditions::CALM, 12, &Config::default());
        for at in 0..net.len() {
            let learned = net.node(at).observed_endpoint(true);
            assert_eq!(learned, Some(net.endpoint(at)), "seed {seed}, node {at}");
            assert_eq!(net.node(at).observed_endpoint(false), None);
        }
    }
}

#[test]
fn a_node_behind_a_nat_that_gives_it_another_endpoint_learns_that_too() {
    let mut net = Net::joined(5, Conditions::CALM, 20, &Config::default());
    let (before, after) = (net.endpoint(7), endpoint("90.0.0.7:61000"));
    assert_eq!(net.node(7).observed_endpoint(true), Some(before));
    net.events(7);
    net.renumber(7, after);
    for _ in 0..10 {
        let target = net.rng.id();
        net.run(7, Command::FindNode { target });
    }
    assert_eq!(net.node(7).observed_endpoint(true), Some(after));
    let told = |event: &Event| match event {
        Event::Observed { before, after } => Some((*before, *after)),
        _ => None,
    };
    let told: Vec<_> = net.events(7).iter().filter_map(told).collect();
    assert_eq!(told, [(Some(before), Some(after))]);
}

#[test]
fn neither_one_liar_nor_a_whole_subnet_makes_a_node_believe_anything() {
    let mut rng = rng(6);
    let (own, lie) = (endpoint("70.0.0.1:4000"), endpoint("8.8.8.8:53"));
    let mut solo = Solo::new(6, Config::default());
    for host in 1..=250 {
        let liar = Contact::new(rng.id(), endpoint(&format!("60.1.1.{host}:4000")));
        tell(&mut solo, &liar, lie);
        assert_eq!(solo.node.observed_endpoint(true), None);
    }
    for at in 0..3 {
        tell(&mut solo, &Contact::new(rng.id(), address(100 + at)), own);
    }
    assert_eq!(solo.node.observed_endpoint(true), Some(own));
    for host in 1..=250 {
        let liar = Contact::new(rng.id(), endpoint(&format!("60.1.2.{host}:4000")));
        tell(&mut solo, &liar, lie);
        assert_eq!(solo.node.observed_endpoint(true), Some(own));
    }
}

#[test]
fn what_was_told_is_the_own_endpoint_whatever_others_see() {
    let (told, seen) = (endpoint("70.0.0.1:4000"), endpoint("70.0.0.9:9"));
    let config = Config { advertise: [Some(told), None], ..Config::default() };
    let mut solo = Solo::new(7, config);
    assert_eq!(solo.node.own_endpoint(true), Some(told));
    let mut rng = rng(7);
    for at in 0..5 {
        tell(&mut solo, &Contact::new(rng.id(), address(100 + at)), seen);
    }
    assert_eq!(solo.node.observed_endpoint(true), Some(seen));
    assert_eq!(solo.node.own_endpoint(true), Some(told));
    assert_eq!(solo.node.own_endpoint(false), None);
}

#[test]
fn the_own_endpoint_under_another_id_is_neither_asked_nor_held() {
    let own = endpoint("70.0.0.1:4000");
    let config = Config { advertise: [Some(own), None], ..Config::default() };
    let mut solo = Solo::new(8, config);
    let friend = Contact::new(Id([8; 20]), address(1));
    solo.befriend(&friend);
    let (own_alias, other) = (Id([0x81; 20]), Contact::new(Id([0x82; 20]), address(2)));
    assert_eq!(solo.hand(&own, &Request::hello(own_alias).bytes()).len(), 1, "no ping follows");

    let target = Id([0x80; 20]);
    solo.node.begin(solo.now, Command::FindNode { target }, &mut solo.tray).unwrap();
    let mut asked = Vec::new();
    for sent in solo.wait_ms(1) {
        asked.push(sent.to);
        let contacts = [Contact::new(own_alias, own), other];
        let reply = Reply { contacts: &contacts, total: 2, ..Reply::default() };
        let bytes = reply.bytes(&sent.bytes, friend.id, own);
        asked.extend(solo.hand(&friend.endpoint, &bytes).iter().map(|sent| sent.to));
    }
    assert_eq!(asked, [friend.endpoint, other.endpoint]);
    for _ in 0..10 {
        assert!(solo.wait_ms(1_000).iter().all(|sent| sent.to != own));
    }
    let Some(Event::Done(report)) = solo.node.poll_event() else { panic!("not done") };
    assert!(matches!(report.outcome, Outcome::Nodes));
    assert!(report.path.iter().all(|it| it.endpoint != own && it.standing != Standing::Known));
    assert!(solo.node.members().all(|peer| peer.endpoint != own));
}
