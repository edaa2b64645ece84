//! One node on one datapath.

use std::collections::HashMap;

use crossbeam_channel::Sender;
use kdht_core::{Command, CommandError, Event, Nanos, Node, OperationId, Report};
use kdht_wire::{Contact, Endpoint, KeyRing};

use crate::io::{Datapath, Moment};
use crate::now_of;
use crate::status::{Members, Status};

/// Something that another thread wants of a shard. Answers go through the sender given; a
/// receiver that is gone is no error.
#[derive(Debug)]
pub enum ShardRequest {
    /// Carry out a command.
    Begin(Box<Command>, Sender<Result<Report, CommandError>>),
    /// Enter the network, and tell how that goes.
    Join(Vec<Endpoint>, Sender<JoinNews>),
    /// Leave the network, and tell when every value was handed over.
    Drain(Sender<Drained>),
    /// Say how the node is.
    Status(Sender<Box<Status>>),
    /// Name the contacts that may be told to others.
    Contacts(Sender<Vec<Contact>>),
    /// Name every member of the routing tables.
    Members(Sender<Box<Members>>),
    /// Work by these settings from now on, and say when.
    Tune(Box<Tuning>, Sender<()>),
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

/// A node and the datapath that it answers on.
#[derive(Debug)]
pub struct Shard<D> {
    node: Node,
    datapath: D,
    callers: HashMap<OperationId, Sender<Result<Report, CommandError>>>,
    joiner: Option<Sender<JoinNews>>,
    drainer: Option<Sender<Drained>>,
}

impl<D: Datapath> Shard<D> {
    /// A shard that has not turned yet.
    #[must_use]
    pub fn new(node: Node, datapath: D) -> Self {
        Self { node, datapath, callers: HashMap::new(), joiner: None, drainer: None }
    }

    /// The datapath.
    #[must_use]
    pub fn datapath(&self) -> &D {
        &self.datapath
    }

    /// When the shard must turn even if nothing arrives.
    #[must_use]
    pub fn wake_at(&self) -> Option<Nanos> {
        self.node.poll_timeout()
    }

    /// Takes in one batch of datagrams, does what is due, and sends what came of both.
    /// `now` is read once per turn. Bounded by the datapath's batch; never blocks.
    pub fn turn(&mut self, moment: Moment) -> Turn {
        let now = now_of(moment);
        let received = self.datapath.receive();
        let (batch, outbox) = self.datapath.split();
        for datagram in batch {
            self.node.handle_datagram(now, &datagram.route, datagram.bytes, outbox);
        }
        self.node.handle_timeout(now, outbox);
        self.datapath.flush();
        self.deliver_events();
        Turn {
            datagram_count: received.datagram_count,
            more: received.more,
            wake_at: self.node.poll_timeout(),
        }
    }

    /// What the node and its datapath have counted.
    #[must_use]
    pub fn status(&self, moment: Moment) -> Status {
        Status::of(&self.node, &self.datapath.counters(), now_of(moment))
    }

    /// Does what another thread wants.
    pub fn handle(&mut self, moment: Moment, request: ShardRequest) {
        let now = now_of(moment);
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
                let _ = caller.try_send(());
            }
        }
        self.datapath.flush();
        self.deliver_events();
    }

    fn deliver_events(&mut self) {
        while let Some(event) = self.node.poll_event() {
            let news = match event {
                Event::Done(report) => {
                    if let Some(caller) = self.callers.remove(&report.operation) {
                        let _ = caller.try_send(Ok(report));
                    }
                    continue;
                }
                Event::Drained { handed, kept } => {
                    if let Some(drainer) = &self.drainer {
                        let _ = drainer.try_send(Drained { handed, kept });
                    }
                    continue;
                }
                Event::Joined { contacts } => JoinNews::Joined { contacts },
                Event::JoinFailed { tried, retry_ms } => JoinNews::Failed { tried, retry_ms },
            };
            if let Some(joiner) = &self.joiner {
                let _ = joiner.try_send(news);
            }
        }
    }
}
