//! Moving operations on: lookups, puts, single requests.

use alloc::vec;
use alloc::vec::Vec;

use kdht_store::{Put, SourceGroup, Storage, verify};
use kdht_wire::{
    Body, Durability, Fault, FindValueBody, Flags, INLINE_VALUE_LEN_MAX, Id, Kind, Message,
    Publisher, Record, Records, ReplyBody, StoreBody,
};
use zerocopy::byteorder::little_endian::{U16, U64};

use crate::ask::{Ask, AskBody};
use crate::bucket::MEMBERS_MAX;
use crate::command::{
    Command, CommandError, Event, OperationId, Outcome, Report, Request, Stored, Value,
};
use crate::lookup::{Answered, Candidate, Lookup, Standing};
use crate::node::Node;
use crate::operation::{
    Asker, Audience, Found, Goal, Operation, OperationKey, PAGES_MAX, PutPhase,
};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose};
use crate::serve::{emit_contacts, emit_records, refusal_of};
use crate::time::Now;

/// Whose quota a node's own values are charged to.
const OWN_SOURCE: SourceGroup = SourceGroup(0);

/// Whether an operation goes on, or what came of it.
enum Step {
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
        if let Some(len) = value.map(|v| v.bytes.len()).filter(|l| *l > INLINE_VALUE_LEN_MAX) {
            return Err(CommandError::ValueTooLong { len, max: INLINE_VALUE_LEN_MAX });
        }
        let (target, goal) = match command {
            Command::FindNode { target } => (target, Goal::FindNode),
            Command::FindValue { key, filter, values_max } => {
                (key, Goal::FindValue { filter, values_max, found: Found::default() })
            }
            Command::Put { key, value, cas } => {
                let (stored, phase) = (Stored::default(), PutPhase::Finding);
                (key, Goal::Put { value, cas, stored, phase })
            }
            Command::Ask { endpoint, id, request, recurse } => {
                let expected = id.unwrap_or(Id::ZERO);
                let target = request.target().unwrap_or(self.id);
                (target, Goal::Ask { request, recurse, endpoint, expected })
            }
        };
        Ok(self.begin_operation(now, target, goal, Audience::Owner, out))
    }

    pub(crate) fn begin_recursion(
        &mut self,
        now: Now,
        target: Id,
        goal: Goal,
        asker: Asker,
        out: &mut dyn Outbox,
    ) {
        self.begin_operation(now, target, goal, Audience::Askers(vec![asker]), out);
    }

    pub(crate) fn begin_operation(
        &mut self,
        now: Now,
        target: Id,
        goal: Goal,
        audience: Audience,
        out: &mut dyn Outbox,
    ) -> OperationId {
        let alpha = usize::from(self.config.alpha);
        let mut lookup = Lookup::new(target, self.id, alpha, usize::from(self.config.k));
        if !matches!(goal, Goal::Ask { .. }) {
            for contact in self.candidates(&target).as_slice() {
                lookup.learn(contact, 1);
            }
        }
        let id = self.operations.next_id();
        let started = now.mono;
        let operation = Operation { id, goal, lookup, audience, started, messages: 0 };
        let key = self.operations.insert(operation);
        self.work_on(now, key, out, |node, operation, out| {
            let is_single = matches!(operation.goal, Goal::Ask { .. });
            if is_single && !node.send_single(now, key, operation, 0, false, out) {
                return Step::Done(Outcome::Unanswered, 0);
            }
            if let Goal::FindValue { filter, values_max, .. } = &operation.goal
                && let Some(held) = node.held_values(now, &target, filter, *values_max)
            {
                return Step::Done(held, 0);
            }
            node.advance(now, key, operation, out)
        });
        id
    }

    /// A reply to a request that was sent for an operation.
    pub(crate) fn operation_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) {
        self.work_on(now, key, out, |node, operation, out| {
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
                    let usable = |c: &&kdht_wire::Contact| node.has_family_of(&c.endpoint);
                    // No reply may flood a lookup.
                    let mut known = crate::table::Closest::empty();
                    let mut unreachable = 0;
                    for contact in contacts.iter().filter(usable).take(MEMBERS_MAX) {
                        if contact.endpoint.is_reachable() {
                            known.push(*contact);
                        } else {
                            unreachable += 1;
                        }
                    }
                    node.counters.contacts_unreachable += unreachable;
                    let lookup = &mut operation.lookup;
                    lookup.answered(sender, &pending.endpoint, known.as_slice(), told);
                }
                Body::Values { reply, records } => {
                    operation.lookup.answered(sender, &pending.endpoint, &[], told);
                    let step = node.values_answered(
                        now, key, operation, pending, message, reply, records, out,
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

    /// A request that was sent for an operation is overdue.
    pub(crate) fn operation_slow(
        &mut self,
        now: Now,
        key: OperationKey,
        pending: &Pending,
        out: &mut dyn Outbox,
    ) {
        self.work_on(now, key, out, |node, operation, out| {
            operation.lookup.slow(&pending.expected, &pending.endpoint);
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
    fn work_on(
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
    fn advance(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) -> Step {
        match &operation.goal {
            Goal::Ask { .. } => return Step::Continue,
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
        while let Some(candidate) = operation.lookup.next_to_ask() {
            if !self.ask_candidate(now, key, operation, &candidate, 0, out) {
                operation.lookup.failed(&candidate.id, &candidate.endpoint);
            }
        }
        if !operation.lookup.is_done() {
            return Step::Continue;
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

    fn advance_stored(&self, operation: &Operation) -> Step {
        let hops = hops_of(&operation.lookup);
        match &operation.goal {
            Goal::Put { stored, .. } if stored.asked == 0 => Step::Done(Outcome::Unanswered, 0),
            Goal::Put { stored, phase: PutPhase::Storing { waiting: 0 }, .. } => {
                Step::Done(Outcome::Stored(*stored), hops)
            }
            _ => Step::Continue,
        }
    }

    /// Sends a lookup's request to one of its candidates, from value position `cursor` on.
    fn ask_candidate(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        candidate: &Candidate,
        cursor: u16,
        out: &mut dyn Outbox,
    ) -> bool {
        let (kind, body) = match &operation.goal {
            Goal::FindValue { filter, .. } => {
                (Kind::FindValue, AskBody::FindValue(FindValueBody::new(filter, cursor)))
            }
            _ => (Kind::FindNode, AskBody::Empty),
        };
        let families = self.config.families;
        let both = Flags::WANT4.with(Flags::WANT6);
        let flags = if families.v4 && families.v6 { both } else { Flags::default() };
        let intent = Intent {
            endpoint: candidate.endpoint,
            expected: candidate.id,
            kind,
            purpose: Purpose::Operation(key),
            is_retry: false,
        };
        let target = *operation.lookup.target();
        operation.messages += 1;
        self.ask(now, &Ask { intent, flags, cookie: candidate.cookie, target, body }, out)
    }

    /// Values came: takes those that prove themselves, and asks for the next page if more
    /// are wanted.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    fn values_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        reply: &ReplyBody,
        records: &Records<'_>,
        out: &mut dyn Outbox,
    ) -> Step {
        let target = *operation.lookup.target();
        let Goal::FindValue { filter, values_max, found } = &mut operation.goal else {
            operation.lookup.failed(&pending.expected, &pending.endpoint);
            return Step::Continue;
        };
        let holder = (pending.expected, pending.endpoint);
        if found.holder.is_some_and(|first| first != holder) {
            return Step::Continue;
        }
        let mut next_cursor = 0;
        for record in records.iter() {
            next_cursor = record.cursor.saturating_add(1);
            if record.is_announced() || found.values.len() >= usize::from(*values_max) {
                continue;
            }
            if !filter_passes(filter, &record) || verify(&target, &record).is_err() {
                self.counters.values_unproven += 1;
                continue;
            }
            found.values.push(Value::of(&record));
        }
        found.total = reply.total.get();
        found.pages = found.pages.saturating_add(1);
        let wants_more = found.values.len() < usize::from(*values_max)
            && message.head.flags().has(Flags::MORE)
            && found.pages < PAGES_MAX
            // Once, an empty page means that a cookie was missing.
            && (records.count() > 0 || found.pages == 1);
        if wants_more {
            found.holder = Some(holder);
            let candidate = operation.lookup.candidate_mut(&holder.0, &holder.1).copied();
            let asked = candidate.is_some_and(|mut candidate| {
                candidate.cookie = message.head.cookie.get();
                self.ask_candidate(now, key, operation, &candidate, next_cursor, out)
            });
            if asked {
                return Step::Continue;
            }
        } else if !found.values.is_empty() {
            found.holder = Some(holder);
        }
        done_with_values(operation)
    }

    /// Sends a put's value to the k closest nodes, and keeps it here if this is one.
    fn store_at_closest(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) {
        let target = *operation.lookup.target();
        let k = usize::from(self.config.k);
        let mut closest: Vec<Candidate> = operation.lookup.closest().copied().collect();
        let own = self.id.distance(&target);
        let nearer = closest.iter().filter(|c| c.id.distance(&target) < own).count();
        let here = !self.config.client && !self.is_draining() && nearer < k;
        closest.truncate(if here { k - 1 } else { k });
        // What is put for another is on that one's account.
        let asker = match &operation.audience {
            Audience::Askers(askers) => askers.first(),
            _ => None,
        };
        let source = asker.map_or(OWN_SOURCE, |a| SourceGroup(self.source(&a.route.peer)));
        let sender = asker.map(|asker| asker.id);
        let Goal::Put { value, cas, stored, phase } = &mut operation.goal else { return };
        if here {
            stored.asked += 1;
            match self.put_here(now, &target, &value.record(), *cas, source, sender) {
                Ok(durability) => acknowledged(stored, 1, durability),
                Err(fault) => {
                    stored.refused += 1;
                    stored.fault = Some(fault);
                }
            }
        }
        let cas = cas.unwrap_or(StoreBody::UNCONDITIONAL);
        let mut waiting = 0;
        for candidate in &closest {
            operation.messages += 1;
            stored.asked += 1;
            let intent = Intent {
                endpoint: candidate.endpoint,
                expected: candidate.id,
                kind: Kind::Store,
                purpose: Purpose::Operation(key),
                is_retry: false,
            };
            let body = AskBody::Store(StoreBody { cas: U64::new(cas) }, value.record());
            let cookie = candidate.cookie;
            let ask = Ask { intent, flags: Flags::default(), cookie, target, body };
            waiting += u16::from(self.ask(now, &ask, out));
        }
        *phase = PutPhase::Storing { waiting };
    }

    /// Holds a value at this node itself, as it would a stranger's. `sender` is who asked
    /// for it, if not our owner.
    fn put_here(
        &mut self,
        now: Now,
        key: &Id,
        record: &Record<'_>,
        cas: Option<u64>,
        source: SourceGroup,
        sender: Option<Id>,
    ) -> Result<Durability, Fault> {
        self.prove(now, key, record).map_err(|(_, fault)| fault)?;
        let by_publisher = sender.is_none_or(|id| record.publisher == Publisher::Plain(&id));
        let put = Put { key: *key, record, cas, source, by_publisher };
        let ack = self.store.put(u64::from(now.mono.seconds()), &put);
        ack.map(|ack| ack.durability).map_err(|error| refusal_of(&error).1)
    }

    fn store_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        out: &mut dyn Outbox,
    ) -> Step {
        let target = *operation.lookup.target();
        let Goal::Put { value, cas, stored, phase: PutPhase::Storing { waiting } } =
            &mut operation.goal
        else {
            return Step::Continue;
        };
        match message.body {
            Body::StoreReply(_) => {
                let durability = Durability::from_u8(message.head.arg);
                acknowledged(stored, 1, durability.unwrap_or(Durability::Memory));
            }
            Body::Fault(Fault::Cookie, _) if !pending.is_retry => {
                let cas = cas.unwrap_or(StoreBody::UNCONDITIONAL);
                let body = AskBody::Store(StoreBody { cas: U64::new(cas) }, value.record());
                let intent = Intent {
                    endpoint: pending.endpoint,
                    expected: pending.expected,
                    kind: Kind::Store,
                    purpose: pending.purpose,
                    is_retry: true,
                };
                let cookie = message.head.cookie.get();
                let ask = Ask { intent, flags: Flags::default(), cookie, target, body };
                operation.messages += 1;
                if self.ask(now, &ask, out) {
                    return Step::Continue;
                }
            }
            Body::Fault(fault, _) => {
                stored.refused += 1;
                stored.fault = Some(fault);
            }
            _ => {}
        }
        *waiting = waiting.saturating_sub(1);
        self.advance(now, key, operation, out)
    }

    fn send_single(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        cookie: u64,
        is_retry: bool,
        out: &mut dyn Outbox,
    ) -> bool {
        let Goal::Ask { request, recurse, endpoint, expected } = &operation.goal else {
            return false;
        };
        let (kind, body) = match request {
            Request::Ping => (Kind::Ping, AskBody::Empty),
            Request::FindNode { .. } => (Kind::FindNode, AskBody::Empty),
            Request::FindValue { filter, cursor, .. } => {
                (Kind::FindValue, AskBody::FindValue(FindValueBody::new(filter, *cursor)))
            }
            Request::Store { value, cas, .. } => {
                let cas = U64::new(cas.unwrap_or(StoreBody::UNCONDITIONAL));
                (Kind::Store, AskBody::Store(StoreBody { cas }, value.record()))
            }
        };
        let intent = Intent {
            endpoint: *endpoint,
            expected: *expected,
            kind,
            purpose: Purpose::Operation(key),
            is_retry,
        };
        let flags = if *recurse { Flags::RECURSE } else { Flags::default() };
        let target = *operation.lookup.target();
        operation.messages += 1;
        self.ask(now, &Ask { intent, flags, cookie, target, body }, out)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    fn single_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) -> Step {
        let needs_cookie = matches!(message.body, Body::Fault(Fault::Cookie, _));
        if needs_cookie && !pending.is_retry {
            let cookie = message.head.cookie.get();
            if self.send_single(now, key, operation, cookie, true, out) {
                return Step::Continue;
            }
        }
        let rtt_us = now.mono.us_since(pending.sent);
        Step::Done(Outcome::Reply { bytes: bytes.to_vec(), rtt_us }, 1)
    }

    /// Values that this node holds itself.
    fn held_values(
        &self,
        now: Now,
        key: &Id,
        filter: &kdht_wire::Filter,
        values_max: u16,
    ) -> Option<Outcome> {
        let held = self.store.values(u64::from(now.mono.seconds()), key, filter);
        let total = held.total();
        let wanted = held.from(0).take(usize::from(values_max));
        let values: Vec<Value> = wanted.map(|record| Value::of(&record)).collect();
        (total > 0).then_some(Outcome::Values { values, total, holder: None })
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
        match operation.audience {
            Audience::Join => self.join_continues(now, &outcome, out),
            Audience::Drain => self.handed_over(now, &outcome, out),
            Audience::Askers(ref askers) => {
                for asker in askers {
                    self.answer_asker(now, asker, &operation, &outcome, out);
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

    /// Stores a found value at the closest node that was asked and lacked it, for a time
    /// that halves with each node known to be closer to the key (Kademlia §2.3).
    fn cache(&mut self, now: Now, operation: &Operation, outcome: &Outcome, out: &mut dyn Outbox) {
        let Outcome::Values { values, .. } = outcome else { return };
        let lookup = &operation.lookup;
        let lacked = |c: &Candidate| c.standing == Standing::Answered && c.lacked_value;
        let Some(closer) = lookup.candidates().iter().position(lacked) else { return };
        let (candidate, target) = (lookup.candidates()[closer], *lookup.target());
        let Some(value) = values.first() else { return };
        let halvings = u32::try_from(closer).unwrap_or(u32::MAX);
        let remaining_s = value.remaining_s.checked_shr(halvings).unwrap_or(0);
        if remaining_s == 0 {
            return;
        }
        let intent = Intent {
            endpoint: candidate.endpoint,
            expected: candidate.id,
            kind: Kind::Store,
            purpose: Purpose::Cache,
            is_retry: false,
        };
        let record = Record { remaining_s, ..value.record() };
        let cas = U64::new(StoreBody::UNCONDITIONAL);
        let body = AskBody::Store(StoreBody { cas }, record);
        let cookie = candidate.cookie;
        self.ask(now, &Ask { intent, flags: Flags::default(), cookie, target, body }, out);
    }

    fn answer_asker(
        &mut self,
        now: Now,
        asker: &Asker,
        operation: &Operation,
        outcome: &Outcome,
        out: &mut dyn Outbox,
    ) {
        let target = *operation.lookup.target();
        let kind = match operation.goal {
            Goal::FindValue { .. } => Kind::FindValue,
            Goal::Put { .. } => Kind::Store,
            _ => Kind::FindNode,
        };
        match outcome {
            Outcome::Nodes | Outcome::NotFound => {
                let mut closest = crate::table::Closest::empty();
                let others = operation.lookup.closest().filter(|c| c.id != asker.id);
                for candidate in others {
                    closest.push(kdht_wire::Contact::new(candidate.id, candidate.endpoint));
                }
                let tell_total = kind == Kind::FindNode;
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit_contacts(emit, observed, closest.as_slice(), tell_total);
                });
            }
            Outcome::Values { values, total, .. } => {
                // Their holder's cursors mean nothing here: positions among those found do.
                let at = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
                let records = values.iter().enumerate();
                let records = records
                    .map(|(index, value)| Record { cursor: at(index), ..value.record() })
                    .filter(|record| record.cursor >= asker.cursor);
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit_records(emit, observed, *total, records);
                });
            }
            Outcome::Stored(Stored { acknowledged, durability: Some(durability), .. }) => {
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit.head().arg = *durability as u8;
                    let _ = emit.body(&ReplyBody { observed, total: U16::new(*acknowledged) });
                });
            }
            Outcome::Stored(stored) => {
                let fault = stored.fault.unwrap_or(Fault::Recurse);
                self.fault_to_asker(now, asker, fault, out);
            }
            Outcome::Reply { .. } | Outcome::Unanswered => {
                self.fault_to_asker(now, asker, Fault::Recurse, out);
            }
        }
    }
}

/// The node asked for a further page did not give it: what came before is all. Goes on
/// where nothing came, or another node was asked.
fn holder_is_lost(operation: &mut Operation, pending: &Pending) -> Step {
    match &operation.goal {
        Goal::FindValue { found, .. }
            if found.holder == Some((pending.expected, pending.endpoint)) =>
        {
            done_with_values(operation)
        }
        _ => Step::Continue,
    }
}

fn done_with_values(operation: &mut Operation) -> Step {
    let Goal::FindValue { found, .. } = &mut operation.goal else { return Step::Continue };
    let found = core::mem::take(found);
    let Some((id, endpoint)) = found.holder.filter(|_| !found.values.is_empty()) else {
        return Step::Continue;
    };
    let hops = operation.lookup.candidate_mut(&id, &endpoint).map_or(0, |c| c.hop);
    let Found { values, total, holder, .. } = found;
    Step::Done(Outcome::Values { values, total, holder }, hops)
}

fn acknowledged(stored: &mut Stored, nodes: u16, durability: Durability) {
    stored.acknowledged += nodes;
    let lowest = stored.durability.map_or(durability, |held| held.min(durability));
    stored.durability = Some(lowest);
}

/// Discovery depth of the closest node that answered.
fn hops_of(lookup: &Lookup) -> u8 {
    lookup.closest().next().map_or(0, |candidate| candidate.hop)
}

fn filter_passes(filter: &kdht_wire::Filter, record: &Record<'_>) -> bool {
    use kdht_wire::{Filter, Publisher};
    match (filter, record.publisher) {
        (Filter::Any, _) | (Filter::Immutable, Publisher::Immutable) => true,
        (Filter::Signed(wanted), Publisher::Signed(tail)) => *wanted == tail.public_key,
        (Filter::Plain(wanted), Publisher::Plain(id)) => wanted == id,
        _ => false,
    }
}
