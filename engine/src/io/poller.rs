//! Waiting for many descriptors that come and go, at a cost in proportion to those that are
//! ready.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// Events taken in one wait.
const EVENTS_MAX: usize = 64;

/// What a descriptor is waited for. A broken one is always told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interest {
    /// Only whether it breaks.
    Nothing,
    /// That it can be read.
    Read,
    /// That it can be written.
    Write,
}

/// What one descriptor has to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Readiness {
    /// The name that it was added under.
    pub token: u64,
    /// It broke, or the other side is gone for good.
    pub is_broken: bool,
}

/// Waits for descriptors by name. One that is closed is forgotten by itself.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// A poller that waits for nothing yet.
    ///
    /// # Errors
    /// The host's error, such as at the limit of open descriptors.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Waits for `fd`, too.
    ///
    /// # Errors
    /// The host's error, such as at its limit of watched descriptors.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), interest.flags())?)
    }

    /// Waits for something else of `fd` from now on.
    ///
    /// # Errors
    /// The host's error, if `fd` was not added.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), interest.flags())?)
    }

    /// Waits for `fd` no more.
    ///
    /// # Errors
    /// The host's error, if `fd` was not added.
    pub fn remove(&self, fd: impl AsFd) -> std::io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Sleeps until a descriptor is ready, or `timeout` is over (`None`: never), or a signal
    /// comes, and writes the ready ones, at most 64, to `ready`.
    ///
    /// # Errors
    /// The host's error, if it cannot wait at all.
    pub fn wait(
        &self,
        timeout: Option<Duration>,
        ready: &mut Vec<Readiness>,
    ) -> std::io::Result<()> {
        ready.clear();
        // A timeout too long for the kernel is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS_MAX];
        let events = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        ready.extend(events.iter().map(|event| {
            let flags = event.flags;
            let is_broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
            Readiness { token: event.data.u64(), is_broken }
        }));
        Ok(())
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Nothing => EventFlags::empty(),
            Self::Read => EventFlags::IN,
            Self::Write => EventFlags::OUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn tokens(poller: &Poller) -> Vec<u64> {
        let mut ready = Vec::new();
        poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
        ready.iter().map(|ready| ready.token).collect()
    }

    #[test]
    fn only_what_is_ready_and_waited_for_is_told() {
        let poller = Poller::new().unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        poller.add(&there, 7, Interest::Read).unwrap();
        assert!(tokens(&poller).is_empty());
        here.write_all(b"x").unwrap();
        assert_eq!(tokens(&poller), [7]);
        poller.change(&there, 7, Interest::Nothing).unwrap();
        assert!(tokens(&poller).is_empty());
        poller.change(&there, 8, Interest::Write).unwrap();
        assert_eq!(tokens(&poller), [8]);
    }

    #[test]
    fn what_is_removed_is_told_no_more_though_it_stays_open() {
        let poller = Poller::new().unwrap();
        let (mut here, there) = UnixStream::pair().unwrap();
        poller.add(&there, 7, Interest::Read).unwrap();
        here.write_all(b"x").unwrap();
        poller.remove(&there).unwrap();
        assert!(tokens(&poller).is_empty());
        assert!(poller.remove(&there).is_err());
    }

    #[test]
    fn a_side_that_is_gone_is_told_whatever_is_waited_for() {
        let poller = Poller::new().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        poller.add(&there, 7, Interest::Nothing).unwrap();
        drop(here);
        let mut ready = Vec::new();
        poller.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Readiness { token: 7, is_broken: true }]);
        drop(there);
        assert!(tokens(&poller).is_empty());
    }
}
