//! Chance, by the seed alone: the same on every machine.
//!
//! What happens to a datagram follows from a hash of (seed, from, to, count), so that no
//! table of pairs is kept. Logarithm and exponential are written out in additions and
//! multiplications, since those of the platform's library may differ in the last bit.

use std::f64::consts::{LN_2, SQRT_2};
use std::hash::Hasher;

use kdht_core::Rng;
use siphasher::sip::SipHasher13;

/// What a draw is for: draws for different purposes are independent.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Purpose {
    Latency = 1,
    Fate,
    Nat,
    Side,
    Sequence,
}

/// Draws by name instead of by order.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    key: [u8; 16],
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = *b"kdht-sim\0\0\0\0\0\0\0\0";
        key[8..].copy_from_slice(&seed.to_le_bytes());
        Self { key }
    }

    /// Sixty-four bits for this purpose and these two numbers.
    pub(crate) fn bits(&self, purpose: Purpose, first: u64, second: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&(purpose as u64).to_le_bytes());
        hasher.write(&first.to_le_bytes());
        hasher.write(&second.to_le_bytes());
        hasher.finish()
    }

    /// A number of [0, 1) for this purpose and this number.
    pub(crate) fn unit(&self, purpose: Purpose, of: u64) -> f64 {
        unit(self.bits(purpose, of, 0))
    }

    /// A generator whose output depends on the seed and `stream` alone.
    pub(crate) fn stream(&self, stream: u64) -> Rng {
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.bits(Purpose::Sequence, stream, 0).to_le_bytes());
        seed[8..].copy_from_slice(&self.bits(Purpose::Sequence, stream, 1).to_le_bytes());
        Rng::from_seed(seed)
    }
}

/// The next draw after `bits`, for several chances that hang on one hash (splitmix64).
pub(crate) fn next(bits: u64) -> u64 {
    let mut mixed = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A number of [0, 1) from random bits: 53 of them, exactly.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// An index below `len`, which must not be zero.
pub(crate) fn below(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).unwrap_or(0)
}

/// The whole part of a number that is neither negative nor too large for 64 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// An exponentially distributed number with mean 1, from random bits.
pub(crate) fn exponential(bits: u64) -> f64 {
    -ln(1.0 - unit(bits))
}

/// A Weibull distributed number of mean `mean` and shape `shape`, from random bits.
pub(crate) fn weibull(bits: u64, mean: f64, shape: f64) -> f64 {
    let scale = mean / gamma(1.0 + 1.0 / shape);
    let drawn = exponential(bits);
    if drawn <= 0.0 { 0.0 } else { scale * exp(ln(drawn) / shape) }
}

/// Natural logarithm of a positive, normal number.
pub(crate) fn ln(number: f64) -> f64 {
    let bits = number.to_bits();
    let mut exponent = (bits >> 52) as f64 - 1_023.0;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1_023 << 52);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let (mut sum, mut power) = (0.0, ratio);
    for term in 0..18 {
        sum += power / f64::from(2 * term + 1);
        power *= square;
    }
    2.0 * sum + exponent * LN_2
}

/// The exponential of a number between -700 and 700; outside, that of the nearer end.
pub(crate) fn exp(number: f64) -> f64 {
    let number = number.clamp(-700.0, 700.0);
    let doublings = (number / LN_2).round();
    let rest = number - doublings * LN_2;
    let (mut sum, mut power) = (1.0, 1.0);
    for term in 1..20 {
        power *= rest / f64::from(term);
        sum += power;
    }
    sum * f64::from_bits(whole(doublings + 1_023.0) << 52)
}

/// The gamma function of a number of at least 1 (Stirling's series behind a shift by 10).
fn gamma(number: f64) -> f64 {
    let (mut shifted, mut product) = (number, 1.0);
    while shifted < 10.0 {
        product *= shifted;
        shifted += 1.0;
    }
    let inverse = 1.0 / shifted;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1_260.0));
    let half_ln_tau = 0.5 * ln(std::f64::consts::TAU);
    exp((shifted - 0.5) * ln(shifted) - shifted + half_ln_tau + series) / product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_exp_and_gamma_agree_with_the_platform_to_twelve_digits() {
        for step in 1..2_000 {
            let number = f64::from(step) * 0.037;
            assert!((ln(number) - number.ln()).abs() < 1e-12 * number.ln().abs().max(1.0));
            assert!((exp(number) / number.exp() - 1.0).abs() < 1e-12);
            assert!((exp(-number) / (-number).exp() - 1.0).abs() < 1e-12);
        }
        for (number, factorial) in [(1.0, 1.0), (2.0, 1.0), (5.0, 24.0), (11.0, 3_628_800.0)] {
            assert!((gamma(number) / factorial - 1.0).abs() < 1e-9, "{number}");
        }
        assert!((gamma(1.5) - 0.886_226_925_452_758).abs() < 1e-9);
    }

    #[test]
    fn sessions_have_the_mean_that_was_asked_for() {
        let draws = Draws::new(7);
        for shape in [0.5, 1.0, 2.0] {
            let sum: f64 = (0..100_000)
                .map(|at| weibull(draws.bits(Purpose::Sequence, at, 9), 60.0, shape))
                .sum();
            let mean = sum / 100_000.0;
            assert!((mean - 60.0).abs() < 2.0, "shape {shape}: {mean}");
        }
    }
}
