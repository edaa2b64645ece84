//! Few contacts put in the order of their distance to a target.

use kdht_wire::Id;

use crate::places::{PLACES_MAX, Unsorted};

/// Most contacts that are put in order at once.
pub(crate) const ORDER_MAX: usize = PLACES_MAX;

/// At most 64 contacts that share their first bits, numbered as they are added.
#[derive(Debug)]
pub(crate) struct Order(Unsorted);

impl Order {
    /// No contacts yet; those to come share their first `shared` bits with each other.
    pub(crate) fn new(target: &Id, shared: u32) -> Self {
        let (prefixes, aim) = ([0; ORDER_MAX], target.prefix());
        Self(Unsorted { prefixes, len: 0, unwanted: 0, aim, shared })
    }

    /// As new.
    pub(crate) fn restart(&mut self, target: &Id, shared: u32) {
        (self.0.len, self.0.unwanted) = (0, 0);
        (self.0.aim, self.0.shared) = (target.prefix(), shared);
    }

    /// Contacts added.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Contacts added that are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.0.len - self.0.unwanted.count_ones() as usize
    }

    /// Whether an id with these first 64 bits may be among the contacts.
    pub(crate) fn has(&self, prefix: u64) -> bool {
        self.0.prefixes[..self.0.len].contains(&prefix)
    }

    /// Adds a contact by the first 64 bits of its id. Whether there was room.
    pub(crate) fn add(&mut self, prefix: u64, is_wanted: bool) -> bool {
        let Some(place) = self.0.prefixes.get_mut(self.0.len) else { return false };
        *place = prefix;
        self.0.unwanted |= u64::from(!is_wanted) << self.0.len;
        self.0.len += 1;
        true
    }

    /// Adds contacts that all are wanted. Whether there was room; if not, none is added.
    pub(crate) fn add_all(&mut self, prefixes: &[u64]) -> bool {
        let end = self.0.len + prefixes.len();
        let Some(places) = self.0.prefixes.get_mut(self.0.len..end) else { return false };
        places.copy_from_slice(prefixes);
        self.0.len = end;
        true
    }

    /// Calls `take` with the number of each wanted contact, nearest first, until it returns
    /// false. Where 64 bits do not tell which of two is nearer, `id_of` does.
    #[inline]
    pub(crate) fn nearest<'a>(
        &self,
        target: &Id,
        id_of: impl Fn(usize) -> &'a Id,
        mut take: impl FnMut(usize) -> bool,
    ) {
        let Unsorted { prefixes, len, unwanted, aim, .. } = &self.0;
        let mut places = [0; ORDER_MAX];
        self.0.places(&mut places);
        let (mut sorted, mut taken) = ([0_u8; ORDER_MAX], 0_u64);
        for (number, place) in (0..).zip(&places[..*len]) {
            let place = usize::from(*place) % ORDER_MAX;
            sorted[place] = number;
            taken |= 1 << place;
        }
        let wanted = self.wanted();
        let sorted = &mut sorted[..wanted];
        // Contacts of one place leave the next ones free.
        if (taken.trailing_ones() as usize) < wanted {
            let numbers = (0..64_u8).filter(|number| unwanted >> number & 1 == 0);
            for (place, number) in sorted.iter_mut().zip(numbers) {
                *place = number;
            }
            sorted.sort_unstable_by(|left, right| {
                let [left, right] = [usize::from(*left), usize::from(*right)];
                let near = (prefixes[left] ^ aim).cmp(&(prefixes[right] ^ aim));
                near.then_with(|| id_of(left).distance(target).cmp(&id_of(right).distance(target)))
            });
        }
        let _ = sorted.iter().all(|number| take(usize::from(*number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_order_is_that_of_a_full_sort_however_long_the_common_prefix() {
        for seed in 0..200_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            for depth in [0, 1, 7, 31, 32, 33, 63, 64, 65, 95, 127, 140, 152] {
                let (base, target) = (rng.id(), rng.id());
                let count = usize::try_from(rng.below(65)).unwrap();
                let mut ids: Vec<(Id, bool)> = Vec::new();
                while ids.len() < count {
                    let random = rng.id();
                    // Some share more bits than a key has.
                    let shared = if rng.below(4) == 0 { depth.max(100) } else { depth };
                    let id = (0..shared).fold(random, |id, bit| id.with_bit(bit, base.bit(bit)));
                    if ids.iter().all(|(known, _)| *known != id) {
                        ids.push((id, rng.below(5) > 0));
                    }
                }
                // Fewer shared bits than there are may be told of.
                let shared = u32::try_from(rng.below(u64::from(depth) + 1)).unwrap();
                let mut order = Order::new(&target, shared);
                let mut ids_in_one = ids.clone();
                ids_in_one.iter_mut().for_each(|(_, is_wanted)| *is_wanted = true);
                for (ids, at_once) in [(&ids, false), (&ids_in_one, true)] {
                    order.restart(&target, shared);
                    if at_once {
                        let prefixes: Vec<u64> = ids.iter().map(|(id, _)| id.prefix()).collect();
                        assert!(order.add_all(&prefixes));
                    } else {
                        assert!(ids.iter().all(|(id, wanted)| order.add(id.prefix(), *wanted)));
                    }
                    let mut got = Vec::new();
                    let take = |number: usize| {
                        got.push(ids[number].0);
                        got.len() < 20
                    };
                    order.nearest(&target, |number| &ids[number].0, take);
                    let mut sorted: Vec<Id> =
                        ids.iter().filter(|(_, wanted)| *wanted).map(|(id, _)| *id).collect();
                    assert_eq!(order.wanted(), sorted.len());
                    sorted.sort_by_key(|id| id.distance(&target));
                    sorted.truncate(20);
                    assert_eq!(got, sorted, "seed {seed}, depth {depth}");
                }
            }
        }
    }

    #[test]
    fn there_is_room_for_64() {
        let mut order = Order::new(&Id::ZERO, 0);
        assert!(!order.add_all(&[1; 65]) && order.len() == 0);
        assert_eq!((0..70).filter(|prefix| order.add(*prefix, true)).count(), ORDER_MAX);
        assert!(!order.add_all(&[1]));
        order.restart(&Id::ZERO, 0);
        assert!(order.add(7, true) && order.len() == 1);
    }
}
