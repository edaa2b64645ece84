//! How many datagrams the shards of one node answer together, fed from memory: what more cores
//! bring where neither kernel nor network takes part.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;
#[path = "common/memory.rs"]
mod memory;
#[path = "common/tray.rs"]
mod tray;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use kdht::io::{Moment, allowed_cpus, pin_to};
use kdht::{Shard, mesh, now_of};
use kdht_bench::draw::Draw;
use kdht_bench::feed::{Answerer, answerer};
use kdht_bench::protocol::{Ask, Kdht, Kind, Protocol, Speech};
use kdht_bench::workload::{Keys, Mix, Targets};
use kdht_core::{Addressee, Config, Home, Node, Now, Route, TableKind};
use kdht_wire::{DATAGRAM_LEN_MAX, Id};

use common::endpoint;
use memory::{Gauge, Memory};
use tray::Tray;

/// Different requests of one row.
const REQUESTS: usize = 1 << 14;
/// Clients that they come from: pings are spread by their senders' ids.
const CLIENTS: u64 = 256;
/// A shard that waits for so long looks how much was lost between shards: where threads have
/// no cores to themselves, lanes are full for a while.
const PATIENCE: Duration = Duration::from_millis(100);

/// A kind of table, and how many contacts it is given.
#[derive(Clone, Copy)]
struct Tables {
    name: &'static str,
    kind: TableKind,
    contacts: u32,
}

const TABLES: [Tables; 2] = [
    Tables { name: "kbucket_1000", kind: TableKind::KBucket, contacts: 1_000 },
    Tables { name: "wide_20000", kind: TableKind::Wide(20_000), contacts: 20_000 },
];

/// The shards of one node before they have threads.
struct Flock {
    nodes: Vec<Node>,
    tray: Tray,
    speaker: Box<dyn Answerer>,
    now: Now,
}

impl Flock {
    fn new(shards: u8, tables: Tables) -> Self {
        let mut draw = Draw::new(13);
        let (own, now) = (draw.id(), now_of(Moment::now()));
        let mut config = Config { shards, table: tables.kind, ..Config::default() };
        (config.throttle.rate_per_s, config.throttle.burst) = (1_000_000_000, 1_000_000_000);
        let node = |shard| Node::new(own, Config { shard, ..config.clone() }, [3; 16], now);
        let nodes = (0..shards).map(node).collect();
        let speaker = answerer(Speech::Kdht).unwrap();
        let mut flock = Self { nodes, tray: Tray::new(), speaker, now };
        for number in 0..tables.contacts {
            let mut id = draw.id();
            if tables.kind == TableKind::KBucket {
                // Uniform ids would fill few buckets: each depth gets as many as one holds.
                let depth = u8::try_from(number / 20).unwrap_or(0);
                for bit in 0..=depth {
                    id = id.with_bit(bit, own.bit(bit) ^ (bit == depth));
                }
            }
            flock.introduce(number, &id);
        }
        let good: usize = flock.nodes.iter().map(|node| node.fill()[0].good).sum();
        assert_eq!(good, tables.contacts as usize);
        flock
    }

    /// Lets the node get to know a contact, and all shards hear of it.
    fn introduce(&mut self, number: u32, id: &Id) {
        let Self { nodes, tray, speaker, now } = self;
        let (mut buf, route) = ([0; DATAGRAM_LEN_MAX], Route::to(endpoint(number)));
        let len = speaker.introduce(&mut buf, u64::from(number), id);
        tray.sent.clear();
        nodes[0].handle_datagram(*now, &route, &buf[..len], tray);
        loop {
            let mut is_quiet = tray.sent.is_empty();
            let sent: Vec<Vec<u8>> =
                (0..tray.sent.len()).map(|at| tray.bytes(at).to_vec()).collect();
            tray.sent.clear();
            for asked in sent {
                let Some(len) = speaker.answer(&mut buf, &asked, id, &[]) else { continue };
                let home = match nodes[0].spread().home(&buf[..len]) {
                    Home::Shard(home) => usize::from(home),
                    Home::Any => 0,
                };
                nodes[home].handle_datagram(*now, &route, &buf[..len], tray);
            }
            for from in 0..nodes.len() {
                while let Some((to, note)) = nodes[from].poll_note() {
                    is_quiet = false;
                    let from = u8::try_from(from).unwrap();
                    let hears = |shard: u8| match to {
                        Addressee::Shard(one) => shard == one,
                        Addressee::Others => shard != from,
                    };
                    for (shard, node) in (0..).zip(nodes.iter_mut()) {
                        if hears(shard) {
                            node.handle_note(*now, from, note, tray);
                        }
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn cookie(&mut self, asker: &Route) -> u64 {
        let (client, mut buf) = (Kdht::new(0), [0; DATAGRAM_LEN_MAX]);
        let ask = Ask { kind: Kind::Ping, tx_id: 1, cookie: 0, target: &Id::ZERO, len_min: 0 };
        let len = client.request(&mut buf, &ask);
        self.tray.sent.clear();
        self.nodes[0].handle_datagram(self.now, asker, &buf[..len], &mut self.tray);
        client.reply(self.tray.bytes(0)).unwrap().cookie
    }

    /// What comes to each shard, as the kernel steers.
    fn requests(&self, tables: Tables, keys: Keys, cookie: u64) -> Vec<Vec<Vec<u8>>> {
        let (mut draw, own) = (Draw::new(14), self.nodes[0].id());
        let mix: Mix = "find_node=70,ping=20,find_value=10".parse().unwrap();
        let targets = Targets::new(keys, &own, &mut draw);
        let mut requests = vec![Vec::new(); self.nodes.len()];
        for _ in 0..REQUESTS {
            let client = Kdht::new(draw.below(CLIENTS));
            let (kind, number) = (mix.draw(&mut draw), targets.draw(&mut draw));
            let target = targets.id(number);
            let mut buf = [0; DATAGRAM_LEN_MAX];
            let len = client
                .request(&mut buf, &Ask { kind, tx_id: number.into(), cookie, target, len_min: 0 });
            let landed = self.steered(tables, &buf[..len]);
            requests[usize::from(landed)].push(buf[..len].to_vec());
        }
        requests
    }

    /// The shard whose socket a request reaches.
    fn steered(&self, tables: Tables, request: &[u8]) -> u8 {
        let (spread, own) = (self.nodes[0].spread(), self.nodes[0].id());
        let target = kdht_wire::Message::parse(request).unwrap().head.target;
        let is_find_node = request[3] == kdht_wire::Kind::FindNode as u8;
        let is_wide = tables.kind != TableKind::KBucket;
        match spread.home(request) {
            Home::Shard(shard) => shard,
            Home::Any if is_wide && is_find_node && target.0[0] != own.0[0] => {
                let part = (u32::from(target.0[0]) * u32::from(spread.shards())) >> 8;
                u8::try_from(part).unwrap()
            }
            Home::Any => spread.of(&target),
        }
    }
}

/// The shards with their datapaths, and what each is told.
struct Fleet {
    shards: Vec<Shard<Memory>>,
    gauges: Vec<Arc<Gauge>>,
    /// Of [`REQUESTS`], those that come to each.
    parts: Vec<u64>,
}

impl Fleet {
    fn new(count: u8, tables: Tables, keys: Keys) -> Self {
        let mut flock = Flock::new(count, tables);
        let route = Route::to(endpoint(1 << 29));
        let cookie = flock.cookie(&route);
        let requests = flock.requests(tables, keys, cookie);
        let parts = requests.iter().map(|part| part.len() as u64).collect();
        let gauges: Vec<Arc<Gauge>> = requests.iter().map(|_| Arc::default()).collect();
        let memory = requests
            .into_iter()
            .zip(&gauges)
            .map(|(part, gauge)| Memory::new(part, route, gauge.clone()));
        let shards = flock.nodes.into_iter().zip(memory).zip(mesh(count));
        let shards = shards.map(|((node, memory), port)| match count {
            1 => Shard::new(node, memory),
            _ => Shard::new(node, memory).with_port(port),
        });
        Self { shards: shards.collect(), gauges, parts }
    }

    fn replied(gauges: &[Arc<Gauge>]) -> u64 {
        gauges.iter().map(|gauge| gauge.replied.load(Ordering::Acquire)).sum()
    }

    fn lost(gauges: &[Arc<Gauge>]) -> u64 {
        gauges.iter().map(|gauge| gauge.lost.load(Ordering::Acquire)).sum()
    }

    /// How long it takes until `count` datagrams, which come to the shards in their parts, are
    /// answered: the shard with most to do decides. What is lost counts as the others' time.
    fn run(&mut self, count: u64, cpus: &[usize]) -> Duration {
        let Self { shards, gauges, parts } = self;
        let gauges = &*gauges;
        let mut rest = count;
        for (gauge, part) in gauges.iter().zip(parts).rev() {
            let share = (count * *part / REQUESTS as u64).min(rest);
            rest -= share;
            gauge.left.store(share, Ordering::Relaxed);
        }
        // What the division left over comes to the first.
        gauges[0].left.fetch_add(rest, Ordering::Relaxed);
        let before = Self::replied(gauges);
        let wanted = before + Self::lost(gauges) + count;
        let start = &Barrier::new(shards.len());
        let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let turning = shards.iter_mut().zip(gauges).zip(cpus).map(|((shard, gauge), cpu)| {
                scope.spawn(move || {
                    pin_to(*cpu).unwrap();
                    start.wait();
                    let begin = Instant::now();
                    let mut idle_since = None;
                    loop {
                        let _ = shard.turn(Moment::now());
                        if gauge.left.load(Ordering::Relaxed) > 0 {
                            continue;
                        }
                        // Others may still hand something over.
                        if Self::replied(gauges) + Self::lost(gauges) >= wanted {
                            return (begin, Instant::now());
                        }
                        if idle_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                            let lost = shard.status(Moment::now()).mesh.lost;
                            gauge.lost.store(lost, Ordering::Release);
                            idle_since = None;
                        }
                    }
                })
            });
            let turning: Vec<_> = turning.collect();
            turning.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // By the shards' own clocks: whoever waits for them may get no core meanwhile.
        let begin = times.iter().map(|(begin, _)| *begin).min().unwrap();
        let took = times.iter().map(|(_, end)| *end - begin).max().unwrap();
        let refused: u64 = gauges.iter().map(|gauge| gauge.refused.load(Ordering::Relaxed)).sum();
        assert_eq!(refused, 0);
        let replied = Self::replied(gauges) - before;
        assert!(replied > 0);
        #[allow(clippy::cast_precision_loss, reason = "counts of a run fit a double")]
        took.mul_f64(count as f64 / replied as f64)
    }
}

/// A row; returns its datagrams a second and how many were lost, or nothing if the command
/// line leaves it out.
fn rate(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    make: impl FnOnce() -> Fleet,
    cpus: &[usize],
) -> Option<(f64, u64)> {
    let (mut make, mut fleet) = (Some(make), None::<Fleet>);
    let (mut datagrams, mut time) = (0, Duration::ZERO);
    group.bench_function(name, |bencher| {
        if let Some(make) = make.take() {
            fleet = Some(make());
        }
        let fleet = fleet.as_mut().unwrap();
        bencher.iter_custom(|count| {
            let took = fleet.run(count, cpus);
            datagrams += count;
            time += took;
            took
        });
    });
    #[allow(clippy::cast_precision_loss, reason = "counts of a run fit a double")]
    let rate = datagrams as f64 / time.as_secs_f64();
    fleet.map(|fleet| (rate, Fleet::lost(&fleet.gauges)))
}

fn shards(criterion: &mut Criterion) {
    let cpus = allowed_cpus();
    let mut group = criterion.benchmark_group("shards");
    group.throughput(Throughput::Elements(1));
    for tables in TABLES {
        for (traffic, keys) in [("uniform", Keys::Uniform), ("near", Keys::Near)] {
            let mut alone = None;
            for count in [1, 2, 4, 8] {
                if usize::from(count) > cpus.as_slice().len() {
                    let row = format!("shards/{}_{traffic}/{count}", tables.name);
                    println!("{row}: left out, since the CPUs allowed are {cpus}");
                    continue;
                }
                let name = format!("{}_{traffic}/{count}", tables.name);
                let make = || Fleet::new(count, tables, keys);
                let rate = rate(&mut group, name, make, cpus.as_slice());
                let Some((rate, lost)) = rate else { continue };
                if count == 1 {
                    alone = Some(rate);
                }
                // Nothing to hold it against where the command line left that row out.
                let Some(alone) = alone else { continue };
                let linear = rate / alone / f64::from(count);
                let rate = format!("{rate:.0} datagrams/s, {linear:.3} of linear");
                println!("{:24}scale:  {rate}, {lost} lost between shards", "");
            }
        }
    }
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = shards }
criterion_main!(suites);
