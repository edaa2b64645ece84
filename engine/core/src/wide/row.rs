//! Sorted parts and an array of where each begins: both levels of the directory.

use alloc::vec::Vec;

use kdht_wire::Id;

use crate::planes::Planes;

/// Most parts of a row below the uppermost: 2 KiB of prefixes.
pub(super) const ROW_MAX: usize = 256;
/// Neighbouring rows of together no more parts than this become one.
const ROW_JOINED_MAX: usize = 192;
/// Parts by which a row's memory grows.
const ROW_STEP: usize = 16;

/// What a row consists of: a run of contacts that is never empty while it is in a row.
pub(super) trait Part: Sized {
    /// Neighbours of together no more than this are joined.
    const JOINED_MAX: usize;

    /// The lowest id.
    fn first(&self) -> &Id;
    /// Contacts of a chunk, parts of a row.
    fn len(&self) -> usize;
    /// Gives the upper half away.
    fn split(&mut self) -> Self;
    /// Takes what lies behind it.
    fn append(&mut self, next: Self);
    /// Memory behind it, in bytes, as allocated.
    fn heap_bytes(&self) -> usize;
}

/// Parts in the order of their ids.
///
/// A part is found among the prefixes, which lie side by side: 8 to a cache line. Only
/// where prefixes are equal are the parts' first ids read.
#[derive(Debug)]
pub(super) struct Row<T> {
    /// The first 64 bits of each part's first id.
    pub(super) starts: Vec<u64>,
    pub(super) parts: Vec<T>,
}

impl<T: Part> Row<T> {
    pub(super) const EMPTY: Self = Self { starts: Vec::new(), parts: Vec::new() };

    pub(super) fn of(part: T) -> Self {
        let mut row = Self::EMPTY;
        row.insert(0, part);
        row
    }

    /// Which part `id` belongs to: the last that begins at or before it, else the first.
    /// O(log parts).
    #[inline(always)]
    pub(super) fn find(&self, planes: impl Planes, id: &Id) -> usize {
        if self.starts.len() <= 1 {
            return 0;
        }
        let prefix = id.prefix();
        let lower = planes.rank(&self.starts, |start| start < prefix);
        let same = match self.starts.get(lower) {
            Some(start) if *start == prefix => self.begun_of_same(lower, id),
            _ => 0,
        };
        (lower + same).saturating_sub(1)
    }

    /// How many of the parts from `lower` on with this prefix begin at or before `id`.
    #[cold]
    fn begun_of_same(&self, lower: usize, id: &Id) -> usize {
        let prefix = id.prefix();
        let same = self.starts[lower..].partition_point(|start| *start == prefix);
        self.parts[lower..lower + same].partition_point(|part| part.first() <= id)
    }

    pub(super) fn insert(&mut self, at: usize, part: T) {
        insert_in_steps(&mut self.starts, at, part.first().prefix(), ROW_STEP);
        insert_in_steps(&mut self.parts, at, part, ROW_STEP);
    }

    pub(super) fn remove(&mut self, at: usize) -> T {
        self.starts.remove(at);
        let part = self.parts.remove(at);
        trim(&mut self.starts, ROW_STEP);
        trim(&mut self.parts, ROW_STEP);
        part
    }

    /// The part at `at` has another first id.
    pub(super) fn restart(&mut self, at: usize) {
        self.starts[at] = self.parts[at].first().prefix();
    }

    /// Makes two parts of the one at `at`. Halves that are small enough join neighbours, so
    /// that no two neighbours are ever small.
    pub(super) fn split_part(&mut self, at: usize) {
        let upper = self.parts[at].split();
        self.insert(at + 1, upper);
        self.settle(at + 1);
        self.settle(at);
    }

    /// Joins the part at `at` with its neighbours, as far as they are small.
    pub(super) fn settle(&mut self, at: usize) {
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
    }

    /// Joins the part at `at` with the next, if both are small.
    fn join(&mut self, at: usize) {
        let Some([part, next]) = self.parts.get(at..at + 2) else { return };
        if part.len() + next.len() <= T::JOINED_MAX {
            let next = self.remove(at + 1);
            self.parts[at].append(next);
        }
    }
}

impl<T: Part> Part for Row<T> {
    const JOINED_MAX: usize = ROW_JOINED_MAX;

    fn first(&self) -> &Id {
        self.parts.first().map_or(&Id::ZERO, Part::first)
    }

    fn len(&self) -> usize {
        self.parts.len()
    }

    fn split(&mut self) -> Self {
        let half = self.parts.len() / 2;
        let upper = Self { starts: self.starts.split_off(half), parts: self.parts.split_off(half) };
        trim(&mut self.starts, ROW_STEP);
        trim(&mut self.parts, ROW_STEP);
        upper
    }

    fn append(&mut self, mut next: Self) {
        let seam = self.parts.len();
        self.starts.reserve_exact(next.starts.len());
        self.starts.append(&mut next.starts);
        self.parts.reserve_exact(next.parts.len());
        self.parts.append(&mut next.parts);
        trim(&mut self.starts, ROW_STEP);
        trim(&mut self.parts, ROW_STEP);
        self.settle(seam);
    }

    fn heap_bytes(&self) -> usize {
        let own =
            self.starts.capacity() * size_of::<u64>() + self.parts.capacity() * size_of::<T>();
        own + self.parts.iter().map(Part::heap_bytes).sum::<usize>()
    }
}

/// Inserts with memory for `step` more when there is none: doubling would let a table of
/// a million contacts take the memory of two.
pub(super) fn insert_in_steps<T>(items: &mut Vec<T>, at: usize, item: T, step: usize) {
    if items.len() == items.capacity() {
        items.reserve_exact(step);
    }
    items.insert(at, item);
}

/// Gives the items from `at` on away, with memory for `step` more.
pub(super) fn split_in_steps<T: Copy>(items: &mut Vec<T>, at: usize, step: usize) -> Vec<T> {
    let mut upper = Vec::with_capacity(items.len() - at + step);
    upper.extend_from_slice(&items[at..]);
    items.truncate(at);
    trim(items, step);
    upper
}

/// Gives memory back once two steps of it are unused.
pub(super) fn trim<T>(items: &mut Vec<T>, step: usize) {
    if items.capacity() - items.len() >= 2 * step {
        items.shrink_to(items.len() + step);
    }
}
