//! Who is there, and who is closest: known of the whole network, and to no node.

use std::collections::BTreeMap;

use kdht_wire::Id;

/// The ids of all live nodes, sorted.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    live: BTreeMap<Id, u32>,
}

impl Oracle {
    pub(crate) fn insert(&mut self, id: Id, node: u32) {
        self.live.insert(id, node);
    }

    pub(crate) fn remove(&mut self, id: &Id) {
        self.live.remove(id);
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.live.contains_key(id)
    }

    /// The `k` live nodes closest to `target` of those `wanted`, nearest first: what a full
    /// sort would say, without sorting all.
    pub(crate) fn closest(&self, target: &Id, k: usize, wanted: impl Fn(u32) -> bool) -> Vec<Id> {
        // Every id that shares more leading bits with the target is nearer than any other.
        let mut found = Vec::new();
        let guess = self.live.len().checked_ilog2().map_or(0, |bits| bits + 1);
        for depth in (0..=u8::try_from(guess).unwrap_or(32)).rev() {
            let inside = self.live.range(range(target, depth));
            found = inside.filter(|(_, node)| wanted(**node)).map(|(id, _)| *id).collect();
            if found.len() >= k {
                break;
            }
        }
        found.sort_by_key(|id| id.distance(target));
        found.truncate(k);
        found
    }
}

/// The ids that share `depth` leading bits with `target`.
pub(crate) fn range(target: &Id, depth: u8) -> std::ops::RangeInclusive<Id> {
    let (mut low, mut high) = (*target, *target);
    for (at, (low, high)) in low.0.iter_mut().zip(&mut high.0).enumerate() {
        // 160 bits are 20 bytes.
        let first = u8::try_from(at * 8).unwrap_or(u8::MAX);
        let kept = depth.saturating_sub(first).min(8);
        let free = 0xff_u8.checked_shr(u32::from(kept)).unwrap_or(0);
        *low &= !free;
        *high |= free;
    }
    low..=high
}

#[cfg(test)]
mod tests {
    use kdht_core::Rng;

    use super::*;

    #[test]
    fn closest_is_what_a_full_sort_says() {
        let mut rng = Rng::from_seed([4; 16]);
        for count in [0_u32, 1, 7, 300] {
            let mut oracle = Oracle::default();
            let ids: Vec<Id> = (0..count).map(|_| rng.id()).collect();
            ids.iter().zip(0..).for_each(|(id, node)| oracle.insert(*id, node));
            for _ in 0..50 {
                let target = rng.id();
                let mut sorted: Vec<Id> = ids.iter().skip(1).step_by(2).copied().collect();
                sorted.sort_by_key(|id| id.distance(&target));
                sorted.truncate(8);
                assert_eq!(oracle.closest(&target, 8, |node| node % 2 == 1), sorted);
            }
        }
    }

    #[test]
    fn a_range_holds_what_shares_the_bits() {
        let mut rng = Rng::from_seed([5; 16]);
        for depth in [0, 1, 7, 8, 9, 31, 159, 160] {
            let target = rng.id();
            let range = range(&target, depth);
            assert!(range.start().shared_prefix(&target) >= depth);
            assert!(range.end().shared_prefix(&target) >= depth);
            let whole = range.start().shared_prefix(range.end());
            assert_eq!(whole, depth, "no wider and no narrower");
        }
    }
}
