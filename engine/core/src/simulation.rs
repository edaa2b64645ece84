//! What a simulator needs to set up a network (feature `simulation`).

use kdht_wire::Contact;

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
}
