//! Signatures off the threads that answer: a thread of its own verifies them for several
//! runners.
//!
//! Jobs reach it through one bounded queue, and each runner's verdicts come back through one
//! of the runner's own, so that neither side ever waits for the other. The thread is not
//! pinned: the host moves it to whichever core has time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use kdht_core::{PARKED_MAX, Verdict, VerifyJob};

use crate::io::Waker;

/// Runners that one [`Verifier`] is meant for: each may then have a node with all that it
/// can set aside, and no job is refused.
pub const VERIFIER_RUNNERS_MAX: usize = 8;

/// Jobs that wait for the thread at most; more are refused.
const JOBS_MAX: usize = VERIFIER_RUNNERS_MAX * PARKED_MAX;

/// Jobs of one runner at most, from when they are handed in until their verdicts are taken.
const IN_FLIGHT_MAX: usize = 2 * PARKED_MAX;

/// A thread that verifies signatures for the runners that it was given to.
///
/// Dropping it ends the thread; its runners then refuse what would need it.
#[derive(Debug)]
pub struct Verifier {
    tasks: Sender<Task>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Task {
    Verify { job: VerifyJob, shard: usize, way_back: Arc<WayBack> },
    Stop,
}

/// How verdicts come back to one runner.
struct WayBack {
    verdicts: Sender<(usize, Verdict)>,
    /// Verdicts came that the runner has not begun to take: it was woken for them.
    has_some: AtomicBool,
    waker: Waker,
}

/// A runner's side: what it hands in, and what comes back.
#[derive(Debug)]
pub(crate) struct Desk {
    tasks: Sender<Task>,
    way_back: Arc<WayBack>,
    verdicts: Receiver<(usize, Verdict)>,
    in_flight_count: usize,
}

impl Verifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The host's, if it gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (tasks, waiting) = bounded(JOBS_MAX);
        let work = move || {
            while let Ok(Task::Verify { job, shard, way_back }) = waiting.recv() {
                way_back.send(shard, job.verify());
            }
        };
        let thread = std::thread::Builder::new().name("kdht-verify".into()).spawn(work)?;
        Ok(Self { tasks, thread: Some(thread) })
    }

    /// A side for a runner that `waker` wakes.
    pub(crate) fn desk(&self, waker: Waker) -> Desk {
        let (sender, verdicts) = bounded(IN_FLIGHT_MAX);
        let has_some = AtomicBool::new(false);
        let way_back = Arc::new(WayBack { verdicts: sender, has_some, waker });
        Desk { tasks: self.tasks.clone(), way_back, verdicts, in_flight_count: 0 }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.tasks.send(Task::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl WayBack {
    fn send(&self, shard: usize, verdict: Verdict) {
        // There is room for all that is in flight. A runner that has ended needs none.
        let _ = self.verdicts.try_send((shard, verdict));
        if !self.has_some.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

impl Desk {
    /// Hands a job of `shard`'s in. Never blocks.
    ///
    /// # Errors
    /// The verdict, at once, if too many wait or the thread has ended: the job is refused.
    pub(crate) fn submit(&mut self, shard: usize, job: VerifyJob) -> Result<(), Verdict> {
        if self.in_flight_count >= IN_FLIGHT_MAX {
            return Err(job.refuse());
        }
        let task = Task::Verify { job, shard, way_back: self.way_back.clone() };
        match self.tasks.try_send(task) {
            Ok(()) => {
                self.in_flight_count += 1;
                Ok(())
            }
            Err(
                TrySendError::Full(Task::Verify { job, .. })
                | TrySendError::Disconnected(Task::Verify { job, .. }),
            ) => Err(job.refuse()),
            // What was to be sent is a job.
            Err(_) => Ok(()),
        }
    }

    /// Takes every verdict that came, with the shard that it is for; at most as many as are
    /// in flight.
    pub(crate) fn collect(&mut self, mut take: impl FnMut(usize, Verdict)) {
        // The usual look costs no exclusive access.
        if !self.way_back.has_some.load(Ordering::Relaxed) {
            return;
        }
        // What comes after this wakes the runner again.
        if !self.way_back.has_some.swap(false, Ordering::AcqRel) {
            return;
        }
        for (shard, verdict) in self.verdicts.try_iter().take(IN_FLIGHT_MAX) {
            self.in_flight_count -= 1;
            take(shard, verdict);
        }
    }
}

impl fmt::Debug for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WayBack").field("waiting", &self.verdicts.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kdht_core::{Config, Node, Outbox, Route, ThrottleConfig};
    use kdht_store::PublisherKey;
    use kdht_wire::{
        DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, Kind, Message, Publisher, Record,
        StoreBody,
    };

    use super::*;
    use crate::io::{Moment, Wakeup};
    use crate::now_of;

    /// Keeps the last datagram.
    struct Last([u8; DATAGRAM_LEN_MAX], usize);

    impl Outbox for Last {
        fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
            Some(&mut self.0)
        }

        fn commit(&mut self, len: usize) {
            self.1 = len;
        }
    }

    /// Jobs of as many nodes as it takes.
    fn jobs(count: usize) -> Vec<VerifyJob> {
        let client = Id([0xc1; 20]);
        let now = now_of(Moment::now());
        let throttle = ThrottleConfig { slots: 0, ..ThrottleConfig::default() };
        let config = Config { verify_apart: true, throttle, ..Config::default() };
        let route =
            Route::to(Endpoint::from("127.0.0.1:9".parse::<std::net::SocketAddr>().unwrap()));
        let tail = PublisherKey::from_seed(&[7; 32]).sign(&Id::ZERO, 1, &[0; 16], b"value");
        let record = Record::whole(Publisher::Signed(&tail), 60, b"value").unwrap();
        let request = |kind, target, cookie: u64| {
            let mut buf = [0; DATAGRAM_LEN_MAX];
            let mut head = Head::request(kind, 1, target, client);
            head.flags = Flags::CLIENT.0.into();
            head.cookie = cookie.into();
            let mut emit = Emit::datagram(&mut buf, head, None, usize::MAX).unwrap();
            if kind == Kind::Store {
                emit.body(&StoreBody { cas: StoreBody::UNCONDITIONAL.into() }).unwrap();
                emit.store_record(&record).unwrap();
            }
            let len = emit.finish();
            buf[..len].to_vec()
        };
        let mut jobs = Vec::new();
        while jobs.len() < count {
            let mut out = Last([0; DATAGRAM_LEN_MAX], 0);
            let mut node = Node::new(Id([1; 20]), config.clone(), [1; 16], now);
            node.handle_datagram(now, &route, &request(Kind::Ping, client, 0), &mut out);
            let cookie = Message::parse(&out.0[..out.1]).unwrap().head.cookie.get();
            let store = request(Kind::Store, Id::ZERO, cookie);
            for _ in 0..100.min(count - jobs.len()) {
                node.handle_datagram(now, &route, &store, &mut out);
                jobs.extend(node.poll_verify());
            }
        }
        jobs
    }

    #[test]
    fn no_more_jobs_are_in_flight_than_there_is_room_for_verdicts() {
        let verifier = Verifier::start().unwrap();
        let wakeup = Wakeup::new().unwrap();
        let mut desk = verifier.desk(wakeup.waker());
        let mut left = jobs(IN_FLIGHT_MAX + 100).into_iter();
        for (at, job) in left.by_ref().take(IN_FLIGHT_MAX).enumerate() {
            assert!(desk.submit(at, job).is_ok());
        }
        let refused = left.filter_map(|job| desk.submit(0, job).err()).count();
        assert_eq!(refused, 100);
        // The thread ends after all that came before the end.
        drop(verifier);
        assert!(wakeup.clear());
        let mut shards = Vec::new();
        desk.collect(|shard, _| shards.push(shard));
        assert_eq!(shards, (0..IN_FLIGHT_MAX).collect::<Vec<_>>());
        assert_eq!(desk.in_flight_count, 0);
        desk.collect(|_, _| panic!("each verdict comes once"));
        assert!(desk.submit(0, jobs(1).remove(0)).is_err(), "nobody works any more");
    }

    #[test]
    fn more_jobs_than_the_queue_holds_are_refused_at_once() {
        let (tasks, waiting) = bounded(3);
        let busy = Verifier { tasks, thread: None };
        let mut desk = busy.desk(Wakeup::new().unwrap().waker());
        let taken = jobs(5).into_iter().filter_map(|job| desk.submit(0, job).ok()).count();
        assert_eq!((taken, waiting.len(), desk.in_flight_count), (3, 3, 3));
        drop(waiting);
    }
}
