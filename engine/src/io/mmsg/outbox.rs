//! What leaves: slots to lay datagrams into, emptied by sendmmsg.

use std::os::fd::AsFd;

use kdht_core::{Outbox, Route};

use super::super::datapath::{DatapathCounters, SharedFd};
use super::super::drafts::Drafts;
use super::super::drain::drain;
use super::super::messages::{Messages, Refused, Taken};
use super::super::run::Runs;
use super::super::socket::Socket;

/// The outbox of an [`Mmsg`](super::Mmsg).
///
/// There is always a slot: when all are taken they are flushed first, and what the kernel
/// has no room for is dropped and counted.
pub struct MmsgOutbox {
    exits: Box<[Exit]>,
    drafts: Drafts,
    messages: Messages,
    runs: Runs,
    /// Those of the whole datapath: kept here, since they count while a batch is lent.
    pub(super) counters: DatapathCounters,
}

/// A socket to leave by.
struct Exit {
    fd: SharedFd,
    /// Slots that leave here, in order of commitment.
    slot_idxs: Vec<usize>,
}

impl MmsgOutbox {
    pub(super) fn new(slot_count: usize, sockets: &[Socket]) -> Self {
        let exit = |socket: &Socket| Exit {
            fd: socket.fd().clone(),
            slot_idxs: Vec::with_capacity(slot_count),
        };
        Self {
            exits: sockets.iter().map(exit).collect(),
            drafts: Drafts::new(slot_count, sockets),
            messages: Messages::new(slot_count),
            runs: Runs::of(sockets),
            counters: DatapathCounters::default(),
        }
    }

    /// Hands what is committed to the kernel, each exit's in one call unless some are
    /// refused, and frees all slots.
    pub(super) fn flush(&mut self) {
        // A slot handed out but not committed lies behind those that leave; its place
        // changes, so it must be asked for again.
        self.drafts.close();
        let Self { exits, drafts, messages, runs, counters } = self;
        runs.begin();
        for Exit { fd, slot_idxs: idxs } in exits {
            drain(idxs.len(), counters, |first, counters| {
                if let [idx] = idxs[first..] {
                    messages.send_alone(fd.as_fd(), drafts.send_slot(idx))?;
                    counters.packets_out += 1;
                    counters.datagrams_out += 1;
                    counters.bytes_out += drafts.datagram_len(idx);
                    return Ok(1);
                }
                let mut send = |in_runs| {
                    let slots = idxs[first..].iter().map(|&idx| drafts.send_slot(idx));
                    messages.lay(slots, in_runs).send(fd.as_fd())
                };
                let mut sent = send(runs.are_made());
                if let Err(Refused { errno, is_run: true }) = sent {
                    runs.note_refused(errno, idxs[first], counters);
                    counters.send_syscalls += 1;
                    sent = send(false);
                    if sent.is_ok() {
                        runs.note_sent(idxs[first]);
                    }
                }
                let Taken { packets, datagrams } = sent.map_err(|refused| refused.errno)?;
                let taken_idxs = &idxs[first..][..datagrams];
                counters.packets_out += packets as u64;
                counters.datagrams_out += datagrams as u64;
                counters.bytes_out +=
                    taken_idxs.iter().map(|&idx| drafts.datagram_len(idx)).sum::<u64>();
                Ok(datagrams)
            });
            idxs.clear();
        }
        drafts.clear();
    }
}

impl Outbox for MmsgOutbox {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        if self.drafts.is_full() {
            self.counters.outbox_full += 1;
            self.flush();
        }
        Some(self.drafts.slot(route))
    }

    /// # Panics
    /// If no slot was handed out since the last commit or flush, or `len` exceeds
    /// [`DATAGRAM_LEN_MAX`](kdht_wire::DATAGRAM_LEN_MAX).
    fn commit(&mut self, len: usize) {
        let slot_idx = self.drafts.count();
        match self.drafts.commit(len) {
            Some(idx) => self.exits[idx].slot_idxs.push(slot_idx),
            None => self.counters.send_errors_unreachable += 1,
        }
    }
}
