//! What a node does by itself, whatever arrives.
//!
//! Here: expiry, and probes of contacts that failed, never answered or were silent during an
//! outage of our own. Other duties stand in files of their own (`refresh.rs`,
//! `republish.rs`, `handover.rs`, `outage.rs`), each with its own due time in
//! [`Node::poll_timeout`].

use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::Contact;

use crate::node::Node;
use crate::outbox::Outbox;
use crate::time::Now;

/// Pause between two looks at the contacts that are not good, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Keys looked at in one step of a walk over all that is held.
pub(crate) const STEP_KEYS_MAX: usize = 64;
/// Pause between two steps of such a walk, in milliseconds: 65,536 keys take 100 s.
pub(crate) const STEP_MS: u64 = 100;
/// Values of one key that a walk takes; the rest waits for the next.
pub(crate) const KEY_VALUES_MAX: usize = 64;
/// Seconds of life below which a value is not worth its way.
pub(crate) const REMAINING_S_MIN: u32 = 60;
/// Expired values dropped per call.
const EXPIRE_MAX: usize = 64;

impl Node {
    pub(crate) fn maintain(&mut self, now: Now, out: &mut dyn Outbox) {
        let now_s = u64::from(now.mono.seconds());
        if self.store.next_expiry_s().is_some_and(|at| at <= now_s) {
            self.store.expire(now_s, EXPIRE_MAX);
        }
        if self.probe_at.is_some_and(|at| at <= now.mono) {
            self.look_over_contacts(now, out);
        }
    }

    /// Contacts may need probes: look them over before long.
    pub(crate) fn look_over_contacts_soon(&mut self, now: Now) {
        if self.probe_at.is_none() && self.silence.is_none() {
            self.probe_at = Some(now.mono.plus_ms(LOOK_MS));
        }
    }

    fn look_over_contacts(&mut self, now: Now, out: &mut dyn Outbox) {
        if self.silence.is_some() {
            // Who does not answer now says nothing; the end of the silence leads back here.
            self.probe_at = None;
            return;
        }
        let free = self.probes_max().saturating_sub(self.requests.probes());
        let mut due: Vec<Contact> = Vec::new();
        let mut unsettled = false;
        for table in &mut self.tables {
            unsettled |= table.unsettled(now.mono, free - due.len(), &mut due);
        }
        if let Some(before_s) = self.verify_before_s {
            let mut any = false;
            for table in &self.tables {
                any |= table.silent_since(before_s, free - due.len(), &mut due);
            }
            unsettled |= any;
            self.verify_before_s = self.verify_before_s.filter(|_| any);
        }
        self.probe_at = unsettled.then(|| now.mono.plus_ms(LOOK_MS));
        for contact in due {
            self.probe(now, &contact, out);
        }
    }
}
