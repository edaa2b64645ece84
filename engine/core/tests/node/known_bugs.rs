//! Bugs that other implementations shipped, each as the claim that it broke.
//!
//! `engine/sim/mutants.sh` puts each of them back and shows that its test here fails. The
//! one about the lifetime of cached values stands with that code (`find_value.rs`).

use std::collections::{HashMap, HashSet};

use kdht_core::{
    Answer, Answered, Command, Config, Lookup, NS_PER_S, Nanos, Outcome, Peer, Rng, Standing,
    Table, Value, ValuePublisher,
};
use kdht_store::PublisherKey;
use kdht_wire::{Body, Contact, Endpoint, Flags, Id, Kind, Message, key_of_string, key_of_value};

use crate::common::{Conditions, Net, Request, Solo, address, reply_of, rng};

fn at(seconds: u64) -> Nanos {
    Nanos((1_000 + seconds) * NS_PER_S)
}

fn answer(table: &mut Table, id: &Id, endpoint: &Endpoint) {
    table.answered(id, endpoint, &Answer { rtt_us: 20_000, cookie: 7 }, at(0));
}

/// A table around an id of zeros, whose far half is one bucket of `k` contacts with ids
/// that `far` makes; its last argument is which.
fn table_with_far(k: usize, mut far: impl FnMut(usize) -> Id) -> (Table, Vec<(Id, Endpoint)>) {
    let own = Id::ZERO.with_bit(159, true);
    let mut table = Table::new(own, k, 2_048);
    for bit in 1..=u8::try_from(k + 1).unwrap() {
        answer(&mut table, &own.with_bit(bit, true), &address(usize::from(bit)));
    }
    let far: Vec<(Id, Endpoint)> = (0..k).map(|which| (far(which), address(100 + which))).collect();
    far.iter().for_each(|(id, endpoint)| answer(&mut table, id, endpoint));
    (table, far)
}

fn filled(rng: &mut Rng, k: usize, count: usize) -> Table {
    let mut table = Table::new(rng.id(), k, 2_048);
    (0..count).for_each(|place| answer(&mut table, &rng.id(), &address(place)));
    table
}

fn sorted(table: &Table, target: &Id, k: usize) -> Vec<Id> {
    let mut ids: Vec<Id> = table.members().map(|peer| peer.id).collect();
    ids.sort_by_key(|id| id.distance(target));
    ids.truncate(k);
    ids
}

fn closest(table: &Table, target: &Id, k: usize) -> Vec<Id> {
    let closest = table.closest(target, k, &Id::ZERO).sorted(target);
    closest.as_slice().iter().map(|contact| contact.id).collect()
}

fn contact(byte: u8) -> Contact {
    Contact::new(Id([byte; 20]), address(usize::from(byte)))
}

#[test]
fn a_buckets_depth_is_that_of_its_range_not_of_its_contents() {
    // All contacts of the far half happen to share 12 bits.
    let mut random = rng(1);
    let crowd = Id([0xab; 20]);
    let make = |_| (0..12).fold(random.id(), |id, bit| id.with_bit(bit, crowd.bit(bit)));
    let (mut table, _) = table_with_far(8, make);
    (1..160).for_each(|bit| table.touch(&Id::ZERO.with_bit(bit, true), at(10)));
    let mut random = rng(2);
    let targets: Vec<Id> =
        (0..40).map(|_| table.idlest_target(&mut random).expect("the far half is idle")).collect();
    assert!(targets.iter().all(|target| target.bit(0)), "another range");
    let outside = targets.iter().filter(|target| target.shared_prefix(&crowd) < 12);
    assert!(outside.count() > 30, "only where contacts are known already");
}

#[test]
fn one_failure_evicts_nobody() {
    let mut random = rng(3);
    let (mut table, far) = table_with_far(8, |_| random.id().with_bit(0, true));
    let (id, endpoint) = far[0];
    table.failed(&id, &endpoint, at(97), at(100));
    answer(&mut table, &random.id().with_bit(0, true), &address(500));
    assert!(table.members().any(|peer| peer.id == id));
}

#[test]
fn distance_is_compared_bit_by_bit_not_byte_by_byte() {
    for seed in 0..50 {
        let mut random = rng(seed);
        let table = filled(&mut random, 8, 400);
        let near = table.members().next().map(|peer| peer.id).unwrap();
        // Differs from a member within its first byte.
        for bit in 0..8 {
            let target = near.with_bit(bit, !near.bit(bit));
            assert_eq!(closest(&table, &target, 8), sorted(&table, &target, 8), "seed {seed}");
        }
    }
}

#[test]
fn more_contacts_than_a_bucket_holds_are_returned_where_so_many_are_wanted() {
    let mut random = rng(5);
    let table = filled(&mut random, 4, 400);
    let target = random.id();
    let found = closest(&table, &target, 20);
    assert_eq!((found.len(), found), (20, sorted(&table, &target, 20)));
}

#[test]
fn an_answer_lets_the_next_request_begin_whatever_the_others_of_its_round_do() {
    let mut lookup = Lookup::new(Id([0xff; 20]), Id([0xee; 20]), 3, 20);
    (1..=10).for_each(|byte| {
        lookup.learn(&contact(byte), 1);
    });
    let asked: Vec<_> = std::iter::from_fn(|| lookup.next_to_ask()).collect();
    assert_eq!(asked.len(), 3);
    lookup.answered(&asked[1].id, &asked[1].endpoint, &[], Answered::default());
    assert!(lookup.next_to_ask().is_some(), "it waits for its whole round");
}

#[test]
fn a_refresh_looks_up_an_id_in_the_range_that_was_idle() {
    for seed in 0..60 {
        let mut random = rng(seed);
        // The table's id is the generator's first.
        let own = random.clone().id();
        let mut table = filled(&mut random, 8, 600);
        let idle = u8::try_from(random.below(6)).unwrap();
        // One id for each class of ids, by the bits that they share with the own.
        for class in (0..160).filter(|class| *class != idle) {
            table.touch(&own.with_bit(class, !own.bit(class)), at(100));
        }
        table.touch(&own, at(100));
        let target = table.idlest_target(&mut random).unwrap();
        assert_eq!(target.shared_prefix(&own), idle, "seed {seed}");
    }
}

#[test]
fn ids_that_differ_in_one_bit_first_share_exactly_the_bits_before_it() {
    for bit in 0..160 {
        let id = Id([0x5a; 20]);
        assert_eq!(id.shared_prefix(&id.with_bit(bit, !id.bit(bit))), bit);
    }
    // Closest by XOR, not by subtraction.
    let far = Id([0xff; 20]).with_bit(0, false);
    let (target, near) = (Id::ZERO.with_bit(0, true), Id([0xff; 20]));
    let mut table = Table::new(Id([1; 20]), 20, 2_048);
    answer(&mut table, &far, &address(1));
    answer(&mut table, &near, &address(2));
    assert_eq!(closest(&table, &target, 1), [near]);
}

#[test]
fn a_reply_is_filled_from_all_buckets_until_it_has_k() {
    let (mut solo, known) = Solo::with_contacts(6, Config::default(), 150);
    let mut random = rng(66);
    for _ in 0..50 {
        let request = Request {
            len_min: 411,
            flags: Flags::CLIENT,
            ..Request::new(Kind::FindNode, random.id(), Id([9; 20]))
        };
        let sent = solo.hand(&known[0].endpoint, &request.bytes());
        let reply = reply_of(sent.iter().map(|s| s.bytes.as_slice()), request.tx_id).unwrap();
        let Body::Contacts { contacts, .. } = reply.body else { panic!("{reply:?}") };
        assert_eq!(contacts.len(), 20);
    }
}

#[test]
fn a_node_that_two_branches_name_is_asked_once() {
    let mut lookup = Lookup::new(Id([0xff; 20]), Id([0xee; 20]), 3, 20);
    for byte in 1..=3 {
        lookup.learn(&contact(byte), 1);
    }
    let mut asked: HashMap<Id, u32> = HashMap::new();
    while let Some(next) = lookup.next_to_ask() {
        *asked.entry(next.id).or_default() += 1;
        let named = [contact(0xf0), contact(0xf1), contact(1)];
        lookup.answered(&next.id, &next.endpoint, &named, Answered::default());
    }
    assert_eq!(asked.len(), 5);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

#[test]
fn a_node_neither_holds_nor_asks_nor_returns_itself() {
    let own = Id([7; 20]);
    let mut table = Table::new(own, 20, 2_048);
    answer(&mut table, &own, &address(1));
    table.sighted(&own, &address(1), at(0));
    assert_eq!(table.members().count(), 0);
    let mut lookup = Lookup::new(Id([6; 20]), own, 3, 20);
    lookup.learn(&contact(9), 1);
    let asked = lookup.next_to_ask().unwrap();
    let ourselves = Contact::new(own, address(1));
    lookup.answered(&asked.id, &asked.endpoint, &[ourselves], Answered::default());
    assert!(lookup.next_to_ask().is_none() && lookup.closest().all(|c| c.id != own));
}

#[test]
fn a_contact_that_failed_is_not_returned_until_it_answers() {
    let mut random = rng(8);
    let mut table = filled(&mut random, 20, 60);
    let failed: Peer = *table.members().next().unwrap();
    table.failed(&failed.id, &failed.endpoint, at(97), at(100));
    assert!(!closest(&table, &failed.id, 20).contains(&failed.id));
    table.answered(&failed.id, &failed.endpoint, &Answer { rtt_us: 9, cookie: 7 }, at(110));
    assert_eq!(closest(&table, &failed.id, 1), [failed.id]);
}

#[test]
fn a_late_failure_does_not_take_back_an_answer() {
    let mut lookup = Lookup::new(Id([0xff; 20]), Id([0xee; 20]), 3, 20);
    lookup.learn(&contact(1), 1);
    let asked = lookup.next_to_ask().unwrap();
    lookup.answered(&asked.id, &asked.endpoint, &[], Answered::default());
    lookup.failed(&asked.id, &asked.endpoint);
    assert_eq!(lookup.closest().map(|c| c.id).collect::<Vec<_>>(), [asked.id]);
}

#[test]
fn a_value_is_stored_where_a_lookup_looks_for_it() {
    let config = Config { k: 8, handovers_max: 0, ..Config::default() };
    let mut net = Net::joined(9, Conditions::CALM, 50, &config);
    for byte in 0..10_u8 {
        let before: Vec<u32> = (0..50).map(|at| net.node(at).usage().values).collect();
        let (bytes, remaining_s) = (vec![byte; 30], 3_000);
        let key = key_of_value(&bytes);
        let value = Value { publisher: ValuePublisher::Immutable, remaining_s, bytes };
        net.run(0, Command::Put { key, value, cas: None });
        let holders: HashSet<Id> = (0..50)
            .filter(|at| net.node(*at).usage().values > before[*at])
            .map(|at| net.id(at))
            .collect();
        let client = net.add(Config { client: true, ..config.clone() });
        net.join(client, &[1]);
        net.run_until(60_000, |net| net.has_joined(client));
        let report = net.run(client, Command::FindNode { target: key });
        net.kill(client);
        let answered = report.path.iter().filter(|c| c.standing == Standing::Answered);
        assert_eq!(answered.map(|c| c.id).take(8).collect::<HashSet<_>>(), holders);
    }
}

#[test]
fn an_own_outage_empties_no_table() {
    let mut net = Net::joined(10, Conditions::CALM, 30, &Config::default());
    let good = |net: &Net| net.node(3).good_contacts().count();
    let (before, own) = (good(&net), net.endpoint(3));
    net.cut_off.push(own);
    for _ in 0..10 {
        let target = net.rng.id();
        net.run(3, Command::FindNode { target });
        net.run_for(60_000);
    }
    assert_eq!(good(&net), before);
}

#[test]
fn who_answers_fast_as_a_rule_is_set_aside_soon() {
    // Round trips of 10 ms, and one node that does not answer any more.
    let fast = Conditions { delay_ms: (5, 5), ..Conditions::CALM };
    let mut net = Net::joined(11, fast, 60, &Config { k: 8, ..Config::default() });
    let target = net.rng.id();
    let dead = net.sorted_by_distance(&target)[2];
    let at = (0..60).find(|at| net.id(*at) == dead).unwrap();
    net.kill(at);
    let asker = (0..60).find(|other| *other != at).unwrap();
    let report = net.run(asker, Command::FindNode { target });
    assert!(report.path.iter().any(|c| c.id == dead && c.standing != Standing::Answered));
    let elapsed_ms = report.elapsed_ns / 1_000_000;
    assert!(elapsed_ms < 250, "{elapsed_ms} ms: as long as for a stranger");
}

#[test]
fn no_datagram_is_longer_than_1232_bytes() {
    let mut net = Net::joined(12, Conditions::CALM, 30, &Config::default());
    net.log = Some(Vec::new());
    let key = key_of_string("long");
    for by in 1..=30_u8 {
        let (bytes, remaining_s) = (vec![by; 37 * usize::from(by % 27)], 3_000);
        let tail = PublisherKey::from_seed(&[by; 32]).sign(&key, 1, &[by; 16], &bytes);
        let value = Value { publisher: ValuePublisher::Signed(tail), remaining_s, bytes };
        let report = net.run(0, Command::Put { key, value, cas: None });
        assert!(matches!(report.outcome, Outcome::Stored(stored) if stored.acknowledged == 20));
    }
    let stranger = net.add(Config { client: true, ..Config::default() });
    net.join(stranger, &[1]);
    net.run_until(60_000, |net| net.has_joined(stranger));
    let filter = kdht_wire::Filter::Any;
    net.run(stranger, Command::FindValue { key, filter, values_max: 64, holders: 20 });
    let log = net.log.take().unwrap();
    let longest = log.iter().map(|sent| sent.bytes.len()).max().unwrap();
    assert!((1_150..=1_232).contains(&longest), "{longest} bytes");
    assert!(log.iter().all(|sent| Message::parse(&sent.bytes).is_ok()));
}
