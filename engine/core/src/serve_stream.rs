//! Requests of others by TCP. As for datagrams, but whoever asks has proven its endpoint,
//! values come and go whole, and nobody is met for the first time: a connection's other end
//! is not where its node answers.

use alloc::vec::Vec;

use kdht_store::{Storage, Unproven};
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Fault, FindValueBody, Flags, HEAD_LEN, Head, Id, Kind, MAC_LEN,
    Message, Outline, Publisher, Record, ReplyBody, STREAM_LEN_MAX, StoreBody,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::command::{Event, Outcome, Stored, Value};
use crate::counters::Refusal;
use crate::node::Node;
use crate::operation::{Asker, Found, Goal, Operation, PutPhase};
use crate::outbox::{Outbox, Route};
use crate::serve::{Asked, set_more, weight, weight_of_len};
use crate::stream::{StreamCheck, StreamRequest, StreamServed};
use crate::time::Now;

/// Most bytes of a reply without its MAC.
const REPLY_LEN_MAX: usize = STREAM_LEN_MAX - MAC_LEN;
/// Most records that a reply counts.
const RECORDS_MAX: usize = u8::MAX as usize;

/// Where a reply that is no longer than a datagram is laid.
struct Page<'a>(&'a mut Vec<u8>);

impl Outbox for Page<'_> {
    fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
        self.0.clear();
        self.0.resize(DATAGRAM_LEN_MAX, 0);
        Some(self.0)
    }

    fn commit(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// What is particular to one request by TCP.
struct Served<'a> {
    now: Now,
    asked: &'a Asked<'a>,
    request: &'a StreamRequest<'a>,
    /// Whether the whole lookup is wanted.
    recurse: bool,
}

impl Node {
    /// Takes one whole message that came by TCP, and lays the answer into `reply`, which
    /// grows to at most [`STREAM_LEN_MAX`] bytes; a lookup done for the asker sends its
    /// own requests through `out`. The same checks in the same order as for datagrams.
    ///
    /// O(k), and a copy of the values that come or go.
    pub fn handle_stream_request(
        &mut self,
        now: Now,
        request: &StreamRequest<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> StreamServed {
        reply.clear();
        let served = self.serve_stream(now, request, reply, out);
        self.send_jobs(now);
        match served {
            Err(refusal) => {
                self.counters.refuse(refusal);
                StreamServed::Refused
            }
            Ok(StreamServed::Answered) if reply.is_empty() => StreamServed::Refused,
            Ok(served) => served,
        }
    }

    fn serve_stream(
        &mut self,
        now: Now,
        request: &StreamRequest<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> Result<StreamServed, Refusal> {
        let bytes = request.bytes;
        if bytes.len() > STREAM_LEN_MAX {
            return Err(Refusal::Oversize);
        }
        let outline = Outline::parse(bytes)?;
        request.check.mac(bytes, &self.config.keys, now.unix_s)?;
        let route = Route { peer: request.peer, local: request.local };
        let message = match Message::parse_stream(bytes) {
            Ok(message) => message,
            Err(error) => {
                self.counters.refuse(error.into());
                self.onto_page(reply, |node, page| {
                    node.answer_unparsed(now, &route, &outline, error, bytes.len(), page);
                });
                return Ok(StreamServed::Answered);
            }
        };
        let head = message.head;
        if head.is_reply() {
            return Err(Refusal::Unmatched);
        }
        if head.sender == self.id {
            return Err(Refusal::OwnId);
        }
        if self.config.client {
            return Err(Refusal::Client);
        }
        let source = self.source(&request.peer);
        if !self.throttle.allow(source, weight(&message), now.mono) {
            return Err(Refusal::Throttled);
        }
        self.counters.requests_in.add(message.kind);
        let is_find = matches!(message.body, Body::FindNode | Body::FindValue(_));
        let may_forward = is_find && head.flags().has(Flags::FORWARD);
        if may_forward && message.extensions.forward().is_some() {
            return Err(Refusal::Forward);
        }
        let asked = Asked {
            route: &route,
            head,
            proven: true,
            fresh_cookie: self.cookies.check(&request.peer, 0, now.mono).fresh,
            reply_len_max: usize::MAX,
            source,
        };
        let recurse = head.flags().has(Flags::RECURSE);
        let served = Served { now, asked: &asked, request, recurse };
        self.serve_stream_body(&served, &message, reply, out)
    }

    fn serve_stream_body(
        &mut self,
        served: &Served<'_>,
        message: &Message<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> Result<StreamServed, Refusal> {
        let (now, asked) = (served.now, served.asked);
        match &message.body {
            Body::Ping => self.onto_page(reply, |node, page| node.serve_ping(now, asked, page)),
            Body::FindNode if served.recurse => {
                return Ok(self.recurse_by_stream(served, Goal::FindNode, 0, reply, out));
            }
            Body::FindNode => {
                self.onto_page(reply, |node, page| node.serve_find_node(now, asked, page));
            }
            Body::FindValue(body) if served.recurse => {
                let goal = Goal::FindValue {
                    filter: body.filter().unwrap_or_default(),
                    values_max: u16::from(u8::MAX),
                    holders: 1,
                    found: Found::default(),
                };
                return Ok(self.recurse_by_stream(served, goal, body.cursor.get(), reply, out));
            }
            Body::FindValue(body) => self.serve_values_by_stream(served, body, reply)?,
            Body::Store { store, record } => {
                return Ok(self.serve_store_by_stream(served, store, record, reply, out));
            }
            // Replies are told apart before; there is no other request.
            _ => {}
        }
        Ok(StreamServed::Answered)
    }

    fn serve_values_by_stream(
        &mut self,
        served: &Served<'_>,
        body: &FindValueBody,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let (now, asked) = (served.now, served.asked);
        let filter = body.filter().unwrap_or_default();
        let values = self.store.values(u64::from(now.mono.seconds()), &asked.head.target, &filter);
        let total = values.total();
        if total == 0 {
            let find = |node: &mut Self, page: &mut Page<'_>| {
                node.serve_find_value(now, asked, body, page);
            };
            self.onto_page(reply, find);
            return Ok(());
        }
        let cursor = body.cursor.get();
        let len = values_len(values.from(cursor));
        if !self.throttle.allow(asked.source, weight_of_len(len), now.mono) {
            return Err(Refusal::Throttled);
        }
        let head = reply_head(now, asked, Kind::FindValue, self.id);
        lay_out_values(reply, head, asked, total, len, values.from(cursor));
        self.counters.replies_out.add(Kind::FindValue);
        Ok(())
    }

    fn serve_store_by_stream(
        &mut self,
        served: &Served<'_>,
        store: &StoreBody,
        record: &Record<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> StreamServed {
        let (now, asked) = (served.now, served.asked);
        let key = asked.head.target;
        let proven = if self.is_draining() {
            Err((Refusal::Draining, Fault::Draining))
        } else {
            self.prove_by_stream(now, &key, record, served.request.check)
        };
        if let Err((refusal, fault)) = proven {
            return self.refuse_by_stream(served, refusal, fault, reply);
        }
        let cas = Some(store.cas.get()).filter(|cas| *cas != StoreBody::UNCONDITIONAL);
        if served.recurse {
            let (stored, phase) = (Stored::default(), PutPhase::Finding);
            let goal = Goal::Put { value: Value::of(record), cas, stored, phase };
            return self.recurse_by_stream(served, goal, 0, reply, out);
        }
        let (stream, mut is_later) = (Some(served.request.stream), false);
        self.onto_page(reply, |node, page| {
            is_later = node.keep(now, asked, cas, record, stream, page);
        });
        if is_later { StreamServed::Later } else { StreamServed::Answered }
    }

    /// Whether a record proves itself, by what was found out about it elsewhere.
    fn prove_by_stream(
        &mut self,
        now: Now,
        key: &Id,
        record: &Record<'_>,
        check: &StreamCheck,
    ) -> Result<(), (Refusal, Fault)> {
        match check.proof() {
            Some(_) if !self.accepts_kind_of(record) => Err((Refusal::Plain, Fault::Plain)),
            Some(Err(Unproven::Hash)) => Err((Refusal::Hash, Fault::Hash)),
            Some(Err(Unproven::Signature)) => Err((Refusal::Signature, Fault::Signature)),
            Some(Ok(())) => Ok(()),
            None => self.prove(now, key, record),
        }
    }

    /// Whether values that prove themselves as this one does are held here.
    pub(crate) fn accepts_kind_of(&self, record: &Record<'_>) -> bool {
        self.config.accept_plain || !matches!(record.publisher, Publisher::Plain(_))
    }

    fn recurse_by_stream(
        &mut self,
        served: &Served<'_>,
        goal: Goal,
        cursor: u16,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> StreamServed {
        let asked = served.asked;
        let asker = Asker {
            route: *asked.route,
            tx_id: asked.head.tx_id.get(),
            id: asked.head.sender,
            cursor,
            stream: Some(served.request.stream),
        };
        if self.begin_recursion(served.now, &asked.head.target, goal, asker, out) {
            return StreamServed::Later;
        }
        self.refuse_by_stream(served, Refusal::Recurse, Fault::Recurse, reply)
    }

    fn refuse_by_stream(
        &mut self,
        served: &Served<'_>,
        refusal: Refusal,
        fault: Fault,
        reply: &mut Vec<u8>,
    ) -> StreamServed {
        self.counters.refuse(refusal);
        self.onto_page(reply, |node, page| {
            node.fault(served.now, served.asked, fault, 0, page);
        });
        StreamServed::Answered
    }

    /// Answers one of those who asked with RECURSE, by the way that it asked.
    pub(crate) fn answer_by_its_way(
        &mut self,
        now: Now,
        asker: &Asker,
        operation: &Operation,
        outcome: &Outcome,
        out: &mut dyn Outbox,
    ) {
        let Some(stream) = asker.stream else {
            return self.answer_asker(now, asker, operation, outcome, out);
        };
        self.reply_by_stream(stream, |node, page| {
            node.answer_asker(now, asker, operation, outcome, page);
        });
    }

    /// Answers a request that came by TCP, and was not answered at once.
    pub(crate) fn reply_by_stream(
        &mut self,
        stream: u64,
        lay: impl FnOnce(&mut Self, &mut dyn Outbox),
    ) {
        let mut bytes = Vec::new();
        self.onto_page(&mut bytes, |node, page| lay(node, page));
        if !bytes.is_empty() {
            self.tell(Event::StreamReply { stream, bytes });
        }
    }

    /// Tells the values that a lookup found for an asker by TCP, whole.
    pub(crate) fn tell_values<'r>(
        &mut self,
        now: Now,
        stream: u64,
        asked: &Asked<'_>,
        total: u16,
        records: impl Iterator<Item = Record<'r>> + Clone,
    ) {
        let head = reply_head(now, asked, Kind::FindValue, self.id);
        let mut bytes = Vec::new();
        lay_out_values(&mut bytes, head, asked, total, values_len(records.clone()), records);
        self.counters.replies_out.add(Kind::FindValue);
        self.tell(Event::StreamReply { stream, bytes });
    }

    /// Lets a reply that is laid out as a datagram be laid into `reply`, where it is none
    /// and does not count as one.
    fn onto_page(&mut self, reply: &mut Vec<u8>, lay: impl FnOnce(&mut Self, &mut Page<'_>)) {
        let before = (self.counters.datagrams_out, self.counters.bytes_out);
        lay(self, &mut Page(reply));
        (self.counters.datagrams_out, self.counters.bytes_out) = before;
    }
}

fn reply_head(now: Now, asked: &Asked<'_>, kind: Kind, id: Id) -> Head {
    let mut head = Head::request(kind, asked.head.tx_id.get(), asked.head.target, id);
    head.flags = U16::new(Flags::REPLY.0);
    head.time_s = U32::new(now.unix_s);
    head.cookie = U64::new(asked.fresh_cookie);
    head
}

/// Bytes of a reply with as many of `records` as one holds.
fn values_len<'r>(records: impl Iterator<Item = Record<'r>>) -> usize {
    let mut len = HEAD_LEN + size_of::<ReplyBody>();
    for record in records.take(RECORDS_MAX) {
        if len + record.wire_len() > REPLY_LEN_MAX {
            break;
        }
        len += record.wire_len();
    }
    len
}

/// Lays out a reply of `len` bytes, in which that many bytes' worth of `records` stand.
fn lay_out_values<'r>(
    reply: &mut Vec<u8>,
    head: Head,
    asked: &Asked<'_>,
    total: u16,
    len: usize,
    records: impl Iterator<Item = Record<'r>>,
) {
    reply.clear();
    // Room for the MAC, which whoever seals it adds.
    reply.reserve(len + MAC_LEN);
    reply.resize(len, 0);
    let Ok(mut emit) = Emit::stream(reply, head, None) else { return };
    let observed = asked.route.peer;
    let _ = emit.body(&ReplyBody { observed, total: U16::new(total) });
    for record in records {
        if emit.record(&record).is_err() {
            set_more(&mut emit);
            break;
        }
    }
    let _ = emit.finish();
}
