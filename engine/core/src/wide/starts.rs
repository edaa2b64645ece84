//! Where the parts of a row begin, in groups that vectors take at a time.

use alloc::vec::Vec;

use crate::planes::{GROUP, Planes};

/// More prefixes than this are not all looked at to find a rank.
const LOOKED_AT_MAX: usize = 64;
/// How many are looked at where one is expected to be.
const AROUND: usize = 32;
/// With so many unused a group is given back: removals and insertions by turns do not take and
/// give the same one.
const UNUSED_MAX: usize = GROUP + GROUP / 2;

/// The first 64 bits of sorted ids. What is unused of the last group is filled with ones.
#[derive(Debug)]
pub(super) struct Starts {
    groups: Vec<[u64; GROUP]>,
    len: usize,
}

impl Starts {
    pub(super) const EMPTY: Self = Self { groups: Vec::new(), len: 0 };

    pub(super) fn as_slice(&self) -> &[u64] {
        &self.groups.as_flattened()[..self.len]
    }

    pub(super) fn insert(&mut self, at: usize, prefix: u64) {
        self.make_room(1);
        let places = self.groups.as_flattened_mut();
        places.copy_within(at..self.len, at + 1);
        places[at] = prefix;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.groups.as_flattened_mut().copy_within(at + 1..self.len, at);
        self.truncate(self.len - 1);
    }

    pub(super) fn set(&mut self, at: usize, prefix: u64) {
        self.groups.as_flattened_mut()[at] = prefix;
    }

    /// Gives those from `at` on away.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut upper = Self::EMPTY;
        upper.extend(&self.as_slice()[at..]);
        self.truncate(at);
        upper
    }

    pub(super) fn append(&mut self, next: &Self) {
        self.extend(next.as_slice());
    }

    /// Memory behind it, in bytes, as allocated.
    pub(super) fn heap_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<[u64; GROUP]>()
    }

    /// How many are lower than `prefix`. O(1) where they lie as hashes do, else O(log prefixes).
    ///
    /// Of many only those are looked at that are where it would be if all lay evenly: so a few
    /// lines of them come from memory, and none is waited for before the next is known.
    #[inline(always)]
    pub(super) fn rank(&self, planes: impl Planes, prefix: u64) -> usize {
        if self.len <= LOOKED_AT_MAX {
            return planes.count_lower(&self.groups, prefix);
        }
        let (lowest, groups) = self.around(prefix);
        if let [[low, ..], .., [.., high]] = groups
            && (*low < prefix && *high >= prefix)
        {
            return lowest * GROUP + planes.count_lower(groups, prefix);
        }
        self.as_slice().partition_point(|other| *other < prefix)
    }

    /// Asks memory for those that [`Starts::rank`] looks at.
    #[inline(always)]
    pub(super) fn fetch(&self, planes: impl Planes, prefix: u64) {
        if self.len > LOOKED_AT_MAX {
            planes.fetch(self.around(prefix).1);
        }
    }

    /// Of many, [`AROUND`] around the place of `prefix` if all lie evenly, and the number of
    /// their first group.
    #[inline(always)]
    fn around(&self, prefix: u64) -> (usize, &[[u64; GROUP]]) {
        let [first, .., last] = self.as_slice() else { return (0, &[]) };
        let span = (last - first).max(1);
        let shift = span.leading_zeros();
        let part = (prefix.clamp(*first, *last) - first) << shift >> u32::BITS;
        let expected = part * self.len as u64 / (span << shift >> u32::BITS);
        let expected = usize::try_from(expected).unwrap_or(self.len);
        let end = self.groups.len();
        let lowest = (expected.saturating_sub(AROUND / 2) / GROUP).min(end - AROUND / GROUP);
        (lowest, &self.groups[lowest..lowest + AROUND / GROUP])
    }

    fn make_room(&mut self, more: usize) {
        let groups = (self.len + more).div_ceil(GROUP);
        if groups > self.groups.len() {
            self.groups.reserve_exact(groups - self.groups.len());
            self.groups.resize(groups, [u64::MAX; GROUP]);
        }
    }

    fn extend(&mut self, prefixes: &[u64]) {
        self.make_room(prefixes.len());
        let (start, end) = (self.len, self.len + prefixes.len());
        self.groups.as_flattened_mut()[start..end].copy_from_slice(prefixes);
        self.len = end;
    }

    fn truncate(&mut self, len: usize) {
        self.groups.as_flattened_mut()[len..self.len].fill(u64::MAX);
        self.len = len;
        if self.groups.len() * GROUP - len >= UNUSED_MAX {
            self.groups.truncate(len.div_ceil(GROUP));
            self.groups.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planes::{self, Best, Task};
    use crate::rng::Rng;

    struct Rank<'a> {
        starts: &'a Starts,
        prefix: u64,
    }

    impl Task for Rank<'_> {
        type Output = usize;

        fn run(self, planes: impl Planes) -> usize {
            self.starts.rank(planes, self.prefix)
        }
    }

    #[test]
    fn the_rank_is_how_many_are_lower_however_they_lie() {
        for seed in 0..60_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let (mut prefixes, mut model) = (Starts::EMPTY, Vec::new());
            // Evenly, in few places, or at one end.
            let draw = |rng: &mut Rng| match seed % 4 {
                0 | 1 => rng.next_u64(),
                2 => rng.next_u64() >> 60 << 60,
                _ => rng.next_u64() >> rng.below(64),
            };
            let most = [20, 64, 300, 300][usize::from(seed / 4 % 4)];
            for step in 0..900 {
                let is_growing = model.len() < most && step % 400 < 300;
                if is_growing || model.is_empty() {
                    let prefix = draw(&mut rng);
                    let at = model.partition_point(|other| *other < prefix);
                    model.insert(at, prefix);
                    prefixes.insert(at, prefix);
                } else {
                    let at = usize::try_from(rng.below(model.len() as u64)).unwrap();
                    model.remove(at);
                    prefixes.remove(at);
                }
                let context = format!("seed {seed}, step {step}");
                assert_eq!(prefixes.as_slice(), model, "{context}");
                let unused = &prefixes.groups.as_flattened()[model.len()..];
                assert!(unused.len() < UNUSED_MAX && unused.iter().all(|p| *p == u64::MAX));
                let any = model.get(step % model.len().max(1)).copied().unwrap_or(7);
                for prefix in [any, any.wrapping_add(1), draw(&mut rng), 0, u64::MAX] {
                    let lower = model.iter().filter(|other| **other < prefix).count();
                    assert_eq!(prefixes.rank(Best, prefix), lower, "{context}, {prefix:#x}");
                    let by_vectors = planes::run(Rank { starts: &prefixes, prefix });
                    assert_eq!(by_vectors, lower, "{context}, {prefix:#x}");
                }
            }
            let at = model.len() / 3;
            let upper = prefixes.split_off(at);
            assert_eq!((prefixes.as_slice(), upper.as_slice()), model.split_at(at));
            prefixes.append(&upper);
            assert_eq!(prefixes.as_slice(), model, "seed {seed}");
        }
    }
}
