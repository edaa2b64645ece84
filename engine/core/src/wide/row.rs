//! Parts in the order of their ids and an array of where each begins: both levels of the
//! directory.

use alloc::vec::Vec;

use kdht_wire::Id;

use super::starts::Starts;

/// Most parts of a row below the uppermost: 2 KiB of prefixes.
pub(super) const ROW_MAX: usize = 256;
/// Neighbouring rows of together no more parts than this become one.
const ROW_JOINED_MAX: usize = 192;
/// Parts by which a row's memory grows.
const ROW_STEP: usize = 16;

/// What a row consists of: a run of contacts that is never empty while it is in a row, and the
/// range of ids that they are all the contacts of. Ranges lie side by side; together they are
/// all ids.
pub(super) trait Part: Sized {
    /// Cells of a row for each of them, as a power of two.
    const CELLS_LOG: u32;

    /// The lowest id of its range.
    fn start(&self) -> &Id;
    /// Contacts of a chunk, parts of a row.
    fn len(&self) -> usize;
    /// Whether it and the part behind it are small enough to be joined.
    fn may_join(&self, next: &Self) -> bool;
    /// Gives the upper part of its range away, which ends before `end`, if anywhere.
    fn split(&mut self, end: Option<&Id>) -> Self;
    /// Takes what lies behind it.
    fn append(&mut self, next: Self);
    /// Takes the range behind it, in which nothing is.
    fn extend_up(&mut self);
    /// Takes the range before it, in which nothing is.
    fn extend_down(&mut self, start: &Id);
    /// Memory behind it, in bytes, as allocated.
    fn heap_bytes(&self) -> usize;
}

/// Parts in the order of their ids.
///
/// A part is found by where they begin, and mostly without reading even that. Only where
/// prefixes are equal are the parts' own starts read.
#[derive(Debug)]
pub(super) struct Row<T> {
    /// The first 64 bits of each part's start.
    pub(super) starts: Starts,
    pub(super) parts: Vec<T>,
}

impl<T: Part> Row<T> {
    pub(super) fn new() -> Self {
        Self { starts: Starts::new(T::CELLS_LOG), parts: Vec::new() }
    }

    pub(super) fn of(part: T) -> Self {
        let mut row = Self::new();
        row.insert(0, part);
        row
    }

    /// In which part's range `id` is; if it is before all, the first. O(1) where ids lie as hashes
    /// do, else O(log parts).
    #[inline(always)]
    pub(super) fn find(&self, id: &Id) -> usize {
        if self.parts.len() <= 1 {
            return 0;
        }
        self.starts.part_of(id.prefix()).unwrap_or_else(|| self.search(id))
    }

    #[inline(never)]
    fn search(&self, id: &Id) -> usize {
        let (starts, prefix) = (self.starts.as_slice(), id.prefix());
        let lower = starts.partition_point(|start| *start < prefix);
        let same = starts[lower..].partition_point(|start| *start == prefix);
        let begun = self.parts[lower..lower + same].partition_point(|part| part.start() <= id);
        (lower + begun).saturating_sub(1)
    }

    pub(super) fn insert(&mut self, at: usize, part: T) {
        self.starts.insert(at, part.start().prefix());
        insert_in_steps(&mut self.parts, at, part, ROW_STEP);
    }

    fn take(&mut self, at: usize) -> T {
        self.starts.remove(at);
        let part = self.parts.remove(at);
        trim(&mut self.parts, ROW_STEP);
        part
    }

    /// Takes out the part at `at`, in which nothing is left. Its neighbour has its range.
    pub(super) fn dissolve(&mut self, at: usize) {
        let gone = self.take(at);
        if let Some(before) = at.checked_sub(1) {
            self.parts[before].extend_up();
        } else if self.len() > 0 {
            self.extend_down(gone.start());
        }
    }

    /// Makes two parts of the one at `at`, where the row's range ends before `end`. Parts that
    /// are small enough join neighbours, so that no two neighbours are ever small.
    pub(super) fn split_part(&mut self, at: usize, end: Option<&Id>) {
        let next = self.parts.get(at + 1).map(|next| *next.start());
        let upper = self.parts[at].split(next.as_ref().or(end));
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
        if let Some([part, next]) = self.parts.get(at..at + 2)
            && part.may_join(next)
        {
            let next = self.take(at + 1);
            self.parts[at].append(next);
            // It may be the half of a subtree now, of which more are joined.
            self.settle(at);
        }
    }
}

impl<T: Part> Part for Row<T> {
    /// Rows begin anywhere: few of many cells have a start in them.
    const CELLS_LOG: u32 = 4;

    fn start(&self) -> &Id {
        self.parts.first().map_or(&Id::ZERO, Part::start)
    }

    fn len(&self) -> usize {
        self.parts.len()
    }

    fn may_join(&self, next: &Self) -> bool {
        self.len() + next.len() <= ROW_JOINED_MAX
    }

    fn split(&mut self, _: Option<&Id>) -> Self {
        let half = self.parts.len() / 2;
        let upper = Self { starts: self.starts.split_off(half), parts: self.parts.split_off(half) };
        trim(&mut self.parts, ROW_STEP);
        upper
    }

    fn append(&mut self, mut next: Self) {
        let seam = self.parts.len();
        self.starts.append(&next.starts);
        self.parts.reserve_exact(next.parts.len());
        self.parts.append(&mut next.parts);
        trim(&mut self.parts, ROW_STEP);
        self.settle(seam);
    }

    fn extend_up(&mut self) {
        if let Some(last) = self.parts.last_mut() {
            last.extend_up();
        }
    }

    fn extend_down(&mut self, start: &Id) {
        if let Some(first) = self.parts.first_mut() {
            first.extend_down(start);
            self.starts.set(0, start.prefix());
        }
    }

    fn heap_bytes(&self) -> usize {
        let own = self.starts.heap_bytes() + self.parts.capacity() * size_of::<T>();
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
