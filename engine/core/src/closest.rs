//! The answer to "which contacts are closest".

use kdht_wire::{Contact, Endpoint, Id};

use crate::bucket::MEMBERS_MAX;

/// What others can be told of.
pub(crate) trait Told {
    fn id(&self) -> &Id;
    fn endpoint(&self) -> &Endpoint;
}

impl Told for Contact {
    fn id(&self) -> &Id {
        &self.id
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// Who is told of contacts, of some at a time.
pub(crate) trait Hear {
    fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>);
}

/// The closest contacts to a target, in any order unless they are [`Closest::sorted`].
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

    /// The same in the order of their distance to `target`, nearest first.
    #[must_use]
    pub fn sorted(mut self, target: &Id) -> Self {
        let aim = target.prefix();
        self.contacts[..self.len].sort_unstable_by(|left, right| {
            // Mostly the first bits tell.
            let near = (left.id.prefix() ^ aim).cmp(&(right.id.prefix() ^ aim));
            near.then_with(|| left.id.distance(target).cmp(&right.id.distance(target)))
        });
        self
    }

    /// Merges two answers about the same target, both sorted, into its `k` closest, nearest
    /// first. An id in both is taken from `self`.
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

impl Hear for Closest {
    fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>) {
        contacts.for_each(|contact| self.push(contact.id(), contact.endpoint()));
    }
}
