//! Datagrams that no node would send: of every length, cut, drawn out, flipped and random.

use std::ops::Range;

use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint, Kind};

use crate::adversary::Group;
use crate::adversary::claims::Right;
use crate::letter::Letter;
use crate::random::below;
use crate::world::World;

/// The longest.
const LEN_MAX: usize = 2_048;
/// Bits flipped of one datagram, at most.
const FLIPS_MAX: usize = 8;
/// Where the transaction stands. It is left alone: a reply is told by it from those to others.
const TX_ID: Range<usize> = 16..24;

impl Group {
    /// Sends a request as it should be, or what is left of one. What is shorter or longer than
    /// it says must be refused; of what was flipped nothing is said.
    pub(super) fn litter(&mut self, world: &mut World, at: u32, to: Endpoint) {
        let target = self.rng.id();
        let kind = [Kind::Ping, Kind::FindNode, Kind::FindValue][below(&mut self.rng, 3)];
        let letter = self.letter(world, at, kind, target);
        let len_min = below(&mut self.rng, DATAGRAM_LEN_MAX);
        let mut bytes = Letter { len_min, ..letter.clone() }.bytes();
        match below(&mut self.rng, 4) {
            0 => self.claims.sent(letter.tx_id, Right::Fair),
            1 => {
                let len = below(&mut self.rng, LEN_MAX + 1);
                let is_whole = len == bytes.len();
                bytes.resize(len, 0);
                let right = if is_whole { Right::Fair } else { Right::Forbidden };
                self.claims.sent(letter.tx_id, right);
            }
            2 => {
                for _ in 0..=below(&mut self.rng, FLIPS_MAX) {
                    let bit = below(&mut self.rng, 8 * bytes.len());
                    let is_changed = !TX_ID.contains(&(bit / 8));
                    if let Some(byte) = bytes.get_mut(bit / 8).filter(|_| is_changed) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            }
            _ => {
                let len = below(&mut self.rng, LEN_MAX + 1);
                bytes = (0..len).map(|_| self.rng.next_u64().to_le_bytes()[0]).collect();
            }
        }
        self.send(world, self.host(at).endpoint, to, bytes);
    }
}
