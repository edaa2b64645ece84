//! One run: the network comes to be, lives through what the scenario says, and is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use kdht_core::{Event, NS_PER_S, Refusal};
use kdht_wire::{Endpoint, Id};

use crate::address::ip_of;
use crate::adversary::Group;
use crate::attacked;
use crate::figures::{Figures, Row, mean, quantile};
use crate::genesis;
use crate::random::{exp, exponential, weibull, whole};
use crate::scenario::{Network, Scenario, ScenarioError, Targets};
use crate::settings::Settings;
use crate::watch::{Broken, Cause};
use crate::work::Work;
use crate::world::{Happening, START_NS, Tally, Task, World};

/// A leaving node has so long for its hand-over, in seconds.
const LEAVE_S_MAX: u64 = 120;
/// Endpoints that a node remembers over a restart.
const REMEMBERED_MAX: usize = 64;
/// Steps between two looks at the progress bar.
const PROGRESS_EVERY: u64 = 1 << 14;

/// Told of what is being done, how much of it is done, and how much there is.
pub(crate) type Progress<'p> = dyn FnMut(&'static str, u64, u64) + 'p;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub figures: Figures,
    /// Each lookup.
    pub rows: Vec<Row>,
    /// Each pass line that failed: what the figure is, and the line.
    pub failures: Vec<String>,
    /// The story of the first lookup, if it was wanted.
    pub trace: Vec<String>,
}

/// Why a run ended before its time.
#[derive(Clone, Debug)]
pub enum RunError {
    /// The scenario cannot be run.
    Scenario(ScenarioError),
    /// An invariant did not hold.
    Broken(Broken),
    /// A node did not enter the network while it was built.
    NotJoined {
        /// Nodes that did.
        joined: usize,
        /// Nodes that should.
        nodes: u32,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario(error) => error.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
            Self::NotJoined { joined, nodes } => {
                write!(f, "only {joined} of {nodes} nodes entered the network")
            }
        }
    }
}

impl std::error::Error for RunError {}

/// Runs `scenario` from `seed`, in this thread. `progress` is told of what is being done,
/// how much of it is done, and how much there is.
///
/// # Errors
/// [`RunError`]. Figures that are not as expected are no error but [`Outcome::failures`].
pub fn run(
    scenario: &Scenario,
    seed: u64,
    wants_trace: bool,
    progress: &mut dyn FnMut(&'static str, u64, u64),
) -> Result<Outcome, RunError> {
    let began = Instant::now();
    let settings = Settings::of(scenario).map_err(RunError::Scenario)?;
    let expectations = scenario.expectations().map_err(RunError::Scenario)?;
    let mut world = World::new(scenario, &settings.config, seed);
    let groups = scenario.adversary.iter().zip(0..);
    let groups: Vec<Group> =
        groups.map(|(plan, number)| Group::new(&mut world, number, plan)).collect();
    let mut director = Director::new(world, groups);
    match scenario.network {
        Network::Perfect => {
            let known = director.groups.iter().filter(|group| group.plan.known);
            let others: Vec<_> = known.flat_map(Group::contacts).collect();
            genesis::perfect(&mut director.world, &others, progress);
        }
        Network::Join => genesis::join(&mut director, progress)?,
    }
    let end_ns = director.world.now_ns() + scenario.duration_s * NS_PER_S;
    director.begin(end_ns, wants_trace);
    let mut steps = 0_u64;
    while director.step(end_ns)? {
        steps += 1;
        if steps.is_multiple_of(PROGRESS_EVERY)
            && let Some(work) = &director.work
        {
            let (done, of) = work.progress(&director.world);
            progress("network", done, of);
        }
    }
    director.world.pass_to(end_ns);
    let unfinished = director.work.as_mut().map_or(0, |work| work.close(&director.world));
    let mut figures = director.measure();
    figures.seed = seed;
    figures.lookups_unfinished = unfinished;
    figures.elapsed_s = began.elapsed().as_secs_f64();
    let failures = expectations.iter().filter_map(|line| line.failure(&figures)).collect();
    let rows = director.work.map_or_else(Vec::new, |work| work.rows);
    let trace = director.world.trace.map_or_else(Vec::new, |trace| trace.lines);
    Ok(Outcome { figures, rows, failures, trace })
}

/// Does what the scenario says, when it is time.
#[derive(Debug)]
pub(crate) struct Director {
    pub(crate) world: World,
    groups: Vec<Group>,
    work: Option<Work>,
    stands_ns: u64,
    /// What had happened and been sent until then, and the processor's time it took.
    built: Tally,
    built_cpu_s: f64,
    end_ns: u64,
    deaths: u64,
    /// Good contacts of nodes when adversaries began.
    known_before: BTreeMap<u32, BTreeSet<Id>>,
    /// Nodes without connection, which session that was, and the good contacts they had, by
    /// plan.
    out: BTreeMap<u16, Vec<(u32, u32, BTreeSet<Id>)>>,
    outage_lost: f64,
}

impl Director {
    fn new(world: World, groups: Vec<Group>) -> Self {
        Self {
            world,
            groups,
            work: None,
            stands_ns: 0,
            built: Tally::default(),
            built_cpu_s: 0.0,
            end_ns: u64::MAX,
            deaths: 0,
            known_before: BTreeMap::new(),
            out: BTreeMap::new(),
            outage_lost: f64::NAN,
        }
    }

    /// Lets one event happen, unless the next one is after `until_ns`. False if there was
    /// none.
    ///
    /// # Errors
    /// [`RunError::Broken`].
    pub(crate) fn step(&mut self, until_ns: u64) -> Result<bool, RunError> {
        if self.world.next_ns().is_none_or(|next_ns| next_ns > until_ns) {
            return Ok(false);
        }
        match self.world.step() {
            None => return Ok(false),
            Some(Happening::Done) => {}
            Some(Happening::Due(task)) => self.do_task(task),
            Some(Happening::Reached(group, member, datagram)) => {
                if let Some(group) = self.groups.get_mut(usize::from(group)) {
                    group.reached(&mut self.world, member, &datagram);
                }
            }
        }
        while let Some((at, event)) = self.world.said.pop_front() {
            self.hear(at, &event);
        }
        match self.world.broken.take() {
            Some(broken) => Err(RunError::Broken(broken)),
            None => Ok(true),
        }
    }

    /// The network stands: sets everything that is to happen.
    fn begin(&mut self, end_ns: u64, wants_trace: bool) {
        let world = &mut self.world;
        (self.stands_ns, self.end_ns) = (world.now_ns(), end_ns);
        (self.built, self.built_cpu_s) = (world.tally, cpu_s());
        let scenario = world.scenario.clone();
        let at_s = |s: u64| self.stands_ns + s * NS_PER_S;
        self.work = Some(Work::new(world, end_ns, wants_trace));
        if let Some(churn) = &scenario.churn {
            for at in world.live.clone() {
                if at < scenario.wide {
                    continue;
                }
                let session = world.places[at as usize].session;
                let session_ns = session_ns(world);
                let task = Task::End { node: at, session };
                world.schedule(at_s(churn.from_s) + session_ns, task);
            }
        }
        for (plan, number) in scenario.adversary.iter().zip(0..) {
            world.schedule(at_s(plan.from_s), Task::Adversary(number));
        }
        for (plan, number) in scenario.partition.iter().zip(0..) {
            world.schedule(at_s(plan.from_s), Task::Partition { plan: number, begins: true });
            world.schedule(at_s(plan.until_s), Task::Partition { plan: number, begins: false });
        }
        for (plan, number) in scenario.outage.iter().zip(0..) {
            world.schedule(at_s(plan.from_s), Task::Outage { plan: number, begins: true });
            world.schedule(at_s(plan.until_s), Task::Outage { plan: number, begins: false });
        }
        for (plan, number) in scenario.clock_step.iter().zip(0..) {
            world.schedule(at_s(plan.at_s), Task::ClockStep(number));
        }
    }

    fn do_task(&mut self, task: Task) {
        let Some(work) = self.work.as_mut() else { return };
        let world = &mut self.world;
        match task {
            Task::Lookup => work.lookup(world),
            Task::Put => work.put(world),
            Task::Republish(item) => work.put_item(world, item),
            Task::Get => work.get(world),
            Task::Census => work.census(world),
            Task::End { node, session } => self.end_session(node, session),
            Task::Gone { node, session } => self.gone(node, session),
            Task::Begin(node) => self.begin_session(node),
            Task::Adversary(number) => self.begin_adversary(number),
            Task::Attack(number) => self.attack(number),
            Task::Partition { plan, begins } => world.parted = begins.then_some(plan),
            Task::Outage { plan, begins: true } => self.begin_outage(plan),
            Task::Outage { plan, begins: false } => self.end_outage(plan),
            Task::ClockStep(plan) => {
                let plan = world.scenario.clock_step[usize::from(plan)];
                for place in &mut world.places {
                    let drawn = crate::random::unit(world.rng.next_u64());
                    if drawn < plan.share {
                        place.clock_s += plan.by_s;
                    }
                }
            }
        }
    }

    fn hear(&mut self, at: u32, event: &Event) {
        match event {
            Event::Done(report) => {
                if let Some(work) = self.work.as_mut() {
                    work.done(&mut self.world, at, report);
                }
            }
            Event::Joined { .. } => self.world.joined(at),
            Event::Drained { .. } => {
                let session = self.world.places[at as usize].session;
                self.gone(at, session);
            }
            _ => {}
        }
    }

    fn end_session(&mut self, at: u32, session: u32) {
        let world = &mut self.world;
        let Some(churn) = world.scenario.churn else { return };
        let place = &world.places[at as usize];
        let until_ns = self.stands_ns + churn.until_s * NS_PER_S;
        let is_over = churn.until_s > 0 && world.now_ns() > until_ns;
        if is_over || place.session != session || place.node.is_none() {
            return;
        }
        let drawn = crate::random::unit(world.rng.next_u64());
        if drawn < churn.leave && place.joined_ns.is_some() {
            world.unlist(at);
            world.places[at as usize].is_leaving = true;
            world.schedule(
                world.now_ns() + LEAVE_S_MAX * NS_PER_S,
                Task::Gone { node: at, session },
            );
            world.call(at, Cause::Command, |node, now, tray| node.drain(now, tray));
        } else {
            self.bury(at);
        }
    }

    fn gone(&mut self, at: u32, session: u32) {
        let place = &self.world.places[at as usize];
        if place.session == session && place.is_leaving && place.node.is_some() {
            self.bury(at);
        }
    }

    /// Node `at` is no more; another follows it.
    fn bury(&mut self, at: u32) {
        let world = &mut self.world;
        self.deaths += 1;
        world.stop(at);
        if let Some(work) = self.work.as_mut() {
            work.forget(at);
        }
        let Some(churn) = world.scenario.churn else { return };
        let pause_ns = whole(churn.pause_s * exponential(world.rng.next_u64()) * 1e9);
        world.schedule(world.now_ns() + pause_ns, Task::Begin(at));
    }

    fn begin_session(&mut self, at: u32) {
        let world = &mut self.world;
        let Some(churn) = world.scenario.churn else { return };
        if !churn.same {
            world.renew(at);
        }
        world.start(at);
        genesis::enter(world, at);
        let session = world.places[at as usize].session;
        let session_ns = session_ns(world);
        world.schedule(world.now_ns() + session_ns, Task::End { node: at, session });
    }

    fn begin_adversary(&mut self, number: u16) {
        if self.known_before.is_empty() {
            for at in &self.world.live {
                self.known_before.insert(*at, good_of(&self.world, *at));
            }
        }
        let Some(group) = self.groups.get_mut(usize::from(number)) else { return };
        group.begin(&mut self.world);
        let target = group.target;
        let is_eclipse = group.plan.kind == crate::scenario::Script::Eclipse;
        if group.plan.rate_per_s > 0 {
            self.world.schedule(self.world.now_ns(), Task::Attack(number));
        }
        if let (true, Some(at)) = (is_eclipse, target) {
            self.restart(at);
        }
    }

    /// Node `at` begins anew with its id, entering through the contacts it remembers.
    fn restart(&mut self, at: u32) {
        let world = &mut self.world;
        let Some(node) = &world.places[at as usize].node else { return };
        let remembered: Vec<Endpoint> =
            node.good_contacts().map(|contact| contact.endpoint).take(REMEMBERED_MAX).collect();
        world.stop(at);
        if let Some(work) = self.work.as_mut() {
            work.forget(at);
        }
        world.start(at);
        world.call(at, Cause::Command, |node, now, tray| node.join(now, &remembered, tray));
    }

    fn attack(&mut self, number: u16) {
        let Some(group) = self.groups.get_mut(usize::from(number)) else { return };
        let plan = group.plan;
        let until_ns = match plan.until_s {
            0 => self.end_ns,
            until_s => self.stands_ns + until_s * NS_PER_S,
        };
        if self.world.now_ns() >= until_ns {
            return;
        }
        group.act(&mut self.world);
        let pause_ns = NS_PER_S / u64::from(plan.rate_per_s.max(1));
        self.world.schedule(self.world.now_ns() + pause_ns, Task::Attack(number));
    }

    fn begin_outage(&mut self, plan: u16) {
        let crate::scenario::Outage { nodes: count, rack, .. } =
            self.world.scenario.outage[usize::from(plan)];
        let mut nodes = Vec::new();
        if let Some(rack) = rack {
            let zones = self.world.config.zones.clone();
            for at in 0..self.world.places.len() {
                let place = &self.world.places[at];
                if place.node.is_none() || zones.of(&place.endpoint) != Some(rack) {
                    continue;
                }
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                nodes.push((at, place.session, good_of(&self.world, at)));
                self.world.places[at as usize].is_out = true;
            }
            self.out.insert(plan, nodes);
            return;
        }
        // Who is out already is no other node; where few are left, fewer than wanted go.
        for _ in 0..2 * count {
            if nodes.len() == count as usize {
                break;
            }
            let drawn = self.world.random_live();
            if let Some(at) = drawn.filter(|at| !self.world.places[*at as usize].is_out) {
                let session = self.world.places[at as usize].session;
                nodes.push((at, session, good_of(&self.world, at)));
                self.world.places[at as usize].is_out = true;
            }
        }
        self.out.insert(plan, nodes);
    }

    fn end_outage(&mut self, plan: u16) {
        for (at, session, before) in self.out.remove(&plan).unwrap_or_default() {
            let place = &mut self.world.places[at as usize];
            place.is_out = false;
            let Some(node) = place.node.as_ref().filter(|_| place.session == session) else {
                continue;
            };
            let still: BTreeSet<Id> = node.members().map(|member| member.id).collect();
            let lost = before.difference(&still).count() as f64 / before.len().max(1) as f64;
            self.outage_lost = self.outage_lost.max(lost);
        }
    }

    fn measure(&self) -> Figures {
        let world = &self.world;
        let scenario = &world.scenario;
        let nodes = f64::from(scenario.nodes);
        let adversaries =
            self.groups.iter().map(|group| group.contacts().count() as u64).sum::<u64>();
        let mut figures = Figures {
            nodes: u64::from(scenario.nodes),
            k: u64::from(scenario.k),
            alpha: u64::from(scenario.alpha),
            b: u64::from(scenario.b),
            racks: scenario.zones.map_or(0, |racks| u64::from(racks.count)),
            replicas_max: scenario.zones.map_or(0, |racks| u64::from(racks.replicas_max)),
            paths: u64::from(world.config.paths),
            stale: scenario.stale,
            adversaries,
            adversaries_share: adversaries as f64 / (adversaries as f64 + nodes),
            targets_are_nodes: u64::from(scenario.lookups.targets == Targets::Node),
            sessions_mean_s: scenario.churn.map_or(f64::NAN, |churn| churn.mean_s),
            sessions_shape: scenario.churn.map_or(f64::NAN, |churn| churn.shape),
            deaths: self.deaths,
            nodes_live: world.live.len() as u64,
            datagrams: world.tally.datagrams,
            datagrams_per_join: self.built.datagrams as f64 / nodes,
            bytes_sent_per_node: world.tally.honest_bytes as f64 / nodes,
            victim_datagrams: world.tally.victim_datagrams,
            invented_asked: world.tally.invented_asked,
            operations_max: world.tally.operations_max,
            replies_to_replies: world.tally.replies_to_replies,
            amplification_once: world.tally.amplification_once,
            outage_lost: self.outage_lost,
            simulated_s: (world.now_ns() - START_NS) as f64 / NS_PER_S as f64,
            bytes_per_node: resident_bytes() / nodes,
            digest: world.digest(),
            ..Figures::default()
        };
        if let Some(work) = &self.work {
            measure_work(&mut figures, work, scenario);
            measure_gaps(&mut figures, work, scenario);
        }
        self.measure_cost(&mut figures);
        crate::wide::measure(&mut figures, world, self.stands_ns);
        self.measure_tables(&mut figures);
        attacked::measure(&mut figures, world, &self.groups, self.stands_ns);
        figures
    }

    /// What a node sends in an hour, and how fast all of it was computed.
    fn measure_cost(&self, figures: &mut Figures) {
        let (world, built) = (&self.world, &self.built);
        let elapsed_s = (world.now_ns() - self.stands_ns) as f64 / NS_PER_S as f64;
        let node_hours = figures.nodes as f64 * elapsed_s / 3_600.0;
        let datagrams = world.tally.datagrams - built.datagrams;
        let bytes = world.tally.honest_bytes - built.honest_bytes;
        figures.datagrams_per_node_hour = datagrams as f64 / node_hours;
        figures.bytes_per_node_hour = bytes as f64 / node_hours;
        figures.events = world.tally.events;
        figures.cpu_s = cpu_s();
        let events = world.tally.events - built.events;
        figures.events_per_s = events as f64 / (figures.cpu_s - self.built_cpu_s);
    }

    fn measure_tables(&self, figures: &mut Figures) {
        let world = &self.world;
        let (mut members, mut good, mut bad) = (0_u64, 0_u64, 0_u64);
        for at in &world.live {
            let place = &world.places[*at as usize];
            let Some(node) = &place.node else { continue };
            let mut subnets: BTreeMap<u32, u64> = BTreeMap::new();
            for member in node.members() {
                *subnets.entry(ip_of(&member.endpoint) >> 8).or_default() += 1;
            }
            // What never answered is told to nobody: only the others say whom it trusts.
            let (mut good_here, mut bad_here) = (0, 0);
            for contact in node.good_contacts() {
                good_here += 1;
                bad_here += u64::from(!is_honest(world, &contact.id, &contact.endpoint));
            }
            let here = node.members().count() as u64;
            let buckets = node.fill()[0].buckets as u64;
            figures.buckets_max = figures.buckets_max.max(buckets);
            figures.contacts_most = figures.contacts_most.max(here);
            (members, good, bad) = (members + here, good + good_here, bad + bad_here);
            if self.groups.iter().any(|group| group.target == Some(*at)) {
                figures.target_honest = (good_here - bad_here) as f64 / good_here as f64;
            }
            let most = subnets.values().copied().max().unwrap_or(0);
            figures.per_subnet_in_table = figures.per_subnet_in_table.max(most);
            figures.forwarded += node.counters().forwarded;
            figures.store_bytes_max = figures.store_bytes_max.max(node.usage().bytes);
            figures.replies_unmatched += node.counters().refused(Refusal::Unmatched);
            if let Some(before) = self.known_before.get(at) {
                let now: BTreeSet<Id> = node.members().map(|member| member.id).collect();
                let lost = before.difference(&now);
                let is_live = |id: &&Id| world.oracle.contains(id);
                figures.live_evicted += lost.filter(is_live).count() as u64;
            }
        }
        for place in &world.places {
            let (got, sent) = place.victim_bytes;
            let ratio = if sent == 0 { 0.0 } else { sent as f64 / got as f64 };
            figures.amplification = figures.amplification.max(ratio);
        }
        figures.contacts_mean = members as f64 / world.live.len() as f64;
        figures.adversaries_in_tables = bad as f64 / good as f64;
    }
}

fn measure_work(figures: &mut Figures, work: &Work, scenario: &Scenario) {
    let rows = &work.rows;
    let done = || rows.iter().filter(|row| row.is_done);
    figures.lookups = rows.len() as u64;
    figures.hops_mean = mean(done().map(|row| f64::from(row.hops)));
    figures.hops_p99 = quantile(done().map(|row| f64::from(row.hops)).collect(), 0.99);
    let round_trip_ms = 2.0 * scenario.latency.mean_ms;
    figures.lookup_ms_mean = mean(done().map(|row| row.elapsed_ms));
    figures.lookup_ms_p99 = quantile(done().map(|row| row.elapsed_ms).collect(), 0.99);
    figures.rounds_mean = figures.lookup_ms_mean / round_trip_ms;
    figures.messages_mean = mean(done().map(|row| f64::from(row.messages)));
    figures.closest_found = mean(rows.iter().map(|row| f64::from(u8::from(row.closest_found))));
    figures.overlap_k = mean(rows.iter().map(|row| row.overlap_k));
    (figures.values_put, figures.values_stored) = work.values();
    figures.puts_messages_mean = mean(work.puts.iter().map(|put| f64::from(put.messages)));
    figures.puts_rounds_mean = mean(work.puts.iter().map(|put| put.elapsed_ms)) / round_trip_ms;
    figures.gets_messages_mean = mean(work.finds.iter().map(|get| f64::from(get.messages)));
    figures.gets_ms_mean = mean(work.finds.iter().map(|get| get.elapsed_ms));
    figures.gets_ms_p99 = quantile(work.finds.iter().map(|get| get.elapsed_ms).collect(), 0.99);
    figures.gets_hops_mean = mean(work.finds.iter().map(|get| f64::from(get.hops)));
    figures.replicas_mean = mean(work.puts.iter().map(|put| f64::from(put.acknowledged)));
    figures.rack_replicas_most = work.rack_replicas_most;
    figures.gets = work.gets;
    figures.values_wrong = work.wrong;
    figures.values_old = work.old as f64 / work.gets as f64;
    figures.values_lost = work.lost as f64 / work.gets as f64;
    figures.values_unheld = work.unheld as f64 / work.gets as f64;
}

/// Values lost from census to census, beside what exponential sessions and no repair within a
/// gap would lose: all k holders of a value die within it.
fn measure_gaps(figures: &mut Figures, work: &Work, scenario: &Scenario) {
    let Some(churn) = scenario.churn.filter(|_| work.at_risk > 0) else { return };
    let count = work.at_risk as f64;
    let dies = 1.0 - exp(-(scenario.values.census_s as f64) / churn.mean_s);
    let formula = (0..scenario.k).fold(1.0, |product, _| product * dies);
    figures.gap_values = work.at_risk;
    figures.gap_lost = work.gone as f64 / count;
    figures.gap_formula = formula;
    figures.gap_error = (formula * (1.0 - formula) / count).sqrt();
    figures.gap_excess = (figures.gap_lost - formula) / figures.gap_error;
}

/// Whether a contact is an honest node, and where it says: alive, or dead by now.
fn is_honest(world: &World, id: &Id, endpoint: &Endpoint) -> bool {
    match world.occupant(endpoint) {
        Some(crate::world::Occupant::Node(at)) => world.places[at as usize].id == *id,
        Some(crate::world::Occupant::Adversary(..)) => false,
        // The address of one that died for good.
        None => !crate::adversary::is_invented(endpoint) && endpoint.ip != world.victim.ip,
    }
}

fn good_of(world: &World, at: u32) -> BTreeSet<Id> {
    let node = world.places[at as usize].node.as_ref();
    node.map_or_else(BTreeSet::new, |node| node.good_contacts().map(|c| c.id).collect())
}

fn session_ns(world: &mut World) -> u64 {
    let bits = world.rng.next_u64();
    let churn = world.scenario.churn.unwrap_or_default();
    whole(weibull(bits, churn.mean_s, churn.shape) * 1e9)
}

/// Memory of this process, in bytes, where the host tells: the second number of
/// `/proc/self/statm`, in pages of 4096.
fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
    pages.map_or(f64::NAN, |pages| pages * 4_096.0)
}

/// Processor time of this thread, in seconds, where the host tells: the 14th and 15th number of
/// `/proc/thread-self/stat`, in hundredths.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The second field is a name that may hold anything but ends at the last bracket.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = rest.split_whitespace().skip(11).map(|word| word.parse::<f64>());
    match (ticks.next(), ticks.next()) {
        (Some(Ok(user)), Some(Ok(system))) => (user + system) / 100.0,
        _ => f64::NAN,
    }
}
