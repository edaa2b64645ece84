//! What waits while its signatures are verified elsewhere, and what the verdict leads to.
//!
//! With [`Config::verify_apart`](crate::Config::verify_apart) set, a STORE of a signed value
//! and a reply to one of our lookups that brings signed values are set aside. The owner
//! takes each [`VerifyJob`] from [`Node::poll_verify`], lets another thread work on it, and
//! hands the [`Verdict`] to [`Node::handle_verdict`], where the STORE or the reply goes on as
//! if it had only then arrived. Meanwhile the node answers others.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_store::verify;
use kdht_wire::{Body, Fault, Filter, Head, Id, Message, Publisher, Record, StoreBody};

use crate::command::Value;
use crate::counters::Refusal;
use crate::node::Node;
use crate::operation::{Goal, OperationKey};
use crate::outbox::{Outbox, Route};
use crate::pending::Pending;
use crate::serve::Asked;
use crate::time::{Nanos, Now};

/// STOREs and replies set aside at most, and jobs that wait for the owner at most.
pub const PARKED_MAX: usize = 256;
/// STOREs are refused from this many on: the rest is for replies to our own lookups.
pub const PARKED_STORES_MAX: usize = PARKED_MAX / 4 * 3;
/// Nothing more is set aside while what is takes more bytes than these (1 MiB).
const PARKED_LEN_MAX: usize = 1 << 20;
/// How long a verdict is waited for, in milliseconds.
const VERDICT_MS_MAX: u64 = 2_000;

/// Signatures to verify: all that this takes, so that any thread may do it.
#[derive(Debug)]
pub struct VerifyJob {
    ticket: u64,
    key: Id,
    /// Signed values, in the order of the message that brought them.
    values: Vec<Value>,
    /// No more than so many need be proven.
    wanted: usize,
}

/// What came of a [`VerifyJob`].
#[derive(Debug)]
pub struct Verdict {
    ticket: u64,
    values: Vec<Value>,
    /// For each value in turn whether it proved itself, as far as was looked; nothing: the
    /// job was refused.
    proven: Option<Vec<bool>>,
}

impl VerifyJob {
    /// Verifies the signatures.
    ///
    /// Cost: about 50 µs each; there are as many as fit a message, and one in a STORE.
    #[must_use]
    pub fn verify(self) -> Verdict {
        let mut proven = Vec::with_capacity(self.values.len());
        let mut left = self.wanted;
        for value in &self.values {
            if left == 0 {
                break;
            }
            let is_proven = verify(&self.key, &value.record()).is_ok();
            left -= usize::from(is_proven);
            proven.push(is_proven);
        }
        Verdict { ticket: self.ticket, values: self.values, proven: Some(proven) }
    }

    /// Says that nobody has the time to verify them.
    #[must_use]
    pub fn refuse(self) -> Verdict {
        Verdict { ticket: self.ticket, values: self.values, proven: None }
    }
}

/// For whoever records verdicts, and gives them again.
impl VerifyJob {
    /// Names the job within its node.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// The verdict that `proven` was, as [`Verdict::proven`] told.
    #[must_use]
    pub fn found(self, proven: Option<Vec<bool>>) -> Verdict {
        Verdict { ticket: self.ticket, values: self.values, proven }
    }
}

impl Verdict {
    /// The job's name.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Which values proved themselves, as far as was looked; nothing: the job was refused.
    #[must_use]
    pub fn proven(&self) -> Option<&[bool]> {
        self.proven.as_deref()
    }
}

/// Something set aside.
#[derive(Debug)]
enum Waiting {
    Store { route: Route, head: Head, cas: u64, source: u64 },
    Reply { operation: OperationKey, pending: Pending, bytes: Vec<u8> },
}

#[derive(Debug)]
struct Entry {
    since: Nanos,
    len: usize,
    waiting: Waiting,
}

/// What is set aside, in the order of tickets, which is that of time.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    /// Nothing: the verdict came, but not yet that of an earlier ticket. The first is there.
    entries: VecDeque<Option<Entry>>,
    /// The ticket of the first entry.
    first: u64,
    count: usize,
    count_max: usize,
    /// Bytes of the entries' messages and values.
    len: usize,
    jobs: VecDeque<VerifyJob>,
}

impl Parked {
    fn has_room(&self, count_max: usize) -> bool {
        let len_max = PARKED_LEN_MAX / PARKED_MAX * count_max;
        self.entries.len() < count_max && self.jobs.len() < count_max && self.len <= len_max
    }

    /// Sets something aside. The caller has seen that there is room.
    fn insert(&mut self, now: Nanos, key: Id, values: Vec<Value>, wanted: usize, of: Waiting) {
        // At most `PARKED_MAX` entries, and a ticket a nanosecond would last 584 years.
        let ticket = self.first + self.entries.len() as u64;
        let message_len = match &of {
            Waiting::Store { .. } => 0,
            Waiting::Reply { bytes, .. } => bytes.len(),
        };
        let len = message_len + values.iter().map(|value| value.bytes.len()).sum::<usize>();
        self.entries.push_back(Some(Entry { since: now, len, waiting: of }));
        self.jobs.push_back(VerifyJob { ticket, key, values, wanted });
        self.len += len;
        self.count += 1;
        self.count_max = self.count_max.max(self.count);
    }

    /// Takes what has this ticket; nothing if it was taken, given up, or never was.
    fn take(&mut self, ticket: u64) -> Option<Entry> {
        let at = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(at)?.take()?;
        self.count -= 1;
        self.len -= entry.len;
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        Some(entry)
    }

    /// When the first is given up.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        let first = self.entries.front()?.as_ref()?;
        Some(first.since.plus_ms(VERDICT_MS_MAX))
    }

    /// Gives memory back while nothing is set aside.
    pub(crate) fn release(&mut self) {
        if self.entries.is_empty() && self.jobs.is_empty() {
            (self.entries, self.jobs) = (VecDeque::new(), VecDeque::new());
        }
    }
}

impl Node {
    /// The next signatures to verify, of a node that has them verified apart. What is not
    /// taken, or brings no verdict within two seconds, is answered as if it had been refused.
    pub fn poll_verify(&mut self) -> Option<VerifyJob> {
        self.parked.jobs.pop_front()
    }

    /// Goes on with what waited for `verdict`. Verdicts may come in any order; one that
    /// comes too late or twice changes nothing.
    ///
    /// Costs what the STORE or the reply would have cost without its signatures; where a
    /// lookup's job was refused, these too.
    pub fn handle_verdict(&mut self, now: Now, verdict: Verdict, out: &mut dyn Outbox) {
        let Verdict { ticket, values, proven } = verdict;
        if let Some(proven) = &proven {
            self.counters.signatures_verified += proven.len() as u64;
        }
        let Some(Entry { since, waiting, .. }) = self.parked.take(ticket) else { return };
        match waiting {
            Waiting::Store { route, head, cas, source } => {
                let asked = self.asked_before(now, &route, &head, source);
                let is_proven = proven.map(|proven| proven.first() == Some(&true));
                let record = values.first().map(Value::record);
                match (is_proven, record) {
                    (Some(true), Some(record)) => {
                        self.finish_store(now, &asked, cas, &record, out);
                    }
                    (Some(_), _) => {
                        self.counters.refuse(Refusal::Signature);
                        self.fault(now, &asked, Fault::Signature, 0, out);
                    }
                    (None, _) => self.refuse_unverified(now, &asked, out),
                }
            }
            Waiting::Reply { operation, mut pending, bytes } => {
                // It parsed when it came.
                let Ok(message) = Message::parse(&bytes) else { return };
                // The wait was ours, not the peer's.
                pending.sent = Nanos(pending.sent.0.saturating_add(now.mono.since(since)));
                let proven = proven.as_deref();
                self.counters.signatures_refused += u64::from(proven.is_none());
                self.operation_answered(now, operation, &pending, &message, &bytes, proven, out);
            }
        }
    }

    /// STOREs and replies that wait for verdicts.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked.count
    }

    /// The most that [`Node::parked`] ever was.
    #[must_use]
    pub fn parked_max(&self) -> usize {
        self.parked.count_max
    }

    /// Sets a STORE aside until its record is verified, or refuses it.
    pub(crate) fn park_store(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        store: &StoreBody,
        record: &Record<'_>,
        out: &mut dyn Outbox,
    ) {
        if !self.parked.has_room(PARKED_STORES_MAX) {
            return self.refuse_unverified(now, asked, out);
        }
        let waiting = Waiting::Store {
            route: *asked.route,
            head: *asked.head,
            cas: store.cas.get(),
            source: asked.source,
        };
        let values = alloc::vec![Value::of(record)];
        self.parked.insert(now.mono, asked.head.target, values, 1, waiting);
    }

    /// Sets a reply with signed values aside until they are verified; false: go on with it,
    /// as it has none that matter, or there is no room for it.
    pub(crate) fn park_reply(
        &mut self,
        now: Now,
        operation: OperationKey,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
    ) -> bool {
        if !self.config.verify_apart {
            return false;
        }
        let Body::Values { records, .. } = &message.body else { return false };
        let under_way = self.operations.peek(operation);
        let Some((target, Goal::FindValue { filter, values_max, holders, found })) = under_way
        else {
            return false;
        };
        let holder = (pending.expected, pending.endpoint);
        let wanted = match holders {
            0..=1 => usize::from(*values_max).saturating_sub(found.values.len()),
            // Each may be newer than one that another holder gave.
            _ => records.count(),
        };
        if wanted == 0 || found.holder.is_some_and(|first| first != holder) {
            return false;
        }
        let signed = records.iter().filter(|record| is_to_verify(filter, record));
        let values: Vec<Value> = signed.map(|record| Value::of(&record)).collect();
        if values.is_empty() {
            return false;
        }
        if !self.parked.has_room(PARKED_MAX) {
            self.counters.signatures_refused += 1;
            return false;
        }
        let waiting = Waiting::Reply { operation, pending: *pending, bytes: bytes.to_vec() };
        self.parked.insert(now.mono, target, values, wanted, waiting);
        true
    }

    /// Gives up what has waited too long.
    pub(crate) fn give_up_parked(&mut self, now: Now, out: &mut dyn Outbox) {
        while self.parked.next_due().is_some_and(|due| due <= now.mono) {
            let Some(entry) = self.parked.take(self.parked.first) else { return };
            match entry.waiting {
                Waiting::Store { route, head, source, .. } => {
                    let asked = self.asked_before(now, &route, &head, source);
                    self.refuse_unverified(now, &asked, out);
                }
                Waiting::Reply { operation, pending, .. } => {
                    self.counters.signatures_refused += 1;
                    self.operation_failed(now, operation, &pending, out);
                }
            }
        }
    }

    fn refuse_unverified(&mut self, now: Now, asked: &Asked<'_>, out: &mut dyn Outbox) {
        self.counters.signatures_refused += 1;
        self.counters.refuse(Refusal::Busy);
        self.fault(now, asked, Fault::Busy, 0, out);
    }

    /// Since when the first of them waits.
    #[must_use]
    pub fn parked_since(&self) -> Option<Nanos> {
        self.parked.entries.front()?.as_ref().map(|first| first.since)
    }

    /// A request that proved its endpoint before it was set aside.
    pub(crate) fn asked_before<'a>(
        &mut self,
        now: Now,
        route: &'a Route,
        head: &'a Head,
        source: u64,
    ) -> Asked<'a> {
        let fresh_cookie = self.cookies.check(&route.peer, 0, now.mono).fresh;
        Asked { route, head, proven: true, fresh_cookie, reply_len_max: usize::MAX, source }
    }
}

/// Whether a signature stands between a record in a reply and whoever looks for `filter`.
pub(crate) fn is_to_verify(filter: &Filter, record: &Record<'_>) -> bool {
    let is_signed = matches!(record.publisher, Publisher::Signed(_));
    is_signed && !record.is_announced() && filter.passes(record)
}
