//! Signatures verified on a side thread, over loopback: every STORE is answered, and other
//! requests are served meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use kdht::io::{DatapathChoice, Moment, SocketOptions, bind, uring_available};
use kdht::status::Status;
use kdht::{NodeHandle, PollPolicy, Runner, Verifier, now_of};
use kdht_core::{Config, Node, ThrottleConfig};
use kdht_store::PublisherKey;
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Flags, Head, Id, Kind, Message, Publisher, Record, SignedTail,
    StoreBody, key_of_string,
};

const CLIENT_ID: Id = Id([0xc1; 20]);
const VALUE: &[u8] = b"a value";
/// More than any answer on a host that is busy with other things takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that has signatures verified apart and throttles nobody, and where it listens.
fn open(runner: &Runner) -> (NodeHandle, SocketAddr) {
    let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
    let addr = socket.local_addr();
    let throttle = ThrottleConfig { slots: 0, ..ThrottleConfig::default() };
    let config =
        Config { verify_apart: true, signatures_per_s: 1_000_000, throttle, ..Config::default() };
    let now = now_of(Moment::now());
    let node = Node::new(Id([1; 20]), config, kdht::entropy().unwrap(), now);
    (runner.open(node, vec![socket], None).unwrap().unwrap(), addr)
}

/// Asks as a client from a socket of its own.
struct Client {
    socket: UdpSocket,
    cookie: u64,
}

impl Client {
    /// One that the node at `addr` gave a cookie.
    fn of(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { socket, cookie: 0 };
        client.send(Kind::Ping, CLIENT_ID, 0, None);
        client.cookie = client.receive(|message| message.head.cookie.get());
        client
    }

    fn send(&self, kind: Kind, target: Id, tx_id: u64, record: Option<&Record<'_>>) {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut head = Head::request(kind, tx_id, target, CLIENT_ID);
        head.flags = Flags::CLIENT.0.into();
        head.cookie = self.cookie.into();
        head.time_s = now_of(Moment::now()).unix_s.into();
        let mut emit = Emit::datagram(&mut buf, head, None, usize::MAX).unwrap();
        if let Some(record) = record {
            emit.body(&StoreBody { cas: StoreBody::UNCONDITIONAL.into() }).unwrap();
            emit.store_record(record).unwrap();
        }
        let len = emit.finish();
        self.socket.send(&buf[..len]).unwrap();
    }

    fn receive<T>(&self, read: impl FnOnce(&Message<'_>) -> T) -> T {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let len = loop {
            match self.socket.recv(&mut buf) {
                // Signals of an executor in this process may reach this thread.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("an answer"),
            }
        };
        read(&Message::parse(&buf[..len]).unwrap())
    }
}

fn tail(sequence: u64) -> SignedTail {
    PublisherKey::from_seed(&[7; 32]).sign(&key_of_string("key"), sequence, &[0; 16], VALUE)
}

/// Waits until the node has nothing set aside.
fn settled(handle: &NodeHandle) -> Box<Status> {
    let start = Instant::now();
    loop {
        let status = handle.status().unwrap();
        if status.signatures.parked == 0 {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", status.signatures);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn runners() -> Vec<Runner> {
    let mut choices = vec![DatapathChoice::Mmsg];
    match uring_available() {
        Ok(()) => choices.push(DatapathChoice::Uring),
        Err(reason) => eprintln!("not tested on uring: {reason}"),
    }
    let start = |choice| Runner::start_with(None, choice, PollPolicy::Sleep).unwrap();
    choices.into_iter().map(start).collect()
}

#[test]
fn a_flood_of_forged_stores_is_answered_one_by_one_and_find_node_is_served_meanwhile() {
    /// STOREs sent, and how many of them may be unanswered at once: no more than a socket's
    /// receive buffer of usual size holds, and more than the node sets aside.
    const FLOOD: u64 = 5_000;
    const WINDOW: u64 = 250;
    for runner in runners() {
        let case = runner.picked().to_string();
        let verifier = Verifier::start().unwrap();
        runner.attach(&verifier).unwrap();
        let (handle, addr) = open(&runner);
        let (flooder, finder) = (Client::of(addr), Client::of(addr));
        let mut forged = tail(1);
        forged.signature[0] ^= 1;
        let key = key_of_string("key");
        let record = Record::whole(Publisher::Signed(&forged), 60, VALUE).unwrap();

        let mut told: BTreeMap<&str, u64> = BTreeMap::new();
        let mut answered = vec![false; usize::try_from(FLOOD).unwrap()];
        let (mut sent, mut found) = (0, 0);
        for received in 0..FLOOD {
            while sent < FLOOD && sent - received < WINDOW {
                flooder.send(Kind::Store, key, sent, Some(&record));
                sent += 1;
                if sent % 50 == 0 {
                    finder.send(Kind::FindNode, key, sent, None);
                    let tx_id = finder.receive(|message| {
                        assert!(matches!(message.body, Body::Contacts { .. }), "{case}");
                        message.head.tx_id.get()
                    });
                    assert_eq!(tx_id, sent, "{case}");
                    found += 1;
                }
            }
            let (tx_id, fault) = flooder.receive(|message| match message.body {
                Body::Fault(fault, _) => (message.head.tx_id.get(), fault.name()),
                ref other => panic!("{case}: {other:?}"),
            });
            let first = !std::mem::replace(&mut answered[usize::try_from(tx_id).unwrap()], true);
            assert!(first, "{case}: STORE {tx_id} is answered twice");
            *told.entry(fault).or_default() += 1;
        }
        println!("{case}: {told:?}");
        assert!(told.keys().all(|fault| ["signature", "busy"].contains(fault)), "{told:?}");
        assert!(told.contains_key("signature") && answered.iter().all(|answered| *answered));
        assert_eq!(found, FLOOD / 50);
        let status = settled(&handle);
        assert_eq!(status.refusals["signature"], told["signature"], "{case}");
        assert_eq!(status.signatures.verified, told["signature"], "{case}");
        assert_eq!(status.signatures.refused, told.get("busy").copied().unwrap_or(0), "{case}");
        assert!(status.signatures.parked_max > 0 && status.store.values == 0, "{case}");
    }
}

/// The fault that a STORE of a good value is answered with, if it is not stored.
fn store_good(client: &Client, sequence: u64) -> Option<&'static str> {
    let tail = tail(sequence);
    let record = Record::whole(Publisher::Signed(&tail), 60, VALUE).unwrap();
    client.send(Kind::Store, key_of_string("key"), sequence, Some(&record));
    client.receive(|message| match message.body {
        Body::Fault(fault, _) => Some(fault.name()),
        _ => None,
    })
}

#[test]
fn a_runner_without_a_verifier_verifies_and_one_whose_verifier_has_ended_refuses() {
    for runner in runners() {
        let case = runner.picked().to_string();
        let (handle, addr) = open(&runner);
        let client = Client::of(addr);
        assert_eq!(store_good(&client, 1), None, "{case}");
        let verifier = Verifier::start().unwrap();
        runner.attach(&verifier).unwrap();
        assert_eq!(store_good(&client, 2), None, "{case}");
        assert_eq!(settled(&handle).signatures.verified, 2, "{case}");
        drop(verifier);
        assert_eq!(store_good(&client, 3), Some("busy"), "{case}");
        assert_eq!(settled(&handle).store.values, 1, "{case}");
    }
}

#[test]
fn one_verifier_serves_several_runners_and_outlives_any_of_them() {
    let verifier = Verifier::start().unwrap();
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            let runner = Runner::start(None).unwrap();
            runner.attach(&verifier).unwrap();
            let (handle, addr) = open(&runner);
            (runner, handle, Client::of(addr))
        })
        .collect();
    let mut sequence = 0;
    for (runner, handle, client) in nodes {
        for _ in 0..50 {
            sequence += 1;
            assert_eq!(store_good(&client, sequence), None);
        }
        assert_eq!(settled(&handle).signatures.verified, 50);
        drop(runner);
    }
}
