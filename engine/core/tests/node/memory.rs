//! What a node costs, and that serving costs no allocation.

use std::collections::HashMap;

use allocation_counter::measure;
use kdht_core::{Command, Config, Limits, Node, Now, Route, ThrottleConfig};
use kdht_wire::{Contact, Endpoint, Id, Kind, Publisher, Record, key_of_value};

use crate::common::{Reply, Request, START, Solo, Tray, address, is_reply, rng};

/// Nothing is due for this long, in milliseconds: a node is at rest.
const REST_MS: u64 = 600_000;

/// As a simulator would make a node.
fn small(k: u8) -> Config {
    Config {
        k,
        contacts_max: 400,
        pending_max: 64,
        operations_max: 8,
        recursions_max: 0,
        throttle: ThrottleConfig { slots: 0, ..ThrottleConfig::default() },
        store: Limits { bytes_max: 1 << 16, ..Limits::default() },
        ..Config::default()
    }
}

/// Answers every request that the node sent, as whoever it was sent to, until no more
/// come.
fn answer_all(node: &mut Node, now: Now, tray: &mut Tray, ids: &HashMap<Endpoint, Id>) {
    loop {
        let mut sent = Vec::new();
        tray.drain(|route, bytes| sent.push((*route, bytes.to_vec())));
        sent.retain(|(_, bytes)| !is_reply(bytes));
        if sent.is_empty() {
            return;
        }
        for (route, request) in sent {
            let reply = Reply::default().bytes(&request, ids[&route.peer], route.peer);
            node.handle_datagram(now, &route, &reply, tray);
        }
    }
}

#[test]
fn a_node_at_rest_with_142_contacts_costs_at_most_14_kib() {
    for k in [20, 8] {
        let mut rng = rng(1);
        let (id, seed) = (rng.id(), rng.secret());
        // Enough under each bit of the own id that each bucket is full.
        let contacts: Vec<Contact> = (0..600)
            .map(|at| {
                let depth = u8::try_from(at % 20).unwrap();
                let prefix = (0..depth).fold(rng.id(), |new, bit| new.with_bit(bit, id.bit(bit)));
                Contact::new(prefix.with_bit(depth, !id.bit(depth)), address(at))
            })
            .collect();
        let ids: HashMap<Endpoint, Id> = contacts.iter().map(|c| (c.endpoint, c.id)).collect();
        let mut tray = Tray::new(64);
        let mut now = START;
        let mut node = None;
        let memory = measure(|| {
            let made = node.insert(Node::new(id, small(k), seed, START));
            for contact in &contacts {
                if made.good_contacts().count() == 142 {
                    break;
                }
                let request = Request::hello(contact.id).bytes();
                made.handle_datagram(now, &Route::to(contact.endpoint), &request, &mut tray);
                answer_all(made, now, &mut tray, &ids);
            }
            // What lookups took is given back when they are over.
            for target in 1..=4 {
                let target = Id([target; 20]);
                made.begin(now, Command::FindNode { target }, &mut tray).unwrap();
            }
            answer_all(made, now, &mut tray, &ids);
            while made.poll_event().is_some() {}
            // At rest there is nothing to do for minutes.
            while let Some(at) = made.poll_timeout().filter(|at| *at < now.mono.plus_ms(REST_MS)) {
                now.mono = at.max(now.mono);
                made.handle_timeout(now, &mut tray);
                answer_all(made, now, &mut tray, &ids);
            }
        });
        let node = node.unwrap();
        assert_eq!(node.good_contacts().count(), 142, "k {k}");
        assert_eq!(node.operations(), 0, "k {k}: not at rest");
        let own = i64::try_from(size_of::<Node>()).unwrap();
        let total = own + memory.bytes_current;
        assert!(total <= 14_336, "k {k}: {own} + {} bytes", memory.bytes_current);
    }
}

#[test]
fn serving_allocates_nothing() {
    let (mut solo, known) = Solo::with_contacts(2, Config::default(), 200);
    let value = [7; 700];
    let key = key_of_value(&value);
    let from = known[5].endpoint;
    let cookie = solo.cookie(&from);
    let record = Record::whole(Publisher::Immutable, 86_400, &value).unwrap();
    solo.hand(&from, &Request::store(key, known[5].id, record, cookie).bytes());
    assert_eq!(solo.node.usage().values, 1);
    solo.wait_ms(5_000);
    let mut rng = rng(22);
    for (kind, hit) in [
        (Kind::Ping, false),
        (Kind::FindNode, false),
        (Kind::FindValue, true),
        (Kind::FindValue, false),
    ] {
        let requests: Vec<(Route, Vec<u8>)> = (0..100)
            .map(|at| {
                let asker = &known[at];
                let target = if hit { key } else { rng.id() };
                let request = Request::new(kind, target, asker.id);
                let cookie = if asker.endpoint == from { cookie } else { 0 };
                let request = Request { cookie, len_min: 411, ..request };
                (Route::to(asker.endpoint), request.bytes())
            })
            .collect();
        let Solo { node, now, tray } = &mut solo;
        let served = node.counters().replies_out.of(kind);
        let memory = measure(|| {
            for _ in 0..100 {
                now.mono = now.mono.plus_ms(20);
                for (route, bytes) in &requests {
                    node.handle_datagram(*now, route, bytes, tray);
                    tray.clear();
                }
            }
        });
        assert_eq!(node.counters().replies_out.of(kind) - served, 10_000, "{kind:?}, hit {hit}");
        assert_eq!(memory.count_total, 0, "{kind:?}, hit {hit}");
    }
}
