//! A pinned thread that turns shards, nothing shared: over io_uring within an executor, over
//! sockets by itself.

use std::error::Error;
use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use kdht_core::{CommandError, Nanos};

use crate::any_shard::AnyShard;
use crate::drive::Drive;
use crate::executor::{self, Executor};
use crate::hosted::Hosted;
use crate::io::{
    DatapathChoice, DatapathKind, Moment, OpenError, PinError, SharedFd, Socket, UringUnavailable,
    Waker, Wakeup, pin_to,
};
use crate::mesh::Port;
use crate::node_handle::NodeHandle;
use crate::pace::{PollPolicy, Round};
use crate::shard::ShardRequest;
use crate::status::Status;
use crate::verifier::{Desk, Verifier};

/// Messages that wait for a runner at most; more are refused to the caller.
const MAILBOX_MAX: usize = 4_096;
/// Messages taken from the mailbox between two turns.
const MAILBOX_BATCH: usize = 64;
/// How long a caller waits for what a node knows by itself.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A running thread and the shards that it turns.
///
/// Dropping it ends the thread, and closes its shards' sockets.
#[derive(Debug)]
pub struct Runner {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
    picked: Picked,
}

/// What a runner moves datagrams with, and why not with io_uring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Picked {
    /// The datapath.
    pub kind: DatapathKind,
    /// What stands against io_uring, if it was wanted and is not used.
    pub why_not_uring: Option<UringUnavailable>,
}

/// Why a runner did not start.
#[derive(Debug)]
pub enum RunnerError {
    /// The core cannot be had.
    Pin(PinError),
    /// The host gave no thread or no descriptor.
    Host(std::io::Error),
    /// io_uring is asked for and cannot be had.
    Uring(UringUnavailable),
}

/// Why a call to a node brought nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallError {
    /// The node's thread has ended.
    Stopped,
    /// More messages wait than the runner takes.
    Overrun,
    /// The node did not answer in time.
    Late,
    /// The node would not begin.
    Refused(CommandError),
    /// The shard's datapath is none that the runner can wait for.
    Foreign(DatapathKind),
}

/// Where a shard is reached.
#[derive(Clone, Debug)]
pub(crate) struct ShardAddress {
    mailbox: Mailbox,
    shard: usize,
}

enum Message {
    Request {
        shard: usize,
        request: ShardRequest,
    },
    /// Another shard, at the next free number, which is told.
    Add(AnyShard, Sender<usize>),
    /// Have signatures verified there.
    Verify(Desk),
    /// Drop a shard, close its sockets, and say what it had counted.
    Remove(usize, Sender<Box<Status>>),
    Stop,
}

#[derive(Clone, Debug)]
struct Mailbox {
    sender: Sender<Message>,
    waker: Waker,
}

impl Runner {
    /// Starts a thread without shards, pinned to `core` if one is given, that sleeps at once
    /// and takes any datapath.
    ///
    /// # Errors
    /// [`RunnerError`] if the core cannot be had or the host is out of descriptors.
    pub fn start(core: Option<usize>) -> Result<Self, RunnerError> {
        let picked = Picked { kind: DatapathKind::Mmsg, why_not_uring: None };
        Self::spawn(core, picked, PollPolicy::Sleep)
    }

    /// Starts a thread without shards, pinned to `core` if one is given: an executor for
    /// io_uring if `choice` wants it and the host allows it, otherwise as
    /// [`Runner::start`]. What was picked is logged, and told by [`Runner::picked`].
    ///
    /// # Errors
    /// [`RunnerError`] if the core cannot be had, the host is out of descriptors, or
    /// io_uring alone is asked for and cannot be had.
    pub fn start_with(
        core: Option<usize>,
        choice: DatapathChoice,
        policy: PollPolicy,
    ) -> Result<Self, RunnerError> {
        let mmsg = |why_not_uring| {
            Self::spawn(core, Picked { kind: DatapathKind::Mmsg, why_not_uring }, policy)
        };
        let uring = || {
            executor::available().map_err(RunnerError::Uring)?;
            let picked = Picked { kind: DatapathKind::Uring, why_not_uring: None };
            Self::spawn(core, picked, policy)
        };
        let runner = match choice {
            DatapathChoice::Mmsg => mmsg(None)?,
            DatapathChoice::Uring => uring()?,
            DatapathChoice::Auto => match uring() {
                Err(RunnerError::Uring(why)) => mmsg(Some(why))?,
                started => started?,
            },
        };
        tracing::info!(picked = %runner.picked, asked = %choice, poll = %policy, "datapath");
        Ok(runner)
    }

    fn spawn(core: Option<usize>, picked: Picked, policy: PollPolicy) -> Result<Self, RunnerError> {
        let wakeup = Wakeup::new().map_err(RunnerError::Host)?;
        let (sender, messages) = bounded(MAILBOX_MAX);
        let mailbox = Mailbox { sender, waker: wakeup.waker() };
        let (started, is_started) = bounded(1);
        let work = move || {
            let deck = Deck::new(messages);
            let told = |result| {
                let _ = started.send(result);
            };
            if let Err(error) = core.map_or(Ok(()), pin_to) {
                return told(Err(RunnerError::Pin(error)));
            }
            let mut drive = match Drive::new(deck, wakeup, picked.kind, policy) {
                Ok(drive) => drive,
                Err(error) => return told(Err(RunnerError::Host(error))),
            };
            match picked.kind {
                DatapathKind::Mmsg => {
                    told(Ok(()));
                    while drive.round() {}
                }
                DatapathKind::Uring => match Executor::start() {
                    Ok(executor) => {
                        told(Ok(()));
                        executor.run(drive);
                    }
                    Err(why) => told(Err(RunnerError::Uring(why))),
                },
            }
        };
        let thread = std::thread::Builder::new().name("kdht-shard".into()).spawn(work);
        let thread = thread.map_err(RunnerError::Host)?;
        match is_started.recv() {
            Ok(Err(error)) => Err(error),
            _ => Ok(Self { mailbox, thread: Some(thread), picked }),
        }
    }

    /// What it moves datagrams with.
    #[must_use]
    pub fn picked(&self) -> Picked {
        self.picked
    }

    /// Gives the thread another shard to turn, for `node` on the datapath picked, over
    /// `sockets`; `port` if it is one of several.
    ///
    /// # Errors
    /// [`OpenError`] if the datapath cannot be made; within it, [`CallError`] as of
    /// [`Runner::add`].
    pub fn open(
        &self,
        node: impl Into<Hosted>,
        sockets: Vec<Socket>,
        port: Option<Port>,
    ) -> Result<Result<NodeHandle, CallError>, OpenError> {
        let shard = AnyShard::open(self.picked.kind, node, sockets)?;
        Ok(self.add(match port {
            Some(port) => shard.with_port(port),
            None => shard,
        }))
    }

    /// Gives the thread another shard to turn.
    ///
    /// # Errors
    /// [`CallError`] if the thread has ended or does not answer, or is an executor for
    /// io_uring and the shard is on another datapath.
    pub fn add(&self, shard: impl Into<AnyShard>) -> Result<NodeHandle, CallError> {
        let shard = shard.into();
        if self.picked.kind == DatapathKind::Uring && shard.kind() != DatapathKind::Uring {
            return Err(CallError::Foreign(shard.kind()));
        }
        if let Some(port) = shard.port() {
            port.wake_by(self.mailbox.waker.clone());
        }
        let (sender, number) = bounded(1);
        self.mailbox.post(Message::Add(shard, sender))?;
        let shard = number.recv_timeout(ANSWER_TIMEOUT).map_err(|_| CallError::Late)?;
        Ok(NodeHandle::of_shard(ShardAddress { mailbox: self.mailbox.clone(), shard }))
    }

    /// Has `verifier` verify the signatures of those of its nodes that have them verified
    /// apart ([`kdht_core::Config::verify_apart`]), instead of this thread.
    ///
    /// # Errors
    /// [`CallError`] if the thread has ended or has too many messages.
    pub fn attach(&self, verifier: &Verifier) -> Result<(), CallError> {
        self.mailbox.post(Message::Verify(verifier.desk(self.mailbox.waker.clone())))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.mailbox.sender.send(Message::Stop);
        self.mailbox.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl ShardAddress {
    pub(crate) fn post(&self, request: ShardRequest) -> Result<(), CallError> {
        self.mailbox.post(Message::Request { shard: self.shard, request })
    }

    /// Drops the shard and closes its sockets; its last status comes through the receiver.
    pub(crate) fn remove(&self) -> Result<Receiver<Box<Status>>, CallError> {
        let (sender, removed) = bounded(1);
        self.mailbox.post(Message::Remove(self.shard, sender))?;
        Ok(removed)
    }
}

impl Mailbox {
    fn post(&self, message: Message) -> Result<(), CallError> {
        self.sender.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => CallError::Overrun,
            TrySendError::Disconnected(_) => CallError::Stopped,
        })?;
        self.waker.wake();
        Ok(())
    }
}

/// The shards of one thread and what others want of them; whoever owns it decides when to
/// step and how to wait.
pub(crate) struct Deck {
    messages: Receiver<Message>,
    /// Where signatures are verified, if not here.
    desk: Option<Desk>,
    shards: Vec<Option<Place>>,
    /// Shards came or went since the last [`Step::Changed`].
    has_changed: bool,
    /// Whom to tell that a shard is gone.
    departed: Vec<(Sender<Box<Status>>, Box<Status>)>,
}

struct Place {
    shard: AnyShard,
    /// Turn at the next opportunity.
    is_due: bool,
    wake_at: Option<Nanos>,
}

impl Place {
    /// Hands the signatures that this shard, `number`, wants verified to `desk`; without one
    /// they are verified here.
    fn have_verified(&mut self, moment: Moment, number: usize, mut desk: Option<&mut Desk>) {
        while let Some(job) = self.shard.poll_verify() {
            let done = match &mut desk {
                Some(desk) => desk.submit(number, job),
                None => Err(job.verify()),
            };
            if let Err(verdict) = done {
                self.shard.handle_verdict(moment, verdict);
                self.is_due = true;
            }
        }
    }
}

/// What a step leaves to whoever drives a [`Deck`].
pub(crate) enum Step {
    /// End.
    Stop,
    /// Wait for other descriptors from now on, then [`Deck::tell_departed`].
    Changed,
    /// All that was due is done.
    Done(Round),
}

impl Deck {
    fn new(messages: Receiver<Message>) -> Self {
        Self { messages, desk: None, shards: Vec::new(), has_changed: false, departed: Vec::new() }
    }

    /// Does what other threads want and turns each shard that is due, once.
    pub(crate) fn step(&mut self, moment: Moment) -> Step {
        let Some(has_more) = self.take_messages(moment) else { return Step::Stop };
        if std::mem::take(&mut self.has_changed) {
            return Step::Changed;
        }
        self.take_verdicts(moment);
        let now = Nanos(moment.monotonic_ns);
        let mut round = Round { has_more, ..Round::default() };
        for (number, place) in self.shards.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            let has_mail = || place.shard.port().is_some_and(Port::has_mail);
            if place.is_due || place.wake_at.is_some_and(|at| at <= now) || has_mail() {
                let turn = place.shard.turn(moment);
                place.is_due = turn.more;
                place.wake_at = turn.wake_at;
                round.has_received |= turn.datagram_count > 0;
                place.have_verified(moment, number, self.desk.as_mut());
            }
            round.has_more |= place.is_due;
            round.wake_at = [round.wake_at, place.wake_at].into_iter().flatten().min();
        }
        Step::Done(round)
    }

    /// The thread is about to sleep. False: something has come, and it must not.
    pub(crate) fn fall_asleep(&mut self) -> bool {
        let mut has_work = false;
        for place in self.shards.iter_mut().flatten() {
            place.is_due |= !place.shard.announce();
            has_work |= place.is_due;
        }
        // Those that were told already are told otherwise by the next `wake_up`.
        !has_work && self.ports().all(Port::fall_asleep)
    }

    /// The thread is awake.
    pub(crate) fn wake_up(&self) {
        self.ports().for_each(Port::wake_up);
    }

    fn ports(&self) -> impl Iterator<Item = &Port> {
        self.shards.iter().flatten().filter_map(|place| place.shard.port())
    }

    /// Goes on with what waited for signatures to be verified.
    fn take_verdicts(&mut self, moment: Moment) {
        let Some(desk) = &mut self.desk else { return };
        desk.collect(|shard, verdict| {
            // To a removed shard: nobody waits any more.
            if let Some(Some(place)) = self.shards.get_mut(shard) {
                place.shard.handle_verdict(moment, verdict);
                place.is_due = true;
            }
        });
    }

    /// A descriptor of `shard` is readable.
    pub(crate) fn note_ready(&mut self, shard: usize) {
        if let Some(Some(place)) = self.shards.get_mut(shard) {
            place.is_due = true;
        }
    }

    /// Any descriptor may be readable.
    pub(crate) fn note_all_ready(&mut self) {
        self.shards.iter_mut().flatten().for_each(|place| place.is_due = true);
    }

    /// Numbers of shards given so far, those gone included.
    pub(crate) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// The descriptors to wait for on behalf of `shard`; none if it is gone.
    pub(crate) fn fds(&self, shard: usize) -> impl Iterator<Item = &SharedFd> {
        self.shards.get(shard).into_iter().flatten().flat_map(|place| place.shard.fds())
    }

    /// Answers those who had shards removed, now that nothing holds their sockets.
    pub(crate) fn tell_departed(&mut self) {
        for (asker, status) in self.departed.drain(..) {
            let _ = asker.send(status);
        }
    }

    /// Does what other threads want, a bounded number at a time, and says whether there may
    /// be more. Nothing: stop.
    fn take_messages(&mut self, moment: Moment) -> Option<bool> {
        for _ in 0..MAILBOX_BATCH {
            let Ok(message) = self.messages.try_recv() else { return Some(false) };
            match message {
                Message::Stop => return None,
                Message::Request { shard, request } => {
                    // To a removed shard: the caller sees its channel close.
                    if let Some(Some(place)) = self.shards.get_mut(shard) {
                        place.shard.handle(moment, request);
                        place.wake_at = place.shard.wake_at();
                    }
                }
                Message::Add(shard, number) => {
                    let wake_at = shard.wake_at();
                    self.shards.push(Some(Place { shard, is_due: true, wake_at }));
                    self.has_changed = true;
                    let _ = number.send(self.shards.len() - 1);
                }
                Message::Verify(desk) => self.desk = Some(desk),
                Message::Remove(shard, asker) => {
                    if let Some(place) = self.shards.get_mut(shard).and_then(Option::take) {
                        let last = Box::new(place.shard.status(moment));
                        self.departed.push((asker, last));
                        self.has_changed = true;
                    }
                }
            }
        }
        Some(true)
    }
}

impl fmt::Display for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why_not_uring {
            None => self.kind.fmt(f),
            Some(why) => write!(f, "{}: {why}", self.kind),
        }
    }
}

impl fmt::Display for RunnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(error) => error.fmt(f),
            Self::Host(error) => write!(f, "the host gives no thread or descriptor: {error}"),
            Self::Uring(why) => why.fmt(f),
        }
    }
}

impl Error for RunnerError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => write!(f, "the node has stopped"),
            Self::Overrun => write!(f, "more than {MAILBOX_MAX} calls wait for the node"),
            Self::Late => write!(f, "the node did not answer in time"),
            Self::Refused(CommandError::Busy { operations_max }) => {
                write!(f, "the node has {operations_max} operations under way, its most")
            }
            Self::Refused(CommandError::ValueTooLong { len, max }) => {
                write!(f, "a value of {len} bytes is too long: {max} bytes is the most")
            }
            Self::Refused(CommandError::Unproven) => {
                write!(f, "the value does not prove itself: its hash or signature is wrong")
            }
            Self::Refused(_) => write!(f, "the node would not begin"),
            Self::Foreign(kind) => write!(f, "this runner cannot wait for {kind}"),
        }
    }
}

impl Error for CallError {}
