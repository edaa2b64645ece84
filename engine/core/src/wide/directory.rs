//! Contacts sorted by id: chunks of them in pages, pages in one row.
//!
//! Each chunk is all contacts of a range of ids, and is split where they branch, unless nearly all
//! are on one side. So with ids as hashes give them each is all contacts that share some bits, and
//! whoever asks for an id in its range mostly finds all of the answer in it.
//!
//! A chunk holds at most 64 contacts, a page at most 256 chunks; neighbouring chunks of a
//! page hold more than 40, or 48 if they are the halves of a subtree, neighbouring pages more
//! than 192 chunks; at most 3 contacts' memory of a chunk is unused. So a contact costs at most
//! 80 bytes in a table of thousands, however the ids lie and whatever was removed.

use core::ops::Range;

use kdht_wire::Id;

use super::chunk::{CHUNK_MAX, Chunk, Entry, Heard, Kept};
use super::row::{Part, ROW_MAX, Row};
use super::walk::{Backward, Forward};
use crate::planes::Planes;
use crate::window::{Run, Runs, Subtree};

/// Where a contact is, until the next insertion or removal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) page: usize,
    pub(super) chunk: usize,
    pub(super) index: usize,
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) pages: Row<Row<Chunk>>,
    len: usize,
    failing: usize,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { pages: Row::new(), len: 0, failing: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many contacts are not good.
    pub(super) fn failing(&self) -> usize {
        self.failing
    }

    /// Where `id` is, or the place that it would have. O(log contacts).
    pub(super) fn seek(&self, id: &Id) -> Result<Place, Place> {
        let Some((page, chunk)) = self.locate(id) else {
            return Err(Place { page: 0, chunk: 0, index: 0 });
        };
        let found = self.pages.parts[page].parts[chunk].find(id);
        let place = |index| Place { page, chunk, index };
        found.map(place).map_err(place)
    }

    /// Asks memory for what an answer of `k` about `target` that comes `before` (1 to 3) others from
    /// now is going to read: with 3 where its chunk is told, with 2 the chunk, with 1 its contacts.
    /// What tells that was asked for one call earlier, so that little is waited for.
    #[inline(always)]
    pub(super) fn fetch(&self, planes: impl Planes, target: &Id, k: usize, before: usize) {
        let Some(page) = self.pages.parts.get(self.pages.find(target)) else { return };
        if before > 2 {
            return page.starts.fetch(planes, target.prefix());
        }
        let Some(chunk) = page.parts.get(page.find(target)) else { return };
        if before == 2 {
            chunk.fetch_keys(planes);
        } else {
            chunk.fetch_nearest(planes, target, k);
        }
    }

    /// The contact at a place that [`Directory::seek`] found.
    pub(super) fn at(&self, place: Place) -> Entry {
        self.pages.parts[place.page].parts[place.chunk].entry(place.index)
    }

    /// Notes of the contact at `place` what was heard.
    pub(super) fn update(&mut self, place: Place, change: impl FnOnce(&mut Heard)) {
        let chunk = &mut self.pages.parts[place.page].parts[place.chunk];
        let (was_good, is_good) = chunk.update(place.index, change);
        self.failing = self.failing + usize::from(!is_good) - usize::from(!was_good);
    }

    /// Inserts a contact whose id is not there. O(log contacts) and the moving of at most
    /// a chunk; where a chunk becomes full, also of a page's directory.
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.pages.len() == 0 {
            self.pages.insert(0, Row::of(Chunk::of(entry)));
        } else {
            let (Ok(place) | Err(place)) = self.seek(&entry.contact.id);
            let place = self.make_room(place, &entry.contact.id);
            let page = &mut self.pages.parts[place.page];
            page.parts[place.chunk].insert(place.index, entry);
        }
        self.len += 1;
        self.failing += usize::from(!entry.is_good());
    }

    /// Takes out the contact at `place`. O(log contacts), as insertion.
    pub(super) fn remove(&mut self, place: Place) -> Entry {
        let page = &mut self.pages.parts[place.page];
        let entry = page.parts[place.chunk].remove(place.index);
        self.len -= 1;
        self.failing -= usize::from(!entry.is_good());
        if page.parts[place.chunk].len() > 0 {
            page.settle(place.chunk);
        } else if page.len() > 1 {
            page.dissolve(place.chunk);
        } else {
            self.pages.dissolve(place.page);
            return entry;
        }
        self.pages.settle(place.page);
        entry
    }

    /// Contacts from `place` on, upwards.
    pub(super) fn forward(&self, place: Place) -> Forward<'_> {
        Forward::new(&self.pages.parts, place)
    }

    /// Contacts before `place`, downwards.
    pub(super) fn backward(&self, place: Place) -> Backward<'_> {
        Backward::new(&self.pages.parts, place)
    }

    /// Contacts whose ids are `id` or higher, upwards.
    pub(super) fn from(&self, id: &Id) -> Forward<'_> {
        let (Ok(place) | Err(place)) = self.seek(id);
        self.forward(place)
    }

    /// Memory behind it, in bytes, as allocated. O(chunks).
    pub(super) fn heap_bytes(&self) -> usize {
        self.pages.heap_bytes()
    }

    /// Splits the chunk at `place` if it is full. Returns the place of `id` thereafter.
    fn make_room(&mut self, place: Place, id: &Id) -> Place {
        let end = self.pages.parts.get(place.page + 1).map(|next| *next.start());
        let page = &mut self.pages.parts[place.page];
        if page.parts[place.chunk].len() < CHUNK_MAX {
            return place;
        }
        page.split_part(place.chunk, end.as_ref());
        if page.len() > ROW_MAX {
            self.pages.split_part(place.page, None);
        } else {
            // Both halves may have joined neighbours, so that the page is smaller now.
            self.pages.settle(place.page);
        }
        let (Ok(place) | Err(place)) = self.seek(id);
        place
    }
}

impl Runs for Directory {
    type Contact = Kept;
    /// Its page and its chunk.
    type At = (usize, usize);

    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn locate(&self, id: &Id) -> Option<(usize, usize)> {
        let page = self.pages.find(id);
        Some((page, self.pages.parts.get(page)?.find(id)))
    }

    #[inline(always)]
    fn run(&self, (page, chunk): (usize, usize)) -> Run<'_, Kept> {
        let Chunk { prefixes, contacts, keys, depth, .. } = &self.pages.parts[page].parts[chunk];
        let subtree = depth.map(|depth| Subtree { depth, keys });
        Run { prefixes, contacts, subtree }
    }

    #[inline(always)]
    fn unwanted(&self, (page, chunk): (usize, usize), range: Range<usize>) -> u64 {
        self.pages.parts[page].parts[chunk].failing >> range.start
    }

    fn before(&self, (page, chunk): (usize, usize)) -> Option<(usize, usize)> {
        if let Some(before) = chunk.checked_sub(1) {
            return Some((page, before));
        }
        let page = page.checked_sub(1)?;
        Some((page, self.pages.parts.get(page)?.len() - 1))
    }

    fn after(&self, (page, chunk): (usize, usize)) -> Option<(usize, usize)> {
        if chunk + 1 < self.pages.parts.get(page)?.len() {
            return Some((page, chunk + 1));
        }
        (page + 1 < self.pages.len()).then_some((page + 1, 0))
    }
}
