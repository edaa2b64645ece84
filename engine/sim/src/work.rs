//! What nodes are told to do: lookups, puts and gets, and whether the answers are true.

mod census;

use std::collections::BTreeMap;

use kdht_core::{
    Command, NS_PER_MS, NS_PER_S, OperationId, Outcome, Report, Rng, Standing, Value,
    ValuePublisher,
};
use kdht_store::PublisherKey;
use kdht_wire::{Filter, Id, SALT_LEN, key_of_value};

use crate::figures::Row;
use crate::random::unit;
use crate::scenario::{Proof, Scenario, Targets};
use crate::trace::{Trace, target_of};
use crate::watch::Cause;
use crate::world::{Task, World};

/// What a command was for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Lookup {
        began_ns: u64,
    },
    Put {
        item: u32,
        version: u32,
    },
    /// Of an item that is at least this new.
    Get {
        item: u32,
        version: u32,
    },
}

/// One value of the run.
#[derive(Clone, Debug)]
struct Item {
    key: Id,
    /// Which version was put last; nothing: none yet.
    put: Option<u32>,
    /// The newest that somebody acknowledged.
    stored: Option<u32>,
    /// A census found it nowhere.
    is_gone: bool,
}

/// What a put or a get that came to its aim took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) messages: u32,
    pub(crate) hops: u8,
    pub(crate) elapsed_ms: f64,
    pub(crate) acknowledged: u16,
}

impl Cost {
    fn of(report: &Report, acknowledged: u16) -> Self {
        let Report { messages, hops, elapsed_ns, .. } = *report;
        Self { messages, hops, elapsed_ms: elapsed_ns as f64 / NS_PER_MS as f64, acknowledged }
    }
}

/// Everything that is asked of nodes, and what came of it.
#[derive(Debug)]
pub(crate) struct Work {
    rng: Rng,
    began_ns: u64,
    end_ns: u64,
    wants_trace: bool,
    pending: BTreeMap<(u32, OperationId), Purpose>,
    items: Vec<Item>,
    /// Sums of 1/n, for targets by Zipf's law.
    zipf: Vec<f64>,
    lookups_begun: u32,
    puts_begun: u32,
    gets_begun: u32,
    pub(crate) rows: Vec<Row>,
    pub(crate) gets: u64,
    pub(crate) lost: u64,
    /// Of them those whose value no node with a connection held.
    pub(crate) unheld: u64,
    pub(crate) wrong: u64,
    pub(crate) old: u64,
    /// Puts that somebody acknowledged, and gets that found something.
    pub(crate) puts: Vec<Cost>,
    pub(crate) finds: Vec<Cost>,
    /// Most nodes of one rack that held the same value when the first get began.
    pub(crate) rack_replicas_most: u64,
    /// Values that a census looked for, and those that it was the first to miss.
    pub(crate) at_risk: u64,
    pub(crate) gone: u64,
}

impl Work {
    /// Work on a network that stands since `began_ns`, set for its times.
    pub(crate) fn new(world: &mut World, end_ns: u64, wants_trace: bool) -> Self {
        let scenario = world.scenario.clone();
        let mut sum = 0.0;
        let zipf = (1..=scenario.lookups.zipf_targets).map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        });
        let none = Item { key: Id::ZERO, put: None, stored: None, is_gone: false };
        let work = Self {
            rng: world.draws.stream(2),
            began_ns: world.now_ns(),
            end_ns,
            wants_trace,
            pending: BTreeMap::new(),
            items: vec![none; scenario.values.count as usize],
            zipf: zipf.collect(),
            lookups_begun: 0,
            puts_begun: 0,
            gets_begun: 0,
            rows: Vec::new(),
            gets: 0,
            lost: 0,
            unheld: 0,
            wrong: 0,
            old: 0,
            puts: Vec::new(),
            finds: Vec::new(),
            rack_replicas_most: 0,
            at_risk: 0,
            gone: 0,
        };
        work.schedule_next(world, Task::Lookup, 0);
        work.schedule_next(world, Task::Put, 0);
        work.schedule_next(world, Task::Get, 0);
        let first_s = scenario.values.put_until_s + scenario.values.census_s;
        if scenario.values.census_s > 0 {
            world.schedule(work.began_ns + first_s * NS_PER_S, Task::Census);
        }
        work
    }

    /// Sets number `number` of this kind of task, evenly between its first and last time.
    fn schedule_next(&self, world: &mut World, task: Task, number: u32) {
        let Scenario { lookups, values, duration_s, .. } = &world.scenario;
        let last_s = duration_s.saturating_sub(5);
        let until = |until_s: u64| if until_s == 0 { last_s } else { until_s };
        let (count, from_s, until_s) = match task {
            Task::Lookup => (lookups.count, lookups.from_s, until(lookups.until_s)),
            Task::Put => (values.count, values.put_from_s, values.put_until_s),
            _ => {
                let count = values.count.saturating_mul(values.gets);
                (count, values.get_from_s, until(values.get_until_s))
            }
        };
        if number < count {
            let span_ns = until_s.saturating_sub(from_s) * NS_PER_S;
            let steps = u128::from(count.saturating_sub(1).max(1));
            let offset_ns = u128::from(span_ns) * u128::from(number) / steps;
            let offset_ns = u64::try_from(offset_ns).unwrap_or(span_ns);
            world.schedule(self.began_ns + from_s * NS_PER_S + offset_ns, task);
        }
    }

    /// Begins the next lookup.
    pub(crate) fn lookup(&mut self, world: &mut World) {
        self.lookups_begun += 1;
        self.schedule_next(world, Task::Lookup, self.lookups_begun);
        let target = self.target(world);
        let began_ns = world.now_ns();
        self.begin(world, Command::FindNode { target }, Purpose::Lookup { began_ns });
    }

    /// Puts the next value.
    pub(crate) fn put(&mut self, world: &mut World) {
        let item = self.puts_begun;
        self.puts_begun += 1;
        self.schedule_next(world, Task::Put, self.puts_begun);
        self.put_item(world, item);
    }

    /// Puts value `item`, for the first time or again.
    pub(crate) fn put_item(&mut self, world: &mut World, item: u32) {
        let again_s = world.scenario.values.republish_s;
        if again_s > 0 {
            world.schedule(world.now_ns() + again_s * NS_PER_S, Task::Republish(item));
        }
        let updates = world.scenario.values.updates;
        let before = self.items.get(item as usize).and_then(|held| held.put);
        let version = before.map_or(0, |version| version + 1).min(updates);
        let (key, value) = value_of(world, item, version);
        if let Some(held) = self.items.get_mut(item as usize) {
            (held.key, held.put) = (key, Some(version));
        }
        let purpose = Purpose::Put { item, version };
        self.begin(world, Command::Put { key, value, cas: None }, purpose);
    }

    /// Looks for the next value.
    pub(crate) fn get(&mut self, world: &mut World) {
        let number = self.gets_begun;
        if number == 0 && world.scenario.zones.is_some() {
            // Before gets leave copies that last for a while.
            self.rack_replicas_most = self.count_in_racks(world);
        }
        self.gets_begun += 1;
        self.schedule_next(world, Task::Get, self.gets_begun);
        let count = world.scenario.values.count.max(1);
        let item = number % count;
        let held = self.items.get(item as usize);
        let stored = held.and_then(|held| Some((held.key, held.stored?)));
        let Some((key, version)) = stored else { return };
        self.begin(
            world,
            Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 },
            Purpose::Get { item, version },
        );
    }

    fn begin(&mut self, world: &mut World, command: Command, purpose: Purpose) {
        let of_wide = matches!(purpose, Purpose::Lookup { .. }) && world.scenario.wide > 0;
        let wide = world.scenario.wide;
        let at = if of_wide { self.lookups_begun.checked_rem(wide) } else { world.random_live() };
        let Some(at) = at else { return };
        if self.wants_trace
            && let Some(target) = target_of(&command)
        {
            self.wants_trace = false;
            let id = world.places[at as usize].id;
            world.trace = Some(Trace::new(at, &id, target, world.now_ns()));
        }
        let begun =
            world.call(at, Cause::Command, |node, now, tray| node.begin(now, command, tray));
        match (begun, purpose) {
            (Some(Ok(operation)), _) => {
                self.pending.insert((at, operation), purpose);
            }
            (_, Purpose::Lookup { began_ns }) => {
                let origin = world.places[at as usize].id;
                self.rows.push(self.row(world, &origin, &Id::ZERO, began_ns));
            }
            (_, Purpose::Get { .. }) => {
                self.gets += 1;
                self.lost += 1;
            }
            (_, Purpose::Put { .. }) => {}
        }
    }

    /// A command of node `at` is done.
    pub(crate) fn done(&mut self, world: &mut World, at: u32, report: &Report) {
        let Some(purpose) = self.pending.remove(&(at, report.operation)) else { return };
        if matches!(purpose, Purpose::Get { .. }) && world.places[at as usize].is_out {
            // Who lost the network while it looked for a value says nothing of the value.
            return;
        }
        match (purpose, &report.outcome) {
            (Purpose::Lookup { began_ns }, _) => self.judge(world, at, began_ns, report),
            (Purpose::Put { item, version }, Outcome::Stored(stored))
                if stored.acknowledged > 0 =>
            {
                self.puts.push(Cost::of(report, stored.acknowledged));
                if let Some(item) = self.items.get_mut(item as usize) {
                    item.stored = item.stored.max(Some(version));
                }
            }
            (Purpose::Put { .. }, _) => {}
            (Purpose::Get { item, version }, Outcome::Values { values, .. }) => {
                self.gets += 1;
                self.finds.push(Cost::of(report, 0));
                let last = self.items.get(item as usize).and_then(|held| held.put).unwrap_or(0);
                let is_there = |version: u32| {
                    let (_, wanted) = value_of(world, item, version);
                    values.iter().any(|value| value.bytes == wanted.bytes)
                };
                match (0..=last).rev().find(|version| is_there(*version)) {
                    Some(found) => self.old += u64::from(found < version),
                    None => self.wrong += 1,
                }
            }
            (Purpose::Get { item, .. }, _) => {
                self.gets += 1;
                self.lost += 1;
                self.unheld += u64::from(!self.is_held(world, item));
            }
        }
    }

    /// Node `at` is no more, and so is what it was doing.
    pub(crate) fn forget(&mut self, at: u32) {
        let of_it = (at, OperationId(0))..=(at, OperationId(u64::MAX));
        let keys: Vec<_> = self.pending.range(of_it).map(|(key, _)| *key).collect();
        for key in keys {
            self.pending.remove(&key);
        }
    }

    /// What never ended counts as not found, if it had its time.
    pub(crate) fn close(&mut self, world: &World) -> u64 {
        let mut unfinished = 0;
        for ((at, _), purpose) in std::mem::take(&mut self.pending) {
            match purpose {
                Purpose::Lookup { began_ns } => {
                    unfinished += 1;
                    let origin = world.places[at as usize].id;
                    self.rows.push(self.row(world, &origin, &Id::ZERO, began_ns));
                }
                Purpose::Get { .. } => {
                    self.gets += 1;
                    self.lost += 1;
                }
                Purpose::Put { .. } => {}
            }
        }
        unfinished
    }

    /// Values put, and values that somebody acknowledged.
    pub(crate) fn values(&self) -> (u64, u64) {
        let count = |wanted: fn(&Item) -> bool| {
            self.items.iter().filter(|item| wanted(item)).count() as u64
        };
        (count(|item| item.put.is_some()), count(|item| item.stored.is_some()))
    }

    /// How far the run is, for a progress bar: milliseconds done, and all of them.
    pub(crate) fn progress(&self, world: &World) -> (u64, u64) {
        let done = world.now_ns().saturating_sub(self.began_ns);
        (done / NS_PER_MS, (self.end_ns - self.began_ns) / NS_PER_MS)
    }

    /// Compares what a lookup found with what the oracle says: of the nodes that had
    /// entered before it began and can be reached from its origin now.
    fn judge(&mut self, world: &mut World, at: u32, began_ns: u64, report: &Report) {
        let k = usize::from(world.config.k);
        let origin = world.places[at as usize].id;
        let side = |at: u32| {
            let ip = u64::from(crate::address::ip_of(&world.places[at as usize].endpoint));
            world.parted.map(|plan| world.side(plan, ip))
        };
        let truth = world.oracle.closest(&report.target, k, |other| {
            let place = &world.places[other as usize];
            other != at
                && !place.is_out
                && place.joined_ns.is_some_and(|joined_ns| joined_ns <= began_ns)
                && side(other) == side(at)
        });
        let answered = report.path.iter().filter(|c| c.standing == Standing::Answered);
        let ids: Vec<Id> = answered.map(|candidate| candidate.id).collect();
        let found = &ids[..ids.len().min(k)];
        let hits = truth.iter().filter(|id| found.contains(id)).count();
        let now_ns = world.now_ns();
        if let Some(trace) = world.trace.as_mut() {
            trace.done(at, now_ns, report, &truth);
        }
        let row = self.row(world, &origin, &report.target, began_ns);
        self.rows.push(Row {
            is_done: true,
            hops: report.hops,
            messages: report.messages,
            elapsed_ms: report.elapsed_ns as f64 / NS_PER_MS as f64,
            closest_found: truth.first().is_none_or(|nearest| ids.contains(nearest)),
            overlap_k: if truth.is_empty() { 1.0 } else { hits as f64 / truth.len() as f64 },
            ..row
        });
    }

    fn row(&self, world: &World, origin: &Id, target: &Id, began_ns: u64) -> Row {
        Row {
            at_s: began_ns.saturating_sub(self.began_ns) as f64 / NS_PER_S as f64,
            origin: origin.to_string(),
            target: target.to_string(),
            is_done: false,
            hops: 0,
            messages: 0,
            elapsed_ms: world.now_ns().saturating_sub(began_ns) as f64 / NS_PER_MS as f64,
            closest_found: false,
            overlap_k: 0.0,
        }
    }

    fn target(&mut self, world: &mut World) -> Id {
        let lookups = world.scenario.lookups;
        match lookups.targets {
            Targets::Uniform => self.rng.id(),
            Targets::Near => {
                let random = self.rng.id();
                let Some(at) = world.random_live() else { return random };
                let near = world.places[at as usize].id;
                (0..lookups.near_bits).fold(random, |id, bit| id.with_bit(bit, near.bit(bit)))
            }
            Targets::Node => {
                let random = self.rng.id();
                world.random_reachable().map_or(random, |at| world.places[at as usize].id)
            }
            Targets::Zipf => {
                let whole = self.zipf.last().copied().unwrap_or(1.0);
                let drawn = whole * unit(self.rng.next_u64());
                let rank = self.zipf.partition_point(|sum| *sum <= drawn);
                world.draws.stream(1_u64 << 40 | rank as u64).id()
            }
        }
    }
}

/// Value number `item` of a run in this version, and its key.
fn value_of(world: &World, item: u32, version: u32) -> (Id, Value) {
    let values = &world.scenario.values;
    let mut rng = world.draws.stream(1_u64 << 41 | u64::from(item));
    let mut bytes = vec![0; values.size as usize];
    for chunk in bytes.chunks_mut(8) {
        let drawn = rng.next_u64().to_le_bytes();
        chunk.copy_from_slice(&drawn[..chunk.len()]);
    }
    // No value is shorter than eight bytes.
    for (byte, with) in bytes.iter_mut().zip(version.to_le_bytes()) {
        *byte ^= with;
    }
    let (key, publisher) = match values.proof {
        Proof::Immutable => (key_of_value(&bytes), ValuePublisher::Immutable),
        Proof::Signed => {
            let mut secret = [0; 32];
            secret[..16].copy_from_slice(&rng.secret());
            let key = rng.id();
            let publisher = PublisherKey::from_seed(&secret);
            let tail = publisher.sign(&key, u64::from(version) + 1, &[0; SALT_LEN], &bytes);
            (key, ValuePublisher::Signed(tail))
        }
    };
    (key, Value { publisher, remaining_s: values.lifetime_s, bytes })
}
