//! The system calls that move many datagrams at once, and those that move one for less,
//! behind a safe face.
//!
//! They are made by number. By their names in the C library each would be a place at which its
//! thread may be cancelled, which takes two locked instructions as soon as there are threads; none
//! of ours ever is. Of an argument that the kernel declares as an `int` it reads no more than that.

use std::cell::Cell;
use std::io;
use std::iter::once;
use std::mem::{size_of, zeroed};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Errno;

use super::control::{CONTROL_LEN, Control};
use super::name::{NAME_LEN, Name};
use super::run::Run;

/// Message heads for one call at a time.
///
/// The heads hold pointers: into this, and into what is lent for a call. Each call writes all that
/// it passes to the kernel from borrows that last until it returns; who has the kernel read later
/// ([`Outgoing::heads`]) keeps what they were taken from.
pub(super) struct Messages {
    heads: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    /// Of each head that sends a run: its control messages.
    controls: Box<[Control]>,
    /// Of each head laid for sending: the number of its first datagram. Behind the last of them
    /// stands how many datagrams there are.
    starts: Box<[usize]>,
    /// Heads laid for sending.
    laid_count: usize,
}

// SAFETY: the pointers inside are only ever used within one `&mut self` call, which writes
// them first (`receive`, `lay`); between calls they are dead values, so the thread that
// holds them does not matter.
unsafe impl Send for Messages {}

/// Memory into which one datagram is received.
pub(super) struct ReceiveSlot<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) name: &'a mut Name,
    pub(super) control: &'a mut Control,
}

/// One datagram to send.
#[derive(Clone, Copy)]
pub(super) struct SendSlot<'a> {
    pub(super) bytes: &'a [u8],
    /// The number of the socket that it leaves by.
    pub(super) exit_idx: usize,
    pub(super) name: &'a Name,
    pub(super) name_len: libc::socklen_t,
    pub(super) control: &'a Control,
    /// Zero for none.
    pub(super) control_len: usize,
}

impl SendSlot<'_> {
    /// From the same address of ours to the same of a peer's as `other`.
    pub(super) fn leaves_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.exit_idx == other.exit_idx
            && self.control_len == other.control_len
            && (self.control_len == 0 || self.control == other.control)
    }

    /// Its control messages, with the one by which the kernel cuts a run that it begins; also
    /// how many bytes of them count.
    fn control_with_segment(&self) -> (Control, usize) {
        // No datagram is longer than a UDP header can say.
        let len = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        self.control.with_segment(self.control_len, len)
    }
}

/// What the kernel says of one received datagram.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// Bytes in the slot.
    pub(super) len: usize,
    pub(super) name_len: libc::socklen_t,
    pub(super) control_len: usize,
    /// The datagram was longer than its slot.
    pub(super) truncated: bool,
}

impl Messages {
    /// Heads for calls of up to `count` datagrams.
    pub(super) fn new(count: usize) -> Self {
        // SAFETY: both are C structs of integers and pointers; all-zero bytes are a value of
        // each (no addresses, no lengths), by the kernel's definition of them.
        let (head, vector) = unsafe { (zeroed::<libc::mmsghdr>(), zeroed::<libc::iovec>()) };
        Self {
            heads: vec![head; count].into(),
            vectors: vec![vector; count].into(),
            controls: vec![Control::EMPTY; count].into(),
            starts: vec![0; count + 1].into(),
            laid_count: 0,
        }
    }

    /// Receives what waits on `fd` into `slots`, from the first on, and says how many came.
    /// Never blocks; slots beyond the heads are left alone.
    ///
    /// # Errors
    /// `AGAIN` if nothing waits; otherwise what the kernel says.
    pub(super) fn receive<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        slots: impl Iterator<Item = ReceiveSlot<'a>>,
    ) -> Result<usize, Errno> {
        let mut count: libc::c_uint = 0;
        for ((slot, head), vector) in slots.zip(&mut self.heads).zip(&mut self.vectors) {
            lay_receive(slot, head, vector);
            count += 1;
        }
        // SAFETY: `heads[..count]` were all written just above. Each `iovec`, name, control
        // and byte slice behind them comes from an exclusive borrow (the slots' live for
        // `'a`, which outlives this call; the vectors' for `&mut self`), with its length
        // given in full, so that the kernel writes only memory that nobody else looks at.
        // It keeps no pointer after it returns. `fd` is open as long as it is borrowed. No
        // timeout is passed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_recvmmsg,
                fd.as_raw_fd(),
                self.heads.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut::<libc::timespec>(),
            )
        };
        // A negative count is the one failure.
        usize::try_from(result).map_err(|_| last_error())
    }

    /// As [`Messages::receive`], one datagram into `slot`.
    ///
    /// # Errors
    /// `AGAIN` if nothing waits; otherwise what the kernel says.
    pub(super) fn receive_one(
        &mut self,
        fd: BorrowedFd<'_>,
        slot: ReceiveSlot<'_>,
    ) -> Result<(), Errno> {
        let (Some(head), Some(vector)) = (self.heads.first_mut(), self.vectors.first_mut()) else {
            return Err(Errno::INVAL);
        };
        lay_receive(slot, head, vector);
        // SAFETY: as of `recvmmsg` in `receive`: the head was written just above from borrows
        // that last until this returns, with their lengths in full, and the kernel keeps no
        // pointer.
        let result = unsafe {
            let head = &raw mut head.msg_hdr;
            libc::syscall(libc::SYS_recvmsg, fd.as_raw_fd(), head, libc::MSG_DONTWAIT)
        };
        // A negative length is the one failure; one that was received fits its slot.
        head.msg_len = libc::c_uint::try_from(result).map_err(|_| last_error())?;
        Ok(())
    }

    /// What the last [`Messages::receive`] brought into slot `idx`, of those that came.
    pub(super) fn arrival(&self, idx: usize) -> Arrival {
        let head = &self.heads[idx];
        Arrival {
            len: head.msg_len as usize,
            name_len: head.msg_hdr.msg_namelen,
            control_len: head.msg_hdr.msg_controllen as _,
            truncated: head.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Lays out `slots` for sending; slots beyond the heads are left out. A head each, or one for
    /// each run of them if they leave `in_runs`.
    pub(super) fn lay<'a, 'b: 'a>(
        &'a mut self,
        slots: impl Iterator<Item = SendSlot<'b>>,
        in_runs: bool,
    ) -> Outgoing<'a> {
        let Self { heads, vectors, controls, starts, laid_count } = self;
        // Cells: heads point to vectors of which more are still to be written.
        let vectors = Cell::from_mut(&mut vectors[..]).as_slice_of_cells();
        let mut slot_count = 0;
        let mut run: Option<Run<'b>> = None;
        *laid_count = 0;
        for (slot, vector) in slots.zip(vectors) {
            let (iov_base, iov_len) = (slot.bytes.as_ptr().cast_mut().cast(), slot.bytes.len());
            vector.set(libc::iovec { iov_base, iov_len });
            slot_count += 1;
            if let Some(run) = &mut run
                && in_runs
                && run.takes(&slot)
            {
                let idx = *laid_count - 1;
                let head = &mut heads[idx].msg_hdr;
                head.msg_iovlen = run.count() as _;
                if run.count() == 2 {
                    let control_len;
                    (controls[idx], control_len) = run.first().control_with_segment();
                    head.msg_control = controls[idx].as_ptr().cast_mut();
                    head.msg_controllen = control_len as _;
                }
                continue;
            }
            starts[*laid_count] = slot_count - 1;
            let head = &mut heads[*laid_count];
            *laid_count += 1;
            head.msg_len = 0;
            let head = &mut head.msg_hdr;
            head.msg_iov = vectors[slot_count - 1..].as_ptr().cast_mut().cast();
            head.msg_iovlen = 1;
            head.msg_name = slot.name.as_ptr().cast_mut();
            head.msg_namelen = slot.name_len.min(NAME_LEN);
            head.msg_control = slot.control.as_ptr().cast_mut();
            head.msg_controllen = slot.control_len.min(CONTROL_LEN) as _;
            head.msg_flags = 0;
            run = Some(Run::of(slot));
        }
        starts[*laid_count] = slot_count;
        Outgoing { heads: &mut heads[..*laid_count], starts: &starts[..=*laid_count] }
    }

    /// Offers one datagram to the kernel, for less than [`Messages::lay`] and a call for many would
    /// take. Never blocks.
    ///
    /// # Errors
    /// Why the kernel refused it.
    pub(super) fn send_alone(
        &mut self,
        fd: BorrowedFd<'_>,
        slot: SendSlot<'_>,
    ) -> Result<(), Errno> {
        if slot.control_len > 0 {
            let sent = self.lay(once(slot), false).send(fd);
            return sent.map(|_| ()).map_err(|refused| refused.errno);
        }
        let (bytes, name_len) = (slot.bytes, slot.name_len.min(NAME_LEN));
        // SAFETY: bytes and name are borrowed until this returns, and no longer than said; the
        // kernel only reads them, and keeps no pointer. `fd` is open as long as it is borrowed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sendto,
                fd.as_raw_fd(),
                bytes.as_ptr(),
                bytes.len(),
                libc::MSG_DONTWAIT,
                slot.name.as_ptr(),
                name_len,
            )
        };
        // A datagram leaves whole or not at all.
        if result < 0 { Err(last_error()) } else { Ok(()) }
    }

    /// Of the datagrams last laid out, those of each head.
    pub(super) fn laid(&self) -> impl Iterator<Item = Range<usize>> {
        self.starts[..=self.laid_count].windows(2).map(|ends| ends[0]..ends[1])
    }
}

/// Writes all of `head` and `vector` so that the kernel receives into `slot`.
fn lay_receive(slot: ReceiveSlot<'_>, head: &mut libc::mmsghdr, vector: &mut libc::iovec) {
    vector.iov_base = slot.bytes.as_mut_ptr().cast();
    vector.iov_len = slot.bytes.len();
    head.msg_len = 0;
    let head = &mut head.msg_hdr;
    head.msg_iov = ptr::from_mut(vector);
    head.msg_iovlen = 1;
    head.msg_name = slot.name.as_mut_ptr();
    head.msg_namelen = NAME_LEN;
    head.msg_control = slot.control.as_mut_ptr();
    head.msg_controllen = CONTROL_LEN as _;
    head.msg_flags = 0;
}

/// Datagrams laid out for sending; what they point to stays borrowed as long as this lives.
pub(super) struct Outgoing<'a> {
    heads: &'a mut [libc::mmsghdr],
    /// As those of [`Messages`], for these heads.
    starts: &'a [usize],
}

impl Outgoing<'_> {
    /// Of each head, for a kernel that reads it later: the number of its first datagram, and the
    /// head itself, good until the next [`Messages::lay`] or [`Messages::receive`], while what it
    /// was laid from stays.
    pub(super) fn heads(&self) -> impl Iterator<Item = (usize, *const libc::msghdr)> {
        self.starts.iter().copied().zip(self.heads.iter().map(|head| &raw const head.msg_hdr))
    }

    /// Offers all to the kernel, and says what it took, from the first on. Never blocks.
    ///
    /// # Errors
    /// [`Refused`] says why the kernel did not take the first; what it thinks of one further on
    /// it tells when that is the first.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>) -> Result<Taken, Refused> {
        let Self { heads, starts } = self;
        let taken = match heads {
            [] => Ok(0),
            [head] => send_one(fd, &head.msg_hdr).map(|()| 1),
            heads => send_many(fd, heads),
        };
        match taken {
            Ok(packets) => Ok(Taken { packets, datagrams: starts[packets] }),
            Err(errno) => Err(Refused { errno, is_run: starts[1] > 1 }),
        }
    }
}

/// What the kernel took.
pub(super) struct Taken {
    /// Datagrams, and runs as one each.
    pub(super) packets: usize,
    pub(super) datagrams: usize,
}

/// Why the kernel did not take what was offered first.
pub(super) struct Refused {
    pub(super) errno: Errno,
    /// It was a run: its datagrams may leave one by one.
    pub(super) is_run: bool,
}

/// Offers the datagrams of `heads`, which [`Messages::lay`] has written, and says how many of the
/// heads the kernel took.
fn send_many(fd: BorrowedFd<'_>, heads: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = libc::c_uint::try_from(heads.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: every head comes from an `Outgoing`, so it was written by `lay` from borrows that
    // still live, with lengths no longer than what is borrowed (names and controls are cut to
    // their arrays; the vectors of a run lie side by side). The kernel reads through those
    // pointers and writes nothing but `msg_len` in the heads, which are exclusively ours; it
    // keeps no pointer after it returns (zero copy is not asked for). `fd` is open as long as it
    // is borrowed.
    let result = unsafe {
        let (fd, heads) = (fd.as_raw_fd(), heads.as_mut_ptr());
        libc::syscall(libc::SYS_sendmmsg, fd, heads, count, libc::MSG_DONTWAIT)
    };
    usize::try_from(result).map_err(|_| last_error())
}

/// Offers the datagram of `head`, or the run, which [`Messages::lay`] has written.
fn send_one(fd: BorrowedFd<'_>, head: &libc::msghdr) -> Result<(), Errno> {
    // SAFETY: as of `sendmmsg` in `send_many`: the head comes from an `Outgoing`, the kernel only
    // reads what it names, and keeps no pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_sendmsg, fd.as_raw_fd(), ptr::from_ref(head), libc::MSG_DONTWAIT)
    };
    // A datagram leaves whole or not at all.
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

/// Turns on a socket option whose value is an `int`.
///
/// # Errors
/// What the kernel says.
pub(super) fn set_flag(
    fd: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
) -> Result<(), Errno> {
    set_int(fd, level, option, 1)
}

/// Sets a socket option whose value is an `int`.
///
/// # Errors
/// What the kernel says.
pub(super) fn set_int(
    fd: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    const LEN: libc::socklen_t = 4;
    const _: () = assert!(size_of::<libc::c_int>() == LEN as usize);
    // SAFETY: the pointer and the length are those of `value`, which lives through the call;
    // the kernel only reads it. `fd` is open as long as it is borrowed.
    let result = unsafe {
        libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, ptr::from_ref(&value).cast(), LEN)
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Why the system call just made on this thread failed.
pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
