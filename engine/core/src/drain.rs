//! Leaving the network without losing a value: each is handed to the nodes closest to its
//! key before the node goes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::{Filter, Id};

use crate::command::{Event, Outcome, Stored, Value};
use crate::node::Node;
use crate::operation::{Audience, Goal, PutPhase};
use crate::outbox::Outbox;
use crate::time::{Nanos, Now};

/// Values handed over at the same time.
const RUNNING_MAX: usize = 8;
/// Pause between two hand-overs, in milliseconds. Peers charge each STORE of a signed
/// value 16 units: 250 a second stay within [`crate::ThrottleConfig`]'s default.
const PAUSE_MS: u64 = 4;
/// Bytes of a value that prolong the pause by a millisecond: 32 ms for the longest one.
const PAUSE_LEN: u64 = 32 << 10;

/// How far a node has come in leaving.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// The key whose values were read last.
    key: Option<Id>,
    /// Its values that are still to be handed over.
    values: Vec<Value>,
    /// No key is left.
    is_exhausted: bool,
    running: usize,
    handed: u32,
    kept: u32,
    next_at: Nanos,
    is_done: bool,
}

impl Drain {
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        let waits = self.is_done || self.is_exhausted || self.running >= RUNNING_MAX;
        (!waits).then_some(self.next_at)
    }
}

impl Node {
    /// Stores nothing more, and hands every value to the nodes closest to its key, nearest
    /// keys first. Ends in [`Event::Drained`]. A second call changes nothing.
    pub fn drain(&mut self, now: Now, out: &mut dyn Outbox) {
        if self.drain.is_none() {
            self.drain = Some(Box::new(Drain { next_at: now.mono, ..Drain::default() }));
            self.continue_drain(now, out);
        }
    }

    /// Whether the node is leaving.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Values handed over so far, and values that nobody took.
    #[must_use]
    pub fn drained(&self) -> (u32, u32) {
        self.drain.as_ref().map_or((0, 0), |drain| (drain.handed, drain.kept))
    }

    pub(crate) fn continue_drain(&mut self, now: Now, out: &mut dyn Outbox) {
        for _ in 0..RUNNING_MAX {
            let due = self.drain.as_ref().and_then(|drain| drain.next_at());
            if due.is_none_or(|at| now.mono < at) {
                break;
            }
            if self.operations.is_full() {
                // No place is free: look again after the pause, not at once.
                if let Some(drain) = self.drain.as_mut() {
                    drain.next_at = now.mono.plus_ms(PAUSE_MS);
                }
                break;
            }
            let next = self.next_to_hand_over(now);
            let Some(drain) = self.drain.as_mut() else { return };
            let Some((key, value)) = next else {
                drain.is_exhausted = true;
                break;
            };
            drain.running += 1;
            // A value's length is charged, too.
            let pause_ms = PAUSE_MS + value.bytes.len() as u64 / PAUSE_LEN;
            drain.next_at = now.mono.plus_ms(pause_ms);
            let (stored, phase) = (Stored::default(), PutPhase::Finding);
            let goal = Goal::Put { value, cas: None, stored, phase };
            self.begin_operation(now, key, goal, Audience::Drain, out);
        }
        self.end_drain();
    }

    /// A hand-over came to its end.
    pub(crate) fn handed_over(&mut self, now: Now, outcome: &Outcome, out: &mut dyn Outbox) {
        let Some(drain) = self.drain.as_mut() else { return };
        drain.running = drain.running.saturating_sub(1);
        match outcome {
            Outcome::Stored(stored) if stored.acknowledged > 0 => drain.handed += 1,
            _ => drain.kept += 1,
        }
        self.continue_drain(now, out);
    }

    /// The next value and its key, nearest key first.
    fn next_to_hand_over(&mut self, now: Now) -> Option<(Id, Value)> {
        let drain = self.drain.as_mut()?;
        loop {
            if let (Some(key), Some(value)) = (drain.key, drain.values.pop()) {
                return Some((key, value));
            }
            let key = self.store.next_key(drain.key.as_ref())?;
            drain.key = Some(key);
            let now_s = u64::from(now.mono.seconds());
            let values = self.store.values(now_s, &key, &Filter::Any);
            drain.values.extend(values.from(0).map(|record| Value::of(&record)));
        }
    }

    fn end_drain(&mut self) {
        let Some(drain) = self.drain.as_mut() else { return };
        if drain.is_exhausted && drain.running == 0 && !drain.is_done {
            drain.is_done = true;
            let (handed, kept) = (drain.handed, drain.kept);
            self.tell(Event::Drained { handed, kept });
        }
    }
}
