//! The wide table against a map, its structure after any sequence of calls, and its memory.

mod closest;
mod keeping;

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
                for (at, entry) in entries.iter().enumerate() {
                    let bits = (depth.min(63)..64)
                        .take(16)
                        .fold(0_u16, |bits, bit| bits << 1 | u16::from(entry.contact.id.bit(bit)));
                    let key = chunk.keys.at(at);
                    assert_eq!(key, bits << (depth.min(63) + 16).saturating_sub(64), "{context}");
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
