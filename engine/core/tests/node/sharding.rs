//! Several shards are one node: they answer as a node that is alone would, from whichever
//! shard a datagram comes to.

use std::collections::{HashMap, VecDeque};

use kdht_core::{
    Addressee, Command, Config, Event, Home, Node, Note, Now, Outcome, Request as Ask, Rng, Route,
    TableKind, Value, ValuePublisher,
};
use kdht_wire::{Body, Contact, Endpoint, Filter, Id, Kind, Message, key_of_value};

use crate::common::{
    Datagram, Reply, Request, START, Tray, address, endpoint, is_reply, reply_of, rng,
};

/// The shards of one node, the notes between them, and contacts that answer.
struct Flock {
    shards: Vec<Node>,
    /// Notes on their way, by the shard that they are from and the one they are for.
    notes: HashMap<(u8, u8), VecDeque<Note>>,
    contacts: HashMap<Endpoint, Id>,
    now: Now,
    tray: Tray,
    rng: Rng,
    /// Whether datagrams come to the shard that they are for, or to any.
    is_steered: bool,
    events: Vec<Event>,
}

impl Flock {
    fn new(seed: u64, shards: u8, config: &Config) -> Self {
        let mut random = rng(seed);
        let (id, secret) = (random.id(), random.secret());
        let of = |shard| Config { shards, shard, ..config.clone() };
        Self {
            shards: (0..shards).map(|at| Node::new(id, of(at), secret, START)).collect(),
            notes: HashMap::new(),
            contacts: HashMap::new(),
            now: START,
            tray: Tray::new(512),
            rng: rng(!seed),
            is_steered: true,
            events: Vec::new(),
        }
    }

    fn id(&self) -> Id {
        self.shards[0].id()
    }

    fn any(&mut self) -> u8 {
        u8::try_from(self.rng.below(self.shards.len() as u64)).unwrap()
    }

    /// Hands a datagram in and returns the replies to whoever is no contact, once all is
    /// quiet.
    fn hand(&mut self, from: &Endpoint, bytes: &[u8]) -> Vec<Datagram> {
        self.arrive(from, bytes);
        self.settle()
    }

    fn arrive(&mut self, from: &Endpoint, bytes: &[u8]) {
        let landed = self.any();
        let home = match self.shards[usize::from(landed)].home(bytes) {
            Home::Shard(home) => home,
            Home::Any if self.is_steered => self.shards[0].spread().of(&self.id()),
            Home::Any => landed,
        };
        let home = match self.shards[usize::from(home)].home_of_handed(bytes) {
            Home::Shard(next) if home != landed => next,
            _ => home,
        };
        let (route, now) = (Route::to(*from), self.now);
        self.with(home, |node, tray| node.handle_datagram(now, &route, bytes, tray));
    }

    fn with<T>(&mut self, shard: u8, call: impl FnOnce(&mut Node, &mut Tray) -> T) -> T {
        let count = u8::try_from(self.shards.len()).unwrap();
        let node = &mut self.shards[usize::from(shard)];
        let result = call(node, &mut self.tray);
        while let Some((to, note)) = node.poll_note() {
            let others = (0..count).filter(|other| match to {
                Addressee::Shard(one) => *other == one,
                Addressee::Others => *other != shard,
            });
            for other in others {
                self.notes.entry((shard, other)).or_default().push_back(note);
            }
            assert!(count > 1, "a node alone has nobody to tell");
        }
        result
    }

    /// Lets contacts answer and notes arrive, in an order of chance, until all is quiet.
    fn settle(&mut self) -> Vec<Datagram> {
        let mut outside = Vec::new();
        loop {
            let mut sent = Vec::new();
            self.tray.drain(|route, bytes| sent.push((route.peer, bytes.to_vec())));
            for (to, bytes) in sent {
                let known = self.contacts.get(&to).copied().filter(|_| !is_reply(&bytes));
                match known {
                    Some(id) => {
                        let reply = Reply { cookie: 7, ..Reply::default() };
                        self.arrive(&to, &reply.bytes(&bytes, id, endpoint("9.9.9.9:9")));
                    }
                    None => outside.push(Datagram { from: address(0), to, bytes }),
                }
            }
            let mut lanes: Vec<(u8, u8)> = self.notes.keys().copied().collect();
            lanes.sort_unstable();
            if lanes.is_empty() && self.tray.iter().next().is_none() {
                break;
            }
            if !lanes.is_empty() {
                let lane = lanes[usize::try_from(self.rng.below(lanes.len() as u64)).unwrap()];
                let mut notes = self.notes.remove(&lane).unwrap();
                let note = notes.pop_front().unwrap();
                if !notes.is_empty() {
                    self.notes.insert(lane, notes);
                }
                let now = self.now;
                self.with(lane.1, |node, tray| node.handle_note(now, lane.0, note, tray));
            }
        }
        for node in &mut self.shards {
            self.events.extend(std::iter::from_fn(|| node.poll_event()));
        }
        outside
    }

    fn befriend(&mut self, contact: &Contact) {
        self.contacts.insert(contact.endpoint, contact.id);
        self.hand(&contact.endpoint, &Request::hello(contact.id).bytes());
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        let now = self.now;
        for shard in 0..u8::try_from(self.shards.len()).unwrap() {
            self.with(shard, |node, tray| node.handle_timeout(now, tray));
        }
        self.settle();
    }

    /// A contact answers no more, and the node finds out.
    fn lose(&mut self, contact: &Contact) {
        // Whoever waits for a place has been asked, so that none is a matter of chance.
        self.wait_long();
        self.contacts.remove(&contact.endpoint);
        let ask = Command::Ask {
            endpoint: contact.endpoint,
            id: Some(contact.id),
            request: Ask::Ping,
            recurse: false,
        };
        let (by, now) = (self.any(), self.now);
        self.with(by, |node, tray| node.begin(now, ask, tray)).unwrap();
        self.wait_long();
    }

    /// Ten seconds, in steps so small that no two things are due in one.
    fn wait_long(&mut self) {
        for _ in 0..270 {
            self.wait_ms(37);
        }
    }

    /// Whom it tells a client about.
    fn closest(&mut self, target: Id, asker: Id) -> Vec<Id> {
        let request = Request {
            flags: kdht_wire::Flags::CLIENT,
            len_min: 1_232,
            ..Request::new(Kind::FindNode, target, asker)
        };
        let sent = self.hand(&endpoint("99.9.9.9:9"), &request.bytes());
        let reply = reply_of(sent.iter().map(|s| s.bytes.as_slice()), request.tx_id).unwrap();
        let Body::Contacts { contacts, .. } = reply.body else { panic!("{reply:?}") };
        sorted(contacts, &target)
    }
}

/// The ids of an answer, nearest first.
fn sorted(contacts: &[Contact], target: &Id) -> Vec<Id> {
    let mut ids: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
    ids.sort_by_key(|id| id.distance(target));
    ids
}

fn unthrottled(k: u8) -> Config {
    let mut config = Config { k, pending_max: 4_096, ..Config::default() };
    config.throttle.slots = 0;
    config
}

/// Ids as they come, or nine of ten under one prefix of 12 bits.
fn contact(rng: &mut Rng, own: &Id, is_skewed: bool, at: usize) -> Contact {
    let mut id = rng.id();
    if is_skewed && rng.below(10) > 0 {
        id.0[0] = own.0[0];
        id.0[1] = own.0[1] & 0xf0 | id.0[1] & 0x0f;
    }
    Contact::new(id, address(1 + at))
}

#[test]
fn a_sharded_table_answers_as_an_unsharded_one_does() {
    let mut seed = 0x5_4a5d;
    for k in [8, 20] {
        for is_skewed in [false, true] {
            let count = 400;
            let mut told: Option<Vec<Vec<Id>>> = None;
            seed += 1;
            for shards in 1..=16 {
                let mut flock = Flock::new(seed, shards, &unthrottled(k));
                flock.is_steered = shards % 2 == 0;
                let own = flock.id();
                let mut random = rng(seed ^ 0xff);
                let mut known: Vec<Contact> = Vec::new();
                for at in 0..count {
                    let newcomer = contact(&mut random, &own, is_skewed, at);
                    flock.befriend(&newcomer);
                    known.push(newcomer);
                    if at % 16 == 15 {
                        let lost = usize::try_from(random.below(known.len() as u64)).unwrap();
                        flock.lose(&known.swap_remove(lost));
                    }
                }
                let answers: Vec<Vec<Id>> = (0..200)
                    .map(|round| {
                        let mut target = random.id();
                        if round % 2 == 0 {
                            target.0[..3].copy_from_slice(&own.0[..3]);
                        }
                        let asker = known[round % known.len()].id;
                        let closest = flock.closest(target, asker);
                        assert!(!closest.contains(&asker) && !closest.contains(&own));
                        closest
                    })
                    .collect();
                assert!(answers.iter().all(|ids| ids.len() == usize::from(k)));
                match &told {
                    None => told = Some(answers),
                    Some(told) => {
                        assert!(*told == answers, "seed {seed}, {shards} shards, k {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_shard_that_missed_notes_is_told_anew() {
    let mut flock = Flock::new(3, 4, &unthrottled(20));
    let own = flock.id();
    let mut random = rng(77);
    for at in 0..200 {
        let newcomer = contact(&mut random, &own, false, at);
        flock.befriend(&newcomer);
    }
    // The last shard loses every third note that is for it from here on.
    let mut fate = 0;
    for at in 200..300 {
        let newcomer = contact(&mut random, &own, at % 2 == 0, at);
        flock.contacts.insert(newcomer.endpoint, newcomer.id);
        flock.arrive(&newcomer.endpoint, &Request::hello(newcomer.id).bytes());
        for ((_, to), notes) in &mut flock.notes {
            notes.retain(|note| {
                fate += 1;
                *to != 3 || !matches!(note, Note::Standing(..)) || fate % 3 > 0
            });
        }
        flock.notes.retain(|_, notes| !notes.is_empty());
        flock.settle();
    }
    for from in 0..3_u8 {
        let notes = flock.shards[usize::from(from)].retell();
        flock.notes.entry((from, 3)).or_default().extend(notes);
    }
    flock.settle();
    let request = Request { len_min: 1_232, ..Request::new(Kind::FindNode, own, Id([9; 20])) };
    let (route, now) = (Route::to(endpoint("99.9.9.9:9")), flock.now);
    let answers: Vec<Vec<u8>> = (0..4)
        .map(|shard| {
            let bytes = request.bytes();
            flock.with(shard, |node, tray| node.handle_datagram(now, &route, &bytes, tray));
            let mut sent = Vec::new();
            flock.tray.drain(|_, bytes| sent.push(bytes.to_vec()));
            let sent = sent.into_iter().find(|bytes| is_reply(bytes)).unwrap();
            let Body::Contacts { contacts, .. } = Message::parse(&sent).unwrap().body else {
                panic!("no contacts")
            };
            contacts.iter().flat_map(|contact| contact.id.0).collect()
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.len() == 20 * 20));
}

#[test]
fn a_cookie_from_one_shard_is_honoured_by_every_other_and_values_are_found_by_all() {
    for shards in [1, 2, 3, 8] {
        let mut flock = Flock::new(9, shards, &unthrottled(20));
        flock.is_steered = false;
        let client = endpoint("99.9.9.9:9");
        let hello = Request {
            flags: kdht_wire::Flags::CLIENT,
            ..Request::new(Kind::Ping, Id([5; 20]), Id([5; 20]))
        };
        let cookie = {
            let sent = flock.hand(&client, &hello.bytes());
            Message::parse(&sent[0].bytes).unwrap().head.cookie.get()
        };
        for at in 0..64_u8 {
            let bytes = vec![at; 40];
            let key = key_of_value(&bytes);
            let value = Value {
                publisher: ValuePublisher::Immutable,
                remaining_s: 600,
                bytes: bytes.clone(),
            };
            let record = value.record();
            let store = Request::store(key, Id([5; 20]), record, cookie);
            let sent = flock.hand(&client, &store.bytes());
            let reply = Message::parse(&sent[0].bytes).unwrap();
            assert_eq!(reply.kind, Kind::Store, "{shards} shards: {reply:?}");
            let find = Request { cookie, ..Request::new(Kind::FindValue, key, Id([5; 20])) };
            let sent = flock.hand(&client, &find.bytes());
            let Body::Values { records, .. } = Message::parse(&sent[0].bytes).unwrap().body else {
                panic!("{shards} shards: not found")
            };
            assert!(records.iter().any(|record| record.value == bytes));
            let by = flock.shards[0].spread().of(&key);
            let now = flock.now;
            let command =
                Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 };
            flock.with(by, |node, tray| node.begin(now, command, tray)).unwrap();
            flock.settle();
            let event = flock.events.pop().unwrap();
            let Event::Done(report) = event else { panic!("{event:?}") };
            assert!(matches!(report.outcome, Outcome::Values { .. }), "{report:?}");
        }
        let held: Vec<u32> = flock.shards.iter().map(|shard| shard.usage().values).collect();
        assert_eq!(held.iter().sum::<u32>(), 64);
        assert!(held.iter().filter(|values| **values > 0).count() >= usize::from(shards.min(4)));
    }
}

#[test]
fn a_sharded_node_joins_through_a_contact_that_another_shard_owns() {
    for shards in [1, 2, 5, 8] {
        let mut flock = Flock::new(11, shards, &unthrottled(20));
        let mut random = rng(5);
        let friend = Contact::new(random.id(), address(40));
        flock.contacts.insert(friend.endpoint, friend.id);
        let now = flock.now;
        flock.with(0, |node, tray| node.join(now, &[friend.endpoint], tray));
        flock.settle();
        flock.wait_ms(10);
        let joined = flock.events.iter().any(|e| matches!(e, Event::Joined { .. }));
        assert!(joined, "{shards} shards: {:?}", flock.events);
        assert_eq!(flock.closest(Id([1; 20]), Id([2; 20])), [friend.id]);
    }
}

/// Contacts of a wide table: everywhere; in few cells; most under one prefix of 12 bits,
/// which is the own one or another.
fn wide_contact(rng: &mut Rng, own: &Id, shape: usize, at: usize) -> Contact {
    let mut id = rng.id();
    let is_crowd = rng.below(10) > 0;
    let within = id.0[1] & 0x0f;
    match shape {
        1 => id.0[0] &= 0x71,
        2 if is_crowd => id.0[..2].copy_from_slice(&[own.0[0], own.0[1] & 0xf0 | within]),
        3 if is_crowd => id.0[..2].copy_from_slice(&[!own.0[0], within]),
        _ => {}
    }
    Contact::new(id, address(1 + at))
}

#[test]
fn a_sharded_wide_table_answers_as_an_unsharded_one_does() {
    let mut private = 0;
    for (shape, count) in [(0, 2_000), (1, 2_000), (2, 1_500), (3, 1_500)] {
        let seed = 0x77 + shape as u64;
        let k = if shape % 2 == 0 { 20 } else { 8 };
        let mut told: Option<Vec<Vec<Id>>> = None;
        for shards in 1..=16 {
            let config = Config { table: TableKind::Wide(100_000), ..unthrottled(k) };
            let mut flock = Flock::new(seed, shards, &config);
            flock.is_steered = shards % 2 == 0;
            let own = flock.id();
            let mut random = rng(seed ^ 0xff);
            let mut known: Vec<Contact> = Vec::new();
            for at in 0..count {
                let newcomer = wide_contact(&mut random, &own, shape, at);
                flock.befriend(&newcomer);
                known.push(newcomer);
                if at % 500 == 499 {
                    let lost = usize::try_from(random.below(known.len() as u64)).unwrap();
                    flock.lose(&known.swap_remove(lost));
                }
            }
            let answers: Vec<Vec<Id>> = (0..300)
                .map(|round| {
                    let target = wide_contact(&mut random, &own, shape, 0).id;
                    let asker = known[round % known.len()].id;
                    flock.closest(target, asker)
                })
                .collect();
            let of_key: Vec<Vec<Id>> = (0..100)
                .map(|_| {
                    let key = wide_contact(&mut random, &own, shape, 0).id;
                    let find = Request {
                        flags: kdht_wire::Flags::CLIENT,
                        len_min: 1_232,
                        ..Request::new(Kind::FindValue, key, Id([9; 20]))
                    };
                    let sent = flock.hand(&endpoint("99.9.9.9:9"), &find.bytes());
                    let replies = sent.iter().map(|s| s.bytes.as_slice());
                    let reply = reply_of(replies, find.tx_id).unwrap();
                    let Body::Contacts { contacts, .. } = reply.body else { panic!("{reply:?}") };
                    sorted(contacts, &key)
                })
                .collect();
            let answers = [answers, of_key].concat();
            if shards == 1 {
                let mut sorted: Vec<Id> = known.iter().map(|contact| contact.id).collect();
                sorted.sort_by_key(|id| id.distance(&own));
                let asked = flock.closest(own, Id([7; 20]));
                assert_eq!(asked, sorted[..usize::from(k)], "shape {shape}");
            }
            let held: usize = flock.shards.iter().map(|shard| shard.members().count()).sum();
            assert_eq!(held, known.len(), "shape {shape}, {shards} shards");
            private += flock.shards.iter().filter(|s| s.private_cells().0 > 0).count();
            match &told {
                None => told = Some(answers),
                Some(told) => assert!(*told == answers, "shape {shape}, {shards} shards, k {k}"),
            }
        }
    }
    assert!(private > 0, "no table was large enough to be divided");
}
