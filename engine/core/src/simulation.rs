//! What a simulator needs to set up a network, and the secrets that it gives to adversaries to
//! show what those secrets are worth (feature `simulation`).

use kdht_wire::{Contact, Endpoint, Id};

use crate::contact::Answer;
use crate::node::Node;
use crate::time::Now;

impl Node {
    /// Takes `contact` for one that answered a request of ours just now, after `rtt_us`
    /// microseconds: how a simulated network gets the tables that a scenario begins with,
    /// without the traffic that would fill them. The node goes on as after a real answer.
    ///
    /// It believes its caller, so nothing that a peer sent may reach it.
    pub fn learn(&mut self, contact: &Contact, rtt_us: u32, now: Now) {
        if self.has_family_of(&contact.endpoint) {
            let answer = Answer { rtt_us, cookie: 0 };
            self.answered(now, &contact.id, &contact.endpoint, &answer);
        }
    }

    /// The cookie that `peer` would get with a reply now. Only `peer` may know it.
    #[must_use]
    pub fn cookie_for(&mut self, peer: &Endpoint, now: Now) -> u64 {
        self.cookies.check(peer, 0, now.mono).fresh
    }

    /// The hash by which the store finds `key`. Nobody may know it.
    #[must_use]
    pub fn hash_of(&self, key: &Id) -> u64 {
        self.store.hash_of(key)
    }

    /// Whether it holds a value under `key`; it may have expired.
    #[must_use]
    pub fn is_holding(&self, key: &Id) -> bool {
        self.store.holds(key)
    }

    /// The keys under which it holds values, nearest first.
    pub fn keys_held(&self) -> impl Iterator<Item = Id> {
        self.store.keys()
    }
}
