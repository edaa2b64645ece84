//! The table against a full sort, against hostile floods, and its structure after any
//! sequence of calls.

use std::collections::{HashMap, HashSet};

use kdht_wire::{Contact, Endpoint, Id};

use super::*;
use crate::bucket::{Bucket, REPLACEMENTS_MAX};
use crate::contact::{Answer, DISPLACE_FAILURES, Liveness, Peer};
use crate::rng::Rng;
use crate::samples::{START_S, at, pick, place, salted_rng, with_prefix};
use crate::time::{NS_PER_S, Nanos};

fn rng(seed: u64) -> Rng {
    salted_rng(0x74, seed)
}

/// Uniform, or nine of ten under the first 12 bits of `crowd`.
fn some_id(rng: &mut Rng, crowd: Option<&Id>) -> Id {
    match crowd {
        Some(crowd) if rng.below(10) < 9 => with_prefix(rng, crowd, 12),
        _ => rng.id(),
    }
}

fn answer(table: &mut Table, id: &Id, endpoint: &Endpoint, now: Nanos) {
    table.answered(id, endpoint, &Answer { rtt_us: 20_000, cookie: 7 }, now);
}

/// `id` leaves unanswered what was sent to it three seconds ago.
fn fail(table: &mut Table, id: &Id, endpoint: &Endpoint, now: Nanos) -> Advice {
    table.failed(id, endpoint, Nanos(now.0 - 3 * NS_PER_S), now)
}

fn ids(closest: &Closest) -> Vec<Id> {
    closest.as_slice().iter().map(|contact| contact.id).collect()
}

/// What every sequence of calls must leave.
fn check(table: &Table, context: &str) {
    let mut places = HashSet::new();
    let mut held = HashSet::new();
    for (index, bucket) in table.buckets.iter().enumerate() {
        let next = table.buckets.get(index + 1);
        assert_eq!(next.is_some(), end_of(bucket).is_some(), "{context}: covers all");
        assert_eq!(end_of(bucket), next.map(|next| next.start), "{context}: no gap, no overlap");
        assert!(bucket.members.len() <= table.bucket_size, "{context}");
        assert!(bucket.replacements.len() <= REPLACEMENTS_MAX.min(table.bucket_size), "{context}");
        let is_full = table.range_of(index).len() > 1 || bucket.members.len() == table.bucket_size;
        assert!(bucket.replacements.len() == 0 || is_full, "{context}: a free place waits");
        let both = bucket.members.as_slice().iter().chain(bucket.replacements.as_slice());
        for place in both {
            let peer = table.at(*place).expect("a named place is taken");
            assert!(bucket.covers(&peer.id), "{context}: {} outside its bucket", peer.id);
            assert!(held.insert(peer.id), "{context}: {} twice", peer.id);
            assert!(places.insert(*place), "{context}: place {place} twice");
        }
    }
    if let Some(first) = table.buckets.first() {
        assert_eq!(first.start, Id::ZERO, "{context}");
    }
    assert!(!held.contains(&table.own), "{context}: the own id");
    for place in &table.free {
        assert!(places.insert(*place), "{context}: free place {place} is named");
        assert!(table.at(*place).is_none(), "{context}");
    }
    assert_eq!(places.len(), table.peers.len(), "{context}: a place leaked");
    assert!(table.peers.len() <= table.contacts_max, "{context}: capacity");
    let mut by_class = [0_usize; 161];
    let others = table.buckets.iter().filter(|bucket| !bucket.covers(&table.own));
    others.for_each(|b| by_class[usize::from(b.start.shared_prefix(&table.own))] += 1);
    let splits_max = NEIGHBOURHOOD_SPLITS_MAX.max(table.split_bits - 1);
    assert!(by_class.iter().all(|buckets| *buckets <= 1 << splits_max), "{context}: buckets");
}

/// What caps must leave.
fn check_groups(table: &Table, context: &str) {
    let group = |peer: &Peer| table.caps.group_of(&peer.endpoint);
    let most = |peers: &[&Peer]| {
        let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
        for peer in peers.iter().filter(|peer| group(peer).is_some()) {
            *counts.entry(peer.endpoint.ip[12..15].to_vec()).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    };
    let all: Vec<&Peer> = table.peers.iter().flatten().collect();
    assert!(most(&all) <= usize::from(table.caps.table_max), "{context}: a group in the table");
    for bucket in table.buckets.iter().filter(|bucket| !bucket.covers(&table.own)) {
        let both = bucket.members.as_slice().iter().chain(bucket.replacements.as_slice());
        let both: Vec<&Peer> = both.filter_map(|place| table.at(*place)).collect();
        assert!(most(&both) <= usize::from(table.caps.bucket_max), "{context}: in a bucket");
    }
    let mut truth: HashMap<[u8; 3], usize> = HashMap::new();
    let net = |peer: &Peer| [12, 13, 14].map(|at| peer.endpoint.ip[at]);
    all.iter().for_each(|peer| *truth.entry(net(peer)).or_default() += 1);
    for peer in all {
        let at_most = table.counts.at_most(Group::of(&peer.endpoint));
        assert!(at_most >= truth[&net(peer)], "{context}: a count is too low");
    }
}

/// No caps, or caps that endpoints of 64 networks soon reach.
fn some_rules(rng: &mut Rng) -> (u8, Caps) {
    let b = 1 + u8::try_from(pick(rng, 5)).unwrap();
    let caps = Caps { bucket_max: 2, table_max: 10, exempt_private: true };
    (b, if rng.below(2) == 0 { Caps::NONE } else { caps })
}

/// The first id behind a bucket's range; nothing behind the last.
fn end_of(bucket: &Bucket) -> Option<Id> {
    let mut end = bucket.start;
    for bit in (0..bucket.depth).rev() {
        if !end.bit(bit) {
            return Some(end.with_bit(bit, true));
        }
        end = end.with_bit(bit, false);
    }
    None
}

#[test]
fn closest_returns_what_a_full_sort_would() {
    for seed in 0..3_000 {
        let mut rng = rng(seed);
        let own = rng.id();
        let crowd = rng.id();
        let crowd = (seed % 2 == 0).then_some(&crowd);
        let k = 1 + pick(&mut rng, 20);
        let bucket_size = 1 + pick(&mut rng, 20);
        let (b, caps) = some_rules(&mut rng);
        let mut table = Table::new(own, bucket_size, 2_048).with_rules(b, caps);
        let mut good = HashMap::new();
        for _ in 0..pick(&mut rng, 250) {
            let (id, endpoint) = (some_id(&mut rng, crowd), place(&mut rng));
            match rng.below(5) {
                0 => {
                    table.sighted(&id, &endpoint, at(0));
                }
                1 => {
                    answer(&mut table, &id, &endpoint, at(0));
                    fail(&mut table, &id, &endpoint, at(5));
                }
                _ => answer(&mut table, &id, &endpoint, at(0)),
            }
        }
        for peer in table.members() {
            if peer.verified && peer.failures == 0 {
                good.insert(peer.id, peer.endpoint);
            }
        }
        for _ in 0..4 {
            let target = some_id(&mut rng, crowd);
            let askers: Vec<Id> = table.members().map(|peer| peer.id).collect();
            let asker = match askers.len() {
                0 => own,
                count => askers[pick(&mut rng, count)],
            };
            let mut sorted: Vec<Id> = good.keys().copied().filter(|id| *id != asker).collect();
            sorted.sort_by_key(|id| id.distance(&target));
            sorted.truncate(k);
            let closest = table.closest(&target, k, &asker).sorted(&target);
            assert_eq!(ids(&closest), sorted, "seed {seed}, k {k}");
            for contact in closest.as_slice() {
                assert_eq!(contact.endpoint, good[&contact.id], "seed {seed}");
            }
        }
        check(&table, &format!("seed {seed}"));
    }
}

#[test]
fn two_families_merge_to_what_a_full_sort_of_both_would_be() {
    for seed in 0..500 {
        let mut rng = rng(seed);
        let (own, target) = (rng.id(), rng.id());
        let mut tables = [Table::new(own, 20, 2_048), Table::new(own, 20, 2_048)];
        for _ in 0..200 {
            let (id, endpoint) = (rng.id(), place(&mut rng));
            // One in three nodes has both families.
            let which = rng.below(3);
            for (family, table) in tables.iter_mut().enumerate() {
                if which == 2 || which == family as u64 {
                    answer(table, &id, &endpoint, at(0));
                }
            }
        }
        let k = 1 + pick(&mut rng, 20);
        let mut sorted: Vec<Id> = tables.iter().flat_map(Table::members).map(|p| p.id).collect();
        sorted.sort_by_key(|id| id.distance(&target));
        sorted.dedup();
        sorted.truncate(k);
        let [v4, v6] =
            tables.each_ref().map(|table| table.closest(&target, k, &own).sorted(&target));
        assert_eq!(ids(&v4.merge(&v6, &target, k)), sorted, "seed {seed}, k {k}");
    }
}

#[test]
fn the_structure_holds_after_any_sequence_of_calls() {
    for seed in 0..400 {
        let mut rng = rng(seed);
        let own = rng.id();
        let bucket_size = 1 + pick(&mut rng, 20);
        let contacts_max = [3, 20, 142, 2_048][pick(&mut rng, 4)];
        let (b, caps) = some_rules(&mut rng);
        let mut table = Table::new(own, bucket_size, contacts_max).with_rules(b, caps);
        let mut known: Vec<(Id, Endpoint)> = Vec::new();
        let mut now_s = 0;
        for step in 0..600 {
            now_s += rng.below(4);
            let (id, endpoint) = if known.is_empty() || rng.below(2) == 0 {
                let bits = [0, 1, 8, 40, 150][pick(&mut rng, 5)];
                let mut endpoint = place(&mut rng);
                let net = endpoint.ip[14] % 64;
                endpoint.ip[13..15].copy_from_slice(&[0, net]);
                (with_prefix(&mut rng, &own, bits), endpoint)
            } else {
                let (id, endpoint) = known[pick(&mut rng, known.len())];
                (id, if rng.below(8) == 0 { place(&mut rng) } else { endpoint })
            };
            match rng.below(4) {
                0 | 1 => answer(&mut table, &id, &endpoint, at(now_s)),
                2 => {
                    table.sighted(&id, &endpoint, at(now_s));
                }
                _ => {
                    fail(&mut table, &id, &endpoint, at(now_s));
                }
            }
            known.push((id, endpoint));
            check(&table, &format!("seed {seed}, step {step}"));
            if step % 25 == 0 {
                check_groups(&table, &format!("seed {seed}, step {step}"));
            }
        }
        table.sighted(&own, &place(&mut rng), at(now_s));
        answer(&mut table, &own, &place(&mut rng), at(now_s));
        check(&table, &format!("seed {seed}, own id"));
    }
}

#[test]
fn the_id_of_all_zero_bits_names_nobody() {
    let mut rng = rng(1);
    let mut table = Table::new(rng.id(), 20, 2_048);
    let endpoint = place(&mut rng);
    assert_eq!(table.sighted(&Id::ZERO, &endpoint, at(0)), Advice::Rest);
    answer(&mut table, &Id::ZERO, &endpoint, at(0));
    assert_eq!(table.fill(), Fill { buckets: table.fill().buckets, ..Fill::default() });
}

/// A table whose bucket far from the own id is full of good contacts.
fn full_far_bucket(rng: &mut Rng, bucket_size: usize) -> (Table, Vec<(Id, Endpoint)>) {
    let own = Id::ZERO.with_bit(159, true);
    let mut table = Table::new(own, bucket_size, 2_048);
    // Something near the own id, so that the far half is a bucket of its own.
    for bit in 1..=21 {
        let endpoint = place(rng);
        answer(&mut table, &own.with_bit(bit, true), &endpoint, at(0));
    }
    let mut far = Vec::new();
    while far.len() < bucket_size {
        let (id, endpoint) = (rng.id().with_bit(0, true), place(rng));
        answer(&mut table, &id, &endpoint, at(far.len() as u64));
        far.push((id, endpoint));
    }
    assert!(far.iter().all(|(id, _)| table.peer(id).is_some_and(Peer::is_good)));
    (table, far)
}

fn is_member(table: &Table, id: &Id) -> bool {
    table.members().any(|peer| peer.id == *id)
}

#[test]
fn one_failure_neither_evicts_nor_is_told_to_others() {
    let mut rng = rng(2);
    let (mut table, far) = full_far_bucket(&mut rng, 20);
    let (oldest, endpoint) = far[0];
    fail(&mut table, &oldest, &endpoint, at(100));
    let newcomer = rng.id().with_bit(0, true);
    answer(&mut table, &newcomer, &place(&mut rng), at(101));
    assert!(is_member(&table, &oldest) && !is_member(&table, &newcomer));
    assert!(!ids(&table.closest(&oldest, 20, &Id::ZERO)).contains(&oldest));
    assert_eq!(table.peer(&oldest).map(Peer::liveness), Some(Liveness::Doubtful));
    answer(&mut table, &oldest, &endpoint, at(102));
    assert_eq!(ids(&table.closest(&oldest, 1, &Id::ZERO)), [oldest]);
}

#[test]
fn only_a_verified_newcomer_displaces_and_only_what_failed_twice_two_seconds_apart() {
    // Failures `gap_ms` apart, from every phase of a second.
    for (gap_ms, phase_ms, counts_twice) in [
        (0, 0, false),
        (1_001, 999, false),
        (1_999, 1, false),
        (3_000, 0, true),
        (3_001, 999, true),
    ] {
        let mut rng = rng(3);
        let (mut table, far) = full_far_bucket(&mut rng, 20);
        let (oldest, endpoint) = far[0];
        let first = at(100).plus_ms(phase_ms);
        let second = first.plus_ms(gap_ms);
        table.failed(&oldest, &endpoint, first, first);
        table.failed(&oldest, &endpoint, second, second);
        let failures = table.peer(&oldest).map(|peer| peer.failures);
        let context = format!("{gap_ms} ms apart from {phase_ms} ms on");
        assert_eq!(failures, Some(if counts_twice { DISPLACE_FAILURES } else { 1 }), "{context}");
        let (merely_seen, seen_at) = (rng.id().with_bit(0, true), place(&mut rng));
        table.sighted(&merely_seen, &seen_at, at(110));
        assert!(is_member(&table, &oldest) && !is_member(&table, &merely_seen), "{context}");
        answer(&mut table, &merely_seen, &seen_at, at(111));
        assert_eq!(!is_member(&table, &oldest), counts_twice, "{context}");
        assert_eq!(is_member(&table, &merely_seen), counts_twice, "{context}");
        check(&table, &context);
    }
}

#[test]
fn the_least_recently_seen_of_those_that_failed_twice_gives_way_first() {
    let mut rng = rng(4);
    let (mut table, far) = full_far_bucket(&mut rng, 20);
    for (id, endpoint) in &far[3..6] {
        fail(&mut table, id, endpoint, at(100));
        fail(&mut table, id, endpoint, at(110));
    }
    for gone in &far[3..6] {
        assert!(is_member(&table, &gone.0));
        answer(&mut table, &rng.id().with_bit(0, true), &place(&mut rng), at(120));
        assert!(!is_member(&table, &gone.0));
    }
    answer(&mut table, &rng.id().with_bit(0, true), &place(&mut rng), at(121));
    assert!(far.iter().filter(|(id, _)| is_member(&table, id)).count() == 17);
}

#[test]
fn no_flood_of_new_ids_evicts_a_live_contact() {
    let mut rng = rng(5);
    let own = rng.id();
    let mut table = Table::new(own, 20, 2_048);
    for _ in 0..20_000 {
        let (id, endpoint) = (rng.id(), place(&mut rng));
        answer(&mut table, &id, &endpoint, at(0));
    }
    let live: Vec<Id> = table.members().map(|peer| peer.id).collect();
    assert!(live.len() > 150);
    let mut advised = 0_u32;
    for round in 0..300_000_u64 {
        let (id, endpoint) = (rng.id(), place(&mut rng));
        let now = at(round / 1_000);
        if table.sighted(&id, &endpoint, now) != Advice::Rest {
            advised += 1;
        }
        if round % 3 == 0 {
            answer(&mut table, &id, &endpoint, now);
        }
    }
    let after: HashSet<Id> = table.members().map(|peer| peer.id).collect();
    assert!(live.iter().all(|id| after.contains(id)), "a live contact was evicted");
    assert!(advised > 0);
    check(&table, "flood");
}

#[test]
fn ids_that_share_150_bits_make_bounded_buckets() {
    for answers in [false, true] {
        let mut rng = rng(6);
        let own = rng.id();
        let mut table = Table::new(own, 20, 2_048);
        for _ in 0..100_000 {
            let (id, endpoint) = (with_prefix(&mut rng, &own, 150), place(&mut rng));
            table.sighted(&id, &endpoint, at(0));
            if answers {
                answer(&mut table, &id, &endpoint, at(0));
            }
        }
        check(&table, "split bomb");
        let fill = table.fill();
        let held = fill.good + fill.unverified + fill.replacements;
        let buckets_max = 150 + (10 << NEIGHBOURHOOD_SPLITS_MAX) + 1;
        assert!(fill.buckets <= if answers { buckets_max } else { 1 }, "{fill:?}");
        assert!(held <= if answers { 28 * 12 } else { 28 }, "{fill:?}");
    }
}

#[test]
fn failures_pass_through_doubtful_to_stale_with_growing_pauses() {
    let mut rng = rng(7);
    let mut table = Table::new(rng.id(), 20, 2_048);
    let (id, endpoint) = (rng.id(), place(&mut rng));
    answer(&mut table, &id, &endpoint, at(0));
    let mut now_s = 10;
    let mut pauses = Vec::new();
    for failures in 1..=20_u8 {
        table.failed(&id, &endpoint, at(now_s), at(now_s));
        let peer = *table.peer(&id).expect("kept: there is no replacement");
        assert_eq!(peer.failures, failures);
        let expected = if failures < 5 { Liveness::Doubtful } else { Liveness::Stale };
        assert_eq!(peer.liveness(), expected, "{failures} failures");
        let pause_s = peer.probe_after_s - at(now_s).seconds();
        let mut early = Vec::new();
        let before = at(now_s + u64::from(pause_s) - 1);
        let first_s = table.unsettled(before, |contact| early.push(contact.id));
        assert!(early.is_empty(), "probed before its pause is over");
        assert_eq!(first_s, Some(peer.probe_after_s));
        table.unsettled(at(now_s + u64::from(pause_s)), |contact| early.push(contact.id));
        assert_eq!(early, [id]);
        pauses.push(pause_s);
        now_s += u64::from(pause_s);
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses[3] >= 16, "{pauses:?}");
    assert!((3_600..=3_601).contains(pauses.last().unwrap()), "{pauses:?}");
    answer(&mut table, &id, &endpoint, at(now_s));
    assert!(table.peer(&id).is_some_and(Peer::is_good));
    assert_eq!(table.unsettled(at(now_s + 10), |_| {}), None);
}

#[test]
fn a_newcomer_does_not_make_a_failing_contact_be_pinged_within_its_pause() {
    let mut rng = rng(8);
    let (mut table, far) = full_far_bucket(&mut rng, 20);
    let (oldest, endpoint) = far[0];
    for failure_s in [100, 110, 120, 140] {
        fail(&mut table, &oldest, &endpoint, at(failure_s));
    }
    let pause_ends_s = table.peer(&oldest).unwrap().probe_after_s;
    let mut asked = |now_s: u64, table: &mut Table| {
        let advice = table.sighted(&rng.id().with_bit(0, true), &place(&mut rng), at(now_s));
        matches!(advice, Advice::Contest(old, _) | Advice::Probe(old) if old.id == oldest)
    };
    for now_s in 141..u64::from(pause_ends_s) - START_S {
        assert!(!asked(now_s, &mut table), "{now_s} s");
    }
    assert!(asked(u64::from(pause_ends_s) - START_S, &mut table));
}

#[test]
fn a_failure_that_comes_after_a_later_requests_answer_changes_nothing() {
    let mut rng = rng(9);
    let mut table = Table::new(rng.id(), 20, 2_048);
    let (id, endpoint) = (rng.id(), place(&mut rng));
    answer(&mut table, &id, &endpoint, at(0));
    // Asked at 10 s and lost; asked again at 11 s and answered; the first fails at 14 s.
    answer(&mut table, &id, &endpoint, at(11));
    table.failed(&id, &endpoint, at(10), at(14));
    assert!(table.peer(&id).is_some_and(Peer::is_good));
    table.failed(&id, &endpoint, at(12), at(16));
    assert_eq!(table.peer(&id).map(Peer::liveness), Some(Liveness::Doubtful));
}

#[test]
fn the_most_recent_replacement_takes_a_free_place() {
    let mut rng = rng(10);
    let (mut table, far) = full_far_bucket(&mut rng, 3);
    let newcomers: Vec<(Id, Endpoint)> =
        (0..3).map(|_| (rng.id().with_bit(0, true), place(&mut rng))).collect();
    for (age, (id, endpoint)) in newcomers.iter().enumerate() {
        answer(&mut table, id, endpoint, at(10 + age as u64));
        assert!(!is_member(&table, id));
    }
    // The first was heard again, so the last but it is the second most recent.
    table.sighted(&newcomers[0].0, &newcomers[0].1, at(20));
    for (lost, expected) in [(0, 0), (1, 2), (2, 1)] {
        let (id, endpoint) = far[lost];
        fail(&mut table, &id, &endpoint, at(30));
        assert!(is_member(&table, &id), "one failure evicts nobody");
        fail(&mut table, &id, &endpoint, at(40));
        assert!(!is_member(&table, &id));
        assert!(is_member(&table, &newcomers[expected].0), "after {lost}");
    }
    check(&table, "replacements");
}

#[test]
fn another_endpoint_counts_only_after_the_known_one_failed_twice() {
    let mut rng = rng(11);
    let mut table = Table::new(rng.id(), 20, 2_048);
    let (id, old, new) = (rng.id(), place(&mut rng), place(&mut rng));
    let held = |table: &Table| table.peer(&id).map(|peer| (peer.endpoint, peer.failures));
    answer(&mut table, &id, &old, at(0));
    table.sighted(&id, &new, at(1));
    answer(&mut table, &id, &new, at(1));
    assert_eq!(held(&table), Some((old, 0)));
    fail(&mut table, &id, &new, at(2));
    assert_eq!(held(&table), Some((old, 0)), "a failure elsewhere is not its failure");
    fail(&mut table, &id, &old, at(10));
    answer(&mut table, &id, &new, at(11));
    assert_eq!(held(&table), Some((old, 1)), "one failure is not enough");
    fail(&mut table, &id, &old, at(20));
    assert_eq!(table.sighted(&id, &new, at(21)), Advice::Probe(Contact::new(id, new)));
    assert_eq!(held(&table), Some((old, 2)), "it has not answered yet");
    answer(&mut table, &id, &new, at(22));
    assert_eq!(held(&table), Some((new, 0)));
}

#[test]
fn an_own_outage_of_an_hour_does_not_empty_the_table() {
    let mut rng = rng(12);
    let mut table = Table::new(rng.id(), 20, 2_048);
    for _ in 0..2_000 {
        let (id, endpoint) = (rng.id(), place(&mut rng));
        answer(&mut table, &id, &endpoint, at(0));
    }
    let before = table.members().count();
    for now_s in 10..3_610 {
        let mut due = Vec::new();
        let members: Vec<Contact> = table.members().map(Peer::contact).collect();
        table.unsettled(at(now_s), |contact| due.push(contact));
        for contact in members.iter().chain(&due) {
            table.failed(&contact.id, &contact.endpoint, at(now_s), at(now_s));
        }
    }
    assert_eq!(table.members().count(), before);
    assert_eq!(table.fill().good, 0);
    let target = rng.id();
    let candidates = table.candidates(&target, 20);
    assert_eq!(candidates.as_slice().len(), 20, "lookups can begin when the outage ends");
    for contact in candidates.as_slice() {
        answer(&mut table, &contact.id, &contact.endpoint, at(4_000));
    }
    assert_eq!(table.fill().good, 20);
    check(&table, "outage");
}

#[test]
fn verified_contacts_are_not_kept_out_by_unverified_ones_when_the_table_is_full() {
    let mut rng = rng(13);
    let own = rng.id();
    let mut table = Table::new(own, 8, 60);
    for _ in 0..200 {
        let (id, endpoint) = (rng.id(), place(&mut rng));
        answer(&mut table, &id, &endpoint, at(0));
    }
    for _ in 0..1_000 {
        table.sighted(&rng.id(), &place(&mut rng), at(1));
    }
    let neighbour = with_prefix(&mut rng, &own, 30);
    answer(&mut table, &neighbour, &place(&mut rng), at(2));
    assert!(is_member(&table, &neighbour), "{:?}", table.fill());
    check(&table, "full");
}

#[test]
fn each_refresh_target_lies_in_the_bucket_it_is_for() {
    for seed in 0..200 {
        let mut rng = rng(seed);
        let own = rng.id();
        let mut table = Table::new(own, 8, 2_048);
        for _ in 0..500 {
            let (id, endpoint) = (rng.id(), place(&mut rng));
            answer(&mut table, &id, &endpoint, at(0));
        }
        let nearest = table.members().map(|peer| peer.id.shared_prefix(&own)).max().unwrap();
        let mut targets = Vec::new();
        table.refresh_targets(&mut rng, 160, |id| targets.push(id));
        let hit: HashSet<usize> = targets.iter().filter_map(|id| table.bucket_of(id)).collect();
        assert_eq!(hit.len(), targets.len(), "seed {seed}: two for one bucket");
        for (index, bucket) in table.buckets.iter().enumerate() {
            let shared = bucket.start.shared_prefix(&own);
            let is_farther = !bucket.covers(&own) && shared < nearest;
            assert!(!is_farther || hit.contains(&index), "seed {seed}: bucket {index} missed");
        }
    }
}
