//! Where the core lays what it sends: the caller's memory.

use kdht_wire::Endpoint;

/// Between which two endpoints a datagram travels.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Route {
    /// The other side.
    pub peer: Endpoint,
    /// Our side.
    pub local: Local,
}

/// Our side of a route, so that a reply leaves from the address that was asked. The core
/// only hands it back.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Local {
    /// The address, IPv6 or v4-mapped; all zeros: the host chooses.
    pub ip: [u8; 16],
    /// The datapath's own number for the socket.
    pub socket: u8,
}

impl Route {
    /// A route to `peer` from whatever address the host chooses.
    #[must_use]
    pub fn to(peer: Endpoint) -> Self {
        Self { peer, local: Local::default() }
    }
}

/// Memory for datagrams that leave. Sending may fail silently, as the network may.
pub trait Outbox {
    /// At least [`kdht_wire::DATAGRAM_LEN_MAX`] bytes to lay one datagram into, or nothing
    /// if no room can be made. Until [`Outbox::commit`] nothing is sent: a second call
    /// begins the same datagram anew.
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]>;

    /// The slot last handed out holds a datagram of `len` bytes: send it.
    fn commit(&mut self, len: usize);
}
