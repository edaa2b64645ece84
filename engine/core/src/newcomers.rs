//! How a wide table learns of newcomers, though few of them ever come to it: one in
//! [`ASKED_ONE_IN`] of its contacts whose turn it is to be pinged is asked for its own
//! neighbours instead. Newcomers are known to those first, and whoever is named and not known
//! is pinged. A round over all contacts so looks at each neighbourhood several times, at the
//! price of a few longer replies; figures: engine/sim/RESULTS.md "Wide tables".

use kdht_wire::{Body, Contact, Kind, Message};

use crate::ask::{Ask, AskBody};
use crate::bucket::MEMBERS_MAX;
use crate::contacts::TableKind;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pending::{Intent, Purpose};
use crate::time::Now;

/// Every neighbour of a newcomer learns of it, and there are k of them: where every other one is
/// asked, a round misses four newcomers in a thousand with k = 8, and none with k = 20.
const ASKED_ONE_IN: u64 = 2;

impl Node {
    /// Asks whether `contact` is alive, and some for their neighbours if the table is wide.
    pub(crate) fn look_after(&mut self, now: Now, contact: &Contact, out: &mut dyn Outbox) {
        if self.config.table == TableKind::KBucket || self.rng.below(ASKED_ONE_IN) != 0 {
            return self.probe(now, contact, out);
        }
        if self.may_probe(contact) {
            let intent = Intent::new(contact.endpoint, contact.id, Kind::FindNode, Purpose::Probe);
            let (flags, target) = (self.families_wanted(), contact.id);
            self.ask(now, &Ask { intent, flags, cookie: 0, target, body: AskBody::Empty }, out);
        }
    }

    /// Whoever a probed contact named.
    pub(crate) fn heard_of_neighbours(
        &mut self,
        now: Now,
        message: &Message<'_>,
        out: &mut dyn Outbox,
    ) {
        let Body::Contacts { contacts, .. } = message.body else { return };
        for contact in contacts.iter().take(MEMBERS_MAX) {
            let endpoint = &contact.endpoint;
            if self.has_family_of(endpoint) && !self.is_own_endpoint(endpoint) {
                self.heard_of(now, contact, out);
            }
        }
    }
}
