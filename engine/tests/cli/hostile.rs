//! Hostile bytes against a running node: each counted by its reason, never more than three
//! times as much sent back, and the node still serves.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use kdht_wire::{
    Emit, Fault, FindValueBody, Flags, Head, Id, Kind, NetworkKey, Publisher, Record, StoreBody,
    key_of_value,
};

use crate::daemon::{Daemon, run};

const KEY: NetworkKey =
    NetworkKey { id: 7, secret: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] };
const KEY_FILE: &str = "7 000102030405060708090a0b0c0d0e0f\n";

/// A stranger with a socket.
struct Stranger {
    socket: UdpSocket,
    node: std::net::SocketAddr,
}

impl Stranger {
    fn new(node: &Daemon) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        Self { socket, node: node.addr }
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.node).unwrap();
    }

    /// What comes back, if anything does.
    fn ask(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.send(bytes);
        self.receive()
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut buf = [0; 4096];
        let (len, _) = self.socket.recv_from(&mut buf).ok()?;
        Some(buf[..len].to_vec())
    }
}

fn head(kind: Kind) -> Head {
    let mut head = Head::request(kind, 77, Id([3; 20]), Id([4; 20]));
    head.flags = Flags::CLIENT.0.into();
    head
}

fn laid(head: Head, key: Option<&NetworkKey>, fill: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    let mut buf = [0; 2048];
    let mut emit = Emit::datagram(&mut buf, head, key, usize::MAX).unwrap();
    fill(&mut emit);
    let len = emit.finish();
    buf[..len].to_vec()
}

fn bare(kind: Kind) -> Vec<u8> {
    laid(head(kind), None, |_| {})
}

fn now_s() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u32::try_from(since.as_secs()).unwrap()
}

fn code_of(reply: Option<Vec<u8>>) -> Option<Fault> {
    let reply = reply?;
    match kdht_wire::Message::parse(&reply).unwrap().body {
        kdht_wire::Body::Fault(fault, _) => Some(fault),
        _ => None,
    }
}

#[test]
fn each_kind_of_hostile_datagram_is_counted_by_its_reason() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    let stranger = Stranger::new(&node);
    let mutated = |at: usize, byte: u8| {
        let mut bytes = bare(Kind::FindNode);
        bytes[at] = byte;
        bytes
    };
    let padded =
        |bytes: &[u8]| laid(head(Kind::Ping), None, |emit| emit.extension(0, bytes).unwrap());
    let nine = || {
        let mut bytes = laid(head(Kind::Ping), None, |emit| {
            (0..8).for_each(|_| emit.extension(0, &[]).unwrap());
        });
        bytes.extend([0; 4]);
        bytes[8] += 4;
        bytes
    };
    let forwarded = {
        let mut head = head(Kind::FindNode);
        head.flags = Flags::FORWARD.with(Flags::CLIENT).0.into();
        laid(head, None, |emit| emit.extension(1, &[0; 40]).unwrap())
    };
    let reply = {
        let mut head = head(Kind::Ping);
        head.flags = Flags::REPLY.0.into();
        laid(head, None, |emit| emit.body(&[0_u8; 20]).unwrap())
    };
    let fault = {
        let mut head = head(Kind::Fault);
        head.flags = Flags::REPLY.0.into();
        head.arg = Fault::Version as u8;
        laid(head, None, |_| {})
    };
    let announced = laid(head(Kind::Store), None, |emit| {
        emit.body(&StoreBody { cas: 0.into() }).unwrap();
        let record = Record::whole(Publisher::Immutable, 60, b"x").unwrap().announced();
        emit.store_record(&record).unwrap();
    });
    let filter = laid(head(Kind::FindValue), None, |emit| {
        let mut body = FindValueBody::new(&kdht_wire::Filter::Any, 0);
        body.filter = 9;
        emit.body(&body).unwrap();
    });
    let store = laid(head(Kind::Store), None, |emit| {
        emit.body(&StoreBody { cas: 0.into() }).unwrap();
        emit.store_record(&Record::whole(Publisher::Immutable, 60, b"x").unwrap()).unwrap();
    });
    let keyed = laid(head(Kind::Ping), Some(&KEY), |_| {});
    let recursive = {
        let mut head = head(Kind::FindNode);
        head.flags = Flags::RECURSE.with(Flags::CLIENT).0.into();
        laid(head, None, |_| {})
    };
    let cases: [(&str, Vec<u8>, Option<Fault>); 24] = [
        ("short", vec![], None),
        ("short", b"K".to_vec(), None),
        ("short", bare(Kind::Ping)[..60].to_vec(), None),
        ("oversize", vec![0x4b; 1233], None),
        ("oversize", vec![0x4b; 9000], None),
        ("magic", vec![0xa5; 500], None),
        ("magic", b"{\"kind\":\"ping\",\"tx_id\":\"0000000000000001\"}".to_vec(), None),
        ("version", mutated(2, 2), Some(Fault::Version)),
        ("reserved", mutated(5, 1), Some(Fault::Malformed)),
        ("kind", mutated(3, 99), Some(Fault::Kind)),
        ("length", mutated(8, 1), Some(Fault::Malformed)),
        ("fault_form", mutated(3, 5), None),
        ("body", bare(Kind::FindValue), Some(Fault::Malformed)),
        ("filter", filter, Some(Fault::Malformed)),
        ("value", announced, Some(Fault::Malformed)),
        ("extension", padded(&[0, 0, 1]), Some(Fault::Malformed)),
        ("extension", nine(), Some(Fault::Malformed)),
        ("mac_unexpected", keyed, None),
        ("unmatched", reply, None),
        ("unmatched", fault, None),
        ("cookie", store, Some(Fault::Cookie)),
        ("cookie", recursive, Some(Fault::Cookie)),
        ("forward", forwarded, None),
        (
            "items",
            laid(head(Kind::Store), None, |e| e.body(&[0_u8; 8]).unwrap()),
            Some(Fault::Malformed),
        ),
    ];
    for (reason, bytes, fault) in cases {
        let before = node.refused(reason);
        let reply = stranger.ask(&bytes);
        if let Some(reply) = &reply {
            assert!(reply.len() <= bytes.len(), "{reason}: a FAULT longer than its request");
        }
        assert_eq!(code_of(reply), fault, "{reason}");
        assert_eq!(node.refused(reason), before + 1, "{reason}: {bytes:02x?}");
    }
    still_serves(home.path(), &node, &[]);
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_node() {
    let home = tempfile::tempdir().unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let node = Daemon::start_logging_to(
        full.into(),
        &home.path().join("state"),
        &["--bootstrap", &nobody],
    );
    node.wait_until("failed joins, which are logged", |stat| stat["timeouts"].as_u64() >= Some(2));
    still_serves(home.path(), &node, &[]);
}

/// A node that did the lookup may lie: what it names is believed only if it proves itself
/// and is what was asked for.
#[test]
fn a_recursive_answer_of_another_publisher_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    let key = key_of_value(b"evil");
    let liar = std::thread::spawn(move || {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buf = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buf) {
            let request = kdht_wire::Message::parse(&buf[..len]).unwrap();
            let mut head = *request.head;
            head.sender = Id([6; 20]);
            head.flags = Flags::REPLY.0.into();
            let is_last = request.kind == Kind::FindValue;
            let total = u16::from(is_last).into();
            let observed = kdht_wire::Endpoint::from(from);
            let reply = laid(head, None, |emit| {
                emit.body(&kdht_wire::ReplyBody { observed, total }).unwrap();
                if is_last {
                    let record = Record::whole(Publisher::Immutable, 60, b"evil").unwrap();
                    emit.record(&record).unwrap();
                }
            });
            socket.send_to(&reply, from).unwrap();
            if is_last {
                return;
            }
        }
    });
    let publisher = "9a".repeat(32);
    let args = ["get", &key.to_string(), "--publisher", &publisher, "--recurse", "--via", &addr];
    let got = run(home.path(), &args);
    liar.join().unwrap();
    assert_eq!(got.status.code(), Some(1), "{got:?}");
    assert!(got.stdout.is_empty(), "{got:?}");
}

#[test]
fn a_keyed_node_counts_strangers_and_replays_and_answers_none() {
    let home = tempfile::tempdir().unwrap();
    let key_file = home.path().join("key");
    std::fs::write(&key_file, KEY_FILE).unwrap();
    let key_file = key_file.to_str().unwrap();
    let node = Daemon::start(&home.path().join("state"), &["--network-key", key_file]);
    let stranger = Stranger::new(&node);
    let ping = |key: Option<&NetworkKey>, time_s: u32| {
        let mut head = head(Kind::Ping);
        head.time_s = time_s.into();
        laid(head, key, |_| {})
    };
    assert!(stranger.ask(&ping(Some(&KEY), now_s())).is_some(), "a member is answered");
    let mut wrong = ping(Some(&KEY), now_s());
    *wrong.last_mut().unwrap() ^= 1;
    let foreign = NetworkKey { secret: [9; 16], ..KEY };
    let unknown = NetworkKey { id: 8, ..KEY };
    let mut bounced = ping(Some(&KEY), now_s());
    bounced[4] |= 1;
    for (reason, bytes) in [
        ("mac_missing", ping(None, now_s())),
        ("mac_wrong", wrong),
        ("mac_wrong", ping(Some(&foreign), now_s())),
        ("mac_wrong", bounced),
        ("short", ping(Some(&KEY), now_s())[..79].to_vec()),
        ("mac_wrong", [&ping(Some(&KEY), now_s())[..], &[0]].concat()),
        ("mac_key", ping(Some(&unknown), now_s())),
        ("stale", ping(Some(&KEY), now_s() - 125)),
        ("stale", ping(Some(&KEY), now_s() + 125)),
    ] {
        let before = node.refused(reason);
        let reply = stranger.ask(&bytes);
        assert_eq!(reply, None, "{reason}");
        assert_eq!(node.refused(reason), before + 1, "{reason}");
    }
    still_serves(home.path(), &node, &["--network-key", key_file]);
}

#[test]
fn a_cookie_is_good_from_its_own_endpoint_only() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    let (honest, thief) = (Stranger::new(&node), Stranger::new(&node));
    let pong = honest.ask(&bare(Kind::Ping)).unwrap();
    let cookie = kdht_wire::Message::parse(&pong).unwrap().head.cookie;
    let mut head = head(Kind::Store);
    head.cookie = cookie;
    head.target = key_of_value(b"x");
    let store = laid(head, None, |emit| {
        emit.body(&StoreBody { cas: 0.into() }).unwrap();
        emit.store_record(&Record::whole(Publisher::Immutable, 60, b"x").unwrap()).unwrap();
    });
    assert_eq!(code_of(thief.ask(&store)), Some(Fault::Cookie));
    assert_eq!(code_of(honest.ask(&store)), None, "stored");
    assert_eq!(node.stat()["store"]["values"], 1);
}

#[test]
fn a_flood_from_many_ports_draws_at_most_three_times_its_bytes() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    for _ in 0..50 {
        let stranger = Stranger::new(&node);
        let asked = bare(Kind::FindNode);
        for _ in 0..200 {
            stranger.send(&asked);
        }
    }
    node.wait_until("the flood", |stat| stat["datapath"]["datagrams_in"].as_u64() > Some(5_000));
    let stat = node.stat();
    let bytes = |name: &str| stat["datapath"][name].as_u64().unwrap();
    assert!(bytes("bytes_out") <= 3 * bytes("bytes_in"), "{stat}");
    still_serves(home.path(), &node, &[]);
}

#[test]
fn a_source_that_asks_too_much_is_throttled_and_others_are_not() {
    let home = tempfile::tempdir().unwrap();
    let limits = ["--set", "throttle.rate_per_s=10", "--set", "throttle.burst=20"];
    let node = Daemon::start(&home.path().join("state"), &limits);
    let stranger = Stranger::new(&node);
    for _ in 0..200 {
        stranger.send(&bare(Kind::Ping));
    }
    node.wait_until("throttling", |stat| stat["refusals"]["throttled"].as_u64() > Some(100));
    assert!(Stranger::new(&node).ask(&bare(Kind::Ping)).is_some());
}

#[test]
fn random_datagrams_of_every_length_do_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    let stranger = Stranger::new(&node);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for len in 0..=1_500_usize {
        let mut bytes = vec![0; len];
        for byte in &mut bytes {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = random.to_le_bytes()[7];
        }
        if len % 2 == 0 && len > 8 {
            bytes[..6].copy_from_slice(&[0x4b, 0x44, 1, (len % 6).to_le_bytes()[0], 0, 0]);
        }
        stranger.send(&bytes);
        if len % 64 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    node.wait_until("all of them", |stat| stat["datapath"]["datagrams_in"].as_u64() > Some(1_400));
    still_serves(home.path(), &node, &[]);
}

fn still_serves(home: &Path, node: &Daemon, args: &[&str]) {
    let addr = node.addr.to_string();
    let pinged = run(home, &[&["ping", &addr], args].concat());
    assert!(pinged.status.success(), "{pinged:?}");
}
