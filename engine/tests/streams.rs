//! TCP over real loopback sockets: values that no datagram carries, and strangers who are
//! slow, silent or lying.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kdht::io::{BindReason, Moment, Socket, SocketOptions, bind};
use kdht::status::Status;
use kdht::stream::{BindBothError, StreamOptions, Streams, bind_both};
use kdht::{Hosting, JoinNews, Launch, NodeHandle, Runner, Tuning, entropy, now_of};
use kdht_client::{
    Client, Filter, Id, Options, PublisherKey, Value, immutable_value, key_of_string, signed_value,
};
use kdht_core::{Command, Config, Node, Outcome};
use kdht_wire::{
    Body, Emit, FindValueBody, HEAD_LEN, Head, KeyRing, Kind, Message, NetworkKey, STREAM_LEN_MAX,
    StoreBody, VALUE_LEN_MAX,
};

/// How long something may take that takes milliseconds: far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Deadlines that a test can wait for.
const SHORT: StreamOptions = StreamOptions {
    connections_max: 256,
    group_connections_max: 8,
    buffers_max: 16,
    stores_per_s: 2_000,
    message_ms: 2_000,
    idle_ms: 2_500,
    answer_ms: 30_000,
};

struct Host {
    addr: SocketAddr,
    handle: NodeHandle,
    _streams: Streams,
}

impl Host {
    fn start(runner: &Runner, config: Config, options: StreamOptions) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bind = || bind(any, &SocketOptions::default());
        let (socket, listener) = bind_both(0, bind, Socket::local_addr).unwrap();
        let addr = socket.local_addr();
        let keys = config.keys;
        let id = Id(entropy().unwrap());
        let node = Node::new(id, config, entropy().unwrap(), now_of(Moment::now()));
        let handle = runner.open(node, vec![socket], None).unwrap().unwrap();
        let streams = Streams::start(&handle, vec![listener], keys, options).unwrap();
        Self { addr, handle, _streams: streams }
    }

    fn status(&self) -> Box<Status> {
        self.handle.status().unwrap()
    }

    fn cut(&self, cause: &str) -> u64 {
        self.status().streams.cut[cause]
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.status()) {
            assert!(Instant::now() < deadline, "never {what}: {:?}", self.status().streams);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// One PING by datagram, answered; sent again if it is lost.
    fn answers_by_udp(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let ping = request(Kind::Ping, Id([9; 20]), |_| {});
        let mut reply = [0; 1_500];
        let deadline = Instant::now() + PATIENCE;
        loop {
            socket.send_to(&ping, self.addr).unwrap();
            if socket.recv(&mut reply).is_ok() {
                return;
            }
            assert!(Instant::now() < deadline, "no answer by UDP");
        }
    }
}

/// Nodes that have joined through the first.
fn network(runner: &Runner, count: usize, config: &Config, options: StreamOptions) -> Vec<Host> {
    let hosts: Vec<Host> =
        (0..count).map(|_| Host::start(runner, config.clone(), options)).collect();
    for host in &hosts[1..] {
        let news = host.handle.join(vec![hosts[0].addr.into()]).unwrap();
        let joined = news.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(joined, JoinNews::Joined { .. }), "{joined:?}");
    }
    hosts
}

fn client(host: &Host, keys: KeyRing) -> Client {
    Client::connect(&[host.addr], &Options { keys, ..Options::default() }).unwrap()
}

/// A message as a stranger sends it.
fn request(kind: Kind, target: Id, fill: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    let mut buffer = vec![0; STREAM_LEN_MAX];
    let head = Head::request(kind, 7, target, Id([0x51; 20]));
    let mut emit = Emit::stream(&mut buffer, head, None).unwrap();
    fill(&mut emit);
    let len = emit.finish();
    buffer.truncate(len);
    buffer
}

fn find(key: Id) -> Vec<u8> {
    request(Kind::FindValue, key, |emit| {
        emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
    })
}

fn store(key: Id, value: &Value) -> Vec<u8> {
    request(Kind::Store, key, |emit| {
        emit.body(&StoreBody { cas: StoreBody::UNCONDITIONAL.into() }).unwrap();
        emit.store_record(&value.record()).unwrap();
    })
}

fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_LEN];
    stream.read_exact(&mut bytes).unwrap();
    let body_len = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    bytes.resize(HEAD_LEN + usize::try_from(body_len).unwrap(), 0);
    stream.read_exact(&mut bytes[HEAD_LEN..]).unwrap();
    bytes
}

/// Waits until the other side has ended the connection.
fn is_ended(stream: &mut TcpStream) {
    let mut byte = [0; 4_096];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            // By a signal for the executor's thread.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("still open: {error}"),
        }
    }
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) | 1;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(byte).collect()
}

fn small_network_config() -> Config {
    Config { k: 3, ..Config::default() }
}

#[test]
fn a_mebibyte_put_through_one_node_is_got_through_a_third() {
    let runner = common::runner();
    let open = KeyRing::OPEN;
    let keyed = KeyRing::new(NetworkKey { id: 5, secret: [0x5e; 16] }, None);
    for keys in [open, keyed] {
        let config = Config { keys, ..small_network_config() };
        let hosts = network(&runner, 6, &config, StreamOptions::default());
        let name = key_of_string("large");
        let publisher = PublisherKey::from_seed(&[7; 32]);
        let signed = signed_value(&publisher, &name, 1, 600, &noise(VALUE_LEN_MAX, 1));
        let (hash, immutable) = immutable_value(600, &noise(VALUE_LEN_MAX, 2));
        for (key, value) in [(name, signed), (hash, immutable)] {
            let (stored, _) = client(&hosts[1], keys).put(key, value.clone(), None).unwrap();
            assert!(stored.acknowledged >= 3, "{stored:?}");
            let (found, _) = client(&hosts[4], keys).get(key, Filter::Any, 1).unwrap();
            assert!(found[0].bytes == value.bytes && found[0].publisher == value.publisher);
        }
        let requests: u64 = hosts.iter().map(|host| host.status().streams.messages_in).sum();
        assert!(requests >= 8, "{requests} messages by TCP");
        assert!(hosts.iter().all(|host| host.status().streams.buffers == 0));
    }
}

#[test]
fn nodes_themselves_put_and_find_large_values_whichever_shard_they_belong_to() {
    let runners = [common::runner(), common::runner()];
    let plain = network(&runners[0], 3, &small_network_config(), StreamOptions::default());
    let config = Config { shards: 2, ..small_network_config() };
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let (id, seed) = (Id(entropy().unwrap()), entropy().unwrap());
    let launch = Launch::prepare(id, &config, seed, &listen, false, &Hosting::default()).unwrap();
    let entry = launch.listening()[0];
    let (sharded, _streams) = launch.start(&runners).unwrap();
    let news = sharded.join(vec![plain[0].addr.into()]).unwrap();
    assert!(matches!(news.recv_timeout(PATIENCE).unwrap(), JoinNews::Joined { .. }));
    for seed in 1..=4 {
        let (key, value) = immutable_value(600, &noise(300_000, seed));
        let wanted = value.bytes.clone();
        let put = Command::Put { key, value, cas: None };
        let report = sharded.call(put, PATIENCE).unwrap();
        let Outcome::Stored(stored) = report.outcome else { panic!("{:?}", report.outcome) };
        assert_eq!((stored.asked, stored.acknowledged), (3, 3), "{stored:?}");
        for node in [&sharded, &plain[2].handle] {
            let find = Command::FindValue { key, filter: Filter::Any, values_max: 1, holders: 1 };
            let report = node.call(find, PATIENCE).unwrap();
            let Outcome::Values { values, .. } = report.outcome else { panic!("not found") };
            assert!(values[0].bytes == wanted);
        }
        let mut stream = TcpStream::connect(entry).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&find(key)).unwrap();
        let held = read_message(&mut stream);
        assert!(Message::parse_stream(&held).is_ok());
    }
    let (_, value) = immutable_value(600, &noise(5_000, 9));
    let put = Command::Put { key: Id([1; 20]), value, cas: None };
    let error = sharded.call(put, PATIENCE).unwrap_err().to_string();
    assert!(error.contains("does not prove itself"), "{error}");
}

#[test]
fn messages_follow_one_another_on_one_connection() {
    let runner = common::runner();
    let host = Host::start(&runner, small_network_config(), SHORT);
    let (key, value) = immutable_value(600, &noise(50_000, 3));
    let mut stream = host.connect();
    let mut sent = store(key, &value);
    sent.extend(request(Kind::Ping, Id([3; 20]), |_| {}));
    sent.extend(find(key));
    // Whatever the pieces are.
    for piece in sent.chunks(7_001) {
        stream.write_all(piece).unwrap();
    }
    let stored = read_message(&mut stream);
    assert!(matches!(Message::parse_stream(&stored).unwrap().body, Body::StoreReply(_)));
    let pong = read_message(&mut stream);
    assert!(matches!(Message::parse_stream(&pong).unwrap().body, Body::PingReply(_)));
    let found = read_message(&mut stream);
    let Body::Values { records, .. } = Message::parse_stream(&found).unwrap().body else {
        panic!("no values")
    };
    assert!(records.iter().next().unwrap().value == value.bytes);
    is_ended(&mut stream);
    assert_eq!(host.cut("idle"), 1);
    let streams = host.status().streams;
    assert_eq!((streams.accepted, streams.messages_in, streams.messages_out), (1, 3, 3));
}

#[test]
fn a_head_that_lies_is_cut_before_memory_is_taken_for_it() {
    let runner = common::runner();
    let host = Host::start(&runner, small_network_config(), SHORT);
    let head = |kind: u8, flags: u8, body_len: u32| {
        let mut bytes = request(Kind::Ping, Id([1; 20]), |_| {});
        (bytes[3], bytes[4]) = (kind, flags);
        bytes[8..12].copy_from_slice(&body_len.to_le_bytes());
        bytes
    };
    let most = u32::try_from(STREAM_LEN_MAX - HEAD_LEN).unwrap();
    let mut version = head(4, 0, most);
    version[2] = 2;
    for (bytes, cause) in [
        (head(4, 0, u32::MAX), "length"),
        (head(4, 0, most + 1), "length"),
        (head(1, 0, most), "kind"),
        (head(3, 1, most), "kind"),
        (version, "kind"),
        (head(4, 0x80, 100), "mac"),
        (vec![b'x'; HEAD_LEN], "magic"),
    ] {
        let before = host.cut(cause);
        let mut stream = host.connect();
        stream.write_all(&bytes).unwrap();
        is_ended(&mut stream);
        assert_eq!(host.cut(cause), before + 1, "{cause}");
    }
    // A sound head whose message is not: answered, or refused and counted by the node.
    let mut stream = host.connect();
    stream.write_all(&head(6, 0, 0)).unwrap();
    let fault = read_message(&mut stream);
    assert!(matches!(Message::parse_stream(&fault).unwrap().body, Body::Fault(..)));
    stream.write_all(&head(1, 1, 0)).unwrap();
    is_ended(&mut stream);
    assert_eq!(host.cut("refused"), 1);
    assert_eq!(host.status().streams.buffers, 0);
    host.answers_by_udp();
}

#[test]
fn whoever_sends_byte_by_byte_is_cut_at_the_deadline() {
    let runner = common::runner();
    let host = Host::start(&runner, small_network_config(), SHORT);
    let (key, value) = immutable_value(600, &noise(100_000, 3));
    let sent = store(key, &value);
    for begin in [0, HEAD_LEN + 500] {
        let before = host.cut("slow");
        let mut stream = host.connect();
        stream.write_all(&sent[..begin]).unwrap();
        for byte in &sent[begin..] {
            if stream.write_all(&[*byte]).is_err() || host.cut("slow") > before {
                break;
            }
            host.answers_by_udp();
            std::thread::sleep(Duration::from_millis(10));
        }
        is_ended(&mut stream);
        assert_eq!(host.cut("slow"), before + 1);
    }
    assert_eq!(host.status().store.values, 0);
    assert_eq!(host.status().streams.buffers, 0);
}

#[test]
fn a_flood_of_half_open_connections_is_bounded_and_passes() {
    let runner = common::runner();
    let options = StreamOptions { connections_max: 64, ..SHORT };
    let host = Host::start(&runner, small_network_config(), options);
    let half = &find(Id([1; 20]))[..HEAD_LEN / 2];
    let mut flood = Vec::new();
    for number in 0..300 {
        let mut stream = host.connect();
        if number % 2 == 0 {
            // It may have been closed already.
            let _ = stream.write_all(half);
        }
        flood.push(stream);
        if number % 50 == 0 {
            host.answers_by_udp();
            let streams = host.status().streams;
            assert!(streams.connections <= 64 && streams.buffers == 0, "{streams:?}");
        }
    }
    flood.iter_mut().for_each(is_ended);
    host.wait_until("all cut", |status| status.streams.connections == 0);
    let streams = host.status().streams;
    assert_eq!(streams.accepted, 300);
    let cut = |cause: &str| streams.cut[cause];
    // Those whose closed socket was written to may have broken instead.
    let all = cut("full") + cut("idle") + cut("slow") + cut("broken");
    assert_eq!(all, 300, "{:?}", streams.cut);
    assert!(cut("full") > 0 && cut("idle") > 0 && cut("slow") > 0, "{:?}", streams.cut);
    // And whoever comes afterwards is served.
    let mut stream = host.connect();
    stream.write_all(&request(Kind::Ping, Id([3; 20]), |_| {})).unwrap();
    read_message(&mut stream);
}

/// Asks for `length` by UDP, a PING every 500 us, and gives the 99th percentile of the round
/// trips, in microseconds. One without an answer counts as one of a second.
fn p99_us(host: &Host, length: Duration) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(host.addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let ping = request(Kind::Ping, Id([9; 20]), |_| {});
    let mut reply = [0; 1_500];
    let mut trips = Vec::new();
    let end = Instant::now() + length;
    while Instant::now() < end {
        let begin = Instant::now();
        socket.send(&ping).unwrap();
        let received = loop {
            match socket.recv(&mut reply) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        let trip = received.map_or(Duration::from_secs(1), |_| begin.elapsed());
        trips.push(u64::try_from(trip.as_micros()).unwrap());
        std::thread::sleep(Duration::from_micros(500));
    }
    trips.sort_unstable();
    assert!(trips[trips.len() / 2] < 1_000_000, "most went without an answer");
    trips[trips.len() * 99 / 100]
}

/// Strangers until `is_over`: heads that announce a mebibyte and send it byte by byte, and
/// half heads that are left open; some 500 connections a second.
fn attack(to: SocketAddr, is_over: &AtomicBool) {
    let (key, value) = immutable_value(600, &noise(VALUE_LEN_MAX, 3));
    let sent = store(key, &value);
    let mut slow: Vec<TcpStream> = Vec::new();
    let mut half_open = VecDeque::new();
    while !is_over.load(Ordering::Relaxed) {
        slow.retain_mut(|stream| stream.write_all(&[0]).is_ok());
        if slow.len() < 32 {
            slow.extend(
                TcpStream::connect(to)
                    .ok()
                    .filter(|mut stream| stream.write_all(&sent[..HEAD_LEN + 500]).is_ok()),
            );
        }
        if let Ok(mut stream) = TcpStream::connect(to) {
            // It may have been closed already.
            let _ = stream.write_all(&sent[..HEAD_LEN / 2]);
            half_open.push_back(stream);
        }
        if half_open.len() > 512 {
            half_open.pop_front();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The ratio is printed and judged by whoever reads it: on a busy host it tells of the host.
#[test]
fn datagrams_are_answered_while_streams_are_attacked() {
    // `KDHT_SLICE_S=5` for a long look.
    let slice_s = std::env::var("KDHT_SLICE_S").map_or(0.3, |text| text.parse().unwrap());
    let length = Duration::from_secs_f64(slice_s);
    let runner = common::runner();
    let host = Host::start(&runner, small_network_config(), SHORT);
    let [mut quiet, mut attacked] = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        quiet.push(p99_us(&host, length));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| attack(host.addr, &is_over));
            attacked.push(p99_us(&host, length));
            is_over.store(true, Ordering::Relaxed);
        });
        let streams = host.status().streams;
        assert!(streams.connections <= 256 && streams.buffers <= 16, "{streams:?}");
        host.wait_until("all cut", |status| status.streams.connections == 0);
    }
    let cut = host.status().streams.cut;
    assert!(cut.values().sum::<u64>() > 0, "{cut:?}");
    println!("p99 in us: quiet {quiet:?}, attacked {attacked:?}; cut {cut:?}");
    quiet.sort_unstable();
    attacked.sort_unstable();
    println!("attacked p99 is {:.2} of the quiet one", attacked[2] as f64 / quiet[2] as f64);
}

#[test]
fn no_more_large_buffers_are_lent_than_there_are_and_all_come_back() {
    let runner = common::runner();
    let options = StreamOptions { buffers_max: 2, ..SHORT };
    let host = Host::start(&runner, small_network_config(), options);
    let (key, value) = immutable_value(600, &noise(VALUE_LEN_MAX, 3));
    let sent = store(key, &value);
    let mut hogs: Vec<TcpStream> = (0..6).map(|_| host.connect()).collect();
    for hog in &mut hogs {
        hog.write_all(&sent[..5_000]).unwrap();
    }
    host.wait_until("two lent", |status| status.streams.buffers == 2);
    host.answers_by_udp();
    hogs.iter_mut().for_each(is_ended);
    host.wait_until("all cut", |status| status.streams.connections == 0);
    assert_eq!(host.cut("slow") + host.cut("no_buffer"), 6);
    assert!(host.cut("slow") >= 2 && host.cut("no_buffer") >= 1, "{:?}", host.status().streams);
    assert_eq!(host.status().streams.buffers, 0);
    // One after another they are enough for any number.
    for _ in 0..5 {
        let mut stream = host.connect();
        stream.write_all(&sent).unwrap();
        let reply = read_message(&mut stream);
        assert!(matches!(Message::parse_stream(&reply).unwrap().body, Body::StoreReply(_)));
    }
}

#[test]
fn more_stores_than_are_verified_in_a_second_are_cut() {
    let runner = common::runner();
    let options = StreamOptions { stores_per_s: 0, ..SHORT };
    let host = Host::start(&runner, small_network_config(), options);
    let (key, value) = immutable_value(600, &noise(2_000, 3));
    let mut stream = host.connect();
    stream.write_all(&request(Kind::Ping, Id([3; 20]), |_| {})).unwrap();
    read_message(&mut stream);
    stream.write_all(&store(key, &value)).unwrap();
    is_ended(&mut stream);
    host.wait_until("given back", |status| status.streams.buffers == 0);
    assert_eq!((host.cut("busy"), host.status().store.values), (1, 0));
}

#[test]
fn a_peer_that_does_not_read_is_cut_and_its_buffer_comes_back() {
    let runner = common::runner();
    let host = Host::start(&runner, small_network_config(), SHORT);
    let (key, value) = immutable_value(600, &noise(VALUE_LEN_MAX, 3));
    let mut stream = host.connect();
    stream.write_all(&store(key, &value)).unwrap();
    read_message(&mut stream);
    // More replies than the kernel's buffers hold; none is read.
    let wanted = find(key);
    let mut deaf: Vec<TcpStream> = (0..3).map(|_| host.connect()).collect();
    for stream in &mut deaf {
        for _ in 0..40 {
            if stream.write_all(&wanted).is_err() {
                break;
            }
        }
    }
    host.wait_until("cut as unread", |status| status.streams.cut["unread"] == 3);
    host.wait_until("given back", |status| status.streams.buffers == 0);
    host.answers_by_udp();
}

#[test]
fn keys_that_are_changed_hold_for_streams_too() {
    let runner = common::runner();
    let old = KeyRing::new(NetworkKey { id: 1, secret: [1; 16] }, None);
    let new = KeyRing::new(NetworkKey { id: 2, secret: [2; 16] }, None);
    let config = Config { keys: old, ..small_network_config() };
    let hosts = network(&runner, 2, &config, StreamOptions::default());
    let tuning = Tuning { keys: new, rate_per_s: 5_000, burst: 10_000 };
    hosts.iter().for_each(|host| host.handle.tune(tuning).unwrap());
    let (key, value) = immutable_value(600, &noise(20_000, 8));
    client(&hosts[0], new).put(key, value.clone(), None).unwrap();
    let (found, _) = client(&hosts[1], new).get(key, Filter::Any, 1).unwrap();
    assert!(found[0].bytes == value.bytes);
}

#[test]
fn where_nobody_listens_by_tcp_a_large_put_says_so_and_a_node_keeps_its_own_copy() {
    let runner = common::runner();
    let start = || {
        let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let addr = socket.local_addr();
        let now = now_of(Moment::now());
        let id = Id(entropy().unwrap());
        let node = Node::new(id, small_network_config(), entropy().unwrap(), now);
        (addr, runner.open(node, vec![socket], None).unwrap().unwrap())
    };
    let ((entry, _first), (_, second)) = (start(), start());
    let news = second.join(vec![entry.into()]).unwrap();
    assert!(matches!(news.recv_timeout(PATIENCE).unwrap(), JoinNews::Joined { .. }));
    let (key, value) = immutable_value(600, &noise(5_000, 1));
    let mut client = Client::connect(&[entry], &Options::default()).unwrap();
    let error = client.put(key, value.clone(), None).unwrap_err().to_string();
    assert!(error.contains("TCP") && error.contains("refused"), "{error}");
    let report = second.call(Command::Put { key, value, cas: None }, PATIENCE).unwrap();
    let Outcome::Stored(stored) = report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!((stored.asked, stored.acknowledged, stored.refused), (2, 1, 0));
    // It is announced by datagram, and cannot be fetched.
    let error = client.get(key, Filter::Any, 1).unwrap_err().to_string();
    assert!(error.contains("TCP") && error.contains("refused"), "{error}");
}

#[test]
fn a_port_that_is_taken_by_tcp_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let bind = || bind(addr, &SocketOptions::default());
    let error = bind_both(addr.port(), bind, Socket::local_addr).unwrap_err();
    let BindBothError::Tcp(by_tcp) = error else { panic!("{error}") };
    assert_eq!((by_tcp.addr, by_tcp.reason), (addr, BindReason::InUse));
    assert!(error.to_string().contains("TCP"), "{error}");
}
