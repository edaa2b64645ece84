//! What a measured ratio has to be, and whether it is.

use serde::Serialize;

use crate::stats::Interval;

/// What an interval says of a gate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The whole interval is on the right side of the gate.
    Met,
    /// The whole interval is on the wrong side.
    Missed,
    /// The gate lies within the interval, or too little was measured.
    Undecided,
}

/// A bound for a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl Gate {
    /// Holds an interval against the gate.
    #[must_use]
    pub fn judge(self, interval: &Interval) -> Verdict {
        let (is_met, is_missed) = match self {
            Self::AtLeast(bound) => (interval.low >= bound, interval.high < bound),
            Self::AtMost(bound) => (interval.high <= bound, interval.low > bound),
        };
        match (is_met, is_missed) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }
}

/// Medians of the floor against itself that let a run count.
pub const CONTROL_MIN: f64 = 0.97;
/// The upper end of [`CONTROL_MIN`].
pub const CONTROL_MAX: f64 = 1.03;
/// A slice counts for throughput if the server's core was at least so busy.
pub const SERVER_BUSY_MIN: f64 = 0.95;
/// And the generator at most so.
pub const GENERATOR_BUSY_MAX: f64 = 0.85;
/// CPU that a reply may cost more than the floor's, in nanoseconds.
pub const CPU_EXTRA_NS_MAX: f64 = 220.0;
/// Contacts from which on a table is large.
pub const LARGE_TABLE: usize = 20_000;
/// Endpoints from which on many ask.
pub const MANY_SOURCES: usize = 64;

/// How many times its best rate a server must be offered for its answers to be those of an
/// overloaded one.
pub const OVERLOAD_MIN: f64 = 2.0;
/// The share of its best rate that it has to answer then.
pub const OVERLOAD: Gate = Gate::AtLeast(0.90);

/// The gate of a ratio of throughputs, by the number of contacts and of endpoints that ask.
#[must_use]
pub fn throughput(contacts: usize, sources: usize) -> Gate {
    let is_hard = contacts >= LARGE_TABLE || sources >= MANY_SOURCES;
    Gate::AtLeast(if is_hard { 0.90 } else { 0.95 })
}

/// The gate of the ratio of medians of the latency with one request in flight, by how the
/// candidate polls; and which echo it is held against. Nothing is asked of those that sleep.
#[must_use]
pub fn latency(poll: &str) -> Option<(Gate, &'static str)> {
    match poll {
        "adaptive" => Some((Gate::AtMost(0.4), "block")),
        "busy" => Some((Gate::AtMost(1.15), "busy")),
        _ => None,
    }
}

/// Whether a run's control lets it count.
#[must_use]
pub fn is_valid_control(median: f64) -> bool {
    (CONTROL_MIN..=CONTROL_MAX).contains(&median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_decides_only_from_one_side_of_the_gate() {
        let interval = |low, high| Interval { median: (low + high) / 2.0, low, high };
        let at_least = Gate::AtLeast(0.95);
        assert_eq!(at_least.judge(&interval(0.95, 0.99)), Verdict::Met);
        assert_eq!(at_least.judge(&interval(0.94, 0.99)), Verdict::Undecided);
        assert_eq!(at_least.judge(&interval(0.80, 0.95)), Verdict::Undecided);
        assert_eq!(at_least.judge(&interval(0.80, 0.94)), Verdict::Missed);
        let at_most = Gate::AtMost(0.4);
        assert_eq!(at_most.judge(&interval(0.3, 0.4)), Verdict::Met);
        assert_eq!(at_most.judge(&interval(0.3, 0.5)), Verdict::Undecided);
        assert_eq!(at_most.judge(&interval(0.41, 0.5)), Verdict::Missed);
    }

    #[test]
    fn large_tables_and_many_sources_are_asked_for_less() {
        assert_eq!(throughput(19_999, 63), Gate::AtLeast(0.95));
        assert_eq!(throughput(20_000, 1), Gate::AtLeast(0.90));
        assert_eq!(throughput(2_000, 64), Gate::AtLeast(0.90));
    }

    #[test]
    fn a_control_outside_three_percent_voids_a_run() {
        for (median, is_valid) in [(0.969, false), (0.97, true), (1.03, true), (1.031, false)] {
            assert_eq!(is_valid_control(median), is_valid, "{median}");
        }
    }
}
