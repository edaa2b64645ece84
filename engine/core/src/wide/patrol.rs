//! Whom to ask whether they are alive: the silent in turn, and first those that failed.

use alloc::collections::VecDeque;

use kdht_wire::{Contact, Id};

use super::Wide;
use super::chunk::Entry;
use super::walk::Walk;
use crate::time::Nanos;

/// Most contacts that one call of [`Wide::due`] looks at: 48 KiB of them.
pub const LOOKED_AT_MAX: usize = 1_024;
/// Between the beginnings of two rounds of [`Wide::due`] lie at least so many seconds, so
/// that whoever was named has answered or failed before it is named again.
pub const ROUND_S_MIN: u32 = 8;
/// Most contacts that wait to be asked again; who fails when so many wait is found by the
/// next round.
pub const SUSPECTS_MAX: usize = 4_096;
/// Most of those waiting that one newcomer makes the table look at.
const SUSPECTS_LOOKED_AT_MAX: usize = 16;

/// How far the round has come, and who failed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Patrol {
    /// Those that failed once, longest ago first. Some have answered or gone since.
    suspects: VecDeque<Suspect>,
    /// The id to go on from; zero: a round is to begin.
    cursor: Id,
    /// No round begins before this, in seconds of monotonic time.
    round_after_s: u32,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    id: Id,
    /// When its pause is over, in tenths of a second.
    after_ds: u32,
}

impl Patrol {
    pub(super) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    pub(super) fn suspect(&mut self, entry: &Entry) {
        if self.suspects.len() < SUSPECTS_MAX {
            self.suspects
                .push_back(Suspect { id: entry.contact.id, after_ds: entry.heard.counts_from_ds });
        }
    }

    /// Takes out those whose pause is over, until `check` finds one that it wants. All
    /// pauses are of one length, so the first to fail is the first to be over.
    pub(super) fn next_suspect<T>(
        &mut self,
        now: Nanos,
        mut check: impl FnMut(&Id) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..SUSPECTS_LOOKED_AT_MAX {
            self.suspects.front().filter(|suspect| suspect.after_ds <= now.tenths())?;
            let found = self.suspects.pop_front().and_then(|suspect| check(&suspect.id));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.suspects.capacity() * size_of::<Suspect>()
    }
}

impl Wide {
    /// Calls `probe` with at most `max` contacts to be asked whether they are alive: those
    /// that failed once and whose pause is over, and those not heard from for longer than
    /// `silent_s` seconds.
    ///
    /// The first come from a queue of at most [`SUSPECTS_MAX`]; for the others a cursor goes
    /// round the table, by [`LOOKED_AT_MAX`] contacts a call: a million in 977 calls. Rounds
    /// begin at least [`ROUND_S_MIN`] seconds apart.
    pub fn due(&mut self, now: Nanos, silent_s: u32, max: usize, mut probe: impl FnMut(Contact)) {
        let mut left = max;
        let directory = &self.directory;
        while left > 0 {
            let suspect = self.patrol.next_suspect(now, |id| {
                let entry = directory.at(directory.seek(id).ok()?);
                entry.is_suspect(now).then_some(entry.contact)
            });
            let Some(contact) = suspect else { break };
            probe(contact);
            left -= 1;
        }
        let now_s = now.seconds();
        if self.patrol.cursor == Id::ZERO {
            if now_s < self.patrol.round_after_s {
                return;
            }
            self.patrol.round_after_s = now_s.saturating_add(ROUND_S_MIN);
        }
        let mut walk = directory.from(&self.patrol.cursor);
        let mut looked_at = 0;
        while let Some(entry) = walk.peek() {
            if left == 0 || looked_at == LOOKED_AT_MAX {
                break;
            }
            let is_silent = now_s.saturating_sub(entry.seen_s()) > silent_s;
            // By then those in the queue have been named, and have answered or gone.
            let is_overlooked = !entry.is_good()
                && entry.heard.counts_from_ds.saturating_add(ROUND_S_MIN * 10) <= now.tenths();
            if is_overlooked || entry.is_good() && is_silent {
                probe(entry.contact);
                left -= 1;
            }
            walk.step();
            looked_at += 1;
        }
        self.patrol.cursor = walk.peek().map_or(Id::ZERO, |entry| entry.contact.id);
    }
}
