//! Where a node lays what it sends: memory that is used again for every call.

use kdht_core::{Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

/// Datagrams of one call, at most: k requests for each of a few lookups, and probes.
const PLACES_MAX: usize = 4_096;

/// An outbox of growing memory.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    bytes: Vec<u8>,
    laid: Vec<(Endpoint, usize)>,
    taken: Endpoint,
}

impl Tray {
    pub(crate) fn len(&self) -> usize {
        self.laid.len()
    }

    /// Datagram `index`, which must be below the length, and whom it goes to.
    pub(crate) fn datagram(&self, index: usize) -> (Endpoint, &[u8]) {
        let (to, len) = self.laid[index];
        let start = index * DATAGRAM_LEN_MAX;
        (to, &self.bytes[start..start + len])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Endpoint, &[u8])> {
        (0..self.len()).map(|index| self.datagram(index))
    }

    pub(crate) fn clear(&mut self) {
        self.laid.clear();
    }
}

impl Outbox for Tray {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        if self.laid.len() >= PLACES_MAX {
            return None;
        }
        self.taken = route.peer;
        let start = self.laid.len() * DATAGRAM_LEN_MAX;
        if self.bytes.len() < start + DATAGRAM_LEN_MAX {
            self.bytes.resize(start + DATAGRAM_LEN_MAX, 0);
        }
        Some(&mut self.bytes[start..start + DATAGRAM_LEN_MAX])
    }

    fn commit(&mut self, len: usize) {
        self.laid.push((self.taken, len));
    }
}
