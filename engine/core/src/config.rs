//! What a node is made with.

use kdht_store::Limits;
use kdht_wire::{Endpoint, KeyRing};

use crate::contacts::TableKind;
use crate::groups::Caps;
use crate::throttle::ThrottleConfig;
use crate::zones::Zones;

/// Everything that is set when a node is made. Each structure takes its capacity from
/// here and never grows past it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Contacts in a bucket, in a FIND_NODE reply and in a STORE set: 1 to 20.
    pub k: u8,
    /// Requests of one lookup in flight: 1 to 20.
    pub alpha: u8,
    /// Disjoint paths of a lookup: 1 to 8. Eight ask half as many nodes again as one, and
    /// find the closest node unless all of them meet a liar before it (S/Kademlia).
    pub paths: u8,
    /// b, the bits of distance that a step of a lookup gains at least: 1 to 5. Each more
    /// doubles the far part of the table and makes lookups shorter (Kademlia §4.2).
    pub b: u8,
    /// Contacts of one IP group (/24, /64) in one bucket, replacements included.
    pub bucket_group_max: u16,
    /// Contacts of one IP group in one table.
    pub table_group_max: u16,
    /// Whether private addresses count for their IP group in a keyed network, too, where
    /// they are exempt otherwise. Loopback always is.
    pub caps_private: bool,
    /// Serve nobody, and say so in every request.
    pub client: bool,
    /// Address families with a socket; one routing table each.
    pub families: Families,
    /// Which kind of table; there is one for each family.
    pub table: TableKind,
    /// Contacts of one k-bucket table, replacements included.
    pub contacts_max: u16,
    /// Requests of ours in flight, lookups' and probes' together.
    pub pending_max: u16,
    /// Commands and recursions under way at once.
    pub operations_max: u16,
    /// Lookups done at once for askers with RECURSE.
    pub recursions_max: u16,
    /// Ends of recent lookups that are remembered, at 820 bytes each.
    pub frequent_max: u8,
    /// And for how many seconds.
    pub frequent_s: u32,
    /// Seconds without a lookup in a bucket's range after which it is refreshed, 0: never.
    pub refresh_s: u32,
    /// Seconds after which a value that was not stored anew meanwhile is republished, 0:
    /// never.
    pub republish_s: u32,
    /// Values republished at once.
    pub republishes_max: u8,
    /// Values handed to newcomers at once, 0: none ever.
    pub handovers_max: u8,
    /// Which addresses may be lost together, and how many replicas of a value they get.
    pub zones: Zones,
    /// Signatures verified per second; more are refused with `busy`. One costs about
    /// 50 µs.
    pub signatures_per_s: u32,
    /// Whether signatures of others are verified by whoever owns the node, on another
    /// thread ([`crate::Node::poll_verify`]), instead of within the call that needs them.
    pub verify_apart: bool,
    /// Whether plain values are stored.
    pub accept_plain: bool,
    /// Whether gets of the owner and of askers with RECURSE begin with a forwarded request
    /// (FORMAT.md §8.3), in a keyed network and where a contact's cookie is held.
    pub forward: bool,
    /// Per-source allowance.
    pub throttle: ThrottleConfig,
    /// What the store holds.
    pub store: Limits,
    /// Timeouts of requests.
    pub timeouts: Timeouts,
    /// The network's keys; none in an open network.
    pub keys: KeyRing,
    /// Shards of the node, 1 to 255. What is said here is said of the whole node; of
    /// allowances and quotas each shard has its part.
    pub shards: u8,
    /// Which of them this is, from 0: the top byte of transaction ids.
    pub shard: u8,
    /// The node's own endpoints, IPv4 and IPv6, where they are not to be learned from what
    /// others see.
    pub advertise: [Option<Endpoint>; 2],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            k: 20,
            alpha: 3,
            paths: 1,
            b: 1,
            bucket_group_max: 2,
            table_group_max: 10,
            caps_private: false,
            client: false,
            families: Families { v4: true, v6: false },
            table: TableKind::KBucket,
            contacts_max: 2_048,
            pending_max: 1_024,
            operations_max: 256,
            recursions_max: 64,
            frequent_max: 16,
            frequent_s: 120,
            refresh_s: 3_600,
            republish_s: 3_600,
            republishes_max: 4,
            handovers_max: 8,
            zones: Zones::default(),
            signatures_per_s: 2_000,
            verify_apart: false,
            accept_plain: false,
            forward: false,
            throttle: ThrottleConfig::default(),
            store: Limits::default(),
            timeouts: Timeouts::default(),
            keys: KeyRing::OPEN,
            shards: 1,
            shard: 0,
            advertise: [None; 2],
        }
    }
}

impl Config {
    /// The caps for IP groups. Private addresses are exempt where the network is keyed: its
    /// members trust each other, and share few addresses.
    #[must_use]
    pub fn caps(&self) -> Caps {
        Caps {
            bucket_max: self.bucket_group_max,
            table_max: self.table_group_max,
            exempt_private: self.keys.is_keyed() && !self.caps_private,
        }
    }

    /// The part of one shard.
    pub(crate) fn share(self) -> Self {
        let shards = u32::from(self.shards.max(1));
        let share = |whole: u32| whole.div_ceil(shards);
        let bytes = |whole: u64| whole.div_ceil(u64::from(shards));
        // A quota stays large enough for one value, if the whole one is.
        let value = Limits::cost(self.store.value_len_max as usize);
        let store = Limits {
            bytes_max: bytes(self.store.bytes_max).max(value.min(self.store.bytes_max)),
            values_max: share(self.store.values_max),
            source_bytes_max: bytes(self.store.source_bytes_max)
                .max(value.min(self.store.source_bytes_max)),
            ..self.store
        };
        let recursions = share(u32::from(self.recursions_max));
        Self {
            recursions_max: u16::try_from(recursions).unwrap_or(u16::MAX),
            signatures_per_s: share(self.signatures_per_s),
            throttle: self.throttle.share_of(self.shards),
            store,
            ..self
        }
    }
}

/// Address families.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// When a request is overdue, and when it has failed. Both follow the peer's round trips:
/// mean + 4 · deviation (RFC 6298), or the whole node's where the peer's are unknown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// A request is overdue no sooner than this, in milliseconds.
    pub slow_ms_min: u32,
    /// And no later than this.
    pub slow_ms_max: u32,
    /// Overdue before anything was measured.
    pub slow_ms_initial: u32,
    /// It has failed after this many times its overdue time,
    pub fail_factor: u32,
    /// but no sooner than this, in milliseconds,
    pub fail_ms_min: u32,
    /// and no later than this.
    pub fail_ms_max: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            slow_ms_min: 50,
            slow_ms_max: 1_000,
            slow_ms_initial: 300,
            fail_factor: 4,
            fail_ms_min: 1_500,
            fail_ms_max: 4_000,
        }
    }
}
