//! The datapath over plain sockets: recvmmsg and sendmmsg, which work everywhere.

mod inbox;
mod outbox;

use inbox::Inbox;
pub use inbox::{MmsgBatch, RECEIVE_LEN_MAX};
pub use outbox::MmsgOutbox;

use super::datapath::{Datapath, DatapathCounters, Received, SharedFd};
use super::sizes::{self, SizeError};
use super::socket::Socket;

/// Sizes of an [`Mmsg`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MmsgOptions {
    /// Most datagrams of one batch, over all sockets: 1 to
    /// [`BATCH_COUNT_MAX`](super::BATCH_COUNT_MAX). Costs about 2.3 KiB each.
    pub batch_count: usize,
    /// Most datagrams that wait to be flushed: 1 to
    /// [`BATCH_COUNT_MAX`](super::BATCH_COUNT_MAX). Costs about 1.6 KiB each.
    pub slot_count: usize,
}

impl Default for MmsgOptions {
    /// Batches of 32, so that a system call's own cost is a small share of a datagram's, and
    /// what was laid out is still in the nearest cache when the kernel takes it; and two slots
    /// for each datagram: a reply and a query.
    fn default() -> Self {
        Self { batch_count: 32, slot_count: 64 }
    }
}

/// A [`Datapath`] over one or more UDP sockets, of either family.
///
/// [`Local::socket`](kdht_core::Local::socket) is the socket's index in the order given. A
/// route whose socket is not of the peer's family, as that of
/// [`Route::to`](kdht_core::Route::to) may be, leaves by the first that is. Sockets take
/// turns in being received from first.
pub struct Mmsg {
    sockets: Box<[Socket]>,
    fds: Box<[SharedFd]>,
    inbox: Inbox,
    outbox: MmsgOutbox,
    /// The socket that the next receive begins with.
    first_idx: u8,
}

impl Mmsg {
    /// A datapath over `sockets`. All memory is taken here.
    ///
    /// # Errors
    /// `SizeError` if a number is out of its range.
    pub fn new(sockets: Vec<Socket>, options: &MmsgOptions) -> Result<Self, SizeError> {
        let &MmsgOptions { batch_count, slot_count } = options;
        sizes::check(sockets.len(), batch_count, slot_count)?;
        Ok(Self {
            fds: sockets.iter().map(|socket| socket.fd().clone()).collect(),
            inbox: Inbox::new(batch_count, &sockets),
            outbox: MmsgOutbox::new(slot_count, &sockets),
            first_idx: 0,
            sockets: sockets.into(),
        })
    }

    /// The sockets, in the order of [`Local::socket`](kdht_core::Local::socket).
    #[must_use]
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }
}

impl Datapath for Mmsg {
    type Batch<'a> = MmsgBatch<'a>;
    type Outbox = MmsgOutbox;

    fn receive(&mut self) -> Received {
        self.inbox.arrived.clear();
        let counters = &mut self.outbox.counters;
        let mut more = false;
        let (before, from_first) = self.fds.split_at(usize::from(self.first_idx));
        let in_turn = (self.first_idx..).zip(from_first).chain((0..).zip(before));
        for (idx, fd) in in_turn {
            more |= self.inbox.receive(idx, fd, counters);
        }
        self.first_idx += 1;
        if usize::from(self.first_idx) == self.fds.len() {
            self.first_idx = 0;
        }
        Received { datagram_count: self.inbox.arrived.len(), more }
    }

    fn split(&mut self) -> (MmsgBatch<'_>, &mut MmsgOutbox) {
        (self.inbox.batch(), &mut self.outbox)
    }

    fn flush(&mut self) {
        self.outbox.flush();
    }

    /// A socket is readable as long as anything waits, whether it is announced or not.
    fn announce(&mut self) -> bool {
        true
    }

    fn fds(&self) -> &[SharedFd] {
        &self.fds
    }

    fn counters(&self) -> DatapathCounters {
        self.outbox.counters
    }
}
