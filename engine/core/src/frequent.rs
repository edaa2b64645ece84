//! Frequent lookups: where the last few ended, so that one of the same target begins there.
//!
//! For what the node's owner and its askers look up; what it looks up by itself is random.
//! Who is remembered answered then, and is asked again: nothing is answered from here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_wire::{Contact, Id};

use crate::lookup::Lookup;
use crate::time::Nanos;

/// Ends of recent lookups, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Frequent {
    /// Apart, since most nodes have none most of the time.
    ends: Option<Box<VecDeque<End>>>,
}

/// Where one lookup ended.
#[derive(Debug)]
struct End {
    target: Id,
    forget_at: Nanos,
    /// The closest that answered, at most k.
    closest: Vec<Contact>,
}

impl Frequent {
    /// Remembers where a lookup ended until `forget_at`, among `ends_max` others: the one
    /// that was repeated longest ago makes room.
    pub(crate) fn remember(&mut self, lookup: &Lookup, forget_at: Nanos, ends_max: u8) {
        let contact = |c: &crate::Candidate| Contact::new(c.id, c.endpoint);
        let closest: Vec<Contact> = lookup.closest().map(contact).collect();
        if ends_max == 0 || closest.is_empty() {
            return;
        }
        let ends = self.ends.get_or_insert_default();
        ends.retain(|end| end.target != *lookup.target());
        if ends.len() >= usize::from(ends_max) {
            ends.pop_front();
        }
        ends.push_back(End { target: *lookup.target(), forget_at, closest });
    }

    /// Where the last lookup of `target` ended. O(ends).
    pub(crate) fn recall(&self, target: &Id, now: Nanos) -> &[Contact] {
        let mut ends = self.ends.iter().flat_map(|ends| ends.iter());
        let end = ends.find(|end| end.target == *target && now < end.forget_at);
        end.map_or(&[], |end| &end.closest)
    }

    /// Forgets what is too old.
    pub(crate) fn forget(&mut self, now: Nanos) {
        let Some(ends) = self.ends.as_mut() else { return };
        while ends.front().is_some_and(|end| end.forget_at <= now) {
            ends.pop_front();
        }
        if ends.is_empty() {
            self.ends = None;
        }
    }

    /// When something is too old.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.ends.as_ref()?.front().map(|end| end.forget_at)
    }
}
