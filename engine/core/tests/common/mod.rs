//! A small network of real nodes under virtual time, from one seed.
//!
//! It carries datagrams and streams, keeps the clock and wakes nodes when they asked to be. It knows
//! nothing of Kademlia: who is asked, told or forgotten is the nodes' own doing.

mod message;
mod solo;
mod streams;
mod tray;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use kdht_core::{
    Command, Config, Event, NS_PER_MS, NS_PER_S, Nanos, Node, Now, OperationId, Report, Rng, Route,
    Verdict,
};
use kdht_wire::{Endpoint, Id};

pub(crate) use message::{Reply, Request, is_reply, reply_of, tx_id_of};
pub(crate) use solo::Solo;
pub(crate) use streams::Streams;
pub(crate) use tray::Tray;

/// Where every network's clocks begin.
pub(crate) const START: Now = Now { mono: Nanos(1_000 * NS_PER_S), unix_s: 1_800_000_000 };

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// One way, in milliseconds; between the two at random, so that datagrams overtake
    /// each other.
    pub(crate) delay_ms: (u64, u64),
    /// Of a thousand datagrams, how many are lost.
    pub(crate) lost: u64,
    /// Of a thousand datagrams, how many arrive twice.
    pub(crate) doubled: u64,
}

impl Conditions {
    pub(crate) const CALM: Self = Self { delay_ms: (10, 30), lost: 0, doubled: 0 };
    pub(crate) const ROUGH: Self = Self { delay_ms: (5, 120), lost: 100, doubled: 50 };
}

/// One datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
enum Due {
    Arrival(Datagram),
    Wake(usize),
    /// What another thread found out for a node that has its signatures verified apart.
    Verdict(usize, Verdict),
    Stream(streams::Step),
}

#[derive(Debug)]
struct Place {
    endpoint: Endpoint,
    id: Id,
    config: Config,
    node: Option<Node>,
    /// The earliest wake that is under way.
    wake_at: Option<u64>,
    events: Vec<Event>,
}

/// Answers what is sent to endpoints without a node.
type Stranger = Box<dyn FnMut(&Datagram) -> Vec<Datagram>>;

/// The network.
pub(crate) struct Net {
    pub(crate) rng: Rng,
    pub(crate) conditions: Conditions,
    /// Every datagram sent, if the test wants to see them.
    pub(crate) log: Option<Vec<Datagram>>,
    /// What was sent to endpoints without a node.
    pub(crate) strays: Vec<Datagram>,
    /// Endpoints that nothing reaches, and nothing leaves.
    pub(crate) cut_off: Vec<Endpoint>,
    stranger: Option<Stranger>,
    pub(crate) streams: Streams,
    now_ns: u64,
    places: Vec<Place>,
    by_endpoint: HashMap<Endpoint, usize>,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    what: HashMap<u64, Due>,
    sequence: u64,
    tray: Tray,
}

impl Net {
    pub(crate) fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            rng: rng(seed),
            conditions,
            log: None,
            strays: Vec::new(),
            cut_off: Vec::new(),
            stranger: None,
            streams: Streams::default(),
            now_ns: START.mono.0,
            places: Vec::new(),
            by_endpoint: HashMap::new(),
            due: BinaryHeap::new(),
            what: HashMap::new(),
            sequence: 0,
            tray: Tray::new(512),
        }
    }

    /// A network of `count` nodes that joined one after another, each by way of a random
    /// one that is there already.
    pub(crate) fn joined(seed: u64, conditions: Conditions, count: usize, config: &Config) -> Self {
        let mut net = Self::new(seed, conditions);
        for at in 0..count {
            let node = net.add(config.clone());
            if at > 0 {
                let by = net.below(at);
                net.join(node, &[by]);
                // Where much is lost, the last of many attempts is late.
                net.run_until(300_000, |net| net.has_joined(node));
                assert!(net.has_joined(node), "seed {seed}: node {at} did not join");
            }
        }
        net.run_for(5_000);
        net
    }

    pub(crate) fn now(&self) -> Now {
        let elapsed_s = (self.now_ns - START.mono.0) / NS_PER_S;
        Now { mono: Nanos(self.now_ns), unix_s: START.unix_s + u32::try_from(elapsed_s).unwrap() }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    /// A node with a random id at an address of its own.
    pub(crate) fn add(&mut self, config: Config) -> usize {
        let id = self.rng.id();
        let endpoint = address(self.places.len());
        self.add_as(id, endpoint, config)
    }

    pub(crate) fn add_as(&mut self, id: Id, endpoint: Endpoint, config: Config) -> usize {
        let at = self.places.len();
        let node = Node::new(id, config.clone(), self.rng.secret(), self.now());
        let (node, events) = (Some(node), Vec::new());
        self.places.push(Place { endpoint, id, config, node, wake_at: None, events });
        self.by_endpoint.insert(endpoint, at);
        at
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.places[at].node = None;
    }

    /// Starts a killed node again with its id, at its endpoint, knowing nobody.
    pub(crate) fn restart(&mut self, at: usize) {
        let seed = self.rng.secret();
        let now = self.now();
        let place = &mut self.places[at];
        place.node = Some(Node::new(place.id, place.config.clone(), seed, now));
        place.wake_at = None;
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_alive(&self, at: usize) -> bool {
        self.places[at].node.is_some()
    }

    pub(crate) fn node(&self, at: usize) -> &Node {
        self.places[at].node.as_ref().expect("the node is alive")
    }

    pub(crate) fn id(&self, at: usize) -> Id {
        self.places[at].id
    }

    pub(crate) fn endpoint(&self, at: usize) -> Endpoint {
        self.places[at].endpoint
    }

    /// From now on the node is seen at `endpoint`, as behind a NAT that forgot it.
    pub(crate) fn renumber(&mut self, at: usize, endpoint: Endpoint) {
        let old = std::mem::replace(&mut self.places[at].endpoint, endpoint);
        self.by_endpoint.remove(&old);
        self.by_endpoint.insert(endpoint, at);
    }

    pub(crate) fn at_endpoint(&self, endpoint: &Endpoint) -> Option<usize> {
        self.by_endpoint.get(endpoint).copied()
    }

    /// Lets `stranger` answer what goes to endpoints without a node.
    pub(crate) fn answer_strays(
        &mut self,
        stranger: impl FnMut(&Datagram) -> Vec<Datagram> + 'static,
    ) {
        self.stranger = Some(Box::new(stranger));
    }

    /// The ids of all live nodes, nearest to `target` first: what a full sort says.
    pub(crate) fn sorted_by_distance(&self, target: &Id) -> Vec<Id> {
        let live = self.places.iter().filter(|place| place.node.is_some());
        let mut ids: Vec<Id> = live.map(|place| place.id).collect();
        ids.sort_by_key(|id| id.distance(target));
        ids
    }

    pub(crate) fn join(&mut self, at: usize, by: &[usize]) {
        let bootstrap: Vec<Endpoint> = by.iter().map(|at| self.places[*at].endpoint).collect();
        self.with(at, |node, now, tray| node.join(now, &bootstrap, tray));
    }

    pub(crate) fn has_joined(&self, at: usize) -> bool {
        self.places[at].events.iter().any(|event| matches!(event, Event::Joined { .. }))
    }

    pub(crate) fn events(&mut self, at: usize) -> Vec<Event> {
        std::mem::take(&mut self.places[at].events)
    }

    pub(crate) fn begin(&mut self, at: usize, command: Command) -> OperationId {
        self.with(at, |node, now, tray| node.begin(now, command, tray)).expect("begun")
    }

    /// Begins a command and runs the network until it is done.
    pub(crate) fn run(&mut self, at: usize, command: Command) -> Report {
        let operation = self.begin(at, command);
        self.run_until(120_000, |net| net.report(at, operation).is_some());
        self.report(at, operation).expect("done within two minutes").clone()
    }

    pub(crate) fn report(&self, at: usize, operation: OperationId) -> Option<&Report> {
        self.places[at].events.iter().find_map(|event| match event {
            Event::Done(report) if report.operation == operation => Some(report),
            _ => None,
        })
    }

    /// Calls a node and sends what it laid out.
    pub(crate) fn with<T>(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut Node, Now, &mut Tray) -> T,
    ) -> T {
        let now = self.now();
        let mut tray = std::mem::replace(&mut self.tray, Tray::new(0));
        let place = &mut self.places[at];
        let node = place.node.as_mut().expect("the node is alive");
        let result = call(node, now, &mut tray);
        let events: Vec<Event> = std::iter::from_fn(|| node.poll_event()).collect();
        let jobs: Vec<_> = std::iter::from_fn(|| node.poll_verify()).collect();
        let wake_at = node.poll_timeout().map(|at| at.0.max(self.now_ns));
        let from = place.endpoint;
        if let Some(wake_ns) = wake_at.filter(|wake| place.wake_at.is_none_or(|at| *wake < at)) {
            place.wake_at = Some(wake_ns);
            self.push(wake_ns, Due::Wake(at));
        }
        tray.drain(|route, bytes| {
            self.send(Datagram { from, to: route.peer, bytes: bytes.to_vec() });
        });
        self.tray = tray;
        for job in jobs {
            // As long as a thread with much to do may take, so that they overtake each other.
            let after_us = self.rng.below(20_000);
            self.push(self.now_ns + after_us * 1_000, Due::Verdict(at, job.verify()));
        }
        for event in events {
            let kept = self.carry(at, event);
            self.places[at].events.extend(kept);
        }
        result
    }

    /// Sends a datagram, as whoever it says it is from.
    pub(crate) fn send(&mut self, datagram: Datagram) {
        if let Some(log) = self.log.as_mut() {
            log.push(datagram.clone());
        }
        let is_cut = |end: &Endpoint| self.cut_off.contains(end);
        if is_cut(&datagram.from) || is_cut(&datagram.to) {
            return;
        }
        if self.rng.below(1_000) < self.conditions.lost {
            return;
        }
        let copies = if self.rng.below(1_000) < self.conditions.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let (min, max) = self.conditions.delay_ms;
            let delay_us = min * 1_000 + self.rng.below((max - min) * 1_000 + 1);
            self.push(self.now_ns + delay_us * 1_000, Due::Arrival(datagram.clone()));
        }
    }

    /// Hands a datagram to its node at once.
    pub(crate) fn deliver(&mut self, datagram: &Datagram) {
        let to = self.by_endpoint.get(&datagram.to).copied();
        let Some(to) = to.filter(|to| self.places[*to].node.is_some()) else {
            self.strays.push(datagram.clone());
            let mut stranger = self.stranger.take();
            let answers = stranger.as_mut().map_or(Vec::new(), |answer| answer(datagram));
            self.stranger = stranger;
            answers.into_iter().for_each(|answer| self.send(answer));
            return;
        };
        let route = Route::to(datagram.from);
        self.with(to, |node, now, tray| node.handle_datagram(now, &route, &datagram.bytes, tray));
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Runs until `is_enough`, for at most `ms` milliseconds.
    pub(crate) fn run_until(&mut self, ms: u64, is_enough: impl Fn(&Self) -> bool) {
        let end_ns = self.now_ns + ms * NS_PER_MS;
        while !is_enough(self) {
            let next = self.due.peek().filter(|Reverse((at, _))| *at <= end_ns);
            let Some(Reverse((at, sequence))) = next.copied() else {
                self.now_ns = end_ns;
                return;
            };
            self.due.pop();
            self.now_ns = self.now_ns.max(at);
            match self.what.remove(&sequence) {
                Some(Due::Arrival(datagram)) => self.deliver(&datagram),
                Some(Due::Wake(node)) => self.wake(node),
                Some(Due::Verdict(at, verdict)) if self.is_alive(at) => {
                    self.with(at, |node, now, tray| node.handle_verdict(now, verdict, tray));
                }
                Some(Due::Verdict(..)) => {}
                Some(Due::Stream(step)) => self.step_stream(step),
                None => {}
            }
        }
    }

    fn wake(&mut self, at: usize) {
        let place = &mut self.places[at];
        if place.wake_at.is_none_or(|wake| wake > self.now_ns) {
            return;
        }
        place.wake_at = None;
        if place.node.is_some() {
            self.with(at, |node, now, tray| node.handle_timeout(now, tray));
        }
    }

    fn push(&mut self, at_ns: u64, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((at_ns, self.sequence)));
        self.what.insert(self.sequence, due);
    }
}

/// A generator for one seed.
pub(crate) fn rng(seed: u64) -> Rng {
    let mut key = [0x6b; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(key)
}

/// The address of the node at place `at`; each has a /24 of its own.
pub(crate) fn address(at: usize) -> Endpoint {
    let [high, low] = u16::try_from(at).expect("few nodes").to_be_bytes();
    endpoint(&format!("20.{high}.{low}.1:4000"))
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    Endpoint::from(text.parse::<std::net::SocketAddr>().expect("a socket address"))
}

/// A digest that tells two runs apart: FNV-1a over every datagram.
pub(crate) fn digest(log: &[Datagram]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for datagram in log {
        for end in [&datagram.from, &datagram.to] {
            mix(&end.ip);
            mix(&end.port.to_bytes());
        }
        mix(&datagram.bytes);
    }
    hash
}
