//! Forwarding over real sockets: an origin, a hop and a holder that the origin never heard of.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kdht::{Hosting, JoinNews, Launch, NodeHandle, Runner};
use kdht_core::{Command, Config, Outcome, Rng, Value, ValuePublisher};
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Filter, FindValueBody, Flags, Head, Id, KeyRing, Kind, Message,
    NetworkKey, key_of_value,
};

const KEY: NetworkKey = NetworkKey { id: 3, secret: [0x33; 16] };
const PATIENCE: Duration = Duration::from_secs(20);

struct Started {
    node: NodeHandle,
    addr: SocketAddr,
    id: Id,
    _runner: Runner,
    _streams: kdht::stream::Streams,
}

impl Started {
    fn new(rng: &mut Rng, config: Config) -> Self {
        // One replica, so that the others do not hold what is asked for.
        let config = Config { k: 1, keys: KeyRing::new(KEY, None), ..config };
        let id = rng.id();
        let listen = ["127.0.0.1:0".parse().unwrap()];
        let hosting = Hosting::default();
        let launch = Launch::prepare(id, &config, rng.secret(), &listen, true, &hosting).unwrap();
        let (addr, runner) = (launch.listening()[0], common::runner());
        let (node, streams) = launch.start(std::slice::from_ref(&runner)).unwrap();
        Self { node, addr, id, _runner: runner, _streams: streams }
    }

    fn join(&self, by: &Self) {
        let news = self.node.join(vec![by.addr.into()]).unwrap();
        let joined = news.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(joined, JoinNews::Joined { .. }), "{joined:?}");
    }

    fn forwarded(&self) -> u64 {
        self.node.status().unwrap().forwarded
    }
}

/// A hop and a holder that know each other, and a value that the holder alone has.
fn hop_and_holder(rng: &mut Rng, before: impl FnOnce(&Started)) -> (Started, Started, Id, Vec<u8>) {
    let hop = Started::new(rng, Config::default());
    before(&hop);
    let holder = Started::new(rng, Config::default());
    holder.join(&hop);
    let near = |bytes: &Vec<u8>| {
        let key = key_of_value(bytes);
        holder.id.distance(&key) < hop.id.distance(&key)
    };
    let bytes = (0..).map(|at: u32| at.to_string().repeat(90).into_bytes()).find(near).unwrap();
    let (publisher, key) = (ValuePublisher::Immutable, key_of_value(&bytes));
    let value = Value { publisher, remaining_s: 600, bytes: bytes.clone() };
    let put = holder.node.call(Command::Put { key, value, cas: None }, PATIENCE).unwrap();
    let Outcome::Stored(stored) = put.outcome else { panic!("{:?}", put.outcome) };
    assert_eq!(stored.acknowledged, 1);
    assert_eq!(hop.node.status().unwrap().store.values, 0);
    assert_eq!(holder.node.status().unwrap().store.values, 1);
    (hop, holder, key, bytes)
}

#[test]
fn a_get_of_a_node_that_forwards_is_answered_by_a_holder_that_it_never_heard_of() {
    let mut rng = Rng::from_seed([1; 16]);
    // A client is told of to nobody, so that the holder does not come to know it.
    let client = Config { client: true, forward: true, ..Config::default() };
    let origin = Started::new(&mut rng, client);
    let (hop, holder, key, bytes) = hop_and_holder(&mut rng, |hop| origin.join(hop));
    let get = Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 };
    let report = origin.node.call(get, PATIENCE).unwrap();
    let Outcome::Values { values, holder: found, .. } = report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert_eq!(values[0].bytes, bytes);
    assert_eq!(found, Some((holder.id, holder.addr.into())));
    assert_eq!(report.messages, 1, "it asked the hop alone");
    assert_eq!((hop.forwarded(), holder.forwarded()), (1, 0));
    let good = origin.node.status().unwrap().table.v4.good;
    assert_eq!(good, 1, "the holder is no contact");
    // What nobody holds is looked for as ever.
    let nothing = key.with_bit(159, !key.bit(159));
    let get = Command::FindValue { key: nothing, filter: Filter::Any, values_max: 1, holders: 1 };
    let report = origin.node.call(get, PATIENCE).unwrap();
    assert!(matches!(report.outcome, Outcome::NotFound), "{:?}", report.outcome);
}

fn unix_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u32::try_from(since.as_secs()).unwrap()
}

#[test]
fn a_hop_says_nothing_and_the_holder_answers_the_socket_that_asked() {
    let mut rng = Rng::from_seed([2; 16]);
    let (hop, holder, key, bytes) = hop_and_holder(&mut rng, |_| {});
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut cookie = 0;
    for (tx_id, kind) in [(1, Kind::Ping), (2, Kind::FindValue), (3, Kind::FindNode)] {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut head = Head::request(kind, tx_id, key, Id([0xee; 20]));
        head.flags = Flags::CLIENT.with(Flags::FORWARD).0.into();
        head.time_s = unix_s().into();
        head.cookie = cookie.into();
        let mut emit = Emit::datagram(&mut buf, head, Some(&KEY), usize::MAX).unwrap();
        if kind == Kind::FindValue {
            emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
        }
        let len = emit.finish();
        socket.send_to(&buf[..len], hop.addr).unwrap();
        let mut buf = [0; 2_048];
        let (len, from) = loop {
            // An executor's timers signal the process.
            match socket.recv_from(&mut buf) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received.unwrap(),
            }
        };
        let reply = Message::parse(&buf[..len]).unwrap();
        assert_eq!((reply.kind, reply.head.tx_id.get()), (kind, tx_id));
        let (wanted, id) = match kind {
            Kind::Ping => (hop.addr, hop.id),
            _ => (holder.addr, holder.id),
        };
        assert_eq!((from, reply.head.sender), (wanted, id), "{kind:?}");
        if let Body::Values { records, .. } = &reply.body {
            assert_eq!(records.iter().next().unwrap().value, bytes);
        }
        if kind == Kind::Ping {
            cookie = reply.head.cookie.get();
        }
    }
    assert_eq!((hop.forwarded(), holder.forwarded()), (2, 0));
}
