//! Contacts as a wide table keeps them, and the chunks that they lie in.

use alloc::vec::Vec;
use core::mem::offset_of;

use kdht_wire::{Contact, Endpoint, Id};

use super::bits::{HIGHEST, before, blend};
use super::row::{Part, insert_in_steps, split_in_steps, trim};
use crate::closest::Told;
use crate::contact::BACKOFF_S;
use crate::few::first_bits;
use crate::planes::{Planes, SlicedKeys, key};
use crate::time::Nanos;
use crate::window::{Subtree, find};

/// Most contacts of a chunk: 2.5 KiB of them.
pub(super) const CHUNK_MAX: usize = 64;
/// The two halves of a range become one chunk if they have no more contacts than this. The gap
/// to [`CHUNK_MAX`] keeps insertions and removals at one place from splitting and joining by
/// turns.
const HALVES_JOINED_MAX: usize = 48;
/// Any other neighbours do if they have no more than this: fewer, because what they become is
/// not known to be the whole of a subtree.
const JOINED_MAX: usize = 40;
/// A chunk is split where its ids branch, unless one side had fewer contacts than this.
const BRANCH_MIN: usize = CHUNK_MAX / 8;
/// Contacts by which a chunk's memory grows: 112 bytes.
const CHUNK_STEP: usize = 2;

/// One contact of a wide table. Each answered a request of ours once.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What others are told of it.
    pub contact: Contact,
    pub(super) heard: Heard,
}

/// When a contact was heard from: 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// When last, in seconds of monotonic time (31 bits: 68 years), and in the highest bit
    /// whether it failed since its last answer.
    seen: u32,
    /// What was sent before this says nothing if it fails, in tenths of a second: the last
    /// answer, or of a failing contact the end of its pause.
    pub(super) counts_from_ds: u32,
}

/// The highest bit of [`Heard::seen`].
const FAILED: u32 = 1 << 31;

impl Entry {
    pub(super) fn new(id: Id, endpoint: Endpoint, now: Nanos) -> Self {
        Self { contact: Contact::new(id, endpoint), heard: Heard::answering(now) }
    }

    /// Whether others may be told of it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.heard.is_good()
    }

    /// When it was last heard from, in seconds of monotonic time. Sightings move it in
    /// steps of [`FRESH_S`](crate::FRESH_S), so that most of them write nothing.
    #[must_use]
    pub fn seen_s(&self) -> u32 {
        self.heard.seen & !FAILED
    }

    /// Whether it failed and its pause is over: to be asked again.
    pub(super) fn is_suspect(&self, now: Nanos) -> bool {
        !self.is_good() && self.heard.counts_from_ds <= now.tenths()
    }
}

impl Heard {
    fn answering(now: Nanos) -> Self {
        Self { seen: now.seconds().min(!FAILED), counts_from_ds: now.tenths() }
    }

    fn is_good(self) -> bool {
        self.seen & FAILED == 0
    }

    /// It was heard from, though not in answer to a request of ours.
    pub(super) fn sighted(&mut self, now: Nanos) {
        self.seen = self.seen & FAILED | now.seconds().min(!FAILED);
    }

    pub(super) fn answered(&mut self, now: Nanos) {
        *self = Self::answering(now);
    }

    /// It left a request unanswered. The tenth of a second that has begun is not counted,
    /// so that the pause is never shorter than [`BACKOFF_S`].
    pub(super) fn failed(&mut self, now: Nanos) {
        self.seen |= FAILED;
        self.counts_from_ds = now.tenths().saturating_add(BACKOFF_S * 10 + 1);
    }
}

/// A contact just as others are told it: so many bytes to copy, side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept(pub(super) Contact);

impl Told for Kept {
    #[inline(always)]
    fn id(&self) -> &Id {
        &self.0.id
    }

    #[inline(always)]
    fn tell(&self, place: &mut Contact) {
        *place = self.0;
    }
}

/// 1 to 64 contacts, sorted by id: all that there are in a range of ids. Four cache lines, the
/// first two of which are what mostly is read of it for a request.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) contacts: Vec<Kept>,
    /// A bit for each of them that is not good, the lowest for the first.
    pub(super) failing: u64,
    /// The lowest id of the range, which ends where the next chunk's begins.
    pub(super) start: Id,
    /// How many bits all ids of the range share, if it is known to be all ids that share them: a
    /// subtree.
    pub(super) depth: Option<u8>,
    /// If there is a depth, 16 bits of each one's id behind as many as [`Subtree::shared`].
    pub(super) keys: SlicedKeys,
    /// The first 64 bits of each one's id: what is read to find ids, 8 to a cache line.
    pub(super) prefixes: Vec<u64>,
    pub(super) heard: Vec<Heard>,
}

const _: () = assert!(offset_of!(Chunk, keys) == 64 && size_of::<Chunk>() == 256);

impl Chunk {
    /// The only chunk.
    pub(super) fn of(entry: Entry) -> Self {
        let mut chunk = Self {
            prefixes: Vec::new(),
            contacts: Vec::new(),
            heard: Vec::new(),
            keys: SlicedKeys::EMPTY,
            failing: 0,
            start: Id::ZERO,
            depth: Some(0),
        };
        chunk.insert(0, entry);
        chunk
    }

    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        let below = first_bits(at);
        self.failing = self.failing & below | (self.failing & !below) << 1;
        self.failing |= u64::from(!entry.is_good()) << at;
        let prefix = entry.contact.id.prefix();
        self.keys.insert(at, key(prefix, self.shared()));
        insert_in_steps(&mut self.prefixes, at, prefix, CHUNK_STEP);
        insert_in_steps(&mut self.contacts, at, Kept(entry.contact), CHUNK_STEP);
        insert_in_steps(&mut self.heard, at, entry.heard, CHUNK_STEP);
    }

    pub(super) fn remove(&mut self, at: usize) -> Entry {
        let below = first_bits(at);
        self.failing = self.failing & below | self.failing >> 1 & !below;
        self.keys.remove(at);
        let entry = self.entry(at);
        self.prefixes.remove(at);
        self.contacts.remove(at);
        self.heard.remove(at);
        self.trim();
        entry
    }

    pub(super) fn entry(&self, at: usize) -> Entry {
        Entry { contact: self.contacts[at].0, heard: self.heard[at] }
    }

    /// Notes of the contact at `at` what was heard. Whether it was and is good.
    pub(super) fn update(&mut self, at: usize, change: impl FnOnce(&mut Heard)) -> (bool, bool) {
        let heard = &mut self.heard[at];
        let was_good = heard.is_good();
        change(heard);
        let is_good = heard.is_good();
        self.failing = self.failing & !(1 << at) | u64::from(!is_good) << at;
        (was_good, is_good)
    }

    /// Asks memory for what of it tells the contacts of an answer, and where they are.
    #[inline(always)]
    pub(super) fn fetch_keys(&self, planes: impl Planes) {
        planes.fetch(core::slice::from_ref(&self.contacts));
        self.keys.fetch(planes);
    }

    /// Asks memory for the contacts of an answer of `k` about `target`: for half of what all would
    /// take, and how much can be asked for at a time is what an answer of a large table waits for.
    #[inline(always)]
    pub(super) fn fetch_nearest(&self, planes: impl Planes, target: &Id, k: usize) {
        let good = first_bits(self.contacts.len()) & !self.failing;
        let is_told = self.depth.is_some() && good.count_ones() as usize > k;
        let aim = key(target.prefix(), self.shared());
        let nearest = if is_told { self.keys.nearest(aim, good, k) } else { None };
        let mut rest = nearest.unwrap_or(good);
        while rest != 0 {
            let first = rest.trailing_zeros();
            let end = first + (rest >> first).trailing_ones();
            planes.fetch(&self.contacts[first as usize..end as usize]);
            rest &= !first_bits(end as usize);
        }
    }

    fn trim(&mut self) {
        trim(&mut self.prefixes, CHUNK_STEP);
        trim(&mut self.contacts, CHUNK_STEP);
        trim(&mut self.heard, CHUNK_STEP);
    }

    /// Where `id` is, or would be.
    pub(super) fn find(&self, id: &Id) -> Result<usize, usize> {
        find(&self.prefixes, &self.contacts, id)
    }

    /// How many of its contacts are not good.
    pub(super) fn failing(&self) -> usize {
        self.failing.count_ones() as usize
    }

    /// How many bits its contacts share before their keys.
    fn shared(&self) -> u32 {
        Subtree::shared(self.depth.unwrap_or(0))
    }

    /// Its depth is another, or other contacts are in it.
    fn make_keys(&mut self) {
        let shared = self.shared();
        self.keys = SlicedKeys::EMPTY;
        for (at, prefix) in self.prefixes.iter().enumerate() {
            self.keys.insert(at, key(*prefix, shared));
        }
    }

    /// Whether it and the one behind it are the two halves of a subtree.
    fn is_half_with(&self, next: &Self) -> bool {
        let Some(bit) = self.depth.and_then(|depth| depth.checked_sub(1)) else { return false };
        self.depth == next.depth && self.start.shared_prefix(&next.start) == bit
    }

    /// Where its ids branch; if nearly all are on one side, its middle. As an index, and as the
    /// lowest id of the upper part.
    fn branch(&self) -> (usize, Id) {
        let [Kept(first), .., Kept(last)] = &self.contacts[..] else { return (0, self.start) };
        let bit = first.id.shared_prefix(&last.id);
        let start = blend(&last.id, &Id::ZERO, bit + 1);
        let at = self.contacts.partition_point(|Kept(contact)| contact.id < start);
        if at.min(self.contacts.len() - at) >= BRANCH_MIN {
            return (at, start);
        }
        let middle = self.contacts.len() / 2;
        (middle, self.contacts[middle].0.id)
    }
}

/// How many bits the ids from `start` to before `end` share, if they are all that share them.
fn depth_of(start: &Id, end: Option<&Id>) -> Option<u8> {
    let last = end.map_or(HIGHEST, before);
    let depth = start.shared_prefix(&last);
    let is_all = blend(start, &Id::ZERO, depth) == *start && blend(&last, &HIGHEST, depth) == last;
    is_all.then_some(depth)
}

impl Part for Chunk {
    /// Where ids lie as hashes do, no subtree is so much smaller than others that it would begin
    /// within a cell, but for one in thousands.
    const CELLS_LOG: u32 = 2;

    fn start(&self) -> &Id {
        &self.start
    }

    fn len(&self) -> usize {
        self.contacts.len()
    }

    fn may_join(&self, next: &Self) -> bool {
        let most = if self.is_half_with(next) { HALVES_JOINED_MAX } else { JOINED_MAX };
        self.len() + next.len() <= most
    }

    fn split(&mut self, end: Option<&Id>) -> Self {
        let (at, start) = self.branch();
        let mut upper = Self {
            prefixes: split_in_steps(&mut self.prefixes, at, CHUNK_STEP),
            contacts: split_in_steps(&mut self.contacts, at, CHUNK_STEP),
            heard: split_in_steps(&mut self.heard, at, CHUNK_STEP),
            keys: SlicedKeys::EMPTY,
            failing: self.failing >> at,
            start,
            depth: depth_of(&start, end),
        };
        upper.make_keys();
        self.failing &= first_bits(at);
        self.depth = depth_of(&self.start, Some(&start));
        self.make_keys();
        upper
    }

    fn append(&mut self, next: Self) {
        self.depth = self.depth.filter(|_| self.is_half_with(&next)).map(|depth| depth - 1);
        self.failing |= next.failing << self.contacts.len();
        append(&mut self.prefixes, &next.prefixes);
        append(&mut self.contacts, &next.contacts);
        append(&mut self.heard, &next.heard);
        self.trim();
        self.make_keys();
    }

    fn extend_up(&mut self) {
        self.depth = None;
    }

    fn extend_down(&mut self, start: &Id) {
        (self.start, self.depth) = (*start, None);
    }

    fn heap_bytes(&self) -> usize {
        self.prefixes.capacity() * size_of::<u64>()
            + self.contacts.capacity() * size_of::<Kept>()
            + self.heard.capacity() * size_of::<Heard>()
    }
}

fn append<T: Copy>(items: &mut Vec<T>, next: &[T]) {
    items.reserve_exact(next.len());
    items.extend_from_slice(next);
}
