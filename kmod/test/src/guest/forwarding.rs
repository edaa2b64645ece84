//! Requests that travel from node to node, and are answered where they end.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use kdht_core::Refusal;
use kdht_kmod::Settings;
use kdht_kmod_test::Random;
use kdht_wire::{
    Body, Contact, DATAGRAM_LEN_MAX, EXT_FORWARD, Emit, Endpoint, Filter, FindValueBody, Flags,
    Forward, Head, Id, KeyRing, Kind, Message, NetworkKey, Publisher, Record, StoreBody,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::Case;
use crate::daemon::{Daemon, V4, V6, now_s};
use crate::kdht::Node;
use crate::module::Module;
use crate::values::{monotonic_s, record};

pub(crate) const CASES: &[Case] = &[
    ("a request goes from module to module, and is answered by the holder", goes_to_the_holder),
    ("what the daemon may hold is forwarded by nobody but the daemon", leaves_it_to_the_daemon),
    ("forged stamps and false origins are refused, and nobody hears of them", refuses_forgeries),
    ("a flood of forwarded requests leads to one datagram each at most", survives_a_flood),
];

/// Those that need the engine.
pub(crate) const ENGINE_CASES: &[Case] =
    &[("a request meets modules and engines on its way", meets_both)];

const KEY: NetworkKey = NetworkKey { id: 5, secret: *b"all of us know.." };

/// One who asks nodes of its network, and hears whoever answers.
struct Origin {
    socket: UdpSocket,
    tx_id: u64,
}

impl Origin {
    fn at(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { socket, tx_id: 0 }
    }

    fn endpoint(&self) -> Endpoint {
        self.socket.local_addr().unwrap().into()
    }

    fn send(&mut self, to: SocketAddr, kind: Kind, target: Id, cookie: u64) {
        self.tx_id += 1;
        let mut head = Head::request(kind, self.tx_id, target, Id([0xee; 20]));
        head.flags = U16::new(Flags::FORWARD.with(Flags::CLIENT).0);
        head.cookie = U64::new(cookie);
        self.socket.send_to(&laid_out(head, None), to).unwrap();
    }

    /// The next reply, and from where.
    fn hear(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let (len, from) = self.socket.recv_from(&mut buf).ok()?;
        let reply = Message::parse(&buf[..len]).unwrap();
        KeyRing::new(KEY, None).verify(&buf[..len], now_s()).unwrap();
        assert_eq!(reply.head.tx_id.get(), self.tx_id);
        Some((buf[..len].to_vec(), from))
    }

    fn hears_nothing(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let heard = self.socket.recv_from(&mut [0; 1]).is_ok();
        self.socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        !heard
    }

    /// Who `node` is, and the cookie that it gives.
    fn meet(&mut self, node: SocketAddr) -> (Id, u64) {
        self.send(node, Kind::Ping, Id([0xee; 20]), 0);
        let (reply, from) = self.hear().expect("no reply");
        assert_eq!(from, node);
        let head = Message::parse(&reply).unwrap().head;
        (head.sender, head.cookie.get())
    }

    /// Stores a value at `node`, and nowhere else.
    fn store(&mut self, node: SocketAddr, key: Id, value: &[u8]) {
        let (_, cookie) = self.meet(node);
        self.tx_id += 1;
        let publisher = Id([0xee; 20]);
        let mut head = Head::request(Kind::Store, self.tx_id, key, publisher);
        head.flags = U16::new(Flags::CLIENT.0);
        head.cookie = U64::new(cookie);
        head.time_s = U32::new(now_s());
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit = Emit::datagram(&mut buf, head, Some(&KEY), DATAGRAM_LEN_MAX).unwrap();
        emit.body(&StoreBody { cas: U64::new(StoreBody::UNCONDITIONAL) }).unwrap();
        let record = Record::whole(Publisher::Plain(&publisher), 600, value).unwrap();
        emit.store_record(&record).unwrap();
        let len = emit.finish();
        self.socket.send_to(&buf[..len], node).unwrap();
        let (reply, from) = self.hear().expect("no reply");
        assert!(matches!(Message::parse(&reply).unwrap().body, Body::StoreReply(_)));
        assert_eq!(from, node);
    }

    /// Asks `node`, and tells who answered what.
    fn ask(&mut self, node: SocketAddr, kind: Kind, target: Id) -> (Vec<u8>, SocketAddr) {
        let (_, cookie) = self.meet(node);
        self.send(node, kind, target, cookie);
        self.hear().expect("no reply")
    }
}

/// A FIND or PING of the network, as of now.
fn laid_out(mut head: Head, forward: Option<&Forward>) -> Vec<u8> {
    head.time_s = U32::new(now_s());
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let mut emit = Emit::datagram(&mut buf, head, Some(&KEY), DATAGRAM_LEN_MAX).unwrap();
    if head.kind == Kind::FindValue as u8 {
        emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
    }
    if let Some(forward) = forward {
        emit.extension(EXT_FORWARD, forward.as_bytes()).unwrap();
    }
    let len = emit.finish();
    buf[..len].to_vec()
}

/// Its replies' first value, or nothing.
fn value_in(reply: &[u8]) -> Option<Vec<u8>> {
    let Body::Values { records, .. } = Message::parse(reply).unwrap().body else { return None };
    Some(records.iter().next().unwrap().value.to_vec())
}

/// A node that answers in a keyed network, and holds nothing.
fn member(ip: IpAddr) -> Daemon {
    let keys = Some(KeyRing::new(KEY, None));
    let allowance = Some((1_000_000_000, 1_000_000_000));
    let daemon = Daemon::answering(ip, Settings { keys, allowance, ..Settings::default() });
    daemon.control.begin_filter(&daemon.id, None).unwrap();
    daemon.control.complete_filter(&daemon.id).unwrap();
    daemon
}

fn contact(daemon: &Daemon) -> Contact {
    Contact::new(daemon.id, daemon.addr().into())
}

/// An id whose closest node is this one.
fn next_to(daemon: &Daemon) -> Id {
    daemon.id.with_bit(159, !daemon.id.bit(159))
}

fn goes_to_the_holder(_: &Module) {
    for ip in [V4, V6] {
        // Each knows the next; the way is as long as their distances make it.
        let holder = member(ip);
        let mut hops: Vec<Daemon> = (0..3).map(|_| member(ip)).collect();
        let key = next_to(&holder);
        hops.sort_by_key(|hop| std::cmp::Reverse(hop.id.distance(&key)));
        let way: Vec<&Daemon> = hops.iter().chain([&holder]).collect();
        for pair in way.windows(2) {
            pair[0].control.add_contacts(&pair[0].id, &[contact(pair[1])]).unwrap();
        }
        let value = vec![7; 900];
        let records = record(1, 0, 600, &value);
        holder.control.publish(&holder.id, &key, &records, monotonic_s()).unwrap();
        let mut origin = Origin::at(ip);
        let trace = "/sys/kernel/tracing";
        std::fs::write(format!("{trace}/events/kdht/enable"), "1").unwrap();
        let (reply, from) = origin.ask(hops[0].addr(), Kind::FindValue, key);
        std::fs::write(format!("{trace}/events/kdht/enable"), "0").unwrap();
        assert_eq!((from, value_in(&reply)), (holder.addr(), Some(value)));
        let observed = Message::parse(&reply).unwrap();
        let Body::Values { reply: body, .. } = observed.body else { panic!("{observed:?}") };
        assert_eq!(body.observed, origin.endpoint());
        // The cookie is one for the origin, so that it may ask for more.
        let cookie = observed.head.cookie.get();
        origin.send(holder.addr(), Kind::FindValue, key, cookie);
        assert!(value_in(&origin.hear().unwrap().0).is_some());
        let (reply, from) = origin.ask(hops[0].addr(), Kind::FindNode, key);
        assert_eq!(from, holder.addr());
        assert!(matches!(Message::parse(&reply).unwrap().body, Body::Contacts { .. }));
        // What nobody holds is told by whoever is closest to it.
        let (_, from) = origin.ask(hops[0].addr(), Kind::FindValue, next_to(&hops[0]));
        assert_eq!(from, hops[0].addr());
        for hop in &hops {
            let counts = hop.status().counts;
            assert_eq!(counts.forwarded, 2);
            assert_eq!(counts.passed, 0);
        }
        assert_eq!(holder.status().counts.forwarded, 0);
        assert!(way.iter().all(|node| node.hears_nothing()) && origin.hears_nothing());
        let trace = std::fs::read_to_string(format!("{trace}/trace")).unwrap();
        let text = |addr: SocketAddr| match addr {
            SocketAddr::V4(v4) => format!("[::ffff:{}]:{}", v4.ip(), v4.port()),
            SocketAddr::V6(v6) => v6.to_string(),
        };
        let (peer, next) = (text(hops[1].addr()), text(holder.addr()));
        let lines = [
            format!("peer={} next={}", text(hops[0].addr()), text(hops[2].addr())),
            format!("kdht_forward: peer={peer} next={next} kind=find_value hops=6 len=160"),
        ];
        assert!(trace.contains("hops=8 len=160") && trace.contains("hops=7 len=160"), "{trace}");
        for line in lines {
            assert!(trace.contains(&line), "{line}\n{trace}");
        }
    }
}

fn leaves_it_to_the_daemon(_: &Module) {
    let (hop, holder) = (member(V4), member(V4));
    hop.control.add_contacts(&hop.id, &[contact(&holder)]).unwrap();
    let key = next_to(&holder);
    let mut origin = Origin::at(V4);
    let (_, cookie) = origin.meet(hop.addr());
    hop.control.add_keys(&hop.id, &[key]).unwrap();
    origin.send(hop.addr(), Kind::FindValue, key, cookie);
    let passed = hop.receive().expect("passed");
    assert_eq!(Message::parse(&passed).unwrap().head.target, key);
    // And whatever an open network, or a node that does not answer, has no rule for.
    hop.set(Settings { answer: Some(false), ..Settings::default() });
    origin.send(hop.addr(), Kind::FindNode, key, cookie);
    assert!(hop.receive().is_some());
    hop.set(Settings { answer: Some(true), keys: Some(KeyRing::OPEN), ..Settings::default() });
    origin.send(hop.addr(), Kind::FindNode, key, cookie);
    assert!(hop.receive().is_some());
    assert!(origin.hears_nothing() && holder.hears_nothing());
    assert_eq!(hop.status().counts.forwarded, 0);
}

/// What a hop before would send for `origin`.
fn stamped(origin: Endpoint, epoch_s: u32, hops: u8) -> Forward {
    let (tx_id, epoch_s) = (U64::new(1), U32::new(epoch_s));
    let stamp = U64::new(Forward::stamp(tx_id, &origin, epoch_s, &KEY));
    Forward { tx_id, stamp, origin, hops, reserved: 0, epoch_s }
}

fn refuses_forgeries(_: &Module) {
    let mut random = Random::from_seed(71);
    let (hop, holder) = (member(V4), member(V4));
    hop.control.add_contacts(&hop.id, &[contact(&holder)]).unwrap();
    let victim = Origin::at(V4);
    let attacker = UdpSocket::bind((V4, 0)).unwrap();
    let mut refused = 0;
    let mut send = |forward: Forward, target: Id| {
        let mut head = Head::request(Kind::FindNode, random.next_u64(), target, Id([0xdd; 20]));
        head.flags = U16::new(Flags::FORWARD.0);
        attacker.send_to(&laid_out(head, Some(&forward)), hop.addr()).unwrap();
    };
    let near = [next_to(&hop), next_to(&holder)];
    for round in 0..200_u32 {
        let good = stamped(victim.endpoint(), now_s(), 8);
        let mut forward = good;
        match round % 6 {
            0 => forward.stamp = U64::new(good.stamp.get() ^ 1 << (round % 64)),
            1 => forward.tx_id = U64::new(2),
            2 => forward.epoch_s = U32::new(now_s() - 1),
            3 => forward = stamped(victim.endpoint(), now_s() - 125, 8),
            4 => forward = stamped(victim.endpoint(), now_s() + 125, 8),
            _ => forward.origin = holder.addr().into(),
        }
        send(forward, near[(round % 2) as usize]);
        refused += 1;
    }
    for origin in ["127.0.0.1:0", "224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "[::1]:9"] {
        let origin: SocketAddr = origin.parse().unwrap();
        send(stamped(origin.into(), now_s(), 8), near[0]);
        refused += 1;
    }
    // The node itself.
    send(stamped(hop.addr().into(), now_s(), 8), near[0]);
    refused += 1;
    assert!(victim.hears_nothing() && holder.hears_nothing());
    let counts = hop.status().counts;
    assert_eq!(counts.refused[Refusal::Forward as usize], refused);
    assert_eq!((counts.forwarded, counts.datagrams_out), (0, 0));
    // One that is as it should be does go on.
    send(stamped(victim.endpoint(), now_s(), 8), near[1]);
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let (_, from) = victim.socket.recv_from(&mut buf).unwrap();
    assert_eq!(from, holder.addr());
}

fn survives_a_flood(_: &Module) {
    const COUNT: u32 = 20_000;
    let nodes: Vec<Daemon> = (0..3).map(|_| member(V4)).collect();
    for node in &nodes {
        let others: Vec<Contact> =
            nodes.iter().filter(|other| other.id != node.id).map(contact).collect();
        node.control.add_contacts(&node.id, &others).unwrap();
    }
    thread::scope(|scope| {
        for thread in 0..2_u64 {
            let nodes = &nodes;
            scope.spawn(move || {
                let mut random = Random::from_seed(80 + thread);
                let attacker = UdpSocket::bind((V4, 0)).unwrap();
                let origin: Endpoint = attacker.local_addr().unwrap().into();
                for at in 0..COUNT / 2 {
                    let kind = [Kind::FindNode, Kind::FindValue][random.below(2)];
                    let target = Id(random.bytes());
                    let mut head = Head::request(kind, 1, target, Id(random.bytes()));
                    head.flags = U16::new(Flags::FORWARD.with(Flags::CLIENT).0);
                    let hops = u8::try_from(random.below(9)).unwrap();
                    let forward = stamped(origin, now_s(), hops);
                    let to = nodes[random.below(nodes.len())].addr();
                    // Whose buffer is full loses some, as the network may.
                    let _ = attacker.send_to(&laid_out(head, Some(&forward)), to);
                    if at % 64 == 63 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    // What is under way comes to its end.
    thread::sleep(Duration::from_millis(300));
    let (mut came, mut went, mut replied) = (0, 0, 0);
    for node in &nodes {
        let counts = node.status().counts;
        came += counts.datagrams_in;
        went += counts.datagrams_out;
        replied += counts.replies_out.iter().sum::<u64>();
        assert_eq!(counts.passed, 0);
    }
    let forwarded: u64 = nodes.iter().map(|node| node.status().counts.forwarded).sum();
    assert!(went <= came && forwarded + replied == went, "{came}, {went}");
    assert!(forwarded > 1_000 && replied > 1_000, "{forwarded} on, {replied} answered");
    let mut origin = Origin::at(V4);
    for node in &nodes {
        assert_eq!(origin.meet(node.addr()).0, node.id);
    }
}

fn meets_both(_: &Module) {
    let file = "/tmp/forwarding.key";
    let secret: String = KEY.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(file, format!("{} {secret}\n", KEY.id)).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let start = |name: &str, addr: &str, more: &[&str]| {
        let keyed = ["--network-key", file, "--set", "node.k=1"];
        Node::start(name, addr, &[&keyed, more].concat())
    };
    let kernel = start("forward-kernel", "127.1.1.1:4300", &["--routing", "kernel"]);
    let first = kernel.addr.to_string();
    let user = start("forward-user", "127.2.1.1:4300", &["--bootstrap", &first]);
    for node in [&kernel, &user] {
        let good = "kdht_table_good_contacts{family=\"v4\"}";
        node.wait_until("the other", |stat| stat[good] >= 1);
    }
    kernel.wait_until("the filter", |stat| stat["kdht_kernel_complete_filters"] == 1);
    let mut origin = Origin::at(V4);
    let ids = [origin.meet(kernel.addr).0, origin.meet(user.addr).0];
    for (holder, hop, at) in [(&kernel, &user, 0), (&user, &kernel, 1)] {
        let key = ids[at].with_bit(159, !ids[at].bit(159));
        origin.store(holder.addr, key, b"travelled");
        let before = hop.stat()["kdht_forwarded_messages_total"];
        // Often enough to be lent to a module.
        for round in 0..6 {
            let (reply, from) = origin.ask(hop.addr, Kind::FindValue, key);
            assert_eq!(from, holder.addr, "{round}");
            assert_eq!(value_in(&reply).as_deref(), Some(&b"travelled"[..]), "{round}");
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(hop.stat()["kdht_forwarded_messages_total"], before + 6);
    }
    let stat = kernel.stat();
    assert!(stat["kdht_kernel_out_datagrams_total"] >= 6, "{stat:?}");
}
