//! Who is closest, of contacts that lie sorted by id: what is enough nearly always.
//!
//! In the order of ids those that share exactly d bits with the target are side by side, all
//! above its place or all below, and farther out the smaller d is. So reading outwards from
//! there, group by group, always on the side that shares more, until k are found, gives few
//! more than k contacts, and the k closest among them: these are put in order all at once.

use kdht_wire::{Contact, Id};

use crate::closest::Closest;
use crate::order::Order;

/// What lies sorted by id.
pub(crate) trait Sorted {
    fn id(&self) -> &Id;
    /// The entry that others are told.
    fn contact(&self) -> Contact;
}

/// One direction from the target's place.
pub(crate) struct Side<'a, T, I> {
    /// The contacts, outwards.
    contacts: I,
    /// Whether none lie farther out.
    is_all: bool,
    /// The next of them that is wanted.
    next: Option<&'a T>,
    /// The first 64 bits of its distance; the greatest if there is none.
    distance: u64,
}

impl<'a, T: Sorted + 'a, I: Iterator<Item = &'a T>> Side<'a, T, I> {
    /// The contacts on one side, outwards, and whether none lie farther out.
    pub(crate) fn new(contacts: I, is_all: bool) -> Self {
        Self { contacts, is_all, next: None, distance: u64::MAX }
    }

    fn advance(&mut self, aim: u64, wanted: impl Fn(&T) -> bool) {
        self.next = self.contacts.by_ref().find(|contact| wanted(contact));
        self.distance = self.next.map_or(u64::MAX, |contact| contact.id().prefix() ^ aim);
    }

    /// Takes all that share as many bits with the target as the next. Whether that was
    /// possible.
    fn take_group(
        &mut self,
        aim: u64,
        order: &mut Order<&'a T>,
        wanted: impl Fn(&T) -> bool,
    ) -> bool {
        let group = u64::MAX.checked_shr(self.distance.leading_zeros()).unwrap_or(0);
        while self.distance <= group {
            let Some(contact) = self.next else { return self.is_all };
            if !order.push(contact, self.distance) {
                return false;
            }
            self.advance(aim, &wanted);
        }
        true
    }
}

/// Adds the `k` contacts nearest to `target` that are `wanted` to `out`, nearest first. Adds
/// none and returns false if the sides end too soon to tell, if more than 64 share as many bits
/// as the k-th, or if on both sides some share 64 bits with the target.
///
/// Cost: O(k) where ids are as hashes give them; at worst all of both sides is read.
pub(crate) fn closest_around<'a, T: Sorted + 'a>(
    target: &Id,
    k: usize,
    mut below: Side<'a, T, impl Iterator<Item = &'a T>>,
    mut above: Side<'a, T, impl Iterator<Item = &'a T>>,
    wanted: impl Fn(&T) -> bool,
    out: &mut Closest,
) -> bool {
    let aim = target.prefix();
    below.advance(aim, &wanted);
    above.advance(aim, &wanted);
    let Some(any) = below.next.or(above.next).filter(|_| k > 0) else {
        return k == 0 || below.is_all && above.is_all;
    };
    let mut order = Order::new(any);
    while order.len() < k {
        if below.next.is_none() && above.next.is_none() {
            break;
        }
        // Equal only where both share 64 bits with the target, so that these do not tell.
        if below.distance == above.distance && below.next.is_some() && above.next.is_some() {
            return false;
        }
        let is_taken = if below.distance < above.distance || above.next.is_none() {
            below.take_group(aim, &mut order, &wanted)
        } else {
            above.take_group(aim, &mut order, &wanted)
        };
        let is_known = below.next.is_some() || below.is_all;
        if !is_taken || !is_known || above.next.is_none() && !above.is_all {
            return false;
        }
    }
    order.nearest(target, k, |contact| *contact.id(), |contact| out.push(contact.contact()));
    true
}

#[cfg(test)]
mod tests {
    use kdht_wire::Endpoint;

    use super::*;
    use crate::rng::Rng;

    struct Known(Id);

    impl Sorted for Known {
        fn id(&self) -> &Id {
            &self.0
        }

        fn contact(&self) -> Contact {
            Contact::new(self.0, Endpoint::NONE)
        }
    }

    #[test]
    fn the_closest_are_those_of_a_full_sort_or_it_is_said_that_they_are_unknown() {
        let mut answered = 0;
        for seed in 0..=255_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let centre = rng.id();
            let depth = [0, 5, 63, 64, 70, 155][usize::from(seed % 6)];
            let count = usize::try_from(rng.below(200)).unwrap();
            let mut known: Vec<Known> = (0..count)
                .map(|_| (0..depth).fold(rng.id(), |id, bit| id.with_bit(bit, centre.bit(bit))))
                .map(Known)
                .collect();
            known.sort_by_key(|known| known.0);
            known.dedup_by_key(|known| known.0);
            for _ in 0..20 {
                let target = match rng.below(3) {
                    0 if !known.is_empty() => {
                        known[usize::try_from(rng.below(known.len() as u64)).unwrap()].0
                    }
                    1 => (0..depth).fold(rng.id(), |id, bit| id.with_bit(bit, centre.bit(bit))),
                    _ => rng.id(),
                };
                let k = usize::try_from(rng.below(21)).unwrap();
                // Some of the contacts are not there to be read.
                let cut = usize::try_from(rng.below(2) * rng.below(30)).unwrap();
                let (from, to) = (cut.min(known.len()), known.len().saturating_sub(cut));
                let seen = known.get(from..to).unwrap_or(&[]);
                let place = seen.partition_point(|known| known.0 < target);
                let below = Side::new(seen[..place].iter().rev(), cut == 0);
                let above = Side::new(seen[place..].iter(), cut == 0);
                let is_wanted = |known: &Known| !known.0.0[19].is_multiple_of(8);
                let mut out = Closest::empty();
                if closest_around(&target, k, below, above, is_wanted, &mut out) {
                    answered += 1;
                    let mut wanted: Vec<Id> =
                        known.iter().filter(|k| is_wanted(k)).map(|k| k.0).collect();
                    wanted.sort_by_key(|id| id.distance(&target));
                    wanted.truncate(k);
                    let got: Vec<Id> = out.as_slice().iter().map(|contact| contact.id).collect();
                    assert_eq!(got, wanted, "seed {seed}, k {k}, cut {cut}");
                } else {
                    assert!(out.as_slice().is_empty(), "seed {seed}");
                }
            }
        }
        assert!(answered > 1_000, "{answered} of 5120 answered");
    }
}
