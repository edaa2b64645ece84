//! The generator's sockets: batches by recvmmsg and sendmmsg.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kdht::io::{
    BindError, Datapath, Mmsg, MmsgBatch, MmsgOptions, Received, SOCKET_COUNT_MAX, SharedFd,
    Socket, SocketOptions, bind,
};
use kdht_core::{Local, Outbox, Route};
use kdht_wire::Endpoint;

/// Most source endpoints: on loopback each has an address of its own.
pub const SOURCES_MAX: usize = 16_384;

/// Sends to one peer from one or more endpoints.
pub struct Link {
    mmsg: Mmsg,
    routes: Vec<Route>,
}

impl Link {
    /// Sockets to `peer` with `sources` endpoints: on IPv4 loopback one socket that sends
    /// from 127.64.0.1 on; elsewhere a socket each, at most 16. With `segment`
    /// requests of one length leave many as one (UDP_SEGMENT).
    ///
    /// # Errors
    /// What the host refuses, or that there cannot be so many sources.
    pub fn new(peer: SocketAddr, sources: usize, segment: bool) -> Result<Self, String> {
        let on_loopback = matches!(peer.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let max = if on_loopback { SOURCES_MAX } else { SOCKET_COUNT_MAX };
        if !(1..=max).contains(&sources) {
            return Err(format!("{sources} sources asked; 1 to {max} are possible to {peer}"));
        }
        let any = match peer {
            SocketAddr::V4(_) if on_loopback && sources == 1 => "127.0.0.1:0",
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let any: SocketAddr = any.parse().map_err(|_| "no address to bind")?;
        let count = if on_loopback { 1 } else { sources };
        let options = SocketOptions::default();
        let bind = || Ok(bind(any, &options)?.with_segments(segment));
        let sockets: Result<Vec<Socket>, BindError> = (0..count).map(|_| bind()).collect();
        let sockets = sockets.map_err(|error| error.to_string())?;
        if segment && !sockets.iter().all(Socket::segments) {
            return Err("the kernel cuts no datagrams (UDP_SEGMENT)".to_owned());
        }
        let to = Endpoint::from(peer);
        let route = |source: usize| {
            if !on_loopback || sources == 1 {
                let socket = u8::try_from(source).unwrap_or(0);
                return Route { peer: to, local: Local { ip: [0; 16], socket } };
            }
            // At most 16,384, so the third byte stays below 64.
            let [high, low] = u16::try_from(source + 1).unwrap_or(1).to_be_bytes();
            let ip = Ipv4Addr::new(127, 64, high, low).to_ipv6_mapped().octets();
            Route { peer: to, local: Local { ip, socket: 0 } }
        };
        let routes = (0..sources).map(route).collect();
        let sizes = MmsgOptions { batch_count: 256, slot_count: 256 };
        let mmsg = Mmsg::new(sockets, &sizes).map_err(|error| error.to_string())?;
        Ok(Self { mmsg, routes })
    }

    /// Source endpoints.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.routes.len()
    }

    /// To wait for.
    #[must_use]
    pub fn fds(&self) -> &[SharedFd] {
        self.mmsg.fds()
    }

    /// Takes in a batch.
    pub fn receive(&mut self) -> Received {
        self.mmsg.receive()
    }

    /// The batch received last.
    pub fn batch(&mut self) -> MmsgBatch<'_> {
        self.mmsg.split().0
    }

    /// Lays a datagram out by `lay`, which returns its length; it leaves by the next
    /// [`Link::flush`] at the latest.
    pub fn send(&mut self, source: usize, lay: impl FnOnce(&mut [u8]) -> usize) {
        let out = self.mmsg.outbox();
        let Some(slot) = out.slot(&self.routes[source]) else { return };
        let len = lay(slot);
        out.commit(len);
    }

    /// Hands all to the kernel.
    pub fn flush(&mut self) {
        self.mmsg.flush();
    }

    /// Datagrams that the kernel did not take.
    #[must_use]
    pub fn send_errors(&self) -> u64 {
        let counted = self.mmsg.counters();
        counted.send_errors_would_block
            + counted.send_errors_unreachable
            + counted.send_errors_denied
            + counted.send_errors_other
    }

    /// Datagrams that the kernel dropped since our receive buffer was full.
    #[must_use]
    pub fn receive_overflow(&self) -> u64 {
        self.mmsg.counters().receive_overflow
    }
}
