//! Where contacts live: an address and a port of its own for each, by few sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use kdht::io::{Datapath, Mmsg, Socket, SocketOptions, Waiter, bind};
use kdht_core::Local;
use rustix::net::sockopt::set_ipv6_freebind;

/// Sockets: each serves its part of the contacts.
pub(super) const SOCKETS: usize = 16;
/// Most contacts.
pub const CONTACTS_MAX: usize = 1 << 21;

/// The first IPv4 contact's address; the last is below 127.192.0.0.
const FIRST_V4: Ipv4Addr = Ipv4Addr::new(127, 128, 0, 1);
/// What IPv6 contacts share: a prefix of 48 bits of the local ones (RFC 4193).
const PREFIX_V6: [u8; 6] = [0xfd, 0x6b, 0x64, 0x68, 0x74, 0];
/// How long a datagram to a contact's own address may take.
const PROOF_PATIENCE: Duration = Duration::from_millis(500);

/// The addresses of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Places {
    /// From 127.128.0.1 up, which every host has.
    V4,
    /// fd6b:6468:7400::/48, which a host has if it is told so; each address in one of 65,536
    /// networks of 64 bits, since nodes take such a network for one source.
    V6,
}

impl Places {
    /// Where contacts of a node at `target` live.
    ///
    /// # Errors
    /// That it is none of this host.
    pub(super) fn beside(target: SocketAddr) -> Result<Self, String> {
        match target.ip() {
            // What can be bound to is the host's own.
            ip if UdpSocket::bind((ip, 0)).is_err() => {
                Err(format!("{target} is no address of this host; contacts live here only"))
            }
            IpAddr::V4(_) => Ok(Self::V4),
            IpAddr::V6(_) => Ok(Self::V6),
        }
    }

    /// The sockets, which send from any of the addresses.
    ///
    /// # Errors
    /// What the host refuses.
    pub(super) fn bind(self) -> Result<Vec<Socket>, String> {
        let any: IpAddr = match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let options = SocketOptions::default();
        let socket = |_| {
            let bound = bind(SocketAddr::from((any, 0)), &options);
            let bound = bound.map_err(|error| error.to_string())?;
            if self == Self::V6 {
                // No interface has the addresses; a route makes them the host's own.
                let freed = set_ipv6_freebind(bound.fd(), true);
                freed.map_err(|error| format!("no address of {self}: {error}"))?;
            }
            Ok(bound)
        };
        (0..SOCKETS).map(socket).collect()
    }

    /// Sees that what is sent to a contact arrives.
    ///
    /// # Errors
    /// What makes the addresses the host's own.
    pub(super) fn prove(self, mmsg: &mut Mmsg) -> Result<(), String> {
        if self == Self::V4 {
            return Ok(());
        }
        let missing = || {
            format!(
                "this host does not have the addresses {self}; in a network namespace of yours, or \
                 as root: ip -6 route add local {self} dev lo"
            )
        };
        let to = SocketAddr::from((self.ip(0), mmsg.sockets()[0].local_addr().port()));
        let sender = UdpSocket::bind("[::]:0").map_err(|error| error.to_string())?;
        sender.send_to(b"proof", to).map_err(|_| missing())?;
        let sender = sender.local_addr().map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PROOF_PATIENCE;
        let mut waiter = Waiter::new(mmsg.fds());
        while Instant::now() < deadline {
            let _ = waiter.wait(Some(Duration::from_millis(20)));
            let _ = mmsg.receive();
            let mut came = mmsg.split().0;
            if came.any(|datagram| datagram.route.peer.port.get() == sender.port()) {
                return Ok(());
            }
        }
        Err(missing())
    }

    /// The address and socket of contact `at`, below [`CONTACTS_MAX`].
    pub(super) fn of(self, at: usize) -> Local {
        // The socket is below 16, and the offset below 2^17.
        let socket = u8::try_from(at % SOCKETS).unwrap_or(0);
        let offset = u32::try_from(at / SOCKETS).unwrap_or(0);
        let ip = match self.ip(offset) {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        Local { ip, socket }
    }

    /// The contact that lives at an address and socket, if any can.
    pub(super) fn contact(self, local: &Local) -> Option<usize> {
        let [.., a, b, c, d] = local.ip;
        let last = u32::from_be_bytes([a, b, c, d]);
        let offset = match self {
            Self::V4 => last.checked_sub(u32::from(FIRST_V4))?,
            Self::V6 => last,
        };
        let at = usize::try_from(offset).ok()?.checked_mul(SOCKETS)? + usize::from(local.socket);
        (at < CONTACTS_MAX && self.of(at) == *local).then_some(at)
    }

    fn ip(self, offset: u32) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(u32::from(FIRST_V4) + offset).into(),
            Self::V6 => {
                let mut ip = [0; 16];
                ip[..6].copy_from_slice(&PREFIX_V6);
                let [_, _, high, low] = offset.to_be_bytes();
                ip[6..8].copy_from_slice(&[high, low]);
                // The network alone is the address of its routers.
                ip[8] = 1;
                ip[12..].copy_from_slice(&offset.to_be_bytes());
                Ipv6Addr::from(ip).into()
            }
        }
    }
}

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "127.128.0.0/10",
            Self::V6 => "fd6b:6468:7400::/48",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contact_has_a_place_of_its_own_that_leads_back_to_it() {
        for places in [Places::V4, Places::V6] {
            for at in (0..CONTACTS_MAX).step_by(977).chain([CONTACTS_MAX - 1]) {
                assert_eq!(places.contact(&places.of(at)), Some(at), "{places}");
            }
            assert_eq!(places.contact(&Local::default()), None);
        }
        assert_eq!(Places::V4.contact(&Places::V6.of(5)), None);
    }

    #[test]
    fn the_first_65536_addresses_of_ipv6_are_in_networks_of_their_own() {
        let network = |at: usize| Places::V6.of(at * SOCKETS).ip[..8].to_vec();
        let networks: std::collections::HashSet<Vec<u8>> = (0..1 << 16).map(network).collect();
        assert_eq!(networks.len(), 1 << 16);
    }

    #[test]
    fn contacts_live_beside_nodes_of_this_host_only() {
        assert_eq!(Places::beside("127.0.0.1:4000".parse().unwrap()), Ok(Places::V4));
        assert_eq!(Places::beside("[::1]:4000".parse().unwrap()), Ok(Places::V6));
        let why = Places::beside("192.0.2.1:4000".parse().unwrap()).unwrap_err();
        assert!(why.contains("192.0.2.1:4000"), "{why}");
    }
}
