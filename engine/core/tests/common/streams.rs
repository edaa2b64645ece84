//! Messages by TCP between the network's nodes: one whole message each way, after a delay.

use std::collections::HashMap;

use kdht_core::{Event, STREAM_ASKS_MAX, STREAM_BYTES_MAX, StreamAsk, StreamCheck};
use kdht_core::{NS_PER_MS, StreamRequest, StreamServed, seal};
use kdht_wire::{Body, Endpoint, KeyRing, Message};

use super::{Due, Net};

/// What a stranger sends back by TCP; nothing: it closes the connection.
type Stranger = Box<dyn FnMut(&StreamAsk) -> Option<Vec<u8>>>;

/// Exchanges under way.
#[derive(Default)]
pub(crate) struct Streams {
    /// Who waits for a reply that takes a lookup, by the connection's name.
    waiting: HashMap<u64, (usize, StreamAsk)>,
    begun: u64,
    /// Exchanges begun so far.
    pub(crate) count: u64,
    /// Of each asking node: exchanges in flight, and bytes of values in them.
    in_flight: HashMap<usize, (usize, u64)>,
    pub(crate) stranger: Option<Stranger>,
    /// Nodes that take no connection.
    pub(crate) closed: Vec<usize>,
}

/// One step of an exchange.
#[derive(Debug)]
pub(crate) enum Step {
    Asked(usize, StreamAsk),
    Ended(usize, StreamAsk, Option<Vec<u8>>),
}

impl Net {
    /// Takes the events that are about streams away from a node's others.
    pub(super) fn carry(&mut self, at: usize, event: Event) -> Option<Event> {
        let step = match event {
            Event::Stream(ask) => {
                self.streams.count += 1;
                let in_flight = self.streams.in_flight.entry(at).or_default();
                in_flight.0 += 1;
                in_flight.1 += sent_len(&ask);
                let (count, bytes) = *in_flight;
                assert!(count <= STREAM_ASKS_MAX, "{count} exchanges in flight");
                assert!(bytes <= STREAM_BYTES_MAX, "{bytes} bytes in flight");
                Step::Asked(at, ask)
            }
            Event::StreamReply { stream, mut bytes } => {
                let Some((asker, ask)) = self.streams.waiting.remove(&stream) else {
                    // Handed in by a test, which waits for none.
                    return None;
                };
                seal(&mut bytes, &self.places[at].config.keys);
                Step::Ended(asker, ask, Some(bytes))
            }
            other => return Some(other),
        };
        let (min, max) = self.conditions.delay_ms;
        let delay_ns = (min + self.rng.below(max - min + 1)) * NS_PER_MS;
        self.push(self.now_ns + delay_ns, Due::Stream(step));
        None
    }

    pub(super) fn step_stream(&mut self, step: Step) {
        match step {
            Step::Asked(at, ask) => self.stream_asked(at, ask),
            Step::Ended(at, ask, reply) => {
                if let Some(in_flight) = self.streams.in_flight.get_mut(&at) {
                    in_flight.0 -= 1;
                    in_flight.1 -= sent_len(&ask);
                }
                if self.is_alive(at) {
                    let keys = self.places[at].config.keys;
                    self.with(at, |node, now, tray| {
                        let check = |bytes| StreamCheck::of(bytes, &keys, now.unix_s);
                        let reply = reply.as_deref().map(|bytes| (bytes, check(bytes)));
                        let reply = reply.as_ref().map(|(bytes, check)| (*bytes, check));
                        node.handle_stream_end(now, &ask.endpoint, ask.tx_id, reply, tray);
                    });
                }
            }
        }
    }

    fn stream_asked(&mut self, at: usize, ask: StreamAsk) {
        let mut bytes = ask.bytes.clone();
        seal(&mut bytes, &self.places[at].config.keys);
        let to = self.at_endpoint(&ask.endpoint);
        let open = to.filter(|to| self.is_alive(*to) && !self.streams.closed.contains(to));
        let Some(to) = open else {
            let mut stranger = self.streams.stranger.take();
            let reply = match to {
                Some(_) => None,
                None => stranger.as_mut().and_then(|answer| answer(&ask)),
            };
            self.streams.stranger = stranger;
            return self.push(self.now_ns, Due::Stream(Step::Ended(at, ask, reply)));
        };
        self.streams.begun += 1;
        let stream = self.streams.begun;
        // A connection's port is none that its node answers at.
        let peer = Endpoint { port: 50_000.into(), ..self.endpoint(at) };
        let keys = self.places[to].config.keys;
        self.streams.waiting.insert(stream, (at, ask));
        let (served, mut reply) = self.hand_stream(to, stream, peer, &bytes, &keys);
        if served == StreamServed::Later {
            return;
        }
        let Some((at, ask)) = self.streams.waiting.remove(&stream) else { return };
        seal(&mut reply, &keys);
        let reply = (served == StreamServed::Answered).then_some(reply);
        self.push(self.now_ns, Due::Stream(Step::Ended(at, ask, reply)));
    }

    /// Hands a message that came by TCP to a node.
    pub(crate) fn hand_stream(
        &mut self,
        to: usize,
        stream: u64,
        peer: Endpoint,
        bytes: &[u8],
        keys: &KeyRing,
    ) -> (StreamServed, Vec<u8>) {
        let mut reply = Vec::new();
        let served = self.with(to, |node, now, tray| {
            let check = &StreamCheck::of(bytes, keys, now.unix_s);
            let local = kdht_core::Local::default();
            let request = StreamRequest { stream, peer, local, bytes, check };
            node.handle_stream_request(now, &request, &mut reply, tray)
        });
        (served, reply)
    }
}

/// Bytes of the value that an exchange sends; what it fetches is not told.
fn sent_len(ask: &StreamAsk) -> u64 {
    match Message::parse_stream(&ask.bytes).expect("nodes send what parses").body {
        Body::Store { record, .. } => record.value.len() as u64,
        _ => 0,
    }
}
