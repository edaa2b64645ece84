//! What the daemon is told of those who asked.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use kdht_kmod::{Control, Settings, Sightings};
use kdht_kmod_test::Random;
use kdht_wire::{Contact, Flags, Id, Kind, Message};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, V6};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("the daemon is told of nodes that asked, once each, and of nobody else", tells_who_asked),
    ("of more askers than there is room for, each is told or counted", counts_the_lost),
];

/// How long a batch may take.
const BATCH_WAIT: Duration = Duration::from_millis(500);

/// Who asks `node`, as it is told from now on.
fn listen(node: Id) -> Receiver<Contact> {
    let sightings = Sightings::listen(&Control::open().unwrap()).unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        loop {
            for told in sightings.wait().unwrap().into_iter().filter(|told| told.node == node) {
                if told.askers.into_iter().any(|asker| sender.send(asker).is_err()) {
                    return;
                }
            }
        }
    });
    receiver
}

fn tells_who_asked(_: &Module) {
    for ip in [V4, V6] {
        let daemon = Daemon::answering(ip, Settings::default());
        let askers = listen(daemon.id);
        let told = || -> Vec<Contact> {
            std::iter::from_fn(|| askers.recv_timeout(BATCH_WAIT).ok()).collect()
        };
        let client = Client::of(daemon.addr());
        // Long enough to pay for the two pings that it may get.
        let node = Request { flags: Flags(0), total: 88, ..Request::of(Kind::Ping) };
        let contact = |sender| Contact::new(sender, client.endpoint());
        let reply = client.ask(&node.bytes());
        assert_eq!(told(), [contact(node.sender)]);
        // Not again so soon, no client, and nobody who paid for no ping.
        client.ask(&node.bytes());
        client.ask(&Request { sender: Id([1; 20]), flags: Flags::CLIENT, ..node }.bytes());
        let short = Request { sender: Id([2; 20]), total: 0, ..node };
        client.ask(&short.bytes());
        assert_eq!(told(), []);
        // Another id, and one that proves its endpoint.
        client.ask(&Request { sender: Id([3; 20]), ..node }.bytes());
        let cookie = Message::parse(&reply).unwrap().head.cookie.get();
        client.ask(&Request { cookie, ..short }.bytes());
        assert_eq!(told(), [contact(Id([3; 20])), contact(short.sender)]);
        assert_eq!(daemon.status().sighted_lost, 0);
    }
}

fn counts_the_lost(_: &Module) {
    let allowance = Some((1_000_000_000, 1_000_000_000));
    let daemon = Daemon::answering(V4, Settings { allowance, ..Settings::default() });
    let askers = listen(daemon.id);
    let client = Client::of(daemon.addr());
    let mut random = Random::from_seed(60);
    let all: BTreeSet<Id> = (0..2_000).map(|_| Id(random.bytes())).collect();
    for (at, sender) in all.iter().enumerate() {
        let node =
            Request { flags: Flags(0), total: 88, sender: *sender, ..Request::of(Kind::Ping) };
        client.send(&node.bytes());
        if at % 100 == 99 {
            client.drain();
        }
    }
    let told: Vec<Id> =
        std::iter::from_fn(|| askers.recv_timeout(BATCH_WAIT).ok()).map(|c| c.id).collect();
    let distinct: BTreeSet<Id> = told.iter().copied().collect();
    assert!(distinct.len() == told.len() && distinct.is_subset(&all));
    assert_eq!(told.len() as u64 + daemon.status().sighted_lost, 2_000);
    assert!(told.len() >= 128, "{}", told.len());
}
