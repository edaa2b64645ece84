//! Requests of ours: how they leave, and what their answers lead to.

use kdht_wire::{
    Body, Contact, Emit, EmitError, Endpoint, FindValueBody, Flags, Head, Id, Kind, Message,
    Record, StoreBody,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::contact::Answer;
use crate::contacts::TableKind;
use crate::counters::Refusal;
use crate::node::Node;
use crate::outbox::{Outbox, Route};
use crate::pending::{Due, Intent, Patience, Pending, Purpose, Way};
use crate::table::Advice;
use crate::time::Now;

/// Probes in flight at once: replies that name a victim under a thousand ids cause no
/// more than this many datagrams to it, or to all others together.
const PROBES_MAX: usize = 32;
/// The same of a node that knows the whole network, and has to ask it whether it is alive.
const WIDE_PROBES_MAX: usize = 512;

/// Bytes that draw a PING reply without a cookie, and the two pings by which the other side
/// gets to know us.
const PING_LEN_MIN: usize = 88;
/// Bytes that draw a whole FIND_NODE reply and two pings without a cookie.
const FIND_NODE_LEN_MIN: usize = 352;
/// Bytes that draw any reply and two pings without a cookie.
const FIND_VALUE_LEN_MIN: usize = 464;

/// One request, ready to be laid out.
pub(crate) struct Ask<'a> {
    pub(crate) intent: Intent,
    pub(crate) flags: Flags,
    /// The peer's cookie; zero: whichever the table knows.
    pub(crate) cookie: u64,
    pub(crate) target: Id,
    pub(crate) body: AskBody<'a>,
}

/// What follows a request's head.
pub(crate) enum AskBody<'a> {
    Empty,
    FindValue(FindValueBody),
    Store(StoreBody, Record<'a>),
}

impl Node {
    /// Sends a request. False if no more can be in flight, or there is no way to send.
    pub(crate) fn ask(&mut self, now: Now, ask: &Ask<'_>, out: &mut dyn Outbox) -> bool {
        let intent = &ask.intent;
        if !self.has_family_of(&intent.endpoint) {
            return false;
        }
        let table = usize::from(!intent.endpoint.is_v4());
        let peer = self.tables[table].peer(&intent.expected);
        let peer = peer.filter(|peer| peer.endpoint == intent.endpoint);
        let patience = if ask.flags.has(Flags::RECURSE) {
            Patience::RECURSION
        } else if intent.way == Way::Forwarded {
            // Others' round trips are waited for, too.
            self.round_trips.patience(None, &self.config.timeouts).forwarded()
        } else {
            self.round_trips.patience(peer, &self.config.timeouts)
        };
        let cookie = match ask.cookie {
            0 => peer.map_or(0, |peer| peer.cookie(now.mono)),
            cookie => cookie,
        };
        let begun = self.requests.begin(intent, patience, &mut self.rng, now.mono);
        let Some(tx_id) = begun else { return false };
        let Some(slot) = out.slot(&Route::to(intent.endpoint)) else {
            // It fails by its timeout, like a datagram lost on the way.
            self.counters.refuse(Refusal::Outbox);
            return true;
        };
        let mut head = Head::request(intent.kind, tx_id, ask.target, self.id);
        let client = if self.config.client { Flags::CLIENT } else { Flags::default() };
        head.flags = U16::new(ask.flags.with(client).0);
        head.time_s = U32::new(now.unix_s);
        head.cookie = U64::new(cookie);
        let Ok(len) = lay_out(slot, head, ask, self.config.keys.signing()) else {
            // Commands whose value does not fit are refused before they begin.
            return true;
        };
        out.commit(len);
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += len as u64;
        self.counters.requests_out.add(intent.kind);
        true
    }

    /// Probes that may be in flight at once.
    pub(crate) fn probes_max(&self) -> usize {
        match self.config.table {
            TableKind::KBucket => PROBES_MAX,
            TableKind::Wide(_) => WIDE_PROBES_MAX,
        }
    }

    /// Pings `contact` to see whether it is alive, unless enough probes are in flight or
    /// its endpoint is being asked something already.
    pub(crate) fn probe(&mut self, now: Now, contact: &Contact, out: &mut dyn Outbox) {
        if self.may_probe(contact) {
            self.ping(now, contact.endpoint, contact.id, Purpose::Probe, out);
        }
    }

    pub(crate) fn may_probe(&self, contact: &Contact) -> bool {
        self.requests.probes() < self.probes_max()
            && contact.endpoint.is_reachable()
            && !self.requests.waits_for(&contact.endpoint)
    }

    pub(crate) fn ping(
        &mut self,
        now: Now,
        endpoint: Endpoint,
        expected: Id,
        purpose: Purpose,
        out: &mut dyn Outbox,
    ) -> bool {
        let intent = Intent::new(endpoint, expected, Kind::Ping, purpose);
        let ask = Ask {
            intent,
            flags: Flags::default(),
            cookie: 0,
            target: self.id,
            body: AskBody::Empty,
        };
        self.ask(now, &ask, out)
    }

    /// Does what the table advised.
    pub(crate) fn follow(&mut self, now: Now, advice: Advice, out: &mut dyn Outbox) {
        match advice {
            Advice::Rest => return,
            Advice::Probe(contact) => self.probe(now, &contact, out),
            Advice::Contest(oldest, newcomer) => {
                self.probe(now, &oldest, out);
                self.probe(now, &newcomer, out);
            }
        }
        self.look_over_contacts_soon(now);
    }

    pub(crate) fn handle_reply(
        &mut self,
        now: Now,
        route: &Route,
        message: &Message<'_>,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) {
        let head = message.head;
        if head.sender == self.id {
            return self.counters.refuse(Refusal::OwnId);
        }
        let Some(pending) = self.requests.finish(head, &route.peer) else {
            return self.counters.refuse(Refusal::Unmatched);
        };
        self.counters.replies_in.add(message.kind);
        if let Body::Fault(fault, _) = message.body {
            self.counters.fault(fault);
        }
        if pending.way != Way::Stranger {
            let rtt_us = now.mono.us_since(pending.sent);
            self.round_trips.measured(rtt_us);
            self.note_observed(&route.peer, message);
            let answer = Answer { rtt_us, cookie: head.cookie.get() };
            if !self.is_own_endpoint(&route.peer) {
                self.answered(now, &head.sender, &route.peer, &answer);
            }
        }
        match pending.purpose {
            Purpose::Probe => self.heard_of_neighbours(now, message, out),
            Purpose::Cache => {}
            Purpose::Bootstrap => {
                self.bootstrap_answered(now, Contact::new(head.sender, route.peer), out);
            }
            Purpose::Operation(key) => {
                if !self.park_reply(now, key, &pending, message, bytes) {
                    self.operation_answered(now, key, &pending, message, bytes, None, out);
                }
            }
        }
    }

    /// Sets aside what is overdue and gives up what has failed.
    pub(crate) fn handle_due_requests(&mut self, now: Now, out: &mut dyn Outbox) {
        let mut from = 0;
        while let Some(due) = self.requests.due(&mut from, now.mono) {
            match due {
                Due::Slow(pending) => {
                    if let Purpose::Operation(key) = pending.purpose {
                        self.operation_slow(now, key, &pending, out);
                    }
                }
                Due::Failed(pending) if pending.is_stream() => {
                    self.counters.timeouts += 1;
                    self.stream_failed(now, &pending, out);
                }
                Due::Failed(pending) => {
                    self.counters.timeouts += 1;
                    // Of a forwarded one nobody knows who left it unanswered.
                    let is_charged = pending.expected != Id::ZERO && pending.way == Way::Direct;
                    if is_charged && !self.is_own_outage(now, &pending, out) {
                        let Pending { expected, endpoint, sent, .. } = pending;
                        self.failed(now, &expected, &endpoint, sent, out);
                    }
                    match pending.purpose {
                        Purpose::Probe | Purpose::Cache => {}
                        Purpose::Bootstrap => self.bootstrap_failed(now),
                        Purpose::Operation(key) => {
                            self.operation_failed(now, key, &pending, out);
                        }
                    }
                }
            }
        }
    }
}

fn lay_out(
    slot: &mut [u8],
    head: Head,
    ask: &Ask<'_>,
    key: Option<&kdht_wire::NetworkKey>,
) -> Result<usize, EmitError> {
    let unproven = head.cookie.get() == 0;
    let mut emit = Emit::datagram(slot, head, key, usize::MAX)?;
    match &ask.body {
        AskBody::Empty => {}
        AskBody::FindValue(body) => emit.body(body)?,
        AskBody::Store(body, record) => {
            emit.body(body)?;
            emit.store_record(record)?;
        }
    }
    match ask.intent.kind {
        Kind::Ping if ask.intent.purpose == Purpose::Bootstrap => emit.pad_to(PING_LEN_MIN),
        Kind::FindNode if unproven => emit.pad_to(FIND_NODE_LEN_MIN),
        Kind::FindValue if unproven => emit.pad_to(FIND_VALUE_LEN_MIN),
        _ => {}
    }
    Ok(emit.finish())
}
