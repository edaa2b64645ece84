//! The settings there are: numbers with their ranges, flags, and the names of the others.

use std::fmt;

use kdht_core::Config;

/// A setting that is a number.
pub struct Key {
    /// Its name in the file; in the environment `KDHT_` and the name in capitals, `_` for
    /// the dot.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// The least that makes sense.
    pub min: u64,
    /// The most that makes sense.
    pub max: u64,
    /// Why one would change it.
    pub why: &'static str,
    read: fn(&Config) -> u64,
    pub(super) write: fn(&mut Config, u64),
}

/// Lists the numeric settings: each writes a field that holds its whole range.
macro_rules! keys {
    ($($name:literal, $unit:literal, $min:expr, $max:expr, $($field:ident).+, $why:literal;)*) => {
        &[$(Key {
            name: $name,
            unit: $unit,
            min: $min,
            max: $max,
            why: $why,
            read: |config| u64::from(config.$($field).+),
            write: |config, value| {
                config.$($field).+ = value.try_into().unwrap_or(config.$($field).+);
            },
        }),*]
    };
}

/// Every numeric setting.
pub const KEYS: &[Key] = keys![
    "node.k", "contacts", 1, 20, k,
        "replicas of a value and size of a bucket; the whole network's";
    "node.alpha", "requests", 1, 20, alpha,
        "more make lookups faster and costlier";
    "node.b", "bits", 1, 5, b,
        "more make lookups shorter and tables larger: (2^b - 1)/b times";
    "caps.bucket", "contacts", 1, 2_048, bucket_group_max,
        "share of one IP group (/24, /64) in a bucket; 28 and more: no cap";
    "caps.table", "contacts", 1, 2_048, table_group_max,
        "share of one IP group (/24, /64) in a table; 2048: no cap";
    "node.contacts_max", "contacts", 20, 2_048, contacts_max,
        "memory of a table, 68 bytes each";
    "node.pending_max", "requests", 16, 65_535, pending_max,
        "own requests in flight";
    "node.operations_max", "operations", 4, 16_384, operations_max,
        "lookups and puts at once";
    "node.recursions_max", "lookups", 0, 16_384, recursions_max,
        "lookups for others at once";
    "intervals.refresh_s", "s", 0, 604_800, refresh_s,
        "a range without a lookup for so long is looked up; 0: never";
    "intervals.republish_s", "s", 0, 86_400, republish_s,
        "a value not stored anew for so long is stored at the k closest; 0: never";
    "node.republishes_max", "values", 1, 64, republishes_max,
        "values republished at once";
    "node.handovers_max", "values", 0, 64, handovers_max,
        "values handed to newcomers at once; 0: none ever";
    "node.zone_replicas_max", "replicas", 1, 20, zones.replicas_max,
        "share of one zone in a value's k; less than k, and k or more in all zones together";
    "lookup.paths", "paths", 1, 8, paths,
        "disjoint paths: eight ask half as many nodes again as one, and outlive liars on seven";
    "lookup.frequent_max", "lookups", 0, 255, frequent_max,
        "ends of lookups remembered, 820 bytes each; a repeated one begins there";
    "lookup.frequent_s", "s", 0, 3_600, frequent_s,
        "how long the end of a lookup is remembered";
    "node.signatures_per_s", "1/s", 0, 1_000_000, signatures_per_s,
        "50 µs of CPU each";
    "timeouts.slow_ms_min", "ms", 1, 10_000, timeouts.slow_ms_min,
        "least time before a peer is set aside";
    "timeouts.slow_ms_max", "ms", 1, 60_000, timeouts.slow_ms_max,
        "most time before a peer is set aside";
    "timeouts.slow_ms_initial", "ms", 1, 60_000, timeouts.slow_ms_initial,
        "before anything was measured";
    "timeouts.fail_factor", "times", 1, 100, timeouts.fail_factor,
        "slow times this is failed";
    "timeouts.fail_ms_min", "ms", 1, 60_000, timeouts.fail_ms_min,
        "least time before a request has failed";
    "timeouts.fail_ms_max", "ms", 1, 60_000, timeouts.fail_ms_max,
        "most time before a request has failed";
    "throttle.slots", "sources", 0, 16_777_216, throttle.slots,
        "sources remembered, 16 bytes each; 0: no throttle";
    "throttle.rate_per_s", "units/s", 1, 1_000_000_000, throttle.rate_per_s,
        "what one source may ask; a request is 1, a STORE 2, signed 16, recursive 32";
    "throttle.burst", "units", 1, 1_000_000_000, throttle.burst,
        "what one source may save up";
    "store.bytes_max", "bytes", 0, 1 << 46, store.bytes_max,
        "memory for values";
    "store.values_max", "values", 0, 1 << 30, store.values_max,
        "memory for their indexes, 352 bytes each";
    "store.key_values_max", "values", 0, 65_535, store.key_values_max,
        "values under one key";
    "store.key_bytes_max", "bytes", 0, 1 << 40, store.key_bytes_max,
        "bytes under one key";
    "store.source_bytes_max", "bytes", 0, 1 << 46, store.source_bytes_max,
        "bytes from one source";
    "store.value_len_max", "bytes", 0, 1_048_576, store.value_len_max,
        "longest value held; over 1000 bytes they come by TCP";
    "store.lifetime_s_max", "s", 1, 86_400, store.lifetime_s_max,
        "longest time that a value is held";
];

/// A setting that is true or false.
pub struct Flag {
    /// Its name in the file.
    pub name: &'static str,
    /// Why one would change it.
    pub why: &'static str,
    read: fn(&Config) -> bool,
    pub(super) write: fn(&mut Config, bool),
}

/// Every setting that is true or false.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: ACCEPT_PLAIN,
        why: "store values that nothing proves; true in a keyed network",
        read: |config| config.accept_plain,
        write: |config, value| config.accept_plain = value,
    },
    Flag {
        name: "node.forward",
        why: "let gets travel from node to node in a keyed network: fewer round trips",
        read: |config| config.forward,
        write: |config, value| config.forward = value,
    },
    Flag {
        name: "caps.private",
        why: "count private addresses for their IP group in a keyed network, too",
        read: |config| config.caps_private,
        write: |config, value| config.caps_private = value,
    },
];

/// The flag whose default depends on another setting.
pub(super) const ACCEPT_PLAIN: &str = "node.accept_plain";

/// Settings of the process, read by their own rules.
pub(super) const TEXTS: &[&str] = &[
    "listen",
    "advertise",
    "bootstrap",
    "state",
    "network_key",
    "cores",
    "shards",
    "steering",
    "table",
    "datapath",
    "segment",
    "poll",
    "routing",
    "json_debug",
    "record",
    "record_max",
    "log",
    "drain_s",
    "zones",
];

/// The names of all settings.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let flags = FLAGS.iter().map(|flag| flag.name);
    TEXTS.iter().copied().chain(flags).chain(KEYS.iter().map(|key| key.name))
}

impl Key {
    /// What it is in `config`.
    #[must_use]
    pub fn value(&self, config: &Config) -> u64 {
        (self.read)(config)
    }
}

impl Flag {
    /// What it is in `config`.
    #[must_use]
    pub fn value(&self, config: &Config) -> bool {
        (self.read)(config)
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flag({})", self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}
