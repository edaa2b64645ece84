//! Sleeping until a descriptor is readable.

use std::error::Error;
use std::fmt;
use std::iter::Enumerate;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::slice;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::datapath::SharedFd;

/// Waits for any of a fixed set of descriptors, in one system call and without allocating.
///
/// It keeps its descriptors open: a socket's port is free again once the waiter is gone too.
pub struct Waiter {
    polled: Vec<PollFd<'static>>,
    /// What the borrows in `polled` stand on; never changed, never handed out.
    _fds: Vec<SharedFd>,
}

impl Waiter {
    /// A waiter for `fds`; a descriptor's index here is its index in [`Ready`].
    #[must_use]
    pub fn new(fds: &[SharedFd]) -> Self {
        let fds = fds.to_vec();
        let polled = fds.iter().map(|fd| PollFd::from_borrowed_fd(lent(fd), PollFlags::IN));
        Self { polled: polled.collect(), _fds: fds }
    }

    /// Sleeps until a descriptor is readable or has an error to tell, or `timeout` is over
    /// (`None`: never), or a signal comes. Nothing ready means one of the latter two: look
    /// at the clock. Cost: linear in the number of descriptors.
    ///
    /// # Errors
    /// `WaitError` if the host cannot wait at all; an answer at once, so a caller that goes
    /// on anyway must pause by other means.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Ready<'_>, WaitError> {
        // What is too long for the kernel to count is for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let left = match poll(&mut self.polled, timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(Errno::NOMEM) => return Err(WaitError::Memory),
            Err(Errno::INVAL) => return Err(WaitError::DescriptorLimit(self.polled.len())),
            Err(errno) => return Err(WaitError::Other(errno.raw_os_error())),
        };
        Ok(Ready { polled: self.polled.iter().enumerate(), left })
    }
}

/// `fd`, for as long as a [`Waiter`] keeps it.
fn lent(fd: &SharedFd) -> BorrowedFd<'static> {
    // SAFETY: the descriptor must stay open while the borrow is used. The borrow goes only
    // into the `polled` of a waiter whose `_fds` holds a clone of `fd`; neither leaves the
    // waiter or is changed, and `polled` is used in its methods alone, so the descriptor is
    // open at every use.
    unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }
}

/// The indexes of the descriptors that are ready, lowest first.
#[derive(Clone)]
pub struct Ready<'a> {
    polled: Enumerate<slice::Iter<'a, PollFd<'static>>>,
    /// Ready ones not yet told.
    left: usize,
}

impl Iterator for Ready<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // After a signal the kernel's marks are those of an earlier wait: only its count
        // is to be trusted.
        self.left = self.left.checked_sub(1)?;
        self.polled.find(|(_, polled)| !polled.revents().is_empty()).map(|(idx, _)| idx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Ready<'_> {}

/// Why the host cannot wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WaitError {
    /// The kernel has no memory for the wait.
    Memory,
    /// So many descriptors are above the limit of open descriptors.
    DescriptorLimit(usize),
    /// Any other error number of the host's.
    Other(i32),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory => f.write_str("the kernel has no memory to wait for descriptors"),
            Self::DescriptorLimit(have) => {
                write!(f, "{have} descriptors exceed the limit; raise `ulimit -n`")
            }
            Self::Other(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Error for WaitError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::super::wake::Wakeup;
    use super::*;

    #[test]
    fn a_wait_for_nothing_ends_with_its_timeout() {
        let wakeup = Wakeup::new().unwrap();
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        let start = Instant::now();
        assert_eq!(waiter.wait(Some(Duration::from_micros(10_500))).unwrap().count(), 0);
        assert!(start.elapsed() >= Duration::from_micros(10_500));
        assert_eq!(Waiter::new(&[]).wait(Some(Duration::ZERO)).unwrap().count(), 0);
    }

    #[test]
    fn the_ready_indexes_are_those_awake_whatever_the_wait_before_found() {
        let wakeups: Vec<Wakeup> = (0..200).map(|_| Wakeup::new().unwrap()).collect();
        let fds: Vec<SharedFd> = wakeups.iter().map(|wakeup| wakeup.fd().clone()).collect();
        let mut waiter = Waiter::new(&fds);
        for step in [1, 3, 7, 50, 199] {
            let awake: Vec<usize> = (0..200).step_by(step).collect();
            awake.iter().for_each(|&idx| wakeups[idx].waker().wake());
            let ready = waiter.wait(None).unwrap();
            assert_eq!(ready.len(), awake.len());
            assert_eq!(ready.collect::<Vec<_>>(), awake);
            awake.iter().for_each(|&idx| assert!(wakeups[idx].clear()));
        }
    }

    #[test]
    fn a_signal_ends_a_wait_with_nothing_ready() {
        extern "C" fn heard(_: libc::c_int) {}
        // SAFETY: the handler does nothing, so it may run anywhere; nothing else in these
        // tests uses this signal. `pthread_self` has no conditions.
        let waiting = unsafe {
            let handler: extern "C" fn(libc::c_int) = heard;
            libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
            libc::pthread_self()
        };
        let wakeup = Wakeup::new().unwrap();
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        wakeup.waker().wake();
        assert_eq!(waiter.wait(None).unwrap().count(), 1);
        wakeup.clear();

        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Again and again, since the first may come before the wait.
                while !ended.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                    // SAFETY: the waiting thread lives until this scope has ended.
                    unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                }
            });
            let ready = waiter.wait(None).unwrap().count();
            ended.store(true, Ordering::Relaxed);
            assert_eq!(ready, 0);
        });
    }

    #[test]
    fn a_descriptor_stays_open_as_long_as_its_waiter() {
        let wakeup = Wakeup::new().unwrap();
        let waker = wakeup.waker();
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        drop(wakeup);
        waker.wake();
        drop(waker);
        assert_eq!(waiter.wait(None).unwrap().collect::<Vec<_>>(), [0]);
    }
}
