//! Requests of ours by TCP: STOREs of values that no datagram carries, and fetches of values
//! that a datagram only announced. They wait for their turn, since each holds as much
//! memory as its value.

use alloc::vec::Vec;

use kdht_wire::{
    Body, Emit, EmitError, Endpoint, Filter, FindValueBody, Flags, HEAD_LEN, Head,
    INLINE_VALUE_LEN_MAX, Id, Kind, MAC_LEN, Message, Outline, Publisher, Record, StoreBody,
    VALUE_LEN_MAX,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::ask::AskBody;
use crate::collect::is_collecting;
use crate::command::{Event, Outcome, Request, Value};
use crate::counters::Refusal;
use crate::find_value::done_with_values;
use crate::node::Node;
use crate::operate::Step;
use crate::operation::{Audience, FETCH_BYTES_MAX, Found, Goal, Operation, OperationKey, PutPhase};
use crate::outbox::Outbox;
use crate::pending::{Intent, Patience, Pending, Purpose};
use crate::stream::{Job, Jobs, STREAM_MS, STREAM_RECURSION_MS, StreamAsk, StreamCheck};
use crate::time::Now;

/// A reply by TCP, parsed.
struct Answer<'a> {
    message: Message<'a>,
    bytes: &'a [u8],
    check: &'a StreamCheck,
}

/// Whose announced values are fetched, and for whom.
pub(crate) struct Fetch<'a> {
    pub(crate) holder: (Id, Endpoint),
    pub(crate) filter: &'a Filter,
    pub(crate) purpose: Purpose,
    pub(crate) audience: &'a Audience,
}

impl Fetch<'_> {
    /// Lets an announced value wait to be fetched. False if it cannot be one that is
    /// wanted.
    pub(crate) fn queue(&self, found: &mut Found, record: &Record<'_>, jobs: &mut Jobs) -> bool {
        let len = u64::from(record.value_len);
        if !self.filter.passes(record) || len <= INLINE_VALUE_LEN_MAX as u64 {
            return false;
        }
        let bytes_max = match self.audience {
            // A datagram would only announce it again.
            Audience::Askers(askers) if askers.iter().all(|a| a.stream.is_none()) => 0,
            Audience::Askers(_) => VALUE_LEN_MAX as u64,
            _ => FETCH_BYTES_MAX,
        };
        if found.fetched_bytes + len > bytes_max {
            found.has_more |= bytes_max == 0;
            return true;
        }
        let filter = match record.publisher {
            Publisher::Immutable => Filter::Immutable,
            Publisher::Signed(tail) => Filter::Signed(tail.public_key),
            Publisher::Plain(id) => Filter::Plain(*id),
        };
        let (id, endpoint) = self.holder;
        let intent = Intent::new(endpoint, id, Kind::FindValue, self.purpose);
        let fetch = Some((filter, record.cursor));
        if jobs.push(Job { intent, value_len: record.value_len, fetch }) {
            found.fetching += 1;
            found.fetched_bytes += len;
        }
        true
    }
}

impl Node {
    /// Takes what came of a [`StreamAsk`]: a whole message and what was found out about
    /// it, or nothing if there was none. To be called once for each, with the ask's own
    /// endpoint and transaction.
    ///
    /// O(k), and copies of the values that came.
    pub fn handle_stream_end(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        tx_id: u64,
        reply: Option<(&[u8], &StreamCheck)>,
        out: &mut dyn Outbox,
    ) {
        if let Some((bytes, check)) = reply {
            self.handle_stream_reply(now, endpoint, bytes, check, out);
        }
        // A reply that was not taken is none.
        if let Some(pending) = self.requests.cancel_stream(tx_id, endpoint) {
            self.stream_failed(now, &pending, out);
        }
        self.send_jobs(now);
    }

    /// Lets a request of an operation wait for its turn by TCP. False if too many wait.
    pub(crate) fn ask_by_stream(&mut self, intent: Intent, value_len: usize) -> bool {
        // Commands with longer values than the wire carries are refused.
        let value_len = u32::try_from(value_len).unwrap_or(u32::MAX);
        self.jobs.push(Job { intent, value_len, fetch: None })
    }

    /// Sends requests by TCP while memory for them is left.
    pub(crate) fn send_jobs(&mut self, now: Now) {
        while let Some(job) = self.jobs.first() {
            let Purpose::Operation(key) = job.intent.purpose else { return self.jobs.pop() };
            let Some(operation) = self.operations.held(key) else {
                // It ended by other means.
                self.jobs.pop();
                continue;
            };
            let recurse = matches!(operation.goal, Goal::Ask { recurse: true, .. });
            let patience_ms = if recurse { STREAM_RECURSION_MS } else { STREAM_MS };
            let patience = Patience::of_ms(patience_ms);
            if !self.requests.has_stream_room(job.value_len) {
                return;
            }
            let (rng, len) = (&mut self.rng, job.value_len);
            let begun = self.requests.begin_stream(&job.intent, patience, len, rng, now.mono);
            let Some(tx_id) = begun else { return };
            self.jobs.pop();
            let target = *operation.lookup.target();
            let mut head = Head::request(job.intent.kind, tx_id, target, self.id);
            let client = if self.config.client { Flags::CLIENT } else { Flags::default() };
            let recurse = if recurse { Flags::RECURSE } else { Flags::default() };
            head.flags = U16::new(client.with(recurse).0);
            head.time_s = U32::new(now.unix_s);
            let Some(Ok(bytes)) = body_of(&operation.goal, &job).map(|body| lay_out(head, &body))
            else {
                // Such goals queue nothing.
                continue;
            };
            self.counters.requests_out.add(job.intent.kind);
            let endpoint = job.intent.endpoint;
            self.tell(Event::Stream(StreamAsk { tx_id, endpoint, bytes, patience_ms }));
        }
    }

    /// Asks again by TCP, if a reply to a single request only announces what it found.
    pub(crate) fn fetch_announced(
        &mut self,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
    ) -> bool {
        let Goal::Ask { recurse, announced, .. } = &mut operation.goal else { return false };
        let Body::Values { records, .. } = &message.body else { return false };
        // One that was found for us is not even announced.
        let is_counted = *recurse && records.count() == 0;
        if !is_counted && !records.iter().any(|record| record.is_announced()) {
            return false;
        }
        let intent =
            Intent::new(pending.endpoint, pending.expected, Kind::FindValue, pending.purpose);
        let is_queued = self.ask_by_stream(intent, VALUE_LEN_MAX);
        if is_queued {
            *announced = Some(bytes.to_vec());
            operation.messages += 1;
        }
        is_queued
    }

    fn handle_stream_reply(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        bytes: &[u8],
        check: &StreamCheck,
        out: &mut dyn Outbox,
    ) {
        if let Err(error) = Outline::parse(bytes) {
            return self.counters.refuse(error.into());
        }
        if let Err(error) = check.mac(bytes, &self.config.keys, now.unix_s) {
            return self.counters.refuse(error.into());
        }
        self.heard(now);
        let message = match Message::parse_stream(bytes) {
            Ok(message) => message,
            Err(error) => return self.counters.refuse(error.into()),
        };
        let head = message.head;
        if head.sender == self.id {
            return self.counters.refuse(Refusal::OwnId);
        }
        let finished = head.is_reply().then(|| self.requests.finish_stream(head, endpoint));
        let Some(pending) = finished.flatten() else {
            return self.counters.refuse(Refusal::Unmatched);
        };
        self.counters.replies_in.add(message.kind);
        if let Body::Fault(fault, _) = message.body {
            self.counters.fault(fault);
        }
        self.stream_ended(now, &pending, Some(Answer { message, bytes, check }), out);
    }

    /// A request by TCP brought nothing. Its contact may be well: it answers datagrams.
    pub(crate) fn stream_failed(&mut self, now: Now, pending: &Pending, out: &mut dyn Outbox) {
        self.stream_ended(now, pending, None, out);
    }

    fn stream_ended(
        &mut self,
        now: Now,
        pending: &Pending,
        answer: Option<Answer<'_>>,
        out: &mut dyn Outbox,
    ) {
        let Purpose::Operation(key) = pending.purpose else { return };
        self.work_on(now, key, out, |node, operation, out| match &mut operation.goal {
            Goal::Ask { announced, .. } => {
                let bytes = answer.map(|answer| answer.bytes.to_vec()).or(announced.take());
                let rtt_us = now.mono.us_since(pending.sent);
                match bytes {
                    Some(bytes) => Step::Done(Outcome::Reply { bytes, rtt_us }, 1),
                    None => Step::Done(Outcome::Unanswered, 0),
                }
            }
            Goal::Put { phase, .. } => {
                if let Some(answer) = answer {
                    return node.store_answered(now, key, operation, pending, &answer.message, out);
                }
                if let PutPhase::Storing { waiting } = phase {
                    *waiting = waiting.saturating_sub(1);
                }
                node.advance(now, key, operation, out)
            }
            Goal::FindValue { .. } => node.value_fetched(now, key, operation, pending, answer, out),
            Goal::FindNode => Step::Continue,
        });
    }

    fn value_fetched(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        answer: Option<Answer<'_>>,
        out: &mut dyn Outbox,
    ) -> Step {
        let target = *operation.lookup.target();
        let is_collecting = is_collecting(&operation.goal);
        let Goal::FindValue { filter, values_max, found, .. } = &mut operation.goal else {
            return Step::Continue;
        };
        if !is_collecting && found.holder != Some((pending.expected, pending.endpoint)) {
            // Of a holder that was given up.
            return Step::Continue;
        }
        found.fetching = found.fetching.saturating_sub(1);
        if let Some(Answer { message, check, .. }) = &answer
            && let Body::Values { records, .. } = &message.body
            && let Some(record) = records.iter().next()
            && (is_collecting || found.values.len() < usize::from(*values_max))
        {
            let is_whole = !record.is_announced() && message.head.target == target;
            if is_whole && filter.passes(&record) && is_proven(check, &target, &record) {
                if is_collecting {
                    found.merge(Value::of(&record), *values_max);
                } else {
                    found.values.push(Value::of(&record));
                }
            } else {
                self.counters.values_unproven += 1;
            }
        }
        if is_collecting {
            let holder = (pending.expected, pending.endpoint);
            let (audience, purpose) = (&operation.audience, pending.purpose);
            found.fetched(holder, filter, purpose, audience, &mut self.jobs);
            return self.advance(now, key, operation, out);
        }
        match done_with_values(operation) {
            Step::Continue => self.advance(now, key, operation, out),
            done @ Step::Done(..) => done,
        }
    }
}

/// Whether a record proves itself, by what was found out about it elsewhere.
fn is_proven(check: &StreamCheck, target: &Id, record: &Record<'_>) -> bool {
    check.proof().unwrap_or_else(|| kdht_store::verify(target, record)).is_ok()
}

fn body_of<'a>(goal: &'a Goal, job: &Job) -> Option<AskBody<'a>> {
    let store = |value: &'a Value, cas: &Option<u64>| {
        let cas = U64::new(cas.unwrap_or(StoreBody::UNCONDITIONAL));
        Some(AskBody::Store(StoreBody { cas }, value.record()))
    };
    let find = |filter, cursor| Some(AskBody::FindValue(FindValueBody::new(filter, cursor)));
    match (goal, &job.fetch) {
        (Goal::Put { value, cas, .. }, _) => store(value, cas),
        (Goal::FindValue { .. }, Some((filter, cursor))) => find(filter, *cursor),
        (Goal::Ask { request: Request::Store { value, cas, .. }, .. }, _) => store(value, cas),
        (Goal::Ask { request: Request::FindValue { filter, cursor, .. }, .. }, _) => {
            find(filter, *cursor)
        }
        _ => None,
    }
}

/// Lays a request out in memory of its own length, with room for a MAC behind it.
fn lay_out(head: Head, body: &AskBody<'_>) -> Result<Vec<u8>, EmitError> {
    let len = HEAD_LEN
        + match body {
            AskBody::Empty => 0,
            AskBody::FindValue(body) => size_of_val(body),
            AskBody::Store(body, record) => size_of_val(body) + record.wire_len(),
        };
    let mut bytes = Vec::with_capacity(len + MAC_LEN);
    bytes.resize(len, 0);
    let mut emit = Emit::stream(&mut bytes, head, None)?;
    match body {
        AskBody::Empty => {}
        AskBody::FindValue(body) => emit.body(body)?,
        AskBody::Store(body, record) => {
            emit.body(body)?;
            emit.store_record(record)?;
        }
    }
    let _ = emit.finish();
    Ok(bytes)
}
