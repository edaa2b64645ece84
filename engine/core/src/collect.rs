//! Values from more than one holder: of several publishers, or the newest of one.
//!
//! A holder gives its values instead of contacts, so each is asked for those, too, with a
//! FIND_NODE after its last page: the lookup then finds the other holders. Values that no
//! datagram carries are fetched by TCP meanwhile, each from one holder.

use alloc::vec::Vec;

use kdht_store::verify;
use kdht_wire::{Endpoint, Filter, Flags, Id, Kind, Message, Records, ReplyBody};

use crate::ask::{Ask, AskBody};
use crate::ask_stream::Fetch;
use crate::command::{Outcome, Value, ValuePublisher};
use crate::lookup::{Answered, Standing};
use crate::node::Node;
use crate::operate::{Step, hops_of};
use crate::operation::{Found, Goal, Operation, OperationKey, PAGES_MAX};
use crate::outbox::Outbox;
use crate::parked::is_to_verify;
use crate::pending::{Intent, Pending, Purpose};
use crate::time::Now;

/// A node that gave values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    id: Id,
    endpoint: Endpoint,
    /// Pages that it gave so far.
    pages: u8,
}

impl Found {
    /// Takes a value in: of one slot the higher sequence, else what lives longer.
    pub(crate) fn merge(&mut self, value: Value, values_max: u16) {
        let slot = self.values.iter().position(|held| is_same_slot(held, &value));
        match slot {
            Some(at) if rank(&self.values[at]) < rank(&value) => self.values[at] = value,
            None if self.values.len() < usize::from(values_max) => self.values.push(value),
            _ => {}
        }
    }

    /// Whether an announced value is held or asked for already, or a newer one.
    fn awaits(&self, promised: &Value) -> bool {
        let is_covered =
            |known: &Value| is_same_slot(known, promised) && rank(known).0 >= rank(promised).0;
        self.values.iter().chain(&self.awaited).any(is_covered)
    }

    fn pages_of(&mut self, id: &Id, endpoint: &Endpoint) -> &mut u8 {
        let known = self.holders.iter().position(|h| h.id == *id && h.endpoint == *endpoint);
        let at = known.unwrap_or_else(|| {
            // No more than the lookup has candidates.
            self.holders.push(Holder { id: *id, endpoint: *endpoint, pages: 0 });
            self.holders.len() - 1
        });
        &mut self.holders[at].pages
    }
}

fn is_same_slot(one: &Value, other: &Value) -> bool {
    match (&one.publisher, &other.publisher) {
        (ValuePublisher::Immutable, ValuePublisher::Immutable) => true,
        (ValuePublisher::Signed(one), ValuePublisher::Signed(other)) => {
            one.public_key == other.public_key
        }
        (ValuePublisher::Plain(one), ValuePublisher::Plain(other)) => one == other,
        _ => false,
    }
}

fn rank(value: &Value) -> (u64, u32) {
    let sequence = match &value.publisher {
        ValuePublisher::Signed(tail) => tail.sequence.get(),
        _ => 0,
    };
    (sequence, value.remaining_s)
}

impl Node {
    /// What this node holds itself counts as one holder's.
    pub(crate) fn collect_own(
        &self,
        now: Now,
        key: &Id,
        filter: &Filter,
        values_max: u16,
        found: &mut Found,
    ) {
        if let Some(Outcome::Values { values, total, .. }) =
            self.held_values(now, key, filter, values_max)
        {
            found.values = values;
            found.total = total;
            found.is_held_here = true;
        }
    }

    /// A holder gave values: takes those that prove themselves, asks for its next page or,
    /// after the last, for contacts.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    pub(crate) fn values_collected(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        reply: &ReplyBody,
        records: &Records<'_>,
        proven: Option<&[bool]>,
        out: &mut dyn Outbox,
    ) {
        let target = *operation.lookup.target();
        let Goal::FindValue { filter, values_max, found, .. } = &mut operation.goal else { return };
        let mut next_cursor = 0;
        let mut proven = proven.map(|proven| proven.iter().copied());
        for record in records.iter() {
            next_cursor = record.cursor.saturating_add(1);
            let is_signed = is_to_verify(filter, &record);
            let verdict = match &mut proven {
                Some(proven) if is_signed => Some(proven.next().unwrap_or(false)),
                _ => None,
            };
            if record.is_announced() {
                let promised = Value::of(&record);
                if found.awaits(&promised) {
                    continue;
                }
                let holder = (pending.expected, pending.endpoint);
                let (audience, purpose) = (&operation.audience, pending.purpose);
                let fetch = Fetch { holder, filter, purpose, audience };
                if fetch.queue(found, &record, &mut self.jobs) {
                    found.awaited.push(promised);
                } else {
                    self.counters.values_unproven += 1;
                }
                continue;
            }
            let mut is_proven = || {
                self.counters.signatures_verified += u64::from(is_signed);
                verify(&target, &record).is_ok()
            };
            if !filter.passes(&record) || !verdict.unwrap_or_else(&mut is_proven) {
                self.counters.values_unproven += 1;
                continue;
            }
            found.merge(Value::of(&record), *values_max);
        }
        found.total = found.total.max(reply.total.get());
        let pages = found.pages_of(&pending.expected, &pending.endpoint);
        *pages = pages.saturating_add(1);
        // Once, an empty page means that a cookie was missing.
        let is_fruitful = records.count() > 0 || *pages == 1;
        let has_more = message.head.flags().has(Flags::MORE) && *pages < PAGES_MAX && is_fruitful;
        let cookie = message.head.cookie.get();
        let candidate = operation.lookup.candidate_mut(&pending.expected, &pending.endpoint);
        let Some(mut candidate) = candidate.copied() else { return };
        candidate.cookie = cookie;
        let asked = if has_more {
            self.ask_candidate(now, key, operation, &candidate, next_cursor, out)
        } else {
            let (id, endpoint) = (pending.expected, pending.endpoint);
            let intent = Intent::new(endpoint, id, Kind::FindNode, Purpose::Operation(key));
            let flags = self.families_wanted();
            operation.messages += 1;
            let body = AskBody::Empty;
            self.ask(now, &Ask { intent, flags, cookie, target, body }, out)
        };
        if !asked {
            let told = Answered { cookie, ..Answered::default() };
            operation.lookup.answered(&pending.expected, &pending.endpoint, &[], told);
        }
    }
}

/// Whether values of more than one holder are wanted.
pub(crate) fn is_collecting(goal: &Goal) -> bool {
    matches!(goal, Goal::FindValue { holders: 2.., .. })
}

/// Whether announced values are being fetched.
pub(crate) fn is_fetching(goal: &Goal) -> bool {
    matches!(goal, Goal::FindValue { found, .. } if found.fetching > 0)
}

/// Whether as many of the closest holders as wanted have given theirs.
pub(crate) fn has_collected(operation: &Operation) -> bool {
    let Goal::FindValue { holders: holders @ 2.., found, .. } = &operation.goal else {
        return false;
    };
    if found.fetching > 0 {
        return false;
    }
    let is_holder = |c: &&crate::Candidate| {
        found.holders.iter().any(|h| h.id == c.id && h.endpoint == c.endpoint)
    };
    let candidates = operation.lookup.candidates().iter();
    let nearest = candidates.filter(|c| c.standing != Standing::Failed);
    let answered = nearest.take_while(|c| c.standing == Standing::Answered);
    usize::from(found.is_held_here) + answered.filter(is_holder).count() >= usize::from(*holders)
}

/// What was collected, if anything was.
pub(crate) fn collected(operation: &mut Operation) -> Option<Step> {
    let hops = hops_of(&operation.lookup);
    let Goal::FindValue { found, .. } = &mut operation.goal else { return None };
    if found.values.is_empty() {
        return None;
    }
    let values: Vec<Value> = core::mem::take(&mut found.values);
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    let target = operation.lookup.target();
    let nearest = found.holders.iter().min_by_key(|holder| holder.id.distance(target));
    let holder = nearest.map(|holder| (holder.id, holder.endpoint));
    Some(Step::Done(Outcome::Values { values, total: found.total.max(count), holder }, hops))
}
