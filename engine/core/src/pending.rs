//! Requests of ours that wait for an answer.

use alloc::vec::Vec;

use kdht_wire::{Endpoint, Head, Id, Kind};

use crate::config::Timeouts;
use crate::contact::Peer;
use crate::operation::OperationKey;
use crate::rng::Rng;
use crate::stream::{STREAM_ASKS_MAX, STREAM_BYTES_MAX};
use crate::time::{NS_PER_MS, NS_PER_S, Nanos};

/// Why a request was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// To see whether a contact is alive.
    Probe,
    /// To enter the network.
    Bootstrap,
    /// For an operation.
    Operation(OperationKey),
    /// To cache a value; nobody waits for the answer.
    Cache,
}

/// From whom a request is answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Way {
    /// From whom it was sent to.
    #[default]
    Direct,
    /// From whom it was sent to, or whoever it was forwarded to (FORMAT.md §8.3).
    Forwarded,
    /// It was forwarded, and one who was not asked answered: `endpoint` and `expected` are
    /// that one's.
    Stranger,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) tx_id: u64,
    pub(crate) endpoint: Endpoint,
    /// Who must answer; [`Id::ZERO`]: whoever is there.
    pub(crate) expected: Id,
    pub(crate) kind: Kind,
    pub(crate) purpose: Purpose,
    /// Whether it was sent before, without the cookie that it needs.
    pub(crate) is_retry: bool,
    pub(crate) way: Way,
    pub(crate) sent: Nanos,
    /// [`Requests::heard`] when it was sent.
    heard: u32,
    slow_at: Nanos,
    fail_at: Nanos,
    is_slow: bool,
    /// Bytes that it sends or waits for by TCP; nothing: it is a datagram.
    stream_len: Option<u32>,
}

impl Pending {
    /// Whether it went by TCP.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream_len.is_some()
    }
}

/// What is known of a request before it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intent {
    pub(crate) endpoint: Endpoint,
    /// Who must answer; [`Id::ZERO`]: whoever is there.
    pub(crate) expected: Id,
    pub(crate) kind: Kind,
    pub(crate) purpose: Purpose,
    pub(crate) is_retry: bool,
    pub(crate) way: Way,
}

impl Intent {
    /// A first try.
    pub(crate) fn new(endpoint: Endpoint, expected: Id, kind: Kind, purpose: Purpose) -> Self {
        Self { endpoint, expected, kind, purpose, is_retry: false, way: Way::Direct }
    }
}

/// What became of a request without an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// It is overdue, and still waited for.
    Slow(Pending),
    /// It has failed, and is forgotten.
    Failed(Pending),
}

/// When to give a request up, as times from its sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    slow_ns: u64,
    fail_ns: u64,
}

impl Patience {
    /// For a node that does a whole lookup before it answers (FORMAT.md §8.2).
    pub(crate) const RECURSION: Self = Self { slow_ns: RECURSION_NS, fail_ns: RECURSION_NS };

    /// For a request that may travel over a hop or two before it is answered: it is overdue
    /// after twice as long.
    pub(crate) fn forwarded(self) -> Self {
        Self { slow_ns: self.slow_ns.saturating_mul(2).min(self.fail_ns), ..self }
    }

    /// For so long, and never slow before.
    pub(crate) fn of_ms(ms: u32) -> Self {
        let ns = u64::from(ms) * NS_PER_MS;
        Self { slow_ns: ns, fail_ns: ns }
    }
}

const RECURSION_NS: u64 = 10 * NS_PER_S;

/// The node's requests in flight, in a fixed number of places.
///
/// A transaction id is the shard, 40 random bits, and the place: an answer finds its
/// request without a search, and a stranger cannot guess one.
#[derive(Debug)]
pub(crate) struct Requests {
    places: Vec<Option<Pending>>,
    free: Vec<u16>,
    places_max: usize,
    shard: u8,
    /// No request is due before this.
    next_due: Nanos,
    probes: usize,
    /// By TCP: how many, and bytes of them all.
    streams: usize,
    stream_bytes: u64,
    /// Messages that came in so far, modulo 2³².
    heard: u32,
}

const NEVER: Nanos = Nanos(u64::MAX);

impl Requests {
    pub(crate) fn new(places_max: u16, shard: u8) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            places_max: usize::from(places_max),
            shard,
            next_due: NEVER,
            probes: 0,
            streams: 0,
            stream_bytes: 0,
            heard: 0,
        }
    }

    /// A message came in, whatever it was.
    pub(crate) fn heard(&mut self) {
        self.heard = self.heard.wrapping_add(1);
    }

    /// Whether any message came in since a request was sent.
    pub(crate) fn was_heard_since(&self, pending: &Pending) -> bool {
        self.heard != pending.heard
    }

    /// Takes a place for a request, or nothing if all are taken.
    pub(crate) fn begin(
        &mut self,
        intent: &Intent,
        patience: Patience,
        rng: &mut Rng,
        now: Nanos,
    ) -> Option<u64> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u16::try_from(self.places.len()).ok()?;
                if self.places.len() >= self.places_max {
                    return None;
                }
                self.places.push(None);
                place
            }
        };
        let nonce = rng.next_u64() & 0x00ff_ffff_ffff_0000;
        let tx_id = u64::from(self.shard) << 56 | nonce | u64::from(place);
        let slow_at = Nanos(now.0.saturating_add(patience.slow_ns));
        let fail_at = Nanos(now.0.saturating_add(patience.fail_ns));
        self.next_due = self.next_due.min(slow_at);
        self.probes += usize::from(intent.purpose == Purpose::Probe);
        self.places[usize::from(place)] = Some(Pending {
            tx_id,
            endpoint: intent.endpoint,
            expected: intent.expected,
            kind: intent.kind,
            purpose: intent.purpose,
            is_retry: intent.is_retry,
            way: intent.way,
            sent: now,
            heard: self.heard,
            slow_at,
            fail_at,
            is_slow: false,
            stream_len: None,
        });
        Some(tx_id)
    }

    /// Takes a place for a request by TCP that sends or waits for `len` bytes.
    pub(crate) fn begin_stream(
        &mut self,
        intent: &Intent,
        patience: Patience,
        len: u32,
        rng: &mut Rng,
        now: Nanos,
    ) -> Option<u64> {
        let tx_id = self.begin(intent, patience, rng, now)?;
        let pending = self.places[place_of(tx_id)].as_mut()?;
        pending.stream_len = Some(len);
        self.streams += 1;
        self.stream_bytes += u64::from(len);
        Some(tx_id)
    }

    /// Whether one more request by TCP, of `len` bytes, may be in flight. The first one
    /// always may.
    pub(crate) fn has_stream_room(&self, len: u32) -> bool {
        let fits = self.stream_bytes + u64::from(len) <= STREAM_BYTES_MAX;
        self.streams == 0 || self.streams < STREAM_ASKS_MAX && fits
    }

    /// The request that this reply answers: transaction, endpoint, sender and kind must
    /// all be as asked (a FAULT answers every kind). One that was sent to be forwarded is
    /// answered by whoever knows its transaction. It is forgotten.
    pub(crate) fn finish(&mut self, reply: &Head, endpoint: &Endpoint) -> Option<Pending> {
        self.finish_by(reply, endpoint, false)
    }

    /// As [`Requests::finish`], of a request by TCP.
    pub(crate) fn finish_stream(&mut self, reply: &Head, endpoint: &Endpoint) -> Option<Pending> {
        self.finish_by(reply, endpoint, true)
    }

    /// Forgets a request by TCP, if it is still waited for.
    pub(crate) fn cancel_stream(&mut self, tx_id: u64, endpoint: &Endpoint) -> Option<Pending> {
        let place = place_of(tx_id);
        let pending = self.places.get(place)?.as_ref()?;
        if pending.tx_id != tx_id || pending.endpoint != *endpoint || !pending.is_stream() {
            return None;
        }
        self.forget(place)
    }

    fn finish_by(&mut self, reply: &Head, endpoint: &Endpoint, stream: bool) -> Option<Pending> {
        let tx_id = reply.tx_id.get();
        let place = place_of(tx_id);
        let pending = self.places.get(place)?.as_ref()?;
        if pending.is_stream() != stream {
            return None;
        }
        let expected = pending.expected == Id::ZERO || pending.expected == reply.sender;
        let kind = reply.kind == pending.kind as u8 || reply.kind == Kind::Fault as u8;
        let is_asked = expected && pending.endpoint == *endpoint;
        let is_forwarded = pending.way == Way::Forwarded;
        if pending.tx_id != tx_id || !(is_asked || is_forwarded) || !kind {
            return None;
        }
        let mut pending = self.forget(place)?;
        if is_forwarded && !is_asked {
            pending.way = Way::Stranger;
            (pending.endpoint, pending.expected) = (*endpoint, reply.sender);
        }
        Some(pending)
    }

    /// The next request that is due, from place `from` on; call until nothing is left.
    pub(crate) fn due(&mut self, from: &mut usize, now: Nanos) -> Option<Due> {
        if now < self.next_due {
            return None;
        }
        while *from < self.places.len() {
            let place = *from;
            *from += 1;
            let Some(pending) = self.places[place].as_mut() else { continue };
            if now >= pending.fail_at {
                return self.forget(place).map(Due::Failed);
            }
            if now >= pending.slow_at && !pending.is_slow {
                pending.is_slow = true;
                return Some(Due::Slow(*pending));
            }
        }
        let due = |p: &Pending| if p.is_slow { p.fail_at } else { p.slow_at };
        self.next_due = self.places.iter().flatten().map(due).min().unwrap_or(NEVER);
        None
    }

    /// When [`Requests::due`] has something at the earliest.
    pub(crate) fn next_due(&self) -> Nanos {
        self.next_due
    }

    /// Probes in flight.
    pub(crate) fn probes(&self) -> usize {
        self.probes
    }

    /// Whether anything sent to `endpoint` waits for its answer. O(places).
    pub(crate) fn waits_for(&self, endpoint: &Endpoint) -> bool {
        self.places.iter().flatten().any(|pending| pending.endpoint == *endpoint)
    }

    /// Gives memory back while nothing is in flight.
    pub(crate) fn release(&mut self) {
        if self.free.len() == self.places.len() {
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }

    fn forget(&mut self, place: usize) -> Option<Pending> {
        let pending = self.places[place].take()?;
        self.probes -= usize::from(pending.purpose == Purpose::Probe);
        if let Some(len) = pending.stream_len {
            self.streams -= 1;
            self.stream_bytes -= u64::from(len);
        }
        // Places fit in 16 bits since they were handed out as such.
        self.free.push(u16::try_from(place).unwrap_or(u16::MAX));
        Some(pending)
    }
}

/// The place that a transaction id names.
fn place_of(tx_id: u64) -> usize {
    (tx_id & 0xffff) as usize
}

/// Round trips of the whole node, for peers whose own are not known yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrips {
    rtt_us: u64,
    deviation_us: u64,
}

impl RoundTrips {
    pub(crate) fn measured(&mut self, rtt_us: u32) {
        let rtt_us = u64::from(rtt_us);
        if self.rtt_us == 0 {
            (self.rtt_us, self.deviation_us) = (rtt_us.max(1), rtt_us / 2);
            return;
        }
        // RFC 6298 §2.3.
        self.deviation_us = (3 * self.deviation_us + self.rtt_us.abs_diff(rtt_us)) / 4;
        self.rtt_us = ((7 * self.rtt_us + rtt_us) / 8).max(1);
    }

    /// How long to wait for `peer`, or for somebody unknown.
    pub(crate) fn patience(&self, peer: Option<&Peer>, timeouts: &Timeouts) -> Patience {
        let measured_us = match peer {
            Some(peer) if peer.rtt_us > 0 => {
                u64::from(peer.rtt_us) + 4 * u64::from(peer.rtt_deviation_us)
            }
            _ if self.rtt_us > 0 => self.rtt_us + 4 * self.deviation_us,
            _ => u64::from(timeouts.slow_ms_initial) * 1_000,
        };
        let ns = |ms: u32| u64::from(ms) * NS_PER_MS;
        let slow_ns =
            (measured_us * 1_000).min(ns(timeouts.slow_ms_max)).max(ns(timeouts.slow_ms_min));
        let fail_ns = slow_ns
            .saturating_mul(u64::from(timeouts.fail_factor))
            .min(ns(timeouts.fail_ms_max))
            .max(ns(timeouts.fail_ms_min));
        Patience { slow_ns, fail_ns }
    }
}
