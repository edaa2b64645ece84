//! What a newcomer looks up after its own id (Kademlia §2.3), so that its far buckets hold
//! contacts from all over their ranges.
//!
//! Difference from the paper, which looks up one random id in each bucket: that brings the k
//! nodes around one id, so a bucket that holds a small share of its range's nodes fills with
//! neighbours of each other, and a lookup that goes through it gains less than one through
//! random contacts. Here the range of such a bucket is cut into quarters, and in each where
//! nobody is known yet one *walk* looks for the k/4 nodes closest to a random id, with one
//! request in flight. Four walks cost about as much as one whole lookup, and fill the bucket as
//! well. Buckets next to the own neighbourhood hold most of the nodes in their ranges, and are
//! looked up as in the paper. Figures: engine/sim/RESULTS.md "Networks that built themselves".

use alloc::vec::Vec;

use kdht_wire::Id;

use crate::node::Node;

/// Buckets of one table that are refreshed in a join.
const REFRESH_MAX: usize = 160;
/// A far bucket is cut into 2² parts at most. Eight would save lookups of 10⁴ nodes another
/// 5 % of their hops, and cost a third more.
const PART_BITS_MAX: u8 = 2;
/// Walks of one join. A network of 10⁹ nodes needs about 100; crowds of ids next to our own,
/// made to look like more, end here.
const WALKS_MAX: usize = 256;

/// Walks of one join under way at once, so that places are left for commands.
pub(crate) const WALKING_MAX: usize = 16;

/// One lookup of a join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) target: Id,
    /// How many leading bits the ids of the part share; nothing: a whole bucket's.
    pub(crate) part: Option<u8>,
}

impl Node {
    /// Every lookup of a join after that of the own id, the last one first: walks to one part
    /// of each far bucket after the other, then whole lookups. At most 576.
    pub(crate) fn join_aims(&mut self) -> Vec<Aim> {
        let targets = self.refresh_targets(REFRESH_MAX);
        let (k, b) = (usize::from(self.config.k.max(1)), self.config.b.max(1));
        let closest = self.candidates(&self.id);
        let kth = closest.as_slice().get(k - 1);
        let neighbourhood = kth.map_or(0, |contact| contact.id.shared_prefix(&self.id));
        // A bucket of b > 1 is narrower already.
        let bits = part_bits(k, b);
        let depth_of = |target: &Id| (target.shared_prefix(&self.id) + 1).next_multiple_of(b);
        let is_far = |target: &Id| {
            let class = target.shared_prefix(&self.id);
            bits > 0 && class + 1 < neighbourhood && depth_of(target) + bits <= Id::BITS
        };
        let (far, near): (Vec<Id>, Vec<Id>) = targets.into_iter().partition(is_far);
        let mut aims: Vec<Aim> = Vec::new();
        for part in 0..1_u8 << bits {
            for bucket in &far {
                let depth = depth_of(bucket);
                let mut target = self.rng.id();
                (0..depth).for_each(|bit| target = target.with_bit(bit, bucket.bit(bit)));
                // The low bit of the number goes first, so that what was reached by the time
                // that a bucket is full lies evenly in its range.
                for bit in 0..bits {
                    target = target.with_bit(depth + bit, part >> bit & 1 == 1);
                }
                aims.push(Aim { target, part: Some(depth + bits) });
            }
        }
        aims.truncate(WALKS_MAX);
        aims.extend(near.into_iter().map(|target| Aim { target, part: None }));
        aims.reverse();
        aims
    }

    /// How many nodes a walk looks for: the part's share of the bucket's places.
    pub(crate) fn places_of_a_part(&self) -> usize {
        let k = usize::from(self.config.k.max(1));
        k >> part_bits(k, self.config.b.max(1))
    }

    /// Whether a good contact is known in the part that a walk is aimed at, in the table of
    /// each family.
    pub(crate) fn is_covered(&self, aim: &Aim) -> bool {
        let Some(depth) = aim.part else { return false };
        let is_known = |family: usize| {
            let nearest = self.closest_good(family, &aim.target, 1, &Id::ZERO);
            nearest.as_slice().iter().any(|near| near.id.shared_prefix(&aim.target) >= depth)
        };
        let families = self.config.families;
        (!families.v4 || is_known(0)) && (!families.v6 || is_known(1))
    }
}

/// Into how many parts, as a power of two, a far bucket is cut. `k` and `b` are 1 at least.
fn part_bits(k: usize, b: u8) -> u8 {
    // Below 64, as every logarithm of a machine word.
    let bits = u8::try_from(k.ilog2()).unwrap_or(0);
    bits.min(PART_BITS_MAX).saturating_sub(b - 1)
}
