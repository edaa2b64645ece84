//! What a thread sleeps on.

use std::error::Error;
use std::time::Duration;

use crate::io::{DatapathKind, Interest, Poller, Readiness, SharedFd, Waiter, Wakeup};
use crate::pace::PollPolicy;
use crate::runner::Deck;

/// What the wakeup is called among descriptors; shards are called by their numbers.
const WAKEUP: u64 = u64::MAX;

/// The descriptors of a deck's shards, and the wakeup's.
pub(super) enum Bed {
    /// ppoll, which costs more the more descriptors there are, but only when it is called:
    /// what arrives while nobody sleeps is told to nobody.
    Polled {
        /// Of the wakeup first.
        waiter: Waiter,
        /// Which shard each of the descriptors behind it belongs to.
        owners: Vec<usize>,
    },
    /// epoll, whose waits cost the same for any number of descriptors, but which takes note
    /// of each arrival, also while nobody sleeps: for descriptors that are signalled only
    /// before a sleep, as a ring's is, and for threads that always sleep.
    Noted {
        poller: Poller,
        ready: Vec<Readiness>,
        /// By the number of their shard; none once it is gone.
        watched: Vec<Vec<SharedFd>>,
    },
}

impl Bed {
    /// A bed that only `wakeup` wakes yet.
    pub(super) fn new(
        wakeup: &Wakeup,
        kind: DatapathKind,
        policy: PollPolicy,
    ) -> std::io::Result<Self> {
        if kind == DatapathKind::Uring || policy == PollPolicy::Sleep {
            let poller = Poller::new()?;
            poller.add(wakeup.fd(), WAKEUP, Interest::Read)?;
            return Ok(Self::Noted { poller, ready: Vec::new(), watched: Vec::new() });
        }
        let waiter = Waiter::new(std::slice::from_ref(wakeup.fd()));
        Ok(Self::Polled { waiter, owners: Vec::new() })
    }

    /// Begins to wait for those shards of `deck` that are new, and no more for those gone.
    pub(super) fn watch(&mut self, wakeup: &Wakeup, deck: &Deck) -> std::io::Result<()> {
        match self {
            Self::Polled { waiter, owners } => {
                let mut fds = vec![wakeup.fd().clone()];
                owners.clear();
                for shard in 0..deck.shard_count() {
                    fds.extend(deck.fds(shard).cloned());
                    owners.resize(fds.len() - 1, shard);
                }
                *waiter = Waiter::new(&fds);
            }
            Self::Noted { poller, watched, .. } => {
                for (shard, fds) in watched.iter_mut().enumerate() {
                    if deck.fds(shard).next().is_none() {
                        fds.drain(..).try_for_each(|fd| poller.remove(fd))?;
                    }
                }
                for shard in watched.len()..deck.shard_count() {
                    let fds: Vec<SharedFd> = deck.fds(shard).cloned().collect();
                    let token = shard as u64;
                    fds.iter().try_for_each(|fd| poller.add(fd, token, Interest::Read))?;
                    watched.push(fds);
                }
            }
        }
        Ok(())
    }

    /// Descriptors beside the wakeup's.
    pub(super) fn fd_count(&self) -> usize {
        match self {
            Self::Polled { owners, .. } => owners.len(),
            Self::Noted { watched, .. } => watched.iter().map(Vec::len).sum(),
        }
    }

    /// Sleeps until a descriptor is readable or `timeout` is over, and names to `note` the
    /// shard of each that is; none for the wakeup.
    pub(super) fn wait(
        &mut self,
        timeout: Duration,
        mut note: impl FnMut(Option<usize>),
    ) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Polled { waiter, owners } => {
                for index in waiter.wait(Some(timeout))? {
                    note(index.checked_sub(1).map(|place| owners[place]));
                }
            }
            Self::Noted { poller, ready, .. } => {
                poller.wait(Some(timeout), ready)?;
                for Readiness { token, .. } in ready {
                    let shard = usize::try_from(*token).ok();
                    note(shard.filter(|_| *token != WAKEUP));
                }
            }
        }
        Ok(())
    }
}
