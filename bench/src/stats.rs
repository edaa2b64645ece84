//! What few numbers say of many: medians, and how sure they are.

use crate::draw::Draw;

/// The `part` quantile (0 to 1) of `values` by linear interpolation between neighbours, or
/// nothing if there is none. Values must not be NaN.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a slice in memory, within it by the clamp"
)]
pub fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = part.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor()))
}

/// The median, or nothing of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// A median and the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2_000;

/// The median of `values` with its 95 % interval by the percentile bootstrap (Efron 1979):
/// 2,000 resamples, drawn from `seed`. Nothing of nothing. Cost: 2,000 sorts.
#[must_use]
pub fn bootstrap_median(values: &[f64], seed: u64) -> Option<Interval> {
    let median_of_all = median(values)?;
    let mut draw = Draw::new(seed);
    let mut resampled = vec![0.0; values.len()];
    let medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            resampled.iter_mut().for_each(|place| *place = values[draw.index(values.len())]);
            median(&resampled)
        })
        .collect();
    Some(Interval {
        median: median_of_all,
        low: quantile(&medians, 0.025)?,
        high: quantile(&medians, 0.975)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&values), Some(2.5));
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 1.0), Some(4.0));
        assert_eq!(quantile(&values, 1.0 / 3.0), Some(2.0));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_bootstrap_interval_holds_the_median_of_its_source_about_19_times_in_20() {
        let mut held = 0;
        for seed in 0..200 {
            let mut draw = Draw::new(seed);
            let values: Vec<f64> = (0..61).map(|_| draw.unit()).collect();
            let interval = bootstrap_median(&values, seed).unwrap();
            assert!(interval.low <= interval.median && interval.median <= interval.high);
            held += u32::from(interval.low <= 0.5 && 0.5 <= interval.high);
        }
        assert!((176..=200).contains(&held), "{held} of 200");
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        let interval = bootstrap_median(&[0.9; 12], 1).unwrap();
        assert_eq!((interval.low, interval.median, interval.high), (0.9, 0.9, 0.9));
    }
}
