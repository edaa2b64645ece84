//! The generator's sockets: batches by recvmmsg and sendmmsg, or one call for many requests
//! to one peer, which the kernel cuts apart (UDP_SEGMENT).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use kdht::io::{
    Datapath, Mmsg, MmsgBatch, MmsgOptions, Received, SEGMENTS_MAX, SOCKET_COUNT_MAX, SharedFd,
    Socket, SocketOptions, bind, send_segments, set_segment_len,
};
use kdht_core::{Local, Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

/// Most source endpoints: on loopback each has an address of its own.
pub const SOURCES_MAX: usize = 16_384;

/// Sends to one peer from one or more endpoints.
pub struct Link {
    mmsg: Mmsg,
    routes: Vec<Route>,
    peer: SocketAddr,
    segments: Option<Segments>,
}

/// Requests of one length that wait to be sent in one call.
struct Segments {
    socket: Socket,
    len: usize,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
    /// Calls that the kernel refused, and requests of another length.
    refused: u64,
}

impl Link {
    /// Sockets to `peer` with `sources` endpoints: on IPv4 loopback one socket that sends
    /// from 127.64.0.1 on; elsewhere a socket each, at most 16.
    ///
    /// # Errors
    /// What the host refuses, or that there cannot be so many sources.
    pub fn new(peer: SocketAddr, sources: usize) -> Result<Self, String> {
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
        let sockets: Result<Vec<Socket>, _> = (0..count).map(|_| bind(any, &options)).collect();
        let sockets = sockets.map_err(|error| error.to_string())?;
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
        Ok(Self { mmsg, routes, peer, segments: None })
    }

    /// From now on all requests are of `len` bytes and leave many at a time.
    ///
    /// # Errors
    /// That there is more than one source, or that the kernel cannot.
    pub fn segment(&mut self, len: usize) -> Result<(), String> {
        if self.routes.len() > 1 {
            return Err("only one source can send many requests at a time".to_owned());
        }
        self.segments = Some(Segments::new(&self.mmsg.sockets()[0], len)?);
        Ok(())
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
        if let Some(segments) = &mut self.segments {
            return segments.send(self.peer, lay);
        }
        let out = self.mmsg.outbox();
        let Some(slot) = out.slot(&self.routes[source]) else { return };
        let len = lay(slot);
        out.commit(len);
    }

    /// Hands all to the kernel.
    pub fn flush(&mut self) {
        match &mut self.segments {
            Some(segments) => segments.flush(self.peer),
            None => self.mmsg.flush(),
        }
    }

    /// Datagrams, or calls with many of them, that the kernel did not take.
    #[must_use]
    pub fn send_errors(&self) -> u64 {
        let counted = self.mmsg.counters();
        let refused = self.segments.as_ref().map_or(0, |segments| segments.refused);
        counted.send_errors_would_block
            + counted.send_errors_unreachable
            + counted.send_errors_denied
            + counted.send_errors_other
            + refused
    }

    /// Datagrams that the kernel dropped since our receive buffer was full.
    #[must_use]
    pub fn receive_overflow(&self) -> u64 {
        self.mmsg.counters().receive_overflow
    }
}

impl Segments {
    fn new(socket: &Socket, len: usize) -> Result<Self, String> {
        let too_long = || format!("segments of {len} bytes are longer than a datagram");
        let short = u16::try_from(len).ok().filter(|_| len <= DATAGRAM_LEN_MAX);
        let set = set_segment_len(socket, short.ok_or_else(too_long)?);
        set.map_err(|error| format!("the kernel cuts no datagrams (UDP_SEGMENT): {error}"))?;
        Ok(Self {
            socket: socket.clone(),
            len,
            bytes: Vec::with_capacity(SEGMENTS_MAX * len),
            scratch: vec![0; DATAGRAM_LEN_MAX],
            refused: 0,
        })
    }

    fn send(&mut self, peer: SocketAddr, lay: impl FnOnce(&mut [u8]) -> usize) {
        let len = lay(&mut self.scratch);
        if len != self.len {
            self.refused += 1;
            return;
        }
        self.bytes.extend_from_slice(&self.scratch[..len]);
        // One IP packet before it is cut holds no more.
        if self.bytes.len() + len > 65_000 || self.bytes.len() == SEGMENTS_MAX * len {
            self.flush(peer);
        }
    }

    fn flush(&mut self, peer: SocketAddr) {
        if self.bytes.is_empty() {
            return;
        }
        self.refused += u64::from(send_segments(&self.socket, peer, &self.bytes).is_err());
        self.bytes.clear();
    }
}
