//! The datapath over an io_uring: multishot receives into provided buffers, and all that
//! leaves in one system call.

mod buffers;
mod inbox;
mod outbox;
mod probe;
mod ring;

use std::error::Error;
use std::fmt;

use inbox::Inbox;
pub use inbox::UringBatch;
pub use outbox::UringOutbox;
pub use probe::{UringUnavailable, uring_available};
use ring::Ring;

use super::datapath::{Datapath, DatapathCounters, Received, SharedFd};
use super::sizes::{self, SizeError};
use super::socket::Socket;

/// Most buffers of one socket.
pub const BUFFER_COUNT_MAX: u16 = 2048;

/// Sizes of a [`Uring`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UringOptions {
    /// Most datagrams of one batch, over all sockets: 1 to
    /// [`BATCH_COUNT_MAX`](super::BATCH_COUNT_MAX).
    pub batch_count: usize,
    /// Most datagrams that wait to be flushed: 1 to
    /// [`BATCH_COUNT_MAX`](super::BATCH_COUNT_MAX). Costs about 1.6 KiB each.
    pub slot_count: usize,
    /// Datagrams of one socket that may be in our memory at once, those of the batch
    /// included: a power of two up to [`BUFFER_COUNT_MAX`]. Costs about 2.2 KiB each, per
    /// socket. Further ones wait in the socket.
    pub buffer_count: u16,
}

impl Default for UringOptions {
    /// A reply and a query for each datagram, and two batches of buffers: one that is walked and
    /// one that the kernel fills meanwhile.
    fn default() -> Self {
        Self { batch_count: 64, slot_count: 128, buffer_count: 128 }
    }
}

/// Why a [`Uring`] cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UringError {
    /// A size that no datapath has.
    Size(SizeError),
    /// Not a power of two up to [`BUFFER_COUNT_MAX`].
    BufferCount(u16),
    /// The host does not let us have a ring.
    Unavailable(UringUnavailable),
}

impl fmt::Display for UringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(error) => error.fmt(f),
            Self::BufferCount(have) => {
                let max = BUFFER_COUNT_MAX;
                write!(f, "{have} buffers asked; a power of two up to {max} is possible")
            }
            Self::Unavailable(reason) => reason.fmt(f),
        }
    }
}

impl Error for UringError {}

/// A [`Datapath`] over one or more UDP sockets, of either family, in one ring.
///
/// Sockets and routes mean what they do to an [`Mmsg`](super::Mmsg). The first thread that
/// receives or flushes is the ring's from then on; another one panics, by the kernel's own
/// rule. A dropped one frees its ports at once if the ring's thread drops it, and a little
/// later otherwise.
///
/// Under load a turn costs one `io_uring_enter`, which sends a batch and takes in the next.
/// Its counters count every system call made here: those entries, and reads and writes of
/// the eventfd around a sleep.
pub struct Uring {
    sockets: Box<[Socket]>,
    fds: [SharedFd; 1],
    /// Before the buffers, so that the ring in it is dropped first.
    outbox: UringOutbox,
    inbox: Inbox,
    /// The socket that the next batch begins with.
    first_idx: u8,
    /// The socket of the datagram received last, if it came alone.
    lone_idx: Option<u8>,
    /// The ring was seen without events since it was last left with some unseen.
    was_idle: bool,
}

impl Uring {
    /// A datapath over `sockets`. All memory is taken here.
    ///
    /// # Errors
    /// `UringError` if a number is out of its range or the host does not allow it.
    pub fn new(sockets: Vec<Socket>, options: &UringOptions) -> Result<Self, UringError> {
        let &UringOptions { batch_count, slot_count, buffer_count } = options;
        sizes::check(sockets.len(), batch_count, slot_count).map_err(UringError::Size)?;
        if !buffer_count.is_power_of_two() || buffer_count > BUFFER_COUNT_MAX {
            return Err(UringError::BufferCount(buffer_count));
        }
        let inbox = Inbox::new(batch_count, &sockets, buffer_count);
        let fds: Vec<SharedFd> = sockets.iter().map(|socket| socket.fd().clone()).collect();
        let ring = Ring::new(&fds, &inbox.buffers, slot_count).map_err(UringError::Unavailable)?;
        Ok(Self {
            fds: [ring.fd().clone()],
            outbox: UringOutbox::new(ring, slot_count, &sockets),
            inbox,
            first_idx: 0,
            lone_idx: None,
            was_idle: false,
            sockets: sockets.into(),
        })
    }

    /// The sockets, in the order of [`Local::socket`](kdht_core::Local::socket).
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }
}

impl Datapath for Uring {
    type Batch<'a> = UringBatch<'a>;
    type Outbox = UringOutbox;

    /// A batch of several datagrams says that more may be waiting, so that its turn's flush can
    /// take them in; what comes behind a lone one is seen when announcing.
    ///
    /// Where datagrams come one by one, the next is received by a call of its own: it does
    /// less than an entry of the ring, which is told by the entry after that there is
    /// nothing left.
    fn receive(&mut self) -> Received {
        let UringOutbox { ring, counters, is_answering_lone, .. } = &mut self.outbox;
        *is_answering_lone = false;
        self.inbox.recycle(ring);
        ring.reap(counters);
        ring.listen();
        let has_none = ring.waiting_count() == 0;
        if ring.is_announcing() {
            if has_none && !ring.must_enter() {
                ring.note_idle(counters);
                return Received::default();
            }
            ring.hush();
        }
        let must_enter = has_none && ring.must_enter();
        if must_enter && self.was_idle && ring.has_events_alone() {
            self.was_idle = false;
            if let Some(idx) = self.lone_idx
                && self.inbox.take_lone(idx, self.sockets[usize::from(idx)].fd(), counters)
            {
                *is_answering_lone = true;
                return Received { datagram_count: 1, more: true };
            }
        }
        self.was_idle |= has_none && !must_enter;
        if must_enter {
            counters.receive_syscalls += 1;
            if ring.enter(counters).is_err() {
                counters.receive_errors += 1;
            }
        }
        let datagram_count = self.inbox.take(self.first_idx, ring, counters);
        self.first_idx += 1;
        if usize::from(self.first_idx) == self.sockets.len() {
            self.first_idx = 0;
        }
        match datagram_count {
            0 => {}
            1 => self.lone_idx = self.inbox.lone_socket(),
            _ => self.lone_idx = None,
        }
        Received { datagram_count, more: datagram_count > 1 }
    }

    fn split(&mut self) -> (UringBatch<'_>, &mut UringOutbox) {
        (self.inbox.batch(), &mut self.outbox)
    }

    fn flush(&mut self) {
        self.outbox.flush();
    }

    fn announce(&mut self) -> bool {
        let ring = &mut self.outbox.ring;
        ring.is_announcing() || ring.announce()
    }

    fn fds(&self) -> &[SharedFd] {
        &self.fds
    }

    fn counters(&self) -> DatapathCounters {
        self.outbox.counters
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if !self.outbox.ring.quiesce() {
            self.inbox.buffers.iter_mut().for_each(buffers::Buffers::leak);
        }
    }
}
