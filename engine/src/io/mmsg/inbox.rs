//! What came: memory for one batch, filled by recvmmsg.

use std::os::fd::AsFd;
use std::slice;

use kdht_core::{Local, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};
use rustix::io::Errno;

use super::super::control::Control;
use super::super::datapath::{Datagram, DatapathCounters, SharedFd};
use super::super::messages::{Messages, ReceiveSlot};
use super::super::name::Name;
use super::super::overflow::Overflow;
use super::super::socket::Socket;

/// Bytes kept of a received datagram: well above [`DATAGRAM_LEN_MAX`], so that one that is
/// too long shows.
pub const RECEIVE_LEN_MAX: usize = 2048;

/// Distance of slots. An odd number of cache lines, so that the heads of a batch spread
/// over all sets of the cache instead of two.
const STRIDE: usize = RECEIVE_LEN_MAX + 64;

/// Tries to receive from one socket per call; each pending error takes one.
const TRIES_MAX: usize = 4;

/// How many times what came last may come next: a call that is offered room for one more
/// than there is looks for it in vain, and each place offered is to be laid out.
const GROWTH: usize = 4;

const _: () = assert!(RECEIVE_LEN_MAX > DATAGRAM_LEN_MAX);

/// Memory for one received batch.
pub(super) struct Inbox {
    /// Slots of `STRIDE`; of each, the first `RECEIVE_LEN_MAX` bytes are used.
    memory: Box<[u8]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    /// What the first slots hold.
    pub(super) arrived: Vec<Arrived>,
    /// Of each socket: the one address that it can be asked at, or zeros.
    bound_ips: Box<[[u8; 16]]>,
    /// Of each socket: the most datagrams to ask for next, from one to a batch.
    asked_counts: Box<[usize]>,
    overflow: Overflow,
    messages: Messages,
}

/// What one slot holds.
pub(super) struct Arrived {
    /// Up to `RECEIVE_LEN_MAX`.
    len: usize,
    route: Route,
}

impl Inbox {
    pub(super) fn new(batch_count: usize, sockets: &[Socket]) -> Self {
        Self {
            bound_ips: sockets.iter().map(Socket::bound_ip).collect(),
            memory: vec![0; batch_count * STRIDE].into(),
            names: vec![Name::EMPTY; batch_count].into(),
            controls: vec![Control::EMPTY; batch_count].into(),
            arrived: Vec::with_capacity(batch_count),
            asked_counts: vec![1; sockets.len()].into(),
            overflow: Overflow::new(sockets.len()),
            messages: Messages::new(batch_count),
        }
    }

    /// Fills free slots from socket `idx`, and says whether more may be waiting there.
    ///
    /// A socket that had nothing is asked for one datagram, which is then answered the
    /// soonest; one that had some for several times as many, up to all free slots. Behind a
    /// lone one there is likely nothing: whoever sleeps is told otherwise by the host, for less
    /// than a look in vain.
    pub(super) fn receive(
        &mut self,
        idx: u8,
        fd: &SharedFd,
        counters: &mut DatapathCounters,
    ) -> bool {
        let first = self.arrived.len();
        if first == self.names.len() {
            return true;
        }
        let asked_count = &mut self.asked_counts[usize::from(idx)];
        let room = (*asked_count).min(self.names.len() - first);
        for _ in 0..TRIES_MAX {
            let mut slots = self.memory[first * STRIDE..]
                .chunks_exact_mut(STRIDE)
                .zip(&mut self.names[first..])
                .zip(&mut self.controls[first..])
                .take(room)
                .map(|((bytes, name), control)| ReceiveSlot {
                    bytes: &mut bytes[..RECEIVE_LEN_MAX],
                    name,
                    control,
                });
            counters.receive_syscalls += 1;
            let received = match slots.next() {
                Some(slot) if room == 1 => self.messages.receive_one(fd.as_fd(), slot).map(|()| 1),
                slot => self.messages.receive(fd.as_fd(), slot.into_iter().chain(slots)),
            };
            match received {
                Ok(count) => {
                    *asked_count = (count * GROWTH).clamp(1, self.names.len());
                    for message_idx in 0..count {
                        self.note(idx, message_idx, counters);
                    }
                    return count == room && room > 1;
                }
                Err(Errno::AGAIN) => {
                    *asked_count = 1;
                    return false;
                }
                // Told errors are cleared, and say nothing of what waits behind them.
                Err(_) => counters.receive_errors += 1,
            }
        }
        true
    }

    /// Takes note of the datagram that `message_idx` of the last call brought into the
    /// first free slot.
    fn note(&mut self, socket_idx: u8, message_idx: usize, counters: &mut DatapathCounters) {
        let slot_idx = self.arrived.len();
        let arrival = self.messages.arrival(message_idx);
        let told = self.controls[slot_idx].parse(arrival.control_len);
        let peer = self.names[slot_idx].endpoint(arrival.name_len).unwrap_or(Endpoint::NONE);
        self.overflow.note(socket_idx, &told, counters);
        let len = arrival.len.min(RECEIVE_LEN_MAX);
        counters.datagrams_in += 1;
        counters.bytes_in += len as u64;
        counters.truncated += u64::from(arrival.truncated);
        let ip = told.asked_ip(&self.bound_ips[usize::from(socket_idx)]);
        let local = Local { ip, socket: socket_idx };
        self.arrived.push(Arrived { len, route: Route { peer, local } });
    }

    pub(super) fn batch(&self) -> MmsgBatch<'_> {
        MmsgBatch { slots: self.memory.chunks_exact(STRIDE), arrived: self.arrived.iter() }
    }
}

/// Walks the batch an [`Mmsg`](super::Mmsg) received last.
#[derive(Clone)]
pub struct MmsgBatch<'a> {
    slots: slice::ChunksExact<'a, u8>,
    arrived: slice::Iter<'a, Arrived>,
}

impl<'a> Iterator for MmsgBatch<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        let Arrived { len, route } = self.arrived.next()?;
        let slot = self.slots.next()?;
        Some(Datagram { bytes: &slot[..*len], route })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.arrived.size_hint()
    }
}

impl ExactSizeIterator for MmsgBatch<'_> {}
