//! Walking the contacts in the order of their ids, in either direction.

use kdht_wire::Id;

use super::bits::prefix;
use super::chunk::{Chunk, Entry};
use super::directory::Place;
use super::row::{Part, Row};

/// A walk that shows the next contact before it steps over it.
pub(super) trait Walk<'a> {
    /// The next contact.
    fn peek(&self) -> Option<&'a Entry>;
    /// Steps over it.
    fn step(&mut self);
    /// Steps over whole chunks without a good contact, as long as the directory's prefixes
    /// tell that all in them share exactly `depth` bits with `aim`; so not from 64 bits on.
    fn skip_failing(&mut self, aim: &Id, depth: u8);
}

/// Upwards.
#[derive(Clone, Debug)]
pub(super) struct Forward<'a> {
    pages: &'a [Row<Chunk>],
    page: usize,
    chunk: usize,
    /// What is left of the chunk; empty only at the end of all.
    rest: &'a [Entry],
}

impl<'a> Forward<'a> {
    pub(super) fn new(pages: &'a [Row<Chunk>], place: Place) -> Self {
        let Place { page, chunk, index } = place;
        let rest = pages.get(page).map_or(&[][..], |page| &page.parts[chunk].entries[index..]);
        let mut walk = Self { pages, page, chunk, rest };
        walk.settle();
        walk
    }

    fn settle(&mut self) {
        if self.rest.is_empty() {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        self.rest = &[];
        let Some(page) = self.pages.get(self.page) else { return };
        self.chunk += 1;
        if self.chunk == page.len() {
            (self.page, self.chunk) = (self.page + 1, 0);
        }
        if let Some(page) = self.pages.get(self.page) {
            self.rest = &page.parts[self.chunk].entries;
        }
    }
}

impl<'a> Walk<'a> for Forward<'a> {
    fn peek(&self) -> Option<&'a Entry> {
        self.rest.first()
    }

    fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or(&[]);
        self.settle();
    }

    fn skip_failing(&mut self, aim: &Id, depth: u8) {
        while let Some(page) = self.pages.get(self.page) {
            let chunk = &page.parts[self.chunk];
            // The chunk lies within the range if the next one still begins there.
            let Some(next) = page.starts.get(self.chunk + 1) else { return };
            let is_whole = self.rest.len() == chunk.len() && chunk.failing == chunk.len();
            if !is_whole || !shares(*next, aim, depth) {
                return;
            }
            self.next_chunk();
        }
    }
}

impl<'a> Iterator for Forward<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        let entry = self.peek();
        self.step();
        entry
    }
}

/// Downwards.
#[derive(Clone, Debug)]
pub(super) struct Backward<'a> {
    pages: &'a [Row<Chunk>],
    page: usize,
    chunk: usize,
    /// What is left of the chunk; empty only at the end of all.
    rest: &'a [Entry],
}

impl<'a> Backward<'a> {
    pub(super) fn new(pages: &'a [Row<Chunk>], place: Place) -> Self {
        let Place { page, chunk, index } = place;
        let rest = pages.get(page).map_or(&[][..], |page| &page.parts[chunk].entries[..index]);
        let mut walk = Self { pages, page, chunk, rest };
        walk.settle();
        walk
    }

    fn settle(&mut self) {
        if self.rest.is_empty() {
            self.next_chunk();
        }
    }

    fn next_chunk(&mut self) {
        self.rest = &[];
        if self.chunk == 0 {
            let Some(page) = self.page.checked_sub(1) else { return };
            self.page = page;
            self.chunk = self.pages[page].len();
        }
        self.chunk -= 1;
        self.rest = &self.pages[self.page].parts[self.chunk].entries;
    }
}

impl<'a> Walk<'a> for Backward<'a> {
    fn peek(&self) -> Option<&'a Entry> {
        self.rest.last()
    }

    fn step(&mut self) {
        self.rest = self.rest.split_last().map_or(&[], |(_, rest)| rest);
        self.settle();
    }

    fn skip_failing(&mut self, aim: &Id, depth: u8) {
        while let Some(page) = self.pages.get(self.page) {
            let chunk = &page.parts[self.chunk];
            // What lies between the chunk's first id and here lies within the range.
            let is_whole = self.rest.len() == chunk.len() && chunk.failing == chunk.len();
            if !is_whole || !shares(page.starts[self.chunk], aim, depth) {
                return;
            }
            self.next_chunk();
        }
    }
}

/// Whether ids that begin with `start` share exactly `depth` bits with `aim`, as far as 64
/// bits tell.
fn shares(start: u64, aim: &Id, depth: u8) -> bool {
    let differing = start ^ prefix(aim);
    differing != 0 && differing.leading_zeros() == u32::from(depth)
}
