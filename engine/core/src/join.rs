//! Entering the network (Kademlia §2.3): reach somebody, look up the own id, look up random
//! ids in every bucket farther than the closest neighbour's (`parts.rs`).

use alloc::vec::Vec;

use kdht_wire::{Contact, Endpoint, Id};

use crate::command::{Event, Outcome};
use crate::node::Node;
use crate::operation::{Audience, Goal};
use crate::outbox::Outbox;
use crate::parts::{Aim, WALKING_MAX};
use crate::pending::Purpose;
use crate::time::{Nanos, Now};

/// Bootstrap endpoints asked per attempt; the next attempt goes on behind them.
const BOOTSTRAP_MAX: usize = 64;
/// Lookups that a join begins in one call, at most.
const BEGUN_MAX: usize = 1_024;
/// First pause before trying again, in milliseconds; it doubles.
const RETRY_MS: u64 = 1_000;
/// Longest pause before trying again, in milliseconds.
const RETRY_MS_MAX: u64 = 60_000;

/// How far a node has come in joining.
#[derive(Debug)]
pub(crate) struct Join {
    bootstrap: Vec<Endpoint>,
    /// Where the next attempt begins in `bootstrap`.
    next: usize,
    attempts: u32,
    /// Who answered first: where the lookups begin, even if the contact's owner is another
    /// shard and has not told of it yet.
    reached: Option<Contact>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be tried at this time.
    Waiting(Nanos),
    /// This many endpoints have been asked and have not answered yet.
    Contacting(usize),
    /// Looking up the own id.
    Finding,
    /// Looking up ids in these ranges, the last one first, and how many at the moment.
    Refreshing { aims: Vec<Aim>, running: usize, is_beginning: bool },
    /// Done.
    Joined,
}

impl Join {
    pub(crate) fn new(bootstrap: &[Endpoint], now: Nanos) -> Self {
        let (bootstrap, state) = (bootstrap.to_vec(), State::Waiting(now));
        Self { bootstrap, next: 0, attempts: 0, reached: None, state }
    }

    /// Who answered first.
    pub(crate) fn reached(&self) -> Option<Contact> {
        self.reached
    }

    pub(crate) fn retry_at(&self) -> Option<Nanos> {
        match self.state {
            State::Waiting(at) if !self.bootstrap.is_empty() => Some(at),
            _ => None,
        }
    }

    fn retry_ms(&mut self) -> u64 {
        let doublings = self.attempts.min(6);
        self.attempts = self.attempts.saturating_add(1);
        (RETRY_MS << doublings).min(RETRY_MS_MAX)
    }
}

impl Node {
    /// Tries to reach somebody, if it is time.
    pub(crate) fn continue_join(&mut self, now: Now, out: &mut dyn Outbox) {
        let Some(join) = self.join.as_mut() else { return };
        if join.retry_at().is_none_or(|at| now.mono < at) {
            return;
        }
        let count = join.bootstrap.len();
        let from = join.next;
        let asked: Vec<Endpoint> =
            (0..count.min(BOOTSTRAP_MAX)).map(|at| join.bootstrap[(from + at) % count]).collect();
        join.next = (from + asked.len()) % count;
        let mut waiting = 0;
        for endpoint in asked {
            if endpoint.is_reachable() && !self.is_own_endpoint(&endpoint) {
                let sent = self.ping(now, endpoint, Id::ZERO, Purpose::Bootstrap, out);
                waiting += usize::from(sent);
            }
        }
        if let Some(join) = self.join.as_mut() {
            join.state = State::Contacting(waiting);
        }
        if waiting == 0 {
            self.join_failed(now);
        }
    }

    /// A bootstrap endpoint answered.
    pub(crate) fn bootstrap_answered(&mut self, now: Now, by: Contact, out: &mut dyn Outbox) {
        let Some(join) = self.join.as_mut() else { return };
        if !matches!(join.state, State::Contacting(_)) {
            return;
        }
        if self.operations.is_full() {
            return self.join_failed(now);
        }
        join.reached = Some(by);
        join.state = State::Finding;
        self.begin_operation(now, self.id, Goal::FindNode, Audience::Join, out);
    }

    /// A bootstrap endpoint did not answer.
    pub(crate) fn bootstrap_failed(&mut self, now: Now) {
        let Some(join) = self.join.as_mut() else { return };
        if let State::Contacting(waiting) = &mut join.state {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.join_failed(now);
            }
        }
    }

    /// One of the join's lookups ended.
    pub(crate) fn join_continues(&mut self, now: Now, outcome: &Outcome, out: &mut dyn Outbox) {
        let Some(join) = self.join.as_mut() else { return };
        match &mut join.state {
            State::Finding if !matches!(outcome, Outcome::Nodes) => self.join_failed(now),
            State::Finding => {
                let aims = self.join_aims();
                if let Some(join) = self.join.as_mut() {
                    join.state = State::Refreshing { aims, running: 0, is_beginning: false };
                }
                self.refresh_next(now, out);
            }
            State::Refreshing { running, is_beginning, .. } => {
                *running = running.saturating_sub(1);
                // One that ends as soon as it begins does not begin the next one: whoever
                // began it does, so that the stack holds one of them.
                if !*is_beginning {
                    self.refresh_next(now, out);
                }
            }
            _ => {}
        }
    }

    /// Keeps α lookups running, or walks for as many requests in flight; and ends the join
    /// when none is left.
    fn refresh_next(&mut self, now: Now, out: &mut dyn Outbox) {
        let alpha = usize::from(self.config.alpha.max(1));
        for _ in 0..BEGUN_MAX {
            let Some(join) = self.join.as_mut() else { return };
            let State::Refreshing { aims, running, .. } = &mut join.state else { return };
            let is_walk = aims.last().is_some_and(|aim| aim.part.is_some());
            let running_max = if is_walk { (alpha * alpha).min(WALKING_MAX) } else { alpha };
            if *running >= running_max {
                return;
            }
            // Where there is no place for a lookup, the farther buckets fill by traffic.
            let aim = if self.operations.is_full() { None } else { aims.pop() };
            let Some(aim) = aim else {
                if *running == 0 {
                    self.joined();
                }
                return;
            };
            if self.is_covered(&aim) {
                continue;
            }
            self.begins(true);
            let audience = if aim.part.is_some() { Audience::Walk } else { Audience::Join };
            self.begin_operation(now, aim.target, Goal::FindNode, audience, out);
            self.begins(false);
        }
    }

    /// A refreshing lookup is about to begin, or has begun.
    fn begins(&mut self, is_about_to: bool) {
        let Some(join) = self.join.as_mut() else { return };
        if let State::Refreshing { running, is_beginning, .. } = &mut join.state {
            *running += usize::from(is_about_to);
            *is_beginning = is_about_to;
        }
    }

    fn joined(&mut self) {
        if let Some(join) = self.join.as_mut() {
            join.state = State::Joined;
        }
        let contacts = self.good_count();
        self.tell(Event::Joined { contacts });
    }

    fn join_failed(&mut self, now: Now) {
        let Some(join) = self.join.as_mut() else { return };
        let retry_ms = join.retry_ms();
        join.state = State::Waiting(now.mono.plus_ms(retry_ms));
        let tried = join.bootstrap.len().min(BOOTSTRAP_MAX);
        self.tell(Event::JoinFailed { tried, retry_ms });
    }
}
