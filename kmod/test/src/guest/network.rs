//! Many nodes of the module, whose daemons do nothing at all.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use kdht_core::Refusal;
use kdht_kmod::{Control, Entry, JoinState, Liveness, Rules, Settings};
use kdht_kmod_test::Random;
use kdht_wire::{Body, Contact, Endpoint, Id, KeyRing, Kind, Message, NetworkKey};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, nearest};
use crate::lifetime::unload;
use crate::module::Module;
use crate::routing::{routing, wait_until};

pub(crate) const CASES: &[Case] = &[
    ("50 nodes find each other, and once more when all their seeds are gone", outlives_its_seeds),
    ("members of a keyed network find each other, and strangers nobody", keeps_to_its_members),
    ("the module comes and goes while pings and lookups are under way", goes_while_it_waits),
];

const NODES: usize = 50;
const SEEDS: usize = 5;
/// How long a network may take to find itself, on an emulated host.
const LONGEST: Duration = Duration::from_secs(120);

const RULES: Rules = Rules {
    alpha: 3,
    b: 1,
    bucket_group_max: 2,
    table_group_max: 10,
    caps_private: false,
    refresh_s: 5,
};

/// Whether each of `nodes` tells of all of the k nodes closest to it that are there, and of
/// nobody else. Says how many do not yet.
fn strangers(nodes: &[Daemon]) -> usize {
    let all: Vec<Contact> =
        nodes.iter().map(|node| Contact::new(node.id, node.addr().into())).collect();
    let knows = |node: &&Daemon| {
        let others: Vec<Contact> =
            all.iter().filter(|contact| contact.id != node.id).copied().collect();
        let told = node.control.closest(&node.id, true, &node.id).unwrap();
        told == nearest(&others, &node.id, 20)
    };
    nodes.iter().filter(|node| !knows(node)).count()
}

fn wait_for_network(nodes: &[Daemon], what: &str) {
    let begun = Instant::now();
    loop {
        let left = strangers(nodes);
        if left == 0 {
            return;
        }
        assert!(begun.elapsed() < LONGEST, "{what}: {left} of {} do not know enough", nodes.len());
        thread::sleep(Duration::from_millis(200));
    }
}

fn endpoints(nodes: &[Daemon]) -> Vec<Endpoint> {
    nodes.iter().map(|node| node.addr().into()).collect()
}

fn outlives_its_seeds(_: &Module) {
    let settings = || Settings { rules: Some(RULES), ..routing() };
    let mut seeds: Vec<Daemon> = (0..SEEDS).map(|_| Daemon::answering(V4, settings())).collect();
    let nodes: Vec<Daemon> = (0..NODES).map(|_| Daemon::answering(V4, settings())).collect();
    let to = endpoints(&seeds);
    for node in seeds.iter().chain(&nodes) {
        let others: Vec<Endpoint> =
            to.iter().filter(|seed| **seed != node.addr().into()).copied().collect();
        node.control.join(&node.id, &others).unwrap();
    }
    let has_joined = |node: &Daemon| node.status().join == JoinState::Joined;
    wait_until("all joined", LONGEST, || nodes.iter().all(has_joined));
    let mut all = nodes;
    all.append(&mut seeds);
    wait_for_network(&all, "with seeds");
    let seeds = all.split_off(NODES);
    drop(seeds);
    // Those who are gone are found out by refreshes, and nobody tells of them any more.
    wait_for_network(&all, "without seeds");
    // Half of the nodes forget everybody, and know one other node, which is no seed.
    for (at, node) in all.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
        node.set(Settings { routing: Some(false), ..Settings::default() });
        node.set(settings());
        // Whoever asks it meanwhile stands there again, but nobody whom it knew.
        let is_new = |entry: &Entry| entry.liveness == Liveness::Unverified;
        assert!(node.control.table(&node.id).unwrap().iter().all(is_new));
        node.control.join(&node.id, &[all[at + 1].addr().into()]).unwrap();
    }
    wait_for_network(&all, "after tables were lost");
    // Whoever asks anybody is told of those closest to the target.
    let mut random = Random::from_seed(300);
    let contacts: Vec<Contact> =
        all.iter().map(|node| Contact::new(node.id, node.addr().into())).collect();
    for node in all.iter().take(10) {
        let client = Client::of(node.addr());
        // Of those who are gone, each is found out when it is asked, within a few refreshes.
        wait_until("only those who are there", LONGEST, || {
            let target = Id(random.bytes());
            let find = Request { total: 300, target, ..Request::of(Kind::FindNode) };
            let reply = client.ask(&find.bytes());
            let reply = Message::parse(&reply).unwrap();
            let Body::Contacts { contacts: told, .. } = reply.body else { panic!("{reply:?}") };
            told.len() == 20 && told.iter().all(|contact| contacts.contains(contact))
        });
        assert!(node.hears_nothing(), "daemons are idle");
    }
}

fn keeps_to_its_members(_: &Module) {
    let key = NetworkKey { id: 7, secret: *b"shared by us all" };
    let keys = Some(KeyRing::new(key, None));
    let settings = || Settings { keys, rules: Some(RULES), ..routing() };
    let members: Vec<Daemon> = (0..6).map(|_| Daemon::answering(V4, settings())).collect();
    let stranger = Daemon::answering(V4, routing());
    let seed = [members[0].addr().into()];
    for node in members[1..].iter().chain([&stranger]) {
        node.control.join(&node.id, &seed).unwrap();
    }
    wait_for_network(&members, "with a key");
    wait_until("given up for now", LONGEST, || stranger.status().join == JoinState::Waiting);
    assert_eq!(stranger.status().contacts, [0, 0]);
    let refused = members[0].status().counts.refused;
    assert!(refused[Refusal::MacMissing as usize] > 0);
}

fn goes_while_it_waits(module: &Module) {
    let mut random = Random::from_seed(301);
    for round in 0..8_u64 {
        let sockets: Vec<UdpSocket> = (0..6).map(|_| UdpSocket::bind((V4, 0)).unwrap()).collect();
        // Nobody listens there.
        let dead = UdpSocket::bind((V4, 0)).unwrap();
        let control = Control::open().unwrap();
        let mut seeds: Vec<Endpoint> =
            sockets.iter().map(|socket| socket.local_addr().unwrap().into()).collect();
        seeds.push(dead.local_addr().unwrap().into());
        let ids: Vec<Id> = sockets.iter().map(|_| Id(random.bytes())).collect();
        for (socket, id) in sockets.iter().zip(&ids) {
            control.attach(id, socket.as_fd(), None).unwrap();
            let settings = Settings {
                answer: Some(true),
                cookie_secret: Some([2; 16]),
                rules: Some(Rules { refresh_s: 1, ..RULES }),
                ..routing()
            };
            control.set(id, &settings).unwrap();
            control.join(id, &seeds).unwrap();
        }
        // At another time each round: while pings, or lookups, or refreshes are under way.
        thread::sleep(Duration::from_millis(40 * round));
        if round % 2 == 0 {
            control.detach(&ids[0], None).unwrap();
        }
        drop(sockets);
        unload(module);
        module.load().unwrap();
    }
}
