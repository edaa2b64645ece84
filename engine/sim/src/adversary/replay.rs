//! What was good once, said again: cookies, values and whole datagrams.

use kdht_core::NS_PER_S;
use kdht_wire::{Body, Endpoint, Flags, Kind, Message, NetworkKey, key_of_value};

use crate::adversary::claims::Right;
use crate::adversary::{Given, Group};
use crate::letter::Letter;
use crate::random::below;
use crate::world::World;

/// Up to this age a cookie must be honoured, in seconds: 300, less what datagrams are on their
/// way.
const COOKIE_GOOD_S: u64 = 290;
/// From this age on it must not be.
const COOKIE_DEAD_S: u64 = 600;
/// And at this age its owner asks for another.
const COOKIE_KEPT_S: u64 = 900;
/// Up to this age a datagram of a private network is as good as new, in seconds: 120, less what
/// clocks and datagrams take.
const DATAGRAM_GOOD_S: u64 = 100;
/// From this age on it must be dropped.
const DATAGRAM_DEAD_S: u64 = 121;
/// What is stored to see whether a cookie is honoured.
const PROOF: &[u8] = b"whoever stores this was believed";
/// The key of a network that nobody else is in, under the number of the one that is attacked.
const FOREIGN: NetworkKey = NetworkKey { id: 1, secret: [0xc3; 16] };

impl Group {
    /// Stores with a host's cookie: as its owner, from another host or port, at another node
    /// than its maker, and too late.
    pub(super) fn replay_cookie(&mut self, world: &mut World, at: u32, to: Endpoint) {
        let own = self.host(at).endpoint;
        let Some(given) = self.given(at, &to) else { return self.ask_for_cookie(world, at, to) };
        let (from, to) = match below(&mut self.rng, 4) {
            0 => (own, to),
            1 => (self.members[below(&mut self.rng, self.members.len())].endpoint, to),
            2 => (Endpoint { port: own.port.get().wrapping_add(1).into(), ..own }, to),
            _ => {
                let other = world.random_live().map(|at| world.places[at as usize].endpoint);
                (own, other.unwrap_or(to))
            }
        };
        let is_own = from == own && to == given.by;
        let right = match (world.now_ns() - given.at_ns) / NS_PER_S {
            0..COOKIE_GOOD_S if is_own => Right::Fair,
            0..COOKIE_GOOD_S | COOKIE_DEAD_S..COOKIE_KEPT_S => Right::Forbidden,
            COOKIE_KEPT_S.. => {
                self.forget_given(at, &given.by);
                return self.ask_for_cookie(world, at, given.by);
            }
            // Honoured or not, as the node likes.
            _ => return,
        };
        let store = self.letter(world, at, Kind::Store, key_of_value(PROOF));
        self.claims.sent(store.tx_id, right);
        let store = Letter { cookie: given.cookie, value: PROOF, ..store };
        self.send(world, from, to, store.bytes());
    }

    /// Stores a value as it was overheard, however old, at the holder that it went to.
    pub(super) fn roll_back(&mut self, world: &mut World, at: u32) {
        let Some(heard) = world.overheard(Kind::Store, &mut self.rng) else { return };
        let to = heard.datagram.to;
        let Some(given) = self.fresh(world, at, &to) else {
            return self.ask_for_cookie(world, at, to);
        };
        let Ok(message) = Message::parse(&heard.datagram.bytes) else { return };
        let Body::Store { record, .. } = message.body else { return };
        let store = self.letter(world, at, Kind::Store, message.head.target);
        let store = Letter { cookie: given.cookie, record: Some(record), ..store };
        self.send(world, self.host(at).endpoint, to, store.bytes());
    }

    /// Sends what members of a private network said to each other: from an address of its own,
    /// so that an answer comes to it; as a reply; and with the MAC of another network.
    pub(super) fn replay_datagram(&mut self, world: &mut World, at: u32, to: Endpoint) {
        let Some(heard) = world.overheard(Kind::FindNode, &mut self.rng) else { return };
        let own = self.host(at);
        let age_s = (world.now_ns() - heard.at_ns) / NS_PER_S;
        let mut datagram = heard.datagram;
        match below(&mut self.rng, 4) {
            0 => {
                // The low byte of the flags.
                if let Some(flags) = datagram.bytes.get_mut(4) {
                    *flags |= Flags::REPLY.0.to_le_bytes()[0];
                }
                self.send(world, datagram.to, datagram.from, datagram.bytes);
            }
            1 => {
                let ping = self.letter(world, at, Kind::Ping, own.id);
                self.claims.sent(ping.tx_id, Right::Forbidden);
                let ping = Letter { key: Some(FOREIGN), ..ping };
                self.send(world, own.endpoint, to, ping.bytes());
            }
            _ => {
                let right = match age_s {
                    0..DATAGRAM_GOOD_S => Right::Fair,
                    DATAGRAM_DEAD_S.. => Right::Forbidden,
                    _ => return,
                };
                let Ok(message) = Message::parse(&datagram.bytes) else { return };
                self.claims.sent(message.head.tx_id.get(), right);
                self.send(world, own.endpoint, datagram.to, datagram.bytes);
            }
        }
    }

    /// The cookie that `by` gave this host, if it is sure to be honoured.
    pub(super) fn fresh(&self, world: &World, at: u32, by: &Endpoint) -> Option<Given> {
        let age_s = |given: &Given| (world.now_ns() - given.at_ns) / NS_PER_S;
        self.given(at, by).filter(|given| age_s(given) < COOKIE_GOOD_S)
    }
}
