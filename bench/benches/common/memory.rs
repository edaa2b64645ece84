//! A datapath without a network: requests come from memory, and replies are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kdht::io::{Datagram, Datapath, DatapathCounters, Received, SharedFd};
use kdht_core::{Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Flags, Kind};

/// Datagrams of a batch, as a ring gives them.
const BATCH: u64 = 64;

/// What whoever measures tells one shard's datapath, and is told. A line of the cache of its
/// own, since each shard writes its own without end.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Gauge {
    /// Requests that are still to come.
    pub(crate) left: AtomicU64,
    /// Replies so far.
    pub(crate) replied: AtomicU64,
    /// Refusals among them.
    pub(crate) refused: AtomicU64,
    /// Datagrams that this shard lost on the way to others, as far as it was asked.
    pub(crate) lost: AtomicU64,
}

/// Requests, one after another without end, as many as the gauge says.
pub(crate) struct Memory {
    requests: Vec<Vec<u8>>,
    route: Route,
    gauge: Arc<Gauge>,
    /// The batch received last.
    at: usize,
    count: usize,
    sink: Sink,
}

/// Where replies go.
pub(crate) struct Sink {
    slot: Vec<u8>,
    replied: u64,
    refused: u64,
}

impl Memory {
    /// `requests` as they come from `route`.
    pub(crate) fn new(requests: Vec<Vec<u8>>, route: Route, gauge: Arc<Gauge>) -> Self {
        let sink = Sink { slot: vec![0; DATAGRAM_LEN_MAX], replied: 0, refused: 0 };
        Self { requests, route, gauge, at: 0, count: 0, sink }
    }
}

impl Datapath for Memory {
    type Batch<'a> = Batch<'a>;
    type Outbox = Sink;

    fn receive(&mut self) -> Received {
        let left = self.gauge.left.load(Ordering::Relaxed);
        let count = left.min(BATCH);
        self.gauge.left.store(left - count, Ordering::Relaxed);
        self.at = (self.at + self.count) % self.requests.len().max(1);
        // At most a batch.
        self.count = usize::try_from(count).unwrap_or(0);
        Received { datagram_count: self.count, more: left > count }
    }

    fn split(&mut self) -> (Batch<'_>, &mut Sink) {
        let Self { requests, route, at, count, sink, .. } = self;
        (Batch { requests, route, at: *at, left: *count }, sink)
    }

    fn flush(&mut self) {
        let Sink { replied, refused, .. } = &mut self.sink;
        self.gauge.refused.fetch_add(std::mem::take(refused), Ordering::Relaxed);
        self.gauge.replied.fetch_add(std::mem::take(replied), Ordering::Release);
    }

    fn announce(&mut self) -> bool {
        true
    }

    fn fds(&self) -> &[SharedFd] {
        &[]
    }

    fn counters(&self) -> DatapathCounters {
        DatapathCounters::default()
    }
}

/// Walks a batch.
#[derive(Clone)]
pub(crate) struct Batch<'a> {
    requests: &'a [Vec<u8>],
    route: &'a Route,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Batch<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        self.left = self.left.checked_sub(1)?;
        let bytes = self.requests.get(self.at)?;
        self.at = if self.at + 1 == self.requests.len() { 0 } else { self.at + 1 };
        Some(Datagram { bytes, route: self.route })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Batch<'_> {}

impl Outbox for Sink {
    fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
        Some(&mut self.slot)
    }

    fn commit(&mut self, _: usize) {
        // What a shard sends unasked, such as a ping, is no reply.
        let flags = Flags(u16::from_le_bytes([self.slot[4], self.slot[5]]));
        self.replied += u64::from(flags.has(Flags::REPLY));
        self.refused += u64::from(self.slot[3] == Kind::Fault as u8);
    }
}
