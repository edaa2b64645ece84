//! The ring itself: what is asked of the kernel and what it completed.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::sync::atomic::{Ordering, fence};

use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode};
use rustix::io::Errno;

use super::super::control::CONTROL_LEN;
use super::super::datapath::{DatapathCounters, SharedFd};
use super::super::name::NAME_LEN;
use super::super::wake::{Waker, Wakeup};
use super::buffers::Buffers;
use super::probe::UringUnavailable;

/// Marks the completions of sends; those of receives bear their socket's index alone.
const SEND: u64 = 1 << 32;

/// Marks the completion of clearing the eventfd.
const CLEAR: u64 = 1 << 33;

/// An idle ring looks after so many receives in vain whether its descriptor is readable
/// for something that was received long ago.
const STALE_CHECK: u32 = 16;

/// Entries for a ring's end, at most.
const QUIESCE_COUNT_MAX: usize = 4;

/// A ring with its sockets, driven by one thread: the first that enters it.
///
/// Completions come about in [`Ring::enter`] alone (DEFER_TASKRUN): between two calls the
/// kernel only notes that a datagram came, raises a flag in shared memory and, if asked,
/// signals an eventfd.
pub(super) struct Ring {
    uring: IoUring,
    wakeup: Wakeup,
    waker: Waker,
    /// The driving thread is known to the kernel.
    is_owned: bool,
    /// The eventfd is signalled when there is work.
    is_announcing: bool,
    /// Receives in vain since then.
    idle_count: u32,
    /// What a receive asks for beside the payload.
    template: Box<libc::msghdr>,
    /// Where the kernel puts the eventfd's count, which nobody reads.
    cleared: Box<UnsafeCell<[u8; 8]>>,
    pub(super) intakes: Box<[Intake]>,
    /// What became of each send, as the kernel tells it.
    pub(super) results: Box<[i32]>,
    /// Sends not yet completed.
    pub(super) in_flight_count: usize,
}

/// The receiving side of one socket.
pub(super) struct Intake {
    /// A multishot receive is under way.
    is_receiving: bool,
    /// Buffers that hold datagrams.
    pub(super) lent_count: u16,
    buffer_count: u16,
    /// Datagrams that came, oldest first; at most one for each buffer.
    pub(super) waiting: VecDeque<Filled>,
}

/// A buffer that the kernel filled.
#[derive(Clone, Copy)]
pub(super) struct Filled {
    pub(super) buffer_id: u16,
    /// Bytes, from the buffer's begin; negative for an error.
    pub(super) result: i32,
}

// SAFETY: the pointers in `template` are null; those in queued entries point to memory of
// the same owner as this value, which moves with it. The kernel ties a ring to a thread by
// its own means and refuses others.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring over `fds`, each receiving into its own of `buffers`, for up to `send_count`
    /// sends at once.
    ///
    /// # Errors
    /// `UringUnavailable` says what the host is lacking or forbids.
    pub(super) fn new(
        fds: &[SharedFd],
        buffers: &[Buffers],
        send_count: usize,
    ) -> Result<Self, UringUnavailable> {
        let wakeup = Wakeup::new().map_err(|error| UringUnavailable::of(&error))?;
        let buffer_count: usize = buffers.iter().map(|group| usize::from(group.count())).sum();
        // One completion for each buffer and send, two ends of each receive and a cleared
        // eventfd: there is always room for all that can complete.
        let entry_count = entries(send_count + buffers.len() + 1);
        let completion_count = entries(send_count + buffer_count + 2 * buffers.len() + 1);
        let uring = IoUring::builder()
            .dontfork()
            // Whoever makes a ring need not be the thread that drives it.
            .setup_r_disabled()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(completion_count)
            .build(entry_count)
            .map_err(|error| UringUnavailable::of(&error))?;
        let submitter = uring.submitter();
        if !fds.is_empty() {
            let fds: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
            submitter.register_files(&fds).map_err(|error| UringUnavailable::of(&error))?;
        }
        for (group_id, group) in (0..).zip(buffers) {
            // SAFETY: the address is that of a ring of so many entries, page-aligned. It
            // lives until the datapath drops it, after this ring (`Uring`'s order of
            // fields), and is leaked if this ring could not be made quiet.
            unsafe {
                submitter.register_buf_ring_with_flags(
                    group.entries_addr(),
                    group.count(),
                    group_id,
                    0,
                )
            }
            .map_err(|error| UringUnavailable::of(&error))?;
        }
        let eventfd = wakeup.fd().as_raw_fd();
        submitter.register_eventfd(eventfd).map_err(|error| UringUnavailable::of(&error))?;
        let mut ring = Self {
            uring,
            waker: wakeup.waker(),
            wakeup,
            is_owned: false,
            is_announcing: false,
            idle_count: 0,
            template: Box::new(template()),
            cleared: Box::new(UnsafeCell::new([0; 8])),
            intakes: buffers.iter().map(Intake::new).collect(),
            results: vec![0; send_count].into(),
            in_flight_count: 0,
        };
        ring.uring.completion().disable_eventfd();
        Ok(ring)
    }

    /// Readable when there is work, from [`Ring::announce`] to [`Ring::hush`].
    pub(super) fn fd(&self) -> &SharedFd {
        self.wakeup.fd()
    }

    /// Datagrams that came and wait to be taken.
    pub(super) fn waiting_count(&self) -> usize {
        self.intakes.iter().map(|intake| intake.waiting.len()).sum()
    }

    /// The kernel has something that only [`Ring::enter`] brings.
    pub(super) fn must_enter(&mut self) -> bool {
        let queue = self.uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// All that the kernel has are events of sockets; nothing is asked of it.
    pub(super) fn has_events_alone(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.is_empty() && !queue.cq_overflow()
    }

    /// Asks for a receive on each socket that has none and has memory for one.
    pub(super) fn listen(&mut self) {
        for (idx, intake) in (0_u16..).zip(&mut self.intakes) {
            if intake.is_receiving || intake.lent_count == intake.buffer_count {
                continue;
            }
            let receive =
                opcode::RecvMsgMulti::new(Fixed(idx.into()), &raw const *self.template, idx)
                    .build()
                    .user_data(idx.into());
            // SAFETY: the template lives in a box of this ring's and is never changed. The
            // buffers that the receive writes are those of the group, whose memory outlives
            // this ring (see `new`) and is nobody else's while it is the kernel's.
            intake.is_receiving = unsafe { self.uring.submission().push(&receive) }.is_ok();
        }
    }

    /// Asks that `head` be sent by socket `socket_idx`; its outcome goes to
    /// `results[result_idx]`. False: the queue is full.
    ///
    /// # Safety
    /// `head` and all that it points to stay in place and unchanged until the send has
    /// completed, which [`Ring::in_flight_count`] tells, or this ring is dropped.
    pub(super) unsafe fn send(
        &mut self,
        socket_idx: usize,
        head: *const libc::msghdr,
        result_idx: usize,
    ) -> bool {
        // Without waiting the kernel sends or refuses while it is entered; it never keeps
        // the datagram for later.
        let socket = Fixed(u32::try_from(socket_idx).unwrap_or(u32::MAX));
        let send = opcode::SendMsg::new(socket, head)
            .flags(libc::MSG_DONTWAIT.cast_unsigned())
            .build()
            .user_data(SEND | result_idx as u64);
        // SAFETY: the caller keeps what the entry points to.
        let is_pushed = unsafe { self.uring.submission().push(&send) }.is_ok();
        self.in_flight_count += usize::from(is_pushed);
        is_pushed
    }

    /// Hands over what is asked and takes in what completed; never waits. Datagrams that
    /// came are taken in only if none are waiting already: this bounds the buffers used.
    ///
    /// # Errors
    /// What the kernel says; what it did not take stays asked.
    ///
    /// # Panics
    /// If another thread entered this ring before.
    pub(super) fn enter(&mut self, counters: &mut DatapathCounters) -> Result<(), Errno> {
        if !self.is_owned {
            self.uring.submitter().register_enable_rings().map_err(|error| errno(&error))?;
            self.is_owned = true;
        }
        let asked_count = u32::try_from(self.uring.submission().len()).unwrap_or(u32::MAX);
        let may_receive = self.waiting_count() == 0;
        let flags = if may_receive { EnterFlags::GETEVENTS.bits() } else { 0 };
        // SAFETY: no argument is passed; the count is that of entries in the queue, of which
        // each was pushed with its own proof.
        let entered =
            unsafe { self.uring.submitter().enter::<libc::sigset_t>(asked_count, 0, flags, None) };
        self.reap(counters);
        let entered = entered.map_err(|error| errno(&error));
        assert!(entered != Err(Errno::EXIST), "a ring is driven by one thread");
        entered.map(|_| ())
    }

    /// Takes in what completed, without a system call.
    pub(super) fn reap(&mut self, counters: &mut DatapathCounters) {
        for completion in self.uring.completion() {
            let (mark, result) = (completion.user_data(), completion.result());
            if mark == CLEAR {
                continue;
            }
            if mark & SEND != 0 {
                self.results[place_of(mark & !SEND)] = result;
                self.in_flight_count -= 1;
                continue;
            }
            let intake = &mut self.intakes[place_of(mark)];
            if !cqueue::more(completion.flags()) {
                intake.is_receiving = false;
            }
            if let Some(buffer_id) = cqueue::buffer_select(completion.flags()) {
                intake.lent_count += 1;
                intake.waiting.push_back(Filled { buffer_id, result });
            } else {
                match Errno::from_raw_os_error(result.saturating_neg()) {
                    Errno::NOBUFS => counters.receive_starved += 1,
                    // It is asked for again; nothing was lost.
                    Errno::CANCELED => {}
                    _ => counters.receive_errors += 1,
                }
            }
        }
    }

    /// Begins to signal the eventfd when work comes. False: work is there already, and
    /// nothing is announced.
    pub(super) fn announce(&mut self) -> bool {
        self.uring.completion().enable_eventfd();
        self.is_announcing = !self.has_work();
        self.idle_count = 0;
        if !self.is_announcing {
            self.uring.completion().disable_eventfd();
        }
        self.is_announcing
    }

    /// Work that came is announced.
    pub(super) fn is_announcing(&self) -> bool {
        self.is_announcing
    }

    /// Ends announcing, and takes back what was announced with the next entry.
    pub(super) fn hush(&mut self) {
        self.uring.completion().disable_eventfd();
        self.is_announcing = false;
        let count = self.cleared.get().cast();
        let clear = opcode::Read::new(Fd(self.wakeup.fd().as_raw_fd()), count, 8)
            // An eventfd has no places to read at, which this one stands for.
            .offset(u64::MAX)
            .rw_flags(libc::RWF_NOWAIT)
            .build()
            .user_data(CLEAR);
        // SAFETY: the kernel writes eight bytes into a box of this ring's that nothing else
        // touches; it does so while it is entered, since it may not wait. A full queue only
        // leaves the eventfd readable, which costs the sleeper a vain round.
        let _ = unsafe { self.uring.submission().push(&clear) };
    }

    /// A receive found nothing, though it was announced: the kernel may have signalled just
    /// after what it announced was received, and nobody else would ever take that back.
    pub(super) fn note_idle(&mut self, counters: &mut DatapathCounters) {
        self.idle_count += 1;
        if self.idle_count.is_multiple_of(STALE_CHECK) {
            counters.receive_syscalls += 1;
            self.wakeup.clear();
            if self.has_work() {
                self.waker.wake();
            }
        }
    }

    /// Holds back signals until [`Ring::announce_again`], which must follow if this says
    /// true: what the caller does meanwhile is not to wake itself.
    pub(super) fn hold_back(&mut self) -> bool {
        if self.is_announcing {
            self.uring.completion().disable_eventfd();
        }
        self.is_announcing
    }

    /// Announces again after [`Ring::hold_back`], also what came since.
    pub(super) fn announce_again(&mut self, counters: &mut DatapathCounters) {
        self.uring.completion().enable_eventfd();
        if self.has_work() {
            counters.send_syscalls += 1;
            self.waker.wake();
        }
    }

    /// Ends all requests. False: the kernel did not confirm it, and may still write to the
    /// buffers.
    pub(super) fn quiesce(&mut self) -> bool {
        if !self.is_owned {
            return true;
        }
        let ignored = &mut DatapathCounters::default();
        for _ in 0..QUIESCE_COUNT_MAX {
            let cancelled = self.uring.submitter().register_sync_cancel(None, CancelBuilder::any());
            match cancelled.map_err(|error| errno(&error)) {
                Ok(()) | Err(Errno::NOENT) => {}
                // Such as that this is not the ring's thread.
                Err(_) => return false,
            }
            // What is cancelled holds its socket until its completion is taken in. This
            // also begins what was still to begin, for the next round to cancel.
            self.intakes.iter_mut().for_each(|intake| intake.waiting.clear());
            if self.enter(ignored).is_err() {
                return false;
            }
            if !self.intakes.iter().any(|intake| intake.is_receiving) {
                // The kernel lets go of the sockets at once, so that their ports are free.
                let _ = self.uring.submitter().unregister_files();
                return true;
            }
        }
        false
    }

    /// Something waits that was not announced since announcing began.
    fn has_work(&mut self) -> bool {
        // The kernel raises its flag and then looks whether to signal; we ask for signals
        // and then look at its flag: in this order one of the two sees the other.
        fence(Ordering::SeqCst);
        let can_listen = |it: &Intake| !it.is_receiving && it.lent_count < it.buffer_count;
        self.waiting_count() > 0
            || self.intakes.iter().any(can_listen)
            || !self.uring.completion().is_empty()
            || self.must_enter()
    }
}

impl Intake {
    fn new(buffers: &Buffers) -> Self {
        Self {
            is_receiving: false,
            lent_count: 0,
            buffer_count: buffers.count(),
            waiting: VecDeque::with_capacity(buffers.count().into()),
        }
    }
}

/// What each receive asks for: the peer's address and control messages.
fn template() -> libc::msghdr {
    // SAFETY: a C struct of integers and pointers, of which all-zero bytes are a value.
    let mut head = unsafe { zeroed::<libc::msghdr>() };
    head.msg_namelen = NAME_LEN;
    head.msg_controllen = CONTROL_LEN as _;
    head
}

/// A queue's size for `count` entries.
fn entries(count: usize) -> u32 {
    u32::try_from(count.next_power_of_two()).unwrap_or(u32::MAX)
}

/// An index that was put into a completion's mark.
fn place_of(mark: u64) -> usize {
    usize::try_from(mark).unwrap_or(usize::MAX)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
