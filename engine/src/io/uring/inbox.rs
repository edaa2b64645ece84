//! What came: buffers the kernel filled, read in place.

use std::slice;

use kdht_core::{Local, Route};
use kdht_wire::Endpoint;

use super::super::control::{CONTROL_LEN, Control};
use super::super::datapath::{Datagram, DatapathCounters};
use super::super::mmsg::RECEIVE_LEN_MAX;
use super::super::name::{NAME_LEN, Name};
use super::super::overflow::Overflow;
use super::super::socket::Socket;
use super::buffers::{Buffers, HEAD_LEN, PAYLOAD_AT};
use super::ring::{Filled, Ring};

/// Memory for received datagrams, and the batch taken from it last.
pub(super) struct Inbox {
    /// A group for each socket, so that a busy one cannot take another's.
    pub(super) buffers: Box<[Buffers]>,
    arrived: Vec<Arrived>,
    /// Of each socket: the one address that it can be asked at, or zeros.
    bound_ips: Box<[[u8; 16]]>,
    overflow: Overflow,
    batch_count: usize,
}

/// One datagram of the batch.
pub(super) struct Arrived {
    buffer_id: u16,
    /// Payload bytes in the buffer, up to `RECEIVE_LEN_MAX`.
    len: usize,
    route: Route,
}

impl Inbox {
    pub(super) fn new(batch_count: usize, sockets: &[Socket], buffer_count: u16) -> Self {
        let socket_count = sockets.len();
        Self {
            bound_ips: sockets.iter().map(Socket::bound_ip).collect(),
            buffers: (0..socket_count).map(|_| Buffers::new(buffer_count)).collect(),
            arrived: Vec::with_capacity(batch_count),
            overflow: Overflow::new(socket_count),
            batch_count,
        }
    }

    /// Gives the batch's memory back to the kernel.
    pub(super) fn recycle(&mut self, ring: &mut Ring) {
        for Arrived { buffer_id, route, .. } in self.arrived.drain(..) {
            let socket_idx = usize::from(route.local.socket);
            self.buffers[socket_idx].give(buffer_id);
            ring.intakes[socket_idx].lent_count -= 1;
        }
        self.buffers.iter().for_each(Buffers::publish);
    }

    /// Takes a batch of what waits, first from socket `first_idx`, and says how many came.
    /// The sockets share a batch evenly, since one of them may never run dry.
    pub(super) fn take(
        &mut self,
        first_idx: u8,
        ring: &mut Ring,
        counters: &mut DatapathCounters,
    ) -> usize {
        let socket_count = self.buffers.len();
        let mut dry_count = 0;
        let mut socket_idx = usize::from(first_idx);
        while dry_count < socket_count && self.arrived.len() < self.batch_count {
            let intake = &mut ring.intakes[socket_idx];
            match intake.waiting.pop_front() {
                Some(filled) => {
                    dry_count = 0;
                    self.buffers[socket_idx].take(filled.buffer_id);
                    if !self.note(socket_idx, filled, counters) {
                        intake.lent_count -= 1;
                        self.buffers[socket_idx].give(filled.buffer_id);
                    }
                }
                None => dry_count += 1,
            }
            socket_idx = (socket_idx + 1) % socket_count;
        }
        self.arrived.len()
    }

    /// Reads what the kernel wrote around the payload. False: it wrote nothing sensible.
    fn note(&mut self, socket_idx: usize, filled: Filled, counters: &mut DatapathCounters) -> bool {
        let Some(arrival) = Arrival::read(self.buffers[socket_idx].bytes(filled.buffer_id)) else {
            return false;
        };
        let len = usize::try_from(filled.result).ok().and_then(|len| len.checked_sub(PAYLOAD_AT));
        let Some(len) = len else {
            counters.receive_errors += 1;
            return false;
        };
        let len = len.min(RECEIVE_LEN_MAX);
        let socket = u8::try_from(socket_idx).unwrap_or(u8::MAX);
        let told = arrival.control.parse(arrival.control_len);
        self.overflow.note(socket, &told, counters);
        counters.datagrams_in += 1;
        counters.bytes_in += len as u64;
        counters.truncated += u64::from(arrival.is_truncated);
        let local = Local { ip: told.asked_ip(&self.bound_ips[socket_idx]), socket };
        let peer = arrival.name.endpoint(arrival.name_len).unwrap_or(Endpoint::NONE);
        let route = Route { peer, local };
        self.arrived.push(Arrived { buffer_id: filled.buffer_id, len, route });
        true
    }

    pub(super) fn batch(&self) -> UringBatch<'_> {
        UringBatch { buffers: &self.buffers, arrived: self.arrived.iter() }
    }
}

/// What the kernel says of one received datagram.
struct Arrival {
    name: Name,
    name_len: libc::socklen_t,
    control: Control,
    control_len: usize,
    /// The datagram was longer than its buffer.
    is_truncated: bool,
}

impl Arrival {
    /// Reads a buffer's begin (`struct io_uring_recvmsg_out`, address, control messages).
    fn read(buffer: &[u8]) -> Option<Self> {
        let (head, rest) = buffer.split_first_chunk::<HEAD_LEN>()?;
        let (name, rest) = rest.split_first_chunk::<{ NAME_LEN as usize }>()?;
        let control = rest.first_chunk::<CONTROL_LEN>()?;
        let field =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        Some(Self {
            name: Name::of_bytes(name),
            name_len: field(0),
            control: Control::of_bytes(control),
            control_len: usize::try_from(field(4)).unwrap_or(usize::MAX),
            is_truncated: field(12) & libc::MSG_TRUNC.cast_unsigned() != 0,
        })
    }
}

/// Walks the batch a [`Uring`](super::Uring) received last.
#[derive(Clone)]
pub struct UringBatch<'a> {
    buffers: &'a [Buffers],
    arrived: slice::Iter<'a, Arrived>,
}

impl<'a> Iterator for UringBatch<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        let &Arrived { buffer_id, len, route } = self.arrived.next()?;
        let buffer = self.buffers[usize::from(route.local.socket)].bytes(buffer_id);
        Some(Datagram { bytes: &buffer[PAYLOAD_AT..][..len], route })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.arrived.size_hint()
    }
}

impl ExactSizeIterator for UringBatch<'_> {}
