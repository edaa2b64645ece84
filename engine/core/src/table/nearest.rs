//! Reading the table in the order of distance.

use kdht_wire::Id;

use super::Table;
use crate::bucket::{Bucket, MEMBERS_MAX};
use crate::closest::{Closest, Hear};
use crate::contact::Peer;
use crate::few::{Few, numbers_of};
use crate::planes::Best;

impl Table {
    pub(super) fn nearest(&self, target: &Id, k: usize, wanted: impl Fn(&Peer) -> bool) -> Closest {
        let mut out = Closest::empty();
        self.tell_nearest(target, k, wanted, &mut out);
        out
    }

    /// Tells the `k` (at most 20) members nearest to `target` that are `wanted`, in any order.
    pub(super) fn tell_nearest(
        &self,
        target: &Id,
        k: usize,
        wanted: impl Fn(&Peer) -> bool,
        to: &mut impl Hear,
    ) {
        let mut left = k.min(MEMBERS_MAX);
        let mut few = Few::new(target, 0);
        by_distance(&self.buckets, 0, target, &mut |bucket| {
            few.restart(target, u32::from(bucket.depth));
            let members = bucket.members.as_slice();
            for place in members {
                let peer = self.at(*place);
                // All places are taken.
                let prefix = peer.map_or(0, |peer| peer.id.prefix());
                few.add(prefix, peer.is_some_and(&wanted));
            }
            let member = |number: usize| members.get(number).and_then(|place| self.at(*place));
            let id_of = |number| member(number).map_or(&Id::ZERO, |peer| &peer.id);
            let nearest = few.nearest(Best, target, left, id_of);
            to.hear(numbers_of(nearest).filter_map(member));
            left -= few.wanted().min(left);
            left > 0
        });
    }
}

/// Calls `visit` with `buckets`, which share their first `depth` bits, in the order of their
/// distance to `target`, until it returns false; and returns what it did. Buckets are disjoint
/// subtrees, so every id of one is closer than every id of the next.
///
/// At most 160 calls deep: at each a bit more is shared.
fn by_distance(
    buckets: &[Bucket],
    depth: u8,
    target: &Id,
    visit: &mut impl FnMut(&Bucket) -> bool,
) -> bool {
    let [first, .., last] = buckets else {
        return buckets.first().is_none_or(visit);
    };
    let is_zero = |bucket: &Bucket| !bucket.start.bit(depth);
    // Mostly one side is a single bucket: the other holds the own id.
    let zeros = match (is_zero(first), is_zero(last)) {
        (true, true) => buckets.len(),
        (false, _) => 0,
        _ if !is_zero(&buckets[1]) => 1,
        _ if is_zero(&buckets[buckets.len() - 2]) => buckets.len() - 1,
        _ => buckets.partition_point(is_zero),
    };
    let (zeros, ones) = buckets.split_at(zeros);
    let (near, far) = if target.bit(depth) { (ones, zeros) } else { (zeros, ones) };
    by_distance(near, depth + 1, target, visit) && by_distance(far, depth + 1, target, visit)
}
