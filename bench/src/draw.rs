//! Seeded randomness that is cheap enough to draw from for every datagram.

use kdht_wire::Id;

/// A generator (splitmix64, Steele, Lea & Flood 2014) whose whole output follows from its
/// seed. Not for secrets.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// A generator from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Sixty-four bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or zero if `bound` is zero. Its bias is below `bound` / 2⁶⁴.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The product of two 64-bit numbers has its high half below 2⁶⁴.
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index below `len`, or zero if `len` is zero.
    pub fn index(&mut self, len: usize) -> usize {
        // Below `len`, which is a `usize`.
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number from 0 up to but not including 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A uniform id.
    pub fn id(&mut self) -> Id {
        let mut out = Id::ZERO;
        for chunk in out.0.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        out
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.index(at + 1));
        }
    }
}

/// Arrivals of a Poisson process: gaps between them are exponential and independent.
#[derive(Clone, Debug)]
pub struct Arrivals {
    draw: Draw,
    mean_gap_ns: f64,
    next_ns: f64,
}

impl Arrivals {
    /// A process of `rate_per_s` arrivals a second on average, the first after `start_ns`.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a double holds 104 days of nanoseconds")]
    pub fn new(seed: u64, rate_per_s: f64, start_ns: u64) -> Self {
        let mut arrivals =
            Self { draw: Draw::new(seed), mean_gap_ns: 1e9 / rate_per_s, next_ns: start_ns as f64 };
        arrivals.step();
        arrivals
    }

    /// When the next arrival is due.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
    pub fn due_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// Goes on to the arrival after.
    pub fn step(&mut self) {
        // The argument is above zero, so the logarithm is finite.
        self.next_ns += -(1.0 - self.draw.unit()).ln() * self.mean_gap_ns;
    }
}

/// Ranks by Zipf's law with exponent 1: rank r is drawn in proportion to 1 / (r + 1).
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Sums of the weights up to each rank, over the sum of all.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Ranks from 0 to `count` - 1. Costs 8 bytes a rank.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "ranks are far below 2^53")]
    pub fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let mut add = |rank: usize| {
            sum += 1.0 / (rank + 1) as f64;
            sum
        };
        let mut cumulative: Vec<f64> = (0..count).map(&mut add).collect();
        cumulative.iter_mut().for_each(|part| *part /= sum);
        Self { cumulative }
    }

    /// One rank. O(log count).
    pub fn rank(&self, draw: &mut Draw) -> usize {
        let point = draw.unit();
        let rank = self.cumulative.partition_point(|part| *part <= point);
        rank.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_arrivals_have_the_mean_and_deviation_of_an_exponential() {
        for seed in 1..20 {
            let mut arrivals = Arrivals::new(seed, 100_000.0, 5_000);
            assert!(arrivals.due_ns() >= 5_000);
            let mut before = arrivals.due_ns();
            let gaps: Vec<f64> = (0..50_000)
                .map(|_| {
                    arrivals.step();
                    let gap = arrivals.due_ns() - before;
                    before = arrivals.due_ns();
                    gap as f64
                })
                .collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
            let deviation = (square / gaps.len() as f64).sqrt();
            // Six times the standard error of either.
            assert!((mean - 10_000.0).abs() < 300.0, "seed {seed}: mean {mean}");
            assert!((deviation - 10_000.0).abs() < 600.0, "seed {seed}: deviation {deviation}");
        }
    }

    #[test]
    fn ranks_come_as_often_as_zipf_says() {
        let zipf = Zipf::new(10);
        let mut draw = Draw::new(7);
        let mut counts = [0.0_f64; 10];
        for _ in 0..100_000 {
            counts[zipf.rank(&mut draw)] += 1.0;
        }
        let harmonic: f64 = (1..=10).map(|rank| 1.0 / f64::from(rank)).sum();
        for (rank, count) in counts.iter().enumerate() {
            let expected = 100_000.0 / (rank as f64 + 1.0) / harmonic;
            assert!((count - expected).abs() < 6.0 * expected.sqrt(), "{rank}: {count}");
        }
    }

    #[test]
    fn a_shuffle_keeps_what_it_shuffles_and_no_place_is_preferred() {
        let mut first = [0_u32; 4];
        for seed in 0..4_000 {
            let mut items = [0_usize, 1, 2, 3];
            Draw::new(seed).shuffle(&mut items);
            first[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3]);
        }
        assert!(first.iter().all(|count| (820..1_180).contains(count)), "{first:?}");
    }
}
