//! `kdht-bench feed`: contacts that answer, as many as a node's table shall hold, by few
//! sockets: each contact is an address and a port of its own on loopback.

mod answer;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kdht::io::{Datapath, Mmsg, MmsgOptions, Socket, SocketOptions, Waiter, bind};
use kdht_core::{Local, Outbox, Route};
use kdht_wire::{Contact, Endpoint, Id};

use crate::draw::Draw;
use crate::now_ns;
use crate::protocol::Speech;

pub use answer::{Answerer, answerer};

/// Sockets: each serves up to [`PER_SOCKET`] contacts.
const SOCKETS: usize = 16;
/// Addresses of one socket: 127.128.0.0 to 127.191.255.255.
const PER_SOCKET: usize = 1 << 22;
/// Most contacts.
pub const CONTACTS_MAX: usize = 1 << 21;
/// Introductions in flight: what a node asks back at a time, less some for its own.
const IN_FLIGHT: usize = 24;
/// An introduction that the node has not asked back about for so long is made again.
const RETRY_NS: u64 = 300_000_000;
/// Introductions of one contact at most.
const TRIES_MAX: u8 = 40;

/// Whom to feed, and how many contacts.
#[derive(Args, Clone, Debug)]
pub struct FeedArgs {
    /// Where the node answers: an IPv4 loopback address
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
    /// How the node is spoken to: kdht or krpc
    #[arg(long, value_name = "PROTOCOL", default_value = "kdht")]
    pub protocol: Speech,
    /// End once every contact was asked, instead of staying to answer later questions
    #[arg(long)]
    pub once: bool,
}

/// Contacts, and how far the node has come to know them.
pub struct Feeder {
    mmsg: Mmsg,
    ports: Vec<u16>,
    target: Endpoint,
    answerer: Box<dyn Answerer>,
    ids: Vec<Id>,
    /// Whether the node asked this contact something.
    known: Vec<bool>,
    known_count: usize,
    tries: Vec<u8>,
    /// Contacts introduced and not asked yet, oldest first, with the time.
    waiting: VecDeque<(u32, u64)>,
    /// Contacts not introduced yet, and after them those to be introduced again.
    next: u32,
    again: VecDeque<u32>,
    given_up: usize,
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
    while !feeder.is_done() {
        feeder.turn()?;
    }
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
        if !target.is_ipv4() || !target.ip().is_loopback() {
            return Err(format!("{target} is no IPv4 loopback address; contacts live there only"));
        }
        if !(1..=CONTACTS_MAX).contains(&contacts) {
            return Err(format!("{contacts} contacts asked; 1 to {CONTACTS_MAX} are possible"));
        }
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let options = SocketOptions::default();
        let sockets: Result<Vec<Socket>, _> = (0..SOCKETS).map(|_| bind(any, &options)).collect();
        let sockets = sockets.map_err(|error| error.to_string())?;
        let ports = sockets.iter().map(|socket| socket.local_addr().port()).collect();
        let sizes = MmsgOptions { batch_count: 256, slot_count: 256 };
        let mut draw = Draw::new(seed ^ 0x6665_6564);
        Ok(Self {
            mmsg: Mmsg::new(sockets, &sizes).map_err(|error| error.to_string())?,
            ports,
            target: Endpoint::from(target),
            answerer: answerer(protocol)?,
            ids: (0..contacts).map(|_| draw.id()).collect(),
            known: vec![false; contacts],
            known_count: 0,
            tries: vec![0; contacts],
            waiting: VecDeque::new(),
            next: 0,
            again: VecDeque::new(),
            given_up: 0,
        })
    }

    /// Every contact, with its address.
    pub fn contacts(&self) -> impl Iterator<Item = Contact> + '_ {
        self.ids.iter().enumerate().map(|(at, id)| {
            let local = place_of(at);
            let port = self.ports[usize::from(local.socket)].into();
            Contact::new(*id, Endpoint { ip: local.ip, port })
        })
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
        let Self { mmsg, ids, known, known_count, answerer, target, .. } = self;
        let (batch, out) = mmsg.split();
        for datagram in batch {
            if datagram.route.peer != *target {
                continue;
            }
            let Some(at) = contact_of(&datagram.route.local) else { continue };
            let Some(id) = ids.get(at) else { continue };
            let Some(slot) = out.slot(&datagram.route) else { continue };
            let Some(len) = answerer.answer(slot, datagram.bytes, id) else { continue };
            out.commit(len);
            if !std::mem::replace(&mut known[at], true) {
                *known_count += 1;
            }
        }
        let now = now_ns();
        let is_quiet = !self.introduce(now) && received.datagram_count == 0;
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
            } else if now.saturating_sub(since_ns) > RETRY_NS {
                self.waiting.pop_front();
                self.again.push_back(at);
            } else {
                break;
            }
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
            let route = Route { peer: self.target, local: place_of(place) };
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

/// The address and socket of contact `at`.
fn place_of(at: usize) -> Local {
    // Below 2^21, so the address stays below 127.192.0.0 and the socket below 16.
    let socket = u8::try_from(at % SOCKETS).unwrap_or(0);
    let offset = u32::try_from(at / SOCKETS % PER_SOCKET).unwrap_or(0);
    let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 128, 0, 1)) + offset);
    Local { ip: ip.to_ipv6_mapped().octets(), socket }
}

/// The contact that lives at an address and socket, if any can.
fn contact_of(local: &Local) -> Option<usize> {
    let [.., a, b, c, d] = local.ip;
    let offset = u32::from_be_bytes([a, b, c, d]).checked_sub(0x7f80_0001)?;
    Some(offset as usize * SOCKETS + usize::from(local.socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contact_has_a_place_of_its_own_that_leads_back_to_it() {
        for at in (0..CONTACTS_MAX).step_by(977).chain([CONTACTS_MAX - 1]) {
            assert_eq!(contact_of(&place_of(at)), Some(at));
        }
        assert_eq!(contact_of(&Local::default()), None);
    }
}
