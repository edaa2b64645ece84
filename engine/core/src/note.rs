//! What the shards of one node tell each other.

use kdht_wire::{Contact, Id};

use crate::contact::{Answer, Liveness};
use crate::time::Nanos;

/// One thing that a shard tells another. Notes between two shards arrive in their order or
/// not at all; whoever carries them says when some were lost ([`Node::retell`]).
///
/// [`Node::retell`]: crate::Node::retell
#[derive(Clone, Copy, Debug)]
pub enum Note {
    /// To a contact's owner: it sent us something.
    Sighted(Contact),
    /// To a contact's owner: somebody told us of it.
    Heard(Contact),
    /// To a contact's owner: it answered a request of ours.
    Answered(Contact, Answer),
    /// To a contact's owner: it left the request that was sent then unanswered.
    Failed(Contact, Nanos),
    /// From a contact's owner: it is a member of the table, and so far to be believed.
    Standing(Contact, Liveness),
    /// From a contact's owner: it is no member of the table of its family any more.
    Gone(Contact),
    /// From an owner: forget all that I told; what holds follows.
    Anew,
    /// From an owner of part of a wide table: whether only it knows who is in this cell.
    Cell {
        /// Which family's table.
        is_v4: bool,
        /// The first byte of the cell's ids.
        cell: u8,
        /// Whether it is private.
        is_private: bool,
    },
    /// From the owner of the part of a wide table around the own id: what of it all know.
    Neighbourhood {
        /// Which family's table.
        is_v4: bool,
        /// Ids that share so many bits with the own one.
        depth: u8,
        /// Whether there are enough for any answer.
        is_crowded: bool,
    },
    /// From an owner of part of a wide table: how many contacts it holds.
    Held {
        /// Which family's table.
        is_v4: bool,
        /// How many.
        count: u32,
    },
}

/// To whom a note goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Addressee {
    /// One shard.
    Shard(u8),
    /// Every other shard of the node.
    Others,
}

/// Which shard writes about a contact in a k-bucket table: all ids that share just as many
/// leading bits with the own id have one owner. So whole buckets have one, and sharding
/// does not change which contacts are kept.
#[must_use]
pub fn owner_of(own: &Id, id: &Id, shards: u8) -> u8 {
    own.shared_prefix(id) % shards.max(1)
}
