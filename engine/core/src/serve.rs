//! Requests of others: what they cost, what they get.

use kdht_store::{Ack, Put, PutError, SourceGroup, Storage, verify};
use kdht_wire::{
    Body, Contact, Durability, Emit, Endpoint, Fault, FaultDetail, Filter, FindValueBody, Flags,
    HEAD_LEN, Head, INLINE_VALUE_LEN_MAX, Id, Kind, MAC_LEN, Message, Outline, ParseError,
    Publisher, Record, ReplyBody, StoreBody, UNPROVEN_FACTOR, VERSION, VERSION_MIN,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::closest::{Hear, Told, lay_picked};
use crate::command::Value;
use crate::counters::Refusal;
use crate::forward::Forwarded;
use crate::known::Known;
use crate::node::Node;
use crate::operation::{Found, Goal, PutPhase};
use crate::outbox::{Outbox, Route};
use crate::proxy::Acknowledge;
use crate::time::Now;

/// What a request costs its source, in units of the throttle.
#[must_use]
pub fn weight(message: &Message<'_>) -> u32 {
    let recurse = message.head.flags().has(Flags::RECURSE) && message.kind != Kind::Ping;
    match &message.body {
        Body::Store { record, .. } => {
            let is_signed = matches!(record.publisher, Publisher::Signed(_));
            let base = if recurse {
                32
            } else if is_signed {
                16
            } else {
                2
            };
            base + weight_of_len(record.value.len())
        }
        _ if recurse => 32,
        _ => 1,
    }
}

/// What a value's length adds to the weight of its message: nothing in a datagram, 128 for
/// the longest one.
pub(crate) fn weight_of_len(len: usize) -> u32 {
    u32::try_from(len / 8_192).unwrap_or(u32::MAX)
}

/// How long a BUSY asker should wait, in milliseconds.
const RETRY_MS: u32 = 1_000;

/// What a record that may be stored still lacks.
enum Proof {
    /// Nothing.
    Given,
    /// Its signature has to be verified.
    Wanted,
}

/// One request while it is served.
pub(crate) struct Asked<'a> {
    pub(crate) route: &'a Route,
    pub(crate) head: &'a Head,
    /// Whether its cookie proves its endpoint.
    pub(crate) proven: bool,
    pub(crate) fresh_cookie: u64,
    /// Bytes of UDP payload that may be sent in answer.
    pub(crate) reply_len_max: usize,
    /// The source, for throttle and quotas.
    pub(crate) source: u64,
}

impl Node {
    pub(crate) fn handle_request(
        &mut self,
        now: Now,
        route: &Route,
        message: &Message<'_>,
        len: usize,
        out: &mut dyn Outbox,
    ) {
        let head = message.head;
        if head.sender == self.id {
            return self.counters.refuse(Refusal::OwnId);
        }
        if self.config.client {
            return self.counters.refuse(Refusal::Client);
        }
        let source = self.source(&route.peer);
        if !self.throttle.allow(source, weight(message), now.mono) {
            return self.counters.refuse(Refusal::Throttled);
        }
        self.counters.requests_in.add(message.kind);
        let checked = self.cookies.check(&route.peer, head.cookie.get(), now.mono);
        let asked = Asked {
            route,
            head,
            proven: checked.proven,
            fresh_cookie: checked.fresh,
            reply_len_max: if checked.proven { usize::MAX } else { len * UNPROVEN_FACTOR },
            source,
        };
        let is_find = matches!(message.body, Body::FindNode | Body::FindValue(_));
        let mut is_forwarded = false;
        if is_find && head.flags().has(Flags::FORWARD) {
            match self.handle_forward(now, &asked, message, out) {
                // Without a FAULT: the reply would be the origin's, not the sender's.
                Forwarded::Refused => return self.counters.refuse(Refusal::Forward),
                Forwarded::Done => is_forwarded = true,
                Forwarded::Not => {}
            }
        }
        let drawn_before = self.counters.bytes_out;
        let recurse = head.flags().has(Flags::RECURSE);
        match &message.body {
            _ if is_forwarded => {}
            Body::Ping => self.serve_ping(now, &asked, out),
            Body::FindNode if recurse => self.recurse(now, &asked, Goal::FindNode, 0, out),
            Body::FindNode => self.serve_find_node(now, &asked, out),
            Body::FindValue(body) if recurse => {
                let goal = Goal::FindValue {
                    filter: body.filter().unwrap_or_default(),
                    values_max: u16::from(u8::MAX),
                    holders: 1,
                    found: Found::default(),
                };
                self.recurse(now, &asked, goal, body.cursor.get(), out);
            }
            Body::FindValue(body) => self.serve_find_value(now, &asked, body, out),
            Body::Store { store, record } => {
                self.serve_store(now, &asked, store, record, out);
            }
            // Replies are told apart before; there is no other request.
            _ => {}
        }
        // Whoever is new is pinged, at most this often before it is forgotten: that counts
        // as drawn by the request, too.
        let drawn = self.counters.bytes_out - drawn_before + 2 * self.bare_len() as u64;
        let is_paid = asked.proven || drawn <= asked.reply_len_max as u64;
        let is_node = is_paid && !head.flags().has(Flags::CLIENT) && route.peer.is_reachable();
        if is_node && self.has_family_of(&route.peer) && !self.is_own_endpoint(&route.peer) {
            self.sighted(now, &head.sender, &route.peer, out);
        }
    }

    /// Answers what could not be parsed, if it was a request with a whole head.
    pub(crate) fn answer_unparsed(
        &mut self,
        now: Now,
        route: &Route,
        outline: &Outline,
        error: ParseError,
        len: usize,
        out: &mut dyn Outbox,
    ) {
        let fault = match error {
            ParseError::Short { .. }
            | ParseError::Oversize
            | ParseError::Magic
            | ParseError::FaultRequest
            | ParseError::FaultCode(_) => return,
            ParseError::Version(_) => Fault::Version,
            ParseError::Kind(_) => Fault::Kind,
            _ => Fault::Malformed,
        };
        let source = self.source(&route.peer);
        if outline.is_reply || self.config.client || !self.throttle.allow(source, 1, now.mono) {
            return;
        }
        let head = Head::request(Kind::Fault, outline.tx_id, Id::ZERO, Id::ZERO);
        let checked = self.cookies.check(&route.peer, 0, now.mono);
        let asked = Asked {
            route,
            head: &head,
            proven: false,
            fresh_cookie: checked.fresh,
            reply_len_max: len,
            source,
        };
        self.fault(now, &asked, fault, 0, out);
    }

    pub(crate) fn serve_ping(&mut self, now: Now, asked: &Asked<'_>, out: &mut dyn Outbox) {
        self.reply(now, asked, Kind::Ping, out, |emit, observed| {
            let _ = emit.body(&ReplyBody { observed, total: U16::ZERO });
        });
    }

    pub(crate) fn serve_find_node(&mut self, now: Now, asked: &Asked<'_>, out: &mut dyn Outbox) {
        self.reply_with_contacts(now, asked, Kind::FindNode, out);
    }

    pub(crate) fn serve_find_value(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        body: &FindValueBody,
        out: &mut dyn Outbox,
    ) {
        let head = asked.head;
        let now_s = u64::from(now.mono.seconds());
        let filter = body.filter().unwrap_or_default();
        // Bytes of head and body come from the store, so what the reply borrows is apart
        // from what it changes.
        let values = self.store.values(now_s, &head.target, &filter);
        let total = values.total();
        if total == 0 {
            return self.reply_with_contacts(now, asked, Kind::FindValue, out);
        }
        let mut replier =
            Replier { id: self.id, keys: &self.config.keys, counters: &mut self.counters };
        replier.reply(now, asked, Kind::FindValue, out, |emit, observed| {
            emit_records(emit, observed, total, values.from(body.cursor.get()));
        });
        if let Some(proxy) = &mut self.proxy {
            proxy.was_asked(&head.target);
        }
    }

    fn serve_store(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        store: &StoreBody,
        record: &Record<'_>,
        out: &mut dyn Outbox,
    ) {
        if !asked.proven {
            self.counters.refuse(Refusal::Cookie);
            return self.fault(now, asked, Fault::Cookie, 0, out);
        }
        if self.is_draining() {
            self.counters.refuse(Refusal::Draining);
            return self.fault(now, asked, Fault::Draining, 0, out);
        }
        let key = asked.head.target;
        let proof = match self.admit(now, &key, record) {
            Ok(Proof::Wanted) if self.config.verify_apart => {
                return self.park_store(now, asked, store, record, out);
            }
            Ok(Proof::Wanted) => self.verify_here(&key, record),
            Ok(Proof::Given) => Ok(()),
            Err(refused) => Err(refused),
        };
        if let Err((refusal, fault)) = proof {
            self.counters.refuse(refusal);
            return self.fault(now, asked, fault, 0, out);
        }
        self.finish_store(now, asked, store.cas.get(), record, out);
    }

    /// Serves a STORE whose record is proven.
    pub(crate) fn finish_store(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        cas: u64,
        record: &Record<'_>,
        out: &mut dyn Outbox,
    ) {
        // It may have begun to leave while the record was verified.
        if self.is_draining() {
            self.counters.refuse(Refusal::Draining);
            return self.fault(now, asked, Fault::Draining, 0, out);
        }
        if record.value.len() > INLINE_VALUE_LEN_MAX {
            // Whatever the store takes: this long a value travels by TCP.
            self.counters.refuse(Refusal::TooLong);
            return self.fault(now, asked, Fault::TooLong, 0, out);
        }
        let cas = Some(cas).filter(|cas| *cas != StoreBody::UNCONDITIONAL);
        if asked.head.flags().has(Flags::RECURSE) {
            let goal = Goal::Put {
                value: Value::of(record),
                cas,
                stored: crate::command::Stored::default(),
                phase: PutPhase::Finding,
            };
            return self.recurse(now, asked, goal, 0, out);
        }
        self.keep(now, asked, cas, record, None, out);
    }

    /// Stores a proven record here, and says so: at once, or where a proxy must know of it
    /// before, later. Whether it will be later. `stream` is the connection that the STORE came
    /// by, if it did not come by datagram.
    pub(crate) fn keep(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        cas: Option<u64>,
        record: &Record<'_>,
        stream: Option<u64>,
        out: &mut dyn Outbox,
    ) -> bool {
        let key = asked.head.target;
        let by_publisher = record.publisher == Publisher::Plain(&asked.head.sender);
        let put = Put { key, record, cas, source: SourceGroup(asked.source), by_publisher };
        match self.store.put(u64::from(now.mono.seconds()), &put) {
            Ok(Ack { durability, .. }) => {
                self.plan_republish(now);
                match self.acknowledge_later(now, asked, stream, durability) {
                    Acknowledge::Now => self.acknowledge(now, asked, durability, out),
                    Acknowledge::Later => return true,
                    Acknowledge::Never => {
                        self.counters.refuse(Refusal::Busy);
                        self.fault(now, asked, Fault::Busy, 0, out);
                    }
                }
            }
            Err(error) => {
                let (refusal, fault, sequence) = refusal_of(&error);
                self.counters.refuse(refusal);
                self.fault(now, asked, fault, sequence, out);
            }
        }
        false
    }

    /// Says that a value was stored.
    pub(crate) fn acknowledge(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        durability: Durability,
        out: &mut dyn Outbox,
    ) {
        self.reply(now, asked, Kind::Store, out, |emit, observed| {
            emit.head().arg = durability as u8;
            let _ = emit.body(&ReplyBody { observed, total: U16::new(1) });
        });
    }

    /// Checks that a record proves itself, within this second's budget of signatures.
    pub(crate) fn prove(
        &mut self,
        now: Now,
        key: &Id,
        record: &Record<'_>,
    ) -> Result<(), (Refusal, Fault)> {
        match self.admit(now, key, record)? {
            Proof::Given => Ok(()),
            Proof::Wanted => self.verify_here(key, record),
        }
    }

    /// Checks all of a record but its signature, for which it spends of this second's
    /// budget where one has to be verified.
    fn admit(
        &mut self,
        now: Now,
        key: &Id,
        record: &Record<'_>,
    ) -> Result<Proof, (Refusal, Fault)> {
        match record.publisher {
            // It was proven when it was stored.
            Publisher::Signed(_) if self.holds(now, key, record) => Ok(Proof::Given),
            Publisher::Signed(_)
                if !self.signatures.spend(self.config.signatures_per_s, now.mono) =>
            {
                Err((Refusal::Busy, Fault::Busy))
            }
            Publisher::Signed(_) => Ok(Proof::Wanted),
            Publisher::Plain(_) if !self.config.accept_plain => Err((Refusal::Plain, Fault::Plain)),
            Publisher::Plain(_) => Ok(Proof::Given),
            Publisher::Immutable => {
                let proof = verify(key, record).map(|()| Proof::Given);
                proof.map_err(|_| (Refusal::Hash, Fault::Hash))
            }
        }
    }

    /// Verifies a signed record on the calling thread.
    fn verify_here(&mut self, key: &Id, record: &Record<'_>) -> Result<(), (Refusal, Fault)> {
        self.counters.signatures_verified += 1;
        verify(key, record).map_err(|_| (Refusal::Signature, Fault::Signature))
    }

    /// Whether just this signed value is held, so that republishing it costs no signature.
    fn holds(&self, now: Now, key: &Id, record: &Record<'_>) -> bool {
        let Publisher::Signed(tail) = record.publisher else { return false };
        let now_s = u64::from(now.mono.seconds());
        let held = self.store.values(now_s, key, &Filter::Signed(tail.public_key));
        held.from(0).any(|held| held.publisher == record.publisher && held.value == record.value)
    }

    /// Bytes of a message of ours without a body: a PING, or a FAULT.
    fn bare_len(&self) -> usize {
        HEAD_LEN + if self.config.keys.is_keyed() { MAC_LEN } else { 0 }
    }

    /// Who is answerable for what comes from `peer`.
    pub(crate) fn source(&self, peer: &Endpoint) -> u64 {
        let exempt = peer.is_loopback() || self.config.keys.is_keyed() && peer.is_private();
        self.throttle.source(peer, exempt)
    }

    pub(crate) fn reply(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        kind: Kind,
        out: &mut dyn Outbox,
        fill: impl FnOnce(&mut Emit<'_, '_>, Endpoint),
    ) {
        let mut replier =
            Replier { id: self.id, keys: &self.config.keys, counters: &mut self.counters };
        replier.reply(now, asked, kind, out, fill);
    }

    /// Answers with the closest contacts, written from the table right into the reply.
    fn reply_with_contacts(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        kind: Kind,
        out: &mut dyn Outbox,
    ) {
        let k = usize::from(self.config.k);
        let (sharding, ceded) = (self.sharding.as_deref(), self.ceded.as_deref());
        let known = Known { tables: &self.tables, sharding, ceded, k };
        let mut replier =
            Replier { id: self.id, keys: &self.config.keys, counters: &mut self.counters };
        replier.reply(now, asked, kind, out, |emit, observed| {
            let (head, peer) = (asked.head, &asked.route.peer);
            emit_contacts(emit, observed, kind == Kind::FindNode, |telling| {
                let (target, flags, asker) = (&head.target, head.flags(), &head.sender);
                if telling.places.len() < k {
                    // Those that fit are to be the nearest of them.
                    telling.hear(known.closest_for(target, flags, peer, asker).as_slice().iter());
                } else {
                    known.tell_closest_for(target, flags, peer, asker, telling);
                }
            });
        });
    }

    /// Refuses a request. Sends nothing if the FAULT were longer than the request.
    pub(crate) fn fault(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        fault: Fault,
        sequence: u64,
        out: &mut dyn Outbox,
    ) {
        let kinds = Kind::ALL.iter().fold(0, |bits, kind| bits | 1 << (*kind as u8));
        let waits = matches!(fault, Fault::Busy | Fault::Recurse);
        let detail = FaultDetail {
            version_min: VERSION_MIN,
            version_max: VERSION,
            kinds: U16::new(kinds),
            value_len_max: U32::new(self.config.store.value_len_max),
            sequence: U64::new(sequence),
            retry_ms: U32::new(if waits { RETRY_MS } else { 0 }),
        };
        if asked.reply_len_max < self.bare_len() {
            return;
        }
        self.reply(now, asked, Kind::Fault, out, |emit, _| {
            let head = emit.head();
            head.arg = fault as u8;
            head.target = detail.to_target();
        });
    }
}

/// What a reply is made of, apart from the store that it may borrow from.
struct Replier<'a> {
    id: Id,
    keys: &'a kdht_wire::KeyRing,
    counters: &'a mut crate::counters::Counters,
}

impl Replier<'_> {
    // There is one of it for each `fill`, and so for each caller.
    #[inline(always)]
    pub(crate) fn reply(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        kind: Kind,
        out: &mut dyn Outbox,
        fill: impl FnOnce(&mut Emit<'_, '_>, Endpoint),
    ) {
        let Some(slot) = out.slot(asked.route) else {
            return self.counters.refuse(Refusal::Outbox);
        };
        let mut head = Head::request(kind, asked.head.tx_id.get(), asked.head.target, self.id);
        head.flags = U16::new(Flags::REPLY.0);
        head.time_s = U32::new(now.unix_s);
        head.cookie = U64::new(asked.fresh_cookie);
        let emit = Emit::datagram(slot, head, self.keys.signing(), asked.reply_len_max);
        let Ok(mut emit) = emit else {
            // Three times the shortest request holds a head; only a FAULT's limit is less.
            return self.counters.refuse(Refusal::Outbox);
        };
        fill(&mut emit, asked.route.peer);
        let len = emit.finish();
        out.commit(len);
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += len as u64;
        self.counters.replies_out.add(kind);
    }
}

/// Lays out as many as fit of the contacts, at most 20, that `each` tells.
#[inline(always)]
pub(crate) fn emit_contacts(
    emit: &mut Emit<'_, '_>,
    observed: Endpoint,
    tell_total: bool,
    each: impl FnOnce(&mut Telling<'_>),
) {
    let _ = emit.body(&ReplyBody { observed, total: U16::ZERO });
    let (mut known, mut is_cut) = (0, false);
    emit.contacts(|places| {
        let free = places.len();
        let mut telling = Telling { places, known: 0 };
        each(&mut telling);
        known = u16::try_from(telling.known).unwrap_or(u16::MAX);
        is_cut = telling.known > free;
        telling.known.min(free)
    });
    if tell_total {
        emit.total(known);
    }
    if is_cut {
        set_more(emit);
    }
}

/// The contacts of a reply while they are laid out.
#[derive(Default)]
pub(crate) struct Telling<'a> {
    places: &'a mut [Contact],
    /// How many there would be if all fitted.
    known: usize,
}

impl Hear for Telling<'_> {
    #[inline(always)]
    fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>) {
        // Taken out: in `self` they might be what is written to.
        let Self { places, known } = core::mem::take(self);
        let (mut contacts, mut told) = (contacts, 0);
        for (place, contact) in places.iter_mut().skip(known).zip(contacts.by_ref()) {
            contact.tell(place);
            told += 1;
        }
        *self = Self { places, known: known + told + contacts.count() };
    }

    #[inline(always)]
    fn hear_picked<C: Told>(&mut self, contacts: &[C], picked: u64) {
        if let Some(places) = self.places.get_mut(self.known..) {
            lay_picked(contacts, picked, places);
        }
        self.known += picked.count_ones() as usize;
    }
}

/// Lays out as many of `records` as fit.
pub(crate) fn emit_records<'r>(
    emit: &mut Emit<'_, '_>,
    observed: Endpoint,
    total: u16,
    records: impl Iterator<Item = Record<'r>>,
) {
    let _ = emit.body(&ReplyBody { observed, total: U16::new(total) });
    for record in records {
        let too_long = record.value.len() > INLINE_VALUE_LEN_MAX;
        let record = if too_long { record.announced() } else { record };
        if emit.record(&record).is_err() {
            return set_more(emit);
        }
    }
}

pub(crate) fn set_more(emit: &mut Emit<'_, '_>) {
    let head = emit.head();
    head.flags = U16::new(Flags(head.flags.get()).with(Flags::MORE).0);
}

pub(crate) fn refusal_of(error: &PutError) -> (Refusal, Fault, u64) {
    match *error {
        PutError::TooLong { .. } => (Refusal::TooLong, Fault::TooLong, 0),
        PutError::Sequence { held } => (Refusal::Sequence, Fault::Sequence, held),
        PutError::Cas { held } => (Refusal::Cas, Fault::Cas, held),
        PutError::KeyFull { .. } => (Refusal::KeyFull, Fault::KeyFull, 0),
        PutError::SourceFull { .. } => (Refusal::SourceFull, Fault::SourceFull, 0),
        PutError::Expired => (Refusal::Expired, Fault::Expired, 0),
        // Full, and whatever a later version of the store adds to its errors.
        _ => (Refusal::Full, Fault::Full, 0),
    }
}
