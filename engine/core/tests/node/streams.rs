//! Values that no datagram carries: put, found, fetched and handed over by TCP.

use kdht_core::{
    Command, CommandError, Config, Event, Outcome, Refusal, Report, Request as Ask, Stored,
    StreamServed, Value, ValuePublisher,
};
use kdht_store::PublisherKey;
use kdht_wire::{
    Body, Contact, Endpoint, Fault, Filter, Flags, Id, KeyRing, Kind, Message, NetworkKey,
    Publisher, Record, STREAM_LEN_MAX, VALUE_LEN_MAX, key_of_string, key_of_value,
};

use crate::common::{Conditions, Datagram, Net, Reply, Request, Solo, endpoint, is_reply, rng};

const K: u8 = 4;

fn config() -> Config {
    Config { k: K, ..Config::default() }
}

fn bytes_of(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ salt).collect()
}

fn immutable(len: usize, salt: u8) -> (Id, Value) {
    let bytes = bytes_of(len, salt);
    let publisher = ValuePublisher::Immutable;
    (key_of_value(&bytes), Value { publisher, remaining_s: 3_600, bytes })
}

fn signed(by: u8, key: &Id, sequence: u64, len: usize) -> Value {
    let bytes = bytes_of(len, by);
    let tail = PublisherKey::from_seed(&[by; 32]).sign(key, sequence, &[0; 16], &bytes);
    Value { publisher: ValuePublisher::Signed(tail), remaining_s: 3_600, bytes }
}

fn get(key: Id, values_max: u16) -> Command {
    Command::FindValue { key, filter: Filter::Any, values_max, holders: 1 }
}

fn stored(report: &Report) -> Stored {
    match report.outcome {
        Outcome::Stored(stored) => stored,
        ref other => panic!("{other:?}"),
    }
}

fn values(report: &Report) -> Vec<&[u8]> {
    match &report.outcome {
        Outcome::Values { values, .. } => values.iter().map(|v| &v.bytes[..]).collect(),
        other => panic!("{other:?}"),
    }
}

/// Nodes that hold anything.
fn holders(net: &Net) -> Vec<usize> {
    (0..net.len()).filter(|at| net.is_alive(*at) && net.node(*at).usage().values > 0).collect()
}

#[test]
fn a_large_value_is_put_at_the_k_closest_and_found_from_everywhere() {
    let mut net = Net::joined(1, Conditions::CALM, 16, &config());
    let name = key_of_string("large and signed");
    let of_hash = immutable(VALUE_LEN_MAX, 1);
    for (key, value) in [of_hash, (name, signed(2, &name, 1, 1_001))] {
        let put = Command::Put { key, value: value.clone(), cas: None };
        let put = stored(&net.run(3, put));
        let k = u16::from(K);
        assert_eq!((put.asked, put.acknowledged, put.refused), (k, k, 0));
        for at in 0..16 {
            let report = net.run(at, get(key, 1));
            assert_eq!(values(&report), [&value.bytes[..]], "node {at}");
        }
        net.run_for(1_000);
        let closest = net.sorted_by_distance(&key);
        let held = |net: &Net, at: usize| net.node(at).usage().values;
        let copies: u32 = (0..16).map(|at| held(&net, at)).sum();
        let expected = if key == name { 2 * u32::from(K) } else { u32::from(K) };
        assert_eq!(copies, expected, "large values are not cached");
        for id in &closest[..usize::from(K)] {
            let at = (0..16).find(|at| net.id(*at) == *id).unwrap();
            assert!(held(&net, at) > 0, "node {at} is one of the closest");
        }
    }
}

#[test]
fn several_large_values_under_one_key_are_all_fetched_beside_small_ones() {
    let config = Config {
        store: kdht_core::Limits { key_bytes_max: 8 << 20, ..kdht_core::Limits::default() },
        ..config()
    };
    let mut net = Net::joined(2, Conditions::CALM, 10, &config);
    let key = key_of_string("crowded");
    let lens = [10, 1_001, 300_000, 900, VALUE_LEN_MAX];
    for (by, len) in (1..).zip(lens) {
        let value = signed(by, &key, 1, len);
        let put = stored(&net.run(0, Command::Put { key, value, cas: None }));
        assert_eq!(put.acknowledged, u16::from(K), "{len} bytes: {:?}", put.fault);
    }
    for at in 0..10 {
        let report = net.run(at, get(key, 64));
        let mut found: Vec<usize> = values(&report).iter().map(|bytes| bytes.len()).collect();
        found.sort_unstable();
        let mut wanted = lens;
        wanted.sort_unstable();
        assert_eq!(found, wanted, "node {at}");
        assert_eq!(values(&net.run(at, get(key, 2))).len(), 2);
    }
}

#[test]
fn many_large_puts_at_once_wait_for_their_turn_and_all_arrive() {
    let mut net = Net::joined(3, Conditions::CALM, 12, &Config { k: 8, ..Config::default() });
    // The network asserts that no more is in flight at one node than may be.
    let begun: Vec<_> = (0..12)
        .map(|salt| {
            let (key, value) = immutable(700_000, salt);
            net.begin(5, Command::Put { key, value, cas: None })
        })
        .collect();
    net.run_until(120_000, |net| begun.iter().all(|done| net.report(5, *done).is_some()));
    for done in begun {
        let put = stored(net.report(5, done).expect("done"));
        let refused = u16::from(put.fault == Some(Fault::SourceFull)) * put.refused;
        assert_eq!(put.acknowledged + refused, 8, "{put:?}");
        assert!(put.acknowledged > 0);
    }
    assert!(net.streams.count > 12);
}

#[test]
fn a_node_that_leaves_hands_its_large_values_over() {
    let mut net = Net::joined(4, Conditions::CALM, 12, &config());
    let keys: Vec<Id> = (0..6)
        .map(|salt| {
            let (key, value) = immutable(400_000, salt);
            assert_eq!(stored(&net.run(1, Command::Put { key, value, cas: None })).refused, 0);
            key
        })
        .collect();
    let leaver = (0..12).max_by_key(|at| net.node(*at).usage().values).unwrap();
    let held = net.node(leaver).usage().values;
    net.with(leaver, |node, now, tray| node.drain(now, tray));
    net.run_for(60_000);
    let drained = net.events(leaver).into_iter().find(|e| matches!(e, Event::Drained { .. }));
    assert!(matches!(drained, Some(Event::Drained { handed, kept: 0 }) if handed == held));
    net.kill(leaver);
    for key in keys {
        let from = (0..12).find(|at| *at != leaver).unwrap();
        assert_eq!(values(&net.run(from, get(key, 1)))[0].len(), 400_000);
        let copies = holders(&net).len();
        assert!(copies >= usize::from(K), "{copies}");
    }
}

#[test]
fn a_single_store_and_a_single_find_value_go_by_tcp_where_they_must() {
    for keys in [KeyRing::OPEN, KeyRing::new(NetworkKey { id: 3, secret: [7; 16] }, None)] {
        let config = Config { keys, ..config() };
        let mut net = Net::joined(5, Conditions::CALM, 8, &config);
        let client = net.add(Config { client: true, ..config });
        let (key, value) = immutable(200_000, 9);
        let (endpoint, id) = (net.endpoint(2), Some(net.id(2)));
        let request = Ask::Store { key, value: value.clone(), cas: None };
        let ask = |request, recurse| Command::Ask { endpoint, id, request, recurse };
        let report = net.run(client, ask(request, false));
        let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
        assert!(matches!(Message::parse(&bytes).unwrap().body, Body::StoreReply(_)));
        assert_eq!(holders(&net), [2]);
        let find = || Ask::FindValue { key, filter: Filter::Any, cursor: 0 };
        let report = net.run(client, ask(find(), false));
        assert_eq!(report.messages, 2, "by datagram it was announced");
        let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
        let Body::Values { records, .. } = Message::parse_stream(&bytes).unwrap().body else {
            panic!("no values")
        };
        assert_eq!(records.iter().next().unwrap().value, value.bytes);
    }
}

#[test]
fn a_thin_client_stores_and_finds_large_values_by_recursion() {
    let mut net = Net::joined(6, Conditions::CALM, 16, &config());
    let client = net.add(Config { client: true, ..config() });
    let (key, value) = immutable(VALUE_LEN_MAX, 3);
    let wanted = value.bytes.clone();
    let closest = net.sorted_by_distance(&key);
    let far = (0..16).max_by_key(|at| net.id(*at).distance(&key)).unwrap();
    assert!(!closest[..usize::from(K)].contains(&net.id(far)));
    let (endpoint, id) = (net.endpoint(far), Some(net.id(far)));
    let ask = |request| Command::Ask { endpoint, id, request, recurse: true };
    let report = net.run(client, ask(Ask::Store { key, value, cas: None }));
    let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
    let Body::StoreReply(reply) = Message::parse(&bytes).unwrap().body else { panic!() };
    assert_eq!(reply.total.get(), u16::from(K));
    let before = net.streams.count;
    let find = Ask::FindValue { key, filter: Filter::Any, cursor: 0 };
    let report = net.run(client, ask(find));
    let Outcome::Reply { bytes, .. } = report.outcome else { panic!("no reply") };
    let Body::Values { records, .. } = Message::parse_stream(&bytes).unwrap().body else {
        panic!("no values")
    };
    assert_eq!(records.iter().next().unwrap().value, wanted);
    assert_eq!(net.streams.count - before, 2, "the client's and one fetch; none for a datagram");
}

#[test]
fn a_holder_without_tcp_costs_no_value() {
    let mut net = Net::joined(7, Conditions::CALM, 12, &config());
    let (key, value) = immutable(50_000, 4);
    net.run(0, Command::Put { key, value, cas: None });
    let holders = holders(&net);
    // Whoever is asked first does not serve by TCP: the lookup goes on with the others.
    net.streams.closed = holders[..2].to_vec();
    for at in (0..12).filter(|at| !holders.contains(at)) {
        let report = net.run(at, get(key, 1));
        assert_eq!(values(&report)[0].len(), 50_000, "node {at}");
    }
    let (key, value) = immutable(50_000, 5);
    net.streams.closed = (0..12).collect();
    let put = stored(&net.run(11, Command::Put { key, value, cas: None }));
    let own = u16::from(net.sorted_by_distance(&key)[..usize::from(K)].contains(&net.id(11)));
    assert_eq!((put.asked, put.acknowledged, put.refused), (u16::from(K), own, 0));
    assert_eq!(net.node(11).operations(), 0);
}

/// Nodes that hold a large value, and a stranger closer to its key that announces what `lie`
/// then sends by TCP.
fn net_with_liar(
    seed: u64,
    key: &Id,
    announced: Value,
    mut lie: impl FnMut(&[u8], Id, Endpoint) -> Option<Vec<u8>> + 'static,
) -> Net {
    // One request at a time, so that the liar, who is closest, is asked first.
    let config = Config { alpha: 1, ..config() };
    let mut net = Net::joined(seed, Conditions::CALM, 12, &config);
    let liar = Contact::new(key.with_bit(159, !key.bit(159)), endpoint("30.0.0.1:4000"));
    net.answer_strays(move |sent| {
        if is_reply(&sent.bytes) {
            return Vec::new();
        }
        let records = [announced.record().announced()];
        let reply = match Message::parse(&sent.bytes).unwrap().body {
            Body::FindValue(_) => Reply { total: 1, records: &records, ..Reply::default() },
            _ => Reply::default(),
        };
        let bytes = reply.bytes(&sent.bytes, liar.id, sent.from);
        vec![Datagram { from: sent.to, to: sent.from, bytes }]
    });
    net.streams.stranger = Some(Box::new(move |ask| {
        let body = Message::parse_stream(&ask.bytes).unwrap().body;
        let is_find = matches!(body, Body::FindValue(_));
        is_find.then(|| lie(&ask.bytes, liar.id, ask.endpoint)).flatten()
    }));
    let ping = Request::hello(liar.id).bytes();
    let to = net.endpoint(0);
    net.send(Datagram { from: liar.endpoint, to, bytes: ping });
    net.run_for(3_000);
    net
}

#[test]
fn a_liar_by_tcp_is_not_believed_and_the_lookup_goes_on() {
    let key = key_of_string("contested");
    type Lie = fn(&[u8], Id, Endpoint) -> Option<Vec<u8>>;
    let nothing: Lie = |_, _, _| None;
    let noise: Lie = |_, _, _| Some(vec![0x4b; 5_000]);
    let forged: Lie = |asked, id, from| {
        let bytes = vec![1; 1_200];
        let value = signed(1, &key_of_string("contested"), 7, 2_000);
        let record = Record { value: &bytes, value_len: 1_200, ..value.record() };
        // A reply of the test's is laid out as a datagram; this one is too long for that.
        let reply = Reply { total: 1, ..Reply::default() }.bytes(asked, id, from);
        let mut out = vec![0; reply.len() + record.wire_len()];
        let head = *Message::parse(&reply).unwrap().head;
        let mut emit = kdht_wire::Emit::stream(&mut out, head, None).unwrap();
        emit.head().arg = 0;
        emit.body(&kdht_wire::ReplyBody { observed: from, total: 1.into() }).unwrap();
        emit.record(&record).unwrap();
        let len = emit.finish();
        out.truncate(len);
        Some(out)
    };
    let announced_again: Lie = |asked, id, from| {
        let value = signed(1, &key_of_string("contested"), 7, 2_000);
        let records = [value.record().announced()];
        Some(Reply { total: 1, records: &records, ..Reply::default() }.bytes(asked, id, from))
    };
    for (seed, lie, unproven) in
        [(8, nothing, 0), (9, noise, 0), (10, forged, 1), (11, announced_again, 1)]
    {
        let honest = signed(2, &key, 1, 30_000);
        let liar = key.with_bit(159, !key.bit(159));
        // A network in which node 0 holds no copy itself, and has room for the liar.
        let mut nets = (0..30).map(|at| {
            let announced = signed(1, &key, 7, 2_000);
            let mut net = net_with_liar(100 * seed + at, &key, announced, lie);
            net.run(5, Command::Put { key, value: honest.clone(), cas: None });
            net
        });
        let knows = |net: &Net| net.node(0).good_contacts().any(|c| c.id == liar);
        let mut net = nets.find(|net| knows(net) && !holders(net).contains(&0)).unwrap();
        let before = net.streams.count;
        let report = net.run(0, get(key, 1));
        assert_eq!(values(&report)[0].len(), 30_000, "seed {seed}");
        assert!(net.streams.count - before >= 2, "seed {seed}: the liar was asked first");
        assert_eq!(net.node(0).counters().values_unproven, unproven, "seed {seed}");
    }
}

#[test]
fn a_large_value_that_does_not_prove_itself_is_stored_by_nobody() {
    let mut net = Net::joined(12, Conditions::CALM, 8, &config());
    let client = net.add(Config { client: true, ..config() });
    net.join(client, &[0]);
    net.run_until(60_000, |net| net.has_joined(client));
    let (_, value) = immutable(10_000, 1);
    let key = key_of_string("not its hash");
    let put = stored(&net.run(client, Command::Put { key, value, cas: None }));
    assert_eq!((put.acknowledged, put.refused, put.fault), (0, u16::from(K), Some(Fault::Hash)));
    let mut forged = signed(1, &key, 1, 10_000);
    forged.bytes[77] ^= 1;
    let put = stored(&net.run(client, Command::Put { key, value: forged, cas: None }));
    assert_eq!((put.acknowledged, put.fault), (0, Some(Fault::Signature)));
    let plain = ValuePublisher::Plain(net.id(client));
    let value = Value { publisher: plain, remaining_s: 60, bytes: vec![0; 5_000] };
    let put = stored(&net.run(client, Command::Put { key, value, cas: None }));
    assert_eq!((put.acknowledged, put.fault), (0, Some(Fault::Plain)));
    assert!(holders(&net).is_empty());
}

#[test]
fn a_value_longer_than_any_is_refused_before_it_is_begun() {
    let mut net = Net::joined(13, Conditions::CALM, 3, &config());
    let (key, value) = immutable(VALUE_LEN_MAX + 1, 1);
    let put = Command::Put { key, value, cas: None };
    let error = net.with(0, |node, now, tray| node.begin(now, put, tray)).unwrap_err();
    let (len, max) = (VALUE_LEN_MAX + 1, VALUE_LEN_MAX);
    assert_eq!(error, CommandError::ValueTooLong { len, max });
}

#[test]
fn a_store_by_datagram_of_more_than_a_datagram_s_value_is_too_long() {
    let mut solo = Solo::new(14, config());
    let from = endpoint("70.0.0.1:5000");
    let value = bytes_of(1_001, 1);
    let record = Record::whole(Publisher::Immutable, 60, &value).unwrap();
    let cookie = solo.cookie(&from);
    let store = Request::store(key_of_value(&value), Id([1; 20]), record, cookie);
    let sent = solo.hand(&from, &store.bytes());
    let Body::Fault(fault, _) = Message::parse(&sent[0].bytes).unwrap().body else { panic!() };
    assert_eq!(fault, Fault::TooLong);
    assert_eq!(solo.node.counters().refused(Refusal::TooLong), 1);
}

#[test]
fn a_reply_fills_a_message_with_whole_values_and_says_that_more_are_there() {
    let limits = kdht_core::Limits { key_bytes_max: 8 << 20, ..kdht_core::Limits::default() };
    let mut net = Net::new(15, Conditions::CALM);
    let at = net.add(Config { store: limits, ..config() });
    let (key, peer) = (key_of_string("much"), endpoint("70.0.0.1:5000"));
    for by in 1..=3 {
        let value = signed(by, &key, 1, 400_000);
        let store = Request::store(key, Id([1; 20]), value.record(), 0);
        let (served, reply) = net.hand_stream(at, 1, peer, &store.stream_bytes(), &KeyRing::OPEN);
        assert_eq!(served, StreamServed::Answered);
        assert!(matches!(Message::parse(&reply).unwrap().body, Body::StoreReply(_)));
    }
    let mut cursor = 0;
    for (here, more) in [(2, true), (1, false)] {
        let find = Request { cursor, ..Request::new(Kind::FindValue, key, Id([1; 20])) };
        let (_, reply) = net.hand_stream(at, 1, peer, &find.stream_bytes(), &KeyRing::OPEN);
        assert!(reply.len() <= STREAM_LEN_MAX);
        let message = Message::parse_stream(&reply).unwrap();
        let Body::Values { reply: body, records } = &message.body else { panic!("no values") };
        assert_eq!((body.total.get(), records.count()), (3, here));
        assert!(records.iter().all(|record| record.value.len() == 400_000));
        assert_eq!(message.head.flags().has(Flags::MORE), more);
        cursor = records.iter().last().unwrap().cursor + 1;
    }
    assert_eq!(net.node(at).counters().datagrams_out, 0, "replies by TCP are no datagrams");
    assert_eq!(net.node(at).members().count(), 0, "a connection's other end is no contact");
}

#[test]
fn bytes_by_tcp_are_refused_for_the_same_reasons_as_datagrams() {
    let keys = KeyRing::new(NetworkKey { id: 3, secret: [7; 16] }, None);
    let mut net = Net::new(16, Conditions::CALM);
    let at = net.add(config());
    let keyed = net.add(Config { keys, ..config() });
    let (key, value) = immutable(5_000, 1);
    let store = Request::store(key, Id([1; 20]), value.record(), 0);
    let reply = Request { flags: Flags::REPLY, ..Request::new(Kind::Ping, key, Id([1; 20])) };
    let own = Request::new(Kind::Ping, key, net.id(at));
    let mut version = store.stream_bytes();
    version[2] = 9;
    let mut length = store.stream_bytes();
    length.pop();
    let sound = store.stream_bytes();
    for (to, bytes, refusal, is_answered) in [
        (at, vec![0; 10], Refusal::Short, false),
        (at, vec![0; STREAM_LEN_MAX + 1], Refusal::Oversize, false),
        (at, vec![0x4b; 100], Refusal::Magic, false),
        (at, version, Refusal::Version, true),
        (at, length, Refusal::Length, true),
        (at, own.bytes(), Refusal::OwnId, false),
        (at, [&reply.bytes()[..], &[]].concat(), Refusal::Body, false),
        (keyed, sound, Refusal::MacMissing, false),
    ] {
        let before = net.node(to).counters().refused(refusal);
        let total = net.node(to).counters().refused_total();
        let keys = net.node(to).config().keys;
        let (served, reply) = net.hand_stream(to, 1, endpoint("70.0.0.1:5"), &bytes, &keys);
        let counters = net.node(to).counters();
        assert_eq!(counters.refused(refusal), before + 1, "{refusal:?}");
        assert_eq!(counters.refused_total(), total + 1, "{refusal:?}");
        let wanted = if is_answered { StreamServed::Answered } else { StreamServed::Refused };
        assert_eq!(served, wanted, "{refusal:?}");
        assert_eq!(reply.is_empty(), !is_answered, "{refusal:?}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_survived_and_counted_once() {
    let mut net = Net::new(17, Conditions::CALM);
    let at = net.add(config());
    let mut rng = rng(17);
    let (key, value) = immutable(1_300, 1);
    let store = Request::store(key, Id([1; 20]), value.record(), 0).stream_bytes();
    let find = Request::new(Kind::FindValue, key, Id([1; 20])).stream_bytes();
    let mut hostile: Vec<Vec<u8>> = (0..store.len()).map(|len| store[..len].to_vec()).collect();
    for sound in [&store, &find] {
        for bit in 0..8 * 150.min(sound.len()) {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            hostile.push(bytes);
        }
    }
    for bytes in hostile {
        net.run_for(200);
        let taken = |net: &Net| {
            let counters = net.node(at).counters();
            let served: u64 = Kind::ALL.iter().map(|kind| counters.requests_in.of(*kind)).sum();
            (served, counters.refused_total())
        };
        let before = taken(&net);
        let peer = Endpoint { port: 9.into(), ..crate::common::address(99) };
        let _ = net.hand_stream(at, rng.next_u64(), peer, &bytes, &KeyRing::OPEN);
        let after = taken(&net);
        let moved = (after.0 - before.0) + (after.1 - before.1);
        assert!((1..=2).contains(&moved), "{} bytes: {before:?} {after:?}", bytes.len());
    }
}

#[test]
fn a_reply_by_datagram_does_not_end_a_request_by_tcp() {
    let mut net = Net::joined(18, Conditions::CALM, 2, &config());
    net.streams.closed = vec![0];
    let (key, value) = immutable(5_000, 1);
    let request = Ask::Store { key, value, cas: None };
    let (endpoint, id) = (net.endpoint(0), net.id(0));
    let ask = Command::Ask { endpoint, id: Some(id), request, recurse: false };
    let mut sent = Vec::new();
    let operation = net.with(1, |node, now, tray| {
        let operation = node.begin(now, ask, tray).unwrap();
        while let Some(event) = node.poll_event() {
            if let Event::Stream(ask) = event {
                sent.push(ask);
            }
        }
        operation
    });
    let to = net.endpoint(1);
    let mut head = *Message::parse_stream(&sent[0].bytes).unwrap().head;
    head.sender = id;
    head.flags = Flags::REPLY.0.into();
    head.arg = 1;
    let mut bytes = vec![0; 92];
    let mut emit = kdht_wire::Emit::stream(&mut bytes, head, None).unwrap();
    emit.body(&kdht_wire::ReplyBody::default()).unwrap();
    let _ = emit.finish();
    net.send(Datagram { from: endpoint, to, bytes });
    net.run_for(5_000);
    assert!(net.report(1, operation).is_none());
    assert_eq!(net.node(1).counters().refused(Refusal::Unmatched), 1);
    net.run_for(10_000);
    let report = net.report(1, operation).expect("given up after ten seconds");
    assert!(matches!(report.outcome, Outcome::Unanswered));
}
