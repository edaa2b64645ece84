//! A node that finds its contacts by itself, and knows whom to believe.

use std::net::{Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use kdht_core::Refusal;
use kdht_kmod::{
    Entry, Happened, JoinState, Liveness, RoutingEvents, Rules, Seen, Settings, Unanswered,
};
use kdht_kmod_test::Random;
use kdht_wire::{Contact, Id, Kind, Message};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, V6};
use crate::module::Module;
use crate::peer::Peer;

pub(crate) const CASES: &[Case] = &[
    ("whoever asks is pinged, and told of once it answered", learns_who_asked),
    ("whoever has a request passed to the daemon is met, too", learns_from_what_is_passed),
    ("contacts of either family are met by the sockets that reach them", meets_both_families),
    ("replies that match no request change nothing", ignores_strange_replies),
    ("the daemon tells what came of its requests, and asks whom to begin with", works_with_daemon),
    ("the table is the daemon's or the module's, and either keeps what is told", switches),
    ("joining is tried again until a seed answers", joins_with_patience),
    ("an outage of our own costs nobody its standing", forgives_its_own_outage),
    ("a flood of ids displaces nobody and takes no more memory", is_bounded_under_a_flood),
];

/// To be tried when the guest has run for a while.
pub(crate) const LATE_CASES: &[Case] =
    &[("a silent member is pinged twice before a newcomer has its place", pings_before_it_evicts)];

/// How long the module may take to do what it is to do at once.
const SOON: Duration = Duration::from_secs(10);
/// How long silence is listened to.
const WHILE: Duration = Duration::from_millis(300);

pub(crate) fn routing() -> Settings {
    Settings {
        routing: Some(true),
        allowance: Some((1_000_000_000, 1_000_000_000)),
        ..Settings::default()
    }
}

/// Waits until `is_so`, and fails if it never comes.
pub(crate) fn wait_until(what: &str, longest: Duration, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < longest, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn entry(node: &Daemon, id: &Id) -> Option<Entry> {
    let table = node.control.table(&node.id).unwrap();
    table.into_iter().find(|entry| entry.contact.id == *id)
}

/// Meets `peer`, which answers.
fn meet(node: &Daemon, peer: &Peer) {
    peer.ping(node.addr());
    assert!(peer.answer(SOON), "not pinged");
    wait_until("good", SOON, || {
        entry(node, &peer.id).is_some_and(|entry| entry.liveness == Liveness::Good)
    });
}

/// Whom `node` tells others of.
fn told(node: &Daemon, target: &Id) -> Vec<Contact> {
    node.control.closest(&node.id, true, target).unwrap()
}

fn learns_who_asked(_: &Module) {
    let mut random = Random::from_seed(200);
    let node = Daemon::answering(V4, routing());
    let events = RoutingEvents::listen(&node.control).unwrap();
    let peer = Peer::of_class(node.id, 0, &mut random);
    peer.ping(node.addr());
    let (ping, from) = peer.request(SOON).unwrap();
    let asked = Message::parse(&ping).unwrap();
    assert_eq!((asked.kind, asked.head.sender), (Kind::Ping, node.id));
    assert_eq!((from, asked.head.target), (node.addr(), node.id));
    assert_eq!(asked.head.tx_id.get() >> 56, 255);
    let known = entry(&node, &peer.id).unwrap();
    assert_eq!((known.contact, known.liveness), (peer.contact(), Liveness::Unverified));
    assert_eq!(told(&node, &peer.id), []);
    peer.socket.send_to(&peer.reply(&ping, from, &[]), from).unwrap();
    wait_until("told of", SOON, || told(&node, &peer.id) == [peer.contact()]);
    let known = entry(&node, &peer.id).unwrap();
    assert!(known.liveness == Liveness::Good && known.rtt_us > 0);
    let learned = events.wait().unwrap().remove(0);
    assert_eq!(learned.node, node.id);
    assert_eq!(learned.what, Happened::Learned(vec![peer.contact()]));
    let counts = node.status().counts;
    assert_eq!((counts.requests_out[0], counts.replies_in[0], counts.timeouts), (1, 1, 0));
    assert!(node.hears_nothing(), "the daemon has no part in it");
    // Clients are nobody's contacts.
    let client = Client::of(node.addr());
    client.ask(&Request { total: 300, ..Request::of(Kind::Ping) }.bytes());
    thread::sleep(WHILE);
    assert_eq!(node.control.table(&node.id).unwrap().len(), 1);
}

fn meets_both_families(_: &Module) {
    let mut random = Random::from_seed(209);
    // Bound to the unspecified IPv6 address, a socket reaches both.
    for (bound, of) in [(V6, [V6, V6]), (Ipv6Addr::UNSPECIFIED.into(), [V4, V6])] {
        let node = Daemon::answering(bound, routing());
        let [one, other] = of.map(|ip| Peer::at(ip, Id(random.bytes())));
        for peer in [&one, &other] {
            let ip = peer.socket.local_addr().unwrap().ip();
            let addr = SocketAddr::new(ip, node.port());
            peer.ping(addr);
            let (ping, from) = peer.request(SOON).unwrap();
            assert_eq!(from, addr);
            peer.socket.send_to(&peer.reply(&ping, from, &[]), from).unwrap();
            let told = || node.control.closest(&node.id, ip.is_ipv4(), &peer.id).unwrap();
            wait_until("told of", SOON, || told().contains(&peer.contact()));
        }
        assert_eq!(node.control.table(&node.id).unwrap().len(), 2);
    }
}

fn learns_from_what_is_passed(_: &Module) {
    let mut random = Random::from_seed(201);
    let node = Daemon::answering(V4, routing());
    let peer = Peer::of_class(node.id, 0, &mut random);
    let mut find = crate::values::find_value(Id(random.bytes()));
    find[52..72].copy_from_slice(&peer.id.0);
    // Too short to pay for pings, whatever the daemon answers.
    peer.socket.send_to(&find, node.addr()).unwrap();
    assert_eq!(node.receive().as_ref(), Some(&find));
    assert_eq!(peer.request(WHILE), None);
    let long = crate::values::padded_find_value(Id(random.bytes()), peer.id, 464);
    peer.socket.send_to(&long, node.addr()).unwrap();
    assert_eq!(node.receive(), Some(long));
    assert!(peer.answer(SOON));
    wait_until("told of", SOON, || told(&node, &peer.id) == [peer.contact()]);
}

fn ignores_strange_replies(_: &Module) {
    let mut random = Random::from_seed(202);
    let node = Daemon::answering(V4, routing());
    let [peer, other] = [0, 1].map(|class| Peer::of_class(node.id, class, &mut random));
    peer.ping(node.addr());
    let (ping, from) = peer.request(SOON).unwrap();
    let right = peer.reply(&ping, from, &[]);
    let unmatched = || node.status().counts.refused[Refusal::Unmatched as usize];
    // Another endpoint, another sender, another transaction, another kind.
    other.socket.send_to(&right, from).unwrap();
    peer.socket.send_to(&other.reply(&ping, from, &[]), from).unwrap();
    for (at, flip) in [(16, 1), (20, 1), (3, 3)] {
        let mut wrong = right.clone();
        wrong[at] ^= flip;
        peer.socket.send_to(&wrong, from).unwrap();
    }
    wait_until("all refused", SOON, || unmatched() == 5);
    assert_eq!(entry(&node, &peer.id).unwrap().liveness, Liveness::Unverified);
    // One of the daemon's own transactions.
    let mut passed = right.clone();
    passed[23] = 0;
    peer.socket.send_to(&passed, from).unwrap();
    assert_eq!(node.receive(), Some(passed));
    peer.socket.send_to(&right, from).unwrap();
    wait_until("told of", SOON, || told(&node, &peer.id) == [peer.contact()]);
    // The same once more.
    peer.socket.send_to(&right, from).unwrap();
    wait_until("refused", SOON, || unmatched() == 6);
    assert!(node.hears_nothing());
}

fn pings_before_it_evicts(_: &Module) {
    let mut random = Random::from_seed(203);
    let node = Daemon::answering(V4, Settings { k: Some(1), ..routing() });
    let [old, new] = [0, 0].map(|class| Peer::of_class(node.id, class, &mut random));
    // Others, so that the node does not doubt itself.
    let others = [1, 2, 3].map(|class| Peer::of_class(node.id, class, &mut random));
    others.iter().for_each(|other| meet(&node, other));
    meet(&node, &old);
    // Heard from within a minute, it counts as alive.
    new.ping(node.addr());
    assert_eq!(old.request(WHILE), None);
    assert!(entry(&node, &new.id).is_some_and(|entry| entry.is_replacement));
    // Silent for longer: it is asked, answers and stays.
    // So long ago that the guest must have been there.
    let silent = Seen { contact: old.contact(), rtt_us: 1_000, cookie: 5, age_ms: 70_000 };
    wait_until("late enough", 15 * SOON, || crate::values::monotonic_s() > 72);
    let newcomer = Peer::of_class(node.id, 0, &mut random);
    node.control.seen(&node.id, &[silent]).unwrap();
    newcomer.ping(node.addr());
    assert!(old.answer(SOON), "not pinged");
    wait_until("good", SOON, || told(&node, &old.id).contains(&old.contact()));
    // Silent again, and this time dead.
    let tracing = "/sys/kernel/tracing";
    let enable = format!("{tracing}/events/kdht/kdht_evict/enable");
    std::fs::write(&enable, "1").unwrap();
    node.control.seen(&node.id, &[silent]).unwrap();
    let another = Peer::of_class(node.id, 0, &mut random);
    // Before the first ping left: whatever is seen late makes the time until the second longer.
    let first = Instant::now();
    another.ping(node.addr());
    assert!(old.request(SOON).is_some(), "not pinged");
    let is_done = || told(&node, &old.id).iter().any(|contact| *contact != old.contact());
    let (mut pings, mut second) = (1, None);
    let begun = Instant::now();
    while entry(&node, &old.id).is_some_and(|entry| !entry.is_replacement) {
        assert!(begun.elapsed() < 4 * SOON, "kept");
        if old.request(Duration::from_millis(20)).is_some() {
            pings += 1;
            second = second.or(Some(first.elapsed()));
        }
        // Whoever waits is asked, and one of them answers.
        [&new, &newcomer].iter().for_each(|waiting| {
            waiting.request(Duration::from_millis(1));
        });
        another.answer(Duration::from_millis(1));
        // So that the node hears something.
        others.iter().for_each(|other| other.ping(node.addr()));
    }
    assert!(pings >= 2 && second.unwrap() >= Duration::from_secs(2), "{pings} in {second:?}");
    wait_until("replaced", SOON, is_done);
    assert!(told(&node, &old.id).contains(&another.contact()));
    assert!(node.status().fill[0].evicted >= 1);
    std::fs::write(&enable, "0").unwrap();
    let trace = std::fs::read_to_string(format!("{tracing}/trace")).unwrap();
    let port = old.endpoint().port.get();
    let line =
        format!("kdht_evict: id={} peer=[::ffff:127.0.0.1]:{port} liveness=doubtful", old.id);
    assert!(trace.contains(&line), "{line}\n{trace}");
}

fn works_with_daemon(_: &Module) {
    let mut random = Random::from_seed(204);
    let node = Daemon::answering(V4, routing());
    let control = &node.control;
    let known = crate::daemon::contacts(8, true, &mut random);
    let seen = |contact: &Contact| Seen { contact: *contact, rtt_us: 5_000, cookie: 9, age_ms: 0 };
    let all: Vec<Seen> = known.iter().map(seen).collect();
    control.seen(&node.id, &all).unwrap();
    let mut sorted = known.clone();
    sorted.sort_by_key(|contact| contact.id);
    assert_eq!(told(&node, &node.id), sorted);
    let target = Id(random.bytes());
    let begin = control.candidates(&node.id, true, &target).unwrap();
    assert_eq!(begin.len(), 8);
    assert!(begin.iter().all(|entry| (entry.rtt_us, entry.cookie) == (5_000, 9)));
    // One that failed is not told of, but asked.
    control.failed(&node.id, &[Unanswered { contact: known[3], age_ms: 0 }]).unwrap();
    assert!(!told(&node, &node.id).contains(&known[3]) && told(&node, &node.id).len() == 7);
    let begin = control.candidates(&node.id, true, &target).unwrap();
    let doubtful = begin.iter().find(|entry| entry.contact == known[3]).unwrap();
    assert_eq!((doubtful.liveness, doubtful.failures), (Liveness::Doubtful, 1));
    control.seen(&node.id, &all[3..4]).unwrap();
    assert_eq!(told(&node, &node.id).len(), 8);
    let number = |error: kdht_kmod::ControlError| error.raw_os_error();
    assert_eq!(control.add_contacts(&node.id, &known).map_err(number), Err(Some(16)));
    assert_eq!(control.remove_contact(&node.id, &known[0]).map_err(number), Err(Some(16)));
    let other = Settings { k: Some(4), ..Settings::default() };
    assert_eq!(control.set(&node.id, &other).map_err(number), Err(Some(16)));
    // A group of addresses has its share, and no more.
    let crowd: Vec<Seen> = (0..40)
        .map(|host| {
            let addr = SocketAddr::from(([30, 1, 1, host], 4_000));
            seen(&Contact::new(Id(random.bytes()), addr.into()))
        })
        .collect();
    control.seen(&node.id, &crowd).unwrap();
    let fill = node.status().fill[0];
    assert!(told(&node, &node.id).len() <= 18 && fill.refused_bucket_group > 0, "{fill:?}");
}

fn switches(_: &Module) {
    let mut random = Random::from_seed(205);
    let node = Daemon::answering(V4, Settings::default());
    let control = &node.control;
    let known = crate::daemon::contacts(30, true, &mut random);
    control.add_contacts(&node.id, &known).unwrap();
    let before = told(&node, &node.id);
    let number = |error: kdht_kmod::ControlError| error.raw_os_error();
    assert_eq!(control.join(&node.id, &[]).map_err(number), Err(Some(16)));
    let client = Client::of(node.addr());
    let find = Request { total: 300, target: node.id, ..Request::of(Kind::FindNode) }.bytes();
    let named = || Message::parse(&client.ask(&find)).unwrap().head.arg;
    for _ in 0..3 {
        let to = |routing| node.set(Settings { routing: Some(routing), ..Settings::default() });
        to(true);
        let seen: Vec<Seen> = known
            .iter()
            .map(|contact| Seen { contact: *contact, rtt_us: 1, cookie: 0, age_ms: 0 })
            .collect();
        control.seen(&node.id, &seen).unwrap();
        assert!(node.status().routes);
        assert_eq!((told(&node, &node.id), named()), (before.clone(), 20));
        assert_eq!(control.table(&node.id).unwrap().len(), 30);
        to(false);
        assert_eq!((told(&node, &node.id), named()), (before.clone(), 20));
        assert_eq!(control.table(&node.id).unwrap(), []);
        control.add_contacts(&node.id, &known).unwrap();
    }
}

fn joins_with_patience(_: &Module) {
    let mut random = Random::from_seed(206);
    let node = Daemon::answering(V4, routing());
    let events = RoutingEvents::listen(&node.control).unwrap();
    let seed = Peer::of_class(node.id, 0, &mut random);
    node.control.join(&node.id, &[seed.endpoint()]).unwrap();
    let (ping, _) = seed.request(SOON).unwrap();
    assert!(ping.len() >= 88 && node.status().join == JoinState::Contacting);
    assert_eq!(events.wait().unwrap()[0].what, Happened::JoinFailed(1_000));
    assert_eq!(node.status().join, JoinState::Waiting);
    assert!(seed.answer(SOON));
    // It is asked for the node's own id, and knows nobody.
    let (find, asker) = seed.request(SOON).unwrap();
    let asked = Message::parse(&find).unwrap();
    assert_eq!((asked.kind, asked.head.target), (Kind::FindNode, node.id));
    seed.socket.send_to(&seed.reply(&find, asker, &[]), asker).unwrap();
    let joined = |what: &Happened| *what == Happened::Joined([1, 0]);
    while !events.wait().unwrap().iter().any(|event| joined(&event.what)) {
        seed.answer(WHILE);
    }
    assert_eq!(node.status().join, JoinState::Joined);
}

fn forgives_its_own_outage(_: &Module) {
    let mut random = Random::from_seed(207);
    let node = Daemon::answering(V4, routing());
    let peers: Vec<Peer> =
        (0..4).map(|class| Peer::of_class(node.id, class, &mut random)).collect();
    peers.iter().for_each(|peer| meet(&node, peer));
    // Nobody answers any more: the daemon's report brings the first ping.
    let rules = Rules {
        alpha: 3,
        b: 1,
        bucket_group_max: 2,
        table_group_max: 10,
        caps_private: false,
        refresh_s: 1,
    };
    node.set(Settings { rules: Some(rules), ..Settings::default() });
    wait_until("forgiven", 4 * SOON, || node.status().counts.failures_forgiven > 0);
    assert_eq!(told(&node, &node.id).len(), 4);
    node.set(Settings { rules: Some(Rules { refresh_s: 0, ..rules }), ..Settings::default() });
    // The second witnesses are silent, too. Then something is heard, and everybody is asked.
    thread::sleep(Duration::from_secs(6));
    let begun = Instant::now();
    while node.status().counts.outages == 0 {
        assert!(begun.elapsed() < 4 * SOON);
        peers.iter().for_each(|peer| {
            peer.answer(Duration::from_millis(10));
        });
    }
    assert_eq!(told(&node, &node.id).len(), 4);
}

/// Bytes of unreclaimable kernel memory.
fn slab_bytes() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = info.lines().find(|line| line.starts_with("SUnreclaim:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1_024
}

fn is_bounded_under_a_flood(_: &Module) {
    let mut random = Random::from_seed(208);
    let node = Daemon::answering(V4, routing());
    let honest: Vec<Peer> =
        (0..12).map(|class| Peer::of_class(node.id, class / 2, &mut random)).collect();
    honest.iter().for_each(|peer| meet(&node, peer));
    let before = slab_bytes();
    let mut flood = Peer::with_id(Id(random.bytes()));
    for _ in 0..20_000 {
        flood.id = Id(random.bytes());
        flood.ping(node.addr());
    }
    let pings = std::iter::from_fn(|| flood.request(WHILE)).count();
    let status = node.status();
    let fill = status.fill[0];
    // Only those who answered are told of, and each of them still is.
    assert_eq!((fill.good, status.contacts[0]), (12, 12), "{fill:?}");
    assert_eq!((fill.doubtful, fill.stale), (0, 0), "{fill:?}");
    let members = fill.good + fill.unverified + fill.replacements;
    assert!(members <= fill.buckets * 28 && members <= 2_048, "{fill:?}");
    // One endpoint is asked one thing at a time.
    assert!(pings <= 200, "{pings} pings");
    let grown = slab_bytes().saturating_sub(before);
    // KASAN holds back what is freed.
    let has_kasan = std::fs::read_to_string("/proc/cmdline").unwrap().contains("kasan");
    assert!(has_kasan || grown < 4 << 20, "{grown} bytes more");
}
