//! JSON datagrams: served as native ones are, only where that is asked for, and never for
//! more bytes than they may draw.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use kdht::io::{Moment, SocketOptions, bind};
use kdht::{Hosted, Hosting, Launch, NodeHandle, Runner, now_of};
use kdht_core::{Config, NS_PER_MS, Nanos, Now, Outbox, Rng, Route};
use kdht_wire::json::{from_json, to_json};
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, KeyRing, Kind, Message, NetworkKey,
    Publisher, Record, StoreBody, key_of_value,
};
use serde_json::{Value as Json, json};

/// How long a node that says nothing is listened to.
const SILENCE: Duration = Duration::from_millis(300);

/// Nodes on one thread, each knowing all others, and the sockets of a person.
struct Bench {
    _runner: Runner,
    handles: Vec<NodeHandle>,
    addr: SocketAddr,
    person: UdpSocket,
}

/// The next datagram's length. The signal of an executor's timer is no end.
fn receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(buf) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}

impl Bench {
    fn of(count: u8, json_debug: bool, config: &Config) -> Self {
        let runner = common::runner();
        let mut addr = None;
        let mut handles = Vec::new();
        for number in 0..count {
            let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
            let at = socket.local_addr();
            let id = Id([number + 1; 20]);
            let now = now_of(Moment::now());
            let hosting = Hosting { json_debug, record: None };
            let node = hosting.host(id, config.clone(), kdht::entropy().unwrap(), now).unwrap();
            let handle = runner.open(node, vec![socket], None).unwrap().unwrap();
            if let Some(first) = addr {
                let news = handle.join(vec![Endpoint::from(first)]).unwrap();
                news.recv_timeout(Duration::from_secs(20)).unwrap();
            }
            addr = addr.or(Some(at));
            handles.push(handle);
        }
        let person = UdpSocket::bind("127.0.0.1:0").unwrap();
        person.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { _runner: runner, handles, addr: addr.unwrap(), person }
    }

    fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.person.send_to(bytes, self.addr).unwrap();
        let mut reply = [0; 2_000];
        let len = receive(&self.person, &mut reply).unwrap();
        assert!(len <= DATAGRAM_LEN_MAX);
        reply[..len].to_vec()
    }

    /// Asks in JSON, in so many bytes, and returns the reply both ways.
    fn ask_json(&self, request: &Json, len_min: usize) -> (Json, Vec<u8>) {
        let text = padded(request, len_min);
        let reply = String::from_utf8(self.ask(text.as_bytes())).unwrap();
        (serde_json::from_str(&reply).unwrap(), from_json(&reply).unwrap())
    }

    fn is_silent(&self) -> bool {
        self.person.set_read_timeout(Some(SILENCE)).unwrap();
        receive(&self.person, &mut [0; 2_000]).is_err()
    }

    fn refused(&self, reason: &str) -> u64 {
        self.handles[0].status().unwrap().refusals[reason]
    }
}

fn padded(request: &Json, len_min: usize) -> String {
    let text = request.to_string();
    let spaces = " ".repeat(len_min.saturating_sub(text.len()));
    text + &spaces
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All of a reply but when it was made.
fn timeless(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[12..16].fill(0);
    bytes
}

/// A native request of a client, padded to `len_min` bytes.
fn native(kind: Kind, target: Id, cookie: u64, len_min: usize) -> Vec<u8> {
    let mut head = Head::request(kind, 0x0123_4567_89ab_cdef, target, Id([0xee; 20]));
    head.flags = Flags::CLIENT.0.into();
    head.cookie = cookie.into();
    let mut bytes = [0; DATAGRAM_LEN_MAX];
    let mut emit = Emit::datagram(&mut bytes, head, None, usize::MAX).unwrap();
    if kind == Kind::FindValue {
        emit.body(&kdht_wire::FindValueBody::new(&kdht_wire::Filter::Any, 0)).unwrap();
    }
    emit.pad_to(len_min);
    let len = emit.finish();
    bytes[..len].to_vec()
}

/// A request in JSON; the cookie is left out where it is empty.
fn request(kind: &str, target: Id, cookie: &str) -> Json {
    let mut request = json!({
        "kind": kind,
        "tx_id": "0123456789abcdef",
        "target": target.to_string(),
        "sender": "ee".repeat(20),
    });
    if !cookie.is_empty() {
        request["cookie"] = json!(cookie);
    }
    request
}

#[test]
fn a_ping_and_a_find_node_in_json_say_what_the_native_ones_do() {
    let bench = Bench::of(8, true, &Config::default());
    let target = Id([0x77; 20]);
    for (kind, name) in [(Kind::Ping, "ping"), (Kind::FindNode, "find_node")] {
        let wanted = bench.ask(&native(kind, target, 0, 1_000));
        let (said, bytes) = bench.ask_json(&request(name, target, ""), 1_000);
        assert_eq!(timeless(&bytes), timeless(&wanted), "{said}");
        assert_eq!(said["kind"], name);
        assert_eq!(said["observed"], bench.person.local_addr().unwrap().to_string());
    }
    let members = bench.handles[0].members().unwrap();
    let person = bench.person.local_addr().unwrap();
    assert!(members.members.iter().all(|it| it.endpoint != person), "a person is no contact");
}

#[test]
fn a_store_by_json_takes_a_cookie_and_is_found_by_both() {
    let bench = Bench::of(1, true, &Config::default());
    let value = b"as a person types it";
    let key = key_of_value(value);
    let mut store = request("store", key, "");
    let record = json!({ "kind": "immutable", "remaining_s": 600, "value": hex(value) });
    store["records"] = json!([record]);
    store["cas"] = json!("ff".repeat(8));
    let (refused, _) = bench.ask_json(&store, 0);
    assert_eq!(refused["fault"]["code"], "cookie");
    store["cookie"] = refused["cookie"].clone();
    let (stored, _) = bench.ask_json(&store, 0);
    assert_eq!((&stored["kind"], &stored["arg"]), (&json!("store"), &json!(1)), "{stored}");
    assert_eq!(bench.handles[0].status().unwrap().store.values, 1);

    let wanted = bench.ask(&native(Kind::FindValue, key, 0, 1_000));
    let (said, bytes) = bench.ask_json(&request("find_value", key, ""), 1_000);
    assert_eq!(timeless(&bytes), timeless(&wanted));
    assert_eq!(said["records"][0]["value"], hex(value));
}

#[test]
fn any_shard_takes_json_for_every_other() {
    let runner = common::runner();
    let config = Config { shards: 3, ..Config::default() };
    let hosting = Hosting { json_debug: true, record: None };
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let seed = kdht::entropy().unwrap();
    // Without steering each shard gets what the kernel's hash gives it.
    let launch = Launch::prepare(Id([1; 20]), &config, seed, &listen, false, &hosting).unwrap();
    let addr = launch.listening()[0];
    let runners = [runner];
    let (handle, _streams) = launch.start(&runners).unwrap();
    let mut stored = 0;
    for number in 0..24_u8 {
        let person = UdpSocket::bind("127.0.0.1:0").unwrap();
        person.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let ask = |request: &Json| -> Json {
            person.send_to(padded(request, 900).as_bytes(), addr).unwrap();
            let mut reply = [0; 2_000];
            let len = receive(&person, &mut reply).unwrap();
            serde_json::from_slice(&reply[..len]).unwrap()
        };
        let key = key_of_value(&[number; 40]);
        let mut store = request("store", key, "");
        let value = hex(&[number; 40]);
        store["records"] = json!([{ "kind": "immutable", "remaining_s": 600, "value": value }]);
        store["cas"] = json!("ff".repeat(8));
        store["cookie"] = ask(&store)["cookie"].clone();
        stored += ask(&store)["total"].as_u64().unwrap();
        let found = ask(&request("find_value", key, ""));
        assert_eq!(found["records"][0]["value"], value, "{found}");
    }
    assert_eq!(stored, 24);
    assert!(handle.status().unwrap().mesh.handed_over > 0, "nothing came to the wrong shard");
}

#[test]
fn a_lookup_done_for_a_person_is_answered_in_json() {
    let bench = Bench::of(4, true, &Config::default());
    let target = Id([0x77; 20]);
    let (pong, _) = bench.ask_json(&request("ping", target, ""), 200);
    let mut find = request("find_node", target, pong["cookie"].as_str().unwrap());
    find["flags"] = json!(["recurse"]);
    let (said, _) = bench.ask_json(&find, 0);
    assert_eq!(said["contacts"].as_array().unwrap().len(), 3, "{said}");
}

#[test]
fn a_reply_too_long_for_a_datagram_of_json_is_cut_and_says_so() {
    let bench = Bench::of(16, true, &Config::default());
    let target = Id([0x77; 20]);
    let (pong, _) = bench.ask_json(&request("ping", target, ""), 200);
    let cookie = pong["cookie"].as_str().unwrap();
    let wanted = bench.ask(&native(Kind::FindNode, target, 0, 1_000));
    let (said, bytes) = bench.ask_json(&request("find_node", target, cookie), 0);
    let (wanted, got) = (Message::parse(&wanted).unwrap(), Message::parse(&bytes).unwrap());
    let (Body::Contacts { contacts: all, .. }, Body::Contacts { contacts, reply }) =
        (wanted.body, got.body)
    else {
        panic!("{said}")
    };
    assert!(contacts.len() > 5 && contacts.len() < all.len(), "{said}");
    assert_eq!(contacts, &all[..contacts.len()], "the nearest are left");
    assert_eq!(usize::from(reply.total.get()), all.len());
    assert!(got.head.flags().has(Flags::MORE));
}

#[test]
fn json_is_dropped_as_any_foreign_bytes_unless_it_is_asked_for() {
    let bench = Bench::of(1, false, &Config::default());
    let text = padded(&request("ping", Id([0x77; 20]), ""), 400);
    bench.person.send_to(text.as_bytes(), bench.addr).unwrap();
    assert!(bench.is_silent());
    assert_eq!((bench.refused("magic"), bench.refused("json")), (1, 0));
}

#[test]
fn a_keyed_network_takes_no_json() {
    let key = NetworkKey { id: 1, secret: [7; 16] };
    let config = Config { keys: KeyRing::new(key, None), ..Config::default() };
    let bench = Bench::of(1, true, &config);
    let text = padded(&request("ping", Id([0x77; 20]), ""), 400);
    bench.person.send_to(text.as_bytes(), bench.addr).unwrap();
    let signed = kdht_wire::json::from_json_keyed(
        &json!({"kind": "ping", "flags": ["keyed"], "sender": "ee".repeat(20)}).to_string(),
        Some(&key),
    );
    let signed = padded(&serde_json::from_str(&to_json(&signed.unwrap()).unwrap()).unwrap(), 400);
    bench.person.send_to(signed.as_bytes(), bench.addr).unwrap();
    assert!(bench.is_silent());
    assert_eq!(bench.refused("json"), 2);
}

/// An outbox that keeps what is laid into it.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    sent: Vec<Vec<u8>>,
}

impl Outbox for Kept {
    fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
        self.bytes = vec![0; DATAGRAM_LEN_MAX];
        Some(&mut self.bytes)
    }

    fn commit(&mut self, len: usize) {
        self.sent.push(self.bytes[..len].to_vec());
    }
}

/// A node without a socket, under a clock of its own.
struct Solo {
    node: Hosted,
    now: Now,
}

const PERSON: &str = "70.0.0.1:5000";

impl Solo {
    fn new() -> Self {
        let now = Now { mono: Nanos(1_000_000 * NS_PER_MS), unix_s: 1_800_000_000 };
        let hosting = Hosting { json_debug: true, record: None };
        Self { node: hosting.host(Id([1; 20]), Config::default(), [5; 16], now).unwrap(), now }
    }

    fn hand(&mut self, from: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut kept = Kept::default();
        let route = Route::to(Endpoint::from(from.parse::<SocketAddr>().unwrap()));
        self.now.mono = self.now.mono.plus_ms(50);
        self.node.handle_datagram(self.now, &route, bytes, &mut kept);
        kept.sent
    }

    /// A node that knows twenty others and holds a value of each of these lengths.
    fn filled(lens: &[usize]) -> (Self, Vec<Id>) {
        let mut solo = Self::new();
        let mut rng = Rng::from_seed([9; 16]);
        for at in 0..20 {
            let (from, id) = (format!("20.0.{at}.1:4000"), rng.id());
            let mut hello = native(Kind::Ping, id, 0, 88);
            hello[4] = 0;
            hello[52..72].copy_from_slice(&id.0);
            for sent in solo.hand(&from, &hello).iter().filter(|sent| sent[4] & 1 == 0) {
                let mut pong = sent.clone();
                pong[4] |= 1;
                pong[8] = 20;
                pong[52..72].copy_from_slice(&id.0);
                pong.truncate(72);
                pong.extend_from_slice(&[0; 20]);
                solo.hand(&from, &pong);
            }
        }
        assert_eq!(solo.node.fill()[0].good, 20);
        let cookie = solo.cookie();
        let mut keys = Vec::new();
        for len in lens {
            let value = vec![7; *len];
            let key = key_of_value(&value);
            let mut head = Head::request(Kind::Store, 7, key, Id([0xee; 20]));
            head.flags = Flags::CLIENT.0.into();
            head.cookie = cookie.into();
            let mut bytes = [0; DATAGRAM_LEN_MAX];
            let mut emit = Emit::datagram(&mut bytes, head, None, usize::MAX).unwrap();
            emit.body(&StoreBody { cas: u64::MAX.into() }).unwrap();
            emit.store_record(&Record::whole(Publisher::Immutable, 900, &value).unwrap()).unwrap();
            let len = emit.finish();
            solo.hand(PERSON, &bytes[..len]);
            keys.push(key);
        }
        assert_eq!(solo.node.usage().values as usize, lens.len());
        (solo, keys)
    }

    fn cookie(&mut self) -> u64 {
        let pong = self.hand(PERSON, &native(Kind::Ping, Id([0xee; 20]), 0, 0));
        Message::parse(&pong[0]).unwrap().head.cookie.get()
    }
}

#[test]
fn no_json_without_a_cookie_draws_more_than_three_times_its_bytes() {
    let (mut solo, keys) = Solo::filled(&[40, 1_000]);
    let mut worst = 0.0_f64;
    let mut answered = 0;
    for kind in ["ping", "find_node", "find_value", "store"] {
        for target in [keys[0], keys[1], Id([0x55; 20])] {
            for (cookie, flag) in [("", None), ("00000000000000aa", None), ("", Some("recurse"))] {
                for len_min in (0..=DATAGRAM_LEN_MAX).step_by(13) {
                    let mut request = request(kind, target, cookie);
                    if len_min % 2 == 0 {
                        // The shortest that there are: much is left out that is zero.
                        request = json!({ "kind": kind });
                    }
                    if let Some(flag) = flag {
                        request["flags"] = json!([flag]);
                    }
                    if kind == "store" {
                        request["records"] = json!([{ "kind": "immutable", "value": "aabb" }]);
                    }
                    let text = padded(&request, len_min);
                    let sent = solo.hand(PERSON, text.as_bytes());
                    let drawn: usize = sent.iter().map(Vec::len).sum();
                    assert!(drawn <= 3 * text.len(), "{text} drew {drawn}");
                    worst = worst.max(drawn as f64 / text.len() as f64);
                    answered += sent.len();
                    for reply in sent {
                        from_json(std::str::from_utf8(&reply).unwrap()).unwrap();
                    }
                }
            }
        }
    }
    assert!(worst > 2.5, "the limit was never near: {worst}");
    assert!(answered > 1_000, "{answered}");
}

#[test]
fn a_value_that_no_json_datagram_holds_is_announced() {
    let (mut solo, keys) = Solo::filled(&[40, 1_000]);
    let cookie = format!("{:016x}", solo.cookie());
    for (key, len, is_whole) in [(keys[0], 40, true), (keys[1], 1_000, false)] {
        let sent = solo.hand(PERSON, request("find_value", key, &cookie).to_string().as_bytes());
        let bytes = from_json(std::str::from_utf8(&sent[0]).unwrap()).unwrap();
        let Body::Values { records, .. } = Message::parse(&bytes).unwrap().body else { panic!() };
        let record = records.iter().next().unwrap();
        assert_eq!((record.value_len, !record.is_announced()), (len, is_whole));
    }
}

#[test]
fn what_is_not_a_message_draws_a_fault_where_its_transaction_can_be_read() {
    let mut solo = Solo::new();
    let wide = " ".repeat(300);
    for (text, is_told) in [
        (r#"{"kind":"ping","tx_id":"00000000000000ff","colour":1}"#, true),
        (r#"{"kind":"pong","tx_id":"00000000000000ff"}"#, true),
        (r#"{"tx_id":"00000000000000ff"}"#, true),
        (r#"{"kind":"ping","tx_id":"ff","colour":1}"#, false),
        (r#"{"kind":"ping","tx_id":"00000000000000ff","flags":["reply"],"colour":1}"#, false),
        (r#"{"kind":"ping","tx_id":"00000000000000ff","flags":["reply"]}"#, false),
        (r#"{"kind":"ping","tx_id":"00000000000000ff","#, false),
        ("{", false),
        ("{\u{fffd}", false),
    ] {
        let before = solo.node.json_refused();
        let sent = solo.hand(PERSON, format!("{text}{wide}").as_bytes());
        assert_eq!(sent.len(), usize::from(is_told), "{text}");
        assert_eq!(solo.node.json_refused(), before + 1, "{text}");
        for fault in sent {
            let said: Json = serde_json::from_slice(&fault).unwrap();
            assert_eq!(said["fault"]["code"], "malformed");
            assert_eq!(said["tx_id"], "00000000000000ff");
        }
        assert!(solo.hand(PERSON, text.as_bytes()).iter().all(|it| it.len() <= 3 * text.len()));
    }
    let deep = format!("{{{}", "[".repeat(1_200));
    assert!(solo.hand(PERSON, deep.as_bytes()).is_empty());
    assert!(solo.hand(PERSON, &[b'{'; 1_300]).is_empty());
}
