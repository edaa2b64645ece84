//! Few contacts put in the order of their distance to a target.

use kdht_wire::Id;

use crate::bucket::MEMBERS_MAX;

/// Most contacts that are put in order at once.
pub(crate) const ORDER_MAX: usize = 2 * MEMBERS_MAX;
/// Bits of a key that tell the contact's number.
const NUMBER_BITS: u32 = 6;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;
const _: () = assert!(ORDER_MAX <= 1 << NUMBER_BITS);

/// At most 40 contacts, each by 26 bits of its distance, from the first bit on in which they
/// may differ.
///
/// A contact's place is the number of those that are nearer, and each is compared with each:
/// that is more comparisons than sorting takes, but four or more of them are one instruction,
/// and none is a branch that the processor could guess wrong (as most of a sort's are).
#[derive(Debug)]
pub(crate) struct Order<T> {
    keys: [u32; ORDER_MAX],
    items: [T; ORDER_MAX],
    len: usize,
}

impl<T: Copy> Order<T> {
    /// No contacts yet; `none` stands where none is.
    pub(crate) fn new(none: T) -> Self {
        Self { keys: [0; ORDER_MAX], items: [none; ORDER_MAX], len: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a contact whose distance to `target` begins with the same `depth` bits as that of
    /// all others. Whether there was room.
    pub(crate) fn push(&mut self, item: T, id: &Id, target: &Id, depth: u8) -> bool {
        let Some(place) = self.items.get_mut(self.len) else { return false };
        *place = item;
        let distance = bits_from(id, depth) ^ bits_from(target, depth);
        // At most 39.
        let number = u32::try_from(self.len).unwrap_or(0);
        self.keys[self.len] = (distance & !NUMBER_MASK) | number;
        self.len += 1;
        true
    }

    /// Hands over the `count` nearest, nearest first. Where the bits of two do not tell which
    /// is nearer, `id_of` does.
    pub(crate) fn nearest(
        &mut self,
        target: &Id,
        count: usize,
        id_of: impl Fn(&T) -> Id,
        mut take: impl FnMut(&T),
    ) {
        let mut sorted = self.sorted();
        let sorted = &mut sorted[..self.len];
        let tells = |pair: &[u32]| pair[0] >> NUMBER_BITS != pair[1] >> NUMBER_BITS;
        let item = |key: &u32| &self.items[(key & NUMBER_MASK) as usize];
        if !sorted.windows(2).all(tells) {
            sorted.sort_unstable_by_key(|key| id_of(item(key)).distance(target));
        }
        sorted.iter().take(count).for_each(|key| take(item(key)));
    }

    /// The keys, sorted. They differ, since their numbers do.
    fn sorted(&self) -> [u32; ORDER_MAX] {
        let mut sorted = [0; ORDER_MAX];
        let (halves, _) = self.keys.as_chunks::<MEMBERS_MAX>();
        for (half, keys) in halves.iter().enumerate() {
            let begin = half * MEMBERS_MAX;
            if begin >= self.len {
                break;
            }
            let mut nearer = [0_u32; MEMBERS_MAX];
            for other in &self.keys[..self.len] {
                for (count, key) in nearer.iter_mut().zip(keys) {
                    *count += u32::from(other < key);
                }
            }
            for (place, key) in nearer.iter().zip(keys).take(self.len - begin) {
                sorted[*place as usize] = *key;
            }
        }
        sorted
    }
}

/// 32 bits of an id from bit `depth` on; zeros behind its end.
fn bits_from(id: &Id, depth: u8) -> u32 {
    let first = usize::from(depth / 8).min(id.0.len() - 8);
    let window = id.0[first..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let skipped = u32::from(depth) - 8 * u32::try_from(first).unwrap_or(0);
    // The upper half.
    (window.checked_shl(skipped).unwrap_or(0) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_order_is_that_of_a_full_sort_however_long_the_common_prefix() {
        for seed in 0..200_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            for depth in [0, 1, 7, 31, 32, 33, 63, 64, 95, 96, 97, 127, 128, 140, 154] {
                let (base, target) = (rng.id(), rng.id());
                let count = usize::try_from(rng.below(41)).unwrap();
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
                assert!(ids.iter().all(|id| order.push(*id, id, &target, depth)));
                let mut got = Vec::new();
                order.nearest(&target, 20, |id| *id, |id| got.push(*id));
                ids.sort_by_key(|id| id.distance(&target));
                ids.truncate(20);
                assert_eq!(got, ids, "seed {seed}, depth {depth}");
            }
        }
    }

    #[test]
    fn a_forty_first_has_no_place() {
        let mut order = Order::new(());
        let ids: Vec<Id> = (0..41).map(|number| Id([number; 20])).collect();
        let taken = ids.iter().filter(|id| order.push((), id, &Id::ZERO, 0)).count();
        assert_eq!(taken, 40);
        order.clear();
        assert!(order.push((), &ids[0], &Id::ZERO, 0));
    }
}
