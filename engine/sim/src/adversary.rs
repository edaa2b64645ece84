//! Who means harm: scripts that speak bytes. They know what SECURITY.md says strangers will
//! try, and nothing of how a node decides.

pub(crate) mod claims;
mod fault;
pub(crate) mod flood;
mod forwarder;
mod garbage;
mod replay;
mod spoof;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use kdht_core::Rng;
use kdht_wire::{Contact, Endpoint, Flags, Head, Id, Kind, Message};

use crate::address::{HOSTS_MAX, PORT, SUBNETS, endpoint, ip_of};
use crate::adversary::claims::Claims;
use crate::adversary::flood::Stock;
use crate::letter::Letter;
use crate::random::{Purpose, below, whole};
use crate::scenario::{Adversary, Script};
use crate::world::{Datagram, Occupant, World};

/// Contacts that a lying reply names.
const NAMED: usize = 20;
/// Bytes of a first PING that pays for the pings that get to know its sender.
const HELLO_LEN: usize = 88;
/// Cookies that a group keeps.
const COOKIES_MAX: usize = 65_536;
/// Bytes of a flood's values.
const FLOOD_LEN: usize = 1_000;

/// Whom reflections and accusations are to hit.
pub(crate) fn victim() -> Endpoint {
    endpoint(Ipv4Addr::new(33, 33, 33, 33), 3_333)
}

/// Whether this is a host that an adversary made up.
pub(crate) fn is_invented(at: &Endpoint) -> bool {
    matches!(ip_of(at) >> 24, 30..=32)
}

/// One host of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    id: Id,
    endpoint: Endpoint,
}

/// A cookie, who gave it, and when it came.
#[derive(Clone, Copy, Debug)]
struct Given {
    by: Endpoint,
    cookie: u64,
    at_ns: u64,
}

/// Hosts that follow one script.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) plan: Adversary,
    number: u16,
    members: Vec<Member>,
    rng: Rng,
    /// What each node gave as a cookie, by member and address.
    cookies: BTreeMap<(u32, u32), Given>,
    sent: u64,
    transactions: u64,
    pub(crate) claims: Claims,
    stock: Stock,
    /// The one node that all of it goes to.
    pub(crate) target: Option<u32>,
}

impl Group {
    /// Makes group `number` and gives its hosts their addresses. Each group has subnets of
    /// its own, far from those of honest nodes.
    pub(crate) fn new(world: &mut World, number: u16, plan: &Adversary) -> Self {
        let mut rng = world.draws.stream(1_000 + u64::from(number));
        let share = whole(plan.share * f64::from(world.scenario.nodes));
        let count = u32::try_from(share).unwrap_or(u32::MAX).max(plan.count).clamp(1, 100_000);
        let first = SUBNETS / 2 + u64::from(number) * 100_000;
        let members = (0..count)
            .map(|at| {
                let subnet = first + u64::from(at / plan.per_subnet);
                let host = u64::from(at % plan.per_subnet);
                let endpoint = world.addresses.in_subnet(subnet, host);
                world.occupy(&endpoint, Occupant::Adversary(number, at));
                Member { id: rng.id(), endpoint }
            })
            .collect();
        Self {
            plan: *plan,
            number,
            members,
            rng,
            cookies: BTreeMap::new(),
            sent: 0,
            transactions: 0,
            claims: Claims::default(),
            stock: Stock::default(),
            target: None,
        }
    }

    /// Who they are, for tables that know them from the start.
    pub(crate) fn contacts(&self) -> impl Iterator<Item = Contact> {
        self.members.iter().map(|member| Contact::new(member.id, member.endpoint))
    }

    /// Chooses its one target, if it has one, and ids or values to suit.
    pub(crate) fn begin(&mut self, world: &mut World) {
        if self.plan.one_target {
            self.target = world.random_live();
        }
        if self.plan.kind == Script::HashFlood {
            self.collide(world);
        }
        let Some(target) = self.target else { return };
        let depths = match self.plan.kind {
            // As many as may be under each bit of the target's id.
            Script::Eclipse => 0..20_u8,
            Script::Splitter => 150..159,
            _ => return,
        };
        let own = world.places[target as usize].id;
        for (member, depth) in self.members.iter_mut().zip(depths.cycle()) {
            let mut id = self.rng.id();
            for bit in 0..depth {
                id = id.with_bit(bit, own.bit(bit));
            }
            member.id = id.with_bit(depth, !own.bit(depth));
        }
    }

    /// Sends one datagram by itself.
    pub(crate) fn act(&mut self, world: &mut World) {
        let target = self.target.or_else(|| world.random_live());
        let Some(to) = target.map(|at| world.places[at as usize].endpoint) else { return };
        let at = below(&mut self.rng, self.members.len());
        let (member, host) = (self.members[at], u32::try_from(at).unwrap_or(0));
        let time_s = world.unix_s(0);
        let tx_id = self.rng.next_u64();
        let id = self.rng.id();
        let request = |kind| Letter::request(kind, tx_id, id, id, time_s);
        let (from, letter) = match self.plan.kind {
            Script::Reflector => (world.victim, self.reflection(&request)),
            Script::Spoofer => return self.spoof(world, to, time_s),
            Script::FaultLoop => return self.loop_faults(world, to),
            Script::Garbage => return self.litter(world, host, to),
            Script::CookieReplay => return self.replay_cookie(world, host, to),
            Script::Replay => return self.replay_datagram(world, host, to),
            Script::Rollback => return self.roll_back(world, host),
            Script::Limiter => return self.flood_limiter(world, to),
            Script::SignatureFlood => return self.flood_signatures(world, host, to),
            Script::HashFlood => return self.flood_hashes(world, host, to),
            Script::Recurser => {
                let kind = [Kind::FindNode, Kind::FindValue][below(&mut self.rng, 2)];
                let cookie = if below(&mut self.rng, 2) == 0 { 0 } else { tx_id };
                let len_min = below(&mut self.rng, 1_232);
                let flags = Flags::RECURSE;
                (self.invented(), Letter { flags, cookie, len_min, ..request(kind) })
            }
            Script::Forwarder => {
                let kind = [Kind::FindNode, Kind::FindValue][below(&mut self.rng, 2)];
                (member.endpoint, self.forwarded(world, member.endpoint, request(kind)))
            }
            Script::StorageFlood => return self.flood(world, host, to, &request(Kind::Ping)),
            Script::Flusher => {
                let port = u16::try_from(1_024 + below(&mut self.rng, 60_000)).unwrap_or(PORT);
                let from = Endpoint { port: port.into(), ..member.endpoint };
                let id = self.id_at(world, &from);
                let ping = Letter::request(Kind::Ping, tx_id, id, id, time_s);
                (from, Letter { len_min: HELLO_LEN, ..ping })
            }
            _ => {
                let ping = Letter::request(Kind::Ping, tx_id, member.id, member.id, time_s);
                (member.endpoint, Letter { len_min: HELLO_LEN, ..ping })
            }
        };
        let cookie = self.told_cookie(world, &from, &to).unwrap_or(letter.cookie);
        self.send(world, from, to, Letter { cookie, ..letter }.bytes());
    }

    /// Answers what reached one of its hosts.
    pub(crate) fn reached(&mut self, world: &mut World, member: u32, datagram: &Datagram) {
        let Some(own) = self.members.get(member as usize).copied() else { return };
        let Ok(message) = Message::parse(&datagram.bytes) else { return };
        let head = message.head;
        if head.is_reply() {
            if message.kind != Kind::Fault {
                self.claims.served(head.tx_id.get());
            }
            return self.keep_cookie(world, member, head, &datagram.from);
        }
        let id = match self.plan.kind {
            Script::Flusher => self.id_at(world, &datagram.to),
            Script::Colluder if datagram.to.port.get() != PORT => {
                invented_id(&head.target, u64::from(datagram.to.port.get()), &datagram.to)
            }
            _ => own.id,
        };
        let named = match message.kind {
            Kind::Ping => Vec::new(),
            Kind::FindNode | Kind::FindValue => match self.lie(world, head) {
                Some(named) => named,
                None => return,
            },
            Kind::Store if self.plan.kind != Script::Dropper => Vec::new(),
            _ => return,
        };
        let reply = Letter::reply(head, message.kind, id, datagram.from);
        let bytes = Letter { contacts: &named, ..reply }.bytes();
        self.send(world, datagram.to, datagram.from, bytes);
    }

    /// Whom a reply to a FIND names; nothing: no reply.
    fn lie(&mut self, world: &World, asked: &Head) -> Option<Vec<Contact>> {
        let target = asked.target;
        let mut named: Vec<Contact> = match self.plan.kind {
            Script::Poisoner => {
                let made: Vec<_> = (0..NAMED).map(|_| self.invented()).collect();
                made.iter().map(|at| Contact::new(self.near(&target), *at)).collect()
            }
            Script::Accuser => {
                (0..NAMED).map(|_| Contact::new(self.near(&target), world.victim)).collect()
            }
            Script::Colluder => (0..NAMED)
                .map(|_| {
                    let fellow = self.members[below(&mut self.rng, self.members.len())];
                    let port = u16::try_from(5_000 + below(&mut self.rng, 16)).unwrap_or(PORT);
                    let at = Endpoint { port: port.into(), ..fellow.endpoint };
                    Contact::new(invented_id(&target, u64::from(port), &at), at)
                })
                .collect(),
            Script::Sybil | Script::Eclipse | Script::Splitter => (0..NAMED)
                .map(|_| {
                    let fellow = self.members[below(&mut self.rng, self.members.len())];
                    Contact::new(fellow.id, fellow.endpoint)
                })
                .collect(),
            _ => return None,
        };
        named.sort_by_key(|contact| contact.id.distance(&target));
        named.dedup_by_key(|contact| contact.id);
        Some(named)
    }

    /// A request in the victim's name, of a kind and length of its own.
    fn reflection<'l>(&mut self, request: &impl Fn(Kind) -> Letter<'l>) -> Letter<'l> {
        let kinds = [Kind::Ping, Kind::FindNode, Kind::FindValue, Kind::Store];
        let kind = kinds[below(&mut self.rng, kinds.len())];
        let cookie = if below(&mut self.rng, 4) == 0 { self.rng.next_u64() } else { 0 };
        let flags = if below(&mut self.rng, 4) == 0 { Flags::RECURSE } else { Flags::default() };
        let len_min = if below(&mut self.rng, 2) == 0 { 0 } else { below(&mut self.rng, 1_232) };
        Letter { cookie, flags, len_min, ..request(kind) }
    }

    /// Host number `at`; the last one, if there are not so many. No group is empty.
    fn host(&self, at: u32) -> Member {
        self.members[(at as usize).min(self.members.len() - 1)]
    }

    /// What `by` gave this host.
    fn given(&self, at: u32, by: &Endpoint) -> Option<Given> {
        self.cookies.get(&(at, ip_of(by))).copied()
    }

    /// The next answer of `by` brings this host a new cookie.
    fn forget_given(&mut self, at: u32, by: &Endpoint) {
        self.cookies.remove(&(at, ip_of(by)));
    }

    /// Keeps the cookie of a reply, as far as this script has a use for it.
    fn keep_cookie(&mut self, world: &World, member: u32, reply: &Head, by: &Endpoint) {
        let place = (member, ip_of(by));
        let is_kept = match self.plan.kind {
            Script::StorageFlood | Script::SignatureFlood | Script::HashFlood => true,
            Script::Limiter | Script::Rollback => true,
            // One that grows old is what it wants.
            Script::CookieReplay => !self.cookies.contains_key(&place),
            _ => false,
        };
        if is_kept && reply.cookie.get() != 0 && self.cookies.len() < COOKIES_MAX {
            let given = Given { by: *by, cookie: reply.cookie.get(), at_ns: world.now_ns() };
            self.cookies.insert(place, given);
        }
    }

    /// A request of one of its hosts in its own name, as a client's: of those nobody tells
    /// others, so that tables stay as they are.
    fn letter(&mut self, world: &World, at: u32, kind: Kind, target: Id) -> Letter<'static> {
        let (tx_id, sender) = (self.next_tx(), self.host(at).id);
        let letter = Letter::request(kind, tx_id, target, sender, world.unix_s(0));
        Letter { flags: Flags::CLIENT, ..letter }
    }

    /// A transaction of this group's own.
    fn next_tx(&mut self) -> u64 {
        self.transactions += 1;
        1 << 62 | u64::from(self.number) << 40 | self.transactions
    }

    /// The cookie that `to` would give to `from`, if the group is given what it must not know.
    fn told_cookie(&self, world: &mut World, from: &Endpoint, to: &Endpoint) -> Option<u64> {
        let Some(Occupant::Node(at)) = world.occupant(to).filter(|_| self.plan.informed) else {
            return None;
        };
        let now = world.now_of(at);
        let node = world.places[at as usize].node.as_mut()?;
        Some(node.cookie_for(from, now))
    }

    fn send(&mut self, world: &mut World, from: Endpoint, to: Endpoint, bytes: Vec<u8>) {
        self.sent += 1;
        // Counted apart from what honest nodes send from the same address.
        let count = 1 << 63 | u64::from(self.number) << 48 | self.sent;
        world.send(Datagram { from, to, bytes }, count);
    }

    /// An address that nobody has.
    fn invented(&mut self) -> Endpoint {
        let bits = self.rng.next_u64().to_le_bytes();
        let ip = Ipv4Addr::new(30 + bits[0] % 3, bits[1], bits[2], bits[3] | 1);
        endpoint(ip, PORT)
    }

    /// An id that shares about 60 bits with `target`.
    fn near(&mut self, target: &Id) -> Id {
        invented_id(target, self.rng.next_u64(), &Endpoint::NONE)
    }

    /// The id that a flusher's host has at this port.
    fn id_at(&self, world: &World, at: &Endpoint) -> Id {
        let bits = |part: u64| {
            let place = u64::from(ip_of(at)) << 16 | u64::from(at.port.get());
            world.draws.bits(Purpose::Sequence, place, 100 + part)
        };
        let mut id = Id::ZERO;
        for (chunk, part) in id.0.chunks_mut(8).zip(0..) {
            let drawn = bits(part).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        id
    }
}

/// An id next to `target` that follows from the rest, so that whoever is asked for it by
/// way of `target` knows which one it is said to have.
fn invented_id(target: &Id, number: u64, at: &Endpoint) -> Id {
    let bits = crate::random::next(number ^ u64::from(ip_of(at)) << 20) >> 4;
    let mut id = *target;
    for (byte, with) in id.0[8..16].iter_mut().zip(bits.to_be_bytes()) {
        *byte ^= with;
    }
    id
}

const _: () = assert!(HOSTS_MAX < 256);
