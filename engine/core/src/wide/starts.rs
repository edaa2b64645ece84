//! Where the parts of a row begin, and cells that tell in which part an id is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::row::{insert_in_steps, split_in_steps, trim};
use crate::planes::Planes;

/// What a cell tells of which part an id in it is: nothing.
const UNTOLD: u16 = u16::MAX;

/// The first 64 bits of sorted ids, at which parts begin, and an index of them by their own first
/// bits.
///
/// Prefixes that share as many bits as tell a cell belong to one part, unless another begins
/// among them. So of most ids the part is known by one look, whatever the number of parts.
/// Memory: 8 bytes a part, and 2 a cell.
#[derive(Debug)]
pub(super) struct Starts {
    /// Of each cell, the part that all ids in it but for its lowest prefix belong to, or
    /// [`UNTOLD`]. The last stands for all that is behind the others.
    cells: Box<[u16]>,
    /// The first bits of the first cell.
    first: u64,
    /// Bits of a prefix that do not tell its cell: at most 63.
    shift: u32,
    /// Cells for each part, as a power of two; there are up to twice as many.
    cells_log: u32,
    prefixes: Vec<u64>,
}

impl Starts {
    /// Prefixes by which memory grows.
    const STEP: usize = 16;

    pub(super) fn new(cells_log: u32) -> Self {
        Self { cells: Box::default(), first: 0, shift: 0, cells_log, prefixes: Vec::new() }
    }

    pub(super) fn as_slice(&self) -> &[u64] {
        &self.prefixes
    }

    pub(super) fn insert(&mut self, at: usize, prefix: u64) {
        insert_in_steps(&mut self.prefixes, at, prefix, Self::STEP);
        self.make_cells();
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.prefixes.remove(at);
        trim(&mut self.prefixes, Self::STEP);
        self.make_cells();
    }

    pub(super) fn set(&mut self, at: usize, prefix: u64) {
        self.prefixes[at] = prefix;
        self.make_cells();
    }

    /// Gives those from `at` on away.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut upper = Self::new(self.cells_log);
        upper.prefixes = split_in_steps(&mut self.prefixes, at, Self::STEP);
        upper.make_cells();
        self.make_cells();
        upper
    }

    pub(super) fn append(&mut self, next: &Self) {
        self.prefixes.reserve_exact(next.prefixes.len());
        self.prefixes.extend_from_slice(&next.prefixes);
        self.make_cells();
    }

    /// Memory behind it, in bytes, as allocated.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.cells) + self.prefixes.capacity() * size_of::<u64>()
    }

    /// In which part's range the ids with this prefix are, if a cell tells. O(1).
    #[inline(always)]
    pub(super) fn part_of(&self, prefix: u64) -> Option<usize> {
        // Ids with the lowest prefix of a cell may come before a part that begins with it.
        if prefix.trailing_zeros() >= self.shift {
            return None;
        }
        let part = *self.cell_of(prefix)?;
        if part == UNTOLD { None } else { Some(usize::from(part)) }
    }

    /// Asks memory for what [`Starts::part_of`] reads.
    #[inline(always)]
    pub(super) fn fetch(&self, planes: impl Planes, prefix: u64) {
        if let Some(cell) = self.cell_of(prefix) {
            planes.fetch(core::slice::from_ref(cell));
        }
    }

    /// Nothing before the first cell.
    #[inline(always)]
    fn cell_of(&self, prefix: u64) -> Option<&u16> {
        let number = (prefix >> self.shift).checked_sub(self.first)?;
        let last = self.cells.len().checked_sub(1)?;
        self.cells.get(usize::try_from(number).map_or(last, |number| number.min(last)))
    }

    /// O(prefixes).
    fn make_cells(&mut self) {
        let prefixes = &self.prefixes[..];
        let ([first, .., last], true) = (prefixes, prefixes.len() < usize::from(UNTOLD)) else {
            // One part has all ids; of too many none is told.
            self.cells = Box::default();
            return;
        };
        let span_bits = u64::BITS - (last - first).leading_zeros();
        self.shift = span_bits.saturating_sub(prefixes.len().ilog2() + self.cells_log + 1);
        self.first = first >> self.shift;
        let count = (last >> self.shift) - self.first + 2;
        // Parts begun at the lowest prefix of the cell that is made, or before.
        let mut begun = 0;
        let cells = (0..count).map(|number| {
            // One more bit, since there may be nothing behind the last.
            let lowest = (u128::from(self.first) + u128::from(number)) << self.shift;
            let end = lowest + (1 << self.shift);
            let more = prefixes[begun..].iter();
            begun += more.take_while(|prefix| u128::from(**prefix) <= lowest).count();
            let is_told = prefixes.get(begun).is_none_or(|next| u128::from(*next) >= end);
            let part = begun.checked_sub(1).filter(|_| is_told);
            part.and_then(|part| u16::try_from(part).ok()).unwrap_or(UNTOLD)
        });
        self.cells = cells.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Shapes of starts: `seed` of six ways.
    fn drawn(rng: &mut Rng, seed: u8) -> Vec<u64> {
        let count = 1 + rng.below(300);
        let mut prefixes: Vec<u64> = (0..count)
            .map(|number| match seed % 6 {
                // As hashes have them, all or a crowd of them.
                0 => rng.next_u64(),
                1 => 0x1234 << 48 | rng.next_u64() >> 16,
                // As subtrees begin.
                2 => number << 55,
                // As a comb.
                3 => u64::MAX << (number % 64),
                4 => u64::MAX - rng.below(3),
                _ => rng.next_u64() >> rng.below(64),
            })
            .collect();
        prefixes.sort_unstable();
        prefixes
    }

    #[test]
    fn what_a_cell_tells_is_the_part_that_begins_last_before() {
        for seed in 0..240_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let prefixes = drawn(&mut rng, seed);
            let mut starts = Starts::new(u32::from(seed % 5));
            for prefix in &prefixes {
                let at = starts.as_slice().partition_point(|other| other < prefix);
                starts.insert(at, *prefix);
            }
            if seed % 4 == 1 {
                let upper = starts.split_off(prefixes.len() / 2);
                starts.append(&upper);
            }
            assert_eq!(starts.as_slice(), prefixes);
            let near = prefixes
                .iter()
                .flat_map(|prefix| [prefix.wrapping_sub(1), *prefix, prefix.wrapping_add(1)]);
            let edges: Vec<u64> = near.chain([0, u64::MAX]).collect();
            let any = |rng: &mut Rng| match rng.below(3) {
                0 => rng.next_u64(),
                1 => edges[usize::try_from(rng.below(edges.len() as u64)).unwrap()],
                _ => prefixes[0].wrapping_add(rng.next_u64() >> rng.below(64)),
            };
            for _ in 0..1_000 {
                let prefix = any(&mut rng);
                let begun = prefixes.partition_point(|start| *start <= prefix);
                if let Some(part) = starts.part_of(prefix) {
                    assert_eq!(Some(part), begun.checked_sub(1), "seed {seed}, {prefix:#x}");
                    assert!(prefixes.binary_search(&prefix).is_err(), "{seed}, {prefix:#x}");
                }
            }
        }
    }

    #[test]
    fn of_starts_as_subtrees_have_them_cells_tell_nearly_all() {
        let mut rng = Rng::from_seed([7; 16]);
        for depth in 1..=8 {
            let mut starts = Starts::new(2);
            for number in 0..1_u64 << depth {
                starts.insert(starts.as_slice().len(), number << (64 - depth));
            }
            // A few of them in halves of halves.
            for number in (0..1_u64 << depth).step_by(5) {
                let quarter = number << (64 - depth) | 1 << (62 - depth);
                let at = starts.as_slice().partition_point(|other| *other < quarter);
                starts.insert(at, quarter);
            }
            let told = (0..1_000).filter(|_| starts.part_of(rng.next_u64()).is_some()).count();
            assert_eq!(told, 1_000, "depth {depth}");
        }
    }
}
