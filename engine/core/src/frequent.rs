//! Frequent lookups: where the last few ended, so that one of the same target begins there.
//!
//! For what the node's owner and its askers look up; what it looks up by itself is random.
//! Who is remembered answered then, and is asked again: nothing is answered from here.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_wire::{Contact, Id};

use crate::lookup::Lookup;
use crate::time::Nanos;

/// Ends of recent lookups, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Frequent {
    ends: VecDeque<End>,
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
        self.ends.retain(|end| end.target != *lookup.target());
        if self.ends.len() >= usize::from(ends_max) {
            self.ends.pop_front();
        }
        self.ends.push_back(End { target: *lookup.target(), forget_at, closest });
    }

    /// Where the last lookup of `target` ended. O(ends).
    pub(crate) fn recall(&self, target: &Id, now: Nanos) -> &[Contact] {
        let end = self.ends.iter().find(|end| end.target == *target && now < end.forget_at);
        end.map_or(&[], |end| &end.closest)
    }

    /// Forgets what is too old.
    pub(crate) fn forget(&mut self, now: Nanos) {
        while self.ends.front().is_some_and(|end| end.forget_at <= now) {
            self.ends.pop_front();
        }
        if self.ends.is_empty() {
            self.ends = VecDeque::new();
        }
    }

    /// When something is too old.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.ends.front().map(|end| end.forget_at)
    }
}
