//! Whole lookups for thin clients, and only for those who proved themselves.

use kdht_core::{Command, Config, Limits, Outcome, Refusal, Value, ValuePublisher};
use kdht_store::PublisherKey;
use kdht_wire::{
    Body, Endpoint, Fault, Flags, Id, Kind, Message, Publisher, Record, key_of_string, key_of_value,
};

use crate::common::{
    Conditions, Datagram, Net, Request, Solo, endpoint, is_reply, reply_of, rng, tx_id_of,
};

const CLIENT_ID: Id = Id([0xc1; 20]);

fn by_recursion(kind: Kind, target: Id, cookie: u64) -> Request<'static> {
    let flags = Flags::RECURSE.with(Flags::CLIENT);
    Request { flags, cookie, ..Request::new(kind, target, CLIENT_ID) }
}

/// Sends one datagram as a thin client and returns the reply, by up to ten seconds later.
fn ask(net: &mut Net, at: usize, from: Endpoint, request: &Request<'_>) -> Vec<u8> {
    net.strays.clear();
    net.send(Datagram { from, to: net.endpoint(at), bytes: request.bytes() });
    let to_us = move |sent: &&Datagram| sent.to == from;
    net.run_until(10_000, |net| net.strays.iter().any(|sent| to_us(&sent)));
    let sent: Vec<&Datagram> = net.strays.iter().filter(to_us).collect();
    assert_eq!(sent.len(), 1, "one datagram, one reply");
    assert!(is_reply(&sent[0].bytes) && tx_id_of(&sent[0].bytes) == request.tx_id);
    sent[0].bytes.clone()
}

/// A cookie for the client at `from`.
fn cookie(net: &mut Net, at: usize, from: Endpoint) -> u64 {
    let ping = Request { flags: Flags::CLIENT, ..Request::new(Kind::Ping, CLIENT_ID, CLIENT_ID) };
    Message::parse(&ask(net, at, from, &ping)).unwrap().head.cookie.get()
}

#[test]
fn a_thin_client_finds_and_stores_with_one_datagram_after_the_cookie() {
    let mut net = Net::joined(1, Conditions::CALM, 60, &Config::default());
    let (by, client) = (7, endpoint("60.0.0.1:5000"));
    let cookie = cookie(&mut net, by, client);

    let target = net.rng.id();
    let reply = ask(&mut net, by, client, &by_recursion(Kind::FindNode, target, cookie));
    let Body::Contacts { contacts, .. } = Message::parse(&reply).unwrap().body else { panic!() };
    let found: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
    let by_id = net.id(by);
    let truth = net.sorted_by_distance(&target).into_iter().filter(|id| *id != by_id).take(20);
    assert_eq!(found, truth.collect::<Vec<Id>>());

    let value = b"from a thin client";
    let key = key_of_value(value);
    let record = Record::whole(Publisher::Immutable, 600, value).unwrap();
    let store = Request { record: Some(record), ..by_recursion(Kind::Store, key, cookie) };
    let reply = ask(&mut net, by, client, &store);
    let Body::StoreReply(body) = Message::parse(&reply).unwrap().body else { panic!() };
    assert_eq!(body.total.get(), 20, "acknowledgements");
    let holders = (0..60).filter(|at| net.node(*at).usage().values == 1).count();
    assert_eq!(holders, 20);

    let reply = ask(&mut net, by, client, &by_recursion(Kind::FindValue, key, cookie));
    let Body::Values { records, .. } = Message::parse(&reply).unwrap().body else { panic!() };
    assert_eq!(records.iter().map(|record| record.value).collect::<Vec<_>>(), [value]);
    assert!((0..60).all(|at| net.node(at).members().all(|peer| peer.id != CLIENT_ID)));
}

#[test]
fn a_thin_client_pages_through_values_that_do_not_fit_one_datagram() {
    let mut net = Net::joined(2, Conditions::CALM, 30, &Config::default());
    let key = key_of_string("crowded");
    for by in 1..=7 {
        let tail = PublisherKey::from_seed(&[by; 32]).sign(&key, 1, &[0; 16], &[by; 900]);
        let publisher = ValuePublisher::Signed(tail);
        let value = Value { publisher, remaining_s: 600, bytes: vec![by; 900] };
        net.run(0, Command::Put { key, value, cas: None });
    }
    // One that holds them, and one that has to look for them.
    let holds = |net: &Net, at: usize| net.node(at).usage().values > 0;
    for wanted in [true, false] {
        let by = (0..30).find(|at| holds(&net, *at) == wanted).unwrap();
        let client = endpoint("60.0.0.1:5000");
        let cookie = cookie(&mut net, by, client);
        let (mut cursor, mut found) = (0, Vec::new());
        for _ in 0..20 {
            let request = Request { cursor, ..by_recursion(Kind::FindValue, key, cookie) };
            let reply = ask(&mut net, by, client, &request);
            let message = Message::parse(&reply).unwrap();
            let Body::Values { records, .. } = message.body else { panic!() };
            for record in records.iter() {
                assert!(record.cursor >= cursor);
                cursor = record.cursor + 1;
                found.push(record.value[0]);
            }
            if !message.head.flags().has(Flags::MORE) {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7], "by one that holds them: {wanted}");
    }
}

#[test]
fn recursive_requests_from_spoofed_endpoints_begin_no_lookup() {
    let (mut solo, _) = Solo::with_contacts(3, Config::default(), 60);
    let mut rng = rng(33);
    let value = b"value";
    let record = Record::whole(Publisher::Immutable, 600, value).unwrap();
    for round in 0..10_000_u64 {
        let [_, a, b, c, ..] = rng.next_u64().to_be_bytes();
        let from = endpoint(&format!("70.{a}.{b}.{c}:5000"));
        let kind =
            [Kind::FindNode, Kind::FindValue, Kind::Store][usize::try_from(round % 3).unwrap()];
        // Half of them guess a cookie.
        let cookie = if round % 2 == 0 { 0 } else { rng.next_u64() };
        let request = Request { record: Some(record), ..by_recursion(kind, rng.id(), cookie) };
        let bytes = request.bytes();
        for sent in solo.hand(&from, &bytes) {
            let message = Message::parse(&sent.bytes).unwrap();
            assert!(matches!(message.body, Body::Fault(Fault::Cookie, _)), "round {round}");
            assert!(sent.to == from && sent.bytes.len() <= bytes.len());
        }
        assert_eq!(solo.node.operations(), 0, "round {round}");
    }
    let counters = solo.node.counters();
    assert_eq!(counters.refused(Refusal::Cookie), 10_000);
    assert_eq!(counters.requests_out.of(Kind::FindNode), 0);
}

#[test]
fn askers_of_one_target_share_a_lookup_and_all_are_answered() {
    let mut net = Net::joined(4, Conditions::CALM, 40, &Config::default());
    let target = net.rng.id();
    let clients: Vec<Endpoint> = (0..16).map(|at| endpoint(&format!("60.0.{at}.1:5000"))).collect();
    let cookies: Vec<u64> = clients.iter().map(|client| cookie(&mut net, 0, *client)).collect();
    net.strays.clear();
    net.conditions.delay_ms = (20, 20);
    for (client, cookie) in clients.iter().zip(&cookies) {
        let bytes = by_recursion(Kind::FindNode, target, *cookie).bytes();
        net.send(Datagram { from: *client, to: net.endpoint(0), bytes });
    }
    net.run_for(21);
    assert_eq!(net.node(0).operations(), 1);
    net.run_for(5_000);
    for client in &clients {
        let sent = net.strays.iter().filter(|sent| sent.to == *client);
        let reply =
            reply_of(sent.map(|sent| &sent.bytes[..]), by_recursion(Kind::Ping, target, 0).tx_id);
        assert!(matches!(reply.unwrap().body, Body::Contacts { .. }), "{client}");
    }
}

#[test]
fn more_recursions_than_allowed_are_refused() {
    let config = Config { recursions_max: 4, ..Config::default() };
    let (mut solo, _) = Solo::with_contacts(5, config, 30);
    let client = endpoint("60.0.0.1:5000");
    let cookie = solo.cookie(&client);
    let mut faults = 0;
    for target in 1..=10 {
        let sent =
            solo.hand(&client, &by_recursion(Kind::FindNode, Id([target; 20]), cookie).bytes());
        for reply in sent.iter().filter(|sent| sent.to == client) {
            let body = Message::parse(&reply.bytes).unwrap().body;
            assert!(
                matches!(body, Body::Fault(Fault::Recurse, detail) if detail.retry_ms.get() > 0)
            );
            faults += 1;
        }
    }
    assert_eq!((solo.node.operations(), faults), (4, 6));
    assert_eq!(solo.node.counters().refused(Refusal::Recurse), 6);
    // Nobody answers: they end, and the askers are told.
    let mut told = 0;
    for _ in 0..200 {
        let sent = solo.wait_ms(100);
        told += sent.iter().filter(|sent| sent.to == client && is_reply(&sent.bytes)).count();
    }
    assert_eq!((solo.node.operations(), told), (0, 4));
}

#[test]
fn what_a_node_stores_for_another_is_charged_to_that_one() {
    let store = Limits { source_bytes_max: 2 * Limits::cost(100), ..Limits::default() };
    let mut solo = Solo::new(6, Config { store, ..Config::default() });
    let client = endpoint("60.0.0.1:5000");
    let cookie = solo.cookie(&client);
    let mut answers = Vec::new();
    for number in 0..4 {
        let value = [number; 100];
        let record = Record::whole(Publisher::Immutable, 600, &value).unwrap();
        let key = key_of_value(&value);
        let request = Request { record: Some(record), ..by_recursion(Kind::Store, key, cookie) };
        let sent = solo.hand(&client, &request.bytes());
        answers.push(match Message::parse(&sent[0].bytes).unwrap().body {
            Body::StoreReply(_) => None,
            Body::Fault(fault, _) => Some(fault),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(answers, [None, None, Some(Fault::SourceFull), Some(Fault::SourceFull)]);
    let bytes = vec![9; 100];
    let key = key_of_value(&bytes);
    let value = Value { publisher: ValuePublisher::Immutable, remaining_s: 600, bytes };
    let put = Command::Put { key, value, cas: None };
    solo.node.begin(solo.now, put, &mut solo.tray).unwrap();
    let Some(kdht_core::Event::Done(report)) = solo.node.poll_event() else { panic!() };
    assert!(matches!(report.outcome, Outcome::Stored(stored) if stored.acknowledged == 1));
    assert_eq!(solo.node.usage().values, 3);
}
