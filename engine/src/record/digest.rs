//! What came out of a node, in one number.

use std::fmt::{self, Write};

use kdht_core::{Addressee, Event, Note, Outbox, Route, StreamServed};
use kdht_wire::DATAGRAM_LEN_MAX;
use sha2::{Digest as _, Sha256};

use super::REFUSED_MAX;

/// Bytes of a whole digest.
pub(super) const DIGEST_LEN: usize = 32;

/// The digest of all that came out so far.
pub(super) struct Digest {
    hasher: Sha256,
    /// The first bytes of the digest, until more comes out.
    short: Option<[u8; 4]>,
    pub(super) datagrams_out: u64,
    /// Where a datagram is laid before it is known how long it is.
    draft: Box<[u8; DATAGRAM_LEN_MAX]>,
}

/// An outbox that digests what passes through.
pub(super) struct DigestOutbox<'a> {
    digest: &'a mut Digest,
    out: &'a mut dyn Outbox,
    route: Route,
    asked: u32,
    refused: Vec<u32>,
}

impl Default for Digest {
    fn default() -> Self {
        let draft = Box::new([0; DATAGRAM_LEN_MAX]);
        Self { hasher: Sha256::new(), short: None, datagrams_out: 0, draft }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest of {} datagrams", self.datagrams_out)
    }
}

impl Digest {
    pub(super) fn whole(&self) -> [u8; DIGEST_LEN] {
        self.hasher.clone().finalize().into()
    }

    pub(super) fn short(&mut self) -> [u8; 4] {
        if let Some(short) = self.short {
            return short;
        }
        let [a, b, c, d, ..] = self.whole();
        *self.short.insert([a, b, c, d])
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.text(2, event);
    }

    pub(super) fn note(&mut self, note: &(Addressee, Note)) {
        self.text(3, note);
    }

    /// A reply by TCP, and whether it is one.
    pub(super) fn reply(&mut self, served: StreamServed, reply: &[u8]) {
        add(&mut self.hasher, 4, &[served as u8], reply);
        self.short = None;
    }

    fn text(&mut self, what: u8, said: &impl fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only where a type's own `Debug` does.
        let _ = write!(text, "{said:?}");
        add(&mut self.hasher, what, &[], text.as_bytes());
        self.short = None;
    }

    pub(super) fn outbox<'a>(&'a mut self, out: &'a mut dyn Outbox) -> DigestOutbox<'a> {
        DigestOutbox { digest: self, out, route: Route::default(), asked: 0, refused: Vec::new() }
    }

    /// Adds the datagram that lies in the draft.
    fn datagram(&mut self, route: &Route, len: usize) {
        let mut along = [0; 35];
        along[..16].copy_from_slice(&route.peer.ip);
        along[16..18].copy_from_slice(&route.peer.port.to_bytes());
        along[18..34].copy_from_slice(&route.local.ip);
        along[34] = route.local.socket;
        add(&mut self.hasher, 1, &along, &self.draft[..len]);
        self.short = None;
        self.datagrams_out += 1;
    }
}

fn add(hasher: &mut Sha256, what: u8, fixed: &[u8], bytes: &[u8]) {
    hasher.update([what]);
    hasher.update(fixed);
    hasher.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    hasher.update(bytes);
}

impl DigestOutbox<'_> {
    /// The slots that were refused, counted from 0.
    pub(super) fn into_refused(self) -> Vec<u32> {
        self.refused
    }
}

impl Outbox for DigestOutbox<'_> {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        self.asked += 1;
        if self.out.slot(route).is_none() {
            if self.refused.len() < REFUSED_MAX {
                self.refused.push(self.asked - 1);
            }
            return None;
        }
        self.route = *route;
        Some(&mut self.digest.draft[..])
    }

    fn commit(&mut self, len: usize) {
        if let Some(slot) = self.out.slot(&self.route) {
            slot[..len].copy_from_slice(&self.digest.draft[..len]);
            self.out.commit(len);
        }
        self.digest.datagram(&self.route, len);
    }
}
