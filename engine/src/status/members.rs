//! Who stands in a node's routing tables: what `kdht table` shows.

use std::net::SocketAddr;

use kdht_core::{Node, Now};
use serde::{Deserialize, Serialize};

/// Members that one reading names at most.
pub const MEMBERS_MAX: usize = 65_536;

/// One reading of the routing tables.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Members {
    /// The node's id, 40 hexadecimal digits.
    pub id: String,
    /// Members that there are.
    pub total: usize,
    /// At most [`MEMBERS_MAX`] of them, farthest buckets first, by id within a bucket.
    pub members: Vec<Member>,
}

/// One member of a routing table.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Member {
    /// How many leading bits the ids of its bucket share.
    pub depth: u8,
    /// Its id, 40 hexadecimal digits.
    pub id: String,
    /// Where it answers.
    pub endpoint: SocketAddr,
    /// `good`, `unverified`, `doubtful` or `stale`.
    pub liveness: String,
    /// Smoothed round trip, in microseconds; nothing before the first.
    pub rtt_us: Option<u32>,
    /// Seconds since it was last heard from.
    pub silent_s: u32,
    /// Failures since its last answer.
    pub failures: u8,
}

impl Members {
    /// Reads a node's tables. Allocates for every member: not for the datapath.
    #[must_use]
    pub fn of(node: &Node, now: Now) -> Self {
        let member = |peer: kdht_core::Peer| Member {
            depth: node.bucket_depth(&peer),
            id: peer.id.to_string(),
            endpoint: peer.endpoint.socket_addr(),
            liveness: peer.liveness().name().to_owned(),
            rtt_us: Some(peer.rtt_us).filter(|rtt_us| *rtt_us > 0),
            silent_s: now.mono.seconds().saturating_sub(peer.seen_s),
            failures: peer.failures,
        };
        let total = node.members().count();
        let mut members: Vec<Member> = node.members().take(MEMBERS_MAX).map(member).collect();
        members.sort();
        Self { id: node.id().to_string(), total, members }
    }
}

impl Members {
    /// The tables of a node whose shards have these.
    #[must_use]
    pub(crate) fn join(shards: impl IntoIterator<Item = Box<Self>>) -> Box<Self> {
        let mut all = Box::<Self>::default();
        for shard in shards {
            all.id = shard.id;
            all.total += shard.total;
            all.members.extend(shard.members);
        }
        all.members.sort();
        all.members.truncate(MEMBERS_MAX);
        all
    }
}
