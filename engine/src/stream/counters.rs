//! What the thread that carries streams counts, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::status::Streams as StreamStatus;

/// Why a connection was cut, or not taken. The names are those of `kdht stat`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Cut {
    /// As many connections are open as may be.
    Full,
    /// As many connections of its IP group are open as may be.
    GroupFull,
    /// It does not begin with `KD`.
    Magic,
    /// It declares more bytes than a message may have.
    Length,
    /// So long a message is of a kind, or a version, that has none so long.
    Kind,
    /// It is keyed and the network is not, or the other way round.
    Mac,
    /// No large buffer was free before its deadline.
    NoBuffer,
    /// The message was not whole at its deadline.
    Slow,
    /// Nothing came for long.
    Idle,
    /// The reply was not taken before its deadline.
    Unread,
    /// The node did not answer before the deadline.
    Unanswered,
    /// The node refused the message without an answer.
    Refused,
    /// More STOREs came in this second than are verified in one.
    Busy,
    /// More messages wait for the node than it takes.
    Overrun,
    /// It ended or broke within a message.
    Broken,
}

impl Cut {
    /// Every reason with its name, in the order of their numbers.
    pub const NAMED: [(Self, &'static str); 15] = [
        (Self::Full, "full"),
        (Self::GroupFull, "group_full"),
        (Self::Magic, "magic"),
        (Self::Length, "length"),
        (Self::Kind, "kind"),
        (Self::Mac, "mac"),
        (Self::NoBuffer, "no_buffer"),
        (Self::Slow, "slow"),
        (Self::Idle, "idle"),
        (Self::Unread, "unread"),
        (Self::Unanswered, "unanswered"),
        (Self::Refused, "refused"),
        (Self::Busy, "busy"),
        (Self::Overrun, "overrun"),
        (Self::Broken, "broken"),
    ];
}

/// One number that a thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: usize) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct StreamCounters {
    pub(crate) accepted: Count,
    pub(crate) connections: Count,
    pub(crate) asks: Count,
    pub(crate) asks_failed: Count,
    pub(crate) messages_in: Count,
    pub(crate) messages_out: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) buffers: Count,
    pub(crate) accept_errors: Count,
    cuts: [Count; Cut::NAMED.len()],
}

impl StreamCounters {
    pub(crate) fn cut(&self, cut: Cut) {
        self.cuts[cut as usize].add(1);
    }

    pub(crate) fn status(&self) -> StreamStatus {
        let cut = |(cut, name): &(Cut, &str)| ((*name).to_owned(), self.cuts[*cut as usize].read());
        StreamStatus {
            accepted: self.accepted.read(),
            connections: self.connections.read(),
            asks: self.asks.read(),
            asks_failed: self.asks_failed.read(),
            messages_in: self.messages_in.read(),
            messages_out: self.messages_out.read(),
            bytes_in: self.bytes_in.read(),
            bytes_out: self.bytes_out.read(),
            buffers: self.buffers.read(),
            accept_errors: self.accept_errors.read(),
            cut: Cut::NAMED.iter().map(cut).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cut_stands_at_its_own_number_under_a_name_of_its_own() {
        for (at, (cut, name)) in Cut::NAMED.iter().enumerate() {
            assert_eq!(*cut as usize, at, "{name}");
            assert_eq!(Cut::NAMED.iter().filter(|(_, other)| other == name).count(), 1);
        }
    }
}
