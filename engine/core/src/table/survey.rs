//! Looking over the whole table: how full it is, whom to probe, what to refresh.

use kdht_wire::{Contact, Distance, Id};

use super::Table;
use crate::bucket::Bucket;
use crate::contact::Liveness;
use crate::rng::Rng;
use crate::time::Nanos;

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fill {
    /// Buckets.
    pub buckets: usize,
    /// Members that never answered.
    pub unverified: usize,
    /// Members that may be told to others.
    pub good: usize,
    /// Members that failed 1 to 4 times in a row.
    pub doubtful: usize,
    /// Members that failed 5 times in a row or more.
    pub stale: usize,
    /// Contacts in replacement caches.
    pub replacements: usize,
    /// Contacts refused so far since their IP group has its share of the bucket.
    pub refused_bucket_group: u64,
    /// Contacts refused so far since their IP group has its share of the table.
    pub refused_table_group: u64,
    /// Contacts refused so far since the table was full.
    pub refused_full: u64,
}

impl Table {
    /// How full the table is. Cost: O(contacts).
    #[must_use]
    pub fn fill(&self) -> Fill {
        let mut fill = Fill {
            buckets: self.buckets.len(),
            refused_bucket_group: self.refused.bucket_group,
            refused_table_group: self.refused.table_group,
            refused_full: self.refused.full,
            ..Fill::default()
        };
        for peer in self.members() {
            match peer.liveness() {
                Liveness::Unverified => fill.unverified += 1,
                Liveness::Good => fill.good += 1,
                Liveness::Doubtful => fill.doubtful += 1,
                Liveness::Stale => fill.stale += 1,
            }
        }
        fill.replacements = self.buckets.iter().map(|b| b.replacements.len()).sum();
        fill
    }

    /// Calls `probe` with every contact that failed, or never answered, and whose pause is
    /// over, bucket by bucket and oldest first. Returns from which second of monotonic time
    /// on there is one to be probed, this one at the earliest; nothing if all are good.
    /// O(contacts).
    pub fn unsettled(&self, now: Nanos, mut probe: impl FnMut(Contact)) -> Option<u32> {
        let now_s = now.seconds();
        let mut first_s = None;
        let places = self.buckets.iter().flat_map(|bucket| {
            bucket.members.as_slice().iter().chain(bucket.replacements.as_slice())
        });
        for peer in places.filter_map(|place| self.at(*place)).filter(|peer| !peer.is_good()) {
            // What was heard of just now is being probed already.
            let due_s = peer.probe_after_s.max(peer.seen_s.saturating_add(2));
            if due_s <= now_s {
                probe(peer.contact());
            }
            first_s = Some(due_s.max(now_s).min(first_s.unwrap_or(u32::MAX)));
        }
        first_s
    }

    /// Calls `probe` with every good member not heard of since second `before_s`. Returns
    /// whether there is any. O(contacts).
    pub fn silent_since(&self, before_s: u32, mut probe: impl FnMut(Contact)) -> bool {
        let mut any = false;
        for peer in self.members().filter(|peer| peer.is_good() && peer.seen_s < before_s) {
            any = true;
            probe(peer.contact());
        }
        any
    }

    /// A random id in the range of each bucket that is farther than the closest
    /// neighbour's: what a node looks up after it has joined (Kademlia §2.3).
    /// At most `max` ids, farthest bucket first.
    pub fn refresh_targets(&self, rng: &mut Rng, max: usize, mut target: impl FnMut(Id)) {
        let nearest = self.members().map(|peer| self.own.distance(&peer.id)).min();
        let shared = nearest.as_ref().map_or(0, Distance::leading_zeros);
        let farther = |bucket: &&Bucket| bucket.start.shared_prefix(&self.own) < shared;
        let mut depths = [0_usize; 161];
        for bucket in self.buckets.iter().filter(farther) {
            depths[usize::from(bucket.depth)] += 1;
        }
        let mut left = max;
        for depth in 0..=Id::BITS {
            if depths[usize::from(depth)] == 0 {
                continue;
            }
            for bucket in self.buckets.iter().filter(|b| b.depth == depth).filter(farther) {
                if left == 0 {
                    return;
                }
                left -= 1;
                target(random_in(bucket, rng));
            }
        }
    }

    /// An id in the range of `target`'s bucket is being looked up. O(log buckets).
    pub fn touch(&mut self, target: &Id, now: Nanos) {
        if let Some(at) = self.bucket_of(target) {
            for bucket in self.range_of(at) {
                self.buckets[bucket].touch(now.seconds());
            }
        }
    }

    /// Since which second nothing was looked up in the range that is idle for longest;
    /// nothing if no contact is known. O(buckets).
    #[must_use]
    pub fn idlest_s(&self) -> Option<u32> {
        if self.is_empty() { None } else { self.buckets.iter().map(Bucket::touched_s).min() }
    }

    /// A random id in that range.
    pub fn idlest_target(&self, rng: &mut Rng) -> Option<Id> {
        let at = (0..self.buckets.len()).min_by_key(|at| self.buckets[*at].touched_s())?;
        let range = self.range_of(at);
        // Of a range in parts, any part: all are touched together.
        let part = rng.below(range.len() as u64);
        let part = range.start + usize::try_from(part).unwrap_or(0);
        Some(random_in(&self.buckets[part], rng))
    }
}

fn random_in(bucket: &Bucket, rng: &mut Rng) -> Id {
    let mut id = rng.id();
    for bit in 0..bucket.depth {
        id = id.with_bit(bit, bucket.start.bit(bit));
    }
    id
}
