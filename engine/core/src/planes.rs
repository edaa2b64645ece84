//! Which of a few contacts are nearest, found bit by bit of their distances, and how a search
//! gets the vectors of the processor that it runs on.

/// Most contacts at a time: a bit of a word for each.
pub(crate) const FEW_MAX: usize = 64;
/// Bits of a distance that are looked at.
const KEY_BITS: u32 = u16::BITS;

/// Contacts in any order.
#[derive(Debug)]
pub(crate) struct Unsorted {
    /// The first 64 bits of their ids.
    pub(crate) prefixes: [u64; FEW_MAX],
    pub(crate) len: usize,
    /// The first 64 bits of the target.
    pub(crate) aim: u64,
    /// How many bits the contacts share with each other at least: all distances have the same
    /// there.
    pub(crate) shared: u32,
}

/// What can be done on any processor, and faster with what some have.
pub(crate) trait Task {
    type Output;

    /// Does it. To be inlined, and all that it calls and that takes time: only then does it use
    /// what the processor has.
    fn run(self, planes: impl Planes) -> Self::Output;
}

/// Does `task` with what the processor turns out to have.
#[inline(always)]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return avx2.vectorize(vectors::With { avx2, task });
    }
    task.run(Plain)
}

/// A way to pick the nearest.
pub(crate) trait Planes: Copy {
    /// Of the contacts `among` (a bit for each, the lowest for the first; more than `k`) the
    /// `k` nearest, by the 16 bits of the distance behind `shared` (at most 63) that all share.
    /// Nothing if these do not tell.
    ///
    /// Cost: a step for each bit until they are found. With vectors, a step takes that bit of
    /// all contacts at once.
    fn nearest(self, of: &Unsorted, shared: u32, among: u64, k: usize) -> Option<u64>;

    /// How many of the sorted `prefixes` come before the first that is not `before`.
    #[inline(always)]
    fn rank(self, prefixes: &[u64], before: impl Fn(u64) -> bool) -> usize {
        prefixes.partition_point(|prefix| before(*prefix))
    }

    /// Asks memory for all of `items` at once, but for at most a line at their end and where
    /// the processor can: otherwise one would be waited for before the next is known to be
    /// wanted.
    #[inline(always)]
    fn fetch<T>(self, _items: &[T]) {}
}

/// On any processor.
#[derive(Clone, Copy)]
struct Plain;

impl Planes for Plain {
    fn nearest(self, of: &Unsorted, shared: u32, among: u64, k: usize) -> Option<u64> {
        let mut keys = [0; FEW_MAX];
        let keys = &mut keys[..of.len.min(FEW_MAX)];
        for (key, prefix) in keys.iter_mut().zip(&of.prefixes) {
            *key = of.key(*prefix, shared);
        }
        let mut bit = KEY_BITS;
        pick(among, k, || {
            bit -= 1;
            let bits = keys.iter().map(|key| u64::from(key >> bit & 1));
            bits.zip(0..).fold(0, |far, (is_far, number)| far | is_far << number)
        })
    }
}

/// Whatever the processor turns out to have, asked for at each picking.
#[derive(Clone, Copy)]
pub(crate) struct Best;

impl Planes for Best {
    fn nearest(self, of: &Unsorted, shared: u32, among: u64, k: usize) -> Option<u64> {
        run(Nearest { of, shared, among, k })
    }
}

/// The picking itself as a task.
struct Nearest<'a> {
    of: &'a Unsorted,
    shared: u32,
    among: u64,
    k: usize,
}

impl Task for Nearest<'_> {
    type Output = Option<u64>;

    #[inline(always)]
    fn run(self, planes: impl Planes) -> Option<u64> {
        planes.nearest(self.of, self.shared, self.among, self.k)
    }
}

impl Unsorted {
    /// As [`Planes::nearest`], by the first bits that they do not all share.
    #[inline(always)]
    pub(crate) fn nearest(&self, planes: impl Planes, among: u64, k: usize) -> Option<u64> {
        let shared = self.shared.min(u64::BITS - 1);
        let nearest = planes.nearest(self, shared, among, k);
        nearest.or_else(|| self.nearest_of_alike(shared, among, k))
    }

    /// Where the bits behind those that are known to be shared do not tell: a few may share more
    /// than they were chosen by.
    #[cold]
    fn nearest_of_alike(&self, shared: u32, among: u64, k: usize) -> Option<u64> {
        let prefixes = &self.prefixes[..self.len.min(FEW_MAX)];
        let differing = prefixes.iter().fold(0, |bits, prefix| bits | (prefix ^ prefixes[0]));
        let common = differing.leading_zeros().min(u64::BITS - 1);
        if common > shared { Best.nearest(self, common, among, k) } else { None }
    }

    /// The bits of a distance that are looked at.
    #[inline(always)]
    fn key(&self, prefix: u64, shared: u32) -> u16 {
        (((prefix ^ self.aim) << shared) >> (u64::BITS - KEY_BITS)) as u16
    }
}

/// Of the contacts `among`, more than `k`, the `k` nearest. `farther` tells, bit by bit of the
/// distance from the highest on, who has it set. Nothing if the bits do not tell.
///
/// Either those without the bit all belong to the answer and the rest of it is among the
/// others, or all of the answer is among those without.
#[inline(always)]
fn pick(mut among: u64, k: usize, mut farther: impl FnMut() -> u64) -> Option<u64> {
    let (mut picked, mut left) = (0, u32::try_from(k).unwrap_or(u32::MAX));
    for _ in 0..KEY_BITS {
        let far = farther();
        let near = among & !far;
        let count = near.count_ones();
        // No branch: which it is cannot be guessed.
        let (belong, belonging) = if count <= left { (u64::MAX, count) } else { (0, 0) };
        picked |= near & belong;
        left -= belonging;
        among &= far ^ !belong;
        if left == 0 {
            return Some(picked);
        }
    }
    None
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod vectors {
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, bytemuck, cast, i16x16};

    use super::{FEW_MAX, Planes, Task, Unsorted, pick};

    /// Keys that are made at a time.
    const GROUP: usize = 8;
    /// Bytes that come from memory at a time.
    const LINE_LEN: usize = 64;
    /// `_MM_HINT_T0`.
    const TO_ALL_CACHES: i32 = 3;

    /// A task on a processor that has them.
    pub(super) struct With<T> {
        pub(super) avx2: V3,
        pub(super) task: T,
    }

    impl<T: Task> NullaryFnOnce for With<T> {
        type Output = T::Output;

        #[inline(always)]
        fn call(self) -> T::Output {
            self.task.run(self.avx2)
        }
    }

    /// Vectors of 16 keys.
    impl Planes for V3 {
        /// Of few by looking at all, none of which has to be waited for before the next.
        #[inline(always)]
        fn rank(self, prefixes: &[u64], before: impl Fn(u64) -> bool) -> usize {
            if prefixes.len() > FEW_MAX {
                return prefixes.partition_point(|prefix| before(*prefix));
            }
            prefixes.iter().filter(|prefix| before(**prefix)).count()
        }

        #[inline(always)]
        fn fetch<T>(self, items: &[T]) {
            let first = items.as_ptr().cast::<i8>();
            for at in (0..size_of_val(items)).step_by(LINE_LEN) {
                self.sse._mm_prefetch::<TO_ALL_CACHES>(first.wrapping_add(at));
            }
        }

        #[inline(always)]
        fn nearest(self, of: &Unsorted, shared: u32, among: u64, k: usize) -> Option<u64> {
            let mut keys = [0; FEW_MAX];
            let groups = of.prefixes.as_chunks::<GROUP>().0.iter();
            let used = of.len.div_ceil(GROUP);
            for (at, prefixes) in groups.enumerate().take(used) {
                // Two vectors are packed into one half by half: so the second and the third
                // group of four change places.
                let place = at & !3 | (at & 1) << 1 | (at & 2) >> 1;
                let keys = &mut keys.as_chunks_mut::<GROUP>().0[place];
                for (key, prefix) in keys.iter_mut().zip(prefixes) {
                    *key = of.key(*prefix, shared);
                }
            }
            let mut keys: [i16x16; 4] = bytemuck::cast(keys);
            if of.len <= FEW_MAX / 2 {
                pick(among, k, || u64::from(signs(self, &mut keys[..2])))
            } else {
                pick(among, k, || {
                    let (lower, upper) = keys.split_at_mut(2);
                    u64::from(signs(self, upper)) << 32 | u64::from(signs(self, lower))
                })
            }
        }
    }

    /// The highest bit of each of 32 keys, which then have the next one there.
    #[inline(always)]
    fn signs(avx2: V3, keys: &mut [i16x16]) -> u32 {
        let [first, second] = keys else { return 0 };
        let bytes = avx2.pack_with_signed_saturation_i16x16(*first, *second);
        *first = avx2.shl_const_i16x16::<1>(*first);
        *second = avx2.shl_const_i16x16::<1>(*second);
        avx2.avx2._mm256_movemask_epi8(cast(bytes)).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    struct Rank<'a> {
        prefixes: &'a [u64],
        end: u64,
    }

    impl Task for Rank<'_> {
        type Output = usize;

        fn run(self, planes: impl Planes) -> usize {
            planes.rank(self.prefixes, |prefix| prefix < self.end)
        }
    }

    #[test]
    fn with_and_without_vectors_the_rank_is_how_many_are_lower() {
        let mut rng = Rng::from_seed([1; 16]);
        for len in 0..2 * FEW_MAX {
            let mut prefixes: Vec<u64> = (0..len).map(|_| rng.next_u64() >> 61 << 61).collect();
            prefixes.sort_unstable();
            for end in [0, 1, 1 << 62, (1 << 62) + 1, 1 << 63, 7 << 61, u64::MAX] {
                let lower = prefixes.iter().filter(|prefix| **prefix < end).count();
                let by_best = run(Rank { prefixes: &prefixes, end });
                assert_eq!(by_best, lower, "{len} prefixes, {end:#x}");
                assert_eq!(Rank { prefixes: &prefixes, end }.run(Plain), lower, "{end:#x}");
            }
        }
    }

    #[test]
    fn with_and_without_vectors_the_nearest_are_those_of_a_sort_by_the_bits_that_tell() {
        for seed in 0..=255_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let shared = [0, 1, 17, 47, 48, 60, 63][usize::from(seed % 7)];
            let (common, aim) = (rng.next_u64(), rng.next_u64());
            let rest = u64::MAX >> shared;
            let few = if seed < 128 { u64::MAX } else { 7 << 60 >> shared };
            let prefixes =
                core::array::from_fn(|_| common & !rest | rng.next_u64() & rest & (few | common));
            let wanted = if seed % 2 == 0 { u64::MAX } else { rng.next_u64() };
            for len in 1..=FEW_MAX {
                let unsorted = Unsorted { prefixes, len, aim, shared };
                let among = wanted & u64::MAX >> (FEW_MAX - len);
                let common = prefixes[..len].iter().map(|p| (p ^ prefixes[0]).leading_zeros());
                let common = common.min().unwrap_or(0).max(shared).min(63);
                let bits = |at: &usize| ((prefixes[*at] ^ aim) << common) >> 48;
                let mut sorted: Vec<usize> = (0..len).filter(|at| among >> at & 1 == 1).collect();
                sorted.sort_by_key(bits);
                for k in 1..sorted.len() {
                    let (near, far) = sorted.split_at(k);
                    let is_told = bits(&near[k - 1]) < bits(&far[0]);
                    let nearest = near.iter().fold(0, |picked, at| picked | 1 << at);
                    let expected = is_told.then_some(nearest);
                    let context = format!("seed {seed}, {k} of {len}");
                    assert_eq!(unsorted.nearest(Best, among, k), expected, "{context}");
                    let best = Best.nearest(&unsorted, common, among, k);
                    assert_eq!(best, expected, "{context}, known to share all that they do");
                    let plain = Plain.nearest(&unsorted, common, among, k);
                    assert_eq!(plain, expected, "{context}, without vectors");
                }
            }
        }
    }
}
