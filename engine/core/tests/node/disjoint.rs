//! Disjoint paths: d lookups that share no node, merged.

use std::collections::HashMap;

use kdht_core::{Answered, Command, Config, Lookup, Rng, Standing, Value, ValuePublisher};
use kdht_wire::{Contact, Id, Kind, Message, key_of_value};

use crate::common::{Conditions, Datagram, Net, Reply, address, endpoint, is_reply, rng};

#[test]
fn lookups_on_several_paths_find_the_true_k_closest_and_ask_nobody_twice() {
    for paths in [2, 4, 8] {
        let config = Config { k: 8, paths, ..Config::default() };
        let mut net = Net::joined(u64::from(paths), Conditions::CALM, 120, &config);
        for _ in 0..20 {
            let asker = net.below(120);
            let (target, from) = (net.rng.id(), net.endpoint(asker));
            net.log = Some(Vec::new());
            let report = net.run(asker, Command::FindNode { target });
            let mut asked: HashMap<_, u32> = HashMap::new();
            for sent in net.log.take().unwrap() {
                let head = *Message::parse(&sent.bytes).unwrap().head;
                let ours = sent.from == from && !head.is_reply() && head.target == target;
                *asked.entry(sent.to).or_default() += u32::from(ours);
            }
            assert!(asked.values().all(|times| *times <= 1), "{paths} paths share a node");
            let answered = report.path.iter().filter(|c| c.standing == Standing::Answered);
            let found: Vec<Id> = answered.clone().map(|c| c.id).take(8).collect();
            let mut truth = net.sorted_by_distance(&target);
            truth.retain(|id| *id != net.id(asker));
            assert_eq!(found, truth[..8], "{paths} paths");
            let used: u8 = answered.map(|c| c.path).max().unwrap() + 1;
            assert_eq!(used, paths, "each path asked somebody");
        }
    }
}

/// Runs a lookup among honest nodes, who name the k closest honest ones, and liars, who name
/// ever nearer accomplices. How many of the k truly closest were asked and answered.
fn reached(rng: &mut Rng, paths: u8, liars: usize) -> usize {
    const K: usize = 8;
    let target = rng.id();
    let mut honest: Vec<Contact> =
        (0..2_000).map(|at| Contact::new(rng.id(), address(at))).collect();
    honest.sort_by_key(|contact| contact.id.distance(&target));
    let mut lookup = Lookup::new(target, rng.id(), 3, K).with_paths(paths);
    let mut lies = 0_usize;
    let mut accomplice = |rng: &mut Rng| {
        lies += 1;
        let nearer = (0..40).fold(rng.id(), |id, bit| id.with_bit(bit, target.bit(bit)));
        Contact::new(nearer, address(10_000 + lies))
    };
    // Known at first: liars and honest ones that are far from the target.
    for at in 0..K {
        let contact = if at < liars { accomplice(rng) } else { honest[1_000 + at] };
        lookup.learn(&contact, 1);
    }
    while let Some(asked) = lookup.next_to_ask() {
        let named: Vec<Contact> = match honest.iter().find(|c| c.id == asked.id) {
            Some(_) => honest[..K].to_vec(),
            None => (0..K).map(|_| accomplice(rng)).collect(),
        };
        lookup.answered(&asked.id, &asked.endpoint, &named, Answered::default());
    }
    assert!(lookup.is_done());
    let answered = |contact: &&Contact| {
        let mut candidates = lookup.candidates().iter();
        candidates.any(|c| c.id == contact.id && c.standing == Standing::Answered)
    };
    honest[..K].iter().filter(answered).count()
}

#[test]
fn liars_on_one_path_do_not_mislead_the_others() {
    for seed in 0..100 {
        let mut rng = rng(seed);
        assert_eq!(reached(&mut rng, 1, 0), 8, "seed {seed}");
        assert!(reached(&mut rng, 1, 1) < 8, "seed {seed}: one path, one liar on it");
        for paths in [2, 4, 8] {
            let (found, share) = (reached(&mut rng, paths, 1), 8 / usize::from(paths));
            assert!(found >= 8 - share, "seed {seed}: {found}, {paths} paths, a liar on one");
        }
    }
}

#[test]
fn a_node_that_a_liar_named_is_asked_by_whoever_gets_to_it_first() {
    let target = Id([0x80; 20]);
    let beside = |bit: u8| target.with_bit(bit, !target.bit(bit));
    let (liar, honest) = (Contact::new(beside(2), address(1)), Contact::new(beside(1), address(2)));
    let truth = Contact::new(beside(20), address(3));
    let mut lookup = Lookup::new(target, Id([2; 20]), 3, 8).with_paths(2);
    lookup.learn(&liar, 1);
    lookup.learn(&honest, 1);
    assert_eq!(lookup.next_to_ask().map(|c| c.id), Some(liar.id));
    assert_eq!(lookup.next_to_ask().map(|c| c.id), Some(honest.id));
    // The liar names the closest node, and hosts of its own that are said to be nearer.
    let mut named: Vec<Contact> =
        (0..8).map(|at| Contact::new(beside(100 + at), address(10 + usize::from(at)))).collect();
    named.push(truth);
    lookup.answered(&liar.id, &liar.endpoint, &named, Answered::default());
    assert_ne!(lookup.next_to_ask().map(|c| c.id), Some(truth.id));
    lookup.answered(&honest.id, &honest.endpoint, &[truth], Answered::default());
    let asked = lookup.next_to_ask().unwrap();
    assert_eq!((asked.id, asked.path), (truth.id, 1));
}

#[test]
fn a_value_is_stored_at_the_closest_node_though_a_liar_on_one_path_names_nearer_ones() {
    for seed in 0..10 {
        let config = Config { k: 8, paths: 4, ..Config::default() };
        let mut net = Net::joined(seed, Conditions::CALM, 100, &config);
        let (bytes, remaining_s) = (seed.to_le_bytes().to_vec(), 3_600);
        let key = key_of_value(&bytes);
        let asker = net.id(0);
        // The contact that the first path begins with is a liar: it names strangers next to the
        // key, who name each other and take whatever is stored at them.
        let known = net.node(0).good_contacts().min_by_key(|c| c.id.distance(&key)).unwrap();
        let liar = net.at_endpoint(&known.endpoint).unwrap();
        net.kill(liar);
        let strangers: Vec<Contact> = (0..8_u8)
            .map(|at| {
                let bit = 100 + at;
                let ip = format!("30.0.{at}.1:4000");
                Contact::new(key.with_bit(bit, !key.bit(bit)), endpoint(&ip))
            })
            .collect();
        net.answer_strays(move |sent| {
            let mut liars = strangers.iter().chain([&known]);
            let Some(asked) = liars.find(|liar| liar.endpoint == sent.to) else {
                return Vec::new();
            };
            if is_reply(&sent.bytes) {
                return Vec::new();
            }
            let is_find = Message::parse(&sent.bytes).unwrap().kind == Kind::FindNode;
            let contacts = if is_find { &strangers[..] } else { &[] };
            let reply = Reply { contacts, ..Reply::default() };
            let bytes = reply.bytes(&sent.bytes, asked.id, sent.from);
            vec![Datagram { from: sent.to, to: sent.from, bytes }]
        });
        let value = Value { publisher: ValuePublisher::Immutable, remaining_s, bytes };
        let report = net.run(0, Command::Put { key, value, cas: None });
        let lies = report.path.iter().filter(|c| c.endpoint.ip[12] == 30);
        assert!(lies.count() >= 8, "seed {seed}: the liar was asked");
        let closest = net.sorted_by_distance(&key).into_iter().find(|id| *id != asker);
        let holder = (1..100).find(|at| net.is_alive(*at) && Some(net.id(*at)) == closest);
        assert_eq!(net.node(holder.unwrap()).usage().values, 1, "seed {seed}");
    }
}

#[test]
fn a_path_without_contacts_does_not_keep_the_lookup_from_its_end() {
    let mut lookup = Lookup::new(Id([1; 20]), Id([2; 20]), 3, 8).with_paths(8);
    assert!(lookup.is_done());
    lookup.learn(&Contact::new(Id([3; 20]), address(1)), 1);
    let asked = lookup.next_to_ask().unwrap();
    assert!(!lookup.is_done() && lookup.next_to_ask().is_none());
    lookup.answered(&asked.id, &asked.endpoint, &[], Answered::default());
    assert!(lookup.is_done());
}
