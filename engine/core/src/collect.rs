//! Values from more than one holder: of several publishers, or the newest of one.
//!
//! A holder gives its values instead of contacts, so each is asked for those, too, with a
//! FIND_NODE after its last page: the lookup then finds the other holders. Values that no
//! datagram carries are fetched by TCP meanwhile, each from one holder.

use alloc::vec::Vec;

use kdht_wire::{Endpoint, Filter, Flags, Id, Kind, Message, Records, ReplyBody};

use crate::ask::{Ask, AskBody};
use crate::ask_stream::Fetch;
use crate::command::{Outcome, Value, ValuePublisher};
use crate::lookup::{Answered, Standing};
use crate::node::Node;
use crate::operate::{Step, hops_of};
use crate::operation::{Audience, Found, Goal, Operation, OperationKey, PAGES_MAX};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose};
use crate::proofs::Proofs;
use crate::stream::Jobs;
use crate::time::Now;

/// Announcements of values that are being fetched from somebody else, at most: k holders each
/// of a value or three.
pub(crate) const SPARES_MAX: usize = 64;

/// A node that gave values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    id: Id,
    endpoint: Endpoint,
    /// Pages that it gave so far.
    pages: u8,
}

/// A value that a holder announced.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    holder: (Id, Endpoint),
    /// Without its bytes.
    value: Value,
    value_len: u32,
    cursor: u16,
}

impl Announced {
    /// It is asked for.
    fn queue(&self, fetch: &Fetch<'_>, found: &mut Found, jobs: &mut Jobs) -> bool {
        let mut record = self.value.record();
        (record.value_len, record.cursor) = (self.value_len, self.cursor);
        let is_wanted = fetch.queue(found, &record, jobs);
        if is_wanted {
            found.awaited.push(self.clone());
        }
        is_wanted
    }
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

    /// Whether an announced value is held already, or a newer one.
    fn holds(&self, promised: &Value) -> bool {
        self.values.iter().any(|held| covers(held, promised))
    }

    /// Whether it is asked for already, or a newer one.
    fn awaits(&self, promised: &Value) -> bool {
        self.awaited.iter().any(|awaited| covers(&awaited.value, promised))
    }

    /// What a holder was asked for came, or did not: what was not given is asked of others
    /// who announced it.
    pub(crate) fn fetched(
        &mut self,
        holder: (Id, Endpoint),
        filter: &Filter,
        purpose: Purpose,
        audience: &Audience,
        jobs: &mut Jobs,
    ) {
        self.awaited.retain(|awaited| awaited.holder != holder);
        for spare in core::mem::take(&mut self.spares) {
            if self.awaits(&spare.value) {
                self.spares.push(spare);
            } else if !self.holds(&spare.value) {
                let fetch = Fetch { holder: spare.holder, filter, purpose, audience };
                spare.queue(&fetch, self, jobs);
            }
        }
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
        let mut proofs = Proofs::new(proven);
        for record in records.iter() {
            next_cursor = record.cursor.saturating_add(1);
            let proof = proofs.next(filter, &record);
            if record.is_announced() {
                let holder = (pending.expected, pending.endpoint);
                let (value, value_len) = (Value::of(&record), record.value_len);
                let announced = Announced { holder, value, value_len, cursor: record.cursor };
                let (audience, purpose) = (&operation.audience, pending.purpose);
                let fetch = Fetch { holder, filter, purpose, audience };
                if found.holds(&announced.value) {
                    continue;
                }
                if found.awaits(&announced.value) {
                    if found.spares.len() < SPARES_MAX && filter.passes(&record) {
                        found.spares.push(announced);
                    }
                } else if !announced.queue(&fetch, found, &mut self.jobs) {
                    self.counters.values_unproven += 1;
                }
                continue;
            }
            if !proof.holds(&target, filter, &record, &mut self.counters) {
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

/// Whether a value is of the same slot as another, and no older.
fn covers(known: &Value, promised: &Value) -> bool {
    is_same_slot(known, promised) && rank(known).0 >= rank(promised).0
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
