//! What a node does by itself, whatever arrives.
//!
//! Here: expiry, and probes of contacts that failed, never answered or were silent during an
//! outage of our own. Other duties stand in files of their own (`refresh.rs`,
//! `republish.rs`, `handover.rs`, `outage.rs`), each with its own due time in
//! [`Node::poll_timeout`].

use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::Contact;

use crate::contact::BACKOFF_S;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::time::{Nanos, Now};

/// Least pause between two looks at the contacts that are not good, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// Pause before a look that somebody's failure or arrival led to: by then whoever failed may
/// be asked again ([`BACKOFF_S`]), and who was asked at once has answered.
const SOON_MS: u64 = (BACKOFF_S as u64 + 1) * 1_000;
/// Longest pause, though none of them is to be asked before: newcomers may have come to
/// wait meanwhile.
const LOOK_MS_MAX: u64 = 60_000;
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
        if self.silence.is_none() {
            let soon = now.mono.plus_ms(SOON_MS);
            self.probe_at = Some(self.probe_at.map_or(soon, |at| at.min(soon)));
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
        let mut next_s: Option<u32> = None;
        for table in &mut self.tables {
            let more_s = table.unsettled(now.mono, free - due.len(), &mut due);
            next_s = next_s.into_iter().chain(more_s).min();
        }
        if let Some(before_s) = self.verify_before_s {
            let mut any = false;
            for table in &self.tables {
                any |= table.silent_since(before_s, free - due.len(), &mut due);
            }
            if any {
                next_s = Some(now.mono.seconds());
            }
            self.verify_before_s = self.verify_before_s.filter(|_| any);
        }
        let (soon, late) = (now.mono.plus_ms(LOOK_MS), now.mono.plus_ms(LOOK_MS_MAX));
        self.probe_at = next_s.map(|s| Nanos(0).plus_ms(u64::from(s) * 1_000).clamp(soon, late));
        for contact in due {
            self.look_after(now, &contact, out);
        }
    }
}
