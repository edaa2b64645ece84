//! The values of one key.

use alloc::vec::Vec;
use core::mem;

use crate::held::Held;

/// The values under one key, at least one, ascending by cursor.
///
/// The first stands inline: most keys have one value, and reading it then follows no
/// pointer to get there. Cursors of removed values are free again; the others stay.
#[derive(Debug)]
pub(crate) struct KeyValues {
    first: Held,
    rest: Vec<Held>,
}

impl KeyValues {
    /// The one value of a key, at cursor 0.
    pub(crate) fn new(mut first: Held) -> Self {
        first.cursor = 0;
        Self { first, rest: Vec::new() }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Held> {
        core::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn get_mut(&mut self, cursor: u16) -> Option<&mut Held> {
        if self.first.cursor == cursor {
            return Some(&mut self.first);
        }
        let at = self.rest.binary_search_by_key(&cursor, |held| held.cursor).ok()?;
        self.rest.get_mut(at)
    }

    pub(crate) fn is_single(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn into_first(self) -> Held {
        self.first
    }

    /// The highest cursor: that of the latest comer, unless gaps were filled.
    pub(crate) fn last_cursor(&self) -> u16 {
        self.rest.last().unwrap_or(&self.first).cursor
    }

    /// Adds a value at the lowest free cursor, and returns it. O(values), at most 65,535.
    pub(crate) fn insert(&mut self, mut held: Held) -> u16 {
        // The cursors ascend, so up to the first gap each equals its index. A quota of
        // 65,535 values leaves a free one below 65,535.
        let at = self.iter().zip(0..).take_while(|(held, at)| held.cursor == *at).count();
        held.cursor = u16::try_from(at).unwrap_or(u16::MAX);
        let cursor = held.cursor;
        self.grow();
        match at.checked_sub(1) {
            Some(at) => self.rest.insert(at, held),
            None => self.rest.insert(0, mem::replace(&mut self.first, held)),
        }
        cursor
    }

    /// Takes one value out, unless it is the only one. O(values), at most 65,535.
    pub(crate) fn remove(&mut self, cursor: u16) -> Option<Held> {
        let removed = if self.first.cursor == cursor {
            if self.rest.is_empty() {
                return None;
            }
            mem::replace(&mut self.first, self.rest.remove(0))
        } else {
            let at = self.rest.binary_search_by_key(&cursor, |held| held.cursor).ok()?;
            self.rest.remove(at)
        };
        self.shrink();
        Some(removed)
    }

    /// Grows by half, so that room for at most twice the values (and two) is ever kept.
    fn grow(&mut self) {
        if self.rest.len() == self.rest.capacity() {
            self.rest.reserve_exact(self.rest.len() / 2 + 1);
        }
    }

    fn shrink(&mut self) {
        if self.rest.capacity() > 2 * self.rest.len() + 2 || self.rest.is_empty() {
            self.rest.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use kdht_wire::{Publisher, Record};

    use super::*;
    use crate::held::Block;
    use crate::put::SourceGroup;

    fn held(tag: u64) -> Held {
        let record = Record::whole(Publisher::Immutable, 1, b"").unwrap();
        Held::new(Block::copy_of(&record).unwrap(), 1, SourceGroup(tag), 0)
    }

    fn cursors(values: &KeyValues) -> Vec<u16> {
        values.iter().map(|held| held.cursor).collect()
    }

    #[test]
    fn the_lowest_free_cursor_is_given_and_the_others_stay() {
        let mut values = KeyValues::new(held(0));
        for tag in 1..6 {
            assert_eq!(values.insert(held(tag)), u16::try_from(tag).unwrap());
        }
        for cursor in [3, 0, 1] {
            assert_eq!(values.remove(cursor).unwrap().source.0, u64::from(cursor));
        }
        assert_eq!(cursors(&values), [2, 4, 5]);
        for (tag, cursor) in [(10, 0), (11, 1), (12, 3), (13, 6)] {
            assert_eq!(values.insert(held(tag)), cursor);
            assert_eq!(values.get_mut(cursor).unwrap().source.0, tag);
        }
        assert_eq!(cursors(&values), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(values.last_cursor(), 6);
        assert!(values.remove(7).is_none());
    }

    #[test]
    fn the_room_kept_shrinks_with_the_values() {
        let mut values = KeyValues::new(held(0));
        for tag in 1..1000 {
            values.insert(held(tag));
        }
        for cursor in 0..999 {
            assert!(values.remove(cursor).is_some());
            assert!(values.rest.capacity() <= 2 * values.rest.len() + 2);
        }
        assert_eq!(values.rest.capacity(), 0);
        assert!(values.is_single() && values.remove(999).is_none());
    }
}
