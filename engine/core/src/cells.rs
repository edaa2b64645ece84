//! How the shards of a node divide a wide table: who owns which part of it, what of it all
//! of them know, and who can answer for a target.
//!
//! The id space is cut into 256 cells by the first byte of ids. A cell has one owner. What
//! is in a cell with few contacts all shards know; what is in one with many only its owner,
//! so that the table is held once. In the order of distance from a target the first such
//! *private* cell has enough contacts to end the answer, and all cells before it are known
//! to everybody: so its owner can answer, exactly and alone.
//!
//! The cell around the own id is known to all, however many are in it, since most requests
//! are for targets there; if it holds more than [`NEIGHBOURS_MAX`] contacts, those of them
//! that share enough bits with the own id.

use kdht_wire::Id;

/// A cell of this many good contacts becomes private,
pub const PRIVATE_FROM: usize = 64;
/// and known to all again below this many: more than any answer has.
pub const PRIVATE_TO: usize = 32;
/// Contacts around the own id that every shard knows, at most.
pub const NEIGHBOURS_MAX: usize = 8_192;

/// Bits that the ids of a cell share.
const CELL_BITS: u8 = 8;

/// Which contacts of a shard hold a whole answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WholeAnswer {
    /// Those that it owns: there are enough of them in the target's cell, which is private or
    /// the own id's.
    Owned,
    /// Those that others told it of: there are enough of them around the own id, where the
    /// target is.
    Told,
    /// Neither alone.
    Both,
}

/// What every shard knows of one family's cells.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    own: Id,
    shards: u8,
    /// A bit for each private cell.
    private: [u64; 4],
    /// Ids that share so many bits with the own one are known to all.
    depth: u8,
    /// Whether so many of these are good that an answer ends among them.
    is_crowded: bool,
}

impl Cells {
    pub(crate) fn new(own: Id, shards: u8) -> Self {
        Self { own, shards, private: [0; 4], depth: CELL_BITS, is_crowded: false }
    }

    /// The cell of an id.
    pub(crate) fn of(id: &Id) -> u8 {
        id.0[0]
    }

    /// The shard that owns a cell: as many cells for each, side by side.
    pub(crate) fn owner(&self, cell: u8) -> u8 {
        // Below the number of shards.
        u8::try_from((u16::from(cell) * u16::from(self.shards)) >> 8).unwrap_or(0)
    }

    pub(crate) fn is_private(&self, cell: u8) -> bool {
        self.private[usize::from(cell / 64)] >> (cell % 64) & 1 == 1
    }

    pub(crate) fn set_private(&mut self, cell: u8, is_private: bool) {
        let bit = 1 << (cell % 64);
        let word = &mut self.private[usize::from(cell / 64)];
        *word = if is_private { *word | bit } else { *word & !bit };
    }

    /// Private cells.
    pub(crate) fn private_count(&self) -> u32 {
        self.private.iter().map(|word| word.count_ones()).sum()
    }

    /// How many bits those share with the own id that all shards know, and whether an answer
    /// ends among them.
    pub(crate) fn neighbourhood(&self) -> (u8, bool) {
        (self.depth, self.is_crowded)
    }

    pub(crate) fn set_neighbourhood(&mut self, depth: u8, is_crowded: bool) {
        (self.depth, self.is_crowded) = (depth, is_crowded);
    }

    /// Whether all shards know the contacts with ids like this one.
    pub(crate) fn is_shared(&self, id: &Id) -> bool {
        let cell = Self::of(id);
        if cell == Self::of(&self.own) {
            self.own.shared_prefix(id) >= self.depth
        } else {
            !self.is_private(cell)
        }
    }

    /// Where `shard` finds the whole answer for `target`. O(1).
    pub(crate) fn whole_answer(&self, target: &Id, shard: u8) -> WholeAnswer {
        let cell = Self::of(target);
        let is_owner = self.owner(cell) == shard;
        let is_whole = if cell == Self::of(&self.own) {
            self.is_crowded && self.own.shared_prefix(target) >= self.depth
        } else {
            self.is_private(cell) && is_owner
        };
        match is_whole {
            false => WholeAnswer::Both,
            true if is_owner => WholeAnswer::Owned,
            true => WholeAnswer::Told,
        }
    }

    /// The shard that can answer for `target`; nothing: any. At most 256 steps, of which
    /// the first few decide in a table of any size.
    pub(crate) fn answerer(&self, target: &Id) -> Option<u8> {
        if self.private == [0; 4] && self.depth == CELL_BITS {
            // All know all of it, as of the table of a family that has few contacts or none.
            return None;
        }
        let (own, first) = (Self::of(&self.own), Self::of(target));
        for distance in 0..=u8::MAX {
            let cell = first ^ distance;
            if cell != own {
                if self.is_private(cell) {
                    return Some(self.owner(cell));
                }
                continue;
            }
            let shared = self.own.shared_prefix(target);
            if self.is_crowded && (shared >= self.depth || self.depth == CELL_BITS) {
                return None;
            }
            if self.depth > CELL_BITS {
                return Some(self.owner(cell));
            }
        }
        None
    }
}
