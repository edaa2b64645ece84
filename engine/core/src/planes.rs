//! Which of a few contacts are nearest, found bit by bit of their distances, and how a search
//! gets the vectors of the processor that it runs on.

use core::hint::select_unpredictable;

use crate::few::first_bits;

/// Most contacts at a time: a bit of a word for each.
pub(crate) const FEW_MAX: usize = 64;
/// Prefixes that are taken at a time.
pub(crate) const GROUP: usize = 8;
/// Bits of a key.
const KEY_BITS: usize = 16;
/// Bits of keys that are looked at before it is asked whether they were enough: of 64 contacts
/// or fewer they mostly are, and one more costs less than a wrong guess whether it is needed.
const SURE_BITS: usize = 8;

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
    run_plain(task)
}

// Apart, as the other way is: both in one place would make whoever calls too large to inline.
#[inline(never)]
fn run_plain<T: Task>(task: T) -> T::Output {
    task.run(Plain)
}

/// A few contacts by the first 64 bits of their ids.
pub(crate) struct Prefixes<'a> {
    /// Those of the contacts, and whatever fills up the last group.
    pub(crate) groups: &'a [[u64; GROUP]],
    /// That of the target.
    pub(crate) aim: u64,
    /// How many bits all contacts share: at most 63.
    pub(crate) shared: u32,
}

impl Prefixes<'_> {
    #[inline(always)]
    fn keys(&self) -> Keys {
        let mut keys = [0; FEW_MAX];
        for (keys, prefixes) in keys.as_chunks_mut::<GROUP>().0.iter_mut().zip(self.groups) {
            *keys = prefixes.map(|prefix| key(prefix, self.shared));
        }
        keys
    }

    #[inline(always)]
    fn aim_key(&self) -> u16 {
        key(self.aim, self.shared)
    }
}

/// The key of each of a few contacts, at its number.
type Keys = [u16; FEW_MAX];

/// The keys of a few contacts, kept bit by bit: of each bit of theirs, the highest first, a word
/// that has it for each of them, at its number. Two cache lines, of which the first is mostly
/// enough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(align(64))]
pub(crate) struct SlicedKeys([u64; KEY_BITS]);

impl SlicedKeys {
    /// Of no contacts.
    pub(crate) const EMPTY: Self = Self([0; KEY_BITS]);

    /// Of a contact that comes at `at` (below 64), before those that were there and behind.
    pub(crate) fn insert(&mut self, at: usize, key: u16) {
        let below = first_bits(at);
        for (bits, place) in self.0.iter_mut().zip((0..KEY_BITS).rev()) {
            let bit = u64::from(key >> place & 1);
            *bits = *bits & below | (*bits & !below) << 1 | bit << at;
        }
    }

    /// The contact at `at` (below 64) goes, and those behind it move up.
    pub(crate) fn remove(&mut self, at: usize) {
        let below = first_bits(at);
        for bits in &mut self.0 {
            *bits = *bits & below | *bits >> 1 & !below;
        }
    }

    /// Of the contacts `among` (a bit for each, the lowest for the first; more than `k`) the `k`
    /// nearest to what has the key `aim`, where all share the bits before their keys. Nothing if
    /// the keys do not tell. O(1).
    #[inline(always)]
    pub(crate) fn nearest(&self, aim: u16, among: u64, k: usize) -> Option<u64> {
        let mut bits = self.0.iter().zip((0..KEY_BITS).rev());
        pick(among, k, || {
            let (bits, place) = bits.next().unwrap_or((&0, 0));
            bits ^ u64::from(aim >> place & 1).wrapping_neg()
        })
    }

    /// Asks memory for what is mostly enough of them.
    #[inline(always)]
    pub(crate) fn fetch(&self, planes: impl Planes) {
        planes.fetch(&self.0[..SURE_BITS]);
    }

    /// The key of the contact at `at`.
    #[cfg(test)]
    pub(crate) fn at(&self, at: usize) -> u16 {
        self.0.iter().fold(0, |key, bits| key << 1 | u16::from(bits >> at & 1 == 1))
    }
}

/// The 16 bits of an id behind the first `shared` (at most 63), where `prefix` is its first 64.
#[inline(always)]
pub(crate) fn key(prefix: u64, shared: u32) -> u16 {
    ((prefix << shared) >> (u64::BITS - u16::BITS)) as u16
}

/// A way to pick the nearest.
pub(crate) trait Planes: Copy {
    /// As [`SlicedKeys::nearest`], of those that `few` have.
    ///
    /// Cost: a step for each bit until they are found. With vectors, a step takes that bit of
    /// all contacts at once.
    fn nearest(self, few: &Prefixes<'_>, among: u64, k: usize) -> Option<u64>;

    /// How many of the sorted `prefixes` come before the first that is not `before`.
    #[inline(always)]
    fn rank(self, prefixes: &[u64], before: impl Fn(u64) -> bool) -> usize {
        prefixes.partition_point(|prefix| before(*prefix))
    }

    /// Asks memory for all of `items` at once, where the processor can: otherwise one would be
    /// waited for before the next is known to be wanted.
    #[inline(always)]
    fn fetch<T>(self, _items: &[T]) {}
}

/// On any processor.
#[derive(Clone, Copy)]
struct Plain;

impl Planes for Plain {
    fn nearest(self, few: &Prefixes<'_>, among: u64, k: usize) -> Option<u64> {
        let (keys, aim) = (few.keys(), few.aim_key());
        let mut fours = [0; FEW_MAX / 4];
        for (four, keys) in fours.iter_mut().zip(keys.as_chunks::<4>().0) {
            let [a, b, c, d] = keys.map(|key| u64::from(key ^ aim));
            *four = a | b << 16 | c << 32 | d << 48;
        }
        let mut bit = KEY_BITS;
        pick(among, k, || {
            bit -= 1;
            let bits = fours.iter().map(|four| gathered(four >> bit));
            bits.zip(0..).fold(0, |far, (bits, number)| far | bits << (4 * number))
        })
    }
}

/// The lowest bit of each quarter of `four`, side by side.
fn gathered(four: u64) -> u64 {
    const LOWEST: u64 = 0x0001_0001_0001_0001;
    // Takes bit 16 i to bit 48 + i, and what else it makes to places of their own.
    const TO_48: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;
    (four & LOWEST).wrapping_mul(TO_48) >> 48 & 0xf
}

/// Whatever the processor turns out to have, asked for at each picking.
#[derive(Clone, Copy)]
pub(crate) struct Best;

impl Planes for Best {
    fn nearest(self, few: &Prefixes<'_>, among: u64, k: usize) -> Option<u64> {
        run(Nearest { few, among, k })
    }
}

/// [`Planes::nearest`] as a task.
struct Nearest<'a> {
    few: &'a Prefixes<'a>,
    among: u64,
    k: usize,
}

impl Task for Nearest<'_> {
    type Output = Option<u64>;

    #[inline(always)]
    fn run(self, planes: impl Planes) -> Option<u64> {
        planes.nearest(self.few, self.among, self.k)
    }
}

/// Of the contacts `among`, more than `k`, the `k` nearest. `farther` tells, bit by bit of the
/// distance from the highest on, who has it set. Nothing if the bits do not tell.
#[inline(always)]
fn pick(among: u64, k: usize, mut farther: impl FnMut() -> u64) -> Option<u64> {
    let mut picking = Picking { among, picked: 0, left: k as u64 };
    for _ in 0..SURE_BITS {
        picking.narrow(farther());
    }
    for _ in SURE_BITS..KEY_BITS {
        if picking.left == 0 {
            break;
        }
        picking.narrow(farther());
    }
    (picking.left == 0).then_some(picking.picked)
}

/// What is known of the nearest.
struct Picking {
    /// Some of these are.
    among: u64,
    /// These are.
    picked: u64,
    /// How many of `among` are; if none, more bits change nothing of `picked`.
    left: u64,
}

impl Picking {
    /// By one more bit of the distance, which these have set.
    ///
    /// Either those without the bit all belong to the answer and the rest of it is among the
    /// others, or all of the answer is among those without.
    #[inline(always)]
    fn narrow(&mut self, farther: u64) {
        let near = self.among & !farther;
        let count = u64::from(near.count_ones());
        let is_beyond = count > self.left;
        // No branches: which it is cannot be guessed.
        self.picked |= select_unpredictable(is_beyond, 0, near);
        self.left -= select_unpredictable(is_beyond, 0, count);
        self.among = select_unpredictable(is_beyond, near, self.among & farther);
    }
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod vectors {
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, cast, i16x16, u16x16};

    use super::{FEW_MAX, Planes, Prefixes, Task, pick};

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
            // They need not begin where a line does.
            let before = first.addr() % LINE_LEN;
            let line = first.wrapping_sub(before);
            for at in (0..before + size_of_val(items)).step_by(LINE_LEN) {
                self.sse._mm_prefetch::<TO_ALL_CACHES>(line.wrapping_add(at));
            }
        }

        #[inline(always)]
        fn nearest(self, few: &Prefixes<'_>, among: u64, k: usize) -> Option<u64> {
            let aim = self.splat_u16x16(few.aim_key());
            let keys: [u16x16; 4] = cast(few.keys());
            let [a, b, c, d] = keys.map(|keys| self.xor_u16x16(keys, aim));
            let (mut lower, mut upper) = (halved(self, a, b), halved(self, c, d));
            pick(among, k, || {
                let far = u64::from(signs(self, &mut upper)) << u32::BITS;
                far | u64::from(signs(self, &mut lower))
            })
        }
    }

    /// 32 keys in the order that [`signs`] tells their bits in: it packs two vectors into one
    /// half by half.
    #[inline(always)]
    fn halved(avx2: V3, first: u16x16, second: u16x16) -> [i16x16; 2] {
        const LOWER: i32 = 0x20;
        const UPPER: i32 = 0x31;
        let (first, second) = (cast(first), cast(second));
        [
            cast(avx2.avx2._mm256_permute2x128_si256::<LOWER>(first, second)),
            cast(avx2.avx2._mm256_permute2x128_si256::<UPPER>(first, second)),
        ]
    }

    /// The highest bit of each of 32 keys, which then have the next one there.
    #[inline(always)]
    fn signs(avx2: V3, keys: &mut [i16x16; 2]) -> u32 {
        let [first, second] = keys;
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

    #[test]
    fn sliced_keys_come_and_go_as_those_of_a_list() {
        let mut rng = Rng::from_seed([3; 16]);
        let (mut sliced, mut list) = (SlicedKeys::EMPTY, Vec::new());
        for round in 0..10_000_u64 {
            let at = usize::try_from(rng.below(list.len() as u64 + 1)).unwrap();
            // Fuller and emptier by turns.
            let is_growing = rng.below(10) < if round / 500 % 2 == 0 { 8 } else { 2 };
            if is_growing && list.len() < FEW_MAX {
                let key = key(rng.next_u64(), 0);
                sliced.insert(at, key);
                list.insert(at, key);
            } else if at < list.len() {
                sliced.remove(at);
                list.remove(at);
            }
            let kept: Vec<u16> = (0..FEW_MAX).map(|at| sliced.at(at)).collect();
            assert_eq!(kept[..list.len()], list, "round {round}");
            assert!(kept[list.len()..].iter().all(|key| *key == 0), "round {round}");
        }
    }

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
    fn with_and_without_vectors_the_nearest_are_those_of_a_sort_by_their_keys() {
        for seed in 0..=255_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            // All bits may differ, or few.
            let differing = [u16::MAX, 7 << 13, 0x0f00, 3][usize::from(seed % 4)];
            let (shared, first) = (u32::from(seed % 49), rng.next_u64());
            let aim = key(first, shared);
            let keys: Keys =
                core::array::from_fn(|_| aim & !differing | key(rng.next_u64(), 0) & differing);
            // What is before and behind the key is the same for all, or tells nothing.
            let beside = u64::MAX >> u16::BITS >> shared;
            let prefix = |key: u16| {
                let before = first & !(u64::MAX >> shared);
                before | u64::from(key) << (u64::BITS - u16::BITS) >> shared | !first & beside
            };
            let prefixes = keys.map(prefix);
            let groups = prefixes.as_chunks().0;
            let few = Prefixes { groups, aim: first, shared };
            let mut sliced = SlicedKeys::EMPTY;
            for (at, key) in keys.iter().enumerate() {
                sliced.insert(at, *key);
            }
            let wanted = if seed % 2 == 0 { u64::MAX } else { rng.next_u64() };
            for len in 1..=FEW_MAX {
                let among = wanted & u64::MAX >> (FEW_MAX - len);
                let distance = |at: &usize| keys[*at] ^ aim;
                let mut sorted: Vec<usize> = (0..len).filter(|at| among >> at & 1 == 1).collect();
                sorted.sort_by_key(distance);
                for k in 1..sorted.len() {
                    let (near, far) = sorted.split_at(k);
                    let is_told = distance(&near[k - 1]) < distance(&far[0]);
                    let nearest = near.iter().fold(0, |picked, at| picked | 1 << at);
                    let expected = is_told.then_some(nearest);
                    let context = format!("seed {seed}, {k} of {len}");
                    assert_eq!(Best.nearest(&few, among, k), expected, "{context}");
                    let plain = Plain.nearest(&few, among, k);
                    assert_eq!(plain, expected, "{context}, without vectors");
                    assert_eq!(sliced.nearest(aim, among, k), expected, "{context}, sliced");
                }
            }
        }
    }
}
