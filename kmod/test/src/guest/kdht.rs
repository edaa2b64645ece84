//! The command `kdht` itself, as a process of its own, and a client that stores and asks.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Filter, FindValueBody, Flags, HEAD_LEN, Head, Id, Kind, Message,
    Publisher, Record, StoreBody,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::daemon::{Client, Request, now_s};
use crate::probe::Child;

/// How long anything may take that a node does by itself: the guest is emulated.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `kdht run`; killed when dropped.
pub(crate) struct Node {
    child: Option<Child>,
    words: Vec<String>,
    pub(crate) addr: SocketAddr,
    state: String,
}

impl Node {
    /// A node that answers at `addr` and keeps its state in `/tmp/NAME`.
    pub(crate) fn start(name: &str, addr: &str, args: &[&str]) -> Self {
        let state = format!("/tmp/{name}");
        let mut words = vec!["run", "--json", "--listen", addr, "--state", &state];
        // Every request of these tests is from one address.
        words.extend(["--set", "throttle.slots=0", "--set", "node.accept_plain=true"]);
        words.extend(["--set", "log=warn", "--set", "drain_s=0"]);
        words.extend(args);
        let words = words.into_iter().map(str::to_owned).collect();
        let mut node = Self { child: None, words, addr: addr.parse().unwrap(), state };
        node.restart();
        node
    }

    /// Kills it and starts it again with its id, holding nothing.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut child = Child::run(Command::new("kdht").args(&self.words));
        let line = child.line();
        self.child = Some(child);
        assert!(line.contains("\"listen\""), "no line about the node: {line:?}");
    }

    /// Runs a command of an operator's on it.
    pub(crate) fn operate(&self, words: &[&str]) -> Output {
        let control = format!("{}/control.sock", self.state);
        Command::new("kdht").args(words).args(["--control", &control]).output().unwrap()
    }

    /// Lets the engine or the kernel route.
    pub(crate) fn route(&self, to: &str) {
        let output = self.operate(&["routing", to]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Its counters, as lines of OpenMetrics text: each name's sum.
    pub(crate) fn stat(&self) -> BTreeMap<String, u64> {
        let output = self.operate(&["stat", "--openmetrics"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, number) = line.rsplit_once(' ').unwrap();
            *sums.entry(name.to_owned()).or_default() += number.parse::<u64>().unwrap();
            if let Some((whole, _)) = name.split_once('{') {
                *sums.entry(whole.to_owned()).or_default() += number.parse::<u64>().unwrap();
            }
        }
        sums
    }

    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&BTreeMap<String, u64>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stat = self.stat();
            if is_so(&stat) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} did not come: {stat:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// A client that puts numbers under keys and reads them back.
pub(crate) struct Reader {
    pub(crate) client: Client,
    id: Id,
    cookie: u64,
    tx_id: u64,
}

impl Reader {
    pub(crate) fn of(node: SocketAddr, id: u8) -> Self {
        let client = Client::of(node);
        Self { client, id: Id([id; 20]), cookie: 0, tx_id: 0 }
    }

    fn request(&mut self, kind: Kind, key: Id, fill: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
        self.tx_id += 1;
        let mut head = Head::request(kind, self.tx_id, key, self.id);
        head.flags = U16::new(Flags::CLIENT.0);
        head.cookie = U64::new(self.cookie);
        head.time_s = U32::new(now_s());
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap();
        fill(&mut emit);
        let len = emit.finish();
        buf[..len].to_vec()
    }

    /// Asks, hears the reply to that and no other, and keeps its cookie.
    fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        let reply = self.client.ask(bytes);
        let head = Message::parse(&reply).unwrap().head;
        assert_eq!(head.tx_id.get(), self.tx_id);
        self.cookie = head.cookie.get();
        reply
    }

    fn store(&mut self, key: Id, number: u64) -> Vec<u8> {
        let id = self.id;
        self.request(Kind::Store, key, |emit| {
            let bytes = number.to_le_bytes();
            let record = Record::whole(Publisher::Plain(&id), 3_600, &bytes).unwrap();
            emit.body(&StoreBody { cas: U64::new(StoreBody::UNCONDITIONAL) }).unwrap();
            emit.store_record(&record).unwrap();
        })
    }

    /// Stores a number by datagram. False: the node has too much to do, and may have stored it.
    pub(crate) fn put(&mut self, key: Id, number: u64) -> bool {
        for _ in 0..3 {
            let bytes = self.store(key, number);
            let reply = self.ask(&bytes);
            match Message::parse(&reply).unwrap().body {
                Body::StoreReply(_) => return true,
                Body::Fault(kdht_wire::Fault::Cookie, _) => {}
                Body::Fault(kdht_wire::Fault::Busy, _) => return false,
                other => panic!("{other:?}"),
            }
        }
        panic!("no cookie is good enough");
    }

    /// The same by TCP.
    pub(crate) fn put_by_tcp(&mut self, key: Id, number: u64) -> bool {
        let bytes = self.store(key, number);
        let mut stream = TcpStream::connect(self.client.socket.peer_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut reply = vec![0; HEAD_LEN];
        stream.read_exact(&mut reply).unwrap();
        let at = std::mem::offset_of!(Head, body_len);
        let body_len = u32::from_le_bytes(reply[at..at + 4].try_into().unwrap());
        reply.resize(HEAD_LEN + usize::try_from(body_len).unwrap(), 0);
        stream.read_exact(&mut reply[HEAD_LEN..]).unwrap();
        match Message::parse_stream(&reply).unwrap().body {
            Body::StoreReply(_) => true,
            Body::Fault(kdht_wire::Fault::Busy, _) => false,
            other => panic!("{other:?}"),
        }
    }

    /// What is under a key, of this reader's own.
    pub(crate) fn get(&mut self, key: Id) -> Option<u64> {
        let id = self.id;
        let bytes = self.request(Kind::FindValue, key, |emit| {
            emit.body(&FindValueBody::new(&Filter::Plain(id), 0)).unwrap();
            // Any reply without a cookie, too.
            emit.pad_to(464);
        });
        let reply = self.ask(&bytes);
        match Message::parse(&reply).unwrap().body {
            Body::Values { records, .. } => {
                let value = records.iter().next().unwrap().value.try_into().unwrap();
                Some(u64::from_le_bytes(value))
            }
            Body::Contacts { .. } => None,
            other => panic!("{other:?}"),
        }
    }
}

/// The reply to a request, without the moment that it tells.
pub(crate) fn reply_to(client: &Client, request: &Request) -> Vec<u8> {
    let mut reply = client.ask(&request.bytes());
    let at = std::mem::offset_of!(Head, time_s);
    reply[at..at + 4].fill(0);
    reply
}
