//! One blocking UDP socket, and the clocks.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kdht_core::{Nanos, Now, Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

/// The host's clocks, as the core takes them.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let since_origin = u64::try_from(self.origin.elapsed().as_nanos());
        Now { mono: Nanos(since_origin.unwrap_or(u64::MAX)), unix_s: unix_s() }
    }
}

/// The date as the wire has it.
pub(crate) fn unix_s() -> u32 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The wire's clock is modulo 2³², and the mask leaves just that.
    u32::try_from(unix.as_secs() & u64::from(u32::MAX)).unwrap_or_default()
}

/// A socket that sends at once what the core commits.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    receiving: Vec<u8>,
    sending: Box<[u8; DATAGRAM_LEN_MAX]>,
    peer: Endpoint,
}

impl Socket {
    /// A socket of `peer`'s family, on a port that the host chooses.
    pub(crate) fn open(peer: SocketAddr) -> std::io::Result<Self> {
        let any = if peer.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        Ok(Self {
            socket: UdpSocket::bind((any, 0))?,
            receiving: vec![0; 2 * DATAGRAM_LEN_MAX],
            sending: Box::new([0; DATAGRAM_LEN_MAX]),
            peer: Endpoint::NONE,
        })
    }

    /// Waits for a datagram for at most `wait`.
    pub(crate) fn receive(&mut self, wait: Duration) -> std::io::Result<Option<(Route, usize)>> {
        // Zero would mean for ever.
        self.socket.set_read_timeout(Some(wait.max(Duration::from_micros(1))))?;
        match self.socket.recv_from(&mut self.receiving) {
            Ok((len, from)) => Ok(Some((Route::to(from.into()), len))),
            // An ICMP error of an earlier datagram tells what the timeout will tell too.
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock
                | ErrorKind::TimedOut
                | ErrorKind::Interrupted
                | ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The datagram received last.
    pub(crate) fn received(&self, len: usize) -> Vec<u8> {
        self.receiving[..len].to_vec()
    }
}

impl Outbox for Socket {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        self.peer = route.peer;
        Some(&mut self.sending[..])
    }

    fn commit(&mut self, len: usize) {
        // What does not leave is lost like any datagram, and asked for again.
        let _ = self.socket.send_to(&self.sending[..len], self.peer.socket_addr());
    }
}
