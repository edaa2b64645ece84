//! Time as an argument.

/// Monotonic time in nanoseconds since any fixed origin.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Nanos(pub u64);

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

impl Nanos {
    /// This time and `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(NS_PER_MS)))
    }

    /// This time and `us` microseconds.
    #[must_use]
    pub fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us.saturating_mul(1_000)))
    }

    /// Nanoseconds since `earlier`, zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Microseconds since `earlier`, at most an hour and eleven minutes.
    #[must_use]
    pub fn us_since(self, earlier: Self) -> u32 {
        u32::try_from(self.since(earlier) / 1_000).unwrap_or(u32::MAX)
    }

    /// Whole tenths of a second since the origin; 13 years of them.
    #[must_use]
    pub fn tenths(self) -> u32 {
        u32::try_from(self.0 / (NS_PER_S / 10)).unwrap_or(u32::MAX)
    }

    /// Whole seconds since the origin; 136 years of them.
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0 / NS_PER_S).unwrap_or(u32::MAX)
    }
}

/// Both clocks, read together once per batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// For intervals.
    pub mono: Nanos,
    /// For the wire's `time_s`: seconds since 1970, modulo 2³².
    pub unix_s: u32,
}
