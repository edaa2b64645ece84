//! An outbox over fixed memory.

use kdht_core::{Outbox, Route};
use kdht_wire::DATAGRAM_LEN_MAX;

/// Room for so many datagrams; more are refused.
#[derive(Debug)]
pub(crate) struct Tray {
    bytes: Vec<u8>,
    laid: Vec<(Route, usize)>,
    places: usize,
    taken: Route,
}

impl Tray {
    pub(crate) fn new(places: usize) -> Self {
        let bytes = vec![0; places * DATAGRAM_LEN_MAX];
        Self { bytes, laid: Vec::with_capacity(places), places, taken: Route::default() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Route, &[u8])> {
        self.laid.iter().enumerate().map(|(at, (route, len))| {
            let start = at * DATAGRAM_LEN_MAX;
            (route, &self.bytes[start..start + len])
        })
    }

    pub(crate) fn clear(&mut self) {
        self.laid.clear();
    }

    /// Hands every datagram on, and forgets them.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(&Route, &[u8])) {
        self.iter().for_each(|(route, bytes)| send(route, bytes));
        self.clear();
    }
}

impl Outbox for Tray {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        if self.laid.len() >= self.places {
            return None;
        }
        self.taken = *route;
        let start = self.laid.len() * DATAGRAM_LEN_MAX;
        Some(&mut self.bytes[start..start + DATAGRAM_LEN_MAX])
    }

    fn commit(&mut self, len: usize) {
        self.laid.push((self.taken, len));
    }
}
