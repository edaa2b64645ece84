//! A proxy: somebody who answers requests in the node's stead before they reach it, as a
//! kernel module does.
//!
//! It is lent all values under a key, and may know which keys nothing is held under. So that
//! it never tells what is no longer true, a STORE is acknowledged only when it was told: each
//! such change comes out of [`Node::poll_recall`], and [`Node::handle_recalled`] lets the
//! acknowledgement go. What it answered is not seen here: it meets whom it answers itself
//! ([`Node::cede_table`]).

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::{Durability, Emit, Fault, Filter, HEAD_LEN, Head, INLINE_VALUE_LEN_MAX, Id, Kind};

use crate::counters::Refusal;
use crate::node::Node;
use crate::operation::{Goal, OperationKey, PutPhase};
use crate::outbox::{Outbox, Route};
use crate::put::{acknowledged, refused};
use crate::serve::Asked;
use crate::time::{Nanos, Now};

/// Keys whose values a proxy is lent at a time.
pub const LENT_MAX: usize = 16_384;
/// Bytes of the records under one key that are lent.
pub const LENT_LEN_MAX: usize = 16_000;
/// Acknowledgements that wait for a proxy at most; more STOREs are answered as `busy`.
pub const RECALLS_MAX: usize = 1_024;
/// How long one waits, in milliseconds.
const RECALL_MS_MAX: u64 = 2_000;
/// Places to remember keys in that were asked for once.
const ASKED_PLACES: usize = 256;
/// Keys asked for again that wait for the owner.
const WANTED_MAX: usize = 64;

/// What a proxy must be told before anybody learns that a value is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recall {
    /// Names it for [`Node::handle_recalled`].
    pub ticket: u64,
    /// The key: something is held under it, and not what was lent.
    pub key: Id,
}

/// All values under a key, as they were at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lent {
    /// Records as on the wire, one after another, cursors rising; values that do not travel in
    /// datagrams are announced. At most [`LENT_LEN_MAX`] bytes.
    pub records: Vec<u8>,
    /// Second of the monotonic clock that their lives count from.
    pub now_s: u32,
}

/// Who waits to hear that a value is held.
#[derive(Debug)]
enum Waiting {
    /// One who asked by datagram, or by the connection of that name.
    Asker { route: Route, head: Head, source: u64, stream: Option<u64> },
    /// A put of this node's.
    Put(OperationKey),
}

#[derive(Debug)]
struct Entry {
    since: Nanos,
    durability: Durability,
    waiting: Waiting,
}

/// What a node with a proxy remembers for it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// It does not see the STOREs that come by datagram.
    is_blind: bool,
    lent: BTreeSet<Id>,
    recalls: VecDeque<Recall>,
    /// In the order of tickets, which is that of time. Nothing: it was answered, but not yet
    /// all before it. The first is there.
    entries: VecDeque<Option<Entry>>,
    /// The ticket of the first entry.
    first: u64,
    asked: Box<[Id; ASKED_PLACES]>,
    wanted: VecDeque<Id>,
}

impl Proxy {
    fn new(is_blind: bool) -> Self {
        Self {
            is_blind,
            lent: BTreeSet::new(),
            recalls: VecDeque::new(),
            entries: VecDeque::new(),
            first: 0,
            asked: Box::new([Id::ZERO; ASKED_PLACES]),
            wanted: VecDeque::new(),
        }
    }

    /// Somebody was given values under `key`: whoever is asked for a second time before
    /// others take its place is worth being lent. O(1).
    pub(crate) fn was_asked(&mut self, key: &Id) {
        let place = &mut self.asked[usize::from(key.0[key.0.len() - 1])];
        if place != key {
            *place = *key;
        } else if self.wanted.len() < WANTED_MAX && !self.lent.contains(key) {
            *place = Id::ZERO;
            self.wanted.push_back(*key);
        }
    }

    fn push(&mut self, key: Id, entry: Entry) {
        // At most `RECALLS_MAX` entries, and a ticket a nanosecond would last 584 years.
        let ticket = self.first + self.entries.len() as u64;
        self.entries.push_back(Some(entry));
        self.recalls.push_back(Recall { ticket, key });
    }

    fn take(&mut self, ticket: u64) -> Option<Entry> {
        let at = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(at)?.take();
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        entry
    }

    /// When the first is given up.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        let first = self.entries.front()?.as_ref()?;
        Some(first.since.plus_ms(RECALL_MS_MAX))
    }
}

impl Node {
    /// From now on a proxy answers, one that notes the key of each STORE that comes by
    /// datagram before the node has it. One that `is_blind` notes none, and is told of each.
    pub fn begin_proxy(&mut self, is_blind: bool) {
        self.proxy = Some(Box::new(Proxy::new(is_blind)));
    }

    /// No proxy answers any more: whoever waits for it is answered. Tables that were left to it
    /// are reclaimed before.
    pub fn end_proxy(&mut self, now: Now, out: &mut dyn Outbox) {
        let Some(proxy) = self.proxy.take() else { return };
        for entry in proxy.entries.into_iter().flatten() {
            self.end_wait(now, entry, true, out);
        }
    }

    /// What the proxy must be told next. What is not taken, or not answered by
    /// [`Node::handle_recalled`] within two seconds, is refused as `busy`.
    pub fn poll_recall(&mut self) -> Option<Recall> {
        self.proxy.as_mut()?.recalls.pop_front()
    }

    /// A key whose values are asked for again and again, and not lent.
    pub fn poll_wanted(&mut self) -> Option<Id> {
        self.proxy.as_mut()?.wanted.pop_front()
    }

    /// The values under a key, for a proxy. From now on changes of them are recalled. Nothing
    /// if there are none, too many or too long ones, or too many keys are lent.
    ///
    /// O(their bytes).
    pub fn lend(&mut self, now: Now, key: &Id) -> Option<Lent> {
        let proxy = self.proxy.as_mut()?;
        if proxy.lent.len() >= LENT_MAX && !proxy.lent.contains(key) {
            return None;
        }
        let now_s = now.mono.seconds();
        let values = self.store.values(u64::from(now_s), key, &Filter::Any);
        let mut buf = vec![0; HEAD_LEN + LENT_LEN_MAX];
        let head = Head::request(Kind::FindValue, 0, *key, Id::ZERO);
        let mut emit = Emit::stream(&mut buf, head, None).ok()?;
        for record in values.from(0) {
            let is_long = record.value.len() > INLINE_VALUE_LEN_MAX;
            emit.record(&if is_long { record.announced() } else { record }).ok()?;
        }
        let len = emit.finish();
        if len == HEAD_LEN {
            return None;
        }
        proxy.lent.insert(*key);
        buf.truncate(len);
        buf.drain(..HEAD_LEN);
        Some(Lent { records: buf, now_s })
    }

    /// The proxy was told of the recalls with these `tickets`, and has nothing any more that
    /// was lent under `keys`. What is lent anew after that is lent after this call. Tickets that
    /// were given up change nothing.
    pub fn handle_recalled(
        &mut self,
        now: Now,
        tickets: &[u64],
        keys: &[Id],
        out: &mut dyn Outbox,
    ) {
        let Some(proxy) = &mut self.proxy else { return };
        for key in keys {
            proxy.lent.remove(key);
        }
        for ticket in tickets {
            if let Some(entry) = self.proxy.as_mut().and_then(|proxy| proxy.take(*ticket)) {
                self.end_wait(now, entry, true, out);
            }
        }
    }

    /// When a STORE that was carried out may be acknowledged; later, it will be.
    pub(crate) fn acknowledge_later(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        stream: Option<u64>,
        durability: Durability,
    ) -> Acknowledge {
        let Some(proxy) = &mut self.proxy else { return Acknowledge::Now };
        let key = asked.head.target;
        if stream.is_none() && !proxy.is_blind && !proxy.lent.contains(&key) {
            return Acknowledge::Now;
        }
        if proxy.entries.len() >= RECALLS_MAX {
            return Acknowledge::Never;
        }
        let (route, head, source) = (*asked.route, *asked.head, asked.source);
        let waiting = Waiting::Asker { route, head, source, stream };
        proxy.push(key, Entry { since: now.mono, durability, waiting });
        Acknowledge::Later
    }

    /// The same for what a put of this node stored here.
    pub(crate) fn acknowledge_put_later(
        &mut self,
        now: Now,
        key: Id,
        operation: OperationKey,
        durability: Durability,
    ) -> Acknowledge {
        let Some(proxy) = &mut self.proxy else { return Acknowledge::Now };
        if proxy.entries.len() >= RECALLS_MAX {
            return Acknowledge::Never;
        }
        let waiting = Waiting::Put(operation);
        proxy.push(key, Entry { since: now.mono, durability, waiting });
        Acknowledge::Later
    }

    /// Gives up what the proxy was not told of in time.
    pub(crate) fn give_up_recalls(&mut self, now: Now, out: &mut dyn Outbox) {
        loop {
            let Some(proxy) = self.proxy.as_mut() else { return };
            if proxy.next_due().is_none_or(|due| due > now.mono) {
                return;
            }
            let Some(entry) = proxy.take(proxy.first) else { return };
            self.end_wait(now, entry, false, out);
        }
    }

    /// Tells one who waited that the value is held, or that nobody can tell.
    fn end_wait(&mut self, now: Now, entry: Entry, is_told: bool, out: &mut dyn Outbox) {
        let Entry { durability, waiting, .. } = entry;
        match waiting {
            Waiting::Asker { route, head, source, stream } => {
                let asked = self.asked_before(now, &route, &head, source);
                let answer = |node: &mut Self, out: &mut dyn Outbox| {
                    if is_told {
                        node.acknowledge(now, &asked, durability, out);
                    } else {
                        node.counters.refuse(Refusal::Busy);
                        node.fault(now, &asked, Fault::Busy, 0, out);
                    }
                };
                match stream {
                    Some(stream) => self.reply_by_stream(stream, answer),
                    None => answer(self, out),
                }
            }
            Waiting::Put(key) => self.work_on(now, key, out, |node, operation, out| {
                if let Goal::Put { stored, phase: PutPhase::Storing { waiting }, .. } =
                    &mut operation.goal
                {
                    if is_told {
                        acknowledged(stored, 1, durability);
                    } else {
                        refused(stored, Fault::Busy, 0);
                    }
                    *waiting = waiting.saturating_sub(1);
                }
                node.advance(now, key, operation, out)
            }),
        }
    }
}

/// When a STORE that was carried out is acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acknowledge {
    Now,
    /// When the proxy knows of it.
    Later,
    /// Too many wait for the proxy.
    Never,
}
