//! When a thread that turns shards may sleep, and how long.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kdht_core::Nanos;

/// How long `adaptive` goes on looking after the last datagram: waking costs about as
/// much, and within it an answer comes three times as fast.
const SPIN_NS: u64 = 20_000;

/// A sleep's most: whatever the host forgets to tell, it is noticed this late.
const HEARTBEAT_NS: u64 = 250_000_000;

/// What a thread does when nothing is left to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PollPolicy {
    /// `busy`: looks again and again; takes a whole core.
    Busy,
    /// `adaptive`: looks for 20 µs after the last datagram, then sleeps.
    #[default]
    Adaptive,
    /// `sleep`: sleeps at once.
    Sleep,
}

/// A text that names no [`PollPolicy`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownPolicy;

/// What one round over the shards brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    /// Datagrams came.
    pub(crate) has_received: bool,
    /// Go on without sleeping.
    pub(crate) has_more: bool,
    /// When something is due, whatever comes.
    pub(crate) wake_at: Option<Nanos>,
}

/// A thread's rhythm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    policy: PollPolicy,
    received_at: Option<Nanos>,
}

impl Pace {
    pub(crate) fn new(policy: PollPolicy) -> Self {
        Self { policy, received_at: None }
    }

    /// How long to sleep after `round`, which ended at `now`; zero: not at all.
    pub(crate) fn sleep(&mut self, now: Nanos, round: &Round) -> Duration {
        if round.has_received {
            self.received_at = Some(now);
        }
        let is_spinning = match self.policy {
            PollPolicy::Busy => true,
            PollPolicy::Adaptive => self.received_at.is_some_and(|at| now.since(at) < SPIN_NS),
            PollPolicy::Sleep => false,
        };
        if round.has_more || is_spinning {
            return Duration::ZERO;
        }
        let due_ns = round.wake_at.map_or(HEARTBEAT_NS, |at| at.since(now));
        Duration::from_nanos(due_ns.min(HEARTBEAT_NS))
    }
}

impl FromStr for PollPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "busy" => Ok(Self::Busy),
            "adaptive" => Ok(Self::Adaptive),
            "sleep" => Ok(Self::Sleep),
            _ => Err(UnknownPolicy),
        }
    }
}

impl fmt::Display for PollPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::Adaptive => "adaptive",
            Self::Sleep => "sleep",
        })
    }
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a poll policy is busy, adaptive or sleep")
    }
}

impl Error for UnknownPolicy {}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Round = Round { has_received: false, has_more: false, wake_at: None };
    const BATCH: Round = Round { has_received: true, ..QUIET };

    #[test]
    fn adaptive_looks_for_twenty_microseconds_after_the_last_datagram() {
        let mut pace = Pace::new(PollPolicy::Adaptive);
        assert!(pace.sleep(Nanos(0), &QUIET) > Duration::ZERO);
        assert_eq!(pace.sleep(Nanos(1_000), &BATCH), Duration::ZERO);
        assert_eq!(pace.sleep(Nanos(20_999), &QUIET), Duration::ZERO);
        assert!(pace.sleep(Nanos(21_000), &QUIET) > Duration::ZERO);
    }

    #[test]
    fn no_policy_sleeps_while_there_is_more_and_busy_never_does() {
        let more = Round { has_more: true, ..QUIET };
        for policy in [PollPolicy::Busy, PollPolicy::Adaptive, PollPolicy::Sleep] {
            assert_eq!(Pace::new(policy).sleep(Nanos(9), &more), Duration::ZERO);
            let sleeps = Pace::new(policy).sleep(Nanos(9), &QUIET) > Duration::ZERO;
            assert_eq!(sleeps, policy != PollPolicy::Busy);
        }
        assert!(Pace::new(PollPolicy::Sleep).sleep(Nanos(9), &BATCH) > Duration::ZERO);
    }

    #[test]
    fn a_sleep_ends_when_something_is_due_or_with_the_heartbeat() {
        let mut pace = Pace::new(PollPolicy::Sleep);
        for (wake_at, slept_ns) in
            [(None, HEARTBEAT_NS), (Some(5), 0), (Some(10), 0), (Some(17), 7)]
        {
            let round = Round { wake_at: wake_at.map(Nanos), ..QUIET };
            assert_eq!(pace.sleep(Nanos(10), &round), Duration::from_nanos(slept_ns));
        }
        let late = Round { wake_at: Some(Nanos(u64::MAX)), ..QUIET };
        assert_eq!(pace.sleep(Nanos(10), &late), Duration::from_nanos(HEARTBEAT_NS));
    }

    #[test]
    fn a_policy_reads_back_as_it_is_written() {
        for policy in [PollPolicy::Busy, PollPolicy::Adaptive, PollPolicy::Sleep] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("often".parse::<PollPolicy>(), Err(UnknownPolicy));
    }
}
