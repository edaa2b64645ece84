//! A network of real nodes in one process: UDP sockets on loopback, no state shared but
//! the threads that run them.

use std::error::Error;
use std::fmt;
use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use hdrhistogram::Histogram;
use kdht_core::{Command, Config, Outcome, Rng, Value, ValuePublisher};
use kdht_store::PublisherKey;
use kdht_wire::{Endpoint, Filter, Id, KeyRing, SALT_LEN, key_of_string};
use serde::Serialize;

use crate::hosted::Hosting;
use crate::io::{DatapathChoice, Moment, OpenError, Socket, SocketOptions, allowed_cpus, bind};
use crate::node_handle::NodeHandle;
use crate::pace::PollPolicy;
use crate::record::{RECORD_LEN_MAX_DEFAULT, RecordError, RecordOptions};
use crate::runner::{CallError, Runner, RunnerError};
use crate::shard::JoinNews;
use crate::status::Status;
use crate::stream::{BindBothError, StreamOptions, Streams, StreamsError, bind_both};
use crate::verifier::Verifier;
use crate::{entropy, now_of};

/// Values put, or looked for, at the same time.
const WORKERS: usize = 16;
/// Nodes joining at the same time.
const JOINERS: usize = 8;
/// How long a node may take to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node may take to hand over what it holds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);
/// How long one put or get may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest value put, in bytes.
const VALUE_LEN_MAX: u32 = 1_000;
/// Nodes of a swarm that also serve TCP, each by a thread of its own; larger swarms do not.
const STREAM_NODES_MAX: usize = 256;
/// Seconds that the values live.
const LIFETIME_S: u32 = 3_600;

/// What a swarm does.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nodes, at least two.
    pub nodes: usize,
    /// Values, of 1 to 1000 bytes.
    pub values: usize,
    /// Restart every node, one after another, between the puts and the gets.
    pub roll: bool,
    /// Share of the nodes, 0 to below 1, whose sockets are closed after the puts.
    pub kill: f64,
    /// Where ids, values and choices come from.
    pub seed: u64,
    /// What the nodes move datagrams with.
    pub datapath: DatapathChoice,
}

/// How it went. One JSON object, as `kdht swarm --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nodes started.
    pub nodes: usize,
    /// Values put.
    pub values: usize,
    /// Values that at least one node acknowledged.
    pub stored: usize,
    /// Values that another node found, byte for byte.
    pub found: usize,
    /// Nodes whose sockets were closed after the puts.
    pub killed: usize,
    /// Mean discovery depth of the holders that answered; 0 where the asker held it.
    pub hops_mean: f64,
    /// 99 % of them were at most this deep.
    pub hops_p99: u64,
    /// Half of the gets took at most this, in microseconds.
    pub latency_us_p50: u64,
    /// 99 % of them at most this.
    pub latency_us_p99: u64,
    /// Datagrams sent by all nodes from start to stop, as their sockets counted them.
    pub datagrams: u64,
    /// What these left as, by the host's own count: several to one peer may leave as one.
    pub packets: u64,
    /// Datagrams or requests that any node refused, whatever the reason.
    pub refusals: u64,
    /// Seconds from the first node's start to the last one's stop.
    pub elapsed_s: f64,
    /// The seed.
    #[serde(skip)]
    pub seed: u64,
    /// Refusals by reason, where there were any.
    #[serde(skip)]
    pub refused: Vec<(String, u64)>,
    /// Gets that the asker answered from its own store.
    #[serde(skip)]
    pub held_by_asker: usize,
    /// Replicas acknowledged per value, on average.
    #[serde(skip)]
    pub replicas_mean: f64,
    /// Contacts told to others per node, on average.
    #[serde(skip)]
    pub contacts_mean: f64,
}

/// Why a swarm did not run.
#[derive(Debug)]
pub enum SwarmError {
    /// The host gives no socket.
    Bind(BindBothError),
    /// The host gives no thread for TCP.
    Streams(StreamsError),
    /// The host gives no memory for a socket's batches, or too few descriptors.
    Datapath(OpenError),
    /// The host gives no thread.
    Runner(RunnerError),
    /// A node did not answer its own process.
    Call(CallError),
    /// A node did not join in time.
    Join {
        /// Which, from zero.
        node: usize,
    },
    /// A node did not hand over its values in time.
    Drain {
        /// Which, from zero.
        node: usize,
    },
    /// A node cannot be recorded.
    Record(RecordError),
    /// The host gives no entropy.
    Entropy,
}

/// What a swarm is doing: `(what, done, of)`.
pub type Progress<'a> = &'a (dyn Fn(&'static str, usize, usize) + Sync);

/// A running swarm.
#[derive(Debug)]
pub struct Swarm {
    options: Options,
    members: Vec<Member>,
    runners: Vec<Runner>,
    /// One beside each runner.
    _verifiers: Vec<Verifier>,
    started: Instant,
    /// Of nodes that have ended.
    ended: Vec<Status>,
    /// Where nodes are recorded.
    record: Option<PathBuf>,
}

#[derive(Debug)]
struct Member {
    handle: NodeHandle,
    addr: SocketAddr,
    person: Person,
    alive: bool,
    streams: Option<Streams>,
}

/// What a node keeps when it is restarted.
#[derive(Clone, Debug)]
struct Person {
    id: Id,
    publisher_seed: [u8; 32],
}

/// What became of one value.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    putter: usize,
    acknowledged: u16,
    found: bool,
    held_by_asker: bool,
    hops: u8,
    latency_us: u64,
}

impl Swarm {
    /// Starts the nodes, each on a loopback port that the host chooses, and lets all join
    /// through the first.
    ///
    /// # Errors
    /// [`SwarmError`].
    pub fn start(options: Options, progress: Progress<'_>) -> Result<Self, SwarmError> {
        Self::start_recorded(options, None, progress)
    }

    /// The same, with each node recorded into a file of the directory `record`, which is
    /// made if need be: `node-0`, and so on; one that is restarted begins `node-0-1`.
    ///
    /// # Errors
    /// [`SwarmError`].
    pub fn start_recorded(
        options: Options,
        record: Option<&Path>,
        progress: Progress<'_>,
    ) -> Result<Self, SwarmError> {
        if let Some(path) = record {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            let fail = |error| SwarmError::Record(RecordError { path: path.to_owned(), error });
            made.map_err(fail)?;
        }
        let record = record.map(Path::to_owned);
        let started = Instant::now();
        let (mut runners, mut verifiers) = (Vec::new(), Vec::new());
        for core in allowed_cpus().as_slice() {
            let runner = Runner::start_with(Some(*core), options.datapath, PollPolicy::Sleep);
            let runner = runner.map_err(SwarmError::Runner)?;
            let verifier = Verifier::start().map_err(RunnerError::Host);
            let verifier = verifier.map_err(SwarmError::Runner)?;
            runner.attach(&verifier).map_err(SwarmError::Call)?;
            runners.push(runner);
            verifiers.push(verifier);
        }
        let mut rng = seeded(options.seed, 0);
        let mut members = Vec::new();
        for number in 0..options.nodes {
            let runner = &runners[number % runners.len()];
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let file = record.as_ref().map(|dir| dir.join(format!("node-{number}")));
            members.push(Member::start(runner, Person::drawn(&mut rng), any, file, &options)?);
        }
        let swarm = Self {
            options,
            members,
            runners,
            _verifiers: verifiers,
            started,
            ended: Vec::new(),
            record,
        };
        swarm.join(progress)?;
        Ok(swarm)
    }

    /// Puts the values, kills whom it should, looks every value up from another node, and
    /// reports. The nodes still run afterwards.
    ///
    /// # Errors
    /// [`SwarmError`] if a node of this process does not answer it; a value that was not
    /// found is no error but in the report.
    pub fn exercise(&mut self, progress: Progress<'_>) -> Result<Exercise, SwarmError> {
        let count = self.options.values;
        let fates = Mutex::new(vec![Fate::default(); count]);
        self.each_value(progress, "values put", |index| {
            let fate = self.put(index)?;
            lock(&fates)[index] = fate;
            Ok(())
        })?;
        if self.options.roll {
            self.roll(progress)?;
        }
        let killed = self.kill()?;
        self.each_value(progress, "values found", |index| {
            let fate = lock(&fates)[index];
            let fate = self.get(index, fate)?;
            lock(&fates)[index] = fate;
            Ok(())
        })?;
        Ok(Exercise { fates: fates.into_inner().unwrap_or_default(), killed })
    }

    /// What was seen so far, while the nodes still run: the sums of what they count are of
    /// different moments.
    ///
    /// # Errors
    /// [`SwarmError::Call`].
    pub fn report(&self, exercise: &Exercise) -> Result<Report, SwarmError> {
        let mut statuses = self.ended.clone();
        for member in self.alive() {
            statuses.push(*member.handle.status().map_err(SwarmError::Call)?);
        }
        Ok(self.summary(exercise, &statuses))
    }

    /// Where the living nodes answer.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.alive().map(|member| member.addr).collect()
    }

    /// Stops every node, and adds up what all of them counted.
    ///
    /// # Errors
    /// [`SwarmError::Call`].
    pub fn finish(mut self, exercise: &Exercise) -> Result<Report, SwarmError> {
        for number in 0..self.members.len() {
            self.end(number)?;
        }
        Ok(self.summary(exercise, &self.ended))
    }

    fn join(&self, progress: Progress<'_>) -> Result<(), SwarmError> {
        let entry = vec![Endpoint::from(self.members[0].addr)];
        let rest: Vec<usize> = (1..self.members.len()).collect();
        let mut joined = 1;
        for wave in rest.chunks(JOINERS) {
            let mut news = Vec::new();
            for number in wave {
                let member = &self.members[*number];
                news.push((*number, member.handle.join(entry.clone()).map_err(SwarmError::Call)?));
            }
            for (node, news) in news {
                wait_for_join(node, &news)?;
                joined += 1;
                progress("nodes joined", joined, self.members.len());
            }
        }
        Ok(())
    }

    /// Restarts every node, one after another: it hands over what it holds, stops, and
    /// joins again under its id and address, with an empty store.
    fn roll(&mut self, progress: Progress<'_>) -> Result<(), SwarmError> {
        let count = self.members.len();
        for node in 0..count {
            let member = &self.members[node];
            let drained = member.handle.drain().map_err(SwarmError::Call)?;
            drained.recv_timeout(DRAIN_TIMEOUT).map_err(|_| SwarmError::Drain { node })?;
            let (person, addr) = (member.person.clone(), member.addr);
            self.end(node)?;
            let runner = &self.runners[node % self.runners.len()];
            let file = self.record.as_ref().map(|dir| dir.join(format!("node-{node}-1")));
            self.members[node] = Member::start(runner, person, addr, file, &self.options)?;
            self.join_one(node, self.members[(node + 1) % count].addr)?;
            progress("nodes rolled", node + 1, count);
        }
        Ok(())
    }

    fn join_one(&self, node: usize, entry: SocketAddr) -> Result<(), SwarmError> {
        let news = self.members[node].handle.join(vec![entry.into()]);
        wait_for_join(node, &news.map_err(SwarmError::Call)?)
    }

    /// Does `work` for each value, several at a time.
    fn each_value(
        &self,
        progress: Progress<'_>,
        what: &'static str,
        work: impl Fn(usize) -> Result<(), SwarmError> + Sync,
    ) -> Result<(), SwarmError> {
        let count = self.options.values;
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let worker = || -> Result<(), SwarmError> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(());
                }
                work(index)?;
                progress(what, done.fetch_add(1, Ordering::Relaxed) + 1, count);
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    fn put(&self, index: usize) -> Result<Fate, SwarmError> {
        let mut rng = seeded(self.options.seed, index + 1);
        let putter = pick(&mut rng, self.members.len());
        let (key, bytes) = self.value(index);
        let member = &self.members[putter];
        let publisher = PublisherKey::from_seed(&member.person.publisher_seed);
        let tail = publisher.sign(&key, 1, &[0; SALT_LEN], &bytes);
        let publisher = ValuePublisher::Signed(tail);
        let value = Value { publisher, remaining_s: LIFETIME_S, bytes };
        let command = Command::Put { key, value, cas: None };
        let report = member.handle.call(command, CALL_TIMEOUT).map_err(SwarmError::Call)?;
        let acknowledged = match report.outcome {
            Outcome::Stored(stored) => stored.acknowledged,
            _ => 0,
        };
        Ok(Fate { putter, acknowledged, ..Fate::default() })
    }

    fn get(&self, index: usize, mut fate: Fate) -> Result<Fate, SwarmError> {
        let mut rng = seeded(self.options.seed, index + 1 + self.options.values);
        let others: Vec<&Member> = self
            .members
            .iter()
            .enumerate()
            .filter(|(number, member)| *number != fate.putter && member.alive)
            .map(|(_, member)| member)
            .collect();
        if others.is_empty() {
            return Ok(fate);
        }
        let (key, bytes) = self.value(index);
        let command = Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 };
        let getter = others[pick(&mut rng, others.len())];
        let report = getter.handle.call(command, CALL_TIMEOUT).map_err(SwarmError::Call)?;
        fate.latency_us = report.elapsed_ns / 1_000;
        fate.hops = report.hops;
        if let Outcome::Values { values, holder, .. } = report.outcome {
            fate.found = values.first().is_some_and(|value| value.bytes == bytes);
            fate.held_by_asker = holder.is_none();
        }
        Ok(fate)
    }

    /// The value with this number, and its key.
    fn value(&self, index: usize) -> (Id, Vec<u8>) {
        let seed = self.options.seed;
        // Streams of their own, apart from those that choose nodes.
        let mut rng = seeded(!seed, index);
        let len = usize::try_from(1 + rng.below(VALUE_LEN_MAX.into())).unwrap_or(1);
        let mut bytes = format!("value {index} of swarm {seed}: ").into_bytes();
        while bytes.len() < len {
            bytes.extend_from_slice(&rng.next_u64().to_le_bytes());
        }
        bytes.truncate(len);
        (key_of_string(&format!("swarm {seed} value {index}")), bytes)
    }

    fn kill(&mut self) -> Result<usize, SwarmError> {
        let count = self.members.len();
        // The cast cannot go wrong: the share is below one and the count fits 16 bits.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        #[expect(clippy::cast_precision_loss)]
        let wanted = (self.options.kill * count as f64).round() as usize;
        let mut rng = seeded(self.options.seed, usize::MAX);
        let mut killed = 0;
        while killed < wanted.min(count - 1) {
            let number = pick(&mut rng, count);
            if self.members[number].alive {
                self.end(number)?;
                killed += 1;
            }
        }
        Ok(killed)
    }

    /// Closes a node's sockets and keeps what it counted.
    fn end(&mut self, number: usize) -> Result<(), SwarmError> {
        let member = &mut self.members[number];
        if member.alive {
            member.alive = false;
            member.streams = None;
            self.ended.push(*member.handle.remove().map_err(SwarmError::Call)?);
        }
        Ok(())
    }

    fn alive(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.alive)
    }

    fn summary(&self, exercise: &Exercise, statuses: &[Status]) -> Report {
        let found: Vec<&Fate> = exercise.fates.iter().filter(|fate| fate.found).collect();
        let hops = histogram(found.iter().map(|fate| u64::from(fate.hops)));
        let latency = histogram(exercise.fates.iter().map(|fate| fate.latency_us));
        let stored: Vec<&Fate> =
            exercise.fates.iter().filter(|fate| fate.acknowledged > 0).collect();
        let mut refused = std::collections::BTreeMap::new();
        for (reason, count) in statuses.iter().flat_map(|status| &status.refusals) {
            *refused.entry(reason.clone()).or_default() += count;
        }
        Report {
            nodes: self.members.len(),
            values: exercise.fates.len(),
            stored: stored.len(),
            found: found.len(),
            killed: exercise.killed,
            hops_mean: hops.mean(),
            hops_p99: hops.value_at_quantile(0.99),
            latency_us_p50: latency.value_at_quantile(0.5),
            latency_us_p99: latency.value_at_quantile(0.99),
            datagrams: statuses.iter().map(|status| status.datapath.datagrams_out).sum(),
            packets: statuses.iter().map(|status| status.datapath.packets_out).sum(),
            refusals: statuses.iter().map(Status::refused_total).sum(),
            elapsed_s: self.started.elapsed().as_secs_f64(),
            seed: self.options.seed,
            refused: refused.into_iter().filter(|(_, count)| *count > 0).collect(),
            held_by_asker: found.iter().filter(|fate| fate.held_by_asker).count(),
            replicas_mean: mean(stored.iter().map(|fate| f64::from(fate.acknowledged))),
            contacts_mean: mean(statuses.iter().map(|status| {
                // Far below 2³².
                f64::from(u32::try_from(status.table.v4.good).unwrap_or(u32::MAX))
            })),
        }
    }
}

/// What became of a swarm's values.
#[derive(Debug)]
pub struct Exercise {
    fates: Vec<Fate>,
    killed: usize,
}

fn wait_for_join(node: usize, news: &Receiver<JoinNews>) -> Result<(), SwarmError> {
    let deadline = Instant::now() + JOIN_TIMEOUT;
    loop {
        match news.recv_deadline(deadline) {
            Ok(JoinNews::Joined { .. }) => return Ok(()),
            Ok(JoinNews::Failed { .. }) => {}
            Err(_) => return Err(SwarmError::Join { node }),
        }
    }
}

impl Person {
    fn drawn(rng: &mut Rng) -> Self {
        let id = rng.id();
        let mut publisher_seed = [0; 32];
        publisher_seed[..16].copy_from_slice(&rng.secret());
        publisher_seed[16..].copy_from_slice(&rng.secret());
        Self { id, publisher_seed }
    }
}

impl Member {
    fn start(
        runner: &Runner,
        person: Person,
        addr: SocketAddr,
        record: Option<PathBuf>,
        options: &Options,
    ) -> Result<Self, SwarmError> {
        let sockets = SocketOptions::default();
        let bind = || bind(addr, &sockets);
        let (socket, listener) = if options.nodes <= STREAM_NODES_MAX {
            let (socket, listener) =
                bind_both(addr.port(), bind, Socket::local_addr).map_err(SwarmError::Bind)?;
            (socket, Some(listener))
        } else {
            (bind().map_err(|error| SwarmError::Bind(BindBothError::Udp(error)))?, None)
        };
        let addr = socket.local_addr();
        // Secrets are not reproducible: the nodes are real ones, open to real strangers.
        let secret = entropy().map_err(|_| SwarmError::Entropy)?;
        let mut config = Config { verify_apart: true, ..Config::default() };
        if listener.is_none() {
            // What is longer than a datagram carries travels by TCP.
            config.store.value_len_max = VALUE_LEN_MAX;
        }
        let record = record.map(|path| RecordOptions { path, len_max: RECORD_LEN_MAX_DEFAULT });
        let hosting = Hosting { record, json_debug: false };
        let node = hosting.host(person.id, config, secret, now_of(Moment::now()));
        let node = node.map_err(SwarmError::Record)?;
        let handle = runner.open(node, vec![socket], None).map_err(SwarmError::Datapath)?;
        let handle = handle.map_err(SwarmError::Call)?;
        let serve = |listener| {
            Streams::start(&handle, vec![listener], KeyRing::OPEN, StreamOptions::default())
        };
        let streams = listener.map(serve).transpose().map_err(SwarmError::Streams)?;
        Ok(Self { handle, addr, person, alive: true, streams })
    }
}

/// A generator for one purpose; streams of one seed do not meet.
fn seeded(seed: u64, stream: usize) -> Rng {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&(stream as u64).to_le_bytes());
    Rng::from_seed(bytes)
}

fn pick(rng: &mut Rng, count: usize) -> usize {
    usize::try_from(rng.below(count as u64)).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
    // An hour in microseconds, to three digits; larger ones count as that.
    const LARGEST: u64 = 3_600_000_000;
    let mut histogram = match Histogram::new_with_max(LARGEST, 3) {
        Ok(histogram) => histogram,
        Err(_) => unreachable!("3 digits and a bound above 2 are what it takes"),
    };
    values.for_each(|value| histogram.saturating_record(value));
    histogram
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    if count > 0.0 { sum / count } else { 0.0 }
}

impl fmt::Display for SwarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Streams(error) => error.fmt(f),
            Self::Datapath(error) => error.fmt(f),
            Self::Runner(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Join { node } => {
                write!(f, "node {node} did not join within {} s", JOIN_TIMEOUT.as_secs())
            }
            Self::Drain { node } => write!(
                f,
                "node {node} did not hand over its values within {} s",
                DRAIN_TIMEOUT.as_secs()
            ),
            Self::Record(error) => error.fmt(f),
            Self::Entropy => write!(f, "the host gives no entropy"),
        }
    }
}

impl Error for SwarmError {}
