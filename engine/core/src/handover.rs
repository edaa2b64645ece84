//! Hand-over (Kademlia §2.5): a node that we get to know and that is closer to a key we hold
//! is given its values, by whoever is the closest of those that hold it.
//!
//! Who that is, is judged by the contacts known: if another contact than the newcomers is
//! closer than we are, it is left to that one. Where nobody thinks of itself as the closest,
//! the hourly republish makes up for it.
//!
//! A few newcomers at a time are held against all keys, a bounded number of keys a step.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::{Contact, Filter, Id};

use crate::command::{Request, Value};
use crate::maintain::{KEY_VALUES_MAX, REMAINING_S_MIN, STEP_KEYS_MAX, STEP_MS};
use crate::node::Node;
use crate::operation::{Audience, Goal};
use crate::outbox::Outbox;
use crate::time::{Nanos, Now};

/// Newcomers that wait at most; more are left to the republish.
const NEWCOMERS_MAX: usize = 16;
/// Pause between two values, in milliseconds: as when leaving, 250 a second stay within
/// what peers allow.
const PAUSE_MS: u64 = 4;

/// Newcomers, and how far the walk over the keys has come for them.
#[derive(Debug)]
pub(crate) struct Handover {
    /// For the next walk.
    waiting: Vec<Contact>,
    /// For this walk.
    newcomers: Vec<Contact>,
    /// The key looked at last.
    key: Option<Id>,
    /// What is to be handed to whom: key and cursor.
    due: VecDeque<(Contact, Id, u16)>,
    next_at: Nanos,
}

impl Handover {
    pub(crate) fn next_at(&self) -> Nanos {
        self.next_at
    }
}

impl Node {
    /// A contact answered for the first time.
    pub(crate) fn welcome(&mut self, now: Now, newcomer: &Contact) {
        if self.config.handovers_max == 0 || self.store.usage().values == 0 {
            return;
        }
        let handover = self.handover.get_or_insert_with(|| {
            let next_at = now.mono.plus_ms(STEP_MS);
            let (waiting, newcomers, due) = (Vec::new(), Vec::new(), VecDeque::new());
            Box::new(Handover { waiting, newcomers, key: None, due, next_at })
        });
        if handover.waiting.len() < NEWCOMERS_MAX {
            handover.waiting.push(*newcomer);
        } else {
            self.counters.newcomers_missed += 1;
        }
    }

    /// Goes on handing over, if it is time.
    pub(crate) fn continue_handover(&mut self, now: Now, out: &mut dyn Outbox) {
        if self.handover.as_ref().is_none_or(|handover| now.mono < handover.next_at) {
            return;
        }
        // Taken out of its place while it is worked on.
        let Some(mut handover) = self.handover.take() else { return };
        let is_over = self.hand_on(now, &mut handover, out);
        if !is_over || !handover.waiting.is_empty() {
            self.handover = Some(handover);
        }
    }

    /// One step of the walk; whether it was the last.
    fn hand_on(&mut self, now: Now, handover: &mut Handover, out: &mut dyn Outbox) -> bool {
        handover.next_at = now.mono.plus_ms(STEP_MS);
        let running = self.operations.count_for(|audience| matches!(audience, Audience::Handover));
        if running >= usize::from(self.config.handovers_max) || self.is_busy() {
            return false;
        }
        if handover.newcomers.is_empty() {
            handover.newcomers = core::mem::take(&mut handover.waiting);
        }
        for _ in 0..STEP_KEYS_MAX {
            if let Some((newcomer, key, cursor)) = handover.due.pop_front() {
                handover.next_at = now.mono.plus_ms(PAUSE_MS);
                self.hand_to(now, &newcomer, key, cursor, out);
                return false;
            }
            let Some(key) = self.store.next_key(handover.key.as_ref()) else {
                (handover.newcomers, handover.key) = (Vec::new(), None);
                return true;
            };
            handover.key = Some(key);
            self.collect_for(now, &key, handover);
        }
        false
    }

    /// What of a key's values is to be handed to which newcomers.
    fn collect_for(&self, now: Now, key: &Id, handover: &mut Handover) {
        let own = self.id.distance(key);
        let closer = |contact: &Contact| contact.id.distance(key) < own;
        let newcomers = &handover.newcomers;
        if !newcomers.iter().any(closer) {
            return;
        }
        let is_newcomer =
            |contact: &Contact| newcomers.iter().any(|newcomer| newcomer.id == contact.id);
        for family in 0..self.tables.len() {
            let closest = self.closest_good(family, key, NEWCOMERS_MAX + 1, &Id::ZERO);
            let other = closest.as_slice().iter().find(|contact| !is_newcomer(contact));
            if other.is_some_and(closer) {
                return;
            }
        }
        let values = self.store.values(u64::from(now.mono.seconds()), key, &Filter::Any);
        let takes = |newcomer: &&Contact| closer(newcomer) && self.has_room_in_zone(key, newcomer);
        for newcomer in newcomers.iter().filter(takes) {
            let live = values.from(0).filter(|record| record.remaining_s >= REMAINING_S_MIN);
            for record in live.take(KEY_VALUES_MAX) {
                handover.due.push_back((*newcomer, *key, record.cursor));
            }
        }
    }

    /// Whether the zone of `newcomer` is to have one more replica of `key`'s values than the
    /// nodes that are known to be nearer to it take.
    fn has_room_in_zone(&self, key: &Id, newcomer: &Contact) -> bool {
        let zones = &self.config.zones;
        if !zones.is_on() {
            return true;
        }
        let distance = newcomer.id.distance(key);
        let nearest = self.candidates(key);
        let nearer = nearest.as_slice().iter().filter(|c| c.id.distance(key) < distance);
        let mut share = zones.share();
        nearer.for_each(|contact| {
            share.take(zones.of(&contact.endpoint));
        });
        share.take(zones.of(&newcomer.endpoint))
    }

    fn hand_to(
        &mut self,
        now: Now,
        newcomer: &Contact,
        key: Id,
        cursor: u16,
        out: &mut dyn Outbox,
    ) {
        let values = self.store.values(u64::from(now.mono.seconds()), &key, &Filter::Any);
        let record = values.from(cursor).next().filter(|record| record.cursor == cursor);
        // It may have gone meanwhile.
        let Some(record) = record else { return };
        // A second less: what remains must not grow from holder to holder.
        let remaining_s = record.remaining_s.saturating_sub(1);
        let value = Value { remaining_s, ..Value::of(&record) };
        let goal = Goal::Ask {
            request: Request::Store { key, value, cas: None },
            recurse: false,
            endpoint: newcomer.endpoint,
            expected: newcomer.id,
            announced: None,
        };
        self.counters.handovers += 1;
        self.begin_operation(now, key, goal, Audience::Handover, out);
    }
}
