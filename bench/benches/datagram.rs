//! A whole datagram through the core: parse, throttle, cookie, table or store, reply.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;
#[path = "common/tray.rs"]
mod tray;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kdht_bench::draw::Draw;
use kdht_bench::feed::answerer;
use kdht_bench::protocol::{Ask, Kdht, Kind, Protocol, Speech};
use kdht_core::{Config, Nanos, Node, Now, Route, TableKind};
use kdht_store::Limits;
use kdht_wire::{DATAGRAM_LEN_MAX, Id, Message, key_of_value};

use common::{Cycle, INPUTS, NOW_BOTH, endpoint, ids, row};
use tray::Tray;

/// How many datagrams of a batch the engine looks ahead in a table beyond the caches.
const AHEAD: usize = 3;

/// Where the asker is.
fn asker() -> Route {
    Route::to(endpoint(1 << 29))
}

/// A node that knows `contacts` contacts, and a cookie of the asker's.
fn node(contacts: u32) -> (Node, u64) {
    let mut draw = Draw::new(11);
    let mut config = Config { table: TableKind::Wide(contacts), ..Config::default() };
    (config.throttle.rate_per_s, config.throttle.burst) = (1_000_000_000, 1_000_000_000);
    config.store = Limits { bytes_max: 1 << 30, source_bytes_max: 1 << 30, ..Limits::default() };
    let mut node = Node::new(draw.id(), config, [3; 16], NOW_BOTH);
    let speaker = answerer(Speech::Kdht).unwrap();
    let (mut buf, mut reply) = ([0; DATAGRAM_LEN_MAX], [0; DATAGRAM_LEN_MAX]);
    let mut tray = Tray::new();
    for number in 0..contacts {
        let (id, route) = (draw.id(), Route::to(endpoint(number)));
        let len = speaker.introduce(&mut buf, u64::from(number), &id);
        tray.sent.clear();
        node.handle_datagram(NOW_BOTH, &route, &buf[..len], &mut tray);
        let sent: Vec<Vec<u8>> = (0..tray.sent.len()).map(|at| tray.bytes(at).to_vec()).collect();
        for asked in sent {
            let Some(len) = speaker.answer(&mut reply, &asked, &id, &[]) else { continue };
            tray.sent.clear();
            node.handle_datagram(NOW_BOTH, &route, &reply[..len], &mut tray);
        }
    }
    assert_eq!(node.fill()[0].good, contacts as usize);
    let client = Kdht::new(1);
    let ask = Ask { kind: Kind::Ping, tx_id: 1, cookie: 0, target: &Id::ZERO, len_min: 0 };
    let len = client.request(&mut buf, &ask);
    tray.sent.clear();
    node.handle_datagram(NOW_BOTH, &asker(), &buf[..len], &mut tray);
    let cookie = client.reply(tray.bytes(0)).unwrap().cookie;
    (node, cookie)
}

fn requests(kind: Kind, targets: &[Id], cookie: u64) -> Vec<Vec<u8>> {
    let client = Kdht::new(1);
    let request = |target: &Id| {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let ask = Ask { kind, tx_id: 5, cookie, target, len_min: 0 };
        let len = client.request(&mut buf, &ask);
        buf[..len].to_vec()
    };
    targets.iter().map(request).collect()
}

/// Puts a value for each input, and returns their keys.
fn fill(node: &mut Node, cookie: u64) -> Vec<Id> {
    let client = Kdht::new(1);
    let (mut tray, mut buf) = (Tray::new(), [0; DATAGRAM_LEN_MAX]);
    let mut keys = Vec::new();
    for number in 0..INPUTS as u64 {
        let value = number.to_le_bytes().repeat(12);
        let ask = Ask { kind: Kind::Ping, tx_id: 1, cookie, target: &Id::ZERO, len_min: 0 };
        let len = client.store(&mut buf, &ask, &value, 86_400).unwrap();
        tray.sent.clear();
        node.handle_datagram(NOW_BOTH, &asker(), &buf[..len], &mut tray);
        let reply = Message::parse(tray.bytes(0)).unwrap();
        assert_eq!(reply.kind, kdht_wire::Kind::Store, "{reply:?}");
        keys.push(key_of_value(&value));
    }
    keys
}

fn datagram(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("datagram");
    for contacts in [2_000, 1_000_000] {
        let (mut node, cookie) = node(contacts);
        let (targets, keys) = (ids(12), fill(&mut node, cookie));
        let mut rows = vec![
            ("ping", Kind::Ping, &targets, 0),
            ("find_node", Kind::FindNode, &targets, 0),
            ("find_value_hit", Kind::FindValue, &keys, 0),
            ("find_value_miss", Kind::FindValue, &targets, 0),
        ];
        if node.is_far() {
            rows.push(("find_node_ahead", Kind::FindNode, &targets, AHEAD));
        }
        for (name, kind, targets, ahead) in rows {
            let requests = requests(kind, targets, cookie);
            let (mut tray, route) = (Tray::new(), asker());
            node.handle_datagram(NOW_BOTH, &route, &requests[0], &mut tray);
            assert_eq!(tray.sent.len(), 1, "{name}");
            let reply = Message::parse(tray.bytes(0)).unwrap();
            assert_eq!(reply.kind.name(), kind.name(), "{name}: {reply:?}");
            group.throughput(Throughput::Bytes(tray.sent[0].1 as u64));
            let mut now_ns = NOW_BOTH.mono.0;
            let mut requests = Cycle::new(&requests);
            row(&mut group, format!("{name}_{contacts}"), || {
                // The throttle earns a unit a nanosecond.
                now_ns += 4;
                let now = Now { mono: Nanos(now_ns), ..NOW_BOTH };
                tray.sent.clear();
                (1..=ahead).for_each(|before| node.fetch(before, &route, requests.ahead(before)));
                node.handle_datagram(now, &route, requests.next(), &mut tray);
                tray.sent.len()
            });
        }
    }
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = datagram }
criterion_main!(suites);
