//! What leaves: slots to lay datagrams into, sent many in one entry of the ring.

use std::os::fd::AsFd;

use kdht_core::{Outbox, Route};
use rustix::io::Errno;

use super::super::datapath::{DatapathCounters, SharedFd};
use super::super::drafts::Drafts;
use super::super::drain::{Refusal, drain};
use super::super::messages::Messages;
use super::super::run::Runs;
use super::super::socket::Socket;
use super::ring::Ring;

/// Entries of the ring for one flush, at most; each but the first is for a kernel that did
/// not take all that was asked.
const ENTER_COUNT_MAX: usize = 16;

/// The outbox of a [`Uring`](super::Uring).
///
/// When all slots are taken they are flushed first, and what the kernel has no room for is
/// dropped and counted. No slot is handed out only while the kernel, for want of memory,
/// has not even taken notice of what was flushed.
pub struct UringOutbox {
    /// Before what its entries point to: it is dropped first.
    pub(super) ring: Ring,
    fds: Box<[SharedFd]>,
    drafts: Drafts,
    messages: Messages,
    /// Committed slots whose outcome is not known.
    sent_idxs: Vec<usize>,
    /// An error left over from before was told in this flush: those that it was told for are tried
    /// once more.
    is_second_try: bool,
    runs: Runs,
    /// The batch is one datagram that came without the ring, which has nothing new then.
    pub(super) is_answering_lone: bool,
    /// Those of the whole datapath: kept here, since they count while a batch is lent.
    pub(super) counters: DatapathCounters,
}

impl UringOutbox {
    pub(super) fn new(ring: Ring, slot_count: usize, sockets: &[Socket]) -> Self {
        Self {
            ring,
            fds: sockets.iter().map(|socket| socket.fd().clone()).collect(),
            drafts: Drafts::new(slot_count, sockets),
            messages: Messages::new(slot_count),
            sent_idxs: Vec::with_capacity(slot_count),
            is_second_try: false,
            runs: Runs::of(sockets),
            is_answering_lone: false,
            counters: DatapathCounters::default(),
        }
    }

    /// Hands what is committed to the kernel, in one call unless it takes less, and frees
    /// all slots of which it told the outcome. What came meanwhile is taken in as well.
    pub(super) fn flush(&mut self) {
        self.drafts.close();
        if self.drafts.count() == 0 {
            return;
        }
        if self.sent_idxs.is_empty()
            && self.drafts.count() == 1
            && (self.is_answering_lone || !self.ring.must_enter())
        {
            return self.send_alone();
        }
        if self.sent_idxs.is_empty() {
            self.sent_idxs.extend(0..self.drafts.count());
            self.is_second_try = false;
            self.runs.begin();
            self.ask();
        }
        let was_announcing = self.ring.hold_back();
        while self.submit() {
            self.settle();
            if self.sent_idxs.is_empty() {
                self.drafts.clear();
                break;
            }
            self.ask();
        }
        if was_announcing {
            self.ring.announce_again(&mut self.counters);
        }
    }

    /// Hands over the only committed datagram while nothing is to be taken in. An entry
    /// of the ring brings nothing else then, and costs more than a call that sends.
    fn send_alone(&mut self) {
        let Self { fds, drafts, messages, counters, .. } = self;
        // Nothing is in flight, so the heads are free.
        let slot = drafts.send_slot(0);
        let fd = &fds[slot.exit_idx];
        drain(1, counters, |_, counters| {
            messages.send_alone(fd.as_fd(), slot)?;
            counters.packets_out += 1;
            counters.datagrams_out += 1;
            counters.bytes_out += drafts.datagram_len(0);
            Ok(1)
        });
        drafts.clear();
    }

    /// Asks for all sends of `sent_idxs`.
    fn ask(&mut self) {
        let Self { ring, drafts, messages, sent_idxs, runs, .. } = self;
        let slots = sent_idxs.iter().map(|&idx| drafts.send_slot(idx));
        let outgoing = messages.lay(slots, runs.are_made());
        for (number, (first, head)) in outgoing.heads().enumerate() {
            let exit_idx = drafts.send_slot(sent_idxs[first]).exit_idx;
            // SAFETY: the heads and what they point to (vectors, names, control messages,
            // payloads) lie in boxes of this outbox, which neither move nor go before the ring.
            // They are written by `lay`, which is called only when nothing is in flight, and by
            // `slot` and `commit`, which touch no committed slot; slots become free only in
            // `flush`, once the outcome of every send is known.
            let is_asked = unsafe { ring.send(exit_idx, head, number) };
            // The ring was made for as many entries as there are slots and sockets, and
            // what a flush before did not get rid of keeps this one from asking.
            assert!(is_asked, "the ring has a place for each slot");
        }
    }

    /// Enters the ring until all sends completed; false if that does not come about.
    fn submit(&mut self) -> bool {
        for _ in 0..ENTER_COUNT_MAX {
            if self.ring.in_flight_count == 0 {
                break;
            }
            self.counters.send_syscalls += 1;
            // What it does not take now it may take the next time.
            let _ = self.ring.enter(&mut self.counters);
        }
        self.ring.in_flight_count == 0
    }

    /// Counts what became of `sent_idxs` and keeps those to be tried once more: those of a run, one
    /// by one, and those that were told a leftover error, once, since it is cleared by being told.
    fn settle(&mut self) {
        let Self { ring, drafts, messages, sent_idxs, is_second_try, runs, counters, .. } = self;
        let was_second_try = std::mem::replace(is_second_try, false);
        let mut kept_count = 0;
        for (datagrams, result) in messages.laid().zip(&ring.results) {
            if *result >= 0 {
                let lens = sent_idxs[datagrams.clone()].iter().map(|&idx| drafts.datagram_len(idx));
                counters.bytes_out += lens.sum::<u64>();
                counters.datagrams_out += datagrams.len() as u64;
                counters.packets_out += 1;
                runs.note_sent(sent_idxs[datagrams.start]);
                continue;
            }
            let errno = Errno::from_raw_os_error(result.saturating_neg());
            let refusal = Refusal::of(errno);
            let is_run = datagrams.len() > 1;
            let is_leftover = refusal == Refusal::Leftover;
            if is_run {
                runs.note_refused(errno, sent_idxs[datagrams.start], counters);
            } else if !is_leftover || was_second_try {
                refusal.count(1, counters);
                continue;
            }
            *is_second_try |= is_leftover;
            sent_idxs.copy_within(datagrams.clone(), kept_count);
            kept_count += datagrams.len();
        }
        sent_idxs.truncate(kept_count);
    }
}

impl Outbox for UringOutbox {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        if self.drafts.is_full() || !self.sent_idxs.is_empty() {
            self.counters.outbox_full += 1;
            self.flush();
            if !self.sent_idxs.is_empty() {
                return None;
            }
        }
        Some(self.drafts.slot(route))
    }

    /// # Panics
    /// If no slot was handed out since the last commit or flush, or `len` exceeds
    /// [`DATAGRAM_LEN_MAX`](kdht_wire::DATAGRAM_LEN_MAX).
    fn commit(&mut self, len: usize) {
        let has_exit = self.drafts.commit(len).is_some();
        self.counters.send_errors_unreachable += u64::from(!has_exit);
    }
}
