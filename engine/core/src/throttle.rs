//! How much one source may ask: fixed memory, whatever the number of sources.

use alloc::vec::Vec;
use core::hash::Hasher;

use kdht_wire::Endpoint;
use siphasher::sip::SipHasher13;
use zerocopy::IntoBytes;

use crate::time::Nanos;

/// Allowances of sources, in units; what a request costs is its [`crate::weight`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ThrottleConfig {
    /// Sources remembered at once, rounded up to a power of two; 16 bytes each. Zero
    /// turns the throttle off.
    pub slots: u32,
    /// Units that a source earns per second.
    pub rate_per_s: u32,
    /// Units that a source keeps at most.
    pub burst: u32,
}

impl Default for ThrottleConfig {
    /// Five thousand units a second, ten thousand kept: little for whoever serves, and
    /// enough for a node that hands over all that it holds.
    fn default() -> Self {
        Self { slots: 4_096, rate_per_s: 5_000, burst: 10_000 }
    }
}

impl ThrottleConfig {
    /// The part of one of `shards`, each of which meets as large a part of a source's
    /// requests. Never less than the dearest request costs.
    #[must_use]
    pub fn share_of(self, shards: u8) -> Self {
        let share = |whole: u32| whole.div_ceil(u32::from(shards.max(1)));
        let burst = share(self.burst).max(self.burst.min(BURST_MIN));
        Self { rate_per_s: share(self.rate_per_s), burst, ..self }
    }
}

/// Units that a shard lets a source save up at least, if the node does.
const BURST_MIN: u32 = 192;

/// Slots of a set: a source is looked for in one set only.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u64,
    /// When the source's allowance will be whole again.
    whole_at_ns: u64,
}

/// Per-source allowance in fixed memory: a hash table of four-way sets without chains.
/// A newcomer takes the slot of the source whose allowance is nearest to whole, which
/// loses the least by being forgotten.
#[derive(Debug)]
pub struct Throttle {
    slots: Vec<Slot>,
    key: [u8; 16],
    unit_ns: u64,
    burst_ns: u64,
}

impl Throttle {
    /// An empty throttle. `key` keeps strangers from choosing which sources share a set.
    #[must_use]
    pub fn new(config: &ThrottleConfig, key: [u8; 16]) -> Self {
        let count = match config.slots {
            0 => 0,
            slots => (slots as usize).next_power_of_two().max(WAYS),
        };
        let mut slots = Vec::new();
        slots.resize(count, Slot::default());
        let mut throttle = Self { slots, key, unit_ns: 0, burst_ns: 0 };
        throttle.set_allowance(config.rate_per_s, config.burst);
        throttle
    }

    /// Changes what each source earns per second and keeps at most, in units.
    pub fn set_allowance(&mut self, rate_per_s: u32, burst: u32) {
        self.unit_ns = 1_000_000_000 / u64::from(rate_per_s.max(1));
        self.burst_ns = self.unit_ns * u64::from(burst);
    }

    /// Spends `weight` units of `source`'s allowance, if it has them.
    ///
    /// An earlier `now` earns nothing. O(1), no allocation.
    #[inline]
    #[must_use]
    pub fn allow(&mut self, source: u64, weight: u32, now: Nanos) -> bool {
        if self.slots.is_empty() {
            return true;
        }
        // The length is a power of two, so the mask keeps the set inside.
        let within = source & (self.slots.len() - 1) as u64;
        let set = usize::try_from(within).unwrap_or(0) & !(WAYS - 1);
        let ways = &mut self.slots[set..set + WAYS];
        let found = ways.iter().position(|slot| slot.tag == source);
        let slot = match found {
            Some(at) => &mut ways[at],
            None => {
                let Some(slot) = ways.iter_mut().min_by_key(|slot| slot.whole_at_ns) else {
                    return true;
                };
                *slot = Slot { tag: source, whole_at_ns: now.0 };
                slot
            }
        };
        // What is owed is never before `now`, so the difference below cannot wrap.
        let cost_ns = self.unit_ns.saturating_mul(u64::from(weight));
        let whole_at_ns = slot.whole_at_ns.max(now.0).saturating_add(cost_ns);
        if whole_at_ns - now.0 > self.burst_ns {
            return false;
        }
        slot.whole_at_ns = whole_at_ns;
        true
    }

    /// Names the source of a datagram: the IPv4 address or the IPv6 /64, hashed. Where
    /// `exempt` says that many nodes share an address by design (loopback; private
    /// ranges in a keyed network), the whole endpoint.
    #[inline]
    #[must_use]
    pub fn source(&self, peer: &Endpoint, exempt: bool) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        let Endpoint { ip, port } = peer;
        if peer.is_v4() {
            // What tells these sources apart fits into one block of the hash.
            let [.., a, b, c, d] = *ip;
            hasher.write_u32(u32::from_le_bytes([a, b, c, d]));
            if exempt {
                hasher.write_u16(port.get());
            }
            hasher.finish()
        } else {
            hasher.hash(if exempt { peer.as_bytes() } else { &ip[..8] })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::time::NS_PER_S;

    fn throttle(slots: u32) -> Throttle {
        Throttle::new(&ThrottleConfig { slots, rate_per_s: 100, burst: 50 }, [3; 16])
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut throttle = throttle(64);
        let start = Nanos(NS_PER_S);
        let burst = (0..1_000).filter(|_| throttle.allow(9, 1, start)).count();
        assert_eq!(burst, 50);
        let later = Nanos(2 * NS_PER_S);
        assert_eq!((0..1_000).filter(|_| throttle.allow(9, 1, later)).count(), 50);
        let soon = Nanos(2 * NS_PER_S + NS_PER_S / 10);
        assert_eq!((0..1_000).filter(|_| throttle.allow(9, 1, soon)).count(), 10);
        assert!(!throttle.allow(9, 51, Nanos(100 * NS_PER_S)));
        assert!(throttle.allow(10, 1, soon), "another source is not touched");
    }

    #[test]
    fn an_earlier_now_earns_nothing() {
        let mut throttle = throttle(64);
        while throttle.allow(9, 1, Nanos(5 * NS_PER_S)) {}
        assert!(!throttle.allow(9, 1, Nanos(NS_PER_S)));
        assert!(!throttle.allow(9, 1, Nanos(5 * NS_PER_S)));
    }

    #[test]
    fn a_million_sources_take_no_more_memory_and_a_heavy_one_stays_limited() {
        let mut throttle = throttle(1_024);
        let before = throttle.slots.capacity();
        let mut rng = Rng::from_seed([1; 16]);
        let now = Nanos(NS_PER_S);
        let mut heavy = 0;
        for round in 0..1_000_000_u64 {
            if round % 10 == 0 && throttle.allow(42, 1, now) {
                heavy += 1;
            }
            let _ = throttle.allow(rng.next_u64(), 1, now);
        }
        assert_eq!(throttle.slots.capacity(), before);
        assert!(heavy <= 50, "the most indebted source is forgotten last: {heavy}");
    }

    #[test]
    fn no_slots_means_no_throttle() {
        let mut throttle = throttle(0);
        assert!((0..10_000).all(|_| throttle.allow(1, 32, Nanos(0))));
    }
}
