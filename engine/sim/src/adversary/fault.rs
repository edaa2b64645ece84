//! FAULTs, and what draws them, in the name of a node that would have to answer in turn.

use kdht_wire::{Endpoint, Flags, Kind};

use crate::adversary::Group;
use crate::letter::Letter;
use crate::random::below;
use crate::world::World;

/// A version that nobody speaks.
const VERSION_UNKNOWN: u8 = 99;
/// A kind that nobody knows.
const KIND_UNKNOWN: u8 = 77;
/// A bit of the flags' high byte that must be zero.
const FLAG_RESERVED: u8 = 1;

impl Group {
    /// Sends one in the name of a random node: a FAULT or another reply, or a request; of an
    /// unknown version or kind, malformed, or as it should be.
    pub(super) fn loop_faults(&mut self, world: &mut World, to: Endpoint) {
        let Some(named) = world.random_live() else { return };
        let (id, from) = {
            let place = &world.places[named as usize];
            (place.id, place.endpoint)
        };
        let kind = [Kind::Fault, Kind::Ping, Kind::FindNode][below(&mut self.rng, 3)];
        let is_reply = kind == Kind::Fault || below(&mut self.rng, 4) != 0;
        let flags = if is_reply { Flags::REPLY } else { Flags::default() };
        let tx_id = self.next_tx();
        let letter = Letter::request(kind, tx_id, self.rng.id(), id, world.unix_s(0));
        let mut bytes = Letter { flags, observed: to, ..letter }.bytes();
        // Offsets of the head, which FORMAT.md §3 fixes.
        match (below(&mut self.rng, 4), bytes.len()) {
            (0, 72..) => bytes[2] = VERSION_UNKNOWN,
            (1, 72..) => bytes[3] = KIND_UNKNOWN,
            (2, 72..) => bytes[5] |= FLAG_RESERVED,
            _ => {}
        }
        self.send(world, from, to, bytes);
    }
}
