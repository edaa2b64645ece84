//! A proxy that answers in the node's stead: never with what is no longer true, and never that
//! there is nothing where something was acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kdht_core::{
    Answer, Command, Config, Event, Liveness, Nanos, Outcome, Recall, Refusal, Rng, StreamCheck,
    StreamRequest, StreamServed, ThrottleConfig, Tiding, Value, ValuePublisher,
};
use kdht_wire::{
    Body, Contact, Endpoint, Fault, Filter, Flags, Id, KeyRing, Kind, Message, Publisher,
};
use kdht_wire::{DATAGRAM_LEN_MAX, HEAD_LEN, Record, ReplyBody};

use crate::common::{Datagram, Reply, Request, Solo, address, endpoint, is_reply, rng};

const CLIENT_ID: Id = Id([0xc1; 20]);

fn client() -> Endpoint {
    endpoint("60.0.0.1:5000")
}

fn solo(seed: u64) -> Solo {
    let throttle = ThrottleConfig { slots: 0, ..ThrottleConfig::default() };
    Solo::new(seed, Config { throttle, accept_plain: true, ..Config::default() })
}

fn record(bytes: &[u8]) -> Record<'_> {
    Record {
        cursor: 0,
        flags: 0,
        remaining_s: 3_600,
        publisher: Publisher::Plain(&CLIENT_ID),
        value_len: u32::try_from(bytes.len()).unwrap(),
        value: bytes,
    }
}

fn store(key: Id, bytes: &[u8], tx_id: u64) -> Request<'_> {
    Request { tx_id, flags: Flags::CLIENT, ..Request::store(key, CLIENT_ID, record(bytes), 0) }
}

/// The only value among the records that were lent.
fn value_in(records: &[u8]) -> Vec<u8> {
    // As the reply that it is to become.
    let mut reply = Vec::new();
    let mut head = kdht_wire::Head::request(Kind::FindValue, 1, Id::ZERO, Id::ZERO);
    head.flags = Flags::REPLY.0.into();
    head.arg = 1;
    reply.resize(DATAGRAM_LEN_MAX, 0);
    let mut emit = kdht_wire::Emit::datagram(&mut reply, head, None, usize::MAX).unwrap();
    let observed = client();
    emit.body(&ReplyBody { observed, total: 1.into() }).unwrap();
    let at = emit.finish();
    reply.truncate(at);
    reply.extend_from_slice(records);
    let body_len = u32::try_from(reply.len() - HEAD_LEN).unwrap();
    let len_at = reply.len() - records.len() - size_of::<ReplyBody>() - HEAD_LEN;
    assert_eq!(len_at, 0);
    let head_len = std::mem::offset_of!(kdht_wire::Head, body_len);
    reply[head_len..head_len + 4].copy_from_slice(&body_len.to_le_bytes());
    match Message::parse(&reply).unwrap().body {
        Body::Values { records, .. } => records.iter().next().unwrap().value.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn is_acknowledged(reply: &Datagram) -> Option<u64> {
    let message = Message::parse(&reply.bytes).unwrap();
    matches!(message.body, Body::StoreReply(_)).then(|| message.head.tx_id.get())
}

/// The proxy and the one thread that tells it things, step by step.
#[derive(Default)]
struct Proxy {
    present: BTreeSet<Id>,
    copies: BTreeMap<Id, u64>,
    errands: VecDeque<Recall>,
    /// What was lent and is not yet with the proxy: the thread does one thing at a time.
    in_hand: Option<(Id, u64)>,
    /// On the way back to the node, in order.
    done: VecDeque<Recall>,
    /// Passed by the proxy, not yet at the node.
    queued: VecDeque<(Id, u64)>,
}

/// One run: a node, its proxy, and what was acknowledged.
struct Run {
    solo: Solo,
    proxy: Proxy,
    rng: Rng,
    cookie: u64,
    /// The value under a key is a number that grows.
    written: u64,
    /// Under which key each number was written, and as the how-manieth: numbers overtake each
    /// other in the socket's queue.
    applied: BTreeMap<u64, (Id, usize)>,
    puts: Vec<(kdht_core::OperationId, u64)>,
    /// The last that was acknowledged under each key, by when it was written.
    acknowledged: BTreeMap<Id, usize>,
    acknowledgements: u32,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut solo = solo(seed);
        solo.node.begin_proxy(false);
        let cookie = solo.cookie(&client());
        Self {
            solo,
            proxy: Proxy::default(),
            rng: rng(seed),
            cookie,
            written: 0,
            applied: BTreeMap::new(),
            puts: Vec::new(),
            acknowledged: BTreeMap::new(),
            acknowledgements: 0,
        }
    }

    fn step(&mut self) {
        let key = Id([u8::try_from(self.rng.below(3)).unwrap(); 20]);
        match self.rng.below(9) {
            0 => {
                self.written += 1;
                self.proxy.present.insert(key);
                self.proxy.copies.remove(&key);
                self.proxy.queued.push_back((key, self.written));
            }
            1 | 2 => {
                if let Some((key, number)) = self.proxy.queued.pop_front() {
                    self.apply(number, key);
                    let bytes = number.to_le_bytes();
                    let cookie = self.cookie;
                    let request = Request { cookie, ..store(key, &bytes, number) };
                    let sent = self.solo.hand(&client(), &request.bytes());
                    self.hear(&sent);
                }
            }
            3 => self.store_by_stream(key),
            4 => self.put(key),
            // What the thread tells and asks the node goes one way, in order.
            5 if self.proxy.in_hand.is_none() && self.proxy.done.is_empty() => {
                if let Some(lent) = self.solo.node.lend(self.solo.now, &key) {
                    let bytes = value_in(&lent.records);
                    let number = u64::from_le_bytes(bytes.try_into().unwrap());
                    self.proxy.in_hand = Some((key, number));
                }
            }
            6 => {
                if let Some((key, number)) = self.proxy.in_hand.take() {
                    self.proxy.copies.insert(key, number);
                }
            }
            7 if self.proxy.in_hand.is_none() => {
                if let Some(recall) = self.proxy.errands.pop_front() {
                    self.proxy.present.insert(recall.key);
                    self.proxy.copies.remove(&recall.key);
                    self.proxy.done.push_back(recall);
                }
            }
            _ => {
                if let Some(recall) = self.proxy.done.pop_front() {
                    let (now, tray) = (self.solo.now, &mut self.solo.tray);
                    self.solo.node.handle_recalled(now, &[recall.ticket], &[recall.key], tray);
                    let sent = self.solo.wait_ms(0);
                    self.hear(&sent);
                }
            }
        }
        while let Some(recall) = self.solo.node.poll_recall() {
            self.proxy.errands.push_back(recall);
        }
        self.hear_events();
    }

    fn store_by_stream(&mut self, key: Id) {
        self.written += 1;
        let number = self.written;
        self.apply(number, key);
        let bytes = store(key, &number.to_le_bytes(), number).stream_bytes();
        let check = &StreamCheck::of(&bytes, &KeyRing::OPEN, self.solo.now.unix_s);
        let local = kdht_core::Local::default();
        let bytes = &bytes[..];
        let request = StreamRequest { stream: number, peer: client(), local, bytes, check };
        let (node, now) = (&mut self.solo.node, self.solo.now);
        let mut reply = Vec::new();
        let served = node.handle_stream_request(now, &request, &mut reply, &mut self.solo.tray);
        assert_eq!(served, StreamServed::Later, "nothing is said before the proxy knows");
    }

    fn put(&mut self, key: Id) {
        self.written += 1;
        let bytes = self.written.to_le_bytes().to_vec();
        let publisher = ValuePublisher::Plain(CLIENT_ID);
        let value = Value { publisher, remaining_s: 3_600, bytes };
        let command = Command::Put { key, value, cas: None };
        self.apply(self.written, key);
        let begun = self.solo.node.begin(self.solo.now, command, &mut self.solo.tray);
        self.puts.push((begun.unwrap(), self.written));
    }

    fn hear(&mut self, sent: &[Datagram]) {
        for tx_id in sent.iter().filter_map(is_acknowledged) {
            self.acknowledge(tx_id);
        }
    }

    fn hear_events(&mut self) {
        while let Some(event) = self.solo.node.poll_event() {
            match event {
                Event::StreamReply { stream, .. } => {
                    self.acknowledge(stream);
                }
                Event::Done(report) => {
                    let Outcome::Stored(stored) = report.outcome else { panic!("{report:?}") };
                    assert_eq!(stored.acknowledged, 1);
                    let put = self.puts.iter().find(|put| put.0 == report.operation).unwrap();
                    self.acknowledge(put.1);
                }
                _ => {}
            }
        }
    }

    fn apply(&mut self, number: u64, key: Id) {
        let place = self.applied.len();
        self.applied.insert(number, (key, place));
    }

    fn acknowledge(&mut self, number: u64) {
        self.acknowledgements += 1;
        let (key, place) = self.applied[&number];
        let last = self.acknowledged.entry(key).or_default();
        *last = place.max(*last);
    }
}

#[test]
fn what_a_proxy_has_is_never_older_than_what_was_acknowledged_and_no_such_key_is_absent() {
    for seed in 0..40 {
        let mut run = Run::new(seed);
        let mut lent = 0;
        for step in 0..1_500 {
            run.step();
            lent += usize::from(!run.proxy.copies.is_empty());
            for (key, last) in &run.acknowledged {
                assert!(run.proxy.present.contains(key), "seed {seed}, step {step}: absent");
                if let Some(copy) = run.proxy.copies.get(key) {
                    let place = run.applied[copy].1;
                    assert!(place >= *last, "seed {seed}, step {step}: an old value");
                }
            }
        }
        assert!(run.acknowledgements > 100 && lent > 100, "seed {seed}: too little was tried");
    }
}

#[test]
fn a_store_that_a_proxy_is_not_told_of_in_time_is_refused_as_busy() {
    let mut solo = solo(3);
    solo.node.begin_proxy(true);
    let cookie = solo.cookie(&client());
    let request = Request { cookie, ..store(Id([1; 20]), b"some", 7) };
    assert!(solo.hand(&client(), &request.bytes()).is_empty());
    assert_eq!(solo.node.poll_recall().map(|recall| recall.key), Some(Id([1; 20])));
    assert!(solo.wait_ms(1_999).is_empty());
    let due = solo.node.poll_timeout().unwrap();
    assert_eq!(due, Nanos(solo.now.mono.0).plus_ms(1));
    let sent = solo.wait_ms(1);
    let message = Message::parse(&sent[0].bytes).unwrap();
    assert!(matches!(message.body, Body::Fault(Fault::Busy, _)), "{message:?}");
    assert_eq!(solo.node.counters().refused(Refusal::Busy), 1);
}

#[test]
fn whoever_waits_for_a_proxy_that_ends_is_answered() {
    let mut solo = solo(4);
    solo.node.begin_proxy(true);
    let cookie = solo.cookie(&client());
    for tx_id in 0..3 {
        let request = Request { cookie, ..store(Id([1; 20]), b"some", tx_id) };
        assert!(solo.hand(&client(), &request.bytes()).is_empty());
    }
    solo.node.end_proxy(solo.now, &mut solo.tray);
    let sent = solo.wait_ms(0);
    assert_eq!(sent.iter().filter_map(is_acknowledged).collect::<Vec<_>>(), [0, 1, 2]);
    let request = Request { cookie, ..store(Id([1; 20]), b"others", 9) };
    let sent = solo.hand(&client(), &request.bytes());
    assert_eq!(is_acknowledged(&sent[0]), Some(9));
}

#[test]
fn stores_that_wait_for_a_proxy_are_bounded() {
    let mut solo = solo(5);
    solo.node.begin_proxy(true);
    let cookie = solo.cookie(&client());
    let mut refused = 0;
    for tx_id in 0..kdht_core::RECALLS_MAX as u64 + 5 {
        let request = Request { cookie, ..store(Id([1; 20]), b"some", tx_id) };
        refused += solo.hand(&client(), &request.bytes()).len();
    }
    assert_eq!((refused, solo.node.counters().refused(Refusal::Busy)), (5, 5));
}

#[test]
fn a_key_is_wanted_when_it_is_asked_for_a_second_time_and_not_lent() {
    let mut solo = solo(6);
    solo.node.begin_proxy(false);
    let cookie = solo.cookie(&client());
    let key = Id([9; 20]);
    solo.hand(&client(), &Request { cookie, ..store(key, b"some", 1) }.bytes());
    let find = Request {
        flags: Flags::CLIENT,
        cookie,
        filter: Filter::Any,
        ..Request::new(Kind::FindValue, key, CLIENT_ID)
    };
    solo.hand(&client(), &find.bytes());
    assert_eq!(solo.node.poll_wanted(), None);
    solo.hand(&client(), &find.bytes());
    assert_eq!(solo.node.poll_wanted(), Some(key));
    let lent = solo.node.lend(solo.now, &key).unwrap();
    assert_eq!((value_in(&lent.records), lent.now_s), (b"some".to_vec(), 1_000));
    for _ in 0..4 {
        solo.hand(&client(), &find.bytes());
    }
    assert_eq!(solo.node.poll_wanted(), None);
    assert_eq!(solo.node.lend(solo.now, &Id([8; 20])), None, "there is nothing to lend");
}

/// Ids in a FIND_NODE reply, sorted.
fn told(solo: &mut Solo, target: Id) -> Vec<Id> {
    let cookie = solo.cookie(&client());
    let find =
        Request { flags: Flags::CLIENT, cookie, ..Request::new(Kind::FindNode, target, CLIENT_ID) };
    let sent = solo.hand(&client(), &find.bytes());
    let Body::Contacts { contacts, .. } = Message::parse(&sent[0].bytes).unwrap().body else {
        panic!("{sent:?}")
    };
    let mut ids: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_node_whose_proxy_keeps_the_table_tells_of_those_in_it_and_pings_nobody() {
    let (mut solo, known) = Solo::with_contacts(8, Config::default(), 12);
    let mut ids: Vec<Id> = known.iter().map(|contact| contact.id).collect();
    ids.sort_unstable();
    solo.node.begin_proxy(false);
    assert_eq!(solo.node.cede_table().len(), 12);
    // At first whom it knew itself.
    assert_eq!(told(&mut solo, Id([3; 20])), ids);
    let good = &known[..5];
    let mut standing: Vec<_> = good.iter().map(|contact| (*contact, Liveness::Good)).collect();
    standing.push((known[7], Liveness::Doubtful));
    solo.node.set_known(&standing);
    let mut wanted: Vec<Id> = good.iter().map(|contact| contact.id).collect();
    wanted.sort_unstable();
    assert_eq!(told(&mut solo, Id([3; 20])), wanted);
    assert_eq!(solo.node.good_contacts().count(), 5);
    assert_eq!(solo.node.members().count(), 0);
    // A stranger who asks is the proxy's to meet.
    let stranger = Contact::new(Id([0x77; 20]), address(90));
    let sent = solo.hand(&stranger.endpoint, &Request::hello(stranger.id).bytes());
    assert!(sent.iter().all(|datagram| is_reply(&datagram.bytes)), "{sent:?}");
    assert!(solo.wait_ms(4_000_000).is_empty(), "nothing is refreshed");
}

#[test]
fn what_came_of_a_node_s_requests_is_told_to_the_proxy_that_keeps_its_table() {
    let (mut solo, known) = Solo::with_contacts(9, Config::default(), 3);
    solo.node.begin_proxy(false);
    solo.node.cede_table();
    let command = Command::FindNode { target: Id([9; 20]) };
    solo.node.begin(solo.now, command, &mut solo.tray).unwrap();
    let asked = solo.wait_ms(20);
    let answers: Vec<&Datagram> =
        asked.iter().filter(|datagram| !is_reply(&datagram.bytes)).collect();
    assert_eq!(answers.len(), 3, "it begins with those that the proxy has");
    let by = known.iter().find(|contact| contact.endpoint == answers[0].to).unwrap();
    let reply = Reply { cookie: 99, ..Reply::default() };
    solo.hand(&by.endpoint, &reply.bytes(&answers[0].bytes, by.id, endpoint("9.9.9.9:9")));
    match solo.node.poll_tiding() {
        Some(Tiding::Answered { contact, answer, at }) => {
            assert_eq!((contact.id, contact.endpoint), (by.id, by.endpoint));
            assert_eq!((answer.cookie, answer.rtt_us, at), (99, 20_000, solo.now.mono));
        }
        other => panic!("{other:?}"),
    }
    let sent = Nanos(solo.now.mono.0 - 20_000_000);
    solo.wait_ms(10_000);
    let mut failed = 0;
    while let Some(tiding) = solo.node.poll_tiding() {
        assert!(matches!(tiding, Tiding::Failed { sent: at, .. } if at == sent), "{tiding:?}");
        failed += 1;
    }
    assert_eq!(failed, 2);
}

#[test]
fn a_table_that_is_reclaimed_begins_with_the_proxy_s_contacts() {
    let (mut solo, known) = Solo::with_contacts(10, Config::default(), 10);
    solo.node.begin_proxy(false);
    solo.node.cede_table();
    let answer = Some(Answer { rtt_us: 500, cookie: 7 });
    let entries: Vec<_> =
        known.iter().enumerate().map(|(at, it)| (*it, answer.filter(|_| at < 6))).collect();
    solo.node.reclaim_table(solo.now, &entries, &mut solo.tray);
    let pinged = solo.wait_ms(0).len();
    assert_eq!(pinged, 4, "whoever had not answered is asked");
    let mut wanted: Vec<Id> = known[..6].iter().map(|contact| contact.id).collect();
    wanted.sort_unstable();
    assert_eq!(told(&mut solo, Id([3; 20])), wanted);
    assert_eq!(solo.node.members().count(), 10);
    assert_eq!(solo.node.fill()[0].unverified, 4);
}
