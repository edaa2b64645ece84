//! The operations that are counted, each over a thousand inputs.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use kdht_core::wide::Wide;
use kdht_core::{Config, Cookies, NS_PER_S, Nanos, Node, Now, Outbox, Rng, Route, TableKind};
use kdht_store::{Limits, Memory, Put, SourceGroup, Storage};
use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Filter, Flags, Head, Id, Kind, Message, Publisher,
    Record, ReplyBody, key_of_value,
};

/// Calls that are counted, after as many that are not, so that memory is warm.
pub(crate) const CALLS: usize = 1_000;
/// Contacts in the tables.
const CONTACTS: u32 = 2_000;
/// Values in the store.
const VALUES: u64 = 10_000;
/// When everything happens.
const NOW: Now = Now { mono: Nanos(1_000 * NS_PER_S), unix_s: 1_000 };

/// An operation by its name in `bench/counts.toml`.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    run: fn(),
}

/// All of them.
pub(crate) const ROWS: [Row; 6] = [
    Row { name: "parse_find_node_reply_20", run: parse },
    Row { name: "emit_find_node_reply_20", run: emit },
    Row { name: "closest_wide_k20_2000", run: closest },
    Row { name: "cookie_valid", run: cookie },
    Row { name: "store_get_hit_10000", run: store_get },
    Row { name: "datagram_find_node_2000", run: datagram },
];

/// Does what the row of this name is about.
///
/// # Errors
/// There is none.
pub(crate) fn run<E: From<String>>(name: &str) -> Result<(), E> {
    let names = || ROWS.map(|row| row.name).join(", ");
    let row = ROWS.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| format!("no row `{name}`; there are {}", names()))?;
    (row.run)();
    Ok(())
}

/// What callgrind collects, by this function's name: from entering it until it is left.
#[inline(never)]
fn collected_here<T>(mut call: impl FnMut(usize) -> T) {
    for number in 0..CALLS {
        black_box(call(number));
    }
}

fn counted<T>(mut call: impl FnMut(usize) -> T) {
    for number in 0..CALLS {
        black_box(call(number));
    }
    collected_here(call);
}

fn rng(number: u8) -> Rng {
    Rng::from_seed([number; 16])
}

fn endpoint(number: u32) -> Endpoint {
    let ip = Ipv4Addr::from(0x0a00_0001 + number);
    Endpoint::from(SocketAddr::from((ip, 4_000)))
}

fn ids(seed: u8) -> Vec<Id> {
    let mut rng = rng(seed);
    (0..CALLS).map(|_| rng.id()).collect()
}

fn lay_reply(out: &mut [u8], head: Head, contacts: &[Contact]) -> usize {
    let Ok(mut emit) = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX) else { return 0 };
    let body = ReplyBody { observed: Endpoint::NONE, total: 20.into() };
    let laid = emit.body(&body).and_then(|()| contacts.iter().try_for_each(|c| emit.contact(c)));
    assert!(laid.is_ok());
    emit.finish()
}

fn reply_of_20() -> (Head, Vec<Contact>) {
    let mut rng = rng(1);
    let mut head = Head::request(Kind::FindNode, 7, rng.id(), rng.id());
    head.flags = Flags::REPLY.0.into();
    (head, (0..20).map(|number| Contact::new(rng.id(), endpoint(number))).collect())
}

fn parse() {
    let (head, contacts) = reply_of_20();
    let mut out = [0; DATAGRAM_LEN_MAX];
    let len = lay_reply(&mut out, head, &contacts);
    assert!(Message::parse(&out[..len]).is_ok());
    counted(|_| Message::parse(black_box(&out[..len])).is_ok());
}

fn emit() {
    let (head, contacts) = reply_of_20();
    let mut out = [0; DATAGRAM_LEN_MAX];
    counted(|_| lay_reply(black_box(&mut out), head, black_box(&contacts)));
}

fn closest() {
    let mut rng = rng(2);
    let mut wide = Wide::new(rng.id(), CONTACTS as usize);
    for number in 0..CONTACTS {
        wide.answered(&rng.id(), &endpoint(number), NOW.mono);
    }
    let targets = ids(3);
    counted(|number| black_box(&wide).closest(&targets[number], 20, &Id::ZERO));
}

fn cookie() {
    let mut cookies = Cookies::new([7; 16], NOW.mono);
    let of = |number: usize| endpoint(u32::try_from(number).unwrap_or(0));
    let fresh: Vec<u64> =
        (0..CALLS).map(|number| cookies.check(&of(number), 0, NOW.mono).fresh).collect();
    counted(|number| cookies.check(&of(number), fresh[number], NOW.mono));
}

fn store_get() {
    let limits = Limits { bytes_max: 1 << 30, source_bytes_max: 1 << 30, ..Limits::default() };
    let mut store = Memory::new(limits, Id::ZERO, [1, 2, 3, 4]);
    let mut keys = Vec::new();
    for number in 0..VALUES {
        let value = number.to_le_bytes().repeat(12);
        let Ok(record) = Record::whole(Publisher::Immutable, 86_400, &value) else { return };
        let key = key_of_value(&value);
        let source = SourceGroup(number);
        let put = Put { key, record: &record, cas: None, source, by_publisher: false };
        assert!(store.put(1_000, &put).is_ok());
        keys.push(key);
    }
    counted(|number| {
        let values = store.values(1_000, &keys[number * 7], &Filter::Any);
        values.from(0).next().map(|record| record.value.len())
    });
}

/// Keeps what the node sends last.
struct Last {
    bytes: Vec<u8>,
    sent: Vec<Vec<u8>>,
    /// Whether all that is sent is kept, rather than counted only.
    keeps: bool,
    count: usize,
}

impl Outbox for Last {
    fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
        Some(&mut self.bytes)
    }

    fn commit(&mut self, len: usize) {
        self.count += 1;
        if self.keeps {
            self.sent.push(self.bytes[..len].to_vec());
        }
    }
}

/// A message of `sender` to a node: a request, or the reply to one.
fn message(kind: Kind, tx_id: u64, ids: (Id, Id), cookie: u64, flags: Flags) -> Vec<u8> {
    let (target, sender) = ids;
    let mut head = Head::request(kind, tx_id, target, sender);
    (head.flags, head.cookie) = (flags.0.into(), cookie.into());
    let mut out = [0; DATAGRAM_LEN_MAX];
    let Ok(mut emit) = Emit::datagram(&mut out, head, None, DATAGRAM_LEN_MAX) else {
        return Vec::new();
    };
    if flags.has(Flags::REPLY) {
        let body = ReplyBody { observed: Endpoint::NONE, total: 0.into() };
        assert!(emit.body(&body).is_ok());
    } else if cookie == 0 {
        emit.pad_to(88);
    }
    let len = emit.finish();
    out[..len].to_vec()
}

/// The node gets to know `id` at `route`: it introduces itself, and answers the ping.
fn befriend(node: &mut Node, out: &mut Last, id: Id, route: &Route) {
    let hello = message(Kind::Ping, 1, (id, id), 0, Flags(0));
    node.handle_datagram(NOW, route, &hello, out);
    for asked in std::mem::take(&mut out.sent) {
        let Ok(asked) = Message::parse(&asked) else { continue };
        if asked.kind == Kind::Ping && !asked.head.is_reply() {
            let head = asked.head;
            let ids = (head.target, id);
            let reply = message(Kind::Ping, head.tx_id.get(), ids, 1, Flags::REPLY);
            node.handle_datagram(NOW, route, &reply, out);
        }
    }
}

fn datagram() {
    let mut rng = rng(4);
    let mut config = Config { table: TableKind::Wide(CONTACTS), ..Config::default() };
    (config.throttle.rate_per_s, config.throttle.burst) = (1_000_000_000, 1_000_000_000);
    let mut node = Node::new(rng.id(), config, [3; 16], NOW);
    let mut out =
        Last { bytes: vec![0; DATAGRAM_LEN_MAX], sent: Vec::new(), keeps: true, count: 0 };
    for number in 0..CONTACTS {
        befriend(&mut node, &mut out, rng.id(), &Route::to(endpoint(number)));
        out.sent.clear();
    }
    assert_eq!(node.fill()[0].good, CONTACTS as usize);
    let (client, route) = (rng.id(), Route::to(endpoint(1 << 20)));
    let ask = |target, cookie| message(Kind::FindNode, 5, (target, client), cookie, Flags::CLIENT);
    node.handle_datagram(NOW, &route, &ask(client, 0), &mut out);
    let replies = std::mem::take(&mut out.sent);
    let cookie = replies.iter().find_map(|reply| Message::parse(reply).ok());
    let cookie = cookie.map_or(0, |reply| reply.head.cookie.get());
    let requests: Vec<Vec<u8>> = ids(5).into_iter().map(|target| ask(target, cookie)).collect();
    out.keeps = false;
    let mut now = NOW;
    let before = out.count;
    counted(|number| {
        // The throttle earns a unit a nanosecond.
        now.mono = Nanos(now.mono.0 + 4);
        node.handle_datagram(now, &route, &requests[number], &mut out);
    });
    assert_eq!(out.count - before, 2 * CALLS);
}
