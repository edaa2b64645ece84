//! What a node knows of another, and whether it may be believed alive.

use kdht_wire::{Contact, Endpoint, Id};
use zerocopy::byteorder::little_endian::U16;

use crate::closest::Told;
use crate::time::Nanos;

/// Failures in a row after which a contact is stale.
pub const STALE_FAILURES: u8 = 5;
/// Failures in a row after which a full bucket may give a contact's place away.
pub const DISPLACE_FAILURES: u8 = 2;
/// First pause between two probes of a failing contact, in seconds; it doubles with each
/// failure.
pub const BACKOFF_S: u32 = 2;
/// Longest pause between two probes of a failing contact, in seconds.
pub const BACKOFF_S_MAX: u32 = 3_600;
/// How long a cookie got from a peer is used: its maker honours it for at least 300 s.
pub const COOKIE_USE_S: u32 = 270;

/// How far a contact is to be believed (libtorrent and BEP 5 tell good from questionable;
/// unlike them, time alone does not make a contact doubtful, only a failure does).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Liveness {
    /// Never answered a request of ours: not told to others, displaces nobody.
    Unverified,
    /// Answered, and has not failed since: the only ones told to others.
    Good,
    /// Failed 1 to 4 times in a row: kept, not told to others.
    Doubtful,
    /// Failed 5 times in a row or more: replaced as soon as there is a replacement.
    Stale,
}

impl Liveness {
    /// Its name, the same wherever a person reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Stale => "stale",
        }
    }
}

/// One contact of the routing table: 68 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its id.
    pub id: Id,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Failures since the last answer.
    pub failures: u8,
    /// Whether it ever answered a request of ours.
    pub verified: bool,
    /// When it was last heard from, in seconds of monotonic time.
    pub seen_s: u32,
    /// No probe and no further failure before this, in seconds of monotonic time.
    pub probe_after_s: u32,
    /// Smoothed round trip, in microseconds; zero before the first.
    pub rtt_us: u32,
    /// Its mean deviation, in microseconds.
    pub rtt_deviation_us: u32,
    /// The cookie it gave us last, little-endian; zero: none.
    cookie: [u8; 8],
    /// When it last answered, in tenths of a second of monotonic time.
    answered_ds: u32,
}

const _: () = assert!(size_of::<Peer>() == 68);

impl Told for Peer {
    fn id(&self) -> &Id {
        &self.id
    }

    #[inline(always)]
    fn tell(&self, place: &mut Contact) {
        // Part by part: put together apart first, they would be written twice.
        place.id = self.id;
        place.endpoint = self.endpoint;
        place.flags = U16::ZERO;
    }
}

impl Peer {
    /// A contact that was heard of just now and has not answered yet.
    #[must_use]
    pub fn new(id: Id, endpoint: Endpoint, now: Nanos) -> Self {
        Self {
            id,
            endpoint,
            failures: 0,
            verified: false,
            seen_s: now.seconds(),
            probe_after_s: 0,
            rtt_us: 0,
            rtt_deviation_us: 0,
            cookie: [0; 8],
            answered_ds: 0,
        }
    }

    /// How far it is to be believed.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        match (self.verified, self.failures) {
            (false, _) => Liveness::Unverified,
            (true, 0) => Liveness::Good,
            (true, 1..STALE_FAILURES) => Liveness::Doubtful,
            (true, _) => Liveness::Stale,
        }
    }

    /// Whether others may be told of it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verified && self.failures == 0
    }

    /// Whether a full bucket may give its place to a verified newcomer.
    #[must_use]
    pub fn is_displaceable(&self) -> bool {
        !self.verified || self.failures >= DISPLACE_FAILURES
    }

    /// The cookie to ask it with; zero where there is none, or it may have run out.
    #[must_use]
    pub fn cookie(&self, now: Nanos) -> u64 {
        if now.tenths().saturating_sub(self.answered_ds) <= COOKIE_USE_S * 10 {
            u64::from_le_bytes(self.cookie)
        } else {
            0
        }
    }

    /// The entry that others are told.
    #[must_use]
    pub fn contact(&self) -> Contact {
        Contact::new(self.id, self.endpoint)
    }

    /// It answered a request of ours.
    pub(crate) fn answered(&mut self, answer: &Answer, now: Nanos) {
        self.verified = true;
        self.failures = 0;
        self.probe_after_s = 0;
        self.seen_s = now.seconds();
        self.cookie = answer.cookie.to_le_bytes();
        self.answered_ds = now.tenths();
        if self.rtt_us == 0 {
            self.rtt_us = answer.rtt_us.max(1);
            self.rtt_deviation_us = answer.rtt_us / 2;
        } else {
            // RFC 6298 §2.3: gains of 1/8 and 1/4; quarters first, so that nothing wraps.
            let difference_us = self.rtt_us.abs_diff(answer.rtt_us);
            self.rtt_deviation_us =
                self.rtt_deviation_us - self.rtt_deviation_us / 4 + difference_us / 4;
            self.rtt_us = (self.rtt_us - self.rtt_us / 8 + answer.rtt_us / 8).max(1);
        }
    }

    /// It left the request of `sent` unanswered until the final timeout. Requests sent
    /// within the back-off do not count, so that a burst of lost datagrams is one failure;
    /// nor does one that was sent before the last answer.
    pub(crate) fn failed(&mut self, sent: Nanos, now: Nanos) {
        if sent.seconds() < self.probe_after_s || sent.tenths() < self.answered_ds {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = u32::from(self.failures - 1).min(11);
        let pause_s = (BACKOFF_S << doublings).min(BACKOFF_S_MAX);
        // The second that has begun is not counted, so that the pause is never shorter.
        self.probe_after_s = now.seconds().saturating_add(pause_s + 1);
    }
}

/// What an answer tells of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    /// Round trip, in microseconds.
    pub rtt_us: u32,
    /// The fresh cookie in it.
    pub cookie: u64,
}
