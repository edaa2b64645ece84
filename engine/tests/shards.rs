//! A node of several shards, over real sockets: nothing is misdelivered, the load is even,
//! and what the kernel does not steer the shards hand over.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use kdht::status::Status;
use kdht::{Hosting, JoinNews, Launch, NodeHandle, Runner};
use kdht_core::{Command, Config, Families, Outcome, Rng, TableKind, Value, ValuePublisher};
use kdht_wire::{
    Body, Emit, Filter, FindValueBody, Flags, Head, Id, Kind, Message, StoreBody, key_of_value,
};

/// Datagrams in flight: no more than any socket's buffer holds.
const WINDOW: usize = 64;

fn config(shards: u8) -> Config {
    let mut config = Config { shards, ..Config::default() };
    config.families = Families { v4: true, v6: true };
    (config.throttle.rate_per_s, config.throttle.burst) = (100_000_000, 100_000_000);
    config.store.source_bytes_max = config.store.bytes_max;
    config
}

struct Sharded {
    node: NodeHandle,
    addrs: Vec<SocketAddr>,
    id: Id,
    _runners: Vec<Runner>,
    _streams: kdht::stream::Streams,
}

impl Sharded {
    /// A node whose shards are turned by at most two threads.
    fn start(rng: &mut Rng, config: &Config, listen: &[&str], is_steered: bool) -> Self {
        let id = rng.id();
        let listen: Vec<SocketAddr> = listen.iter().map(|addr| addr.parse().unwrap()).collect();
        let mut config = config.clone();
        config.families.v4 = listen.iter().any(SocketAddr::is_ipv4);
        config.families.v6 = listen.iter().any(SocketAddr::is_ipv6);
        let launch =
            Launch::prepare(id, &config, rng.secret(), &listen, is_steered, &Hosting::default());
        let launch = launch.unwrap();
        let runners: Vec<Runner> = (0..config.shards.min(2)).map(|_| common::runner()).collect();
        let addrs = launch.listening().to_vec();
        let (node, streams) = launch.start(&runners).unwrap();
        Self { node, addrs, id, _runners: runners, _streams: streams }
    }

    fn status(&self) -> Status {
        *self.node.status().unwrap()
    }
}

/// A client that keeps a window of requests in flight and checks each reply.
struct Client {
    socket: UdpSocket,
    to: SocketAddr,
    cookie: u64,
    next_tx: u64,
    /// What the requests in flight want: kind, target, and the value if one is held.
    waiting: HashMap<u64, (Kind, Id, Option<Vec<u8>>)>,
}

impl Client {
    fn new(to: SocketAddr) -> Self {
        let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { socket, to, cookie: 0, next_tx: 1, waiting: HashMap::new() };
        client.ask(Kind::Ping, Id([0xc1; 20]), None);
        client.settle(0);
        assert_ne!(client.cookie, 0);
        client
    }

    fn ask(&mut self, kind: Kind, target: Id, value: Option<Vec<u8>>) {
        self.settle(WINDOW - 1);
        let mut buf = [0; kdht_wire::DATAGRAM_LEN_MAX];
        let tx_id = self.next_tx;
        self.next_tx += 1;
        let mut head = Head::request(kind, tx_id, target, Id([0xc1; 20]));
        head.flags = Flags::CLIENT.0.into();
        head.cookie = self.cookie.into();
        let mut emit = Emit::datagram(&mut buf, head, None, usize::MAX).unwrap();
        match (kind, &value) {
            (Kind::FindValue, _) => emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap(),
            (Kind::Store, Some(bytes)) => {
                let cas = StoreBody::UNCONDITIONAL.into();
                emit.body(&StoreBody { cas }).unwrap();
                let publisher = ValuePublisher::Immutable;
                let value = Value { publisher, remaining_s: 600, bytes: bytes.clone() };
                emit.store_record(&value.record()).unwrap();
            }
            _ => {}
        }
        let len = emit.finish();
        self.waiting.insert(tx_id, (kind, target, value));
        self.socket.send_to(&buf[..len], self.to).unwrap();
    }

    /// Reads replies until no more than `left` are missing.
    fn settle(&mut self, left: usize) {
        let mut buf = [0; 2_048];
        while self.waiting.len() > left {
            let (len, from) = match self.socket.recv_from(&mut buf) {
                // An executor's timers signal the process.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                received => received.expect("a reply is missing"),
            };
            assert_eq!(from, self.to);
            let reply = Message::parse(&buf[..len]).unwrap();
            let (kind, target, value) = self.waiting.remove(&reply.head.tx_id.get()).unwrap();
            assert_eq!((reply.kind, reply.head.target), (kind, target), "{reply:?}");
            self.cookie = reply.head.cookie.get();
            if let (Kind::FindValue, Some(value)) = (kind, value) {
                let Body::Values { records, .. } = reply.body else { panic!("{reply:?}") };
                assert!(records.iter().any(|record| record.value == value), "{reply:?}");
            }
        }
    }
}

/// Sends `count` requests of every kind; those for values name values that are held.
fn exchange(rng: &mut Rng, client: &mut Client, count: usize) {
    let mut held: Vec<(Id, Vec<u8>)> = Vec::new();
    for at in 0..count {
        match at % 4 {
            0 => {
                let value = rng.next_u64().to_le_bytes().repeat(4);
                let key = key_of_value(&value);
                client.ask(Kind::Store, key, Some(value.clone()));
                held.push((key, value));
            }
            1 => client.ask(Kind::Ping, Id([0xc1; 20]), None),
            2 => client.ask(Kind::FindNode, rng.id(), None),
            _ => {
                // Stored long enough ago to have been acknowledged.
                let Some(before) = held.len().checked_sub(WINDOW) else { continue };
                let at = usize::try_from(rng.below(before as u64 + 1)).unwrap();
                let (key, value) = held[at].clone();
                client.ask(Kind::FindValue, key, Some(value));
            }
        }
    }
    client.settle(0);
}

#[test]
fn none_of_100_000_datagrams_is_misdelivered_and_none_needs_a_hand_over() {
    let mut rng = Rng::from_seed([0x51; 16]);
    let mut total = 0;
    for shards in [1, 2, 3, 4, 8] {
        for listen in [&["127.0.0.1:0"][..], &["[::1]:0"], &["127.0.0.1:0", "[::1]:0"]] {
            let node = Sharded::start(&mut rng, &config(shards), listen, true);
            for addr in &node.addrs {
                let mut client = Client::new(*addr);
                exchange(&mut rng, &mut client, 7_200 / node.addrs.len());
            }
            let status = node.status();
            let refused: Vec<_> = status.refusals.iter().filter(|(_, count)| **count > 0).collect();
            assert!(refused.is_empty(), "{shards} shards on {listen:?}: {refused:?}");
            assert_eq!(status.mesh.handed_over, 0, "{shards} shards on {listen:?}");
            assert_eq!(status.shards.len(), usize::from(shards));
            total += status.shards.values().sum::<u64>();
        }
    }
    assert!(total >= 100_000, "{total}");
}

#[test]
fn without_steering_all_works_by_hand_over() {
    let mut rng = Rng::from_seed([0x52; 16]);
    for shards in [2, 3, 8] {
        let node = Sharded::start(&mut rng, &config(shards), &["127.0.0.1:0", "[::1]:0"], false);
        for addr in &node.addrs {
            for _ in 0..4 {
                exchange(&mut rng, &mut Client::new(*addr), 1_000);
            }
        }
        let status = node.status();
        let refused: Vec<_> = status.refusals.iter().filter(|(_, count)| **count > 0).collect();
        assert!(refused.is_empty(), "{shards} shards: {refused:?}");
        assert!(status.mesh.handed_over > 1_000, "{:?}", status.mesh);
        assert_eq!(status.mesh.lost, 0);
    }
}

#[test]
fn replies_reach_the_shard_that_asked_and_values_are_found_through_every_node() {
    let mut rng = Rng::from_seed([0x53; 16]);
    for (shards, is_steered) in [(1, true), (2, true), (5, true), (3, false)] {
        let start =
            |rng: &mut Rng| Sharded::start(rng, &config(shards), &["127.0.0.1:0"], is_steered);
        let nodes: Vec<Sharded> = (0..4).map(|_| start(&mut rng)).collect();
        for node in &nodes[1..] {
            let news = node.node.join(vec![nodes[0].addrs[0].into()]).unwrap();
            let joined = news.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(matches!(joined, JoinNews::Joined { .. }), "{joined:?}");
        }
        let wait = Duration::from_secs(20);
        for at in 0..200_usize {
            let bytes = rng.next_u64().to_le_bytes().to_vec();
            let key = key_of_value(&bytes);
            let publisher = ValuePublisher::Immutable;
            let value = Value { publisher, remaining_s: 600, bytes: bytes.clone() };
            let put = Command::Put { key, value, cas: None };
            let report = nodes[at % 4].node.call(put, wait).unwrap();
            let Outcome::Stored(stored) = report.outcome else { panic!("{report:?}") };
            assert_eq!(stored.acknowledged, 4, "{stored:?}");
            let get = Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 };
            let report = nodes[(at + 1) % 4].node.call(get, wait).unwrap();
            let Outcome::Values { values, .. } = report.outcome else { panic!("{report:?}") };
            assert_eq!(values[0].bytes, bytes);
        }
        for node in &nodes {
            let status = node.status();
            assert_eq!((status.refusals["unmatched"], status.timeouts), (0, 0), "{shards} shards");
            assert_eq!(status.table.v4.good, 3, "{shards} shards: {:?}", status.table);
            assert_eq!(node.node.contacts().unwrap().len(), 3);
        }
    }
}

#[test]
fn with_95_of_100_targets_next_to_the_own_id_the_busiest_of_8_shards_does_at_most_1_3_of_the_mean()
{
    let mut rng = Rng::from_seed([0x54; 16]);
    let node = Sharded::start(&mut rng, &config(8), &["127.0.0.1:0"], true);
    let mut client = Client::new(node.addrs[0]);
    for at in 0..24_000 {
        let mut target = rng.id();
        if rng.below(100) < 95 {
            target.0[0] = node.id.0[0];
        }
        let kind = if at % 3 == 0 { Kind::FindValue } else { Kind::FindNode };
        client.ask(kind, target, None);
    }
    client.settle(0);
    let status = node.status();
    let busiest = status.shards.values().max().copied().unwrap();
    let sum: u64 = status.shards.values().sum();
    assert!(busiest * 8 * 10 <= sum * 13, "{:?}", status.shards);
}

#[test]
fn a_wide_table_over_several_shards_comes_to_know_the_whole_network() {
    let mut rng = Rng::from_seed([0x55; 16]);
    let nodes: Vec<Sharded> =
        (0..60).map(|_| Sharded::start(&mut rng, &config(1), &["127.0.0.1:0"], true)).collect();
    for node in &nodes[1..] {
        let news = node.node.join(vec![nodes[0].addrs[0].into()]).unwrap();
        let joined = news.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(matches!(joined, JoinNews::Joined { .. }), "{joined:?}");
    }
    let wide = Config { table: TableKind::Wide(10_000), ..config(3) };
    let wide = Sharded::start(&mut rng, &wide, &["127.0.0.1:0"], true);
    let news = wide.node.join(vec![nodes[7].addrs[0].into()]).unwrap();
    assert!(matches!(news.recv_timeout(Duration::from_secs(10)), Ok(JoinNews::Joined { .. })));
    let deadline = Instant::now() + Duration::from_secs(20);
    while wide.status().table.v4.good < nodes.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(wide.status().table.v4.good, nodes.len());
    assert_eq!(wide.status().refusals["unmatched"], 0);
    let find = Command::FindNode { target: rng.id() };
    let report = wide.node.call(find, Duration::from_secs(20)).unwrap();
    assert_eq!(report.hops, 1, "it knew the closest before it asked: {report:?}");
}
