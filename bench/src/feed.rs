//! `kdht-bench feed`: contacts that answer, as many as a node's table shall hold, by few
//! sockets: each contact is an address and a port of its own on loopback.

mod answer;
mod place;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use kdht::io::{Datapath, Mmsg, MmsgOptions, Socket, Waiter};
use kdht_core::{Outbox, Route};
use kdht_wire::{Contact, Endpoint, Id};

use crate::draw::Draw;
use crate::now_ns;
use crate::protocol::Speech;

pub use answer::{Answerer, answerer};
pub use place::CONTACTS_MAX;

use place::Places;

/// Introductions in flight: what a node asks back at a time, less some for its own.
const IN_FLIGHT: usize = 24;
/// An introduction that the node has not asked back about for so long is made again.
const RETRY_NS: u64 = 300_000_000;
/// A node that asks back when it likes is introduced to all contacts anew after so long.
const ROUND_NS: u64 = 2_000_000_000;
/// Contacts that one names to a node that looks for some.
const NAMED: usize = 8;
/// Introductions of one contact at most.
const TRIES_MAX: u8 = 40;

/// Whom to feed, and how many contacts.
#[derive(Args, Clone, Debug)]
pub struct FeedArgs {
    /// Where the node answers, on this host. Contacts of an IPv6 node live in
    /// fd6b:6468:7400::/48, which the host must be told to be its own
    #[arg(long, value_name = "ADDR")]
    pub target: SocketAddr,
    /// Contacts
    #[arg(long, value_name = "N")]
    pub contacts: usize,
    /// Write the id and address of each contact here, a line each
    #[arg(long, value_name = "FILE")]
    pub ids_out: Option<PathBuf>,
    /// What ids follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the node is spoken to: kdht, krpc or opendht
    #[arg(long, value_name = "PROTOCOL", default_value = "kdht")]
    pub protocol: Speech,
    /// Introduce for so long at most, and from then on answer only: nodes whose tables hold
    /// fewer than they are told of never ask all
    #[arg(long, value_name = "SECONDS")]
    pub patience: Option<u64>,
    /// End once every contact was asked, instead of staying to answer later questions
    #[arg(long)]
    pub once: bool,
}

/// Contacts, and how far the node has come to know them.
pub struct Feeder {
    mmsg: Mmsg,
    places: Places,
    ports: Vec<u16>,
    target: Endpoint,
    answerer: Box<dyn Answerer>,
    ids: Vec<Id>,
    /// Whether the node asked this contact something.
    known: Vec<bool>,
    /// Whether the node answered its introduction of this round.
    greeted: Vec<bool>,
    /// When the round of introductions began.
    round_ns: u64,
    /// The contact that is named to the node next.
    named: usize,
    known_count: usize,
    tries: Vec<u8>,
    /// Contacts introduced and not asked yet, oldest first, with the time.
    waiting: VecDeque<(u32, u64)>,
    /// Contacts not introduced yet, and after them those to be introduced again.
    next: u32,
    again: VecDeque<u32>,
    given_up: usize,
    /// Whether it still introduces.
    is_patient: bool,
}

/// Feeds, prints a line of JSON when done, and stays.
///
/// # Errors
/// What the host refuses, or that the node knows nobody in the end.
pub fn main(args: &FeedArgs) -> Result<(), String> {
    let mut feeder = Feeder::new(args.target, args.contacts, args.seed, args.protocol)?;
    if let Some(path) = &args.ids_out {
        let mut text = String::new();
        for contact in feeder.contacts() {
            let _ = writeln!(text, "{} {}", contact.id, contact.endpoint);
        }
        let written = std::fs::write(path, text);
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let deadline = args.patience.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while !feeder.is_done() && deadline.is_none_or(|deadline| Instant::now() < deadline) {
        feeder.turn()?;
    }
    feeder.is_patient = false;
    println!("{}", serde_json::json!({ "contacts": args.contacts, "asked": feeder.known_count() }));
    // A reader that went away is no error of ours.
    let _ = std::io::stdout().flush();
    if feeder.known_count() == 0 {
        return Err(format!("{} asked nobody back", args.target));
    }
    if args.once {
        return Ok(());
    }
    loop {
        feeder.turn()?;
    }
}

impl Feeder {
    /// `contacts` contacts with ids that follow from `seed`.
    ///
    /// # Errors
    /// What the host refuses, or what cannot be fed.
    pub fn new(
        target: SocketAddr,
        contacts: usize,
        seed: u64,
        protocol: Speech,
    ) -> Result<Self, String> {
        let places = Places::beside(target)?;
        if !(1..=CONTACTS_MAX).contains(&contacts) {
            return Err(format!("{contacts} contacts asked; 1 to {CONTACTS_MAX} are possible"));
        }
        let sockets: Vec<Socket> = places.bind()?;
        let ports = sockets.iter().map(|socket| socket.local_addr().port()).collect();
        let sizes = MmsgOptions { batch_count: 256, slot_count: 256 };
        let mut mmsg = Mmsg::new(sockets, &sizes).map_err(|error| error.to_string())?;
        places.prove(&mut mmsg)?;
        let mut draw = Draw::new(seed ^ 0x6665_6564);
        Ok(Self {
            mmsg,
            places,
            ports,
            target: Endpoint::from(target),
            answerer: answerer(protocol)?,
            ids: (0..contacts).map(|_| draw.id()).collect(),
            known: vec![false; contacts],
            greeted: vec![false; contacts],
            round_ns: 0,
            named: 0,
            known_count: 0,
            tries: vec![0; contacts],
            waiting: VecDeque::new(),
            next: 0,
            again: VecDeque::new(),
            given_up: 0,
            is_patient: true,
        })
    }

    /// Every contact, with its address.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> + '_ {
        (0..self.ids.len()).map(|at| self.contact(at))
    }

    fn contact(&self, at: usize) -> Contact {
        let local = self.places.of(at);
        let port = self.ports[usize::from(local.socket)].into();
        Contact::new(self.ids[at], Endpoint { ip: local.ip, port })
    }

    /// Contacts that the node asked something.
    #[must_use]
    pub fn known_count(&self) -> usize {
        self.known_count
    }

    /// Whether every contact was asked, or introduced often enough.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.known_count + self.given_up >= self.ids.len()
    }

    /// Answers what came, introduces who is next, and sleeps a little if there is nothing.
    ///
    /// # Errors
    /// The host cannot wait.
    pub fn turn(&mut self) -> Result<(), String> {
        let received = self.mmsg.receive();
        let first = self.named;
        self.named = (first + NAMED) % self.ids.len();
        let others: [Contact; NAMED] =
            std::array::from_fn(|place| self.contact((first + place) % self.ids.len()));
        let Self { mmsg, places, ids, known, known_count, greeted, answerer, target, .. } = self;
        let (batch, out) = mmsg.split();
        for datagram in batch {
            if datagram.route.peer != *target {
                continue;
            }
            let Some(at) = places.contact(&datagram.route.local) else { continue };
            let Some(id) = ids.get(at) else { continue };
            let Some(slot) = out.slot(datagram.route) else { continue };
            let Some(len) = answerer.answer(slot, datagram.bytes, id, &others) else {
                greeted[at] = true;
                continue;
            };
            out.commit(len);
            if !std::mem::replace(&mut known[at], true) {
                *known_count += 1;
            }
        }
        let now = now_ns();
        let is_quiet = !(self.is_patient && self.introduce(now)) && received.datagram_count == 0;
        self.mmsg.flush();
        if is_quiet {
            let mut waiter = Waiter::new(self.mmsg.fds());
            let waited = waiter.wait(Some(Duration::from_millis(20)));
            waited.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Introduces who is next, as far as the node has answered those before.
    fn introduce(&mut self, now: u64) -> bool {
        let mut has_sent = false;
        while let Some((at, since_ns)) = self.waiting.front().copied() {
            if self.known[at as usize] {
                self.waiting.pop_front();
            } else if self.answerer.asks_back_later() && self.greeted[at as usize] {
                // It is asked when the node finds the time.
                self.waiting.pop_front();
            } else if now.saturating_sub(since_ns) > RETRY_NS {
                self.waiting.pop_front();
                self.again.push_back(at);
            } else {
                break;
            }
        }
        let is_round_over = self.next as usize == self.ids.len() && self.again.is_empty();
        if self.answerer.asks_back_later()
            && is_round_over
            && now.saturating_sub(self.round_ns) > ROUND_NS
        {
            self.round_ns = now;
            self.next = 0;
            self.greeted.fill(false);
        }
        // Those in the middle that are known by now count until they reach the front.
        while self.waiting.len() < IN_FLIGHT {
            let at = if (self.next as usize) < self.ids.len() {
                self.next += 1;
                self.next - 1
            } else if let Some(at) = self.again.pop_front() {
                at
            } else {
                break;
            };
            let place = at as usize;
            if self.known[place] {
                continue;
            }
            if self.tries[place] >= TRIES_MAX {
                self.given_up += 1;
                continue;
            }
            self.tries[place] += 1;
            let route = Route { peer: self.target, local: self.places.of(place) };
            let out = self.mmsg.outbox();
            let Some(slot) = out.slot(&route) else { break };
            let len = self.answerer.introduce(slot, u64::from(at), &self.ids[place]);
            out.commit(len);
            self.waiting.push_back((at, now));
            has_sent = true;
        }
        has_sent
    }
}
