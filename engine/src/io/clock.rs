//! The host's clocks.

use rustix::time::{ClockId, clock_gettime};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Nanoseconds since some start of the host's; never goes back, stands still while the
    /// host is suspended. Good for 584 years.
    pub monotonic_ns: u64,
    /// Seconds since 1970, modulo 2^32; jumps when the host's date is set. Changes a tick of
    /// the kernel's, 1 to 10 ms, late.
    pub unix_s: u32,
}

impl Moment {
    /// Reads both clocks, without entering the kernel where the host allows it.
    #[must_use]
    pub fn now() -> Self {
        let monotonic = clock_gettime(ClockId::Monotonic);
        // Whole seconds need no look at the counter, which is what a reading costs.
        let date = clock_gettime(ClockId::RealtimeCoarse);
        Self {
            monotonic_ns: monotonic
                .tv_sec
                .cast_unsigned()
                .wrapping_mul(1_000_000_000)
                .wrapping_add(monotonic.tv_nsec.cast_unsigned()),
            unix_s: low_half(date.tv_sec),
        }
    }
}

/// `seconds` modulo 2^32, also of dates before 1970.
fn low_half(seconds: i64) -> u32 {
    let [a, b, c, d, ..] = seconds.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_date_is_that_of_the_standard_library() {
        let date = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let before = date();
        let read = u64::from(Moment::now().unix_s);
        // A second that has just begun is told a tick late.
        assert!((before - 1..=date()).contains(&read));
    }

    #[test]
    fn a_pause_passes_between_two_readings() {
        let before = Moment::now();
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(3));
        let after = Moment::now();
        let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap();
        let passed_ns = after.monotonic_ns - before.monotonic_ns;
        assert!(passed_ns >= 3_000_000);
        assert!(passed_ns.abs_diff(elapsed_ns) < 1_000_000_000);
    }

    #[test]
    fn seconds_wrap_modulo_two_to_the_32() {
        for (seconds, wrapped) in [(0, 0), (1 << 32, 0), ((1 << 32) + 5, 5), (-1, u32::MAX)] {
            assert_eq!(low_half(seconds), wrapped);
        }
    }
}
