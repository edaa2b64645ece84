//! Where each of a few contacts would stand if they were sorted by distance.

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
use pulp::Simd;

/// Most contacts at a time.
pub(crate) const PLACES_MAX: usize = 64;
/// Keys that are made and compared at a time: those of a vector of 256 bits.
const BLOCK: usize = 16;
/// The key of a contact that is not wanted: behind all others.
const UNWANTED: i16 = i16::MAX;

/// Contacts that are to be sorted.
#[derive(Debug)]
pub(crate) struct Unsorted {
    /// The first 64 bits of their ids.
    pub(crate) prefixes: [u64; PLACES_MAX],
    pub(crate) len: usize,
    /// A bit for each that is not wanted, the lowest for the first.
    pub(crate) unwanted: u64,
    /// The first 64 bits of the target.
    pub(crate) aim: u64,
    /// How many bits the contacts share with each other at least: all distances have the same
    /// there.
    pub(crate) shared: u32,
}

impl Unsorted {
    /// For each how many are nearer, by the first 16 bits of the distance that are not shared:
    /// equal ones get the same place, and those that are not wanted the one behind all
    /// others. What stands behind `len` places means nothing.
    ///
    /// Cost: O(`len`²) comparisons, which is more than sorting takes; but with the vectors that
    /// the processor turns out to have many of them are one instruction, and none is a
    /// branch that it could guess wrong, as most of a sort's are.
    pub(crate) fn places(&self, places: &mut [u16; PLACES_MAX]) {
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Some(avx2) = pulp::x86::V3::try_new() {
            return Simd::vectorize(avx2, vectors::Places { avx2, of: self, places });
        }
        self.plain_places(places);
    }

    /// As [`Unsorted::places`], on any processor.
    fn plain_places(&self, places: &mut [u16; PLACES_MAX]) {
        let keys = &self.keys()[..self.len.min(PLACES_MAX)];
        for (place, key) in places.iter_mut().zip(keys) {
            *place = keys.iter().map(|other| u16::from(other < key)).sum();
        }
    }

    /// Keys in the order of distances. Signed ones, since only these can be compared by one
    /// instruction everywhere.
    #[inline(always)]
    fn keys(&self) -> [i16; PLACES_MAX] {
        let prefixes = &self.prefixes[..self.len.min(PLACES_MAX)];
        let differing = prefixes.iter().fold(0, |bits, prefix| bits | (prefix ^ prefixes[0]));
        // A few that all are may share more than they were chosen by.
        let shared = self.shared.max(differing.leading_zeros()).min(u64::BITS - 1);
        let aim = self.aim;
        let mut keys = [0; PLACES_MAX];
        let used = self.len.div_ceil(BLOCK);
        let blocks = self.prefixes.as_chunks::<BLOCK>().0.iter();
        for (keys, prefixes) in keys.as_chunks_mut::<BLOCK>().0.iter_mut().zip(blocks).take(used) {
            for (key, prefix) in keys.iter_mut().zip(prefixes) {
                let bits = (((prefix ^ aim) << shared) >> 48) as u16;
                // The lowest number becomes the lowest signed one. The highest two share a
                // key, so that none is that of an unwanted contact.
                *key = (bits ^ 1 << 15).cast_signed().min(UNWANTED - 1);
            }
        }
        let mut unwanted = self.unwanted;
        while unwanted != 0 {
            keys[unwanted.trailing_zeros() as usize] = UNWANTED;
            unwanted &= unwanted - 1;
        }
        keys
    }
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod vectors {
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, bytemuck, cast, i16x16, u16x16};

    use super::{BLOCK, PLACES_MAX, Unsorted};

    /// [`Unsorted::places`] in vectors of 16 keys.
    pub(super) struct Places<'a> {
        pub(super) avx2: V3,
        pub(super) of: &'a Unsorted,
        pub(super) places: &'a mut [u16; PLACES_MAX],
    }

    impl NullaryFnOnce for Places<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let keys = self.of.keys();
            let here: &[i16x16; 4] = bytemuck::cast_ref(&keys);
            let keys = &keys[..self.of.len.min(PLACES_MAX)];
            let places: &mut [u16x16; 4] = bytemuck::cast_mut(self.places);
            match keys.len().div_ceil(BLOCK) {
                1 => count::<1>(self.avx2, keys, here, places),
                2 => count::<2>(self.avx2, keys, here, places),
                3 => count::<3>(self.avx2, keys, here, places),
                _ => count::<4>(self.avx2, keys, here, places),
            }
        }
    }

    /// For each lane of the first `N` vectors `here` how many `keys` are lower. All vectors
    /// at a time, so that none waits for another.
    #[inline(always)]
    fn count<const N: usize>(avx2: V3, keys: &[i16], here: &[i16x16; 4], places: &mut [u16x16; 4]) {
        let mut lower = [avx2.splat_u16x16(0); N];
        for key in keys {
            let key = avx2.splat_i16x16(*key);
            // By index: iterators keep the counts out of registers.
            for at in 0..N {
                // A lane where it is so is all ones: -1.
                let is_lower = cast(avx2.cmp_lt_i16x16(key, here[at]));
                lower[at] = avx2.wrapping_sub_u16x16(lower[at], is_lower);
            }
        }
        places[..N].copy_from_slice(&lower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn with_and_without_vectors_each_place_counts_who_is_nearer_by_the_bits_that_tell() {
        for seed in 0..=255_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let shared = [0, 1, 17, 47, 48, 60, 63][usize::from(seed % 7)];
            let (common, aim) = (rng.next_u64(), rng.next_u64());
            let rest = u64::MAX >> shared;
            let few = if seed < 128 { u64::MAX } else { 7 << 60 >> shared };
            let prefixes =
                core::array::from_fn(|_| common & !rest | rng.next_u64() & rest & (few | common));
            let unwanted = if seed % 2 == 0 { 0 } else { rng.next_u64() };
            for len in 0..=PLACES_MAX {
                let unsorted = Unsorted { prefixes, len, unwanted, aim, shared };
                let (mut vectors, mut plain) = ([0; PLACES_MAX], [0; PLACES_MAX]);
                unsorted.places(&mut vectors);
                unsorted.plain_places(&mut plain);
                assert_eq!(vectors[..len], plain[..len], "seed {seed}, {len} keys");
                let common = prefixes[..len].iter().map(|p| (p ^ prefixes[0]).leading_zeros());
                let common = common.min().unwrap_or(0).max(shared).min(63);
                let bits = |at: usize| ((prefixes[at] ^ aim) << common) >> 48;
                let is_wanted = |at: &usize| unwanted >> at & 1 == 0;
                for (at, place) in plain[..len].iter().enumerate() {
                    let wanted = (0..len).filter(is_wanted);
                    let nearer = wanted.filter(|other| {
                        !is_wanted(&at) || bits(*other).min(0xfffe) < bits(at).min(0xfffe)
                    });
                    assert_eq!(usize::from(*place), nearer.count(), "seed {seed}, {len} keys");
                }
            }
        }
    }
}
