//! What a node answers, and what it leaves to its daemon.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use kdht_kmod::Settings;
use kdht_kmod_test::{Random, is_passed};
use kdht_wire::{Body, Fault, Flags, Id, KeyRing, Kind, Message, NetworkKey, VERSION};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, V6, contacts, nearest};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("a node passes everything until it is told to answer", passes_until_told),
    ("a ping is answered over both families, and the daemon hears nothing", answers_pings),
    ("a socket of both families answers IPv4, too", answers_v4_on_both),
    ("a reply leaves from the address that was asked", replies_from_the_address_asked),
    ("find_node names the closest contacts of the families wanted", finds_the_closest),
    ("three times its bytes and no more go to whoever has no cookie", keeps_the_rule_of_three),
    ("values, lookups, replies and other formats reach the daemon as they came", passes_the_rest),
    ("a strange version or kind is refused by a FAULT that names those spoken", refuses_strange),
    ("a keyed network answers members only, and signs", answers_members),
    ("keys change while the node runs", changes_keys),
    ("nodes answer apart, a node answers on each of its sockets", keeps_nodes_apart),
    ("tracepoints tell what became of each datagram", traces),
    ("the module's table gives the closest to whoever may control it", tells_the_closest),
];

fn passes_until_told(_: &Module) {
    let daemon = Daemon::silent(V4);
    let client = Client::of(daemon.addr());
    let ping = Request::of(Kind::Ping).bytes();
    assert!(client.is_ignored(&ping));
    assert_eq!(daemon.receive(), Some(ping));
    let status = daemon.status();
    assert_eq!((status.counts.datagrams_in, status.counts.passed), (1, 1));
    assert!(!status.answers);
}

fn answers_pings(_: &Module) {
    for ip in [V4, V6] {
        let daemon = Daemon::answering(ip, Settings::default());
        let client = Client::of(daemon.addr());
        for total in [0, 300, 1_232] {
            let request = Request { total, ..Request::of(Kind::Ping) };
            let reply = client.ask(&request.bytes());
            let reply = Message::parse(&reply).unwrap();
            let Body::PingReply(body) = reply.body else { panic!("{reply:?}") };
            assert_eq!(body.observed, client.endpoint());
            assert_eq!((reply.head.sender, reply.head.target), (daemon.id, request.target));
            assert_eq!(reply.head.tx_id.get(), 0x1122_3344_5566_7788);
            assert!(reply.head.is_reply() && reply.head.cookie.get() != 0);
        }
        assert!(daemon.hears_nothing());
        let counts = daemon.status().counts;
        assert_eq!((counts.datagrams_in, counts.datagrams_out, counts.passed), (3, 3, 0));
        assert_eq!((counts.bytes_in, counts.bytes_out), (72 + 300 + 1_232, 3 * 92));
        assert_eq!((counts.requests_in[0], counts.replies_out[0]), (3, 3));
    }
}

fn answers_v4_on_both(_: &Module) {
    // Bound to the unspecified IPv6 address, a socket takes IPv4 as well.
    let daemon = Daemon::answering(std::net::Ipv6Addr::UNSPECIFIED.into(), Settings::default());
    let client = Client::of(SocketAddr::new(V4, daemon.port()));
    let reply = client.ask(&Request::of(Kind::Ping).bytes());
    let reply = Message::parse(&reply).unwrap();
    let Body::PingReply(body) = reply.body else { panic!("{reply:?}") };
    assert_eq!(body.observed, client.endpoint());
    assert!(body.observed.is_v4());
}

fn replies_from_the_address_asked(_: &Module) {
    let daemon = Daemon::answering(Ipv4Addr::UNSPECIFIED.into(), Settings::default());
    for last in [1, 5, 77] {
        // A connected client hears only whom it asked.
        let asked = Ipv4Addr::new(127, 0, 0, last);
        let client = Client::of(SocketAddr::new(asked.into(), daemon.port()));
        client.ask(&Request::of(Kind::Ping).bytes());
    }
}

fn finds_the_closest(_: &Module) {
    let mut random = Random::from_seed(2);
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let known = [contacts(500, true, &mut random), contacts(300, false, &mut random)];
    known.iter().for_each(|some| daemon.control.add_contacts(&daemon.id, some).unwrap());
    assert_eq!(daemon.status().contacts, [500, 300]);
    let gone = known[0][17];
    daemon.control.remove_contact(&daemon.id, &gone).unwrap();
    assert_eq!(daemon.status().contacts, [499, 300]);
    let known = [
        known[0].iter().filter(|contact| **contact != gone).copied().collect(),
        known[1].clone(),
        [known[0].clone(), known[1].clone()].concat(),
    ];
    let both = Flags::WANT4.with(Flags::WANT6);
    for round in 0..100 {
        let asker = random.pick(&known[0]).unwrap().id;
        let (flags, of) =
            *random.pick(&[(Flags(0), 0), (Flags::WANT4, 0), (Flags::WANT6, 1)]).unwrap();
        let (flags, of) = if round % 4 == 0 { (both, 2) } else { (flags, of) };
        let request = Request {
            target: Id(random.bytes()),
            sender: asker,
            flags,
            total: 300,
            ..Request::of(Kind::FindNode)
        };
        let others: Vec<_> =
            known[of].iter().filter(|c| c.id != asker && **c != gone).copied().collect();
        let reply = client.ask(&request.bytes());
        let reply = Message::parse(&reply).unwrap();
        let Body::Contacts { reply: body, contacts } = reply.body else { panic!("{reply:?}") };
        assert_eq!(contacts, nearest(&others, &request.target, 20), "round {round}");
        assert_eq!(body.total.get(), 20);
    }
}

fn keeps_the_rule_of_three(_: &Module) {
    let mut random = Random::from_seed(3);
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    daemon.control.add_contacts(&daemon.id, &contacts(100, true, &mut random)).unwrap();
    let find = Request::of(Kind::FindNode);
    let mut cookie = 0;
    for (total, contacts) in [(72, 3), (100, 5), (200, 12), (299, 20), (300, 20)] {
        let request = Request { total, ..find }.bytes();
        let reply = client.ask(&request);
        assert!(reply.len() <= 3 * request.len());
        let reply = Message::parse(&reply).unwrap();
        assert_eq!(usize::from(reply.head.arg), contacts, "{total} bytes");
        assert_eq!(reply.head.flags().has(Flags::MORE), contacts < 20);
        cookie = reply.head.cookie.get();
    }
    let whole = client.ask(&Request { cookie, ..find }.bytes());
    assert_eq!(Message::parse(&whole).unwrap().head.arg, 20);
    let wrong = client.ask(&Request { cookie: cookie ^ 2, ..find }.bytes());
    assert_eq!(Message::parse(&wrong).unwrap().head.arg, 3);
    // Somebody else's cookie is worth nothing.
    let other = Client::of(daemon.addr());
    let refused = other.ask(&Request { cookie, ..find }.bytes());
    assert_eq!(Message::parse(&refused).unwrap().head.arg, 3);
}

fn passes_the_rest(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let vectors = kdht_kmod_test::vectors().unwrap();
    let passed = vectors.iter().filter(|vector| is_passed(&vector.bytes, false, |_| true));
    let json = b"{\"version\":1,\"kind\":\"ping\"}".to_vec();
    let others = [b"d1:ad2:id20:".to_vec(), b"?".to_vec(), json, Vec::new()];
    let all: Vec<Vec<u8>> = passed.map(|vector| vector.bytes.clone()).chain(others).collect();
    assert!(all.len() > 50);
    for (at, bytes) in all.iter().enumerate() {
        client.send(bytes);
        assert_eq!(daemon.receive().as_ref(), Some(bytes), "{at}");
    }
    assert_eq!(daemon.status().counts.passed, all.len() as u64);
}

fn refuses_strange(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let ping = Request::of(Kind::Ping).bytes();
    for (place, value, expected) in
        [(2, 9, Fault::Version), (3, 77, Fault::Kind), (5, 1, Fault::Malformed)]
    {
        let mut strange = ping.clone();
        strange[place] = value;
        let reply = client.ask(&strange);
        assert_eq!(reply.len(), strange.len());
        let reply = Message::parse(&reply).unwrap();
        let Body::Fault(fault, detail) = reply.body else { panic!("{reply:?}") };
        assert_eq!(fault, expected);
        assert_eq!((detail.version_max, detail.kinds.get()), (VERSION, 0b11_1110));
        // Nothing answers a reply, nor what is shorter than a FAULT.
        strange[4] |= 1;
        assert!(place == 3 || place == 5 || client.is_ignored(&strange));
    }
    let mut short = ping;
    short[2] = 9;
    assert!(client.is_ignored(&short[..71]));
}

fn member(id: u8) -> NetworkKey {
    NetworkKey { id, secret: [id; 16] }
}

fn answers_members(_: &Module) {
    let ring = KeyRing::new(member(1), Some(member(2)));
    let daemon = Daemon::answering(V4, Settings { keys: Some(ring), ..Settings::default() });
    let client = Client::of(daemon.addr());
    let ping = Request { ring, ..Request::of(Kind::Ping) };
    for signed_by in [ring, KeyRing::new(member(2), None)] {
        let reply = client.ask(&Request { ring: signed_by, ..ping }.bytes());
        assert_eq!(ring.verify(&reply, ping.time_s), Ok(()));
        assert_eq!(reply[6], 1, "the first key signs");
    }
    let mut forged = ping.bytes();
    *forged.last_mut().unwrap() ^= 1;
    for outsider in [
        forged,
        Request { ring: KeyRing::OPEN, ..ping }.bytes(),
        Request { ring: KeyRing::new(member(3), None), ..ping }.bytes(),
        Request { time_s: ping.time_s - 200, ..ping }.bytes(),
        Request { time_s: ping.time_s + 200, ..ping }.bytes(),
    ] {
        assert!(client.is_ignored(&outsider));
    }
    assert!(daemon.hears_nothing());
    let refused = daemon.status().counts.refused;
    let of = |name| {
        let at = kdht_core::Refusal::NAMED.iter().position(|(_, other)| *other == name);
        refused[at.unwrap()]
    };
    assert_eq!(["mac_wrong", "mac_missing", "mac_key", "stale"].map(of), [1, 1, 1, 2],);
}

fn changes_keys(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let open = Request::of(Kind::Ping);
    let keyed = |id| Request { ring: KeyRing::new(member(id), None), ..open };
    client.ask(&open.bytes());
    assert!(client.is_ignored(&keyed(1).bytes()));
    daemon.set(Settings { keys: Some(keyed(1).ring), ..Settings::default() });
    client.ask(&keyed(1).bytes());
    assert!(client.is_ignored(&open.bytes()));
    let both = KeyRing::new(member(2), Some(member(1)));
    daemon.set(Settings { keys: Some(both), ..Settings::default() });
    client.ask(&keyed(1).bytes());
    client.ask(&keyed(2).bytes());
    daemon.set(Settings { keys: Some(KeyRing::OPEN), ..Settings::default() });
    client.ask(&open.bytes());
    assert!(client.is_ignored(&keyed(2).bytes()));
}

fn keeps_nodes_apart(_: &Module) {
    let one = Daemon::answering(V4, Settings::default());
    let other = Daemon::answering(V4, Settings::default());
    let more = UdpSocket::bind((V6, 0)).unwrap();
    one.control.attach(&one.id, more.as_fd(), None).unwrap();
    for (addr, id) in
        [(one.addr(), one.id), (other.addr(), other.id), (more.local_addr().unwrap(), one.id)]
    {
        let reply = Client::of(addr).ask(&Request::of(Kind::Ping).bytes());
        assert_eq!(Message::parse(&reply).unwrap().head.sender, id);
    }
    let mut nodes = one.control.nodes().unwrap();
    nodes.sort_by_key(|node| node.sockets);
    let told: Vec<_> = nodes.iter().map(|node| (node.id, node.sockets)).collect();
    assert_eq!(told, [(other.id, 1), (one.id, 2)]);
    assert_eq!((nodes[0].counts.datagrams_in, nodes[1].counts.datagrams_in), (1, 2));
}

fn tells_the_closest(_: &Module) {
    let mut random = Random::from_seed(4);
    let daemon = Daemon::silent(V4);
    let known = contacts(300, false, &mut random);
    daemon.control.add_contacts(&daemon.id, &known).unwrap();
    for _ in 0..20 {
        let target = Id(random.bytes());
        let told = daemon.control.closest(&daemon.id, false, &target).unwrap();
        assert_eq!(told, nearest(&known, &target, 20));
    }
    assert_eq!(daemon.control.closest(&daemon.id, true, &Id([1; 20])).unwrap(), []);
}

fn traces(_: &Module) {
    let tracing = "/sys/kernel/tracing";
    let enable = format!("{tracing}/events/kdht/enable");
    let daemon = Daemon::answering(V6, Settings::default());
    let client = Client::of(daemon.addr());
    let ping = Request::of(Kind::Ping).bytes();
    let mut strange = ping.clone();
    strange[3] = 77;
    let mut keyed = ping.clone();
    keyed[4] |= 0x80;
    std::fs::write(&enable, "1").unwrap();
    client.ask(&ping);
    client.ask(&strange);
    assert!(client.is_ignored(&keyed));
    client.send(b"another format");
    assert!(daemon.receive().is_some());
    std::fs::write(&enable, "0").unwrap();
    let trace = std::fs::read_to_string(format!("{tracing}/trace")).unwrap();
    let port = client.endpoint().port.get();
    for line in [
        format!("kdht_reply: peer=[::1]:{port} kind=ping refusal=- len=92"),
        format!("kdht_reply: peer=[::1]:{port} kind=fault refusal=kind len=72"),
        format!("kdht_drop: peer=[::1]:{port} reason=mac_unexpected len=72"),
        "kdht_pass: len=14".to_owned(),
    ] {
        assert!(trace.contains(&line), "{line}\n{trace}");
    }
}
