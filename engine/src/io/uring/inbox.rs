//! What came: buffers the kernel filled, read in place.

use std::os::fd::AsFd;
use std::slice;

use kdht_core::{Local, Route};
use kdht_wire::Endpoint;
use rustix::io::Errno;

use super::super::control::{Ancillary, CONTROL_LEN, Control};
use super::super::datapath::{Datagram, DatapathCounters, SharedFd};
use super::super::messages::{Messages, ReceiveSlot};
use super::super::mmsg::RECEIVE_LEN_MAX;
use super::super::name::{NAME_LEN, Name};
use super::super::overflow::Overflow;
use super::super::socket::Socket;
use super::buffers::{Buffers, HEAD_LEN, PAYLOAD_AT};
use super::ring::{Filled, Ring};

/// Stands for the buffer of a datagram that came without the ring; above any of the ring's.
const LONE_ID: u16 = u16::MAX;

/// Memory for received datagrams, and the batch taken from it last.
pub(super) struct Inbox {
    /// A group for each socket, so that a busy one cannot take another's.
    pub(super) buffers: Box<[Buffers]>,
    arrived: Vec<Arrived>,
    /// Of each socket: the one address that it can be asked at, or zeros.
    bound_ips: Box<[[u8; 16]]>,
    overflow: Overflow,
    batch_count: usize,
    lone: Lone,
}

/// Room for one datagram that is received without the ring.
struct Lone {
    bytes: Box<[u8; RECEIVE_LEN_MAX]>,
    name: Name,
    control: Control,
    messages: Messages,
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
            lone: Lone {
                bytes: Box::new([0; RECEIVE_LEN_MAX]),
                name: Name::EMPTY,
                control: Control::EMPTY,
                messages: Messages::new(1),
            },
        }
    }

    /// Gives the batch's memory back to the kernel.
    pub(super) fn recycle(&mut self, ring: &mut Ring) {
        for Arrived { buffer_id, route, .. } in self.arrived.drain(..) {
            if buffer_id == LONE_ID {
                continue;
            }
            let socket_idx = usize::from(route.local.socket);
            self.buffers[socket_idx].give(buffer_id);
            ring.intakes[socket_idx].lent_count -= 1;
        }
        self.buffers.iter().for_each(Buffers::publish);
    }

    /// Receives one datagram of socket `socket_idx` by a call of its own, while nothing of
    /// that socket waits in the ring. False: there was none.
    pub(super) fn take_lone(
        &mut self,
        socket_idx: u8,
        fd: &SharedFd,
        counters: &mut DatapathCounters,
    ) -> bool {
        let Lone { bytes, name, control, messages } = &mut self.lone;
        let slot = ReceiveSlot { bytes: &mut bytes[..], name, control };
        counters.receive_syscalls += 1;
        match messages.receive_one(fd.as_fd(), slot) {
            Ok(()) => {}
            Err(Errno::AGAIN) => return false,
            // It is told once, and says nothing of what waits behind it.
            Err(_) => {
                counters.receive_errors += 1;
                return false;
            }
        }
        let arrival = messages.arrival(0);
        let told = control.parse(arrival.control_len);
        let peer = name.endpoint(arrival.name_len).unwrap_or(Endpoint::NONE);
        counters.truncated += u64::from(arrival.truncated);
        self.arrive(LONE_ID, arrival.len, (socket_idx, peer), &told, counters);
        true
    }

    /// The socket of the first datagram of the batch.
    pub(super) fn lone_socket(&self) -> Option<u8> {
        self.arrived.first().map(|arrived| arrived.route.local.socket)
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
        let socket = u8::try_from(socket_idx).unwrap_or(u8::MAX);
        let told = arrival.control.parse(arrival.control_len);
        let peer = arrival.name.endpoint(arrival.name_len).unwrap_or(Endpoint::NONE);
        counters.truncated += u64::from(arrival.is_truncated);
        self.arrive(filled.buffer_id, len, (socket, peer), &told, counters);
        true
    }

    /// Adds a datagram of `len` bytes to the batch, and counts it.
    fn arrive(
        &mut self,
        buffer_id: u16,
        len: usize,
        (socket, peer): (u8, Endpoint),
        told: &Ancillary,
        counters: &mut DatapathCounters,
    ) {
        let len = len.min(RECEIVE_LEN_MAX);
        self.overflow.note(socket, told, counters);
        counters.datagrams_in += 1;
        counters.bytes_in += len as u64;
        let ip = told.asked_ip(&self.bound_ips[usize::from(socket)]);
        let route = Route { peer, local: Local { ip, socket } };
        self.arrived.push(Arrived { buffer_id, len, route });
    }

    pub(super) fn batch(&self) -> UringBatch<'_> {
        UringBatch {
            buffers: &self.buffers,
            lone: &self.lone.bytes[..],
            arrived: self.arrived.iter(),
        }
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
    lone: &'a [u8],
    arrived: slice::Iter<'a, Arrived>,
}

impl<'a> Iterator for UringBatch<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        let Arrived { buffer_id, len, route } = self.arrived.next()?;
        let payload = match *buffer_id {
            LONE_ID => self.lone,
            id => &self.buffers[usize::from(route.local.socket)].bytes(id)[PAYLOAD_AT..],
        };
        Some(Datagram { bytes: &payload[..*len], route })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.arrived.size_hint()
    }
}

impl ExactSizeIterator for UringBatch<'_> {}
