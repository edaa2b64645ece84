//! What an eavesdropper has: requests of honest nodes, as they went over the wire.

use std::collections::VecDeque;

use kdht_core::Rng;
use kdht_wire::{Kind, Message};

use crate::random::below;
use crate::scenario::Scenario;
use crate::world::Datagram;

/// Datagrams that one tap keeps; the oldest goes.
const HEARD_MAX: usize = 65_536;

/// One datagram, and when it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at_ns: u64,
    pub(crate) datagram: Datagram,
}

/// Keeps requests of one kind.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) kind: Kind,
    heard: VecDeque<Heard>,
}

impl Tap {
    /// One for each kind that an adversary wants.
    pub(crate) fn all_for(scenario: &Scenario) -> Vec<Self> {
        let plans = &scenario.adversary;
        let wanted = |kind: &Kind| plans.iter().any(|plan| plan.kind.overhears() == Some(*kind));
        let kinds = Kind::ALL.into_iter().filter(wanted);
        kinds.map(|kind| Self { kind, heard: VecDeque::new() }).collect()
    }

    /// A node sends a datagram.
    pub(crate) fn hear(&mut self, now_ns: u64, datagram: &Datagram) {
        let Ok(message) = Message::parse(&datagram.bytes) else { return };
        if message.head.is_reply() || message.kind != self.kind {
            return;
        }
        if self.heard.len() >= HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard { at_ns: now_ns, datagram: datagram.clone() });
    }

    /// The last of them.
    pub(crate) fn last(&self) -> Option<Heard> {
        self.heard.back().cloned()
    }

    /// One of them at random.
    pub(crate) fn any(&self, rng: &mut Rng) -> Option<Heard> {
        if self.heard.is_empty() {
            return None;
        }
        self.heard.get(below(rng, self.heard.len())).cloned()
    }
}
