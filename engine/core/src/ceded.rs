//! A table that the node's proxy keeps: the proxy finds contacts, pings and evicts them. The
//! node has a copy of it, to begin lookups with and to tell others from, and tells what came
//! of its own requests.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_wire::Contact;

use crate::contact::{Answer, Liveness, Peer};
use crate::contacts::Contacts;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::refresh::NEVER;
use crate::replica::Replica;
use crate::time::{Nanos, Now};

/// Tidings that wait for the owner at most; older ones are dropped, as datagrams may be.
const TIDINGS_MAX: usize = 1_024;

/// What came of a request of the node's.
#[derive(Clone, Copy, Debug)]
pub enum Tiding {
    /// It was answered.
    Answered {
        /// By whom.
        contact: Contact,
        /// How.
        answer: Answer,
        /// When.
        at: Nanos,
    },
    /// It was not.
    Failed {
        /// Who was asked.
        contact: Contact,
        /// When.
        sent: Nanos,
    },
}

/// What is known of the proxy's table.
#[derive(Debug, Default)]
pub(crate) struct Ceded {
    /// Its members: IPv4, IPv6.
    pub(crate) replicas: [Replica; 2],
    tidings: VecDeque<Tiding>,
}

impl Ceded {
    fn tell(&mut self, tiding: Tiding) {
        if self.tidings.len() >= TIDINGS_MAX {
            self.tidings.pop_front();
        }
        self.tidings.push_back(tiding);
    }

    pub(crate) fn answered(&mut self, contact: Contact, answer: Answer, at: Nanos) {
        self.tell(Tiding::Answered { contact, answer, at });
    }

    pub(crate) fn failed(&mut self, contact: Contact, sent: Nanos) {
        self.tell(Tiding::Failed { contact, sent });
    }

    fn stand(&mut self, contact: &Contact, liveness: Liveness) {
        self.replicas[usize::from(!contact.endpoint.is_v4())].stand(contact, liveness);
    }
}

impl Node {
    /// Leaves k-bucket tables to the proxy from now on, and returns their members: of one of
    /// several shards those that it owned. A join under way ends.
    pub fn cede_table(&mut self) -> Vec<Peer> {
        let members: Vec<Peer> = self.members().collect();
        let mut ceded = Ceded::default();
        let told = self.sharding.iter().flat_map(|sharding| sharding.told());
        for (contact, liveness) in told {
            ceded.stand(&contact, liveness);
        }
        for member in &members {
            ceded.stand(&member.contact(), member.liveness());
        }
        self.forget_table();
        self.ceded = Some(Box::new(ceded));
        (self.join, self.silence) = (None, None);
        (self.probe_at, self.refresh_at, self.verify_before_s) = (None, NEVER, None);
        members
    }

    /// Takes in who stands in the proxy's table, each with how far it is to be believed.
    ///
    /// O(n log n) of their number.
    pub fn set_known(&mut self, known: &[(Contact, Liveness)]) {
        let Some(ceded) = &mut self.ceded else { return };
        ceded.replicas = Default::default();
        for (contact, liveness) in known {
            ceded.stand(contact, *liveness);
        }
    }

    /// These answered the proxy for the first time: what is held may be theirs.
    pub fn learned_by_proxy(&mut self, now: Now, contacts: &[Contact]) {
        let Some(ceded) = &mut self.ceded else { return };
        for contact in contacts {
            ceded.stand(contact, Liveness::Good);
        }
        for contact in contacts {
            self.welcome(now, contact);
        }
    }

    /// What came of the node's own requests, for the proxy.
    pub fn poll_tiding(&mut self) -> Option<Tiding> {
        self.ceded.as_mut()?.tidings.pop_front()
    }

    /// Keeps the tables itself from now on, and begins with these contacts: those with an
    /// answer gave one and have not failed since. One of several shards takes those that it
    /// owns.
    pub fn reclaim_table(
        &mut self,
        now: Now,
        known: &[(Contact, Option<Answer>)],
        out: &mut dyn Outbox,
    ) {
        if self.ceded.take().is_none() {
            return;
        }
        self.forget_table();
        for (contact, answer) in known {
            self.take_in(now, contact, answer.as_ref(), out);
        }
        self.plan_refresh(now);
    }

    fn forget_table(&mut self) {
        let max = |wanted: bool| if wanted { usize::from(self.config.contacts_max) } else { 0 };
        let families = self.config.families;
        self.tables = [
            Contacts::new(self.id, &self.config, max(families.v4)),
            Contacts::new(self.id, &self.config, max(families.v6)),
        ];
        if let Some(sharding) = &mut self.sharding {
            sharding.forget_told();
        }
    }
}
