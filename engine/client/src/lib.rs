//! put and get on a kdht network, for programs.
//!
//! A [`Client`] is a node that serves nobody and says so: it runs the same lookups as a
//! node does, over one UDP socket, and blocks its caller meanwhile. Nothing in it is shared
//! between threads; a program that wants more at once makes more clients. Values of more than
//! 1000 bytes, to 1 MiB, travel by TCP, by threads that end with their exchange.
//!
//! ```no_run
//! use kdht_client::{Client, Filter, Options, PublisherKey, key_of_string, signed_value};
//!
//! let mut client = Client::connect(&["127.0.0.1:4000".parse()?], &Options::default())?;
//! let publisher = PublisherKey::from_seed(&[7; 32]);
//! let key = key_of_string("greeting");
//! client.put(key, signed_value(&publisher, &key, 1, 3_600, b"hello"), None)?;
//! let (values, _) = client.get(key, Filter::Any, 1)?;
//! assert_eq!(values[0].bytes, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod socket;
mod stream;
mod value;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kdht_core::{
    Command, Config, Event, Families, Limits, Node, OperationId, Outcome, ThrottleConfig, Timeouts,
};
use kdht_wire::{Endpoint, KeyRing};

pub use error::ClientError;
pub use kdht_core::{Candidate, Report, Request, Standing, Stored, Value, ValuePublisher};
pub use kdht_store::PublisherKey;
pub use kdht_wire::{Filter, Id, key_of_string, key_of_value};
pub use value::{immutable_value, plain_value, signed_value};

use socket::{Clock, Socket};
use stream::{Ended, Streams};

/// How long after the first entry node's answer the others' are waited for.
const ENTRY_GRACE: Duration = Duration::from_millis(200);

/// How long an answer of somebody unknown is waited for, in milliseconds. Somebody waits
/// for this client's own answer meanwhile.
const ANSWER_MS: u32 = 1_200;

/// How often it is looked for what came by TCP.
const STREAM_LOOK: Duration = Duration::from_millis(5);

/// How a client is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network's keys; none in an open network.
    pub keys: KeyRing,
    /// The client's id, which names it as the publisher of plain values; nothing: a
    /// random one.
    pub id: Option<Id>,
    /// How often an entry node is pinged before it counts as absent, 1.2 s each.
    pub attempts: u8,
    /// Replicas that the network keeps, 1 to 20: how many nodes a put stores at.
    pub k: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { keys: KeyRing::OPEN, id: None, attempts: 3, k: 20 }
    }
}

/// A node that serves nobody, and its socket.
#[derive(Debug)]
pub struct Client {
    node: Node,
    socket: Socket,
    clock: Clock,
    attempts: u8,
    streams: Streams,
}

impl Client {
    /// Opens a socket of `peer`'s family, and asks nobody yet.
    ///
    /// # Errors
    /// [`ClientError::Host`] if the host gives no socket or no entropy.
    pub fn open(peer: SocketAddr, options: &Options) -> Result<Self, ClientError> {
        let mut entropy = [0; 36];
        getrandom::fill(&mut entropy)
            .map_err(|error| ClientError::Host(std::io::Error::other(error)))?;
        let (seed, random_id) = entropy.split_at(16);
        let mut id = Id::ZERO;
        id.0.copy_from_slice(random_id);
        let mut node_seed = [0; 16];
        node_seed.copy_from_slice(seed);
        let config = Config {
            k: options.k,
            client: true,
            families: Families { v4: peer.is_ipv4(), v6: peer.is_ipv6() },
            throttle: ThrottleConfig { slots: 0, ..ThrottleConfig::default() },
            store: Limits::NONE,
            keys: options.keys,
            timeouts: Timeouts { fail_ms_min: ANSWER_MS, ..Timeouts::default() },
            ..Config::default()
        };
        let clock = Clock::start();
        let node = Node::new(options.id.unwrap_or(id), config, node_seed, clock.now());
        let socket = Socket::open(peer).map_err(ClientError::Host)?;
        let attempts = options.attempts.max(1);
        Ok(Self { node, socket, clock, attempts, streams: Streams::new() })
    }

    /// Opens a client that knows the network through those of `via` that answer within
    /// 0.2 s of the first; all must be of one address family. More than one keeps a lying
    /// entry node from being all that the client knows.
    ///
    /// # Errors
    /// [`ClientError::NoEntry`] names who did not answer, and what was tried.
    pub fn connect(via: &[SocketAddr], options: &Options) -> Result<Self, ClientError> {
        let Some(first) = via.first() else { return Err(ClientError::NoVia) };
        if let Some(other) = via.iter().find(|addr| addr.is_ipv4() != first.is_ipv4()) {
            return Err(ClientError::MixedFamilies(*first, *other));
        }
        let mut client = Self::open(*first, options)?;
        let started = Instant::now();
        for _ in 0..client.attempts {
            let mut waiting = Vec::new();
            for addr in via {
                waiting.push(client.begin(ping((*addr).into()))?);
            }
            let mut deadline = None;
            let mut has_entry = false;
            while !waiting.is_empty() {
                let Some(report) = client.next_report(deadline)? else { break };
                waiting.retain(|operation| *operation != report.operation);
                if matches!(report.outcome, Outcome::Reply { .. }) {
                    has_entry = true;
                    deadline.get_or_insert_with(|| Instant::now() + ENTRY_GRACE);
                }
            }
            if has_entry {
                return Ok(client);
            }
        }
        let (attempts, elapsed) = (client.attempts, started.elapsed());
        Err(ClientError::NoEntry { via: via.to_vec(), attempts, elapsed })
    }

    /// The client's own id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.node.id()
    }

    /// Stores a value at the k nodes closest to `key`; with `cas`, only where the value
    /// held has that sequence. Takes as long as the lookup and one round trip more.
    ///
    /// # Errors
    /// [`ClientError::NotStored`] if no node acknowledged.
    pub fn put(
        &mut self,
        key: Id,
        value: Value,
        cas: Option<u64>,
    ) -> Result<(Stored, Report), ClientError> {
        let report = self.run(Command::Put { key, value, cas })?;
        match report.outcome {
            Outcome::Stored(stored) if stored.acknowledged > 0 => Ok((stored, report)),
            Outcome::Stored(stored) => Err(self.explained(ClientError::NotStored(stored))),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// Finds up to `values_max` values under `key` that pass the filter. Each has been
    /// verified: its hash, or its publisher's signature.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if no node that was asked holds one.
    pub fn get(
        &mut self,
        key: Id,
        filter: Filter,
        values_max: u16,
    ) -> Result<(Vec<Value>, Report), ClientError> {
        self.collect(key, filter, values_max, 1)
    }

    /// As [`Client::get`], from as many as `holders` (1 to k) of the closest nodes that hold
    /// such values: each may know publishers that the others do not, and of one publisher's
    /// the value with the highest sequence is taken.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if no node that was asked holds one.
    pub fn collect(
        &mut self,
        key: Id,
        filter: Filter,
        values_max: u16,
        holders: u8,
    ) -> Result<(Vec<Value>, Report), ClientError> {
        let mut report = self.run(Command::FindValue { key, filter, values_max, holders })?;
        match &mut report.outcome {
            Outcome::Values { values, .. } => Ok((std::mem::take(values), report)),
            Outcome::NotFound => Err(self.explained(ClientError::NotFound(Box::new(report)))),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// Finds the k nodes closest to `target`; the report's path names them.
    ///
    /// # Errors
    /// [`ClientError::Unanswered`] if nobody did.
    pub fn find_node(&mut self, target: Id) -> Result<Report, ClientError> {
        let report = self.run(Command::FindNode { target })?;
        match report.outcome {
            Outcome::Nodes => Ok(report),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// Sends one request, again if it needs a cookie or stays unanswered, and returns the
    /// reply's bytes and its round trip. With `recurse` the node asked does the whole
    /// lookup, which may take it 10 s.
    ///
    /// # Errors
    /// [`ClientError::NoEntry`] if the endpoint does not answer.
    pub fn ask(
        &mut self,
        endpoint: SocketAddr,
        request: &Request,
        recurse: bool,
    ) -> Result<(Vec<u8>, Duration), ClientError> {
        let started = Instant::now();
        // A recursion that was begun is not begun again.
        let attempts = if recurse { 1 } else { self.attempts };
        for _ in 0..attempts {
            let endpoint = Endpoint::from(endpoint);
            let request = request.clone();
            let report = self.run(Command::Ask { endpoint, id: None, request, recurse })?;
            if let Outcome::Reply { bytes, rtt_us } = report.outcome {
                return Ok((bytes, Duration::from_micros(rtt_us.into())));
            }
        }
        let elapsed = started.elapsed();
        Err(self.explained(ClientError::NoEntry { via: vec![endpoint], attempts, elapsed }))
    }

    fn run(&mut self, command: Command) -> Result<Report, ClientError> {
        self.streams.last_failure = None;
        let operation = self.begin(command)?;
        loop {
            match self.next_report(None)? {
                Some(report) if report.operation == operation => return Ok(report),
                _ => {}
            }
        }
    }

    fn begin(&mut self, command: Command) -> Result<OperationId, ClientError> {
        let begun = self.node.begin(self.clock.now(), command, &mut self.socket);
        begun.map_err(ClientError::Refused)
    }

    /// Hands in what came by TCP. False if nothing did.
    fn take_streams(&mut self) -> bool {
        let mut has_taken = false;
        while let Some(Ended { endpoint, tx_id, reply }) = self.streams.next_ended() {
            let reply = reply.map_err(|error| {
                self.streams.last_failure = Some((endpoint.socket_addr(), error));
            });
            let reply = reply.as_ref().ok().map(|(bytes, check)| (&bytes[..], check));
            let now = self.clock.now();
            self.node.handle_stream_end(now, &endpoint, tx_id, reply, &mut self.socket);
            has_taken = true;
        }
        has_taken
    }

    /// Says why TCP failed, if that is why `error` came about.
    fn explained(&mut self, error: ClientError) -> ClientError {
        let by_tcp = match &error {
            ClientError::NotStored(stored) => stored.refused == 0,
            ClientError::NotFound(_) | ClientError::NoEntry { .. } => true,
            _ => false,
        };
        match self.streams.last_failure.take().filter(|_| by_tcp) {
            Some((addr, why)) => ClientError::Stream { addr, why },
            None => error,
        }
    }

    /// Lets the node work until one of its operations is done, or the deadline is over.
    /// Every operation ends by its requests' timeouts, so this returns.
    fn next_report(&mut self, deadline: Option<Instant>) -> Result<Option<Report>, ClientError> {
        loop {
            while let Some(event) = self.node.poll_event() {
                match event {
                    Event::Done(report) => return Ok(Some(report)),
                    Event::Stream(ask) => self.streams.begin(ask, self.node.config().keys),
                    _ => {}
                }
            }
            if self.take_streams() {
                continue;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let now = self.clock.now();
            let wait = match self.node.poll_timeout() {
                Some(at) => Duration::from_nanos(at.since(now.mono)),
                None => Duration::from_secs(1),
            };
            let wait = left.map_or(wait, |left| wait.min(left));
            let wait = if self.streams.is_idle() { wait } else { wait.min(STREAM_LOOK) };
            if let Some((route, len)) = self.socket.receive(wait).map_err(ClientError::Host)? {
                let now = self.clock.now();
                let datagram = self.socket.received(len);
                self.node.handle_datagram(now, &route, &datagram, &mut self.socket);
            }
            self.node.handle_timeout(self.clock.now(), &mut self.socket);
        }
    }
}

fn ping(endpoint: Endpoint) -> Command {
    Command::Ask { endpoint, id: None, request: Request::Ping, recurse: false }
}
