//! The wide table against a map and a full sort, its structure after any sequence of calls,
//! its memory, and what hostile ids may cost.

use std::collections::{BTreeMap, BTreeSet};

use allocation_counter::measure;
use kdht_wire::{Contact, Endpoint, Id};

use super::bits::{HIGHEST, before};
use super::chunk::{CHUNK_MAX, Chunk};
use super::nearest::Fetch;
use super::row::{Part, ROW_MAX};
use super::*;
use crate::closest::Closest;
use crate::planes;
use crate::rng::Rng;
use crate::samples::{at, pick, place, salted_rng, with_prefix};
use crate::time::{NS_PER_MS, Nanos};

const MEMORY_MAX: usize = 64 << 20;

fn rng(seed: u64) -> Rng {
    salted_rng(0x77, seed)
}

/// How ids lie.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Uniform,
    /// Nine of ten share so many bits with one id.
    Crowd(u8),
    /// All share so many bits with one id.
    All(u8),
    /// All share 140 bits but for some that branch off at every bit before.
    Comb,
}

const SHAPES: [Shape; 7] = [
    Shape::Uniform,
    Shape::Crowd(12),
    Shape::Crowd(140),
    Shape::Crowd(150),
    Shape::All(12),
    Shape::All(64),
    Shape::Comb,
];

impl Shape {
    fn id(self, rng: &mut Rng, centre: &Id) -> Id {
        match self {
            Self::Uniform => rng.id(),
            Self::Crowd(bits) if rng.below(10) < 9 => with_prefix(rng, centre, bits),
            Self::Crowd(_) => rng.id(),
            Self::All(bits) => with_prefix(rng, centre, bits),
            Self::Comb if rng.below(10) < 9 => with_prefix(rng, centre, 140),
            Self::Comb => {
                let bit = u8::try_from(rng.below(140)).unwrap();
                with_prefix(rng, centre, bit).with_bit(bit, !centre.bit(bit))
            }
        }
    }
}

/// A table of `draws` contacts or, where ids repeat, fewer.
fn filled(rng: &mut Rng, shape: Shape, centre: &Id, draws: usize) -> Wide {
    let mut wide = Wide::new(with_prefix(rng, centre, 20), usize::MAX);
    for _ in 0..draws {
        let (id, endpoint) = (shape.id(rng, centre), place(rng));
        wide.answered(&id, &endpoint, at(0));
    }
    wide
}

/// `id` leaves unanswered what was sent to it just now.
fn fail(wide: &mut Wide, id: &Id, now: Nanos) -> Change {
    let endpoint = wide.get(id).unwrap().contact.endpoint;
    wide.failed(id, &endpoint, now, now)
}

fn ids(closest: &Closest) -> Vec<Id> {
    closest.as_slice().iter().map(|contact| contact.id).collect()
}

/// What a full sort of `good` would answer.
fn sorted<'a>(good: impl Iterator<Item = &'a Id>, target: &Id, k: usize, asker: &Id) -> Vec<Id> {
    let mut sorted: Vec<Id> = good.filter(|id| *id != asker).copied().collect();
    sorted.sort_by_key(|id| id.distance(target));
    sorted.truncate(k);
    sorted
}

/// What every sequence of calls must leave.
fn check(wide: &Wide, context: &str) {
    let pages = &wide.directory.pages;
    let mut last = Id::ZERO;
    let (mut len, mut failing) = (0, 0);
    // Where each range begins; all of them together are all ids.
    let chunks: Vec<&Chunk> = pages.parts.iter().flat_map(|page| &page.parts).collect();
    let starts: Vec<Id> = chunks.iter().map(|chunk| chunk.start).collect();
    assert!(starts.is_sorted() && starts.first().is_none_or(|start| *start == Id::ZERO));
    let ends = starts.iter().skip(1).map(Some).chain([None]);
    let ranges: Vec<(Id, Option<&Id>)> = starts.iter().copied().zip(ends).collect();
    let mut ranges = ranges.iter();
    let prefixes =
        |starts: &mut dyn Iterator<Item = &Id>| starts.map(Id::prefix).collect::<Vec<u64>>();
    let page_starts = prefixes(&mut pages.parts.iter().map(Part::start));
    assert_eq!(pages.starts.as_slice(), page_starts, "{context}");
    for page in &pages.parts {
        let chunk_starts = prefixes(&mut page.parts.iter().map(Part::start));
        assert_eq!(page.starts.as_slice(), chunk_starts, "{context}");
        assert!((1..=ROW_MAX).contains(&page.len()), "{context}: {} chunks", page.len());
        for chunk in &page.parts {
            let entries: Vec<Entry> = (0..chunk.len()).map(|at| chunk.entry(at)).collect();
            assert!((1..=CHUNK_MAX).contains(&entries.len()), "{context}: {}", entries.len());
            let unused = [
                chunk.prefixes.capacity() - entries.len(),
                chunk.contacts.capacity() - entries.len(),
                chunk.heard.capacity() - entries.len(),
            ];
            assert!(unused.iter().all(|unused| *unused < 4), "{context}: unused memory");
            let firsts = prefixes(&mut entries.iter().map(|entry| &entry.contact.id));
            assert_eq!(chunk.prefixes, firsts, "{context}");
            let (start, end) = ranges.next().unwrap();
            if let Some(depth) = chunk.depth {
                let lowest = (depth..160).fold(*start, |id, bit| id.with_bit(bit, false));
                let highest = (depth..160).fold(*start, |id, bit| id.with_bit(bit, true));
                for (key, entry) in chunk.keys.iter().zip(&entries) {
                    let bits = (depth.min(63)..64)
                        .take(16)
                        .fold(0_u16, |bits, bit| bits << 1 | u16::from(entry.contact.id.bit(bit)));
                    assert_eq!(*key, bits << (depth.min(63) + 16).saturating_sub(64), "{context}");
                }
                assert_eq!(*start, lowest, "{context}: a subtree begins at its lowest id");
                let last = end.map_or(HIGHEST, before);
                assert_eq!(last, highest, "{context}: is all of it, and nothing else");
            }
            assert!(entries[0].contact.id >= *start, "{context}: within the range");
            let highest = &entries[entries.len() - 1].contact.id;
            assert!(end.is_none_or(|end| highest < end), "{context}: within the range");
            for entry in &entries {
                assert!(
                    last < entry.contact.id && entry.contact.id != wide.own,
                    "{context}: order"
                );
                last = entry.contact.id;
            }
            let failing_here = entries.iter().enumerate().filter(|(_, entry)| !entry.is_good());
            let bits = failing_here.fold(0_u64, |bits, (at, _)| bits | 1 << at);
            assert_eq!(chunk.failing, bits, "{context}");
            failing += bits.count_ones() as usize;
            len += entries.len();
        }
        for pair in page.parts.windows(2) {
            let (lower, upper) = (&pair[0], &pair[1]);
            let are_halves = lower.depth.is_some()
                && lower.depth == upper.depth
                && lower.depth == Some(lower.start.shared_prefix(&upper.start) + 1);
            let most = if are_halves { 48 } else { 40 };
            assert!(lower.len() + upper.len() > most, "{context}: two small chunks");
        }
    }
    for pair in pages.parts.windows(2) {
        assert!(pair[0].len() + pair[1].len() > 192, "{context}: two small pages");
    }
    assert_eq!((wide.len(), wide.good()), (len, len - failing), "{context}");
    assert!(wide.len() <= wide.contacts_max, "{context}");
    assert!(wide.memory_bytes() <= 80 * len + (128 << 10), "{context}: {len} contacts");
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    endpoint: Endpoint,
    failed: Option<Nanos>,
    answered: Nanos,
}

/// The rules once more, on a map.
#[derive(Default)]
struct Model {
    known: BTreeMap<Id, Known>,
}

impl Model {
    fn answered(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) {
        let new = Known { endpoint: *endpoint, failed: None, answered: now };
        let known = self.known.entry(*id).or_insert(new);
        if known.endpoint == *endpoint {
            *known = new;
        }
    }

    fn failed(&mut self, id: &Id, endpoint: &Endpoint, sent: Nanos, now: Nanos) {
        let Some(known) = self.known.get_mut(id).filter(|known| known.endpoint == *endpoint) else {
            return;
        };
        match known.failed {
            // Times are kept to a tenth of a second.
            None if sent.tenths() >= known.answered.tenths() => known.failed = Some(now),
            Some(failed) if sent.tenths() > failed.tenths() + 20 => {
                self.known.remove(id);
            }
            _ => {}
        }
    }

    fn good(&self) -> impl Iterator<Item = (&Id, &Known)> {
        self.known.iter().filter(|(_, known)| known.failed.is_none())
    }
}

#[test]
fn any_sequence_of_calls_leaves_what_a_map_would_hold() {
    for seed in 0..30 {
        let mut rng = rng(seed);
        let shape = SHAPES[pick(&mut rng, SHAPES.len())];
        let (own, centre) = (rng.id(), rng.id());
        let mut wide = Wide::new(own, usize::MAX);
        let (mut model, mut replica) = (Model::default(), BTreeMap::new());
        let mut drawn: Vec<(Id, Endpoint)> =
            vec![(own, place(&mut rng)), (Id::ZERO, place(&mut rng))];
        let mut now = at(0);
        for step in 0..2_500 {
            let context = format!("seed {seed}, {shape:?}, step {step}");
            now = now.plus_ms(rng.below(2) * rng.below(400));
            // It grows, shrinks and grows.
            let is_growing = !(1_000..1_800).contains(&step);
            let (id, mut endpoint) = if is_growing && rng.below(3) > 0 {
                drawn.push((shape.id(&mut rng, &centre), place(&mut rng)));
                drawn[drawn.len() - 1]
            } else {
                drawn[pick(&mut rng, drawn.len())]
            };
            if rng.below(8) == 0 {
                endpoint = place(&mut rng);
            }
            let sent = Nanos(now.0 - rng.below(3) * rng.below(3_000) * NS_PER_MS);
            let change = match rng.below(if is_growing { 4 } else { 12 }) {
                0 | 1 => {
                    if id != own && id != Id::ZERO {
                        model.answered(&id, &endpoint, now);
                    }
                    wide.answered(&id, &endpoint, now)
                }
                2 => {
                    wide.sighted(&id, &endpoint, now);
                    Change::None
                }
                _ => {
                    model.failed(&id, &endpoint, sent, now);
                    wide.failed(&id, &endpoint, sent, now)
                }
            };
            match change {
                Change::None => {}
                Change::Added(new) => {
                    assert_eq!(replica.insert(new.id, new.endpoint), None, "{context}");
                }
                Change::Removed(id) => assert!(replica.remove(&id).is_some(), "{context}"),
            }
            check(&wide, &context);
            assert_eq!(wide.len(), model.known.len(), "{context}");
        }
        let held =
            wide.iter().map(|entry| (entry.contact.id, (entry.contact.endpoint, entry.is_good())));
        let expected = model.known.iter().map(|(id, k)| (*id, (k.endpoint, k.failed.is_none())));
        assert!(held.eq(expected), "seed {seed}");
        let good = model.good().map(|(id, known)| (*id, known.endpoint));
        assert!(replica.into_iter().eq(good), "seed {seed}: who follows the changes");
    }
}

#[test]
fn closest_returns_what_a_full_sort_would() {
    for seed in 0..200 {
        let mut rng = rng(seed);
        let shape = SHAPES[pick(&mut rng, SHAPES.len())];
        let centre = rng.id();
        let draws = [0, 5, 60, 300, 3_000][pick(&mut rng, 5)];
        let mut wide = filled(&mut rng, shape, &centre, draws);
        let all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        // None fail, a tenth, or all of a region.
        let fails = rng.below(3);
        let region = u8::try_from(rng.below(14)).unwrap();
        for id in &all {
            let is_near = id.shared_prefix(&centre) >= region;
            if fails == 1 && rng.below(10) == 0 || fails == 2 && is_near && rng.below(60) > 0 {
                assert_eq!(fail(&mut wide, id, at(1)), Change::Removed(*id));
            }
        }
        // Those of another region go for good, and some of them come back.
        if rng.below(2) == 0 {
            let (around, bits) = (shape.id(&mut rng, &centre), u8::try_from(rng.below(9)).unwrap());
            for id in all.iter().filter(|id| id.shared_prefix(&around) >= bits) {
                fail(&mut wide, id, at(1));
                if wide.get(id).is_some() {
                    fail(&mut wide, id, at(10));
                }
                if rng.below(20) == 0 {
                    wide.answered(id, &place(&mut rng), at(11));
                }
            }
        }
        check(&wide, &format!("seed {seed}"));
        let good: Vec<Id> =
            wide.iter().filter(|e| e.is_good()).map(|entry| entry.contact.id).collect();
        for _ in 0..12 {
            let target = match rng.below(3) {
                0 if !all.is_empty() => all[pick(&mut rng, all.len())],
                1 => shape.id(&mut rng, &centre),
                _ => rng.id(),
            };
            let k = [8, 20, 1 + pick(&mut rng, 20), 100][pick(&mut rng, 4)];
            let nearest = sorted(good.iter(), &target, 1, &Id::ZERO);
            let asker = nearest.first().filter(|_| rng.below(2) == 0).copied().unwrap_or_default();
            let expected = sorted(good.iter(), &target, k.min(20), &asker);
            // Asking memory for what is there, in whatever table, changes nothing.
            (1..=3).for_each(|before| planes::run(Fetch { wide: &wide, target: &target, before }));
            let answer = wide.closest(&target, k, &asker).sorted(&target);
            assert_eq!(ids(&answer), expected, "seed {seed}, {shape:?}, k {k}, target {target}");
            for contact in answer.as_slice() {
                assert_eq!(wide.get(&contact.id).map(|entry| entry.contact), Some(*contact));
            }
        }
    }
}

#[test]
fn closest_is_exact_and_reads_little_in_a_table_of_100_000() {
    for (shape, mean_max, most_max) in [
        (Shape::Uniform, 40, 200),
        (Shape::Crowd(12), 60, 200),
        (Shape::Crowd(140), 60, 200),
        (Shape::Crowd(150), 60, 200),
        (Shape::All(12), 80, 200),
        (Shape::All(64), 80, 200),
        (Shape::Comb, 60, 200),
    ] {
        let mut rng = rng(20);
        let centre = rng.id();
        let wide = filled(&mut rng, shape, &centre, 100_000);
        let all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        let (mut sum, mut most) = (0, 0);
        for round in 0..1_000 {
            let target = if round % 2 == 0 { rng.id() } else { shape.id(&mut rng, &centre) };
            let asker = all[pick(&mut rng, all.len())];
            let search = wide.search(&target, 20, &asker);
            // Two ways to the same answer.
            let closest = ids(&wide.closest(&target, 20, &asker).sorted(&target));
            assert_eq!(closest, ids(&search.out), "{shape:?}");
            if round < 6 {
                let expected = sorted(all.iter(), &target, 20, &asker);
                assert_eq!(closest, expected, "{shape:?}");
                let closest = wide.closest(&target, 8, &asker).sorted(&target);
                assert_eq!(ids(&closest), expected[..8], "{shape:?}");
            }
            sum += search.looked_at;
            most = most.max(search.looked_at);
        }
        let mean = sum / 1_000;
        println!("{shape:?}: {mean} contacts read a request, at most {most}");
        assert!(mean <= mean_max && most <= most_max, "{shape:?}: mean {mean}, most {most}");
    }
}

#[test]
fn of_ids_as_hashes_have_them_the_chunk_of_a_target_mostly_holds_its_closest_20() {
    let mut rng = rng(34);
    for contacts in [1_000, 2_000, 3_000, 20_000] {
        let mut wide = filled(&mut rng, Shape::Uniform, &Id::ZERO, contacts);
        // All are replaced twice, each time in another order.
        for _ in 0..2 * contacts {
            let place = pick(&mut rng, wide.len());
            let gone = wide.iter().nth(place).unwrap().contact.id;
            fail(&mut wide, &gone, at(10));
            fail(&mut wide, &gone, at(20));
            wide.answered(&rng.id(), &Endpoint::NONE, at(20));
        }
        let chunks: Vec<&Chunk> =
            wide.directory.pages.parts.iter().flat_map(|page| &page.parts).collect();
        let answers = (0..1_000).filter(|_| {
            let target = rng.id();
            let at = chunks.partition_point(|chunk| chunk.start <= target) - 1;
            chunks[at].depth.is_some() && chunks[at].len() >= 20
        });
        let answers = answers.count();
        println!("{contacts} contacts: {answers} of 1,000 answers lie in one chunk");
        assert!(answers >= 950, "{contacts} contacts: {answers} of 1,000");
    }
}

#[test]
fn ids_that_branch_at_every_second_bit_cost_a_bounded_search_each() {
    let mut rng = rng(33);
    let centre = rng.id();
    // The crowd that is in the way at every level, and a contact beside it at each.
    let mut wide = Wide::new(rng.id(), usize::MAX);
    let mut all: Vec<Id> = (0..2_000).map(|_| with_prefix(&mut rng, &centre, 140)).collect();
    for bit in (0..140).step_by(2) {
        all.push(with_prefix(&mut rng, &centre, bit).with_bit(bit, !centre.bit(bit)));
    }
    for id in &all {
        wide.answered(id, &place(&mut rng), at(0));
    }
    let flipped = |id: Id, bit: u8| id.with_bit(bit, !id.bit(bit));
    let target = (1..140).step_by(2).fold(centre, flipped);
    let search = wide.search(&target, 20, &Id::ZERO);
    let held: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
    assert_eq!(ids(&search.out), sorted(held.iter(), &target, 20, &Id::ZERO));
    println!("{} contacts read", search.looked_at);
    // 70 searches, so the worst case is met; each reads one contact more than it sorts.
    assert!((70 * 65..81 * 65 + 200).contains(&search.looked_at), "{}", search.looked_at);
}

#[test]
fn chunks_of_failed_contacts_are_not_read() {
    let mut rng = rng(21);
    let centre = rng.id();
    let mut wide = filled(&mut rng, Shape::Uniform, &centre, 50_000);
    let failing: Vec<Id> = wide.range(centre, 1).map(|entry| entry.contact.id).collect();
    assert!(failing.len() > 20_000);
    for id in &failing {
        fail(&mut wide, id, at(1));
    }
    for _ in 0..100 {
        let target = with_prefix(&mut rng, &centre, 1);
        let search = wide.search(&target, 20, &Id::ZERO);
        let good = wide.iter().filter(|e| e.is_good()).map(|entry| entry.contact.id);
        let good: Vec<Id> = good.collect();
        assert_eq!(
            ids(&search.out),
            sorted(good.iter(), &target, 20, &Id::ZERO),
            "target {target}"
        );
        // The chunk at the target's place, those at either end, and one for each page.
        assert!(search.looked_at < 2_000, "{} contacts read", search.looked_at);
    }
}

#[test]
fn a_million_contacts_fit_in_64_mib() {
    const CONTACTS: usize = 1_000_000;
    for shape in [Shape::Uniform, Shape::Crowd(12)] {
        let mut rng = rng(22);
        let (own, centre) = (rng.id(), rng.id());
        let endpoint = place(&mut rng);
        let mut made = None;
        let memory = measure(|| {
            let wide = made.insert(Wide::new(own, CONTACTS));
            while wide.len() < CONTACTS {
                wide.answered(&shape.id(&mut rng, &centre), &endpoint, at(0));
            }
        });
        let wide = made.as_mut().unwrap();
        let total = size_of::<Wide>() + usize::try_from(memory.bytes_current).unwrap();
        assert_eq!(wide.memory_bytes(), total, "{shape:?}: as the allocator counts it");
        assert!(total <= MEMORY_MAX, "{shape:?}: {total} bytes");
        check(wide, &format!("{shape:?}, filled"));
        // Every fifth goes, and others come.
        let going: Vec<Id> = wide.iter().step_by(5).map(|entry| entry.contact.id).collect();
        for id in &going {
            fail(wide, id, at(10));
            fail(wide, id, at(20));
        }
        assert_eq!(wide.len(), CONTACTS - going.len(), "{shape:?}");
        check(wide, &format!("{shape:?}, thinned"));
        while wide.len() < CONTACTS {
            wide.answered(&shape.id(&mut rng, &centre), &endpoint, at(30));
        }
        check(wide, &format!("{shape:?}, churned"));
        let churned = wide.memory_bytes();
        println!("{shape:?}: {total} bytes filled, {churned} churned");
        assert!(churned <= MEMORY_MAX, "{shape:?}: {churned} bytes");
    }
}

#[test]
fn a_table_that_shrinks_to_nothing_gives_its_memory_back_on_the_way() {
    for shape in SHAPES {
        let mut rng = rng(23);
        let centre = rng.id();
        let mut wide = filled(&mut rng, shape, &centre, 60_000);
        let mut left: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        while !left.is_empty() {
            // Alternately from anywhere and from one end.
            let index = if left.len().is_multiple_of(2) { pick(&mut rng, left.len()) } else { 0 };
            let id = left.swap_remove(index);
            fail(&mut wide, &id, at(10));
            fail(&mut wide, &id, at(20));
            assert!(wide.get(&id).is_none());
            if left.len().is_multiple_of(1_000) {
                check(&wide, &format!("{shape:?}, {} left", left.len()));
            }
        }
        assert!(wide.is_empty() && wide.closest(&centre, 20, &Id::ZERO).as_slice().is_empty());
    }
}

#[test]
fn a_table_that_is_emptied_from_one_end_has_all_ranges_at_each_step() {
    for (shape, from_lowest) in SHAPES.into_iter().flat_map(|shape| [(shape, true), (shape, false)])
    {
        let mut rng = rng(35);
        let centre = rng.id();
        let mut wide = filled(&mut rng, shape, &centre, 20_000);
        let mut all: Vec<Id> = wide.iter().map(|entry| entry.contact.id).collect();
        if !from_lowest {
            all.reverse();
        }
        for (number, id) in all.iter().enumerate() {
            fail(&mut wide, id, at(10));
            fail(&mut wide, id, at(20));
            if number % 199 == 0 {
                let context = format!("{shape:?}, lowest first: {from_lowest}, {number} gone");
                check(&wide, &context);
                let target = if rng.below(2) == 0 { *id } else { shape.id(&mut rng, &centre) };
                let left = all[number + 1..].iter();
                let answer = ids(&wide.closest(&target, 20, &Id::ZERO).sorted(&target));
                assert_eq!(answer, sorted(left, &target, 20, &Id::ZERO), "{context}");
            }
        }
        assert!(wide.is_empty());
    }
}

#[test]
fn ids_in_order_make_no_worse_a_table() {
    for is_rising in [true, false] {
        let mut rng = rng(24);
        let mut sorted: Vec<Id> = (0..40_000).map(|_| rng.id()).collect();
        sorted.sort_unstable();
        if !is_rising {
            sorted.reverse();
        }
        let mut wide = Wide::new(rng.id(), usize::MAX);
        for id in &sorted {
            wide.answered(id, &place(&mut rng), at(0));
        }
        check(&wide, &format!("rising: {is_rising}"));
        assert_eq!(wide.len(), 40_000);
    }
}

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
fn a_range_is_what_shares_the_prefix() {
    for seed in 0..100 {
        let mut rng = rng(seed);
        let shape = SHAPES[pick(&mut rng, SHAPES.len())];
        let centre = rng.id();
        let wide = filled(&mut rng, shape, &centre, 2_000);
        for bits in [0, 1, 7, 8, 12, 63, 64, 65, 140, 149, 159, 160, 200] {
            let prefix = shape.id(&mut rng, &centre);
            let within = |entry: &Entry| entry.contact.id.shared_prefix(&prefix) >= bits.min(160);
            let expected: Vec<Id> =
                wide.iter().filter(within).map(|entry| entry.contact.id).collect();
            let range: Vec<Id> = wide.range(prefix, bits).map(|entry| entry.contact.id).collect();
            assert_eq!(range, expected, "seed {seed}, {shape:?}, {bits} bits");
            let max = pick(&mut rng, 100);
            assert_eq!(wide.count_in(prefix, bits, max), expected.len().min(max), "seed {seed}");
        }
    }
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
