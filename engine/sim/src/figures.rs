//! What a run measured.

use serde::Serialize;

/// Makes [`Figures`] and the list of its numbers from one list of fields.
macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr,)*) => {
        /// What a run measured. What was not measured is not a number (`null` in JSON).
        #[derive(Clone, Debug, Serialize)]
        pub struct Figures {
            $($(#[$doc])* pub $name: $kind,)*
            /// SHA-256 over every datagram sent, in order: time, from, to, length, bytes.
            pub digest: String,
            /// Seconds that the run took on this machine.
            pub elapsed_s: f64,
        }

        impl Default for Figures {
            fn default() -> Self {
                Self { $($name: $default,)* digest: String::new(), elapsed_s: f64::NAN }
            }
        }

        impl Figures {
            /// The names of all figures that a pass line may use.
            #[must_use]
            pub fn names() -> Vec<&'static str> {
                vec![$(stringify!($name)),*]
            }

            /// The figure with this name.
            #[must_use]
            pub fn by_name(&self, name: &str) -> Option<f64> {
                match name {
                    $(stringify!($name) => Some(self.$name.number()),)*
                    _ => None,
                }
            }
        }
    };
}

trait Number {
    fn number(self) -> f64;
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

figures! {
    /// The seed.
    seed: u64 = 0,
    /// Honest nodes at the start.
    nodes: u64 = 0,
    /// Contacts in a bucket and a reply.
    k: u64 = 0,
    /// Requests of a lookup in flight.
    alpha: u64 = 0,
    /// Bits that far buckets are split by.
    b: u64 = 0,
    /// Disjoint paths of a lookup.
    paths: u64 = 0,
    /// Share of the nodes that is dead from the start.
    stale: f64 = 0.0,
    /// Hosts of adversaries.
    adversaries: u64 = 0,
    /// Their share of all hosts.
    adversaries_share: f64 = 0.0,
    /// 1 if lookups are for ids of nodes that there are, else 0.
    targets_are_nodes: u64 = 0,
    /// Mean session where nodes come and go, in seconds.
    sessions_mean_s: f64 = f64::NAN,
    /// Weibull shape of sessions; 1: exponential.
    sessions_shape: f64 = f64::NAN,
    /// Lookups begun.
    lookups: u64 = 0,
    /// Discovery depth of the closest node that answered, over lookups that ended.
    hops_mean: f64 = f64::NAN,
    /// Its 99th percentile.
    hops_p99: f64 = f64::NAN,
    /// Time of a lookup in mean round trips.
    rounds_mean: f64 = f64::NAN,
    /// Requests of a lookup.
    messages_mean: f64 = f64::NAN,
    /// Share of all lookups in which the closest live node answered.
    closest_found: f64 = f64::NAN,
    /// Share of the true k closest live nodes among the k found.
    overlap_k: f64 = f64::NAN,
    /// Share of the gets of stored values that found nothing.
    values_lost: f64 = f64::NAN,
    /// Values that counts looked for on all nodes, each as often as it was counted.
    gap_values: u64 = 0,
    /// Share of them that had gone since the count before: lost in a republish gap.
    gap_lost: f64 = f64::NAN,
    /// The share that exponential sessions would lose, with nothing repaired in a gap g:
    /// (1 - e^(-g/mean))^k.
    gap_formula: f64 = f64::NAN,
    /// The standard error of as many draws with that share.
    gap_error: f64 = f64::NAN,
    /// By how many standard errors more was lost than that; negative: less.
    gap_excess: f64 = f64::NAN,
    /// Share of the gets of values that no node with a connection held any more.
    values_unheld: f64 = f64::NAN,
    /// Memory of the process at the end, in bytes, per honest node.
    bytes_per_node: f64 = f64::NAN,
    /// Lookups that never ended.
    lookups_unfinished: u64 = 0,
    /// Time of a lookup, in milliseconds.
    lookup_ms_mean: f64 = f64::NAN,
    /// Its 99th percentile.
    lookup_ms_p99: f64 = f64::NAN,
    /// Members of a routing table.
    contacts_mean: f64 = f64::NAN,
    /// Most buckets of one table.
    buckets_max: u64 = 0,
    /// Most members of one table.
    contacts_most: u64 = 0,
    /// Values put.
    values_put: u64 = 0,
    /// Of them those that at least one node acknowledged.
    values_stored: u64 = 0,
    /// Gets of stored values.
    gets: u64 = 0,
    /// Requests that honest nodes passed on.
    forwarded: u64 = 0,
    /// Gets that brought another value than the one put.
    values_wrong: u64 = 0,
    /// Share of the gets that brought an older version than the newest stored when they began.
    values_old: f64 = f64::NAN,
    /// Requests of a put that somebody acknowledged: its lookup and its STOREs.
    puts_messages_mean: f64 = f64::NAN,
    /// Its time, in mean round trips.
    puts_rounds_mean: f64 = f64::NAN,
    /// Nodes that acknowledged it.
    replicas_mean: f64 = f64::NAN,
    /// Requests of a get that found its value.
    gets_messages_mean: f64 = f64::NAN,
    /// Its time, in milliseconds.
    gets_ms_mean: f64 = f64::NAN,
    /// Its 99th percentile.
    gets_ms_p99: f64 = f64::NAN,
    /// Discovery depth of who gave it.
    gets_hops_mean: f64 = f64::NAN,
    /// Most nodes of one rack that held the same value when the first get began.
    rack_replicas_most: u64 = 0,
    /// Racks.
    racks: u64 = 0,
    /// Replicas of a value that a rack is given at most.
    replicas_max: u64 = 0,
    /// Honest nodes that run at the end.
    nodes_live: u64 = 0,
    /// Nodes that died during the run.
    deaths: u64 = 0,
    /// Datagrams sent, by whomever.
    datagrams: u64 = 0,
    /// Datagrams sent until the network stood, replies and probes included, per node.
    datagrams_per_join: f64 = f64::NAN,
    /// Bytes of UDP payload sent by honest nodes, per node.
    bytes_sent_per_node: f64 = f64::NAN,
    /// Datagrams sent, by whomever, per node and hour since the network stood.
    datagrams_per_node_hour: f64 = f64::NAN,
    /// Bytes of UDP payload that honest nodes sent, per node and hour since then.
    bytes_per_node_hour: f64 = f64::NAN,
    /// Nodes with wide tables.
    wide: u64 = 0,
    /// Share of the live nodes that stand, as good ones, in a wide table at the end.
    wide_known: f64 = f64::NAN,
    /// Share of the good contacts of a wide table that are dead at the end.
    wide_dead: f64 = f64::NAN,
    /// Datagrams that a node with a wide table sent and got, in an hour and for each live node.
    wide_datagrams_per_contact_hour: f64 = f64::NAN,
    /// Their bytes of UDP payload.
    wide_bytes_per_contact_hour: f64 = f64::NAN,
    /// Most members of one table that share a /24.
    per_subnet_in_table: u64 = 0,
    /// Share of adversaries among the good members of tables, those told to others.
    adversaries_in_tables: f64 = f64::NAN,
    /// Share of honest nodes among the good members of the adversaries' one target.
    target_honest: f64 = f64::NAN,
    /// Live honest nodes that lost their place in a table since the adversaries began.
    live_evicted: u64 = 0,
    /// Datagrams that honest nodes sent to the victim.
    victim_datagrams: u64 = 0,
    /// Most that one honest node sent to the victim, in bytes per byte it got in its name.
    amplification: f64 = 0.0,
    /// Most that one datagram in the victim's name drew at once, in bytes per byte of it.
    amplification_once: f64 = 0.0,
    /// Requests of honest nodes to hosts that adversaries invented.
    invented_asked: u64 = 0,
    /// Replies of honest nodes to what was a reply itself.
    replies_to_replies: u64 = 0,
    /// Requests of adversaries that had to be refused.
    forbidden_sent: u64 = 0,
    /// Of them those that were not.
    forbidden_served: u64 = 0,
    /// Share of the requests of adversaries that was served as anybody's must be.
    fair_served: f64 = f64::NAN,
    /// Requests of one host that asks too much that were served, a second of its asking.
    greedy_per_s: f64 = f64::NAN,
    /// Most wrong signatures that one node verified, a second of the flood.
    signatures_per_s: f64 = f64::NAN,
    /// Datagrams dropped for their MAC or its time.
    macs_refused: u64 = 0,
    /// Values refused for an older sequence than the one held.
    sequences_refused: u64 = 0,
    /// Most keys that share one slot in the hash table of the adversaries' one target.
    slot_keys_max: u64 = 0,
    /// Most bytes of values held by one node.
    store_bytes_max: u64 = 0,
    /// Replies that no honest node had asked for.
    replies_unmatched: u64 = 0,
    /// Most lookups and commands under way in one node at once.
    operations_max: u64 = 0,
    /// Largest share of its good contacts that a node lost in an outage of its own.
    outage_lost: f64 = f64::NAN,
    /// Simulated seconds, the building of the network included.
    simulated_s: f64 = f64::NAN,
    /// Things that happened: arrivals, timers and tasks.
    events: u64 = 0,
    /// Of them those since the network stood, a second of the processor's time.
    events_per_s: f64 = f64::NAN,
    /// Processor time of the run, in seconds.
    cpu_s: f64 = f64::NAN,
}

/// The mean of some numbers; not a number of none.
pub(crate) fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u64);
    for number in numbers {
        sum += number;
        count += 1;
    }
    sum / count as f64
}

/// The `share` quantile of some numbers, by rank; not a number of none.
pub(crate) fn quantile(mut numbers: Vec<f64>, share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().saturating_sub(1);
    let rank = (share * numbers.len() as f64).ceil();
    let at = usize::try_from(crate::random::whole(rank)).unwrap_or(last);
    numbers.get(at.saturating_sub(1).min(last)).copied().unwrap_or(f64::NAN)
}

/// One lookup of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// When it began, in seconds after the network stood.
    pub at_s: f64,
    /// Who looked.
    pub origin: String,
    /// For what.
    pub target: String,
    /// Whether it ended.
    pub is_done: bool,
    /// Discovery depth of the closest node that answered.
    pub hops: u8,
    /// Requests sent.
    pub messages: u32,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
    /// Whether the closest live node answered.
    pub closest_found: bool,
    /// Share of the true k closest among the k found.
    pub overlap_k: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_rank() {
        let numbers: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((quantile(numbers.clone(), 0.99) - 99.0).abs() < 1e-9);
        assert!((quantile(numbers, 0.5) - 50.0).abs() < 1e-9);
        assert!(quantile(Vec::new(), 0.5).is_nan());
    }
}
