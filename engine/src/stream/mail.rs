//! What the thread that carries streams and the shards hand to each other.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use kdht_core::{Local, StreamAsk, StreamCheck, StreamServed};
use kdht_wire::{Endpoint, KeyRing};

use super::counters::StreamCounters;
use crate::io::Waker;
use crate::status::Streams as StreamStatus;

/// Messages that wait for the thread at most. Answers are fewer than connections, and
/// requests than the core has in flight; more of either are lost, and end by their
/// deadlines.
const MAIL_MAX: usize = 4_096;

/// Which of a message's two buffers is one of the pool's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pooled {
    Neither,
    Request,
    Reply,
}

/// A whole message for a shard.
#[derive(Debug)]
pub struct StreamMessage {
    pub(crate) stream: u64,
    pub(crate) peer: Endpoint,
    pub(crate) local: Local,
    pub(crate) bytes: Vec<u8>,
    pub(crate) check: StreamCheck,
    /// Where the reply is laid.
    pub(crate) reply: Vec<u8>,
    pub(crate) pooled: Pooled,
}

/// A shard's answer, and the message's buffers back.
#[derive(Debug)]
pub(crate) struct StreamAnswer {
    pub(crate) stream: u64,
    pub(crate) served: StreamServed,
    pub(crate) bytes: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) pooled: Pooled,
}

/// What came of a request of a shard's.
#[derive(Debug)]
pub struct StreamEnd {
    pub(crate) endpoint: Endpoint,
    pub(crate) tx_id: u64,
    pub(crate) reply: Option<(Vec<u8>, StreamCheck)>,
    /// Whether the reply's buffer is one of the pool's.
    pub(crate) is_pooled: bool,
}

/// Something that a shard wants of the thread.
#[derive(Debug)]
pub(crate) enum Mail {
    Ask(StreamAsk),
    Answer(StreamAnswer),
    Reply(u64, Vec<u8>),
    /// A buffer of the pool's.
    Buffer(Vec<u8>),
    Keys(KeyRing),
    Stop,
}

/// How a shard reaches the thread that carries its streams.
#[derive(Clone, Debug)]
pub struct StreamLink {
    sender: Sender<Mail>,
    waker: Waker,
    counters: Arc<StreamCounters>,
}

impl StreamLink {
    pub(crate) fn new(waker: Waker, counters: Arc<StreamCounters>) -> (Self, Receiver<Mail>) {
        let (sender, receiver) = bounded(MAIL_MAX);
        (Self { sender, waker, counters }, receiver)
    }

    /// False if it was not taken.
    pub(crate) fn ask(&self, ask: StreamAsk) -> bool {
        self.post(Mail::Ask(ask))
    }

    pub(crate) fn answer(&self, answer: StreamAnswer) {
        self.post(Mail::Answer(answer));
    }

    pub(crate) fn reply(&self, stream: u64, bytes: Vec<u8>) {
        self.post(Mail::Reply(stream, bytes));
    }

    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        self.post(Mail::Buffer(buffer));
    }

    pub(crate) fn set_keys(&self, keys: KeyRing) {
        self.post(Mail::Keys(keys));
    }

    pub(crate) fn stop(&self) {
        // It takes what waits before, so that there is room before long.
        let _ = self.sender.send(Mail::Stop);
        self.waker.wake();
    }

    /// What the thread has counted.
    pub(crate) fn status(&self) -> StreamStatus {
        self.counters.status()
    }

    fn post(&self, mail: Mail) -> bool {
        let is_taken = self.sender.try_send(mail).is_ok();
        self.waker.wake();
        is_taken
    }
}
