//! Zones: racks, rooms or sites whose nodes are likely to be lost together. A value's replicas
//! are spread over them, so that the loss of one zone loses no value.
//!
//! Of the nodes nearest to a key, nearest first, each takes a replica unless its zone has as
//! many as it may ([`Zones::replicas_max`]). So the nearest node of all takes one, and where a
//! whole zone is gone the nearest that is left had taken one too, if a zone may have fewer than
//! k: whoever looks for the value finds it there, and lookups need to know nothing of zones.
//! What a zone may have is a rule for placing (put, republish, drain, hand-over); a copy that
//! stands already is not taken back when a nearer node comes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kdht_wire::Endpoint;

use crate::bucket::MEMBERS_MAX;

/// Most ranges of addresses.
pub const ZONE_RANGES_MAX: usize = 4_096;

/// Addresses of one zone: a CIDR. IPv4 addresses are mapped into IPv6 (`::ffff:0:0/96`).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct ZoneRange {
    /// The first address, as a number.
    pub ip: u128,
    /// Leading bits that the addresses share: 0 to 128.
    pub bits: u8,
    /// Their zone's number.
    pub zone: u16,
}

/// Which address is of which zone, and how many replicas a zone gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zones {
    /// The longest prefixes first, then by address.
    ranges: Arc<[ZoneRange]>,
    /// Replicas of one value that one zone is given at most: 1 to 20. It takes fewer than k to
    /// survive the loss of a zone, and `zones * replicas_max` no fewer than k to have k at all.
    pub replicas_max: u8,
}

impl Default for Zones {
    fn default() -> Self {
        Self { ranges: Arc::from([]), replicas_max: 10 }
    }
}

impl Zones {
    /// Zones by their ranges, of which the longest that covers an address counts. At most
    /// [`ZONE_RANGES_MAX`] are kept. Without any there are no zones.
    #[must_use]
    pub fn new(ranges: &[ZoneRange], replicas_max: u8) -> Self {
        let mut sorted: Vec<ZoneRange> = ranges.iter().take(ZONE_RANGES_MAX).copied().collect();
        for range in &mut sorted {
            range.bits = range.bits.min(128);
            range.ip = masked(range.ip, range.bits);
        }
        sorted.sort_by_key(|range| (128 - range.bits, range.ip, range.zone));
        sorted.dedup_by_key(|range| (range.bits, range.ip));
        Self { ranges: sorted.into(), replicas_max }
    }

    /// The ranges, in an order of their own.
    #[must_use]
    pub fn ranges(&self) -> &[ZoneRange] {
        &self.ranges
    }

    /// The zone of an address; nothing where no range covers it: then it shares its fate with
    /// nobody. O(lengths of prefix · log ranges).
    #[must_use]
    pub fn of(&self, endpoint: &Endpoint) -> Option<u16> {
        let ip = u128::from_be_bytes(endpoint.ip);
        let mut rest = &self.ranges[..];
        while let Some(first) = rest.first() {
            let (same, shorter) = rest.split_at(rest.partition_point(|r| r.bits >= first.bits));
            let start = masked(ip, first.bits);
            if let Ok(at) = same.binary_search_by_key(&start, |range| range.ip) {
                return Some(same[at].zone);
            }
            rest = shorter;
        }
        None
    }

    /// Whether there are any.
    pub(crate) fn is_on(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Nobody has taken a replica yet.
    pub(crate) fn share(&self) -> Share {
        let max = if self.is_on() { usize::from(self.replicas_max) } else { usize::MAX };
        Share { taken: [0; MEMBERS_MAX], count: 0, max }
    }
}

/// Who has taken a replica of one value so far.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// The zones of those who have, as often as they have.
    taken: [u16; MEMBERS_MAX],
    count: usize,
    /// Of one zone.
    max: usize,
}

impl Share {
    /// No zone is too full.
    pub(crate) const UNLIMITED: Self = Self { taken: [0; MEMBERS_MAX], count: 0, max: usize::MAX };

    /// Takes one more in this zone, unless it has as many as it may. Whether it was taken.
    pub(crate) fn take(&mut self, zone: Option<u16>) -> bool {
        let Some(zone) = zone.filter(|_| self.max != usize::MAX) else { return true };
        let taken = &self.taken[..self.count];
        if taken.iter().filter(|other| **other == zone).count() >= self.max {
            return false;
        }
        // No value has more than k replicas, and where paths ended a few more.
        let Some(place) = self.taken.get_mut(self.count) else { return false };
        *place = zone;
        self.count += 1;
        true
    }
}

fn masked(ip: u128, bits: u8) -> u128 {
    let free = u32::from(128 - bits.min(128));
    ip.checked_shr(free).and_then(|high| high.checked_shl(free)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn endpoint(ip: u128) -> Endpoint {
        let addr = core::net::SocketAddr::from((core::net::Ipv6Addr::from(ip), 1));
        addr.into()
    }

    #[test]
    fn the_longest_range_that_covers_an_address_is_its_zone() {
        for seed in 0..50_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let mut word = || u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            let base = word();
            let ranges: Vec<ZoneRange> = (0..60)
                .map(|zone| {
                    let bits = u8::try_from(word() % 129).unwrap();
                    let ip = masked(base ^ word() >> (word() % 128), bits);
                    ZoneRange { ip, bits, zone }
                })
                .collect();
            let zones = Zones::new(&ranges, 2);
            for _ in 0..200 {
                let ip = base ^ word() >> (word() % 128);
                let covers = |range: &&ZoneRange| masked(ip, range.bits) == range.ip;
                let longest = ranges.iter().filter(covers).max_by_key(|range| {
                    // Of two for the same addresses the first is kept.
                    (range.bits, u16::MAX - range.zone)
                });
                assert_eq!(zones.of(&endpoint(ip)), longest.map(|r| r.zone), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_zone_takes_as_many_as_it_may_and_who_is_in_none_is_not_counted() {
        let range = ZoneRange { ip: 0, bits: 1, zone: 7 };
        let mut share = Zones::new(&[range], 2).share();
        let taken: Vec<bool> =
            [7, 8, 7, 7, 8, 8].iter().map(|zone| share.take(Some(*zone))).collect();
        assert_eq!(taken, [true, true, true, false, true, false]);
        assert!((0..100).all(|_| share.take(None)));
        let mut unlimited = Zones::default().share();
        assert!((0..100).all(|_| unlimited.take(Some(7))));
    }
}
