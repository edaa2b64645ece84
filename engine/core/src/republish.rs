//! Republish (Kademlia §2.5): every hour, each holder stores what it holds at the k closest
//! to each key, for what remains of its life and never for longer.
//!
//! A value that was stored here within the hour is left out: whoever stored it has stored it
//! at the others, too. So one of the holders does the work for all, and each begins at a
//! moment of its own, that it may be one. That is kept per value and not per key as in the
//! paper, since a key may hold values of several publishers.
//!
//! All keys are walked over a few times an interval, a bounded number a step, and a bounded
//! number of values is on its way at once.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use kdht_store::Storage;
use kdht_wire::{Filter, Id};

use crate::command::{Outcome, Stored, Value};
use crate::maintain::{KEY_VALUES_MAX, REMAINING_S_MIN, STEP_KEYS_MAX, STEP_MS};
use crate::node::Node;
use crate::operation::{Audience, Goal, PutPhase};
use crate::outbox::Outbox;
use crate::time::{Nanos, Now};

/// Least pause between two values, in milliseconds. Peers charge each STORE of a signed
/// value 16 units: 50 a second stay far within [`crate::ThrottleConfig`]'s default.
const PAUSE_MS: u64 = 20;
/// Walks an interval.
const WALKS: u64 = 8;

/// How far the walk over the values held has come.
#[derive(Debug)]
pub(crate) struct Republish {
    /// The key looked at last; nothing: the walk is to begin.
    key: Option<Id>,
    /// Its values that are due: their cursors, and they.
    due: VecDeque<(u16, Value)>,
    next_at: Nanos,
}

impl Republish {
    pub(crate) fn next_at(&self) -> Nanos {
        self.next_at
    }
}

impl Node {
    /// Something is held: it is to be republished some time.
    pub(crate) fn plan_republish(&mut self, now: Now) {
        if self.republish.is_none() && self.config.republish_s > 0 && !self.config.client {
            let next_at = self.next_walk_at(now);
            let republish = Republish { key: None, due: VecDeque::new(), next_at };
            self.republish = Some(Box::new(republish));
        }
    }

    /// Goes on walking over the values held, if it is time.
    pub(crate) fn continue_republish(&mut self, now: Now, out: &mut dyn Outbox) {
        if self.republish.as_ref().is_none_or(|republish| now.mono < republish.next_at) {
            return;
        }
        // Taken out of its place while it is worked on.
        let Some(mut republish) = self.republish.take() else { return };
        let is_over = self.step(now, &mut republish, out);
        if is_over && self.store.usage().values == 0 {
            return;
        }
        if is_over {
            *republish =
                Republish { key: None, due: VecDeque::new(), next_at: self.next_walk_at(now) };
        }
        self.republish = Some(republish);
    }

    /// One step of the walk; whether it was the last.
    fn step(&mut self, now: Now, republish: &mut Republish, out: &mut dyn Outbox) -> bool {
        republish.next_at = now.mono.plus_ms(STEP_MS);
        let running =
            self.operations.count_for(|audience| matches!(audience, Audience::Republish(_)));
        let is_full = running >= usize::from(self.config.republishes_max);
        if is_full || self.is_busy() || self.silence.is_some() {
            return false;
        }
        for _ in 0..STEP_KEYS_MAX {
            if let (Some(key), Some((cursor, value))) = (republish.key, republish.due.pop_front()) {
                republish.next_at = now.mono.plus_ms(PAUSE_MS);
                self.counters.republishes += 1;
                let (stored, phase) = (Stored::default(), PutPhase::Finding);
                let goal = Goal::Put { value, cas: None, stored, phase };
                self.begin_operation(now, key, goal, Audience::Republish(cursor), out);
                return false;
            }
            let Some(key) = self.store.next_key(republish.key.as_ref()) else { return true };
            republish.key = Some(key);
            self.collect_due(now, &key, &mut republish.due);
        }
        false
    }

    /// The values of a key that were not stored for about an interval.
    fn collect_due(&mut self, now: Now, key: &Id, due: &mut VecDeque<(u16, Value)>) {
        let interval_s = u64::from(self.config.republish_s);
        let age_s = interval_s - self.rng.below(interval_s / 8 + 1);
        let now_s = u64::from(now.mono.seconds());
        let values = self.store.values(now_s, key, &Filter::Any);
        let is_due = |stored_s: u64, left_s| now_s >= stored_s + age_s && left_s >= REMAINING_S_MIN;
        for (record, stored_s) in values.stored() {
            if is_due(stored_s, record.remaining_s) && due.len() < KEY_VALUES_MAX {
                // A second less, since parts of one are lost on the way: what remains must
                // not grow from holder to holder.
                let remaining_s = record.remaining_s - 1;
                due.push_back((record.cursor, Value { remaining_s, ..Value::of(&record) }));
            }
        }
    }

    /// A value was republished, or not: when it is due again.
    pub(crate) fn republished(&mut self, now: Now, key: &Id, cursor: u16, outcome: &Outcome) {
        let now_s = u64::from(now.mono.seconds());
        let others = matches!(outcome, Outcome::Stored(stored) if stored.acknowledged > 1);
        // Who reached nobody tries again after a quarter of the time.
        let early_s = if others { 0 } else { u64::from(self.config.republish_s) * 3 / 4 };
        self.store.mark_stored(key, cursor, now_s.saturating_sub(early_s));
    }

    fn next_walk_at(&mut self, now: Now) -> Nanos {
        let walk_ms = u64::from(self.config.republish_s) * 1_000 / WALKS;
        now.mono.plus_ms(walk_ms / 2 + self.rng.below(walk_ms / 2 + 1) + STEP_MS)
    }
}
