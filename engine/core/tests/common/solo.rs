//! One node alone, asked by strangers.

use kdht_core::{Config, Node, Now, Route, Verdict, VerifyJob};
use kdht_wire::{Contact, Endpoint, Id, Kind, Message};

use super::{Datagram, Reply, Request, START, Tray, address, endpoint, is_reply, rng};

/// A node, its clock and its outbox.
#[derive(Debug)]
pub(crate) struct Solo {
    pub(crate) node: Node,
    pub(crate) now: Now,
    pub(crate) tray: Tray,
}

impl Solo {
    pub(crate) fn new(seed: u64, config: Config) -> Self {
        let mut rng = rng(seed);
        let node = Node::new(rng.id(), config, rng.secret(), START);
        Self { node, now: START, tray: Tray::new(256) }
    }

    /// A node that verified `count` contacts with random ids, and had them ask it, too.
    pub(crate) fn with_contacts(seed: u64, config: Config, count: usize) -> (Self, Vec<Contact>) {
        let mut solo = Self::new(seed, config);
        let mut rng = rng(!seed);
        let mut known = Vec::new();
        for at in 0..count {
            let contact = Contact::new(rng.id(), address(1 + at));
            solo.befriend(&contact);
            known.push(contact);
        }
        (solo, known)
    }

    /// Lets `contact` ask, and answers the ping that follows.
    pub(crate) fn befriend(&mut self, contact: &Contact) {
        let key = self.node.config().keys.signing().copied();
        let ping = Request { key, ..Request::hello(contact.id) }.bytes();
        for sent in self.hand(&contact.endpoint, &ping) {
            if sent.to == contact.endpoint && !is_reply(&sent.bytes) {
                let reply = Reply { key, ..Reply::default() };
                let pong = reply.bytes(&sent.bytes, contact.id, endpoint("9.9.9.9:9"));
                self.hand(&contact.endpoint, &pong);
            }
        }
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) -> Vec<Datagram> {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.node.handle_timeout(self.now, &mut self.tray);
        self.sent()
    }

    /// Hands in a datagram and returns what the node sends at once.
    pub(crate) fn hand(&mut self, from: &Endpoint, bytes: &[u8]) -> Vec<Datagram> {
        let route = Route::to(*from);
        self.node.handle_datagram(self.now, &route, bytes, &mut self.tray);
        self.sent()
    }

    /// A fresh cookie for `from`.
    pub(crate) fn cookie(&mut self, from: &Endpoint) -> u64 {
        let mut request = Request::new(Kind::Ping, Id([0xcc; 20]), Id([0xcc; 20]));
        request.flags = kdht_wire::Flags::CLIENT;
        request.key = self.node.config().keys.signing().copied();
        request.time_s = self.now.unix_s;
        let sent = self.hand(from, &request.bytes());
        Message::parse(&sent[0].bytes).unwrap().head.cookie.get()
    }

    /// Takes every job that the node wants done.
    pub(crate) fn jobs(&mut self) -> Vec<VerifyJob> {
        std::iter::from_fn(|| self.node.poll_verify()).collect()
    }

    /// Hands in a verdict and returns what the node sends at once.
    pub(crate) fn rule(&mut self, verdict: Verdict) -> Vec<Datagram> {
        self.node.handle_verdict(self.now, verdict, &mut self.tray);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Datagram> {
        let mut sent = Vec::new();
        let from = address(0);
        self.tray.drain(|route, bytes| {
            sent.push(Datagram { from, to: route.peer, bytes: bytes.to_vec() });
        });
        sent
    }
}
