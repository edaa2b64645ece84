//! Few contacts put in the order of their distance to a target.

use ::wide::i32x16;
use kdht_wire::Id;

/// Most contacts that are put in order at once.
pub(crate) const ORDER_MAX: usize = 64;
/// Bits of a key that tell the contact's number.
const NUMBER_BITS: u32 = 6;
const NUMBER_MASK: i32 = (1 << NUMBER_BITS) - 1;
const _: () = assert!(ORDER_MAX == 1 << NUMBER_BITS);
/// Keys that are compared at a time: four of the processor's registers, or two wider ones.
const LANES: usize = 16;

/// At most 64 contacts, each with the first 64 bits of its distance to one target.
///
/// A contact's place is the number of those that are nearer, and each is compared with each:
/// that is more comparisons than sorting takes, but several of them are one instruction,
/// and none is a branch that the processor could guess wrong (as most of a sort's are).
#[derive(Debug)]
pub(crate) struct Order<T> {
    distances: [u64; ORDER_MAX],
    items: [T; ORDER_MAX],
    len: usize,
}

impl<T: Copy> Order<T> {
    /// No contacts yet; `filler` stands where none is.
    pub(crate) fn new(filler: T) -> Self {
        Self { distances: [0; ORDER_MAX], items: [filler; ORDER_MAX], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a contact by the first 64 bits of its distance. Whether there was room.
    pub(crate) fn push(&mut self, item: T, distance: u64) -> bool {
        if self.len == ORDER_MAX {
            return false;
        }
        (self.items[self.len], self.distances[self.len]) = (item, distance);
        self.len += 1;
        true
    }

    /// Hands over the `count` nearest to `target`, nearest first. Where the bits of two do
    /// not tell which is nearer, `id_of` does.
    pub(crate) fn nearest(
        &self,
        target: &Id,
        count: usize,
        id_of: impl Fn(&T) -> Id,
        mut take: impl FnMut(&T),
    ) {
        let keys = self.keys();
        let mut sorted = [0; ORDER_MAX];
        let places = places(&keys, self.len);
        for (key, place) in keys[..self.len].iter().zip(&places) {
            sorted[place.unsigned_abs() as usize % ORDER_MAX] = *key;
        }
        let sorted = &mut sorted[..self.len];
        let item = |key: &i32| &self.items[(key & NUMBER_MASK).unsigned_abs() as usize];
        let is_tie = |pair: &[i32]| pair[0] >> NUMBER_BITS == pair[1] >> NUMBER_BITS;
        if sorted.windows(2).any(is_tie) {
            sorted.sort_unstable_by_key(|key| id_of(item(key)).distance(target));
        }
        sorted.iter().take(count).for_each(|key| take(item(key)));
    }

    /// Of each distance 25 bits, from the first bit on that is set in any, and the contact's
    /// number: so no two keys are equal. None is negative, since only signed numbers are
    /// compared by one instruction everywhere.
    fn keys(&self) -> [i32; ORDER_MAX] {
        let distances = &self.distances[..self.len];
        let all = distances.iter().fold(0, |all, distance| all | distance);
        let zeros = all.leading_zeros() % u64::BITS;
        let mut keys = [i32::MAX; ORDER_MAX];
        for (number, (key, distance)) in (0..).zip(keys.iter_mut().zip(distances)) {
            // 31 bits remain.
            let bits = ((distance << zeros) >> 33) as i32;
            *key = (bits & !NUMBER_MASK) | number;
        }
        keys
    }
}

/// For each of the first `len` keys how many of them are lower.
fn places(keys: &[i32; ORDER_MAX], len: usize) -> [i32; ORDER_MAX] {
    let mut places = [0; ORDER_MAX];
    let (keys_by_lanes, _) = keys.as_chunks::<LANES>();
    let (places_by_lanes, _) = places.as_chunks_mut::<LANES>();
    let used = len.div_ceil(LANES);
    for (keys_here, places_here) in keys_by_lanes.iter().zip(places_by_lanes).take(used) {
        let keys_here = i32x16::new(*keys_here);
        let mut lower = i32x16::ZERO;
        for other in &keys[..len] {
            // A comparison that holds is -1.
            lower -= i32x16::splat(*other).simd_lt(keys_here);
        }
        *places_here = lower.to_array();
    }
    places
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
                let mut ids: Vec<Id> = Vec::new();
                while ids.len() < count {
                    let random = rng.id();
                    // Some share more bits than a key has.
                    let shared = if rng.below(4) == 0 { depth.max(100) } else { depth };
                    let id = (0..shared).fold(random, |id, bit| id.with_bit(bit, base.bit(bit)));
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
                let mut order = Order::new(Id::ZERO);
                assert!(ids.iter().all(|id| order.push(*id, id.prefix() ^ target.prefix())));
                let mut got = Vec::new();
                order.nearest(&target, 20, |id| *id, |id| got.push(*id));
                ids.sort_by_key(|id| id.distance(&target));
                ids.truncate(20);
                assert_eq!(got, ids, "seed {seed}, depth {depth}");
            }
        }
    }

    #[test]
    fn there_is_room_for_64() {
        let mut order = Order::new(());
        assert_eq!((0..70).filter(|distance| order.push((), *distance)).count(), ORDER_MAX);
        order.clear();
        assert!(order.push((), 7) && order.len() == 1);
    }
}
