//! The engine with kernel routing: what it stores is found, whoever answers.

use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kdht_kmod::Control;
use kdht_kmod_test::Random;
use kdht_wire::{Contact, Flags, Id, Kind, Message};

use crate::Case;
use crate::daemon::{Client, Request};
use crate::kdht::{Node, Reader, reply_to};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("the engine lets the module answer, and tells who routes", lets_the_module_answer),
    ("what was put is got, never an older value, through restarts", gets_what_was_put),
    ("an engine that is killed leaves nothing, and the next attaches again", survives_kills),
    ("routing changes under load: all is answered, nothing acknowledged is lost", flips_under_load),
    ("the same node answers the same, whoever routes", answers_the_same),
    ("a network of both kinds of nodes finds what is put through any", finds_through_any),
    ("a node with two shards and both families lets the module answer", serves_with_shards),
    ("without CAP_NET_ADMIN the engine names it, or routes itself", names_the_capability),
];

/// A number that the guest's command line may name: `puts`, how many are tried, and their
/// `seed`.
fn told(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn key(random: &mut Random, count: usize) -> Id {
    let mut id = [0x5a; 20];
    let number = u32::try_from(random.below(count)).unwrap();
    // Spread as keys are, so that each shard has some.
    id[..4].copy_from_slice(&number.to_be_bytes());
    id[16..].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_le_bytes());
    Id(id)
}

/// Whether the module has no node any more, soon: the kernel takes the io_uring of a process
/// apart, and closes the sockets in it, some time after the process is gone.
fn becomes_quiet() -> bool {
    let control = Control::open().unwrap();
    let is_quiet = || control.nodes().unwrap().is_empty();
    (0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        is_quiet()
    })
}

/// Ends what others do as long as it is true, also where a check fails.
struct While<'a>(&'a AtomicBool);

impl Drop for While<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn kernel_node(name: &str, addr: &str, more: &[&str]) -> Node {
    let node = Node::start(name, addr, &[&["--routing", "kernel"], more].concat());
    wait_for_filter(&node);
    node
}

fn wait_for_filter(node: &Node) {
    node.wait_until("the filter", |stat| stat["kdht_kernel_complete_filters"] == 1);
}

fn lets_the_module_answer(_: &Module) {
    let node = kernel_node("answering", "127.0.0.1:4100", &[]);
    let client = Client::of(node.addr);
    let before = node.stat();
    for kind in [Kind::Ping, Kind::FindNode] {
        let reply = client.ask(&Request { total: 352, ..Request::of(kind) }.bytes());
        assert_eq!(Message::parse(&reply).unwrap().kind, kind);
    }
    let mut reader = Reader::of(node.addr, 7);
    assert_eq!(reader.get(Id([1; 20])), None);
    let stat = node.stat();
    assert_eq!(stat["kdht_routing_info{routing=\"kernel\"}"], 1);
    let answered = |name: &str| stat[name] - before[name];
    assert_eq!(answered("kdht_kernel_out_datagrams_total"), 3);
    assert_eq!(answered("kdht_kernel_passed_datagrams_total"), 0);
    assert_eq!(answered("kdht_request_in_messages_total{kind=\"ping\"}"), 1);
    assert_eq!(answered("kdht_reply_out_messages_total"), 3);
    node.route("user");
    assert!(becomes_quiet());
    client.ask(&Request::of(Kind::Ping).bytes());
    let after = node.stat();
    assert_eq!(after["kdht_routing_info{routing=\"user\"}"], 1);
    // What was counted stays counted.
    let name = "kdht_request_in_messages_total{kind=\"ping\"}";
    assert_eq!(after[name], stat[name] + 1);
    assert_eq!(after["kdht_kernel_out_datagrams_total"], stat["kdht_kernel_out_datagrams_total"]);
    drop(node);
    assert!(becomes_quiet());
}

/// Puts and gets of one client: what was acknowledged last is what is got, and what nobody put
/// is absent.
struct Work {
    reader: Reader,
    random: Random,
    /// What each key is known to hold; nothing where a refused put leaves that open.
    held: std::collections::BTreeMap<Id, Option<u64>>,
    written: u64,
    seed: u64,
}

impl Work {
    fn new(node: &Node, seed: u64) -> Self {
        let reader = Reader::of(node.addr, seed.to_le_bytes()[0]);
        let held = std::collections::BTreeMap::new();
        Self { reader, random: Random::from_seed(seed), held, written: 0, seed }
    }

    /// The node has begun anew, and holds nothing.
    fn forget(&mut self, node: &Node) {
        self.reader = Reader::of(node.addr, self.seed.to_le_bytes()[0]);
        self.held.clear();
    }

    /// One put, and gets after it.
    fn step(&mut self) {
        self.written += 1;
        let (key, number) = (key(&mut self.random, 50), self.written);
        let is_put = match self.random.below(16) {
            0 => self.reader.put_by_tcp(key, number),
            _ => self.reader.put(key, number),
        };
        self.held.insert(key, is_put.then_some(number));
        // Often enough to be lent to the module, now and then.
        for _ in 0..self.random.below(4) {
            self.check(key);
        }
        let other = self::key(&mut self.random, 100);
        self.check(other);
    }

    fn check(&mut self, key: Id) {
        let got = self.reader.get(key);
        match self.held.get(&key) {
            None => assert_eq!(got, None, "seed {}, {key}", self.seed),
            Some(None) => {}
            Some(held) => {
                assert_eq!(got, *held, "seed {}, after {} puts, {key}", self.seed, self.written);
            }
        }
    }
}

fn gets_what_was_put(_: &Module) {
    let mut node = kernel_node("putting", "127.0.0.1:4101", &[]);
    let mut work = Work::new(&node, told("seed", 41));
    let count = told("puts", 3_000);
    let (mut by_kernel, mut lent) = (0, 0);
    for at in 1..=count {
        work.step();
        if at % 256 == 0 {
            lent = lent.max(node.stat()["kdht_kernel_values_bytes"]);
        }
        if at == count / 2 || at == count * 3 / 4 {
            by_kernel += node.stat()["kdht_kernel_out_datagrams_total"];
            node.restart();
            wait_for_filter(&node);
            work.forget(&node);
        }
    }
    by_kernel += node.stat()["kdht_kernel_out_datagrams_total"];
    println!("        {count} puts, {by_kernel} answers of the module, {lent} bytes lent at once");
    assert!(by_kernel > count / 4 && lent > 0, "the module had little to do");
}

fn survives_kills(module: &Module) {
    let asking = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let client = Client::of("127.0.0.1:4102".parse().unwrap());
            while asking.load(Ordering::Relaxed) {
                // Where nobody listens the host says so.
                let _ = client.socket.send(&Request::of(Kind::Ping).bytes());
                thread::sleep(Duration::from_micros(200));
            }
        });
        let _asking = While(&asking);
        for _ in 0..4 {
            let mut node = kernel_node("killed", "127.0.0.1:4102", &[]);
            assert!(module.unload().is_err(), "it is in use");
            let mut reader = Reader::of(node.addr, 9);
            assert!(reader.put(Id([3; 20]), 1));
            assert_eq!(reader.get(Id([3; 20])), Some(1));
            node.kill();
            assert!(becomes_quiet());
        }
    });
    // What is detached is released a moment later.
    assert!((0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        module.unload().is_ok()
    }));
    module.load().unwrap();
}

fn flips_under_load(_: &Module) {
    let node = kernel_node("flipping", "127.0.0.1:4103", &[]);
    let working = AtomicBool::new(true);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|number| {
                let mut work = Work::new(&node, 61 + number);
                let working = &working;
                scope.spawn(move || {
                    // Each request is sent once: one that is lost fails the case.
                    while working.load(Ordering::Relaxed) {
                        work.step();
                    }
                    work.written
                })
            })
            .collect();
        let over = While(&working);
        for _ in 0..10 {
            node.route("user");
            thread::sleep(Duration::from_millis(100));
            node.route("kernel");
            thread::sleep(Duration::from_millis(400));
        }
        drop(over);
        let written: Vec<u64> = clients.into_iter().map(|it| it.join().unwrap()).collect();
        println!("        {} puts through 20 changes", written.iter().sum::<u64>());
    });
    let stat = node.stat();
    assert!(stat["kdht_kernel_out_datagrams_total"] > 0);
    assert!(stat["kdht_kernel_passed_datagrams_total"] > 0);
}

/// Nodes on addresses of IP groups of their own, the first of which all enter through.
fn network(name: &str, count: u8, args: impl Fn(u8) -> Vec<&'static str>) -> Vec<Node> {
    let addr = |at: u8| format!("127.{at}.1.1:4200");
    let node = |at: u8| {
        let first = addr(0);
        let entry: &[&str] = if at == 0 { &[] } else { &["--bootstrap", &first] };
        // Whom the one before let others be told of is told a moment later by its module.
        thread::sleep(Duration::from_millis(500));
        Node::start(&format!("{name}-{at}"), &addr(at), &[&args(at)[..], entry].concat())
    };
    let nodes: Vec<Node> = (0..count).map(node).collect();
    for node in &nodes {
        let others = u64::from(count) - 1;
        node.wait_until("the others", |stat| {
            stat["kdht_table_good_contacts{family=\"v4\"}"] >= others
        });
    }
    nodes
}

fn answers_the_same(_: &Module) {
    let nodes = network("same", 5, |_| vec!["--routing", "user"]);
    let node = &nodes[0];
    let client = Client::of(node.addr);
    let mut random = Random::from_seed(81);
    let mut reader = Reader::of(node.addr, 8);
    for number in 0..20 {
        assert!(reader.put(Id([number; 20]), number.into()));
    }
    let requests: Vec<Request> = (0..200)
        .map(|at| Request {
            target: Id(random.bytes()),
            sender: Id(random.bytes()),
            total: [80, 100, 352, 400][random.below(4)],
            flags: [Flags::CLIENT, Flags::CLIENT.with(Flags::WANT4)][random.below(2)],
            ..Request::of([Kind::Ping, Kind::FindNode][at % 2])
        })
        .collect();
    let ask_all = |reader: &mut Reader| {
        let replies: Vec<Vec<u8>> =
            requests.iter().map(|request| reply_to(&client, request)).collect();
        let values: Vec<_> = (0..40).map(|number| reader.get(Id([number; 20]))).collect();
        (replies, values)
    };
    let by_user = ask_all(&mut reader);
    assert_eq!(by_user.1[..20], (0..20).map(Some).collect::<Vec<_>>());
    node.route("kernel");
    wait_for_filter(node);
    let before = node.stat()["kdht_kernel_out_datagrams_total"];
    for _ in 0..3 {
        let by_kernel = ask_all(&mut reader);
        for (user, kernel) in by_user.0.iter().zip(&by_kernel.0) {
            assert_eq!(sorted(user), sorted(kernel));
        }
        assert_eq!(by_user.1, by_kernel.1);
        // What is asked for again and again is lent by and by.
        thread::sleep(Duration::from_millis(50));
    }
    let by_kernel = node.stat()["kdht_kernel_out_datagrams_total"] - before;
    // All but the first two reads of each value.
    assert!((640..=720).contains(&by_kernel), "{by_kernel} answers of the module");
}

/// A reply with its contacts by id.
fn sorted(reply: &[u8]) -> Vec<u8> {
    let message = Message::parse(reply).unwrap();
    let kdht_wire::Body::Contacts { contacts, .. } = message.body else { return reply.to_vec() };
    let mut contacts: Vec<Contact> = contacts.to_vec();
    contacts.sort_by_key(|contact| contact.id);
    let at = reply.len() - contacts.len() * size_of::<Contact>();
    let mut sorted = reply[..at].to_vec();
    for contact in contacts {
        sorted.extend_from_slice(zerocopy::IntoBytes::as_bytes(&contact));
    }
    sorted
}

fn finds_through_any(_: &Module) {
    let routing = |at: u8| vec!["--routing", if at.is_multiple_of(2) { "kernel" } else { "user" }];
    let nodes = network("mixed", 8, routing);
    for (at, node) in nodes.iter().enumerate() {
        let (name, value) = (format!("name {at}"), format!("value {at}"));
        let addr = node.addr.to_string();
        let home =
            |command: &mut std::process::Command| command.env("HOME", "/tmp").output().unwrap();
        let mut put = std::process::Command::new("kdht");
        let put = home(put.args(["put", &name, &value, "--via", &addr]));
        assert!(put.status.success(), "{put:?}");
        for other in [&nodes[(at + 1) % nodes.len()], &nodes[(at + 4) % nodes.len()]] {
            let addr = other.addr.to_string();
            for recurse in [false, true] {
                let mut get = std::process::Command::new("kdht");
                get.args(["get", &name, "--via", &addr]);
                if recurse {
                    get.arg("--recurse");
                }
                let got = home(&mut get);
                assert_eq!(String::from_utf8_lossy(&got.stdout).trim_end(), value, "{got:?}");
            }
        }
    }
    let by_kernel: u64 =
        nodes.iter().map(|node| node.stat()["kdht_kernel_out_datagrams_total"]).sum();
    assert!(by_kernel > 0, "the module had nothing to do");
}

fn serves_with_shards(_: &Module) {
    let args = ["--routing", "kernel", "--shards", "2", "--listen", "[::1]:4104"];
    let node = Node::start("sharded", "127.0.0.1:4104", &args);
    wait_for_filter(&node);
    assert_eq!(node.stat()["kdht_kernel_attached_sockets"], 4);
    let mut work = Work::new(&node, 91);
    for _ in 0..300 {
        work.step();
    }
    let client = Client::of("[::1]:4104".parse().unwrap());
    let before = node.stat()["kdht_kernel_out_datagrams_total"];
    client.ask(&Request::of(Kind::Ping).bytes());
    assert_eq!(node.stat()["kdht_kernel_out_datagrams_total"], before + 1);
}

fn names_the_capability(_: &Module) {
    let run = |routing: &str, more: &[&str]| {
        let mut command = std::process::Command::new("kdht");
        command.args(["run", "--listen", "127.0.0.1:4105", "--routing", routing]);
        command.args(more).uid(1_000).gid(1_000).output().unwrap()
    };
    let output = run("kernel", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("CAP_NET_ADMIN") && said.contains("`routing`"), "{said}");
    // Its own shell ends at once, and the node with it.
    let output = run("auto", &["--shell", "--set", "drain_s=0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("CAP_NET_ADMIN"), "{said}");
    assert!(becomes_quiet());
}
