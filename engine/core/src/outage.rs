//! An outage of our own: silence from everybody says something of us, not of them.
//!
//! A good contact that fails while nothing at all has come in since it was asked is not
//! charged with it. Instead it is asked again together with a few others, the witnesses. If
//! any of them answers, the contact's next failure counts. If none does, the outage is ours:
//! witnesses are asked again with growing pauses and no failure counts, until something is
//! heard; then every contact not heard of since is asked whether it is still there.

use alloc::boxed::Box;

use kdht_wire::{Contact, Id};

use crate::closest::Closest;
use crate::contact::Liveness;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pending::Pending;
use crate::time::{Nanos, Now};

/// Contacts asked at once whether anybody is there.
const WITNESSES: usize = 4;
/// Other good contacts that it takes to suspect ourselves rather than the one that failed.
const OTHERS_MIN: usize = 2;
/// First pause between two rounds of witnesses, in milliseconds; it doubles. Longer than
/// the default longest timeout, so that a round has failed before the next.
const ROUND_MS: u64 = 5_000;
/// Longest pause between two rounds of witnesses, in milliseconds.
const ROUND_MS_MAX: u64 = 60_000;

/// Nothing comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Rounds of witnesses asked.
    rounds: u32,
    next_at: Nanos,
}

impl Silence {
    /// The first witnesses are being asked.
    fn begun(now: Now) -> Self {
        let mut silence = Self { rounds: 0, next_at: now.mono };
        silence.next_round(now);
        silence
    }

    fn next_round(&mut self, now: Now) {
        let pause_ms = (ROUND_MS << self.rounds.min(8)).min(ROUND_MS_MAX);
        self.rounds = self.rounds.saturating_add(1);
        self.next_at = now.mono.plus_ms(pause_ms);
    }

    pub(crate) fn next_at(&self) -> Nanos {
        self.next_at
    }
}

impl Node {
    /// A message of our network came in.
    pub(crate) fn heard(&mut self, now: Now) {
        self.requests.heard();
        let Some(silence) = self.silence.take() else { return };
        // Where the first witnesses answered there was no outage.
        if silence.rounds > 1 {
            self.counters.outages += 1;
            self.verify_before_s = Some(now.mono.seconds());
        }
        self.look_over_contacts_soon(now);
    }

    /// Whether a failed request is to be blamed on us: then witnesses are asked, and the
    /// failure does not count.
    pub(crate) fn is_own_outage(
        &mut self,
        now: Now,
        pending: &Pending,
        out: &mut dyn Outbox,
    ) -> bool {
        if self.requests.was_heard_since(pending) {
            return false;
        }
        let failed = Contact::new(pending.expected, pending.endpoint);
        let liveness = self.liveness_of(&failed);
        if self.silence.is_none() {
            // Whoever failed before is not the one to doubt ourselves for.
            if liveness != Some(Liveness::Good) {
                return false;
            }
            let others = self.witnesses(&failed.id, &failed.id);
            if others.as_slice().len() < OTHERS_MIN {
                return false;
            }
            self.silence = Some(Box::new(Silence::begun(now)));
            self.probe(now, &failed, out);
            for witness in others.as_slice() {
                self.probe(now, witness, out);
            }
        }
        let is_forgiven = liveness.is_some_and(|liveness| liveness != Liveness::Unverified);
        self.counters.failures_forgiven += u64::from(is_forgiven);
        is_forgiven
    }

    /// Asks the next witnesses, if it is time.
    pub(crate) fn continue_silence(&mut self, now: Now, out: &mut dyn Outbox) {
        let Some(silence) = self.silence.as_mut().filter(|s| s.next_at <= now.mono) else {
            return;
        };
        silence.next_round(now);
        let target = self.rng.id();
        for witness in self.witnesses(&target, &Id::ZERO).as_slice() {
            self.probe(now, witness, out);
        }
    }

    /// The good contacts nearest to `target` but for `failed`. The same ones whichever shard
    /// asks, so that sharding changes nothing.
    fn witnesses(&self, target: &Id, failed: &Id) -> Closest {
        let of = |family| self.closest_good(family, target, WITNESSES, failed);
        of(0).merge(&of(1), target, WITNESSES)
    }
}
