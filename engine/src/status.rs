//! How a node is: what `kdht stat` and `kdht table` show.

mod members;
mod registry;

pub use members::{MEMBERS_MAX, Member, Members};
pub use registry::{METRICS, Metric, MetricKind, Sample, markdown, openmetrics};

use std::collections::BTreeMap;

use kdht_core::{ByKind, Fill, Node, Now, Refusal};
use kdht_wire::{Endpoint, Fault, Kind};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::hosted::Hosted;
use crate::io::DatapathCounters;
use crate::mesh::MeshCounters;
use crate::routing::Routing;
use crate::stream::StreamCounters;

/// One reading of everything that a node counts. Counts grow from the node's start; each
/// has its line in [`METRICS`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// The node's id, 40 hexadecimal digits.
    pub id: String,
    /// When it was read: seconds since 1970, modulo 2³².
    pub unix_s: u32,
    /// The node's own endpoints, as it was told: at most one of IPv4 and one of IPv6.
    #[serde(default)]
    pub advertise: Vec<String>,
    /// Where others see it: at most one of IPv4 and one of IPv6.
    #[serde(default)]
    pub observed: Vec<String>,
    /// Who routes. Where it is the kernel, what it answered counts below as the node's.
    #[serde(default)]
    pub routing: Routing,
    /// Messages by kind.
    pub messages: Messages,
    /// Datagrams and requests that were not served, by reason. Reasons that never
    /// occurred are zero.
    pub refusals: BTreeMap<String, u64>,
    /// Requests of others passed on to a node closer to their targets.
    #[serde(default)]
    pub forwarded: u64,
    /// FAULTs got, by code.
    pub faults_in: BTreeMap<String, u64>,
    /// Requests sent that were never answered.
    pub timeouts: u64,
    /// Values in replies that did not prove themselves.
    pub values_unproven: u64,
    /// Contacts in replies that cannot be sent to.
    pub contacts_unreachable: u64,
    /// Signatures of values.
    #[serde(default)]
    pub signatures: Signatures,
    /// Outages of the node's own network that ended.
    #[serde(default)]
    pub outages: u64,
    /// Failures of contacts that were not counted, since nothing at all came in.
    #[serde(default)]
    pub failures_forgiven: u64,
    /// Duties done periodically.
    #[serde(default)]
    pub maintenance: Maintenance,
    /// The routing tables.
    pub table: Tables,
    /// What the store holds.
    pub store: Store,
    /// What a leaving node handed over.
    pub drain: Drain,
    /// What the sockets did.
    pub datapath: Datapath,
    /// What went by TCP.
    #[serde(default)]
    pub streams: Streams,
    /// Commands and recursions under way.
    pub operations: usize,
    /// What the shards sent each other.
    #[serde(default)]
    pub mesh: Mesh,
    /// Datagrams handled, by shard.
    #[serde(default)]
    pub shards: BTreeMap<String, u64>,
    /// What the kernel module did in the node's stead.
    #[serde(default)]
    pub kernel: Kernel,
}

/// What the kernel module did in the node's stead: since the node's start, whoever routes now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kernel {
    /// Datagrams that came to it, passed ones too.
    pub datagrams_in: u64,
    /// Datagrams that it sent.
    pub datagrams_out: u64,
    /// Bytes of UDP payload that came to it.
    pub bytes_in: u64,
    /// Bytes of UDP payload that it sent.
    pub bytes_out: u64,
    /// Datagrams that it passed to the engine.
    pub passed: u64,
    /// Sockets that it is attached to.
    pub sockets: u32,
    /// Bytes of values that it may answer with.
    pub values_bytes: u32,
    /// One while it answers for keys that nothing is held under.
    pub filters_complete: u32,
}

/// What the shards of a node sent each other.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Mesh {
    /// Datagrams that came to one shard and were handed to another.
    pub handed_over: u64,
    /// Datagrams lost on the way since too many were under way.
    pub lost: u64,
    /// Times that a shard lost notes and was told anew.
    pub retold: u64,
}

/// What went by TCP.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Streams {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections of others that are open.
    pub connections: u64,
    /// Requests sent, each on a connection of its own.
    pub asks: u64,
    /// Those of them that brought no reply.
    pub asks_failed: u64,
    /// Whole messages received.
    pub messages_in: u64,
    /// Whole messages sent.
    pub messages_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Large buffers in use.
    pub buffers: u64,
    /// Connections that the host could not hand over.
    pub accept_errors: u64,
    /// Connections cut or not taken, by reason.
    pub cut: BTreeMap<String, u64>,
}

/// Duties done periodically.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Maintenance {
    /// Lookups of ranges that were idle.
    pub refreshes: u64,
    /// Values stored anew at the closest nodes.
    pub republishes: u64,
    /// Values handed to newcomers.
    pub handovers: u64,
    /// Newcomers too many at once to be handed anything before the republish.
    pub newcomers_missed: u64,
}

/// Messages by kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Messages {
    /// Requests that were served or refused by name.
    pub requests_in: BTreeMap<String, u64>,
    /// Requests sent.
    pub requests_out: BTreeMap<String, u64>,
    /// Replies that matched a request.
    pub replies_in: BTreeMap<String, u64>,
    /// Replies sent.
    pub replies_out: BTreeMap<String, u64>,
}

/// Signatures of values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Signatures {
    /// Signatures verified, whatever came of it.
    pub verified: u64,
    /// Messages whose signatures were not verified apart: too many waited, or it took too
    /// long.
    pub refused: u64,
    /// Messages that wait for their signatures to be verified.
    pub parked: usize,
    /// The most that ever waited.
    pub parked_max: usize,
}

/// The routing tables, one per address family.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Tables {
    /// IPv4.
    pub v4: TableFill,
    /// IPv6.
    pub v6: TableFill,
}

/// How full one table is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct TableFill {
    /// Buckets.
    pub buckets: usize,
    /// Contacts that are told to others.
    pub good: usize,
    /// Contacts that never answered.
    pub unverified: usize,
    /// Contacts that failed 1 to 4 times in a row.
    pub doubtful: usize,
    /// Contacts that failed 5 times in a row or more.
    pub stale: usize,
    /// Contacts in replacement caches.
    pub replacements: usize,
    /// Contacts that were not kept.
    #[serde(default)]
    pub refused: RefusedContacts,
}

/// Contacts that a table did not keep, by reason.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RefusedContacts {
    /// Their IP group has its share of the bucket.
    pub bucket_group: u64,
    /// Their IP group has its share of the table.
    pub table_group: u64,
    /// The table was full.
    pub full: u64,
}

/// What the store holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Store {
    /// Keys.
    pub keys: u32,
    /// Values.
    pub values: u32,
    /// Bytes, each value charged its overhead too.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub bytes_max: u64,
    /// Values dropped because they expired.
    pub expired: u64,
    /// Values dropped to make room for closer ones.
    pub evicted: u64,
}

/// What a leaving node handed over.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Drain {
    /// Values that at least one other node acknowledged.
    pub handed: u32,
    /// Values that none did.
    pub kept: u32,
}

/// What the sockets did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Datapath {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams that the kernel accepted for sending.
    pub datagrams_out: u64,
    /// What they left as: several to one peer may leave as one, to be cut apart on the way.
    #[serde(default)]
    pub packets_out: u64,
    /// Times that several could not leave as one, and were sent one by one.
    #[serde(default)]
    pub runs_refused: u64,
    /// Bytes of UDP payload received.
    pub bytes_in: u64,
    /// Bytes of UDP payload sent.
    pub bytes_out: u64,
    /// System calls to receive.
    pub receive_syscalls: u64,
    /// System calls to send.
    pub send_syscalls: u64,
    /// Datagrams that the kernel dropped since the receive buffer was full.
    pub receive_overflow: u64,
    /// Times that io_uring had no buffer left to receive into.
    #[serde(default)]
    pub receive_starved: u64,
    /// Datagrams that could not be sent, whatever the reason.
    pub send_errors: u64,
}

impl Status {
    /// Reads a node's and its datapath's counters; of a sharded node, those of one shard.
    #[must_use]
    pub(crate) fn of(
        node: &Node,
        datapath: &DatapathCounters,
        mesh: MeshCounters,
        now: Now,
    ) -> Self {
        let counters = node.counters();
        let named =
            |(reason, name): &(Refusal, &str)| ((*name).to_owned(), counters.refused(*reason));
        let faults = |fault: &Fault| (fault.name().to_owned(), counters.faults(*fault));
        let [v4, v6] = node.fill();
        let usage = node.usage();
        let (handed, kept) = node.drained();
        Self {
            id: node.id().to_string(),
            unix_s: now.unix_s,
            advertise: texts(node.config().advertise),
            routing: Routing::User,
            observed: texts([true, false].map(|is_v4| node.observed_endpoint(is_v4))),
            messages: Messages {
                requests_in: by_kind(&counters.requests_in),
                requests_out: by_kind(&counters.requests_out),
                replies_in: by_kind(&counters.replies_in),
                replies_out: by_kind(&counters.replies_out),
            },
            refusals: Refusal::NAMED.iter().map(named).collect(),
            forwarded: counters.forwarded,
            faults_in: Fault::ALL.iter().map(faults).collect(),
            timeouts: counters.timeouts,
            values_unproven: counters.values_unproven,
            contacts_unreachable: counters.contacts_unreachable,
            signatures: Signatures {
                verified: counters.signatures_verified,
                refused: counters.signatures_refused,
                parked: node.parked(),
                parked_max: node.parked_max(),
            },
            outages: counters.outages,
            failures_forgiven: counters.failures_forgiven,
            maintenance: Maintenance {
                refreshes: counters.refreshes,
                republishes: counters.republishes,
                handovers: counters.handovers,
                newcomers_missed: counters.newcomers_missed,
            },
            table: Tables { v4: v4.into(), v6: v6.into() },
            store: Store {
                keys: usage.keys,
                values: usage.values,
                bytes: usage.bytes,
                bytes_max: node.config().store.bytes_max,
                expired: usage.expired_total,
                evicted: usage.evicted_total,
            },
            drain: Drain { handed, kept },
            datapath: datapath.into(),
            streams: StreamCounters::default().status(),
            operations: node.operations(),
            mesh: Mesh { handed_over: mesh.handed_over, lost: mesh.lost, retold: mesh.retold },
            kernel: Kernel::default(),
            shards: [(node.config().shard.to_string(), counters.datagrams_in)].into(),
        }
    }

    /// The same with what the node's host counted around it.
    #[must_use]
    pub fn with_host(mut self, node: &Hosted) -> Self {
        self.refusals.insert("json".to_owned(), node.json_refused());
        self
    }

    /// The status of a node whose shards have these: numbers are added, and what each of
    /// them says alike is said once.
    #[must_use]
    pub(crate) fn sum(shards: impl IntoIterator<Item = Box<Self>>) -> Box<Self> {
        let mut shards = shards.into_iter();
        let Some(first) = shards.next() else { return Box::default() };
        // Always JSON, and stays of its form.
        let mut sum = serde_json::to_value(&first).unwrap_or_default();
        for mut shard in shards {
            // The first one's clock is the node's.
            shard.unix_s = 0;
            // One thread carries the streams of all.
            shard.streams = Streams::default();
            add(&mut sum, serde_json::to_value(&shard).unwrap_or_default());
        }
        Box::new(serde_json::from_value(sum).unwrap_or(*first))
    }

    /// Refusals of every reason together.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refusals.values().sum()
    }
}

impl From<Fill> for TableFill {
    fn from(fill: Fill) -> Self {
        Self {
            buckets: fill.buckets,
            good: fill.good,
            unverified: fill.unverified,
            doubtful: fill.doubtful,
            stale: fill.stale,
            replacements: fill.replacements,
            refused: RefusedContacts {
                bucket_group: fill.refused_bucket_group,
                table_group: fill.refused_table_group,
                full: fill.refused_full,
            },
        }
    }
}

impl From<&DatapathCounters> for Datapath {
    fn from(counters: &DatapathCounters) -> Self {
        Self {
            datagrams_in: counters.datagrams_in,
            datagrams_out: counters.datagrams_out,
            packets_out: counters.packets_out,
            runs_refused: counters.runs_refused,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            receive_syscalls: counters.receive_syscalls,
            send_syscalls: counters.send_syscalls,
            receive_overflow: counters.receive_overflow,
            receive_starved: counters.receive_starved,
            send_errors: counters.send_errors_would_block
                + counters.send_errors_unreachable
                + counters.send_errors_denied
                + counters.send_errors_other,
        }
    }
}

fn texts(endpoints: [Option<Endpoint>; 2]) -> Vec<String> {
    endpoints.iter().flatten().map(ToString::to_string).collect()
}

/// Adds the numbers of `other`, wherever they stand, and what its lists have besides.
fn add(sum: &mut Json, other: Json) {
    match (sum, other) {
        (Json::Object(sum), Json::Object(other)) => {
            for (name, value) in other {
                match sum.get_mut(&name) {
                    Some(known) => add(known, value),
                    None => drop(sum.insert(name, value)),
                }
            }
        }
        (Json::Array(sum), Json::Array(other)) => {
            let new: Vec<Json> = other.into_iter().filter(|it| !sum.contains(it)).collect();
            sum.extend(new);
        }
        (sum, other) => {
            if let (Some(left), Some(right)) = (sum.as_u64(), other.as_u64()) {
                *sum = Json::from(left.saturating_add(right));
            }
        }
    }
}

fn by_kind(counts: &ByKind) -> BTreeMap<String, u64> {
    Kind::ALL.iter().map(|kind| (kind.name().to_owned(), counts.of(*kind))).collect()
}
