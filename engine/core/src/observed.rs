//! Where others see this node: behind a NAT, only they can tell.
//!
//! Each reply names the endpoint that its request came from. One sender may lie, and so may
//! all of a subnet, so that they are counted as votes: one for each group of addresses, the
//! last ones only.

use alloc::boxed::Box;

use kdht_wire::{Body, Endpoint, Message};

use crate::command::Event;
use crate::node::Node;

/// Votes of one family that count: of the groups that voted last.
pub const VOTES_MAX: usize = 7;
/// Groups that must agree before an endpoint is believed.
pub const VOTES_MIN: usize = 3;
/// Votes that another endpoint must be ahead of the one that is believed.
const LEAD_MIN: usize = 2;
/// Bytes that tell groups apart.
const GROUP_LEN: usize = 6;

/// What others say that this node's endpoints are.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// IPv4, IPv6.
    families: [Option<Box<Opinion>>; 2],
}

/// Small, since simulations hold a million of them.
#[derive(Debug, Default)]
struct Opinion {
    /// The oldest first, at most one of a group.
    votes: [Vote; VOTES_MAX],
    vote_count: u8,
    believed: Option<Endpoint>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Vote {
    group: [u8; GROUP_LEN],
    seen: Endpoint,
}

impl Observed {
    /// `voter` says that it saw us at `seen`. Returns what is believed instead of what, if
    /// that changed. O([`VOTES_MAX`]); at most [`VOTES_MAX`] votes are kept.
    fn vote(
        &mut self,
        voter: &Endpoint,
        seen: &Endpoint,
    ) -> Option<(Option<Endpoint>, Option<Endpoint>)> {
        if voter.is_v4() != seen.is_v4() || !seen.is_reachable() {
            return None;
        }
        let family = &mut self.families[usize::from(!seen.is_v4())];
        let opinion = family.get_or_insert_with(Box::default);
        let before = opinion.believed;
        opinion.count(Vote { group: group_of(voter), seen: *seen });
        let after = opinion.believed;
        (before != after).then_some((before, after))
    }
}

impl Opinion {
    fn count(&mut self, vote: Vote) {
        let votes = self.votes();
        let same_group = votes.iter().position(|other| other.group == vote.group);
        let oldest = (votes.len() == VOTES_MAX).then_some(0);
        // Those behind the one that goes move up, and the newest stands last.
        if let Some(gone) = same_group.or(oldest) {
            self.votes[gone..usize::from(self.vote_count)].rotate_left(1);
            self.vote_count -= 1;
        }
        self.votes[usize::from(self.vote_count)] = vote;
        self.vote_count += 1;
        let believed_count = self.believed.map_or(0, |believed| self.count_for(&believed));
        let needed = match self.believed {
            None => VOTES_MIN,
            Some(_) => VOTES_MIN.max(believed_count + LEAD_MIN),
        };
        if self.believed != Some(vote.seen) && self.count_for(&vote.seen) >= needed {
            self.believed = Some(vote.seen);
        } else if believed_count == 0 && self.votes().len() == VOTES_MAX {
            // A NAT that shows everybody another port leaves nothing to believe.
            self.believed = None;
        }
    }

    fn votes(&self) -> &[Vote] {
        &self.votes[..usize::from(self.vote_count)]
    }

    fn count_for(&self, endpoint: &Endpoint) -> usize {
        self.votes().iter().filter(|vote| vote.seen == *endpoint).count()
    }
}

/// Who votes as one: an IPv4 /24 or an IPv6 /48. Within a private network and on one host
/// each endpoint has its own vote, since all of them share their groups.
fn group_of(voter: &Endpoint) -> [u8; GROUP_LEN] {
    let mut group = [0; GROUP_LEN];
    if voter.is_loopback() || voter.is_private() {
        // What is before these bytes is the same in one network, or nearly so.
        group[..4].copy_from_slice(&voter.ip[12..]);
        group[4..].copy_from_slice(&voter.port.to_bytes());
    } else if voter.is_v4() {
        group[..3].copy_from_slice(&voter.ip[12..15]);
    } else {
        group.copy_from_slice(&voter.ip[..6]);
    }
    group
}

impl Node {
    /// Where others see this node, IPv4 or IPv6: what at least [`VOTES_MIN`] groups of
    /// addresses agree on among the last that answered.
    #[must_use]
    pub fn observed_endpoint(&self, is_v4: bool) -> Option<Endpoint> {
        self.observed.families[usize::from(!is_v4)].as_ref()?.believed
    }

    /// The node's own endpoint, as it was told or else as others see it.
    #[must_use]
    pub fn own_endpoint(&self, is_v4: bool) -> Option<Endpoint> {
        self.config.advertise[usize::from(!is_v4)].or_else(|| self.observed_endpoint(is_v4))
    }

    /// Whether that is the node itself, whatever id it is named by. It is neither asked by
    /// lookups nor held as a contact; one that was held before leaves the table like any
    /// that does not answer.
    pub(crate) fn is_own_endpoint(&self, endpoint: &Endpoint) -> bool {
        self.own_endpoint(endpoint.is_v4()) == Some(*endpoint)
    }

    /// A reply that matched a request of ours came from `voter`.
    pub(crate) fn note_observed(&mut self, voter: &Endpoint, message: &Message<'_>) {
        let reply = match &message.body {
            Body::PingReply(reply) | Body::StoreReply(reply) => reply,
            Body::Contacts { reply, .. } | Body::Values { reply, .. } => reply,
            _ => return,
        };
        if let Some((before, after)) = self.observed.vote(voter, &reply.observed) {
            self.tell(Event::Observed { before, after });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::from(text.parse::<core::net::SocketAddr>().unwrap())
    }

    /// Voter number `at`, with a /24 of its own.
    fn voter(at: u64) -> Endpoint {
        endpoint(&format!("20.{}.{}.9:4000", at / 256, at % 256))
    }

    fn believed(observed: &Observed) -> Option<Endpoint> {
        observed.families[0].as_ref()?.believed
    }

    #[test]
    fn three_groups_make_an_endpoint_believed_and_two_do_not() {
        let own = endpoint("70.0.0.1:4000");
        let mut observed = Observed::default();
        for _ in 0..100 {
            for port in 1..9 {
                // One subnet and one address, by many ports.
                assert_eq!(observed.vote(&endpoint(&format!("20.0.0.{port}:{port}")), &own), None);
                assert_eq!(observed.vote(&endpoint(&format!("30.0.0.1:{port}")), &own), None);
            }
        }
        assert_eq!(observed.vote(&voter(7), &own), Some((None, Some(own))));
    }

    #[test]
    fn on_one_host_and_in_a_private_network_each_endpoint_has_its_vote() {
        for net in ["127.0.0.1", "10.0.0.1", "[::1]", "[fd00::1]"] {
            let own = endpoint(&format!("{net}:9"));
            let mut observed = Observed::default();
            let mut vote = |port: u16| observed.vote(&endpoint(&format!("{net}:{port}")), &own);
            assert!(vote(1).is_none() && vote(1).is_none() && vote(2).is_none(), "{net}");
            assert_eq!(vote(3), Some((None, Some(own))), "{net}");
        }
    }

    #[test]
    fn what_is_no_endpoint_of_that_family_counts_for_nothing() {
        let mut observed = Observed::default();
        for at in 0..20 {
            for seen in ["0.0.0.0:1", "20.0.0.1:0", "224.0.0.1:5", "[2001:db8::1]:4000"] {
                assert_eq!(observed.vote(&voter(at), &endpoint(seen)), None);
            }
        }
        assert!(observed.families.iter().all(Option::is_none));
    }

    #[test]
    fn a_minority_of_liars_changes_nothing_and_a_new_address_does() {
        for seed in 0..200 {
            let mut rng = Rng::from_seed([seed; 16]);
            let (own, other) = (endpoint("70.0.0.1:4000"), endpoint("70.0.0.1:5000"));
            let mut observed = Observed::default();
            assert!((0..7).any(|at| observed.vote(&voter(at), &own).is_some()));
            (0..7).for_each(|at| assert!(observed.vote(&voter(at), &own).is_none()));
            // Three of seven groups lie, each in its own way or all in one.
            for _ in 0..500 {
                let at = rng.below(7);
                let lie = if seed % 2 == 0 { other } else { voter(rng.below(9)) };
                let seen = if at < 3 { lie } else { own };
                assert_eq!(observed.vote(&voter(at), &seen), None, "seed {seed}");
            }
            let changes = (0..7).filter(|at| observed.vote(&voter(*at), &other).is_some());
            assert_eq!(changes.count(), 1, "seed {seed}");
            assert_eq!(believed(&observed), Some(other), "seed {seed}");
        }
    }

    #[test]
    fn a_nat_that_shows_each_peer_another_port_leaves_nothing_believed() {
        let mut observed = Observed::default();
        let own = endpoint("70.0.0.1:4000");
        let changes = (0..3).filter(|at| observed.vote(&voter(*at), &own).is_some());
        assert_eq!(changes.count(), 1);
        assert!(believed(&observed).is_some());
        for at in 0..40_u16 {
            let seen = endpoint(&format!("70.0.0.1:{}", 5_000 + at));
            observed.vote(&voter(at.into()), &seen);
        }
        assert_eq!(believed(&observed), None);
        assert_eq!(observed.families[0].as_ref().unwrap().votes().len(), VOTES_MAX);
    }
}
