//! The one module that knows glommio: a pinned executor that turns shards over io_uring.
//!
//! Neither the hot path nor its sleep is glommio's: each shard's datapath has a ring of its
//! own, which this thread enters directly, and it waits for their eventfds by itself. On
//! glommio's way to sleep and back lie 50,000 instructions, more than the whole rest of a
//! datagram's way (bench/RESULTS.md).
//!
//! Two habits of glommio 0.9 are heeded here. It may park for ever if it is preempted
//! before it ran anything, so that its preemption timer is long and its one lasting task never
//! waits for anything. Its tasks' yields do not enter the kernel, so that the mailbox is looked
//! into at each round.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use crate::drive::Drive;
use crate::io::{UringUnavailable, uring_available};

/// Bytes that may be locked, as glommio wants it.
const LOCKED_LEN: u64 = 512 << 10;

/// Bytes of glommio's own buffers, which nothing here uses.
const IO_MEMORY_LEN: usize = 64 << 10;

/// Entries of each of glommio's rings, which nothing here waits for.
const RING_DEPTH: usize = 128;

/// Rounds after which the executor's other tasks run; nobody waits for what they do, and to
/// let them costs about as much as a round.
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

    /// Turns the shards of `drive` until it is told to stop.
    pub(crate) fn run(&self, drive: Drive) {
        self.0.run(turn(drive));
    }
}

async fn turn(mut drive: Drive) {
    let mut round_count = 0_u32;
    while drive.round() {
        round_count = round_count.wrapping_add(1);
        if round_count.is_multiple_of(YIELD_EVERY) {
            yield_once().await;
        }
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
