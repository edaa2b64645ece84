//! A pinned thread that turns shards: ppoll between turns, nothing shared.

use std::error::Error;
use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use kdht_core::{Command, CommandError, Nanos, Report};
use kdht_wire::{Contact, Endpoint};

use crate::io::{Datapath, Mmsg, Moment, PinError, SharedFd, Waiter, Waker, Wakeup, pin_to};
use crate::shard::{Drained, JoinNews, Shard, ShardRequest};
use crate::status::Status;

/// Messages that wait for a runner at most; more are refused to the caller.
const MAILBOX_MAX: usize = 4_096;
/// Messages taken from the mailbox between two turns.
const MAILBOX_BATCH: usize = 64;
/// How long a caller waits for what a node knows by itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A running thread and the shards that it turns.
///
/// Dropping it ends the thread, and closes its shards' sockets.
#[derive(Debug)]
pub struct Runner {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
}

/// Reaches one node from other threads.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    mailbox: Mailbox,
    shard: usize,
}

/// Why a runner did not start.
#[derive(Debug)]
pub enum RunnerError {
    /// The core cannot be had.
    Pin(PinError),
    /// The host gave no thread or no descriptor.
    Host(std::io::Error),
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
}

enum Message {
    Request {
        shard: usize,
        request: ShardRequest,
    },
    /// Another shard, at the next free number, which is told.
    Add(Box<Shard<Mmsg>>, Sender<usize>),
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
    /// Starts a thread without shards, pinned to `core` if one is given.
    ///
    /// # Errors
    /// [`RunnerError`] if the core cannot be had or the host is out of descriptors.
    pub fn start(core: Option<usize>) -> Result<Self, RunnerError> {
        let wakeup = Wakeup::new().map_err(RunnerError::Host)?;
        let (sender, messages) = bounded(MAILBOX_MAX);
        let mailbox = Mailbox { sender, waker: wakeup.waker() };
        let (started, is_started) = bounded(1);
        let work = move || {
            let pinned = core.map_or(Ok(()), pin_to);
            let failed = pinned.is_err();
            let _ = started.send(pinned);
            if !failed {
                Thread::new(wakeup, messages).run();
            }
        };
        let thread = std::thread::Builder::new().name("kdht-shard".into()).spawn(work);
        let thread = thread.map_err(RunnerError::Host)?;
        match is_started.recv() {
            Ok(Err(error)) => Err(RunnerError::Pin(error)),
            _ => Ok(Self { mailbox, thread: Some(thread) }),
        }
    }

    /// Gives the thread another shard to turn.
    ///
    /// # Errors
    /// [`CallError`] if the thread has ended or does not answer.
    pub fn add(&self, shard: Shard<Mmsg>) -> Result<NodeHandle, CallError> {
        let (sender, number) = bounded(1);
        self.mailbox.post(Message::Add(Box::new(shard), sender))?;
        let shard = number.recv_timeout(ANSWER_TIMEOUT).map_err(|_| CallError::Late)?;
        Ok(NodeHandle { mailbox: self.mailbox.clone(), shard })
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

impl NodeHandle {
    /// Begins a command; its report comes through the receiver, after as long as the
    /// network takes.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn begin(
        &self,
        command: Command,
    ) -> Result<Receiver<Result<Report, CommandError>>, CallError> {
        let (sender, report) = bounded(1);
        self.post(ShardRequest::Begin(Box::new(command), sender))?;
        Ok(report)
    }

    /// Carries out a command and waits for its report.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&self, command: Command, timeout: Duration) -> Result<Report, CallError> {
        let report = self.begin(command)?;
        let report = report.recv_timeout(timeout).map_err(|_| CallError::Late)?;
        report.map_err(CallError::Refused)
    }

    /// Enters the network through `bootstrap`; news of it come through the receiver.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn join(&self, bootstrap: Vec<Endpoint>) -> Result<Receiver<JoinNews>, CallError> {
        let (sender, news) = bounded(16);
        self.post(ShardRequest::Join(bootstrap, sender))?;
        Ok(news)
    }

    /// Leaves the network: stores nothing more, hands every value to the nodes closest to
    /// its key, and tells when that is done. The node still answers; stop it then.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn drain(&self) -> Result<Receiver<Drained>, CallError> {
        let (sender, drained) = bounded(1);
        self.post(ShardRequest::Drain(sender))?;
        Ok(drained)
    }

    /// How the node is.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn status(&self) -> Result<Box<Status>, CallError> {
        let (sender, status) = bounded(1);
        self.post(ShardRequest::Status(sender))?;
        status.recv_timeout(ANSWER_TIMEOUT).map_err(|_| CallError::Late)
    }

    /// The contacts that may be told to others.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn contacts(&self) -> Result<Vec<Contact>, CallError> {
        let (sender, contacts) = bounded(1);
        self.post(ShardRequest::Contacts(sender))?;
        contacts.recv_timeout(ANSWER_TIMEOUT).map_err(|_| CallError::Late)
    }

    /// Ends the node and closes its sockets, without a word to anybody, and returns its
    /// last status.
    ///
    /// # Errors
    /// [`CallError`] if the thread has ended or does not answer.
    pub fn remove(&self) -> Result<Box<Status>, CallError> {
        let (sender, removed) = bounded(1);
        self.mailbox.post(Message::Remove(self.shard, sender))?;
        removed.recv_timeout(ANSWER_TIMEOUT).map_err(|_| CallError::Late)
    }

    fn post(&self, request: ShardRequest) -> Result<(), CallError> {
        self.mailbox.post(Message::Request { shard: self.shard, request })
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

/// The thread's own side.
struct Thread {
    wakeup: Wakeup,
    messages: Receiver<Message>,
    shards: Vec<Option<Place>>,
    waiter: Waiter,
    /// Which shard each of the waiter's descriptors belongs to, behind the wakeup's.
    owners: Vec<usize>,
}

struct Place {
    shard: Shard<Mmsg>,
    /// Turn at the next opportunity.
    is_due: bool,
    wake_at: Option<Nanos>,
}

impl Thread {
    fn new(wakeup: Wakeup, messages: Receiver<Message>) -> Self {
        let waiter = Waiter::new(std::slice::from_ref(wakeup.fd()));
        Self { wakeup, messages, shards: Vec::new(), waiter, owners: Vec::new() }
    }

    fn run(mut self) {
        loop {
            let moment = Moment::now();
            if !self.take_messages(moment) {
                return;
            }
            let now = Nanos(moment.monotonic_ns);
            let mut next: Option<Nanos> = None;
            let mut more = !self.messages.is_empty();
            for place in self.shards.iter_mut().flatten() {
                if place.is_due || place.wake_at.is_some_and(|at| at <= now) {
                    let turn = place.shard.turn(moment);
                    place.is_due = turn.more;
                    place.wake_at = turn.wake_at;
                }
                more |= place.is_due;
                next = [next, place.wake_at].into_iter().flatten().min();
            }
            let timeout_ns = if more { Some(0) } else { next.map(|at| at.since(now)) };
            if !self.wait(timeout_ns.map(Duration::from_nanos)) {
                return;
            }
        }
    }

    /// Sleeps until a socket is readable, a message came, or `timeout` is over.
    fn wait(&mut self, timeout: Option<Duration>) -> bool {
        let ready = match self.waiter.wait(timeout) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "the host refuses to wait for sockets");
                return false;
            }
        };
        let mut woken = false;
        for index in ready {
            // Descriptor 0 is the wakeup's.
            let Some(socket) = index.checked_sub(1) else {
                woken = true;
                continue;
            };
            if let Some(place) = self.shards[self.owners[socket]].as_mut() {
                place.is_due = true;
            }
        }
        if woken {
            self.wakeup.clear();
        }
        true
    }

    /// Does what other threads want, a bounded number at a time. False: stop.
    fn take_messages(&mut self, moment: Moment) -> bool {
        for _ in 0..MAILBOX_BATCH {
            let Ok(message) = self.messages.try_recv() else { break };
            match message {
                Message::Stop => return false,
                Message::Request { shard, request } => {
                    // To a removed shard: the caller sees its channel close.
                    if let Some(Some(place)) = self.shards.get_mut(shard) {
                        place.shard.handle(moment, request);
                        place.wake_at = place.shard.wake_at();
                    }
                }
                Message::Add(shard, number) => {
                    let wake_at = shard.wake_at();
                    self.shards.push(Some(Place { shard: *shard, is_due: true, wake_at }));
                    self.watch();
                    let _ = number.send(self.shards.len() - 1);
                }
                Message::Remove(shard, status) => {
                    let place = self.shards.get_mut(shard).and_then(Option::take);
                    self.watch();
                    if let Some(place) = place {
                        let last = Box::new(place.shard.status(moment));
                        // Whoever is told may want the port at once.
                        drop(place);
                        let _ = status.send(last);
                    }
                }
            }
        }
        true
    }

    /// Begins to wait for all shards' sockets.
    fn watch(&mut self) {
        let mut fds: Vec<SharedFd> = vec![self.wakeup.fd().clone()];
        self.owners.clear();
        for (number, place) in self.shards.iter().enumerate() {
            for fd in place.iter().flat_map(|place| place.shard.datapath().fds()) {
                fds.push(fd.clone());
                self.owners.push(number);
            }
        }
        self.waiter = Waiter::new(&fds);
    }
}

impl fmt::Display for RunnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(error) => error.fmt(f),
            Self::Host(error) => write!(f, "the host gives no thread or descriptor: {error}"),
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
                write!(f, "a value of {len} bytes is longer than a datagram carries ({max})")
            }
            Self::Refused(_) => write!(f, "the node would not begin"),
        }
    }
}

impl Error for CallError {}
