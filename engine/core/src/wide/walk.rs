//! Walking the contacts in the order of their ids, in either direction.

use core::ops::Range;

use kdht_wire::Id;

use super::chunk::{Chunk, Entry};
use super::directory::Place;
use super::row::{Part, Row};

/// A walk that shows the next contact before it steps over it.
pub(super) trait Walk {
    /// The next contact.
    fn peek(&self) -> Option<Entry>;
    /// Steps over it.
    fn step(&mut self);
    /// Steps over whole chunks without a good contact, as long as the directory's prefixes
    /// tell that all in them share exactly `depth` bits with `aim`; so not from 64 bits on.
    fn skip_failing(&mut self, aim: &Id, depth: u8);
}

/// Where a walk stands.
#[derive(Clone, Debug)]
struct Spot<'a> {
    pages: &'a [Row<Chunk>],
    page: usize,
    chunk: usize,
    /// What is left of the chunk; empty only at the end of all.
    rest: Range<usize>,
}

impl<'a> Spot<'a> {
    /// At `place`, with what of its chunk the walk takes from there on: of how many contacts,
    /// and from which index on or up to which.
    fn new(
        pages: &'a [Row<Chunk>],
        place: Place,
        rest: impl FnOnce(usize, usize) -> Range<usize>,
    ) -> Self {
        let Place { page, chunk, index } = place;
        let len = pages.get(page).map_or(0, |page| page.parts[chunk].len());
        Self { pages, page, chunk, rest: rest(len, index) }
    }

    /// The contact at `index` of the chunk.
    fn entry(&self, index: usize) -> Option<Entry> {
        Some(self.pages.get(self.page)?.parts[self.chunk].entry(index))
    }

    /// Whether the walk is before a whole chunk without a good contact.
    fn is_all_failing(&self, chunk: &Chunk) -> bool {
        self.rest.len() == chunk.len() && chunk.failing() == chunk.len()
    }
}

/// Upwards.
#[derive(Clone, Debug)]
pub(super) struct Forward<'a>(Spot<'a>);

impl<'a> Forward<'a> {
    pub(super) fn new(pages: &'a [Row<Chunk>], place: Place) -> Self {
        let mut walk = Self(Spot::new(pages, place, |len, index| index..len));
        walk.settle();
        walk
    }

    fn settle(&mut self) {
        if self.0.rest.is_empty() {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        let spot = &mut self.0;
        spot.rest = 0..0;
        let Some(page) = spot.pages.get(spot.page) else { return };
        spot.chunk += 1;
        if spot.chunk == page.len() {
            (spot.page, spot.chunk) = (spot.page + 1, 0);
        }
        if let Some(page) = spot.pages.get(spot.page) {
            spot.rest = 0..page.parts[spot.chunk].len();
        }
    }
}

impl Walk for Forward<'_> {
    fn peek(&self) -> Option<Entry> {
        self.0.rest.clone().next().and_then(|index| self.0.entry(index))
    }

    fn step(&mut self) {
        self.0.rest.next();
        self.settle();
    }

    fn skip_failing(&mut self, aim: &Id, depth: u8) {
        while let Some(page) = self.0.pages.get(self.0.page) {
            // The chunk lies within the range if the next one still begins there.
            let Some(next) = page.starts.as_slice().get(self.0.chunk + 1) else { return };
            let is_failing = self.0.is_all_failing(&page.parts[self.0.chunk]);
            if !is_failing || !shares(*next, aim, depth) {
                return;
            }
            self.next_chunk();
        }
    }
}

impl Iterator for Forward<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let entry = self.peek();
        self.step();
        entry
    }
}

/// Downwards.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a>(Spot<'a>);

impl<'a> Backward<'a> {
    pub(super) fn new(pages: &'a [Row<Chunk>], place: Place) -> Self {
        let mut walk = Self(Spot::new(pages, place, |_, index| 0..index));
        walk.settle();
        walk
    }

    fn settle(&mut self) {
        if self.0.rest.is_empty() {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        let spot = &mut self.0;
        spot.rest = 0..0;
        if spot.chunk == 0 {
            let Some(page) = spot.page.checked_sub(1) else { return };
            spot.page = page;
            spot.chunk = spot.pages[page].len();
        }
        spot.chunk -= 1;
        spot.rest = 0..spot.pages[spot.page].parts[spot.chunk].len();
    }
}

impl Walk for Backward<'_> {
    fn peek(&self) -> Option<Entry> {
        self.0.rest.clone().next_back().and_then(|index| self.0.entry(index))
    }

    fn step(&mut self) {
        self.0.rest.next_back();
        self.settle();
    }

    fn skip_failing(&mut self, aim: &Id, depth: u8) {
        while let Some(page) = self.0.pages.get(self.0.page) {
            // What lies between where the chunk's range begins and here lies within the range.
            let is_failing = self.0.is_all_failing(&page.parts[self.0.chunk]);
            if !is_failing || !shares(page.starts.as_slice()[self.0.chunk], aim, depth) {
                return;
            }
            self.next_chunk();
        }
    }
}

/// Whether ids that begin with `start` share exactly `depth` bits with `aim`, as far as 64
/// bits tell.
fn shares(start: u64, aim: &Id, depth: u8) -> bool {
    let differing = start ^ aim.prefix();
    differing != 0 && differing.leading_zeros() == u32::from(depth)
}
