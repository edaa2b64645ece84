//! The answer to "which contacts are closest".

use kdht_wire::{Contact, Endpoint, Id};
use zerocopy::byteorder::little_endian::U16;

use crate::bucket::MEMBERS_MAX;

/// What others can be told of.
pub(crate) trait Told {
    fn id(&self) -> &Id;
    /// Lays it out as others are told it.
    fn tell(&self, place: &mut Contact);
}

impl Told for Contact {
    #[inline(always)]
    fn id(&self) -> &Id {
        &self.id
    }

    #[inline(always)]
    fn tell(&self, place: &mut Contact) {
        *place = *self;
        // Whatever it was told with.
        place.flags = U16::ZERO;
    }
}

/// Who is told of contacts, of some at a time.
pub(crate) trait Hear {
    /// Hears of them; once `contacts` has ended it must not begin again.
    fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>);
    /// Hears of those of `contacts` that are `picked`: a bit for each, the lowest for the first.
    fn hear_picked<C: Told>(&mut self, contacts: &[C], picked: u64);
}

/// Lays out those of `contacts` that are `picked`, as many as there are `places` for. How many.
#[inline(always)]
pub(crate) fn lay_picked<C: Told>(
    contacts: &[C],
    mut picked: u64,
    places: &mut [Contact],
) -> usize {
    let count = (picked.count_ones() as usize).min(places.len());
    for place in &mut places[..count] {
        if let Some(contact) = contacts.get(picked.trailing_zeros() as usize) {
            contact.tell(place);
        }
        picked &= picked.wrapping_sub(1);
    }
    count
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
    pub(crate) fn push(&mut self, contact: &impl Told) {
        if let Some(place) = self.contacts.get_mut(self.len) {
            contact.tell(place);
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
            out.push(&next[0]);
            *next = &next[1..];
        }
        out
    }
}

impl Hear for Closest {
    #[inline(always)]
    fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>) {
        for contact in contacts {
            self.push(contact);
        }
    }

    #[inline(always)]
    fn hear_picked<C: Told>(&mut self, contacts: &[C], picked: u64) {
        self.len += lay_picked(contacts, picked, &mut self.contacts[self.len..]);
    }
}
