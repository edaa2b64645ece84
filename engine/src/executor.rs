//! The one module that knows glommio: a pinned executor that turns shards over io_uring.
//!
//! The hot path is not glommio's: each shard's datapath has a ring of its own, which this
//! thread enters directly. Glommio waits: for the eventfd of each ring and of the mailbox,
//! each read by a small task, and for timers.
//!
//! Two habits of glommio 0.9 are heeded here. It may park for ever if it is preempted
//! before it ran anything, so that its preemption timer is long and no sleep is without a
//! timer. Its tasks' yields do not enter the kernel, so that the mailbox is looked into at
//! each round. A sleep allocates a few small objects; a datagram none.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::timer::Timer;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Task};
use kdht_core::Nanos;

use crate::io::{Moment, SharedFd, UringUnavailable, Wakeup, adopt, uring_available};
use crate::pace::{Pace, PollPolicy};
use crate::runner::{Deck, Step};

/// Bytes that may be locked, as glommio wants it.
const LOCKED_LEN: u64 = 512 << 10;

/// Bytes of glommio's own buffers; what it reads here are eight bytes at a time.
const IO_MEMORY_LEN: usize = 64 << 10;

/// Entries of each of glommio's rings; more reads than that wait their turn.
const RING_DEPTH: usize = 128;

/// Rounds without sleep after which the executor's other tasks run; nobody waits for what they
/// do, and to let them costs about as much as a round.
const YIELD_EVERY: u32 = 4_096;

/// When a task that does not yield is told that others wait.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);

/// Whether an executor could start on this host.
///
/// # Errors
/// `UringUnavailable` says why not.
pub(crate) fn available() -> Result<(), UringUnavailable> {
    uring_available()?;
    UringUnavailable::memlock_below(LOCKED_LEN).map_or(Ok(()), Err)
}

/// An executor on the calling thread.
pub(crate) struct Executor(LocalExecutor);

impl Executor {
    /// Starts an executor; the thread is pinned already, or is not to be.
    ///
    /// # Errors
    /// `UringUnavailable::Executor`; glommio's reason is logged.
    pub(crate) fn start() -> Result<Self, UringUnavailable> {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY_LEN)
            .ring_depth(RING_DEPTH)
            .preempt_timer(PREEMPT_TIMER)
            .make();
        executor.map(Self).map_err(|error| {
            tracing::warn!(%error, "glommio did not start");
            UringUnavailable::Executor
        })
    }

    /// Turns the shards of `deck` until it is told to stop.
    pub(crate) fn run(&self, deck: Deck, wakeup: Wakeup, policy: PollPolicy) {
        self.0.run(drive(deck, wakeup, policy));
    }
}

async fn drive(mut deck: Deck, wakeup: Wakeup, policy: PollPolicy) {
    let bell = Rc::new(Bell::default());
    let mut pace = Pace::new(policy);
    let _mailbox = watch(wakeup.fd(), None, &bell);
    let mut watches: Vec<(usize, Vec<Task<()>>)> = Vec::new();
    let mut sleepless_count = 0_u32;
    loop {
        bell.quiet(|shard| deck.note_ready(shard));
        let moment = Moment::now();
        let round = match deck.step(moment) {
            Step::Stop => return,
            Step::Changed => {
                watches.retain(|(shard, _)| deck.fds(*shard).next().is_some());
                for shard in 0..deck.shard_count() {
                    if !watches.iter().any(|(watched, _)| *watched == shard) {
                        let tasks = deck.fds(shard).map(|fd| watch(fd, Some(shard), &bell));
                        watches.push((shard, tasks.collect()));
                    }
                }
                watches.retain(|(_, tasks)| !tasks.is_empty());
                deck.tell_departed();
                continue;
            }
            Step::Done(round) => round,
        };
        let sleep = pace.sleep(Nanos(moment.monotonic_ns), &round);
        if sleep.is_zero() || !deck.fall_asleep() {
            // A ring tells by shared memory whether anything came, at no system call.
            deck.note_all_ready();
            sleepless_count = sleepless_count.wrapping_add(1);
            if sleepless_count.is_multiple_of(YIELD_EVERY) {
                yield_once().await;
            }
        } else {
            sleepless_count = 0;
            bell.wait(sleep).await;
        }
        deck.wake_up();
    }
}

/// Lets the executor's other tasks run.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Rings `bell` whenever `fd`, an eventfd, is signalled, on behalf of `shard` or of none.
fn watch(fd: &SharedFd, shard: Option<usize>, bell: &Rc<Bell>) -> Task<()> {
    let bell = bell.clone();
    let owned = fd.try_clone();
    glommio::spawn_local(async move {
        let Ok(owned) = owned else {
            tracing::error!("no descriptor is left to wait with; waking only by the heartbeat");
            return;
        };
        let file: BufferedFile = adopt(owned);
        // Reading takes the signals back.
        while let Ok(read) = file.read_at(0, 8).await {
            drop(read);
            bell.ring(shard);
        }
        tracing::error!("the host refuses to read an eventfd; waking only by the heartbeat");
    })
}

/// Ends the wait of the task that turns shards.
#[derive(Default)]
struct Bell {
    is_rung: Cell<bool>,
    /// Shards on whose behalf it was rung.
    shards: RefCell<Vec<usize>>,
    waiting: RefCell<Option<Waker>>,
}

impl Bell {
    fn ring(&self, shard: Option<usize>) {
        self.is_rung.set(true);
        self.shards.borrow_mut().extend(shard);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until it is rung or `timeout` is over.
    async fn wait(&self, timeout: Duration) {
        let mut timer = pin!(Timer::new(timeout));
        poll_fn(|context| {
            if self.is_rung.get() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(context.waker().clone()));
            timer.as_mut().poll(context).map(drop)
        })
        .await;
    }

    /// Ends its ringing and names the shards that it rang for.
    fn quiet(&self, note: impl FnMut(usize)) {
        self.is_rung.set(false);
        self.shards.borrow_mut().drain(..).for_each(note);
    }
}
