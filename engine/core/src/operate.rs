//! Moving operations on: from a command through its lookup to its report. What is
//! particular to puts, values and single requests stands in files of their own.

use kdht_wire::{Body, Contact, Flags, Id, Kind, Message, VALUE_LEN_MAX};

use crate::ask::Ask;
use crate::bucket::MEMBERS_MAX;
use crate::closest::Closest;
use crate::collect::{collected, has_collected, is_collecting, is_fetching};
use crate::command::{Command, CommandError, Event, OperationId, Outcome, Report, Request, Stored};
use crate::find_value::holder_is_lost;
use crate::lookup::{Answered, Candidate, Lookup};
use crate::node::Node;
use crate::operation::{Audience, Found, Goal, Operation, OperationKey, PutPhase};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose, Way};
use crate::time::Now;

/// Whether an operation goes on, or what came of it.
pub(crate) enum Step {
    Continue,
    Done(Outcome, u8),
}

impl Node {
    pub(crate) fn begin_command(
        &mut self,
        now: Now,
        command: Command,
        out: &mut dyn Outbox,
    ) -> Result<OperationId, CommandError> {
        let untold = self.events.len() >= usize::from(self.config.operations_max);
        if self.operations.is_full() || untold {
            return Err(CommandError::Busy { operations_max: self.config.operations_max });
        }
        let value = match &command {
            Command::Put { value, .. }
            | Command::Ask { request: Request::Store { value, .. }, .. } => Some(value),
            _ => None,
        };
        if let Some(len) = value.map(|v| v.bytes.len()).filter(|l| *l > VALUE_LEN_MAX) {
            return Err(CommandError::ValueTooLong { len, max: VALUE_LEN_MAX });
        }
        let (target, goal) = match command {
            Command::FindNode { target } => (target, Goal::FindNode),
            Command::FindValue { key, filter, values_max, holders } => {
                let mut found = Found::default();
                if holders > 1 {
                    self.collect_own(now, &key, &filter, values_max, &mut found);
                }
                (key, Goal::FindValue { filter, values_max, holders, found })
            }
            Command::Put { key, value, cas } => {
                let (stored, phase) = (Stored::default(), PutPhase::Finding);
                (key, Goal::Put { value, cas, stored, phase })
            }
            Command::Ask { endpoint, id, request, recurse } => {
                let expected = id.unwrap_or(Id::ZERO);
                let target = request.target().unwrap_or(self.id);
                (target, Goal::Ask { request, recurse, endpoint, expected, announced: None })
            }
        };
        Ok(self.begin_operation(now, target, goal, Audience::Owner, out))
    }

    pub(crate) fn begin_operation(
        &mut self,
        now: Now,
        target: Id,
        goal: Goal,
        audience: Audience,
        out: &mut dyn Outbox,
    ) -> OperationId {
        let (alpha, k) = match audience {
            Audience::Walk => (1, self.places_of_a_part()),
            _ => (usize::from(self.config.alpha), usize::from(self.config.k)),
        };
        let mut lookup = Lookup::new(target, self.id, alpha, k).with_caps(self.config.caps());
        if !matches!(audience, Audience::Join | Audience::Walk | Audience::Refresh) {
            lookup = lookup.with_paths(self.config.paths);
        }
        if matches!(goal, Goal::Put { .. }) {
            lookup = lookup.with_zones(&self.config.zones);
        }
        if !matches!(goal, Goal::Ask { .. }) {
            for contact in self.candidates(&target).as_slice() {
                if !self.is_own_endpoint(&contact.endpoint) {
                    lookup.learn(contact, 1);
                }
            }
            let reached = self.join.as_ref().and_then(|join| join.reached());
            if let Some(contact) = reached.filter(|_| is_join(&audience)) {
                lookup.learn(&contact, 1);
            }
            self.touch(now, &target);
            if is_repeatable(&audience) {
                let frequent = self.frequent.iter();
                for contact in frequent.flat_map(|ends| ends.recall(&target, now.mono)) {
                    lookup.learn(contact, 1);
                }
            }
        }
        let id = self.operations.next_id();
        let started = now.mono;
        let (messages, is_forwarded) = (0, false);
        let operation = Operation { id, goal, lookup, audience, started, messages, is_forwarded };
        let key = self.operations.insert(operation);
        self.work_on(now, key, out, |node, operation, out| {
            let is_single = matches!(operation.goal, Goal::Ask { .. });
            if is_single && !node.send_single(now, key, operation, 0, false, out) {
                return Step::Done(Outcome::Unanswered, 0);
            }
            if let Goal::FindValue { filter, values_max, holders: 0..=1, .. } = &operation.goal
                && let Some(held) = node.held_values(now, &target, filter, *values_max)
            {
                return Step::Done(held, 0);
            }
            node.begin_forwarded(now, key, operation, out);
            node.advance(now, key, operation, out)
        });
        id
    }

    /// A reply to a request that was sent for an operation. `proven` says of its signed
    /// values which proved themselves, if that was found out apart.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    pub(crate) fn operation_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
        proven: Option<&[bool]>,
        out: &mut dyn Outbox,
    ) {
        self.work_on(now, key, out, |node, operation, out| {
            if pending.way != Way::Direct {
                operation.is_forwarded = false;
            }
            if pending.way == Way::Stranger {
                return node.stranger_answered(now, key, operation, pending, message, proven, out);
            }
            if matches!(operation.goal, Goal::Ask { .. }) {
                return node.single_answered(now, key, operation, pending, message, bytes, out);
            }
            if pending.kind == Kind::Store {
                return node.store_answered(now, key, operation, pending, message, out);
            }
            let sender = &message.head.sender;
            let mut told = Answered {
                rtt_us: now.mono.us_since(pending.sent),
                cookie: message.head.cookie.get(),
                lacked_value: false,
            };
            match &message.body {
                Body::Contacts { contacts, .. } => {
                    told.lacked_value = message.kind == Kind::FindValue;
                    let known = node.usable(contacts);
                    let lookup = &mut operation.lookup;
                    lookup.answered(sender, &pending.endpoint, known.as_slice(), told);
                    known.as_slice().iter().for_each(|known| node.heard_of(now, known, out));
                }
                Body::Values { reply, records } if is_collecting(&operation.goal) => {
                    node.values_collected(
                        now, key, operation, pending, message, reply, records, proven, out,
                    );
                }
                Body::Values { reply, records } => {
                    operation.lookup.answered(sender, &pending.endpoint, &[], told);
                    let step = node.values_answered(
                        now, key, operation, pending, message, reply, records, proven, out,
                    );
                    if let Step::Done(..) = step {
                        return step;
                    }
                }
                _ => operation.lookup.failed(&pending.expected, &pending.endpoint),
            }
            if !matches!(message.body, Body::Values { .. })
                && let Step::Done(outcome, hops) = holder_is_lost(operation, pending)
            {
                return Step::Done(outcome, hops);
            }
            node.advance(now, key, operation, out)
        });
    }

    /// The contacts of a reply that a lookup can use.
    pub(crate) fn usable(&mut self, contacts: &[Contact]) -> Closest {
        let usable =
            |c: &&Contact| self.has_family_of(&c.endpoint) && !self.is_own_endpoint(&c.endpoint);
        // No reply may flood a lookup.
        let mut known = Closest::empty();
        let mut unreachable = 0;
        for contact in contacts.iter().filter(usable).take(MEMBERS_MAX) {
            if contact.endpoint.is_reachable() {
                known.push(contact);
            } else {
                unreachable += 1;
            }
        }
        self.counters.contacts_unreachable += unreachable;
        known
    }

    /// A request that was sent for an operation is overdue.
    pub(crate) fn operation_slow(
        &mut self,
        now: Now,
        key: OperationKey,
        pending: &Pending,
        out: &mut dyn Outbox,
    ) {
        self.work_on(now, key, out, |node, operation, out| {
            match pending.way {
                Way::Direct => operation.lookup.slow(&pending.expected, &pending.endpoint),
                _ => operation.is_forwarded = false,
            }
            node.advance(now, key, operation, out)
        });
    }

    /// A request that was sent for an operation was never answered.
    pub(crate) fn operation_failed(
        &mut self,
        now: Now,
        key: OperationKey,
        pending: &Pending,
        out: &mut dyn Outbox,
    ) {
        self.work_on(now, key, out, |node, operation, out| {
            if pending.way != Way::Direct {
                operation.is_forwarded = false;
                return node.advance(now, key, operation, out);
            }
            match &mut operation.goal {
                Goal::Ask { .. } => return Step::Done(Outcome::Unanswered, 0),
                Goal::Put { phase: PutPhase::Storing { waiting }, .. }
                    if pending.kind == Kind::Store =>
                {
                    *waiting = waiting.saturating_sub(1);
                }
                _ => operation.lookup.failed(&pending.expected, &pending.endpoint),
            }
            if let Step::Done(outcome, hops) = holder_is_lost(operation, pending) {
                return Step::Done(outcome, hops);
            }
            node.advance(now, key, operation, out)
        });
    }

    /// Takes an operation out of its place, lets `work` move it, and puts it back or
    /// reports what came of it.
    pub(crate) fn work_on(
        &mut self,
        now: Now,
        key: OperationKey,
        out: &mut dyn Outbox,
        work: impl FnOnce(&mut Self, &mut Operation, &mut dyn Outbox) -> Step,
    ) {
        let Some(mut operation) = self.operations.take(key) else { return };
        match work(self, &mut operation, out) {
            Step::Continue => self.operations.put_back(key, operation),
            Step::Done(outcome, hops) => self.finish(now, operation, outcome, hops, out),
        }
    }

    /// Asks whom the lookup wants asked, and ends the lookup when it is done.
    pub(crate) fn advance(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) -> Step {
        match &operation.goal {
            Goal::Ask { .. } => return Step::Continue,
            _ if operation.is_forwarded => return Step::Continue,
            Goal::Put { stored, phase: PutPhase::Storing { waiting }, .. } => {
                let hops = hops_of(&operation.lookup);
                return match waiting {
                    0 => Step::Done(Outcome::Stored(*stored), hops),
                    _ => Step::Continue,
                };
            }
            // The rest of the values is being asked for.
            Goal::FindValue { found, .. } if found.holder.is_some() => return Step::Continue,
            _ => {}
        }
        if self.ask_other_holder(now, key, operation, out) {
            return Step::Continue;
        }
        if has_collected(operation)
            && let Some(done) = collected(operation)
        {
            return done;
        }
        loop {
            while let Some(candidate) = operation.lookup.next_to_ask() {
                if !self.ask_candidate(now, key, operation, &candidate, 0, out) {
                    operation.lookup.failed(&candidate.id, &candidate.endpoint);
                }
            }
            if !operation.lookup.is_done() {
                return Step::Continue;
            }
            // Ends since it widens a few times at most.
            if !operation.lookup.widen() {
                break;
            }
        }
        if is_collecting(&operation.goal) {
            if is_fetching(&operation.goal) {
                return Step::Continue;
            }
            if let Some(done) = collected(operation) {
                return done;
            }
        }
        let answered = operation.lookup.closest().next().is_some();
        let hops = hops_of(&operation.lookup);
        match &operation.goal {
            Goal::Put { .. } => {
                self.store_at_closest(now, key, operation, out);
                self.advance_stored(operation)
            }
            Goal::FindNode if answered => Step::Done(Outcome::Nodes, hops),
            Goal::FindValue { .. } if answered => Step::Done(Outcome::NotFound, hops),
            _ => Step::Done(Outcome::Unanswered, 0),
        }
    }

    /// Sends a lookup's request to one of its candidates, from value position `cursor` on.
    pub(crate) fn ask_candidate(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        candidate: &Candidate,
        cursor: u16,
        out: &mut dyn Outbox,
    ) -> bool {
        let (kind, body) = operation.request(cursor);
        let flags = self.families_wanted();
        let intent = Intent::new(candidate.endpoint, candidate.id, kind, Purpose::Operation(key));
        let target = *operation.lookup.aim();
        operation.messages += 1;
        self.ask(now, &Ask { intent, flags, cookie: candidate.cookie, target, body }, out)
    }

    /// The families of contacts that a lookup can use, as flags of its requests.
    pub(crate) fn families_wanted(&self) -> Flags {
        let families = self.config.families;
        let both = Flags::WANT4.with(Flags::WANT6);
        if families.v4 && families.v6 { both } else { Flags::default() }
    }

    /// Tells whoever waits what came of an operation.
    fn finish(
        &mut self,
        now: Now,
        operation: Operation,
        outcome: Outcome,
        hops: u8,
        out: &mut dyn Outbox,
    ) {
        self.cache(now, &operation, &outcome, out);
        if is_repeatable(&operation.audience) {
            self.remember_end(now, &operation.lookup);
        }
        match operation.audience {
            Audience::Join | Audience::Walk => self.join_continues(now, &outcome, out),
            Audience::Drain => self.handed_over(now, &outcome, out),
            Audience::Refresh | Audience::Handover => {}
            Audience::Republish(cursor) => {
                self.republished(now, operation.lookup.target(), cursor, &outcome);
            }
            Audience::Askers(ref askers) => {
                for asker in askers {
                    self.answer_by_its_way(now, asker, &operation, &outcome, out);
                }
            }
            Audience::Owner => {
                let report = Report {
                    operation: operation.id,
                    target: *operation.lookup.target(),
                    outcome,
                    started: operation.started,
                    elapsed_ns: now.mono.since(operation.started),
                    messages: operation.messages,
                    hops,
                    path: operation.lookup.candidates().to_vec(),
                };
                self.tell(Event::Done(report));
            }
        }
    }
}

/// Whether the same target may be looked up again before long.
pub(crate) fn is_repeatable(audience: &Audience) -> bool {
    matches!(audience, Audience::Owner | Audience::Askers(_))
}

/// Whether this is a lookup of the node's own join.
fn is_join(audience: &Audience) -> bool {
    matches!(audience, Audience::Join | Audience::Walk)
}

/// Discovery depth of the closest node that answered.
pub(crate) fn hops_of(lookup: &Lookup) -> u8 {
    lookup.closest().next().map_or(0, |candidate| candidate.hop)
}
