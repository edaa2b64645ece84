//! One node on one datapath.

mod proxied;
mod soon;
mod streams;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crossbeam_channel::Sender;
use kdht_core::{
    Addressee, Command, CommandError, Event, Home, Nanos, Now, OperationId, Report, Route, Verdict,
    VerifyJob,
};
use kdht_wire::{Contact, Endpoint, KeyRing};

use crate::hosted::Hosted;
use crate::io::{Datapath, Moment};
use crate::mesh::Port;
use crate::now_of;
use crate::routing::ProxyLink;
use crate::status::{Members, Status};
use crate::stream::{StreamEnd, StreamLink, StreamMessage};
use crate::witness::Witness;

pub use proxied::ProxyRequest;
use soon::Soon;

/// Something that another thread wants of a shard. Answers go through the sender given; a
/// receiver that is gone is no error.
#[derive(Debug)]
pub enum ShardRequest {
    /// Carry out a command.
    Begin(Box<Command>, Sender<Result<Report, CommandError>>),
    /// Enter the network, and tell how that goes.
    Join(Vec<Endpoint>, Sender<JoinNews>),
    /// Leave the network, and tell when every value was handed over.
    Drain(DrainTally),
    /// Say how the node is.
    Status(Sender<Box<Status>>),
    /// Name the contacts that may be told to others.
    Contacts(Sender<Vec<Contact>>),
    /// Name every member of the routing tables.
    Members(Sender<Box<Members>>),
    /// Work by these settings from now on, and say when.
    Tune(Box<Tuning>, Sender<()>),
    /// Send and answer by TCP through this from now on.
    Streams(StreamLink),
    /// Serve a message that came by TCP; the answer goes through the link.
    Stream(Box<StreamMessage>),
    /// Take what came of a request by TCP.
    StreamEnd(Box<StreamEnd>),
    /// Do what a proxy's threads want.
    Proxied(ProxyRequest),
}

/// What may be changed of a node that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tuning {
    /// The network's keys.
    pub keys: KeyRing,
    /// What one source may ask, in units a second.
    pub rate_per_s: u32,
    /// What one source may save up, in units.
    pub burst: u32,
}

/// How joining goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JoinNews {
    /// The node has joined.
    Joined {
        /// Good contacts known.
        contacts: usize,
    },
    /// Nobody answered; the node will try again.
    Failed {
        /// Endpoints tried.
        tried: usize,
        /// Milliseconds until the next try.
        retry_ms: u64,
    },
}

/// How leaving went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Values that at least one other node acknowledged.
    pub handed: u32,
    /// Values that none did.
    pub kept: u32,
}

/// Adds up how the shards of a node leave, and tells when the last has.
#[derive(Clone, Debug)]
pub struct DrainTally {
    left: Arc<Mutex<(usize, Drained)>>,
    sender: Sender<Drained>,
}

impl DrainTally {
    /// A tally of so many shards.
    #[must_use]
    pub fn new(shards: usize, sender: Sender<Drained>) -> Self {
        Self { left: Arc::new(Mutex::new((shards, Drained { handed: 0, kept: 0 }))), sender }
    }

    fn add(&self, drained: Drained) {
        // Nobody panics while holding it: the sums saturate.
        let Ok(mut left) = self.left.lock() else { return };
        let (count, sum) = &mut *left;
        sum.handed = sum.handed.saturating_add(drained.handed);
        sum.kept = sum.kept.saturating_add(drained.kept);
        *count = count.saturating_sub(1);
        if *count == 0 {
            let _ = self.sender.try_send(*sum);
        }
    }
}

/// What a turn leaves to its runner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Turn {
    /// Datagrams taken in.
    pub datagram_count: usize,
    /// More datagrams wait: turn again before sleeping.
    pub more: bool,
    /// Turn again at this time, whatever arrives.
    pub wake_at: Option<Nanos>,
}

/// Datagrams that wait for the end of a walk through others; its memory is kept.
#[derive(Debug, Default)]
struct Onward {
    datagrams: Vec<(u8, Route, usize)>,
    bytes: Vec<u8>,
}

impl Onward {
    fn push(&mut self, to: u8, route: &Route, bytes: &[u8]) {
        self.datagrams.push((to, *route, bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    fn drain(&mut self, mut hand: impl FnMut(u8, &Route, &[u8])) {
        let mut rest = self.bytes.as_slice();
        for (to, route, len) in self.datagrams.drain(..) {
            let (bytes, behind) = rest.split_at(len);
            rest = behind;
            hand(to, &route, bytes);
        }
        self.bytes.clear();
    }
}

/// A node and the datapath that it answers on.
#[derive(Debug)]
pub struct Shard<D> {
    node: Hosted,
    datapath: D,
    callers: HashMap<OperationId, Sender<Result<Report, CommandError>>>,
    joiner: Option<Sender<JoinNews>>,
    drainer: Option<DrainTally>,
    witness: Witness,
    /// The way to the node's other shards; nothing if it is alone.
    port: Option<Port>,
    /// What others handed over and has to go on.
    onward: Onward,
    /// When to look again whether a shard that is owed notes has read what it was sent.
    retry_at: Nanos,
    /// As [`Shard::wake_at`] since the last turn.
    wake_at: Option<Nanos>,
    /// The node was called since the last turn: the next has to see what came of it.
    is_stirred: bool,
    streams: Option<StreamLink>,
    /// The way to whoever answers in the node's stead; nothing: nobody does.
    proxy: Option<ProxyLink>,
    /// Who waits until all is served.
    settling: Vec<Sender<()>>,
}

impl<D: Datapath> Shard<D> {
    /// A shard that has not turned yet.
    #[must_use]
    pub fn new(node: impl Into<Hosted>, datapath: D) -> Self {
        let callers = HashMap::new();
        Self {
            node: node.into(),
            datapath,
            callers,
            joiner: None,
            drainer: None,
            witness: Witness::default(),
            port: None,
            onward: Onward::default(),
            retry_at: Nanos(0),
            wake_at: None,
            is_stirred: true,
            streams: None,
            proxy: None,
            settling: Vec::new(),
        }
    }

    /// The same as one of several shards.
    #[must_use]
    pub fn with_port(self, port: Port) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The way to the node's other shards.
    #[must_use]
    pub fn port(&self) -> Option<&Port> {
        self.port.as_ref()
    }

    /// The datapath.
    #[must_use]
    pub fn datapath(&self) -> &D {
        &self.datapath
    }

    /// When the shard must turn even if nothing arrives.
    #[must_use]
    pub fn wake_at(&self) -> Option<Nanos> {
        self.wake_for(self.node.poll_timeout())
    }

    /// The same for a node that has something to do at `due`.
    fn wake_for(&self, due: Option<Nanos>) -> Option<Nanos> {
        // Whoever waits for a turn gets one at once.
        if !self.settling.is_empty() {
            return Some(Nanos(0));
        }
        match &self.port {
            Some(port) if port.owes() => {
                Some(due.map_or(self.retry_at, |at| at.min(self.retry_at)))
            }
            _ => due,
        }
    }

    /// Takes in what other shards sent and one batch of datagrams, sends what came of both,
    /// does what is due, and sends that. `now` is read once per turn. Bounded by the
    /// datapath's batch and the mesh's lanes; never blocks. A turn that finds nothing to do
    /// does not ask the node.
    pub fn turn(&mut self, moment: Moment) -> Turn {
        let now = now_of(moment);
        let received = self.datapath.receive();
        let has_mail = self.port.as_ref().is_some_and(Port::has_mail);
        let is_due = self.wake_at.is_some_and(|at| at <= now.mono);
        if received.datagram_count == 0 && !(has_mail || is_due || self.is_stirred) {
            return Turn { datagram_count: 0, more: received.more, wake_at: self.wake_at };
        }
        let (taken, more_mail) = if has_mail { self.take_mail(now) } else { (0, false) };
        self.handle_batch(now);
        // Whoever asked need not wait for what is due.
        self.datapath.flush();
        let mut due = self.node.poll_timeout();
        if due.is_some_and(|at| at <= now.mono) {
            self.node.handle_timeout(now, self.datapath.outbox());
            self.datapath.flush();
            due = self.node.poll_timeout();
        }
        self.retry_at = now.mono.plus_ms(1);
        self.post_notes();
        self.post_errands();
        if self.deliver_events(now) {
            due = self.node.poll_timeout();
        }
        if !(received.more || more_mail) {
            self.settle();
        }
        self.is_stirred = false;
        self.wake_at = self.wake_for(due);
        Turn {
            datagram_count: received.datagram_count + taken,
            more: received.more || more_mail,
            wake_at: self.wake_at,
        }
    }

    /// As [`Datapath::announce`].
    pub fn announce(&mut self) -> bool {
        self.datapath.announce()
    }

    /// Handles what the datapath received, or hands it to the shard that it belongs to.
    fn handle_batch(&mut self, now: Now) {
        let (batch, outbox) = self.datapath.split();
        let mut soon = Soon::of(&batch, self.node.is_far());
        for datagram in batch {
            soon.step(|before, next| self.node.fetch(before, next.route, next.bytes));
            if let Some(port) = &mut self.port
                && let Home::Shard(home) = self.node.home(datagram.bytes)
                && home != port.shard()
            {
                port.hand_over(home, datagram.route, datagram.bytes);
            } else {
                self.node.handle_datagram(now, datagram.route, datagram.bytes, outbox);
            }
        }
    }

    /// Does what other shards' notes and datagrams ask for. How many datagrams there were,
    /// and whether there may be more mail.
    fn take_mail(&mut self, now: Now) -> (usize, bool) {
        let Some(port) = &mut self.port else { return (0, false) };
        let (node, outbox) = (&mut self.node, self.datapath.outbox());
        let (own, onward) = (port.shard(), &mut self.onward);
        let mut taken = 0;
        let more = port.receive(|parcel| {
            for note in parcel.notes() {
                node.handle_note(now, parcel.from(), *note, outbox);
            }
            for (route, bytes) in parcel.datagrams() {
                taken += 1;
                match node.home_of_handed(bytes) {
                    Home::Shard(home) if home != own => onward.push(home, route, bytes),
                    _ => node.handle_datagram(now, route, bytes, outbox),
                }
            }
        });
        onward.drain(|home, route, bytes| port.hand_over(home, route, bytes));
        (taken, more)
    }

    /// Sends the node's notes to the other shards, and all that it can tell to those who
    /// lost some.
    fn post_notes(&mut self) {
        let Some(port) = &mut self.port else { return };
        while let Some((to, note)) = self.node.poll_note() {
            match to {
                Addressee::Shard(to) => {
                    port.tell(to, note);
                }
                Addressee::Others => port.tell_others(note),
            }
        }
        if self.node.take_lossy() {
            port.owe_others();
        }
        if let Some(owed) = port.take_owed() {
            // What does not fit is owed again.
            let _ = self.node.retell().into_iter().all(|note| port.tell(owed, note));
        }
        port.flush();
    }

    /// The next signatures to verify, of a node that has them verified apart.
    pub fn poll_verify(&mut self) -> Option<VerifyJob> {
        self.node.poll_verify()
    }

    /// Goes on with what waited for `verdict`. What comes of it is sent by the next turn.
    pub fn handle_verdict(&mut self, moment: Moment, verdict: Verdict) {
        self.is_stirred = true;
        self.node.handle_verdict(now_of(moment), verdict, self.datapath.outbox());
    }

    /// What the node and its datapath have counted.
    #[must_use]
    pub fn status(&self, moment: Moment) -> Status {
        let mesh = self.port.as_ref().map(Port::counters).unwrap_or_default();
        let counters = self.datapath.counters();
        let mut status = Status::of(&self.node, &counters, mesh, now_of(moment));
        if let Some(link) = &self.streams {
            status.streams = link.status();
        }
        status.with_host(&self.node)
    }

    /// Does what another thread wants.
    pub fn handle(&mut self, moment: Moment, request: ShardRequest) {
        let now = now_of(moment);
        self.is_stirred = true;
        match request {
            ShardRequest::Begin(command, caller) => {
                match self.node.begin(now, *command, self.datapath.outbox()) {
                    Ok(operation) => {
                        self.callers.insert(operation, caller);
                    }
                    Err(error) => {
                        let _ = caller.try_send(Err(error));
                    }
                }
            }
            ShardRequest::Join(bootstrap, joiner) => {
                self.joiner = Some(joiner);
                self.node.join(now, &bootstrap, self.datapath.outbox());
            }
            ShardRequest::Drain(drainer) => {
                self.drainer = Some(drainer);
                self.node.drain(now, self.datapath.outbox());
            }
            ShardRequest::Status(asker) => {
                let _ = asker.try_send(Box::new(self.status(moment)));
            }
            ShardRequest::Contacts(asker) => {
                let _ = asker.try_send(self.node.good_contacts().collect());
            }
            ShardRequest::Members(asker) => {
                let _ = asker.try_send(Box::new(Members::of(&self.node, now)));
            }
            ShardRequest::Tune(tuning, caller) => {
                self.node.set_keys(tuning.keys);
                self.node.set_allowance(tuning.rate_per_s, tuning.burst);
                if let Some(link) = &self.streams {
                    link.set_keys(tuning.keys);
                }
                let _ = caller.try_send(());
            }
            ShardRequest::Streams(link) => self.streams = Some(link),
            ShardRequest::Stream(message) => self.serve_stream(now, *message),
            ShardRequest::StreamEnd(end) => self.end_stream(now, *end),
            ShardRequest::Proxied(request) => self.handle_proxied(now, request),
        }
        self.datapath.flush();
        self.post_notes();
        self.post_errands();
        self.deliver_events(now);
    }

    /// Hands out what the node has to say, and says whether that was anything.
    fn deliver_events(&mut self, now: Now) -> bool {
        let mut has_any = false;
        while let Some(event) = self.node.poll_event() {
            has_any = true;
            let news = match event {
                Event::Done(report) => {
                    if let Some(caller) = self.callers.remove(&report.operation) {
                        let _ = caller.try_send(Ok(report));
                    }
                    continue;
                }
                Event::Drained { handed, kept } => {
                    if let Some(drainer) = self.drainer.take() {
                        drainer.add(Drained { handed, kept });
                    }
                    continue;
                }
                Event::Stream(ask) => {
                    self.send_stream(now, ask);
                    continue;
                }
                Event::StreamReply { stream, bytes } => {
                    self.reply_by_stream(stream, bytes);
                    continue;
                }
                Event::Observed { before, after } => {
                    self.witness.note(&self.node, before, after);
                    continue;
                }
                Event::Joined { contacts } => JoinNews::Joined { contacts },
                Event::JoinFailed { tried, retry_ms } => JoinNews::Failed { tried, retry_ms },
            };
            if let Some(joiner) = &self.joiner {
                let _ = joiner.try_send(news);
            }
        }
        has_any
    }
}
