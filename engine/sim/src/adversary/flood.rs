//! Too much of what anybody may do.

use kdht_core::{Limits, NS_PER_MS};
use kdht_store::{Memory, PublisherKey};
use kdht_wire::{Endpoint, Id, Kind, Publisher, Record, SALT_LEN, SignedTail, key_of_value};

use crate::adversary::claims::Right;
use crate::adversary::{FLOOD_LEN, Group};
use crate::letter::Letter;
use crate::random::below;
use crate::world::World;

/// Slots that the keys of a hash flood are counted by: those of a table of hashes that holds as
/// many keys as the flood has.
pub(crate) const SLOTS: u64 = 512;
/// Values of a hash flood.
const COLLIDING: usize = 512;
/// Values tried to find them: four times what it should take.
const TRIED_MAX: u64 = 4 * SLOTS * COLLIDING as u64;
/// Datagrams of a limiter flood for each of its one greedy host.
const GREEDY_EVERY: usize = 4;
/// Pause between two requests of a flood's one fair host.
const FAIR_PAUSE_NS: u64 = 100 * NS_PER_MS;

/// What a flood prepared.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// Values whose keys share a slot.
    colliding: Vec<Vec<u8>>,
    next: usize,
    /// A signature of something else.
    signature: Option<(Id, SignedTail)>,
    /// When the fair host asks next.
    fair_at_ns: u64,
}

impl Group {
    /// A random value for a node whose cookie is known, else a PING that asks for one.
    pub(super) fn flood(&mut self, world: &mut World, at: u32, to: Endpoint, ping: &Letter<'_>) {
        let member = self.host(at);
        let bytes = match self.given(at, &to) {
            Some(given) => {
                let mut value = vec![0; FLOOD_LEN];
                value[..8].copy_from_slice(&self.rng.next_u64().to_le_bytes());
                let key = key_of_value(&value);
                let (sender, tx_id) = (member.id, ping.tx_id);
                let store = Letter::request(Kind::Store, tx_id, key, sender, ping.time_s);
                Letter { cookie: given.cookie, value: &value, ..store }.bytes()
            }
            None => Letter { sender: member.id, target: member.id, ..ping.clone() }.bytes(),
        };
        self.send(world, member.endpoint, to, bytes);
    }

    /// Pings from ever new addresses, so that the limiter forgets whom it watches; one host
    /// that asks far more than its allowance meanwhile; and a fair one.
    pub(super) fn flood_limiter(&mut self, world: &mut World, to: Endpoint) {
        if self.is_fair_due(world) {
            return self.ask_fairly(world, to);
        }
        let is_greedy = below(&mut self.rng, GREEDY_EVERY) == 0;
        let from = if is_greedy { self.host(1).endpoint } else { self.invented() };
        let (tx_id, id) = (self.next_tx(), self.rng.id());
        let bytes = Letter::request(Kind::Ping, tx_id, id, id, world.unix_s(0)).bytes();
        if is_greedy {
            self.claims.sent(tx_id, Right::Greedy);
        }
        self.send(world, from, to, bytes);
    }

    /// Values whose signature is a true one, of something else: no check but the dear one
    /// tells. A fair host asks for contacts meanwhile.
    pub(super) fn flood_signatures(&mut self, world: &mut World, at: u32, to: Endpoint) {
        if self.is_fair_due(world) {
            return self.ask_fairly(world, to);
        }
        let at = at.max(1);
        let Some(given) = self.fresh(world, at, &to) else {
            return self.ask_for_cookie(world, at, to);
        };
        let (key, tail) = match self.stock.signature {
            Some(made) => made,
            None => {
                let mut secret = [0; 32];
                secret[..16].copy_from_slice(&self.rng.secret());
                let key = self.rng.id();
                let tail = PublisherKey::from_seed(&secret).sign(&key, 1, &[0; SALT_LEN], b"");
                *self.stock.signature.insert((key, tail))
            }
        };
        let value = self.rng.next_u64().to_le_bytes();
        let record = Record::whole(Publisher::Signed(&tail), 3_600, &value).ok();
        let store = self.letter(world, at, Kind::Store, key);
        self.claims.sent(store.tx_id, Right::Forbidden);
        let store = Letter { cookie: given.cookie, record, ..store };
        self.send(world, self.host(at).endpoint, to, store.bytes());
    }

    /// Stores values whose keys share a slot of the node's hash table, as far as it knows how
    /// that hashes.
    pub(super) fn flood_hashes(&mut self, world: &mut World, at: u32, to: Endpoint) {
        let Some(given) = self.fresh(world, at, &to) else {
            return self.ask_for_cookie(world, at, to);
        };
        let Some(value) = self.stock.colliding.get(self.stock.next) else { return };
        self.stock.next = (self.stock.next + 1) % self.stock.colliding.len();
        let value = value.clone();
        let store = self.letter(world, at, Kind::Store, key_of_value(&value));
        self.claims.sent(store.tx_id, Right::Fair);
        let store = Letter { cookie: given.cookie, value: &value, ..store };
        self.send(world, self.host(at).endpoint, to, store.bytes());
    }

    /// Looks for values whose keys collide: by the target's own hash, if it is given that,
    /// else by the hash of a node whose seeds are zeros.
    pub(super) fn collide(&mut self, world: &World) {
        let guess = Memory::new(Limits::NONE, Id::ZERO, [0; 4]);
        let told = self.target.filter(|_| self.plan.informed);
        let node = told.and_then(|at| world.places[at as usize].node.as_ref());
        let hash = |key: &Id| node.map_or_else(|| guess.hash_of(key), |node| node.hash_of(key));
        let values = (0..TRIED_MAX).map(|number| number.to_le_bytes().to_vec());
        let colliding = values.filter(|value| hash(&key_of_value(value)).is_multiple_of(SLOTS));
        self.stock.colliding = colliding.take(COLLIDING).collect();
    }

    fn is_fair_due(&mut self, world: &World) -> bool {
        let is_due = world.now_ns() >= self.stock.fair_at_ns;
        if is_due {
            self.stock.fair_at_ns = world.now_ns() + FAIR_PAUSE_NS;
        }
        is_due
    }

    /// The first host asks as an honest client does: for a cookie, and then with it.
    fn ask_fairly(&mut self, world: &mut World, to: Endpoint) {
        let Some(given) = self.fresh(world, 0, &to) else {
            return self.ask_for_cookie(world, 0, to);
        };
        let target = self.rng.id();
        let find = self.letter(world, 0, Kind::FindNode, target);
        self.claims.sent(find.tx_id, Right::Fair);
        let find = Letter { cookie: given.cookie, ..find };
        self.send(world, self.host(0).endpoint, to, find.bytes());
    }

    /// A PING in this host's own name: its answer brings a cookie.
    pub(super) fn ask_for_cookie(&mut self, world: &mut World, at: u32, to: Endpoint) {
        let ping = self.letter(world, at, Kind::Ping, self.host(at).id);
        self.send(world, self.host(at).endpoint, to, ping.bytes());
    }
}
