//! Frequent lookups: where the last few ended, so that one of the same target begins there.
//!
//! For what the node's owner and its askers look up; what it looks up by itself is random.
//! Who is remembered answered then, and is asked again: nothing is answered from here.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_wire::{Contact, Id};

use crate::lookup::Lookup;
use crate::node::Node;
use crate::time::{Nanos, Now};

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
    /// Remembers an end among `ends_max` others: the one that was repeated longest ago makes
    /// room.
    fn remember(&mut self, end: End, ends_max: usize) {
        self.ends.retain(|known| known.target != end.target);
        if self.ends.len() >= ends_max {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }

    /// Where the last lookup of `target` ended. O(ends).
    pub(crate) fn recall(&self, target: &Id, now: Nanos) -> &[Contact] {
        let end = self.ends.iter().find(|end| end.target == *target && now < end.forget_at);
        end.map_or(&[], |end| &end.closest)
    }

    /// Forgets what is too old. Whether anything is left.
    fn forget(&mut self, now: Nanos) -> bool {
        while self.ends.front().is_some_and(|end| end.forget_at <= now) {
            self.ends.pop_front();
        }
        !self.ends.is_empty()
    }

    /// When something is too old.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.ends.front().map(|end| end.forget_at)
    }
}

impl Node {
    /// Remembers where a lookup ended, if anybody answered it.
    pub(crate) fn remember_end(&mut self, now: Now, lookup: &Lookup) {
        let ends_max = usize::from(self.config.frequent_max);
        let contact = |c: &crate::Candidate| Contact::new(c.id, c.endpoint);
        let closest: Vec<Contact> = lookup.closest().map(contact).collect();
        if ends_max == 0 || closest.is_empty() {
            return;
        }
        let forget_at = now.mono.plus_ms(u64::from(self.config.frequent_s) * 1_000);
        let end = End { target: *lookup.target(), forget_at, closest };
        self.frequent.get_or_insert_default().remember(end, ends_max);
    }

    /// Forgets ends that are too old, and gives back their memory with the last.
    pub(crate) fn forget_ends(&mut self, now: Now) {
        self.frequent.take_if(|frequent| !frequent.forget(now.mono));
    }
}
