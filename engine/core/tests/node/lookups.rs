//! Iterative lookups against the truth about the whole network.

use std::collections::HashMap;

use kdht_core::{Command, Config, Outcome, Report, Standing};
use kdht_wire::{Contact, Id, Kind, Message};

use crate::common::{Conditions, Net, Reply, endpoint, is_reply};

fn config(k: u8, alpha: u8) -> Config {
    Config { k, alpha, ..Config::default() }
}

/// The k closest that answered.
fn found(report: &Report, k: usize) -> Vec<Id> {
    let answered = report.path.iter().filter(|c| c.standing == Standing::Answered);
    answered.map(|c| c.id).take(k).collect()
}

/// The k closest live nodes but for `asker`.
fn truth(net: &Net, target: &Id, k: usize, asker: usize) -> Vec<Id> {
    let own = net.id(asker);
    net.sorted_by_distance(target).into_iter().filter(|id| *id != own).take(k).collect()
}

/// How much of the true k closest `lookups` lookups find, of 1000.
fn overlap(net: &mut Net, lookups: usize, k: usize) -> usize {
    let (mut hit, mut wanted) = (0, 0);
    for _ in 0..lookups {
        let asker = loop {
            let at = net.below(net.len());
            if net.is_alive(at) {
                break at;
            }
        };
        let target = net.rng.id();
        let report = net.run(asker, Command::FindNode { target });
        let (found, truth) = (found(&report, k), truth(net, &target, k, asker));
        hit += truth.iter().filter(|id| found.contains(id)).count();
        wanted += truth.len();
    }
    1_000 * hit / wanted
}

#[test]
fn lookups_find_the_true_k_closest_of_the_network() {
    for (seed, count, k) in [(1, 50, 20), (2, 200, 20), (3, 200, 8), (4, 10, 20)] {
        let mut net = Net::joined(seed, Conditions::CALM, count, &config(k, 3));
        let mut inexact = 0;
        for _ in 0..60 {
            let asker = net.below(count);
            let target = net.rng.id();
            let report = net.run(asker, Command::FindNode { target });
            assert!(matches!(report.outcome, Outcome::Nodes), "seed {seed}");
            let k = usize::from(k);
            let (found, truth) = (found(&report, k), truth(&net, &target, k, asker));
            assert_eq!(found[0], truth[0], "seed {seed}");
            inexact += u32::from(found != truth);
        }
        // Tables are not perfect: of a thousand lookups one misses one of the farthest.
        assert!(inexact <= 1, "seed {seed}: {inexact} of 60");
    }
}

#[test]
fn lookups_find_most_of_the_k_closest_where_one_datagram_in_ten_is_lost() {
    // A request and its reply both arrive in 81 of 100 tries.
    let mut net = Net::joined(5, Conditions::ROUGH, 100, &config(20, 3));
    let share = overlap(&mut net, 60, 20);
    assert!(share >= 700, "{share} of 1000");
}

#[test]
fn lookups_find_the_k_closest_live_nodes_where_one_in_five_is_dead() {
    let mut net = Net::joined(6, Conditions::CALM, 150, &config(20, 3));
    for at in 0..150 {
        if at % 5 == 0 {
            net.kill(at);
        }
    }
    let share = overlap(&mut net, 60, 20);
    assert!(share >= 950, "{share} of 1000");
}

#[test]
fn a_killed_node_that_starts_again_finds_its_neighbours() {
    let mut net = Net::joined(7, Conditions::CALM, 60, &config(20, 3));
    net.kill(9);
    net.run_for(30_000);
    net.restart(9);
    net.events(9);
    net.join(9, &[3]);
    net.run_until(60_000, |net| net.has_joined(9));
    let own = net.id(9);
    let nearest = truth(&net, &own, 10, 9);
    let known: Vec<Id> = net.node(9).good_contacts().map(|contact| contact.id).collect();
    assert!(nearest.iter().all(|id| known.contains(id)));
}

#[test]
fn a_higher_alpha_cuts_latency() {
    // Newcomers of the same network that differ in alpha only.
    let constant = Conditions { delay_ms: (50, 50), ..Conditions::CALM };
    let mut net = Net::joined(8, constant, 200, &config(3, 3));
    let means = [1, 3, 8].map(|alpha| {
        let elapsed_ms: u64 = (0..80)
            .map(|_| {
                let asker = net.add(Config { client: true, ..config(3, alpha) });
                let by = net.below(200);
                net.join(asker, &[by]);
                net.run_until(60_000, |net| net.has_joined(asker));
                let target = net.rng.id();
                net.run(asker, Command::FindNode { target }).elapsed_ns / 1_000_000
            })
            .sum();
        elapsed_ms / 80
    });
    assert!(means[0] > means[1] && means[1] > means[2], "{means:?} ms");
    assert!(5 * means[2] < 4 * means[0], "{means:?} ms");
}

#[test]
fn no_candidate_is_asked_twice() {
    let mut net = Net::joined(9, Conditions::ROUGH, 80, &config(20, 3));
    net.conditions.doubled = 0;
    for _ in 0..20 {
        let asker = net.below(80);
        let (target, from) = (net.rng.id(), net.endpoint(asker));
        net.log = Some(Vec::new());
        let report = net.run(asker, Command::FindNode { target });
        let mut asked: HashMap<_, u32> = HashMap::new();
        for sent in net.log.take().unwrap() {
            let head = *Message::parse(&sent.bytes).unwrap().head;
            let ours = sent.from == from && !head.is_reply() && head.target == target;
            *asked.entry(sent.to).or_default() += u32::from(ours);
        }
        assert!(asked.values().all(|times| *times <= 1));
        assert_eq!(asked.values().sum::<u32>(), report.messages);
    }
}

/// A network of `honest` nodes, and one stranger that the first of them has verified.
fn net_with_stranger(seed: u64, honest: usize) -> (Net, Contact) {
    let mut net = Net::joined(seed, Conditions::CALM, honest, &config(20, 3));
    let stranger = Contact::new(net.rng.id(), endpoint("30.0.0.1:4000"));
    let id = stranger.id;
    net.answer_strays(move |sent| {
        if is_reply(&sent.bytes) {
            return Vec::new();
        }
        let bytes = Reply::default().bytes(&sent.bytes, id, sent.from);
        vec![crate::common::Datagram { from: sent.to, to: sent.from, bytes }]
    });
    introduce(&mut net, &stranger, 0);
    (net, stranger)
}

/// The stranger pings `at` and is pinged in turn.
fn introduce(net: &mut Net, stranger: &Contact, at: usize) {
    let ping = crate::common::Request::hello(stranger.id).bytes();
    let to = net.endpoint(at);
    net.send(crate::common::Datagram { from: stranger.endpoint, to, bytes: ping });
    net.run_for(3_000);
    assert!(net.node(at).good_contacts().any(|contact| contact.id == stranger.id));
}

#[test]
fn a_victim_named_under_many_ids_gets_at_most_two_datagrams_a_lookup() {
    let (mut net, stranger) = net_with_stranger(10, 10);
    let victim = endpoint("40.0.0.1:4000");
    let mut ids = crate::common::rng(99);
    net.answer_strays(move |sent| {
        if is_reply(&sent.bytes) || sent.to != stranger.endpoint {
            return Vec::new();
        }
        let named: Vec<Contact> = (0..28).map(|_| Contact::new(ids.id(), victim)).collect();
        let reply = Reply { contacts: &named, total: 0, ..Reply::default() };
        let kind = Message::parse(&sent.bytes).unwrap().kind;
        let reply = if kind == Kind::Ping { Reply::default() } else { reply };
        let bytes = reply.bytes(&sent.bytes, stranger.id, sent.from);
        vec![crate::common::Datagram { from: sent.to, to: sent.from, bytes }]
    });
    net.strays.clear();
    let lookups = 360;
    for _ in 0..lookups {
        let target = net.rng.id();
        net.run(0, Command::FindNode { target });
    }
    let named = net.strays.iter().filter(|sent| sent.to == stranger.endpoint).count() * 28;
    assert!(named >= 10_000, "named {named} times");
    let sent = net.strays.iter().filter(|sent| sent.to == victim).count();
    assert!(sent > 0 && sent <= 2 * lookups, "{sent} datagrams in {lookups} lookups");
}

#[test]
fn an_endless_row_of_ever_nearer_ids_ends_a_lookup_all_the_same() {
    let (mut net, stranger) = net_with_stranger(11, 3);
    let mut made = 0_u32;
    // Whoever is asked at 30.x.y.1 is whom the lookup thinks it asks, and names 20 more
    // that are nearer than all before.
    let mut names: HashMap<_, Id> = HashMap::from([(stranger.endpoint, stranger.id)]);
    net.answer_strays(move |sent| {
        let message = Message::parse(&sent.bytes).unwrap();
        let Some(sender) = names.get(&sent.to).copied().filter(|_| !is_reply(&sent.bytes)) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for _ in 0..if message.kind == Kind::FindNode { 20 } else { 0 } {
            made += 1;
            let [_, _, high, low] = made.to_be_bytes();
            // Each in a network of its own.
            let at = endpoint(&format!("30.{high}.{low}.1:4000"));
            let mut id = message.head.target;
            // The distance is 2⁶³ less what was made before.
            let distance = (1_u64 << 63) - u64::from(made);
            for (byte, with) in id.0[12..].iter_mut().zip(distance.to_be_bytes()) {
                *byte ^= with;
            }
            names.insert(at, id);
            named.push(Contact::new(id, at));
        }
        let bytes =
            Reply { contacts: &named, ..Reply::default() }.bytes(&sent.bytes, sender, sent.from);
        vec![crate::common::Datagram { from: sent.to, to: sent.from, bytes }]
    });
    let target = net.rng.id();
    let report = net.run(0, Command::FindNode { target });
    assert!((100..=512).contains(&report.messages), "{} requests", report.messages);
    assert_eq!(net.node(0).operations(), 0);
}

#[test]
fn a_contact_without_an_id_does_not_hang_a_lookup() {
    let (mut net, stranger) = net_with_stranger(12, 3);
    let other = endpoint("30.0.0.2:4000");
    net.answer_strays(move |sent| {
        if is_reply(&sent.bytes) {
            return Vec::new();
        }
        let named = [Contact::new(Id::ZERO, other)];
        // At the other endpoint somebody answers under another id.
        let sender = if sent.to == other { Id([9; 20]) } else { stranger.id };
        let kind = Message::parse(&sent.bytes).unwrap().kind;
        let contacts = if kind == Kind::FindNode { &named[..] } else { &[] };
        let bytes = Reply { contacts, ..Reply::default() }.bytes(&sent.bytes, sender, sent.from);
        vec![crate::common::Datagram { from: sent.to, to: sent.from, bytes }]
    });
    let target = Id::ZERO.with_bit(159, true);
    let report = net.run(0, Command::FindNode { target });
    assert!(report.path.iter().all(|candidate| candidate.id != Id::ZERO));
}

#[test]
fn a_slow_node_is_set_aside_and_its_late_answer_counts() {
    let (mut net, stranger) = net_with_stranger(13, 6);
    net.answer_strays(move |_| Vec::new());
    let target = stranger.id;
    net.strays.clear();
    let operation = net.begin(0, Command::FindNode { target });
    net.run_for(1_200);
    assert!(net.report(0, operation).is_none(), "fewer than k are known: it is waited for");
    let asked = net.strays.iter().find(|sent| sent.to == stranger.endpoint).unwrap().clone();
    let bytes = Reply::default().bytes(&asked.bytes, stranger.id, asked.from);
    net.send(crate::common::Datagram { from: asked.to, to: asked.from, bytes });
    net.run_for(100);
    let report = net.report(0, operation).expect("the late answer ended it");
    assert_eq!(report.path[0].id, stranger.id);
    assert_eq!(report.path[0].standing, Standing::Answered);
    let others = report.path.iter().filter(|c| c.standing == Standing::Answered).count();
    assert_eq!(others, 6, "the others were asked meanwhile");
}

#[test]
fn unresponsive_and_unverified_nodes_are_not_told_to_others() {
    let (mut net, stranger) = net_with_stranger(14, 8);
    net.answer_strays(move |_| Vec::new());
    let target = stranger.id;
    net.run(0, Command::FindNode { target });
    net.run_for(5_000);
    let told = net.node(0).good_contacts().any(|contact| contact.id == stranger.id);
    assert!(!told, "it failed a request");
    let kept = net.node(0).members().any(|peer| peer.id == stranger.id);
    assert!(kept, "one failure evicts nobody");
}
