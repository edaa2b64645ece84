//! What every way of moving datagrams offers: sockets in batches, rings, AF_XDP.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use kdht_core::{Outbox, Route};

/// A descriptor that its datapath and a [`Waiter`](super::Waiter) both hold; it closes when
/// the last of them is dropped.
pub type SharedFd = Arc<OwnedFd>;

/// Moves datagrams between the network and memory that it owns.
///
/// One thread drives it; no call blocks or allocates. A turn is [`Datapath::receive`],
/// [`Datapath::split`] to walk what came while laying replies, [`Datapath::flush`]. Before
/// the thread sleeps, [`Datapath::announce`].
pub trait Datapath {
    /// Walks one received batch, oldest first per socket.
    type Batch<'a>: ExactSizeIterator<Item = Datagram<'a>> + Clone
    where
        Self: 'a;

    /// Takes what leaves.
    type Outbox: Outbox;

    /// Drops the batch before, and takes in what waits, up to one batch. Nothing to
    /// receive is a batch of none; errors are counted, not returned, since no caller could
    /// do more than try again.
    fn receive(&mut self) -> Received;

    /// The batch received last, and at the same time the outbox. The batch stays the same
    /// until the next [`Datapath::receive`]; a second call walks it anew.
    fn split(&mut self) -> (Self::Batch<'_>, &mut Self::Outbox);

    /// The outbox alone, for what leaves unasked.
    fn outbox(&mut self) -> &mut Self::Outbox {
        self.split().1
    }

    /// Hands all committed datagrams to the kernel. What it refuses is dropped and counted.
    fn flush(&mut self);

    /// Sees to it that [`Datapath::fds`] become readable when [`Datapath::receive`] has
    /// work, until one that has some. False: it has some already, and must be called before
    /// the thread sleeps. Who looks again and again needs no announcing, which can cost the
    /// sender and the receiver of each datagram something.
    fn announce(&mut self) -> bool;

    /// The descriptors that tell of work once it is announced.
    fn fds(&self) -> &[SharedFd];

    /// What has been counted since construction.
    fn counters(&self) -> DatapathCounters;
}

/// One received datagram, lent until the next [`Datapath::receive`].
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The UDP payload as it came, from none to more than
    /// [`DATAGRAM_LEN_MAX`](kdht_wire::DATAGRAM_LEN_MAX) bytes: one that is too long is
    /// still seen to be too long, even where its end was cut.
    pub bytes: &'a [u8],
    /// Who sent it, and which address of ours was asked.
    pub route: &'a Route,
}

/// What one [`Datapath::receive`] brought.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Received {
    /// Datagrams in the batch.
    pub datagram_count: usize,
    /// More is likely waiting: receive again before sleeping. Where this is false,
    /// [`Datapath::announce`] and the descriptors tell if there is more all the same.
    pub more: bool,
}

/// What a datapath has counted; all fields only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DatapathCounters {
    /// Datagrams handed to the caller.
    pub datagrams_in: u64,
    /// Datagrams the kernel accepted.
    pub datagrams_out: u64,
    /// What they left as: several to one peer may leave as one, which the kernel or the device
    /// cuts apart.
    pub packets_out: u64,
    /// Payload bytes handed to the caller.
    pub bytes_in: u64,
    /// Payload bytes the kernel accepted.
    pub bytes_out: u64,
    /// System calls made to receive, those that found nothing included. One that both sends
    /// and receives counts as sending alone.
    pub receive_syscalls: u64,
    /// System calls made to send, those that were refused included.
    pub send_syscalls: u64,
    /// Times the kernel would not take several datagrams as one; they were offered one by one.
    pub runs_refused: u64,
    /// Errors on receiving, such as an ICMP error left over from a datagram sent before.
    pub receive_errors: u64,
    /// Datagrams the kernel dropped since our receive buffer was full, as it last told;
    /// it tells with the next datagram that does fit.
    pub receive_overflow: u64,
    /// Times receiving was interrupted since all receive memory was lent; what waits then
    /// stays with the kernel, and is lost only where it is counted as overflow.
    pub receive_starved: u64,
    /// Datagrams longer than the receive memory, handed to the caller without their end.
    pub truncated: u64,
    /// Times a slot was asked for while all were taken: a forced flush, or no slot at all.
    pub outbox_full: u64,
    /// Datagrams dropped since the kernel had no room for them.
    pub send_errors_would_block: u64,
    /// Datagrams dropped for want of a way: no route, no host, or no socket of the
    /// peer's family.
    pub send_errors_unreachable: u64,
    /// Datagrams dropped since the host forbids them, such as by a firewall.
    pub send_errors_denied: u64,
    /// Datagrams dropped for any other reason.
    pub send_errors_other: u64,
}
