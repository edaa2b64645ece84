//! What the tests of both kinds of table draw from.

use kdht_wire::{Endpoint, Id};

use crate::rng::Rng;
use crate::time::{NS_PER_S, Nanos};

/// When tests begin, in seconds.
pub(crate) const START_S: u64 = 1_000;

/// So many seconds after tests begin.
pub(crate) fn at(seconds: u64) -> Nanos {
    Nanos((START_S + seconds) * NS_PER_S)
}

/// Random numbers of `seed`, other ones for each `salt`.
pub(crate) fn salted_rng(salt: u8, seed: u64) -> Rng {
    let mut key = [salt; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(key)
}

/// An index below `bound`.
pub(crate) fn pick(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

/// A random IPv4 endpoint.
pub(crate) fn place(rng: &mut Rng) -> Endpoint {
    let [a, b, c, port, ..] = rng.next_u64().to_le_bytes();
    let ip = std::net::Ipv4Addr::new(20, a, b, c);
    Endpoint::from(std::net::SocketAddr::from((ip, 1_000 + u16::from(port))))
}

/// A random id that shares `bits` bits with `prefix`.
pub(crate) fn with_prefix(rng: &mut Rng, prefix: &Id, bits: u8) -> Id {
    (0..bits).fold(rng.id(), |id, bit| id.with_bit(bit, prefix.bit(bit)))
}
