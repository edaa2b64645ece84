//! Whole nodes: the Rust one and the module's, with the same contacts, secrets and clocks,
//! get the same datagrams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use kdht_core::{Config, Families, Node, Now, Outbox, Refusal, Rng, Route, ThrottleConfig};
use kdht_kmod_test::{Random, is_passed, mutate, vectors};
use kdht_wire::{
    Body, Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Filter, FindValueBody, Flags, HEAD_LEN, Head,
    Id, KeyRing, Kind, MAC_LEN, Message, NetworkKey, Publisher, Record, ReplyBody, StoreBody,
    TARGET_OFFSET,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::{compare, endpoint, ring_bytes};

/// What a node sends, kept.
#[derive(Default)]
struct Sent {
    slot: Vec<u8>,
    to: Endpoint,
    datagrams: Vec<(Endpoint, Vec<u8>)>,
}

impl Outbox for Sent {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        self.to = route.peer;
        self.slot = vec![0; DATAGRAM_LEN_MAX];
        Some(&mut self.slot)
    }

    fn commit(&mut self, len: usize) {
        self.datagrams.push((self.to, self.slot[..len].to_vec()));
    }
}

/// One node of Rust, and the records that make the module's the same.
pub(crate) struct Pair {
    pub(crate) node: Node,
    pub(crate) ring: KeyRing,
    pub(crate) now: Now,
    /// The keys of STOREs so far; nothing if the module does not know that there were no others.
    stored: Option<BTreeSet<Id>>,
    /// The keys whose values the module was told, and the second from which it knows no more.
    published: BTreeMap<Id, u64>,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) expected: Vec<String>,
}

pub(crate) const THROTTLE: ThrottleConfig =
    ThrottleConfig { slots: 1_024, rate_per_s: 1, burst: 4 };

impl Pair {
    pub(crate) fn new(
        seed: [u8; 16],
        ring: KeyRing,
        throttle: ThrottleConfig,
        contacts: usize,
        random: &mut Random,
    ) -> Self {
        let mut now = Now { unix_s: 1_700_000_000, ..Now::default() };
        now.mono.0 = 1_000 * kdht_core::NS_PER_S;
        let id = Id(random.bytes());
        let config = Config {
            families: Families { v4: true, v6: true },
            throttle,
            accept_plain: true,
            keys: ring,
            bucket_group_max: u16::MAX,
            table_group_max: u16::MAX,
            ..Config::default()
        };
        let mut record = vec![0];
        record.extend_from_slice(&id.0);
        record.extend_from_slice(&Rng::from_seed(seed).secret());
        for word in [throttle.slots, throttle.rate_per_s, throttle.burst] {
            record.extend_from_slice(&word.to_le_bytes());
        }
        record.extend_from_slice(&config.store.value_len_max.to_le_bytes());
        record.push(config.k);
        record.extend_from_slice(&ring_bytes(&ring));
        record.extend_from_slice(&now.mono.0.to_le_bytes());

        let mut node = Node::new(id, config, seed, now);
        for _ in 0..contacts {
            let endpoint = endpoint(random);
            let mut near = Id(random.bytes());
            near.0[..2].copy_from_slice(&id.0[..2]);
            let id = if random.below(3) == 0 { near } else { Id(random.bytes()) };
            node.learn(&Contact::new(id, endpoint), 1_000, now);
        }
        let mut pair = Self {
            node,
            ring,
            now,
            stored: None,
            published: BTreeMap::new(),
            records: vec![record],
            expected: vec!["ok".to_owned()],
        };
        for contact in pair.node.good_contacts() {
            pair.records.push([&[1][..], contact.as_bytes()].concat());
            pair.expected.push("0".to_owned());
        }
        pair
    }

    /// Tells the module that no value is held.
    pub(crate) fn complete_filter(&mut self) {
        self.stored = Some(BTreeSet::new());
        self.records.push(vec![3]);
        self.expected.push("ok".to_owned());
    }

    /// Hands the datagram to the Rust node, and expects the same of the module, unless it
    /// is one that the module passes.
    pub(crate) fn hand(&mut self, peer: &Endpoint, bytes: &[u8]) {
        let mut record = vec![2];
        record.extend_from_slice(peer.as_bytes());
        record.extend_from_slice(&self.now.mono.0.to_le_bytes());
        record.extend_from_slice(&self.now.unix_s.to_le_bytes());
        record.extend_from_slice(bytes);
        self.records.push(record);
        let line = self.expect(peer, bytes);
        self.expected.push(line);
    }

    fn expect(&mut self, peer: &Endpoint, bytes: &[u8]) -> String {
        let now_s = self.now.mono.0 / kdht_core::NS_PER_S;
        let may_be_held = |key: &Id| {
            let is_stored = self.stored.as_ref().is_none_or(|some| some.contains(key));
            is_stored && self.published.get(key).is_none_or(|until_s| now_s >= *until_s)
        };
        if is_passed(bytes, self.ring.is_keyed(), may_be_held) {
            // Sound or not: the module notes the key of whatever may be stored.
            let is_store = bytes.get(3) == Some(&(Kind::Store as u8)) && bytes[4] & 1 == 0;
            if let Some(stored) = self.stored.as_mut().filter(|_| is_store && bytes[0] == b'K') {
                let key = Id(bytes[TARGET_OFFSET..TARGET_OFFSET + 20].try_into().unwrap());
                stored.insert(key);
                self.published.remove(&key);
            }
            return "pass - 0".to_owned();
        }
        let before = *self.node.counters();
        let mut sent = Sent::default();
        self.node.handle_datagram(self.now, &Route::to(*peer), bytes, &mut sent);
        let after = self.node.counters();
        let refused = Refusal::NAMED.iter().find(|(r, _)| after.refused(*r) > before.refused(*r));
        let refused = refused.map_or("-", |(_, name)| *name);
        let asked = |kind: &&Kind| after.requests_in.of(**kind) > before.requests_in.of(**kind);
        let kind = Kind::ALL.iter().find(asked).map_or(0, |kind| *kind as u8);
        // Pings of whoever is new are the daemon's own doing.
        let is_answer = |(_, sent): &&(Endpoint, Vec<u8>)| {
            let message = Message::parse(sent).unwrap();
            message.head.is_reply() || message.extensions.forward().is_some()
        };
        let Some((to, answer)) = sent.datagrams.iter().find(is_answer) else {
            return format!("drop {refused} {kind}");
        };
        let verdict = if after.forwarded > before.forwarded { "forward" } else { "reply" };
        let mut line = format!("{verdict} {refused} {kind} ");
        let answer = in_order_of_ids(answer, &self.ring);
        answer.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
        if to != peer {
            line.push_str(" to ");
            to.as_bytes().iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
        }
        line
    }

    /// A sound request of `peer`, or one with something wrong.
    fn request(&mut self, peer: &Endpoint, random: &mut Random) -> Vec<u8> {
        let kind = *random.pick(&[Kind::Ping, Kind::FindNode, Kind::FindValue]).unwrap();
        let members: Vec<Id> = self.node.members().map(|member| member.id).collect();
        let any = |random: &mut Random| match random.below(3) {
            0 => random.pick(&members).copied().unwrap_or(Id(random.bytes())),
            _ => Id(random.bytes()),
        };
        let (target, sender) = (any(random), any(random));
        let mut head = Head::request(kind, random.next_u64(), target, sender);
        let own = self.node.id();
        head.sender = if random.below(40) == 0 { own } else { sender };
        let mut flags = Flags::default();
        for flag in [Flags::CLIENT, Flags::WANT4, Flags::WANT6] {
            flags = if random.below(2) == 0 { flags.with(flag) } else { flags };
        }
        head.flags = U16::new(flags.0);
        head.time_s = U32::new(self.now.unix_s + u32::from(random.byte()) - 128);
        head.cookie = U64::new(match random.below(3) {
            0 => 0,
            1 => self.node.cookie_for(peer, self.now),
            _ => random.next_u64(),
        });
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let key = self.ring.signing().copied();
        let mut emit = Emit::datagram(&mut buf, head, key.as_ref(), DATAGRAM_LEN_MAX).unwrap();
        if kind == Kind::FindValue {
            let mut body = FindValueBody::new(&Filter::Any, u16::from(random.byte()));
            body.filter = if random.below(8) == 0 { random.byte() & 7 } else { 0 };
            emit.body(&body).unwrap();
        }
        emit.pad_to(*random.pick(&[0, 100, 200, 300, 352, 1_232]).unwrap());
        let len = emit.finish();
        buf[..len].to_vec()
    }
}

#[test]
fn ten_thousand_datagrams_get_byte_for_byte_what_the_engine_answers() {
    let seed = 21;
    let mut random = Random::from_seed(seed);
    let bases: Vec<Vec<u8>> = vectors().unwrap().into_iter().map(|vector| vector.bytes).collect();
    let first = NetworkKey { id: 3, secret: random.bytes() };
    let second = NetworkKey { id: 4, secret: random.bytes() };
    let mut lines = Vec::new();
    for (ring, contacts, is_empty) in [
        (KeyRing::OPEN, 0, false),
        (KeyRing::OPEN, 30, true),
        (KeyRing::OPEN, 400, true),
        (KeyRing::new(first, Some(second)), 400, true),
    ] {
        let mut pair = Pair::new(random.bytes(), ring, THROTTLE, contacts, &mut random);
        if is_empty {
            pair.complete_filter();
        }
        let peers: Vec<Endpoint> = (0..60).map(|_| endpoint(&mut random)).collect();
        for _ in 0..2_500 {
            // Mostly too soon for the throttle, at times late enough for another cookie.
            let pause_s = if random.below(100) == 0 { 150 } else { 0 };
            pair.now.mono.0 += u64::from(pause_s) * kdht_core::NS_PER_S;
            pair.now.mono.0 += 100_000 * (1 + u64::from(random.byte()));
            pair.now.unix_s += pause_s;
            let peer = *random.pick(&peers).unwrap();
            let mut bytes = pair.request(&peer, &mut random);
            match random.below(4) {
                0 => bytes = mutate(&bytes, random.pick(&bases).unwrap(), &mut random),
                1 if random.below(4) == 0 => bytes.clone_from(random.pick(&bases).unwrap()),
                _ => {}
            }
            pair.hand(&peer, &bytes);
        }
        compare("answer", &pair.records, &pair.expected);
        lines.append(&mut pair.expected);
    }
    let of = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    for wanted in [
        "reply - 1",
        "reply - 2",
        "reply - 3",
        "reply filter 0",
        "reply version 0",
        "reply kind 0",
        "reply extension 0",
        "drop throttled 0",
        "drop own_id 0",
        "drop mac_wrong 0",
        "drop stale 0",
        "drop length 0",
        "drop short 0",
        "pass",
    ] {
        assert!(of(wanted) >= 3, "{wanted}: {} (seed {seed})", of(wanted));
    }
}

#[test]
fn values_and_lookups_are_left_to_the_daemon() {
    let mut random = Random::from_seed(5);
    let mut pair = Pair::new([1; 16], KeyRing::OPEN, THROTTLE, 50, &mut random);
    let peer = endpoint(&mut random);
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let head = Head::request(Kind::FindValue, 1, Id(random.bytes()), Id(random.bytes()));
    let mut emit = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap();
    emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
    let len = emit.finish();
    pair.hand(&peer, &buf[..len]);
    for flag in [Flags::RECURSE, Flags::FORWARD] {
        let mut head = Head::request(Kind::FindNode, 1, Id(random.bytes()), Id(random.bytes()));
        head.flags = U16::new(flag.0);
        let len = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap().finish();
        pair.hand(&peer, &buf[..len]);
    }
    for other in [&b"{\"kind\":\"ping\"}"[..], b"d1:ad2:id20:", b"", b"x"] {
        pair.hand(&peer, other);
    }
    assert_eq!(pair.expected.iter().filter(|line| line.starts_with("pass")).count(), 7);
    compare("answer", &pair.records, &pair.expected);
}

#[test]
fn refusals_are_numbered_and_named_as_in_the_engine() {
    let numbers: Vec<[u8; 1]> =
        (0..=Refusal::NAMED.len()).map(|number| [u8::try_from(number).unwrap()]).collect();
    let names = Refusal::NAMED.iter().map(|(_, name)| (*name).to_owned());
    let expected: Vec<String> = names.chain(["-".to_owned()]).collect();
    compare("refusals", &numbers, &expected);
}

/// What all of one test may ask as often as it likes.
pub(crate) const UNLIMITED: ThrottleConfig =
    ThrottleConfig { slots: 64, rate_per_s: 1_000_000_000, burst: 1_000_000_000 };

impl Pair {
    /// Hands a datagram to the Rust node alone, and returns its reply.
    fn ask_engine(&mut self, peer: &Endpoint, bytes: &[u8]) -> Vec<u8> {
        let mut sent = Sent::default();
        self.node.handle_datagram(self.now, &Route::to(*peer), bytes, &mut sent);
        let is_reply = |sent: &Vec<u8>| Message::parse(sent).unwrap().head.is_reply();
        sent.datagrams.into_iter().map(|(_, sent)| sent).find(is_reply).unwrap()
    }

    /// Stores a plain value at both; the module passes it.
    pub(crate) fn store(
        &mut self,
        peer: &Endpoint,
        key: Id,
        publisher: Id,
        value: &[u8],
        remaining_s: u32,
    ) {
        let mut head = Head::request(Kind::Store, 1, key, publisher);
        head.cookie = U64::new(self.node.cookie_for(peer, self.now));
        head.time_s = U32::new(self.now.unix_s);
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let signing = self.ring.signing().copied();
        let mut emit = Emit::datagram(&mut buf, head, signing.as_ref(), DATAGRAM_LEN_MAX).unwrap();
        emit.body(&StoreBody { cas: U64::new(StoreBody::UNCONDITIONAL) }).unwrap();
        let record = Record::whole(Publisher::Plain(&publisher), remaining_s, value).unwrap();
        emit.store_record(&record).unwrap();
        let len = emit.finish();
        self.hand(peer, &buf[..len]);
        let reply = self.ask_engine(peer, &buf[..len]);
        assert_eq!(Message::parse(&reply).unwrap().kind, Kind::Store, "{reply:02x?}");
    }

    fn find_value(
        &mut self,
        peer: &Endpoint,
        key: Id,
        body: &FindValueBody,
        total: usize,
    ) -> Vec<u8> {
        let mut head = Head::request(Kind::FindValue, 2, key, Id([5; 20]));
        head.flags = U16::new(Flags::CLIENT.0);
        if total == 0 {
            head.cookie = U64::new(self.node.cookie_for(peer, self.now));
        }
        head.time_s = U32::new(self.now.unix_s);
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let signing = self.ring.signing().copied();
        let mut emit = Emit::datagram(&mut buf, head, signing.as_ref(), DATAGRAM_LEN_MAX).unwrap();
        emit.body(body).unwrap();
        emit.pad_to(total);
        let len = emit.finish();
        buf[..len].to_vec()
    }

    /// Tells the module all that the engine holds under `key`, as a daemon would.
    pub(crate) fn publish(&mut self, peer: &Endpoint, key: Id) {
        let mut records = Vec::new();
        let (mut cursor, mut shortest_s) = (0, u32::MAX);
        loop {
            let ask = self.find_value(peer, key, &FindValueBody::new(&Filter::Any, cursor), 0);
            let reply = self.ask_engine(peer, &ask);
            let message = Message::parse(&reply).unwrap();
            let Body::Values { records: some, .. } = message.body else { panic!("{message:?}") };
            for record in some.iter() {
                cursor = record.cursor + 1;
                shortest_s = shortest_s.min(record.remaining_s);
            }
            let mac_len = if self.ring.is_keyed() { MAC_LEN } else { 0 };
            records.extend_from_slice(&reply[92..reply.len() - mac_len]);
            if !message.head.flags().has(Flags::MORE) {
                break;
            }
        }
        let now_ns = self.now.mono.0.to_le_bytes();
        self.records.push([&[4][..], &key.0, &now_ns, &records].concat());
        self.expected.push("0".to_owned());
        let until_s = self.now.mono.0 / kdht_core::NS_PER_S + u64::from(shortest_s);
        self.published.insert(key, until_s);
    }
}

#[test]
fn published_values_are_answered_byte_for_byte_as_the_engine_does() {
    let seed = 33;
    let mut random = Random::from_seed(seed);
    let mut pair = Pair::new([1; 16], KeyRing::OPEN, UNLIMITED, 80, &mut random);
    pair.complete_filter();
    let peer = endpoint(&mut random);
    let publishers: Vec<Id> = (0..8).map(|_| Id(random.bytes())).collect();
    let keys: Vec<Id> = (0..40).map(|_| Id(random.bytes())).collect();
    for (at, key) in keys.iter().enumerate().skip(5) {
        for publisher in publishers.iter().take(1 + at % 7) {
            let value: Vec<u8> = (0..random.below(500)).map(|_| random.byte()).collect();
            let remaining_s = 100 + u32::try_from(random.below(3_000)).unwrap();
            pair.store(&peer, *key, *publisher, &value, remaining_s);
        }
        if at % 4 > 0 {
            pair.publish(&peer, *key);
        }
    }
    for _ in 0..4_000 {
        pair.now.mono.0 += u64::from(random.byte()) * 3_000_000;
        let key = *random.pick(&keys).unwrap();
        let filter = match random.below(6) {
            0 => Filter::Immutable,
            1 => Filter::Signed(random.bytes()),
            2 => Filter::Plain(*random.pick(&publishers).unwrap()),
            _ => Filter::Any,
        };
        let cursor = [0, 0, u16::from(random.byte()) % 9][random.below(3)];
        let total = *random.pick(&[0, 108, 200, 300, 411, 600]).unwrap();
        let ask = pair.find_value(&peer, key, &FindValueBody::new(&filter, cursor), total);
        pair.hand(&peer, &ask);
        if random.below(400) == 0 {
            // A STORE takes back what was published, until it is published anew.
            pair.store(&peer, key, publishers[0], b"newer", 1_000);
            pair.hand(&peer, &ask);
            pair.publish(&peer, key);
        }
    }
    let of = |start: &str| pair.expected.iter().filter(|line| line.starts_with(start)).count();
    assert!(of("reply - 3") > 1_000 && of("pass") > 500, "seed {seed}");
    compare("answer", &pair.records, &pair.expected);
}

/// The reply with its contacts in ascending order of their ids, as the module has them.
fn in_order_of_ids(reply: &[u8], ring: &KeyRing) -> Vec<u8> {
    let message = Message::parse(reply).unwrap();
    let mut sorted = reply.to_vec();
    let Body::Contacts { contacts, .. } = message.body else { return sorted };
    let mut contacts = contacts.to_vec();
    contacts.sort_by_key(|contact| contact.id);
    let begin = HEAD_LEN + size_of::<ReplyBody>();
    let after = begin + contacts.len() * size_of::<Contact>();
    sorted[begin..after].copy_from_slice(contacts.as_bytes());
    if let Some(key) = ring.signing() {
        let end = sorted.len() - MAC_LEN;
        let mac = key.mac(&sorted[..end]);
        sorted[end..].copy_from_slice(&mac);
    }
    sorted
}
