//! The answer to "which contacts are closest".

use kdht_wire::{Contact, Endpoint, Id};

use crate::bucket::MEMBERS_MAX;

/// The closest contacts to a target, nearest first.
#[derive(Clone, Debug)]
pub struct Closest {
    contacts: [Contact; MEMBERS_MAX],
    len: usize,
}

impl Closest {
    pub(crate) fn empty() -> Self {
        let none = Contact::new(Id::ZERO, Endpoint::NONE);
        Self { contacts: [none; MEMBERS_MAX], len: 0 }
    }

    /// The contacts.
    #[must_use]
    pub fn as_slice(&self) -> &[Contact] {
        &self.contacts[..self.len]
    }

    /// Calls `take` with each, nearest first.
    pub(crate) fn each(&self, take: impl FnMut(&Id, &Endpoint)) {
        self.each_from(0, take);
    }

    /// As [`Closest::each`], without the first `skipped`.
    pub(crate) fn each_from(&self, skipped: usize, mut take: impl FnMut(&Id, &Endpoint)) {
        let contacts = self.as_slice().iter().skip(skipped);
        contacts.for_each(|contact| take(&contact.id, &contact.endpoint));
    }

    /// Adds a contact behind the others, unless 20 are there.
    pub(crate) fn push(&mut self, id: &Id, endpoint: &Endpoint) {
        if let Some(place) = self.contacts.get_mut(self.len) {
            // Part by part, as both sides hold them: put together apart and then copied, they
            // would be read in other pieces than they were written in, which waits for the writes.
            place.id = *id;
            place.endpoint = *endpoint;
            self.len += 1;
        }
    }

    /// Merges two answers about the same target into its `k` closest. An id in both is
    /// taken from `self`.
    #[must_use]
    pub fn merge(&self, other: &Self, target: &Id, k: usize) -> Self {
        let (mut left, mut right) = (self.as_slice(), other.as_slice());
        let mut out = Self::empty();
        while out.len < k.min(MEMBERS_MAX) {
            let near = |side: &[Contact]| side.first().map(|c| c.id.distance(target));
            let next = match (near(left), near(right)) {
                (None, None) => break,
                (Some(l), Some(r)) if r < l => &mut right,
                (Some(l), Some(r)) if r == l => {
                    right = &right[1..];
                    &mut left
                }
                (None, Some(_)) => &mut right,
                (Some(_), _) => &mut left,
            };
            out.push(&next[0].id, &next[0].endpoint);
            *next = &next[1..];
        }
        out
    }
}
