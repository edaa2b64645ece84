//! Turning a [`Deck`]'s shards, and sleeping between turns.

mod bed;

use std::time::Duration;

use kdht_core::Nanos;

use crate::io::{DatapathKind, Moment, Wakeup};
use crate::pace::{Pace, PollPolicy};
use crate::runner::{Deck, Step};

use bed::Bed;

/// Sockets that are received from one by one by a thread that does not sleep; of more, the
/// kernel tells in one call which have something.
const LOOKED_AT_MAX: usize = 4;

/// A deck and the rhythm of the thread that turns it.
pub(crate) struct Drive {
    deck: Deck,
    wakeup: Wakeup,
    kind: DatapathKind,
    pace: Pace,
    bed: Bed,
}

impl Drive {
    /// A drive of `deck`, whose shards will be on datapaths of `kind`. `wakeup` tells of
    /// messages.
    ///
    /// # Errors
    /// The host's error, such as at the limit of open descriptors.
    pub(crate) fn new(
        deck: Deck,
        wakeup: Wakeup,
        kind: DatapathKind,
        policy: PollPolicy,
    ) -> std::io::Result<Self> {
        let bed = Bed::new(&wakeup, kind, policy)?;
        Ok(Self { deck, wakeup, kind, pace: Pace::new(policy), bed })
    }

    /// Does what is due, and then sleeps until there is more, or for as long as the pace
    /// says. False: the thread is to end.
    pub(crate) fn round(&mut self) -> bool {
        let moment = Moment::now();
        let round = match self.deck.step(moment) {
            Step::Stop => return false,
            Step::Changed => {
                let watched = self.bed.watch(&self.wakeup, &self.deck);
                self.deck.tell_departed();
                return goes_on(watched);
            }
            Step::Done(round) => round,
        };
        let mut sleep = self.pace.sleep(Nanos(moment.monotonic_ns), &round);
        if !sleep.is_zero() && !self.deck.fall_asleep() {
            sleep = Duration::ZERO;
        }
        let waited = self.wait(sleep);
        self.deck.wake_up();
        waited
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        let Self { deck, wakeup, kind, bed, .. } = self;
        // A ring tells by shared memory whether anything came, at no system call.
        let is_cheap = || *kind == DatapathKind::Uring || bed.fd_count() <= LOOKED_AT_MAX;
        if timeout.is_zero() && is_cheap() {
            // A message is seen without its wakeup.
            deck.note_all_ready();
            return true;
        }
        let mut is_woken = false;
        let waited = bed.wait(timeout, |shard| match shard {
            Some(shard) => deck.note_ready(shard),
            None => is_woken = true,
        });
        if is_woken {
            wakeup.clear();
        }
        goes_on(waited)
    }
}

/// Whether the host waits for descriptors; if not, nothing more can be done here.
fn goes_on<E: std::fmt::Display>(waited: Result<(), E>) -> bool {
    if let Err(error) = &waited {
        tracing::error!(%error, "the host refuses to wait for sockets");
    }
    waited.is_ok()
}
