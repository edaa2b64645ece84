//! Reading the table in the order of distance.

use kdht_wire::Id;

use super::Table;
use crate::bucket::{Bucket, MEMBERS_MAX};
use crate::closest::Closest;
use crate::contact::Peer;
use crate::order::Order;

impl Table {
    pub(super) fn nearest(&self, target: &Id, k: usize, wanted: impl Fn(&Peer) -> bool) -> Closest {
        let mut out = Closest::empty();
        let k = k.min(MEMBERS_MAX);
        let mut order: Order<u16> = Order::new(0);
        let id_of = |place: &u16| self.at(*place).map_or(Id::ZERO, |peer| peer.id);
        by_distance(&self.buckets, 0, target, &mut |bucket| {
            order.clear();
            for place in bucket.members.as_slice() {
                if let Some(peer) = self.at(*place).filter(|peer| wanted(peer)) {
                    order.push(*place, peer.id.prefix() ^ target.prefix());
                }
            }
            let more = k - out.as_slice().len();
            order.nearest(target, more, id_of, |place| {
                if let Some(peer) = self.at(*place) {
                    out.push(peer.contact());
                }
            });
            out.as_slice().len() < k
        });
        out
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
