//! Where the core lays what it sends, so that a suite can look at it.

use kdht_core::{Outbox, Route};
use kdht_wire::DATAGRAM_LEN_MAX;

/// Room for the datagrams of one call.
pub(crate) struct Tray {
    bytes: Vec<u8>,
    pub(crate) sent: Vec<(Route, usize)>,
    route: Route,
}

const TRAY_COUNT: usize = 64;

impl Tray {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; TRAY_COUNT * DATAGRAM_LEN_MAX];
        Self { bytes, sent: Vec::with_capacity(TRAY_COUNT), route: Route::default() }
    }

    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        &self.bytes[at * DATAGRAM_LEN_MAX..][..self.sent[at].1]
    }
}

impl Outbox for Tray {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        self.route = *route;
        self.bytes.chunks_exact_mut(DATAGRAM_LEN_MAX).nth(self.sent.len())
    }

    fn commit(&mut self, len: usize) {
        self.sent.push((self.route, len));
    }
}
