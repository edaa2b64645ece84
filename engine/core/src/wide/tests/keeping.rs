//! Who is kept, told of and asked again.

use super::*;

#[test]
fn a_full_table_evicts_no_live_contact_for_100_000_newcomers() {
    let mut rng = rng(25);
    let mut wide = Wide::new(rng.id(), 5_000);
    while wide.len() < 5_000 {
        wide.answered(&rng.id(), &place(&mut rng), at(0));
    }
    let live: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
    for round in 0..100_000 {
        let (id, endpoint, now) = (rng.id(), place(&mut rng), at(round / 10));
        assert_eq!(wide.sighted(&id, &endpoint, now), Sighting::Rest, "there is no room");
        assert_eq!(wide.answered(&id, &endpoint, now), Change::None);
    }
    assert!(wide.iter().map(|entry| entry.contact.id).eq(live));
    check(&wide, "flood");
}

#[test]
fn only_a_contact_that_failed_and_had_its_pause_makes_room() {
    let mut rng = rng(26);
    let mut wide = Wide::new(rng.id(), 100);
    while wide.len() < 100 {
        wide.answered(&rng.id(), &place(&mut rng), at(0));
    }
    let known: Vec<Contact> = wide.iter().map(|entry| entry.contact).collect();
    let (gone, back) = (known[40], known[50]);
    fail(&mut wide, &back.id, at(9));
    fail(&mut wide, &gone.id, at(10));
    wide.answered(&back.id, &back.endpoint, at(11));
    let new = Contact::new(rng.id(), place(&mut rng));
    assert_eq!(wide.answered(&new.id, &new.endpoint, at(12)), Change::None, "in its pause");
    assert_eq!(wide.sighted(&new.id, &new.endpoint, at(13)), Sighting::Probe(new));
    assert_eq!(wide.answered(&new.id, &new.endpoint, at(13)), Change::Added(new));
    assert!(
        wide.get(&gone.id).is_none() && wide.get(&back.id).is_some_and(|entry| entry.is_good())
    );
    assert_eq!((wide.len(), wide.good()), (100, 100));
    // One that is being asked again keeps its place until the answer is due.
    fail(&mut wide, &known[60].id, at(20));
    let mut asked = Vec::new();
    wide.due(at(23), 1_000, 10, |contact| asked.push(contact));
    assert_eq!(asked, [known[60]]);
    assert_eq!(wide.answered(&rng.id(), &place(&mut rng), at(23)), Change::None);
    assert!(wide.get(&known[60].id).is_some());
    check(&wide, "full");
}

#[test]
fn a_contact_goes_after_two_failures_at_least_two_seconds_apart() {
    for (gap_ms, phase_ms, is_gone) in [
        (0, 0, false),
        (1_001, 999, false),
        (1_999, 1, false),
        (2_101, 0, true),
        (2_101, 999, true),
        (3_000, 50, true),
    ] {
        let mut rng = rng(27);
        let mut wide = Wide::new(rng.id(), 100);
        let (id, endpoint) = (rng.id(), place(&mut rng));
        wide.answered(&id, &endpoint, at(0));
        let first = at(100).plus_ms(phase_ms);
        let second = first.plus_ms(gap_ms);
        assert_eq!(wide.failed(&id, &endpoint, first, first), Change::Removed(id));
        assert!(wide.closest(&id, 1, &Id::ZERO).as_slice().is_empty(), "told to others");
        assert_eq!(wide.failed(&id, &endpoint, second, second), Change::None);
        let context = format!("{gap_ms} ms apart from {phase_ms} ms on");
        assert_eq!(wide.get(&id).is_none(), is_gone, "{context}");
        let added = Change::Added(Contact::new(id, endpoint));
        assert_eq!(wide.answered(&id, &endpoint, second), added, "{context}");
        check(&wide, &context);
    }
}

#[test]
fn a_failure_of_a_request_older_than_the_last_answer_changes_nothing() {
    let mut rng = rng(28);
    let mut wide = Wide::new(rng.id(), 100);
    let (id, endpoint) = (rng.id(), place(&mut rng));
    wide.answered(&id, &endpoint, at(11));
    assert_eq!(wide.failed(&id, &endpoint, at(10), at(14)), Change::None);
    // Being merely heard of is no answer.
    wide.sighted(&id, &endpoint, at(90));
    assert_eq!(wide.failed(&id, &endpoint, at(80), at(94)), Change::Removed(id));
    wide.sighted(&id, &endpoint, at(95));
    assert!(!wide.get(&id).unwrap().is_good());
}

#[test]
fn another_endpoint_counts_only_after_the_known_one_failed_twice() {
    let mut rng = rng(29);
    let mut wide = Wide::new(rng.id(), 100);
    let (id, old, new) = (rng.id(), place(&mut rng), place(&mut rng));
    let (at_old, at_new) = (Contact::new(id, old), Contact::new(id, new));
    assert_eq!(wide.answered(&id, &old, at(0)), Change::Added(at_old));
    assert_eq!(wide.sighted(&id, &new, at(1)), Sighting::Rest);
    assert_eq!(wide.answered(&id, &new, at(2)), Change::None);
    assert_eq!(wide.failed(&id, &new, at(3), at(3)), Change::None, "not its failure");
    assert_eq!(wide.sighted(&id, &new, at(100)), Sighting::Probe(at_old), "it is silent");
    assert_eq!(wide.failed(&id, &old, at(100), at(104)), Change::Removed(id));
    assert_eq!(wide.sighted(&id, &new, at(105)), Sighting::Rest, "in its pause");
    assert_eq!(wide.answered(&id, &new, at(105)), Change::None);
    assert_eq!(wide.sighted(&id, &new, at(107)), Sighting::Probe(at_old));
    assert_eq!(wide.failed(&id, &old, at(107), at(111)), Change::None);
    assert_eq!(wide.sighted(&id, &new, at(112)), Sighting::Probe(at_new));
    assert_eq!(wide.answered(&id, &new, at(113)), Change::Added(at_new));
}

#[test]
fn sightings_tell_what_to_do() {
    let mut rng = rng(30);
    let own = rng.id();
    let mut wide = Wide::new(own, 100);
    let (id, endpoint) = (rng.id(), place(&mut rng));
    assert_eq!(wide.sighted(&own, &endpoint, at(0)), Sighting::Rest);
    assert_eq!(wide.sighted(&Id::ZERO, &endpoint, at(0)), Sighting::Rest);
    assert_eq!(wide.answered(&own, &endpoint, at(0)), Change::None);
    assert_eq!(wide.answered(&Id::ZERO, &endpoint, at(0)), Change::None);
    let contact = Contact::new(id, endpoint);
    assert_eq!(wide.sighted(&id, &endpoint, at(0)), Sighting::Probe(contact));
    assert!(wide.is_empty(), "whoever did not answer is not kept");
    wide.answered(&id, &endpoint, at(0));
    assert_eq!(wide.sighted(&id, &endpoint, at(60)), Sighting::Fresh);
    assert_eq!(wide.sighted(&id, &endpoint, at(61)), Sighting::Seen);
    assert_eq!(wide.sighted(&id, &endpoint, at(62)), Sighting::Fresh);
    fail(&mut wide, &id, at(70));
    assert_eq!(wide.sighted(&id, &endpoint, at(71)), Sighting::Rest);
    assert_eq!(wide.sighted(&id, &endpoint, at(73)), Sighting::Probe(contact));
}

#[test]
fn a_round_names_each_silent_contact_once_within_a_bounded_number_of_calls() {
    for (max, calls_max) in [(usize::MAX, 10), (100, 101)] {
        let mut rng = rng(31);
        let mut wide = Wide::new(rng.id(), usize::MAX);
        let (mut silent, mut heard) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..10_000 {
            let (id, endpoint) = (rng.id(), place(&mut rng));
            wide.answered(&id, &endpoint, at(0));
            if rng.below(4) == 0 {
                wide.sighted(&id, &endpoint, at(900));
                heard.insert(id);
            } else {
                silent.insert(id);
            }
        }
        let mut named = Vec::new();
        let now = at(1_000);
        for call in 0..calls_max {
            let before = named.len();
            wide.due(now, 600, max, |contact| named.push(contact.id));
            let new = named.len() - before;
            assert!(new <= max.min(LOOKED_AT_MAX), "call {call} named {new}");
        }
        // More calls within the round's time name nobody.
        for _ in 0..10 {
            wide.due(now.plus_ms(7_900), 600, max, |contact| named.push(contact.id));
        }
        assert_eq!(named.len(), silent.len(), "max {max}");
        assert_eq!(named.iter().copied().collect::<BTreeSet<Id>>(), silent, "max {max}");
        // The next round comes, and those that answered are not in it.
        let answering: Vec<Contact> = wide.iter().map(|entry| entry.contact).take(2_000).collect();
        for contact in &answering {
            wide.answered(&contact.id, &contact.endpoint, at(1_008));
            silent.remove(&contact.id);
        }
        let mut again = BTreeSet::new();
        for _ in 0..calls_max {
            wide.due(at(1_008), 600, max, |contact| assert!(again.insert(contact.id)));
        }
        assert_eq!(again, silent, "max {max}");
    }
}

#[test]
fn those_that_failed_are_asked_again_as_soon_as_their_pause_is_over() {
    let mut rng = rng(32);
    let mut wide = Wide::new(rng.id(), usize::MAX);
    for _ in 0..20_000 {
        wide.answered(&rng.id(), &place(&mut rng), at(0));
    }
    let all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
    let failed: BTreeSet<Id> = all.iter().step_by(10).copied().collect();
    for id in &failed {
        fail(&mut wide, id, at(10));
    }
    let mut named = BTreeSet::new();
    wide.due(at(12), 1_000, usize::MAX, |contact| assert!(named.insert(contact.id)));
    assert!(named.is_empty(), "in their pause");
    for _ in 0..20 {
        wide.due(at(13), 1_000, 100, |contact| assert!(named.insert(contact.id)));
    }
    assert_eq!(named, failed, "in 20 calls of 100");
    // More than are queued are found by the round.
    for id in &all {
        fail(&mut wide, id, at(20));
    }
    assert!(wide.patrol.suspects() <= SUSPECTS_MAX);
    let mut named = BTreeSet::new();
    for call in 0..40 {
        wide.due(at(30 + call), 1_000, usize::MAX, |contact| {
            named.insert(contact.id);
        });
    }
    assert!(wide.iter().all(|entry| named.contains(&entry.contact.id)));
    check(&wide, "failing");
}
