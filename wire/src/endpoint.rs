//! Where a node listens: an address and a port, as 18 bytes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// IP address and UDP port (§4). IPv4 is held v4-mapped (`::ffff:a.b.c.d`); address and
/// port bytes are in network order, as a socket holds them.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Endpoint {
    /// IPv6 or v4-mapped address.
    pub ip: [u8; 16],
    /// Port, network order.
    pub port: U16,
}

const _: () = assert!(size_of::<Endpoint>() == 18);

const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Endpoint {
    /// No endpoint: `[::]:0`.
    pub const NONE: Self = Self { ip: [0; 16], port: U16::ZERO };

    /// Whether the address is IPv4 (v4-mapped).
    #[inline]
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.ip.starts_with(&V4_MAPPED)
    }

    /// The address, IPv4 where it is v4-mapped.
    #[must_use]
    pub fn ip_addr(&self) -> IpAddr {
        let v6 = Ipv6Addr::from(self.ip);
        v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
    }

    /// The endpoint as the standard library writes it.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip_addr(), self.port.get())
    }

    /// Whether a datagram can be sent there: the port is not zero and the address is
    /// neither unspecified, multicast, broadcast nor link-local (which names no host
    /// without an interface).
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        let usable = match self.ip_addr() {
            IpAddr::V4(ip) => {
                !(ip.is_unspecified()
                    || ip.is_multicast()
                    || ip.is_broadcast()
                    || ip.is_link_local())
                    && ip.octets()[0] != 0
            }
            IpAddr::V6(ip) => {
                !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local())
            }
        };
        usable && self.port.get() != 0
    }

    /// Whether the address means something on this host only.
    #[inline]
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        // Asked for each request, so by bytes: 127.0.0.0/8, and ::1.
        self.is_v4() && self.ip[12] == 127 || self.ip == Ipv6Addr::LOCALHOST.octets()
    }

    /// Whether the address is of a private network (RFC 1918, RFC 4193).
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.ip_addr() {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => Ipv4Addr::to_ipv6_mapped(&ip),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: U16::new(addr.port()) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_addr().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses_pass_through_unchanged() {
        for text in ["192.0.2.7:4000", "[2001:db8::7]:4000", "127.0.0.1:1", "[::1]:65535"] {
            let addr: SocketAddr = text.parse().unwrap();
            let endpoint = Endpoint::from(addr);
            assert_eq!(endpoint.socket_addr(), addr);
            assert_eq!(endpoint.is_v4(), addr.is_ipv4());
            assert!(endpoint.is_reachable());
        }
    }

    #[test]
    fn loopback_is_what_the_standard_library_says() {
        for text in ["127.0.0.1:1", "127.255.0.9:1", "126.0.0.1:1", "[::1]:1", "[::2]:1"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(Endpoint::from(addr).is_loopback(), addr.ip().is_loopback(), "{text}");
        }
    }

    #[test]
    fn addresses_that_name_no_host_are_unreachable() {
        for text in [
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "192.0.2.1:0",
            "169.254.0.1:1",
            "[::]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
        ] {
            let addr: SocketAddr = text.parse().unwrap();
            assert!(!Endpoint::from(addr).is_reachable(), "{text}");
        }
    }
}
