//! The network itself: one heap of events, virtual time, and what happens to datagrams.
//!
//! It carries bytes and keeps clocks. Whom a node asks, tells or forgets is the doing of
//! the core that runs in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use kdht_core::{Config, Event, NS_PER_S, Nanos, Node, Now, Rng, Route, TableKind};
use kdht_wire::{Endpoint, Id, Kind};
use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use crate::address::{Addresses, ip_of};
use crate::attacked::{drawn_by, replies_to_reply};
use crate::oracle::Oracle;
use crate::random::{Draws, Purpose, below, next, unit, whole};
use crate::scenario::{Distribution, Scenario};
use crate::tap::{Heard, Tap};
use crate::trace::Trace;
use crate::tray::Tray;
use crate::watch::{Broken, Cause, Watch};

/// Where all clocks begin: late enough that nothing is "before zero".
pub(crate) const START_NS: u64 = 1_000 * NS_PER_S;
const START_UNIX_S: i64 = 1_800_000_000;
/// How long a node behind NAT hears those that it sent to, in nanoseconds.
const NAT_NS: u64 = 60 * NS_PER_S;
/// Peers that a NAT remembers before it forgets those whose time is over.
const NAT_PEERS_MAX: usize = 1_024;
/// Requests in flight of a node that asks a whole network whether it is alive.
const WIDE_PENDING_MAX: u16 = 1_024;
/// No timer is set.
const NEVER: u64 = u64::MAX;

/// One datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) bytes: Vec<u8>,
}

/// What the heap holds.
#[derive(Debug)]
enum Due {
    Arrival(Box<Datagram>),
    Wake(u32),
    Task(Task),
}

/// What the director of a run set itself to do at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Begin the next lookup.
    Lookup,
    /// Put the next value.
    Put,
    /// Put a value again.
    Republish(u32),
    /// The next get.
    Get,
    /// Look which values are left.
    Census,
    /// A node's session ends, if it is still this one.
    End { node: u32, session: u32 },
    /// A leaving node's time is over, if it is still this session.
    Gone { node: u32, session: u32 },
    /// A node begins anew.
    Begin(u32),
    /// An adversary group begins.
    Adversary(u16),
    /// It sends.
    Attack(u16),
    /// The network falls apart, or heals.
    Partition { plan: u16, begins: bool },
    /// Nodes lose their connection, or have it again.
    Outage { plan: u16, begins: bool },
    /// Clocks jump.
    ClockStep(u16),
}

#[derive(Debug)]
struct Entry {
    at_ns: u64,
    sequence: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.sequence).cmp(&(other.at_ns, other.sequence))
    }
}

/// Who is at an address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Occupant {
    /// An honest node.
    Node(u32),
    /// A host of an adversary: which group, which member.
    Adversary(u16, u32),
}

/// One honest node, alive or not.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: Id,
    pub(crate) endpoint: Endpoint,
    pub(crate) node: Option<Box<Node>>,
    /// When it entered the network; nothing while it has not.
    pub(crate) joined_ns: Option<u64>,
    /// How often something lived here.
    pub(crate) session: u32,
    pub(crate) is_leaving: bool,
    /// Without connection.
    pub(crate) is_out: bool,
    /// By how much its clock of the day is off.
    pub(crate) clock_s: i64,
    /// Its place in the list of live nodes.
    live_at: Option<u32>,
    wake_at_ns: u64,
    sent: u64,
    /// Whom it may hear and until when, if it is behind NAT.
    nat: Option<HashMap<u32, u64>>,
    /// Bytes got in the victim's name, and sent to the victim.
    pub(crate) victim_bytes: (u64, u64),
}

/// What one step led to, for the director.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It is done.
    Done,
    /// A datagram reached a host of an adversary.
    Reached(u16, u32, Box<Datagram>),
    /// A task is due.
    Due(Task),
}

/// Plain counts of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) datagrams: u64,
    pub(crate) honest_bytes: u64,
    pub(crate) victim_datagrams: u64,
    pub(crate) invented_asked: u64,
    pub(crate) operations_max: u64,
    pub(crate) replies_to_replies: u64,
    pub(crate) amplification_once: f64,
    pub(crate) events: u64,
}

/// The network.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) config: Config,
    pub(crate) draws: Draws,
    /// For choices made in order.
    pub(crate) rng: Rng,
    pub(crate) places: Vec<Place>,
    pub(crate) oracle: Oracle,
    /// Live nodes that have joined and do not leave, in no order that means anything.
    pub(crate) live: Vec<u32>,
    pub(crate) addresses: Addresses,
    /// The next host number that was never used.
    pub(crate) hosts: u64,
    /// What nodes had to say and nobody has heard yet.
    pub(crate) said: VecDeque<(u32, Event)>,
    pub(crate) tally: Tally,
    pub(crate) victim: Endpoint,
    pub(crate) trace: Option<Trace>,
    pub(crate) broken: Option<Broken>,
    /// Which plan of partition holds.
    pub(crate) parted: Option<u16>,
    /// What adversaries overhear.
    taps: Vec<Tap>,
    now_ns: u64,
    occupants: HashMap<u32, Occupant>,
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    tray: Tray,
    watch: Watch,
    digest: Sha256,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, config: &Config, seed: u64) -> Self {
        let draws = Draws::new(seed);
        let mut rng = draws.stream(0);
        let addresses = Addresses::new(&mut rng, scenario.nodes_per_subnet);
        Self {
            scenario: scenario.clone(),
            config: config.clone(),
            rng,
            places: Vec::new(),
            oracle: Oracle::default(),
            live: Vec::new(),
            addresses,
            hosts: 0,
            said: VecDeque::new(),
            tally: Tally::default(),
            victim: crate::adversary::victim(),
            trace: None,
            broken: None,
            parted: None,
            taps: Tap::all_for(scenario),
            now_ns: START_NS,
            occupants: HashMap::new(),
            heap: BinaryHeap::new(),
            sequence: 0,
            tray: Tray::default(),
            watch: Watch::new(scenario, config),
            digest: Sha256::new(),
            draws,
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Both clocks, as node `at` reads them.
    pub(crate) fn now_of(&self, at: u32) -> Now {
        let clock_s = self.places[at as usize].clock_s;
        Now { mono: Nanos(self.now_ns), unix_s: self.unix_s(clock_s) }
    }

    /// The clock of the day, off by `by_s`.
    pub(crate) fn unix_s(&self, by_s: i64) -> u32 {
        let elapsed_s = i64::try_from((self.now_ns - START_NS) / NS_PER_S).unwrap_or(0);
        // Seconds since 1970, modulo 2³², as the wire has them.
        u32::try_from((START_UNIX_S + elapsed_s + by_s) & 0xffff_ffff).unwrap_or(0)
    }

    /// A place for a node with this id, at an address never used before. It is not alive.
    pub(crate) fn add(&mut self, id: Id) -> u32 {
        let at = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let endpoint = self.addresses.host(self.hosts);
        self.hosts += 1;
        self.occupants.insert(ip_of(&endpoint), Occupant::Node(at));
        // The first one must let the second in.
        let is_behind_nat =
            at > 0 && self.draws.unit(Purpose::Nat, u64::from(at)) < self.scenario.nat;
        self.places.push(Place {
            id,
            endpoint,
            node: None,
            joined_ns: None,
            session: 0,
            is_leaving: false,
            is_out: false,
            clock_s: 0,
            live_at: None,
            wake_at_ns: NEVER,
            sent: 0,
            nat: is_behind_nat.then(HashMap::new),
            victim_bytes: (0, 0),
        });
        at
    }

    /// Gives a dead node's place to a new node, with an id and an address of its own.
    pub(crate) fn renew(&mut self, at: u32) {
        let id = self.rng.id();
        let endpoint = self.addresses.host(self.hosts);
        self.hosts += 1;
        let place = &mut self.places[at as usize];
        self.occupants.remove(&ip_of(&place.endpoint));
        self.occupants.insert(ip_of(&endpoint), Occupant::Node(at));
        (place.id, place.endpoint) = (id, endpoint);
    }

    /// Lets a host of an adversary have this address, whatever the port.
    pub(crate) fn occupy(&mut self, endpoint: &Endpoint, occupant: Occupant) {
        self.occupants.insert(ip_of(endpoint), occupant);
    }

    /// Who is at this address.
    pub(crate) fn occupant(&self, endpoint: &Endpoint) -> Option<Occupant> {
        self.occupants.get(&ip_of(endpoint)).copied()
    }

    /// Makes node `at` alive, knowing nobody.
    pub(crate) fn start(&mut self, at: u32) {
        let (seed, now) = (self.rng.secret(), self.now_of(at));
        let mut config = self.config.clone();
        if at < self.scenario.wide {
            config.table = TableKind::Wide(self.scenario.nodes.saturating_mul(2));
            config.pending_max = config.pending_max.max(WIDE_PENDING_MAX);
        }
        let place = &mut self.places[at as usize];
        place.node = Some(Box::new(Node::new(place.id, config, seed, now)));
        place.session += 1;
        (place.joined_ns, place.is_leaving, place.wake_at_ns) = (None, false, NEVER);
    }

    /// Ends node `at` without a word.
    pub(crate) fn stop(&mut self, at: u32) {
        let place = &mut self.places[at as usize];
        place.node = None;
        place.joined_ns = None;
        place.wake_at_ns = NEVER;
        let id = place.id;
        self.oracle.remove(&id);
        self.unlist(at);
    }

    /// Node `at` has entered: others should find it now.
    pub(crate) fn joined(&mut self, at: u32) {
        let place = &mut self.places[at as usize];
        if place.joined_ns.is_some() || place.node.is_none() {
            return;
        }
        place.joined_ns = Some(self.now_ns);
        place.live_at = u32::try_from(self.live.len()).ok();
        self.live.push(at);
        // Whoever cannot be reached by strangers is nobody's answer.
        if place.nat.is_none() {
            self.oracle.insert(place.id, at);
        }
    }

    /// Nobody begins anything at node `at` any more.
    pub(crate) fn unlist(&mut self, at: u32) {
        let Some(position) = self.places[at as usize].live_at.take() else { return };
        self.live.swap_remove(position as usize);
        if let Some(moved) = self.live.get(position as usize) {
            self.places[*moved as usize].live_at = Some(position);
        }
    }

    /// A random live node that strangers can reach.
    pub(crate) fn random_reachable(&mut self) -> Option<u32> {
        let is_reachable = |world: &Self, at: &u32| world.places[*at as usize].nat.is_none();
        (0..64).find_map(|_| self.random_live().filter(|at| is_reachable(self, at)))
    }

    /// A random live node with a connection.
    pub(crate) fn random_live(&mut self) -> Option<u32> {
        for _ in 0..64 {
            if self.live.is_empty() {
                return None;
            }
            let at = self.live[below(&mut self.rng, self.live.len())];
            if !self.places[at as usize].is_out {
                return Some(at);
            }
        }
        None
    }

    /// Sets `task` for a time; a time that is over means now.
    pub(crate) fn schedule(&mut self, at_ns: u64, task: Task) {
        self.push(at_ns, Due::Task(task));
    }

    /// Calls node `at`, if it is alive, and sends what it laid out.
    pub(crate) fn call<T>(
        &mut self,
        at: u32,
        cause: Cause<'_>,
        call: impl FnOnce(&mut Node, Now, &mut Tray) -> T,
    ) -> Option<T> {
        let now = self.now_of(at);
        let mut tray = std::mem::take(&mut self.tray);
        let place = &mut self.places[at as usize];
        let Some(node) = place.node.as_mut() else {
            self.tray = tray;
            return None;
        };
        let result = call(node, now, &mut tray);
        while let Some(event) = node.poll_event() {
            self.said.push_back((at, event));
        }
        let due_ns = node.poll_timeout().map_or(NEVER, |due| due.0.max(self.now_ns));
        self.tally.operations_max = self.tally.operations_max.max(node.operations() as u64);
        if let Cause::Datagram(datagram) = &cause {
            self.tally.replies_to_replies += replies_to_reply(datagram, &tray);
            if datagram.from.ip == self.victim.ip {
                let drawn = drawn_by(datagram, &tray);
                self.tally.amplification_once = self.tally.amplification_once.max(drawn);
            }
        }
        let is_earlier = due_ns < place.wake_at_ns;
        if is_earlier {
            place.wake_at_ns = due_ns;
        }
        if self.broken.is_none() {
            self.broken = self.watch.called(place, &cause, &tray).err();
        }
        if is_earlier {
            self.push(due_ns, Due::Wake(at));
        }
        let from = self.places[at as usize].endpoint;
        for index in 0..tray.len() {
            let (to, bytes) = tray.datagram(index);
            self.send_of(at, Datagram { from, to, bytes: bytes.to_vec() });
        }
        tray.clear();
        self.tray = tray;
        Some(result)
    }

    /// Sends a datagram of node `at`.
    fn send_of(&mut self, at: u32, datagram: Datagram) {
        let now_ns = self.now_ns;
        let len = datagram.bytes.len() as u64;
        self.tally.honest_bytes += len;
        let place = &mut self.places[at as usize];
        place.sent += 1;
        let count = place.sent;
        if datagram.to.ip == self.victim.ip {
            place.victim_bytes.1 += len;
            self.tally.victim_datagrams += 1;
        } else if crate::adversary::is_invented(&datagram.to) {
            self.tally.invented_asked += 1;
        }
        for tap in &mut self.taps {
            tap.hear(now_ns, &datagram);
        }
        if let Some(nat) = place.nat.as_mut() {
            if nat.len() >= NAT_PEERS_MAX {
                nat.retain(|_, until_ns| *until_ns >= now_ns);
            }
            nat.insert(ip_of(&datagram.to), now_ns + NAT_NS);
        }
        if place.is_out {
            self.log(&datagram);
            return;
        }
        if let Some(trace) = self.trace.as_mut() {
            trace.sent(at, now_ns, &datagram);
        }
        self.send(datagram, count);
    }

    /// The last request of this kind that adversaries overheard.
    pub(crate) fn overheard_last(&self, kind: Kind) -> Option<Heard> {
        self.taps.iter().find(|tap| tap.kind == kind)?.last()
    }

    /// A random request of this kind that adversaries overheard.
    pub(crate) fn overheard(&self, kind: Kind, rng: &mut Rng) -> Option<Heard> {
        self.taps.iter().find(|tap| tap.kind == kind)?.any(rng)
    }

    /// Sends a datagram, as whoever it says it is from; `count` tells it from others that
    /// go the same way.
    pub(crate) fn send(&mut self, datagram: Datagram, count: u64) {
        self.log(&datagram);
        let (from, to) = (u64::from(ip_of(&datagram.from)), u64::from(ip_of(&datagram.to)));
        if let Some(plan) = self.parted
            && self.side(plan, from) != self.side(plan, to)
        {
            return;
        }
        let scenario = &self.scenario;
        let mut fate = self.draws.bits(Purpose::Fate, from << 32 | to, count);
        let mut chance = || {
            fate = next(fate);
            unit(fate)
        };
        let (lost, doubled) = (chance(), chance());
        if lost < scenario.loss {
            return;
        }
        let mut hold_up = || {
            let (held, long) = (chance(), chance());
            let share = if held < scenario.reordering { 4.0 * long } else { 0.0 };
            whole(share * scenario.latency.mean_ms * 1e6)
        };
        let (first_ns, second_ns) = (hold_up(), hold_up());
        let is_doubled = doubled < scenario.duplication;
        let arrival_ns = self.now_ns + self.latency_ns(from, to);
        if is_doubled {
            let copy = Box::new(datagram.clone());
            self.push(arrival_ns + second_ns, Due::Arrival(copy));
        }
        self.push(arrival_ns + first_ns, Due::Arrival(Box::new(datagram)));
    }

    fn log(&mut self, datagram: &Datagram) {
        self.tally.datagrams += 1;
        self.digest.update(self.now_ns.to_le_bytes());
        self.digest.update(datagram.from.as_bytes());
        self.digest.update(datagram.to.as_bytes());
        self.digest.update((datagram.bytes.len() as u64).to_le_bytes());
        self.digest.update(&datagram.bytes);
    }

    /// Whether a host is in the smaller part of a network that fell apart.
    pub(crate) fn side(&self, plan: u16, ip: u64) -> bool {
        let share = self.scenario.partition[usize::from(plan)].share;
        self.draws.unit(Purpose::Side, u64::from(plan) << 32 | ip) < share
    }

    fn latency_ns(&self, from: u64, to: u64) -> u64 {
        let latency = &self.scenario.latency;
        let pair = from.min(to) << 32 | from.max(to);
        let bits = self.draws.bits(Purpose::Latency, pair, 0);
        let rest_ms = latency.mean_ms - latency.min_ms;
        let ms = match latency.distribution {
            Distribution::Constant => latency.mean_ms,
            Distribution::Uniform => latency.min_ms + 2.0 * rest_ms * unit(bits),
            Distribution::Exponential => {
                let drawn = latency.min_ms + rest_ms * crate::random::exponential(bits);
                drawn.min(10.0 * latency.mean_ms)
            }
        };
        whole(ms * 1e6)
    }

    /// The round trip between two hosts, in microseconds, where nothing holds it up.
    pub(crate) fn rtt_us(&self, one: &Endpoint, other: &Endpoint) -> u32 {
        let one_way_ns = self.latency_ns(u64::from(ip_of(one)), u64::from(ip_of(other)));
        u32::try_from(2 * one_way_ns / 1_000).unwrap_or(u32::MAX)
    }

    fn push(&mut self, at_ns: u64, due: Due) {
        self.sequence += 1;
        let at_ns = at_ns.max(self.now_ns);
        self.heap.push(Reverse(Entry { at_ns, sequence: self.sequence, due }));
    }

    /// When the next event is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_ns)
    }

    /// Lets time pass until `at_ns`, with nothing happening.
    pub(crate) fn pass_to(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    /// Takes the next event from the heap and lets it happen.
    pub(crate) fn step(&mut self) -> Option<Happening> {
        let Reverse(entry) = self.heap.pop()?;
        self.now_ns = entry.at_ns;
        self.tally.events += 1;
        match entry.due {
            Due::Task(task) => return Some(Happening::Due(task)),
            Due::Wake(at) => {
                let place = &mut self.places[at as usize];
                // An entry that an earlier one overtook is of no use any more.
                if place.wake_at_ns == entry.at_ns {
                    place.wake_at_ns = NEVER;
                    self.call(at, Cause::Timer, |node, now, tray| node.handle_timeout(now, tray));
                }
            }
            Due::Arrival(datagram) => match self.occupant(&datagram.to) {
                Some(Occupant::Node(at)) => self.deliver(at, &datagram),
                Some(Occupant::Adversary(group, member)) => {
                    return Some(Happening::Reached(group, member, datagram));
                }
                None => {}
            },
        }
        Some(Happening::Done)
    }

    fn deliver(&mut self, at: u32, datagram: &Datagram) {
        let now_ns = self.now_ns;
        let place = &mut self.places[at as usize];
        if place.is_out || place.node.is_none() || place.endpoint != datagram.to {
            return;
        }
        if let Some(nat) = &place.nat {
            let until_ns = nat.get(&ip_of(&datagram.from)).copied();
            if until_ns.is_none_or(|until_ns| until_ns < now_ns) {
                return;
            }
        }
        if datagram.from.ip == self.victim.ip {
            place.victim_bytes.0 += datagram.bytes.len() as u64;
        }
        if let Some(trace) = self.trace.as_mut() {
            trace.arrived(at, now_ns, datagram);
        }
        let route = Route::to(datagram.from);
        self.call(at, Cause::Datagram(datagram), |node, now, tray| {
            node.handle_datagram(now, &route, &datagram.bytes, tray);
        });
    }

    /// SHA-256 over every datagram so far, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        self.digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
