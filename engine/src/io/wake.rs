//! How another thread ends a wait.

use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use super::datapath::SharedFd;

/// The waiting side: its descriptor is readable from a [`Waker::wake`] to the next
/// [`Wakeup::clear`].
#[derive(Debug)]
pub struct Wakeup {
    fd: SharedFd,
}

/// The waking side, as many as are wanted.
#[derive(Clone, Debug)]
pub struct Waker {
    fd: SharedFd,
}

impl Wakeup {
    /// A new wakeup, not yet awake.
    ///
    /// # Errors
    /// The host's error, such as at the limit of open descriptors.
    pub fn new() -> std::io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd: Arc::new(fd) })
    }

    /// One more waker of this wakeup.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { fd: self.fd.clone() }
    }

    /// Takes notice of all wakes so far, and says whether there were any. To miss none,
    /// clear first and then look for what the waker announced.
    pub fn clear(&self) -> bool {
        // The only refusal an eventfd has is that there is nothing to clear.
        read(&*self.fd, &mut [0; 8]).is_ok()
    }

    /// The descriptor to wait for.
    #[must_use]
    pub fn fd(&self) -> &SharedFd {
        &self.fd
    }
}

impl Waker {
    /// Makes the wakeup's descriptor readable. Never blocks; wakes that come before a clear
    /// are one.
    pub fn wake(&self) {
        let written = write(&*self.fd, &1_u64.to_ne_bytes());
        // It would block only at a count of 2^64 - 1.
        assert!(matches!(written, Ok(8)), "eventfd: {written:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::wait::Waiter;
    use super::*;

    #[test]
    fn a_waker_on_another_thread_ends_a_wait() {
        let wakeup = Wakeup::new().unwrap();
        let waker = wakeup.waker();
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        let start = Instant::now();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let ready: Vec<usize> = waiter.wait(Some(Duration::from_secs(20))).unwrap().collect();
        assert_eq!(ready, [0]);
        assert!(start.elapsed() < Duration::from_secs(10));
        other.join().unwrap();
    }

    #[test]
    fn a_wake_before_the_wait_is_kept_and_wakes_are_one_until_cleared() {
        let wakeup = Wakeup::new().unwrap();
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        assert!(!wakeup.clear());
        wakeup.waker().wake();
        wakeup.waker().wake();
        assert_eq!(waiter.wait(None).unwrap().count(), 1);
        assert!(wakeup.clear());
        assert!(!wakeup.clear());
        assert_eq!(waiter.wait(Some(Duration::ZERO)).unwrap().count(), 0);
    }
}
