//! Reading the table in the order of distance.

use kdht_wire::{Distance, Id};

use super::Table;
use crate::bucket::{Bucket, MEMBERS_MAX};
use crate::closest::Closest;
use crate::contact::Peer;

impl Table {
    pub(super) fn nearest(&self, target: &Id, k: usize, wanted: impl Fn(&Peer) -> bool) -> Closest {
        let mut out = Closest::empty();
        let k = k.min(MEMBERS_MAX);
        self.visit_by_distance(target, |bucket| {
            let mut sorted: [(Distance, u16); MEMBERS_MAX] = Default::default();
            let mut len = 0;
            for place in bucket.members.as_slice() {
                if let Some(peer) = self.at(*place).filter(|peer| wanted(peer)) {
                    sorted[len] = (peer.id.distance(target), *place);
                    len += 1;
                }
            }
            sorted[..len].sort_unstable();
            for (_, place) in &sorted[..len] {
                if out.as_slice().len() == k {
                    break;
                }
                if let Some(peer) = self.at(*place) {
                    out.push(peer.contact());
                }
            }
            out.as_slice().len() < k
        });
        out
    }

    /// Calls `visit` with buckets in the order of their distance to `target`, until it
    /// returns false. Buckets are disjoint subtrees, so every id of one is closer than
    /// every id of the next.
    fn visit_by_distance(&self, target: &Id, mut visit: impl FnMut(&Bucket) -> bool) {
        // Ranges of buckets that share their first `depth` bits; one is taken and at
        // most two are put back, one level deeper, so 161 levels need 162 places.
        let mut ranges = [(0_u16, 0_u16, 0_u8); 162];
        let mut waiting = 0;
        if !self.buckets.is_empty() {
            // There are at most as many buckets as contacts and bits: below 2¹⁶.
            ranges[0] = (0, u16::try_from(self.buckets.len()).unwrap_or(u16::MAX), 0);
            waiting = 1;
        }
        while waiting > 0 {
            waiting -= 1;
            let (low, high, depth) = ranges[waiting];
            let range = &self.buckets[usize::from(low)..usize::from(high)];
            if range.len() == 1 {
                if !visit(&range[0]) {
                    return;
                }
                continue;
            }
            let zeros = range.partition_point(|bucket| !bucket.start.bit(depth));
            let middle = low + u16::try_from(zeros).unwrap_or(u16::MAX);
            let halves = [(low, middle, depth + 1), (middle, high, depth + 1)];
            let near = usize::from(target.bit(depth));
            for half in [halves[1 - near], halves[near]] {
                if half.0 < half.1 {
                    ranges[waiting] = half;
                    waiting += 1;
                }
            }
        }
    }
}
