//! Which address a simulated host has: distinct public IPv4 addresses, by number.

use std::net::{Ipv4Addr, SocketAddr};

use kdht_core::{Rng, ZoneRange, Zones};
use kdht_wire::Endpoint;

use crate::scenario::Racks;

/// First octets without a range that is private, reserved, or set aside for documents; 30
/// to 33 are left to hosts that adversaries invent.
const OCTETS: [u8; 211] = octets();
/// Subnets (/24) that there are.
pub(crate) const SUBNETS: u64 = OCTETS.len() as u64 * 65_536;
/// Hosts that a subnet may have.
pub(crate) const HOSTS_MAX: u32 = 250;
/// Where every honest node listens.
pub(crate) const PORT: u16 = 4_000;

const fn octets() -> [u8; 211] {
    let mut out = [0; 211];
    let (mut octet, mut len) = (1_u8, 0);
    while octet < 224 {
        if !matches!(octet, 10 | 100 | 127 | 169 | 172 | 192 | 198 | 203 | 30..=33) {
            out[len] = octet;
            len += 1;
        }
        octet += 1;
    }
    out
}

/// Subnet number to /24, in an order that the seed decides.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    factor: u64,
    offset: u64,
    hosts: u32,
}

impl Addresses {
    /// Addresses with `hosts` (1 to 250) of them in each subnet.
    pub(crate) fn new(rng: &mut Rng, hosts: u32) -> Self {
        // A factor without a divisor in common makes the map one to one.
        let mut factor = rng.below(SUBNETS) | 1;
        while gcd(factor, SUBNETS) != 1 {
            factor += 2;
        }
        Self { factor, offset: rng.below(SUBNETS), hosts: hosts.clamp(1, HOSTS_MAX) }
    }

    /// The endpoint of host `number`.
    pub(crate) fn host(&self, number: u64) -> Endpoint {
        let hosts = u64::from(self.hosts);
        self.in_subnet(number / hosts, number % hosts)
    }

    /// Host `host` (0 to 249) of subnet `subnet`, counted from the start.
    pub(crate) fn in_subnet(&self, subnet: u64, host: u64) -> Endpoint {
        let spread = u128::from(subnet % SUBNETS) * u128::from(self.factor);
        let place = (spread + u128::from(self.offset)) % u128::from(SUBNETS);
        let place = u32::try_from(place).unwrap_or(0);
        let [_, high, middle, low] = place.to_be_bytes();
        let octet = OCTETS[usize::from(high)];
        // Below 250, and so below 256 with one added.
        let host = u8::try_from(host % u64::from(HOSTS_MAX)).unwrap_or(0) + 1;
        endpoint(Ipv4Addr::new(octet, middle, low, host), PORT)
    }
}

/// What nodes are told of racks: each has the /8 networks whose numbers leave it as remainder.
pub(crate) fn zones(racks: &Racks) -> Zones {
    let ranges = OCTETS.iter().zip(0..).map(|(octet, number)| {
        let first = Ipv4Addr::new(*octet, 0, 0, 0).to_ipv6_mapped();
        ZoneRange { ip: u128::from(first), bits: 104, zone: number % racks.count }
    });
    let ranges: Vec<ZoneRange> = ranges.collect();
    Zones::new(&ranges, racks.replicas_max)
}

/// An endpoint of IPv4.
pub(crate) fn endpoint(ip: Ipv4Addr, port: u16) -> Endpoint {
    Endpoint::from(SocketAddr::from((ip, port)))
}

/// The last four bytes of an address: all of it, for IPv4.
pub(crate) fn ip_of(endpoint: &Endpoint) -> u32 {
    let mut ip = [0; 4];
    ip.copy_from_slice(&endpoint.ip[12..]);
    u32::from_be_bytes(ip)
}

fn gcd(first: u64, second: u64) -> u64 {
    if second == 0 { first } else { gcd(second, first % second) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hosts_are_distinct_reachable_and_as_many_per_subnet_as_asked() {
        for hosts in [1, 3, 250] {
            let addresses = Addresses::new(&mut Rng::from_seed([9; 16]), hosts);
            let made: Vec<Endpoint> = (0..60_000).map(|at| addresses.host(at)).collect();
            assert!(made.iter().all(|at| at.is_reachable() && !at.is_private()));
            assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
            let subnets: HashSet<u32> = made.iter().map(|at| ip_of(at) >> 8).collect();
            assert_eq!(subnets.len() as u64, 60_000_u64.div_ceil(u64::from(hosts)));
        }
    }
}
