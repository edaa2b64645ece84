//! Which shard a datagram is for: the rule that sockets are steered by, and that each
//! shard checks again.

use kdht_wire::{Flags, HEAD_LEN, Id, Kind, MAGIC, SHARD_OFFSET};

/// How requests and values are spread over the shards of one node.
///
/// Requests do not come uniformly: lookups end near the node's own id, so that most
/// targets share a long prefix with it. What tells them apart is their last bytes, of
/// which a keyed multiply makes the shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spread {
    shards: u8,
    /// Odd, and secret: whoever knew it could load one shard alone.
    factor: u32,
}

/// Where a datagram is to be handled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Home {
    /// At whichever shard it came to.
    Any,
    /// At this shard.
    Shard(u8),
}

/// Offset of the last four bytes of the target.
pub const SPREAD_OFFSET: usize = 48;

impl Spread {
    /// A spread over `shards` (1 to 255) shards by a secret number.
    #[must_use]
    pub fn new(shards: u8, secret: u32) -> Self {
        Self { shards: shards.max(1), factor: secret | 1 }
    }

    /// Shards.
    #[must_use]
    pub fn shards(&self) -> u8 {
        self.shards
    }

    /// What the last four bytes of a target, most significant first, are multiplied by.
    #[must_use]
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// The shard that values under `key` and requests for it belong to:
    /// `((last four bytes · factor) mod 2³² / 2¹⁶) mod shards`.
    #[must_use]
    pub fn of(&self, key: &Id) -> u8 {
        let [.., a, b, c, d] = key.0;
        let mixed = u32::from_be_bytes([a, b, c, d]).wrapping_mul(self.factor) >> 16;
        // Below the number of shards.
        u8::try_from(mixed % u32::from(self.shards)).unwrap_or(0)
    }

    /// Where a datagram is to be handled. Looks at the head only, and trusts nothing in
    /// it: the worst that a lie does is one hand-over. O(1).
    #[must_use]
    pub fn home(&self, datagram: &[u8]) -> Home {
        if self.shards == 1 || datagram.len() < HEAD_LEN || datagram[..2] != MAGIC {
            return Home::Any;
        }
        let flags = Flags(u16::from_le_bytes([datagram[4], datagram[5]]));
        if flags.has(Flags::REPLY) {
            let shard = datagram[SHARD_OFFSET];
            return if shard < self.shards { Home::Shard(shard) } else { Home::Any };
        }
        let kind = Kind::from_u8(datagram[3]);
        let of_the_key = matches!(kind, Some(Kind::FindValue | Kind::Store))
            || kind == Some(Kind::FindNode) && flags.has(Flags::RECURSE);
        if !of_the_key {
            return Home::Any;
        }
        let mut key = Id::ZERO;
        key.0[16..].copy_from_slice(&datagram[SPREAD_OFFSET..SPREAD_OFFSET + 4]);
        Home::Shard(self.of(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn keys_that_share_all_but_their_last_bytes_are_spread_evenly() {
        let mut rng = Rng::from_seed([4; 16]);
        let own = rng.id();
        for shards in [1, 2, 3, 8, 255] {
            let secret = rng.next_u64().to_le_bytes();
            let secret = u32::from_le_bytes([secret[0], secret[1], secret[2], secret[3]]);
            let spread = Spread::new(shards, secret);
            let mut counts = vec![0_u32; usize::from(shards)];
            let total = 4_000 * u32::from(shards);
            for _ in 0..total {
                let mut key = own;
                key.0[12..].copy_from_slice(&rng.next_u64().to_le_bytes());
                counts[usize::from(spread.of(&key))] += 1;
            }
            let busiest = counts.iter().max().copied().unwrap_or(0);
            assert!(busiest < 4_000 * 115 / 100, "{shards} shards, {secret:08x}: {busiest}");
        }
    }
}
