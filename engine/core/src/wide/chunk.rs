//! Contacts as a wide table keeps them, and the chunks that they lie in.

use alloc::vec::Vec;

use kdht_wire::{Contact, Endpoint, Id};

use super::row::{Part, insert_in_steps, split_in_steps, trim};
use crate::closest::Told;
use crate::contact::BACKOFF_S;
use crate::time::Nanos;
use crate::window::find;

/// Most contacts of a chunk: 3 KiB of them.
pub(super) const CHUNK_MAX: usize = 64;
/// Neighbours of together no more contacts than this become one chunk. The gap to
/// [`CHUNK_MAX`] keeps insertions and removals at one place from splitting and joining
/// by turns.
const CHUNK_JOINED_MAX: usize = 48;
/// Contacts by which a chunk's memory grows: 192 bytes.
const CHUNK_STEP: usize = 4;

/// One contact of a wide table: 48 bytes. Each answered a request of ours once.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What others are told of it, as they are told it.
    pub contact: Contact,
    /// When it was last heard from, in seconds of monotonic time (31 bits: 68 years), and
    /// in the highest bit whether it failed since its last answer.
    seen: u32,
    /// What was sent before this says nothing if it fails, in tenths of a second: the last
    /// answer, or of a failing contact the end of its pause.
    pub(super) counts_from_ds: u32,
}

const _: () = assert!(size_of::<Entry>() == 48);

/// The highest bit of [`Entry::seen`].
const FAILED: u32 = 1 << 31;

impl Entry {
    pub(super) fn new(id: Id, endpoint: Endpoint, now: Nanos) -> Self {
        let (seen, counts_from_ds) = (now.seconds().min(!FAILED), now.tenths());
        Self { contact: Contact::new(id, endpoint), seen, counts_from_ds }
    }

    /// Whether others may be told of it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.seen & FAILED == 0
    }

    /// When it was last heard from, in seconds of monotonic time. Sightings move it in
    /// steps of [`FRESH_S`](crate::FRESH_S), so that most of them write nothing.
    #[must_use]
    pub fn seen_s(&self) -> u32 {
        self.seen & !FAILED
    }

    /// It was heard from, though not in answer to a request of ours.
    pub(super) fn sighted(&mut self, now: Nanos) {
        self.seen = self.seen & FAILED | now.seconds().min(!FAILED);
    }

    /// Whether it failed and its pause is over: to be asked again.
    pub(super) fn is_suspect(&self, now: Nanos) -> bool {
        !self.is_good() && self.counts_from_ds <= now.tenths()
    }

    pub(super) fn answered(&mut self, now: Nanos) {
        *self = Self::new(self.contact.id, self.contact.endpoint, now);
    }

    /// It left a request unanswered. The tenth of a second that has begun is not counted,
    /// so that the pause is never shorter than [`BACKOFF_S`].
    pub(super) fn failed(&mut self, now: Nanos) {
        self.seen |= FAILED;
        self.counts_from_ds = now.tenths().saturating_add(BACKOFF_S * 10 + 1);
    }
}

impl Told for Entry {
    #[inline(always)]
    fn id(&self) -> &Id {
        &self.contact.id
    }

    #[inline(always)]
    fn tell(&self, place: &mut Contact) {
        *place = self.contact;
    }
}

/// 1 to 64 contacts, sorted by id.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The first 64 bits of each one's id: what is read to find ids, 8 to a cache line.
    pub(super) prefixes: Vec<u64>,
    pub(super) entries: Vec<Entry>,
    /// How many of them are not good.
    pub(super) failing: usize,
}

impl Chunk {
    pub(super) fn of(entry: Entry) -> Self {
        let mut chunk = Self { prefixes: Vec::new(), entries: Vec::new(), failing: 0 };
        chunk.insert(0, entry);
        chunk
    }

    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        self.failing += usize::from(!entry.is_good());
        insert_in_steps(&mut self.prefixes, at, entry.contact.id.prefix(), CHUNK_STEP);
        insert_in_steps(&mut self.entries, at, entry, CHUNK_STEP);
    }

    pub(super) fn remove(&mut self, at: usize) -> Entry {
        self.prefixes.remove(at);
        let entry = self.entries.remove(at);
        self.failing -= usize::from(!entry.is_good());
        trim(&mut self.prefixes, CHUNK_STEP);
        trim(&mut self.entries, CHUNK_STEP);
        entry
    }

    /// Where `id` is, or would be.
    pub(super) fn find(&self, id: &Id) -> Result<usize, usize> {
        find(&self.prefixes, &self.entries, id)
    }

    fn count_failing(&mut self) {
        self.failing = self.entries.iter().filter(|entry| !entry.is_good()).count();
    }
}

impl Part for Chunk {
    const JOINED_MAX: usize = CHUNK_JOINED_MAX;

    fn first(&self) -> &Id {
        // A chunk without contacts is taken out at once.
        self.entries.first().map_or(&Id::ZERO, |entry| &entry.contact.id)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn split(&mut self) -> Self {
        let half = self.entries.len() / 2;
        let prefixes = split_in_steps(&mut self.prefixes, half, CHUNK_STEP);
        let entries = split_in_steps(&mut self.entries, half, CHUNK_STEP);
        self.count_failing();
        let mut upper = Self { prefixes, entries, failing: 0 };
        upper.count_failing();
        upper
    }

    fn append(&mut self, next: Self) {
        self.prefixes.reserve_exact(next.prefixes.len());
        self.prefixes.extend_from_slice(&next.prefixes);
        self.entries.reserve_exact(next.entries.len());
        self.entries.extend_from_slice(&next.entries);
        self.failing += next.failing;
        trim(&mut self.prefixes, CHUNK_STEP);
        trim(&mut self.entries, CHUNK_STEP);
    }

    fn heap_bytes(&self) -> usize {
        self.prefixes.capacity() * size_of::<u64>() + self.entries.capacity() * size_of::<Entry>()
    }
}
