//! What an owner needs that speaks another format than the native one on the node's behalf.

use kdht_wire::{Outline, ParseError, VERSION};

use crate::node::Node;
use crate::outbox::{Outbox, Route};
use crate::time::Now;

impl Node {
    /// Answers a request that stood in another format and was not well-formed, by a FAULT
    /// `malformed`, as one in the native format is answered: throttled, and only if its
    /// `len` bytes are no fewer than the FAULT's. Whoever read it counts the refusal.
    pub fn answer_malformed(
        &mut self,
        now: Now,
        route: &Route,
        tx_id: u64,
        len: usize,
        out: &mut dyn Outbox,
    ) {
        let outline = Outline { version: VERSION, is_reply: false, body_len: 0, tx_id };
        self.answer_unparsed(now, route, &outline, ParseError::Body, len, out);
    }
}
