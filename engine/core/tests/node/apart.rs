//! Signatures verified apart: the same answers as without, later, and never too many waiting.

use kdht_core::{
    Command, Config, Event, Limits, Outcome, PARKED_STORES_MAX, Refusal, ThrottleConfig, Value,
    ValuePublisher,
};
use kdht_store::PublisherKey;
use kdht_wire::{
    Body, Contact, Endpoint, Fault, Filter, Flags, Id, Kind, Message, Publisher, Record, StoreBody,
    key_of_string, key_of_value,
};

use crate::common::{
    Conditions, Datagram, Net, Reply, Request, Solo, endpoint, is_reply, rng, tx_id_of,
};

const CLIENT_ID: Id = Id([0xc1; 20]);

fn unthrottled(verify_apart: bool) -> Config {
    let throttle = ThrottleConfig { slots: 0, ..ThrottleConfig::default() };
    Config { verify_apart, throttle, ..Config::default() }
}

fn client() -> Endpoint {
    endpoint("60.0.0.1:5000")
}

fn signed(by: u8, key: &Id, sequence: u64, bytes: &[u8]) -> Value {
    let tail = PublisherKey::from_seed(&[by; 32]).sign(key, sequence, &[0; 16], bytes);
    Value { publisher: ValuePublisher::Signed(tail), remaining_s: 600, bytes: bytes.to_vec() }
}

fn forged(by: u8, key: &Id, sequence: u64, bytes: &[u8]) -> Value {
    let mut value = signed(by, key, sequence, bytes);
    value.bytes[0] ^= 1;
    value
}

fn store(key: Id, value: &Value, cookie: u64, tx_id: u64) -> Request<'_> {
    let store = Request::store(key, CLIENT_ID, value.record(), cookie);
    Request { tx_id, flags: Flags::CLIENT, ..store }
}

/// What a reply says: nothing if it is a success.
fn fault_in(reply: &Datagram) -> Option<Fault> {
    match Message::parse(&reply.bytes).unwrap().body {
        Body::Fault(fault, _) => Some(fault),
        _ => None,
    }
}

/// Hands in a request and does the jobs that it leads to.
fn ask(solo: &mut Solo, request: &Request<'_>) -> Vec<Datagram> {
    let mut sent = solo.hand(&client(), &request.bytes());
    for job in solo.jobs() {
        assert!(sent.is_empty(), "it does not answer before the verdict");
        sent.extend(solo.rule(job.verify()));
    }
    sent
}

#[test]
fn every_store_gets_the_reply_that_it_gets_where_nothing_is_apart() {
    let limits = Limits {
        bytes_max: 4 * Limits::cost(100),
        key_values_max: 2,
        value_len_max: 500,
        ..Limits::default()
    };
    let run = |verify_apart: bool| {
        let config = Config { store: limits, signatures_per_s: 9, ..unthrottled(verify_apart) };
        let mut solo = Solo::new(1, config);
        let cookie = solo.cookie(&client());
        let (here, there) = (key_of_string("here"), key_of_string("there"));
        let plain = Value {
            publisher: ValuePublisher::Plain(CLIENT_ID),
            remaining_s: 600,
            bytes: vec![1; 10],
        };
        let immutable = Value { publisher: ValuePublisher::Immutable, ..plain.clone() };
        let first = signed(1, &here, 5, &[1; 50]);
        let none = StoreBody::UNCONDITIONAL;
        let script: Vec<(Id, Value, u64, u64)> = vec![
            (here, first.clone(), none, 0),
            (here, first.clone(), none, cookie),
            // Held, so that it costs no signature.
            (here, first, none, cookie),
            (here, forged(1, &here, 6, &[2; 50]), none, cookie),
            (there, signed(1, &here, 6, &[2; 50]), none, cookie),
            (here, signed(1, &here, 4, &[2; 50]), none, cookie),
            (here, signed(1, &here, 6, &[2; 50]), 4, cookie),
            (here, signed(1, &here, 6, &[2; 50]), 5, cookie),
            (here, signed(2, &here, 1, &[3; 50]), none, cookie),
            (here, signed(3, &here, 1, &[3; 50]), none, cookie),
            (here, signed(2, &here, 2, &[3; 600]), none, cookie),
            (here, plain, none, cookie),
            (here, immutable.clone(), none, cookie),
            (key_of_value(&immutable.bytes), immutable, none, cookie),
            // The tenth signature of this second.
            (there, signed(4, &there, 1, &[4; 50]), none, cookie),
        ];
        let mut replies = Vec::new();
        for (tx_id, (key, value, cas, cookie)) in (1..).zip(&script) {
            let request = Request { cas: *cas, ..store(*key, value, *cookie, tx_id) };
            replies.push(ask(&mut solo, &request));
        }
        solo.node.drain(solo.now, &mut solo.tray);
        solo.wait_ms(5_000);
        replies.push(ask(&mut solo, &store(there, &signed(5, &there, 1, &[5; 9]), cookie, 99)));
        let counters = solo.node.counters();
        assert_eq!(solo.node.parked(), 0);
        assert_eq!(solo.node.parked_max(), usize::from(verify_apart));
        let refusals = Refusal::NAMED.map(|(reason, name)| (name, counters.refused(reason)));
        let replies: Vec<Vec<u8>> = replies.into_iter().flatten().map(|sent| sent.bytes).collect();
        (replies, refusals, counters.signatures_verified, solo.node.usage())
    };
    let (here, apart) = (run(false), run(true));
    assert_eq!(here, apart);
    assert_eq!(here.2, 9);
    let told: Vec<Option<Fault>> = here
        .0
        .iter()
        .map(|bytes| match Message::parse(bytes).unwrap().body {
            Body::Fault(fault, _) => Some(fault),
            _ => None,
        })
        .collect();
    let wanted = [
        Fault::Cookie,
        Fault::Signature,
        Fault::Sequence,
        Fault::Cas,
        Fault::TooLong,
        Fault::Plain,
        Fault::Hash,
        Fault::KeyFull,
        Fault::Busy,
        Fault::Draining,
    ];
    for fault in wanted {
        assert!(told.contains(&Some(fault)), "{fault:?} is not in {told:?}");
    }
    assert!(told.iter().filter(|fault| fault.is_none()).count() >= 4, "{told:?}");
}

#[test]
fn each_store_gets_its_own_verdict_in_whatever_order_verdicts_come() {
    for seed in 0..20 {
        let mut rng = rng(seed);
        let mut solo = Solo::new(seed, unthrottled(true));
        let cookie = solo.cookie(&client());
        let mut is_good = Vec::new();
        for at in 0..100_u64 {
            let key = rng.id();
            is_good.push(rng.below(2) == 0);
            let make = if is_good[is_good.len() - 1] { signed } else { forged };
            let value = make(1, &key, 1, &at.to_le_bytes());
            assert!(solo.hand(&client(), &store(key, &value, cookie, at).bytes()).is_empty());
        }
        let mut jobs = solo.jobs();
        assert_eq!((jobs.len(), solo.node.parked()), (100, 100), "seed {seed}");
        while !jobs.is_empty() {
            let at = usize::try_from(rng.below(jobs.len() as u64)).unwrap();
            let sent = solo.rule(jobs.swap_remove(at).verify());
            let [reply] = &sent[..] else { panic!("seed {seed}: {} replies", sent.len()) };
            let number = usize::try_from(tx_id_of(&reply.bytes)).unwrap();
            let wanted = (!is_good[number]).then_some(Fault::Signature);
            assert_eq!(fault_in(reply), wanted, "seed {seed}, STORE {number}");
            assert_eq!(solo.node.parked(), jobs.len(), "seed {seed}");
        }
        let good = is_good.iter().filter(|good| **good).count();
        assert_eq!(usize::try_from(solo.node.usage().values).unwrap(), good, "seed {seed}");
        assert_eq!(solo.node.poll_timeout().filter(|at| *at <= solo.now.mono), None);
    }
}

#[test]
fn a_flood_of_stores_is_parked_up_to_a_bound_and_find_node_is_served_at_once() {
    let (mut solo, _) = Solo::with_contacts(2, unthrottled(true), 40);
    let cookie = solo.cookie(&client());
    let key = key_of_string("flooded");
    let value = forged(1, &key, 1, b"junk");
    let mut busy = 0;
    for tx_id in 0..1_000 {
        let sent = solo.hand(&client(), &store(key, &value, cookie, tx_id).bytes());
        for reply in &sent {
            assert_eq!(fault_in(reply), Some(Fault::Busy));
            busy += 1;
        }
        let find = Request { flags: Flags::CLIENT, ..Request::new(Kind::FindNode, key, CLIENT_ID) };
        let find = Request { cookie, ..find };
        let found = solo.hand(&client(), &find.bytes());
        let body = Message::parse(&found[0].bytes).unwrap().body;
        assert!(matches!(body, Body::Contacts { contacts, .. } if contacts.len() == 20));
    }
    assert_eq!((solo.node.parked(), busy), (PARKED_STORES_MAX, 1_000 - PARKED_STORES_MAX));
    assert_eq!(solo.node.counters().signatures_refused, busy as u64);

    // Nobody works on them: they are given up, and a verdict later finds nothing.
    assert!(solo.node.poll_timeout().unwrap() <= solo.now.mono.plus_ms(2_000));
    assert!(solo.wait_ms(1_900).iter().all(|sent| sent.to != client()));
    let sent = solo.wait_ms(100);
    let told: Vec<&Datagram> = sent.iter().filter(|sent| sent.to == client()).collect();
    assert_eq!(told.len(), PARKED_STORES_MAX);
    assert!(told.iter().all(|reply| fault_in(reply) == Some(Fault::Busy)));
    assert_eq!((solo.node.parked(), solo.node.usage().values), (0, 0));
    let jobs = solo.jobs();
    assert_eq!(jobs.len(), PARKED_STORES_MAX);
    for job in jobs {
        assert!(solo.rule(job.verify()).is_empty());
    }
    assert_eq!(solo.node.counters().refused(Refusal::Signature), 0);

    // There is room again.
    let value = signed(1, &key, 1, b"good");
    let sent = ask(&mut solo, &store(key, &value, cookie, 7));
    assert!(sent.len() == 1 && fault_in(&sent[0]).is_none());
}

#[test]
fn jobs_that_nobody_takes_do_not_pile_up() {
    let mut solo = Solo::new(3, unthrottled(true));
    let key = key_of_string("unattended");
    let value = signed(1, &key, 1, b"value");
    for _ in 0..10 {
        let cookie = solo.cookie(&client());
        for tx_id in 0..300 {
            solo.hand(&client(), &store(key, &value, cookie, tx_id).bytes());
        }
        solo.wait_ms(2_000);
        assert_eq!(solo.node.parked(), 0);
    }
    assert_eq!(solo.jobs().len(), PARKED_STORES_MAX);
}

#[test]
fn a_refused_job_is_a_busy_store_and_a_node_that_leaves_meanwhile_stores_nothing() {
    let mut solo = Solo::new(4, unthrottled(true));
    let cookie = solo.cookie(&client());
    let key = key_of_string("key");
    let value = signed(1, &key, 1, b"value");
    for (is_leaving, wanted) in [(false, Fault::Busy), (true, Fault::Draining)] {
        assert!(solo.hand(&client(), &store(key, &value, cookie, 1).bytes()).is_empty());
        let job = solo.jobs().remove(0);
        let sent = if is_leaving {
            solo.node.drain(solo.now, &mut solo.tray);
            solo.rule(job.verify())
        } else {
            solo.rule(job.refuse())
        };
        assert_eq!(sent.iter().map(fault_in).collect::<Vec<_>>(), [Some(wanted)]);
        assert_eq!(solo.node.usage().values, 0);
    }
}

/// A node with one contact, which it asks for `key`; the contact's reply brings `values`.
fn looking(key: Id, contacts: usize, verify_apart: bool) -> (Solo, Vec<Datagram>) {
    let (mut solo, _) = Solo::with_contacts(5, unthrottled(verify_apart), contacts);
    let find = Command::FindValue { key, filter: Filter::Any, values_max: 8, holders: 1 };
    solo.node.begin(solo.now, find, &mut solo.tray).unwrap();
    let asked = solo.wait_ms(1);
    let is_find = |sent: &Datagram| sent.bytes[3] == Kind::FindValue as u8;
    (solo, asked.into_iter().filter(is_find).collect())
}

/// Answers `asked` as the contact it went to.
fn answer(solo: &mut Solo, known: &[Contact], asked: &Datagram, values: &[Value]) {
    let id = known.iter().find(|contact| contact.endpoint == asked.to).unwrap().id;
    let records: Vec<Record<'_>> = values.iter().map(Value::record).collect();
    let total = u16::try_from(values.len()).unwrap();
    let reply = Reply { total, records: &records, ..Reply::default() };
    let bytes = reply.bytes(&asked.bytes, id, endpoint("9.9.9.9:9"));
    solo.hand(&asked.to, &bytes);
}

fn outcome(solo: &mut Solo) -> Option<Outcome> {
    match solo.node.poll_event()? {
        Event::Done(report) => Some(report.outcome),
        other => panic!("{other:?}"),
    }
}

fn found(solo: &mut Solo) -> Option<Vec<Value>> {
    match outcome(solo)? {
        Outcome::Values { values, .. } => Some(values),
        _ => Some(Vec::new()),
    }
}

fn contacts_of(solo: &Solo) -> Vec<Contact> {
    solo.node.good_contacts().collect()
}

#[test]
fn a_lookup_takes_of_a_reply_what_it_takes_where_nothing_is_apart() {
    let key = key_of_string("found");
    let immutable =
        Value { publisher: ValuePublisher::Immutable, remaining_s: 9, bytes: b"no".to_vec() };
    let cases: [Vec<Value>; 4] = [
        vec![forged(1, &key, 1, b"a"), signed(2, &key, 1, b"b"), forged(3, &key, 1, b"c")],
        vec![signed(1, &key, 1, b"a"), immutable.clone(), signed(2, &key, 1, b"b")],
        vec![immutable, forged(1, &key, 1, b"a")],
        vec![signed(1, &key_of_string("another"), 1, b"a")],
    ];
    for (case, values) in cases.iter().enumerate() {
        let run = |verify_apart: bool| {
            let (mut solo, asked) = looking(key, 1, verify_apart);
            let known = contacts_of(&solo);
            answer(&mut solo, &known, &asked[0], values);
            let at_once = found(&mut solo);
            assert_eq!(at_once.is_none(), verify_apart, "it waits for the verdict");
            for job in solo.jobs() {
                solo.rule(job.verify());
            }
            let counters = *solo.node.counters();
            (
                at_once.or_else(|| found(&mut solo)).unwrap(),
                counters.values_unproven,
                counters.signatures_verified,
            )
        };
        assert_eq!(run(false), run(true), "case {case}");
    }
}

#[test]
fn another_holders_value_is_not_lost_to_a_forgery_that_waits_for_its_verdict() {
    let key = key_of_string("contested");
    let (mut solo, asked) = looking(key, 2, true);
    let known = contacts_of(&solo);
    answer(&mut solo, &known, &asked[0], &[forged(1, &key, 1, b"a")]);
    answer(&mut solo, &known, &asked[1], &[signed(2, &key, 1, b"b")]);
    assert!(found(&mut solo).is_none());
    for job in solo.jobs() {
        solo.rule(job.verify());
    }
    assert_eq!(found(&mut solo).unwrap(), [signed(2, &key, 1, b"b")]);
    assert_eq!((solo.node.parked(), solo.node.operations()), (0, 0));
}

#[test]
fn a_lookups_refused_job_is_done_by_the_node_and_a_lost_one_ends_like_a_lost_reply() {
    let key = key_of_string("contested");
    let (mut solo, asked) = looking(key, 1, true);
    let known = contacts_of(&solo);
    answer(&mut solo, &known, &asked[0], &[signed(2, &key, 1, b"b")]);
    let job = solo.jobs().remove(0);
    solo.rule(job.refuse());
    assert_eq!(found(&mut solo).unwrap(), [signed(2, &key, 1, b"b")]);

    let (mut solo, asked) = looking(key, 1, true);
    answer(&mut solo, &known, &asked[0], &[signed(2, &key, 1, b"b")]);
    let job = solo.jobs().remove(0);
    solo.wait_ms(1_999);
    assert!(outcome(&mut solo).is_none());
    solo.wait_ms(2);
    assert!(matches!(outcome(&mut solo), Some(Outcome::Unanswered)));
    assert!(solo.rule(job.verify()).is_empty());
    assert_eq!((solo.node.parked(), solo.node.operations()), (0, 0));
}

#[test]
fn a_network_that_verifies_apart_stores_and_finds_what_one_does_that_verifies_at_once() {
    let run = |verify_apart: bool| {
        let config = Config { verify_apart, ..Config::default() };
        let mut net = Net::joined(6, Conditions::ROUGH, 30, &config);
        net.conditions = Conditions::CALM;
        let key = key_of_string("shared");
        for by in 1..=6 {
            let value = signed(by, &key, 1, &[by; 700]);
            let report = net.run(0, Command::Put { key, value, cas: None });
            let Outcome::Stored(stored) = report.outcome else { panic!() };
            assert_eq!((stored.acknowledged, stored.refused), (20, 0), "apart: {verify_apart}");
        }
        let older = signed(1, &key, 0, b"older");
        let report = net.run(3, Command::Put { key, value: older, cas: None });
        let Outcome::Stored(stored) = report.outcome else { panic!() };
        assert_eq!((stored.acknowledged, stored.fault), (0, Some(Fault::Sequence)));
        let mut seen = Vec::new();
        for at in 0..30 {
            let find = Command::FindValue { key, filter: Filter::Any, values_max: 64, holders: 1 };
            let Outcome::Values { mut values, .. } = net.run(at, find).outcome else { panic!() };
            values.sort_by(|l, r| l.bytes.cmp(&r.bytes));
            seen.push(values.into_iter().map(|value| value.bytes).collect::<Vec<_>>());
        }
        net.run_for(3_000);
        assert!((0..30).all(|at| net.node(at).parked() == 0 && net.node(at).operations() == 0));
        let waited = (0..30).map(|at| net.node(at).parked_max()).max().unwrap();
        assert_eq!(waited > 0, verify_apart);
        seen
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_put_by_recursion_costs_its_node_one_signature_and_is_done_when_that_is_proven() {
    for verify_apart in [false, true] {
        let config = Config { verify_apart, ..Config::default() };
        // All are among the closest, so that the node asked keeps the value, too.
        let mut net = Net::joined(7, Conditions::CALM, 10, &config);
        let from = client();
        let key = key_of_string("by another");
        for (value, fault) in [
            (forged(1, &key, 1, b"forged"), Some(Fault::Signature)),
            (signed(1, &key, 1, b"signed"), None),
        ] {
            let ping = Request::new(Kind::Ping, CLIENT_ID, CLIENT_ID);
            let ping = Request { flags: Flags::CLIENT, ..ping };
            let cookie = Message::parse(&exchange(&mut net, from, &ping)).unwrap().head.cookie;
            let request = store(key, &value, cookie.get(), 5);
            let request = Request { flags: Flags::CLIENT.with(Flags::RECURSE), ..request };
            let before = net.node(0).counters().signatures_verified;
            let reply = exchange(&mut net, from, &request);
            match (Message::parse(&reply).unwrap().body, fault) {
                (Body::StoreReply(body), None) => assert_eq!(body.total.get(), 10),
                (Body::Fault(told, _), Some(fault)) => assert_eq!(told, fault),
                (other, _) => panic!("{other:?}"),
            }
            assert_eq!(net.node(0).counters().signatures_verified - before, 1);
        }
        assert!((0..10).all(|at| net.node(at).usage().values == 1), "apart: {verify_apart}");
    }
}

/// Sends a request to node 0 and returns the reply, by up to ten seconds later.
fn exchange(net: &mut Net, from: Endpoint, request: &Request<'_>) -> Vec<u8> {
    net.strays.clear();
    net.send(Datagram { from, to: net.endpoint(0), bytes: request.bytes() });
    let is_answer = move |sent: &&Datagram| sent.to == from && is_reply(&sent.bytes);
    net.run_until(10_000, |net| net.strays.iter().any(|sent| is_answer(&sent)));
    net.strays.iter().find(is_answer).expect("a reply").bytes.clone()
}

#[test]
fn a_plain_publishers_record_is_never_parked() {
    let config = Config { accept_plain: true, ..unthrottled(true) };
    let mut solo = Solo::new(8, config);
    let cookie = solo.cookie(&client());
    let key = key_of_string("plain");
    let record = Record::whole(Publisher::Plain(&CLIENT_ID), 60, b"plain").unwrap();
    let sent = solo.hand(&client(), &Request::store(key, CLIENT_ID, record, cookie).bytes());
    assert!(sent.iter().any(|sent| is_reply(&sent.bytes) && fault_in(sent).is_none()));
    assert!(solo.jobs().is_empty() && solo.node.parked_max() == 0);
}
