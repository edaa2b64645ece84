//! What an operator sets: a TOML file, then the environment, then flags; later ones win.

mod live;
mod shown;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use kdht_core::{Config, Families, Limits, TableKind};
use kdht_store::VALUE_OVERHEAD;
use kdht_wire::Endpoint;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use live::{Changes, InEffect, LIVE};
pub use shown::Shown;

use crate::io::{Cpus, DatapathChoice};
use crate::network_key;
use crate::pace::PollPolicy;
use crate::record::{RECORD_LEN_MAX_DEFAULT, RecordOptions};

/// Longest time that a node may be given to hand over its values when it is told to stop,
/// in seconds.
pub const DRAIN_S_MAX: u32 = 3_600;

/// Fewest bytes that a recording may be limited to.
pub const RECORD_LEN_MIN: u64 = 4_096;

/// Everything that `kdht run` is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses to answer on, at most one per family.
    pub listen: Vec<SocketAddr>,
    /// The node's own addresses, at most one per family, where they are not to be learned
    /// from what others see.
    pub advertise: Vec<SocketAddr>,
    /// `HOST:PORT` of nodes to enter the network through.
    pub bootstrap: Vec<String>,
    /// Where identity and contacts are kept; nothing: nowhere.
    pub state: Option<PathBuf>,
    /// The network key file; nothing: an open network.
    pub network_key: Option<PathBuf>,
    /// CPUs to pin the node's threads to; none: the one that it starts on.
    pub cores: Cpus,
    /// Shards, 1 to 255; nothing: one for each CPU.
    pub shards: Option<u8>,
    /// Whether the kernel hands each datagram to the shard that it is for; otherwise the
    /// shards do, for the same effect at a higher cost.
    pub is_steered: bool,
    /// What datagrams are moved with.
    pub datapath: DatapathChoice,
    /// How the node's thread waits for datagrams.
    pub poll: PollPolicy,
    /// Whether requests in JSON are served, too (FORMAT.md §12).
    pub json_debug: bool,
    /// File that all that goes into the node is recorded to; nothing: none.
    pub record: Option<PathBuf>,
    /// Bytes that it has at most, [`RECORD_LEN_MIN`] or more.
    pub record_max: u64,
    /// What is logged: a level, or levels by module (`info,kdht=debug`).
    pub log: String,
    /// Seconds that the node has to hand over its values when it is told to stop, 0 to
    /// [`DRAIN_S_MAX`]; 0: it stops at once.
    pub drain_s: u32,
    /// What the node itself is made with.
    pub node: Config,
    plain_was_set: bool,
    listen_was_set: bool,
    /// Who set what last.
    sources: BTreeMap<String, Source>,
}

/// A setting that is a number, or `true` and `false` as 1 and 0.
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
    write: fn(&mut Config, u64),
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
    "node.k", "contacts", 1, 20, k, "replicas of a value and size of a bucket; the whole network's";
    "node.alpha", "requests", 1, 20, alpha, "more make lookups faster and costlier";
    "node.b", "bits", 1, 5, b, "more make lookups shorter and tables larger: (2^b - 1)/b times";
    "caps.bucket", "contacts", 1, 2_048, bucket_group_max, "share of one IP group (/24, /64) in a bucket; 28 and more: no cap";
    "caps.table", "contacts", 1, 2_048, table_group_max, "share of one IP group (/24, /64) in a table; 2048: no cap";
    "node.contacts_max", "contacts", 20, 2_048, contacts_max, "memory of a table, 68 bytes each";
    "node.pending_max", "requests", 16, 65_535, pending_max, "own requests in flight";
    "node.operations_max", "operations", 4, 16_384, operations_max, "lookups and puts at once";
    "node.recursions_max", "lookups", 0, 16_384, recursions_max, "lookups for others at once";
    "intervals.refresh_s", "s", 0, 604_800, refresh_s, "a range without a lookup for so long is looked up; 0: never";
    "intervals.republish_s", "s", 0, 86_400, republish_s, "a value not stored anew for so long is stored at the k closest; 0: never";
    "node.republishes_max", "values", 1, 64, republishes_max, "values republished at once";
    "node.handovers_max", "values", 0, 64, handovers_max, "values handed to newcomers at once; 0: none ever";
    "lookup.paths", "paths", 1, 8, paths, "disjoint paths; each more costs as much as a lookup and outlives a liar on the others";
    "lookup.frequent_max", "lookups", 0, 255, frequent_max, "ends of lookups remembered, 820 bytes each; a repeated one begins there";
    "lookup.frequent_s", "s", 0, 3_600, frequent_s, "how long the end of a lookup is remembered";
    "node.signatures_per_s", "1/s", 0, 1_000_000, signatures_per_s, "50 µs of CPU each";
    "timeouts.slow_ms_min", "ms", 1, 10_000, timeouts.slow_ms_min, "least time before a peer is set aside";
    "timeouts.slow_ms_max", "ms", 1, 60_000, timeouts.slow_ms_max, "most time before a peer is set aside";
    "timeouts.slow_ms_initial", "ms", 1, 60_000, timeouts.slow_ms_initial, "before anything was measured";
    "timeouts.fail_factor", "times", 1, 100, timeouts.fail_factor, "slow times this is failed";
    "timeouts.fail_ms_min", "ms", 1, 60_000, timeouts.fail_ms_min, "least time before a request has failed";
    "timeouts.fail_ms_max", "ms", 1, 60_000, timeouts.fail_ms_max, "most time before a request has failed";
    "throttle.slots", "sources", 0, 16_777_216, throttle.slots, "sources remembered, 16 bytes each; 0: no throttle";
    "throttle.rate_per_s", "units/s", 1, 1_000_000_000, throttle.rate_per_s, "what one source may ask; a request is 1, a STORE 2, signed 16, recursive 32";
    "throttle.burst", "units", 1, 1_000_000_000, throttle.burst, "what one source may save up";
    "store.bytes_max", "bytes", 0, 1 << 46, store.bytes_max, "memory for values";
    "store.values_max", "values", 0, 1 << 30, store.values_max, "memory for their indexes, 352 bytes each";
    "store.key_values_max", "values", 0, 65_535, store.key_values_max, "values under one key";
    "store.key_bytes_max", "bytes", 0, 1 << 40, store.key_bytes_max, "bytes under one key";
    "store.source_bytes_max", "bytes", 0, 1 << 46, store.source_bytes_max, "bytes from one source";
    "store.value_len_max", "bytes", 0, 1_048_576, store.value_len_max, "longest value held; over 1000 bytes they come by TCP";
    "store.lifetime_s_max", "s", 1, 86_400, store.lifetime_s_max, "longest time that a value is held";
];

/// A setting that is true or false.
pub struct Flag {
    /// Its name in the file.
    pub name: &'static str,
    /// Why one would change it.
    pub why: &'static str,
    read: fn(&Config) -> bool,
    write: fn(&mut Config, bool),
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
        name: "caps.private",
        why: "count private addresses for their IP group in a keyed network, too",
        read: |config| config.caps_private,
        write: |config, value| config.caps_private = value,
    },
];

/// The flag whose default depends on another setting.
const ACCEPT_PLAIN: &str = "node.accept_plain";

/// What is wrong with the settings.
#[derive(Debug)]
pub enum SettingsError {
    /// The file cannot be read, or is not TOML.
    File {
        /// Which file.
        path: PathBuf,
        /// What the reader said.
        why: String,
    },
    /// No setting has this name.
    Unknown {
        /// The name.
        key: String,
        /// Where it was set.
        source: Source,
    },
    /// The value does not fit its setting.
    Value {
        /// The setting.
        key: String,
        /// Where it was set.
        source: Source,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The network key file cannot be used.
    NetworkKey(network_key::NetworkKeyError),
    /// The longest value that is to be held does not fit into what may be held.
    NoRoom {
        /// The setting that is too small.
        key: &'static str,
        /// What it is, in bytes.
        bytes: u64,
        /// What one value of `store.value_len_max` takes of it, in bytes.
        need: u64,
    },
    /// Other addresses to listen on than those of the sockets that were handed over.
    Inherited {
        /// What `listen` says.
        listen: Vec<SocketAddr>,
        /// Where the sockets are bound.
        inherited: Vec<SocketAddr>,
    },
    /// An own address of a family that is not listened on.
    Advertise {
        /// The address.
        addr: SocketAddr,
    },
    /// A bootstrap host has no address.
    Bootstrap {
        /// The host, as given.
        host: String,
        /// What the resolver said.
        why: String,
    },
}

/// Where a setting comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The configuration file.
    File(PathBuf),
    /// The environment.
    Environment,
    /// A flag.
    Flag,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 4_000))],
            advertise: Vec::new(),
            bootstrap: Vec::new(),
            state: None,
            network_key: None,
            cores: Cpus::default(),
            shards: None,
            is_steered: true,
            datapath: DatapathChoice::Auto,
            poll: PollPolicy::Adaptive,
            json_debug: false,
            record: None,
            record_max: RECORD_LEN_MAX_DEFAULT,
            log: "info".to_owned(),
            drain_s: 10,
            node: Config::default(),
            plain_was_set: false,
            listen_was_set: false,
            sources: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Shards of the node.
    #[must_use]
    pub fn shards(&self) -> u8 {
        // The list of CPUs is no longer than that.
        let cores = u8::try_from(self.cores.as_slice().len()).unwrap_or(u8::MAX);
        self.shards.unwrap_or(cores.max(1))
    }

    /// Applies a TOML file.
    ///
    /// # Errors
    /// [`SettingsError`] names the file and the key.
    pub fn apply_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let fail = |why: String| SettingsError::File { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| fail(e.to_string()))?;
        self.apply_table(&table, "", &Source::File(path.to_owned()))
    }

    fn apply_table(
        &mut self,
        table: &toml::Table,
        prefix: &str,
        source: &Source,
    ) -> Result<(), SettingsError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(inner) if prefix.is_empty() => {
                    self.apply_table(inner, &format!("{key}."), source)?;
                }
                toml::Value::Array(items) => {
                    let text = |item: &toml::Value| match item {
                        toml::Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    self.set_list(&key, items.iter().map(text).collect(), source)?;
                    self.sources.insert(key, source.clone());
                }
                toml::Value::String(text) => self.set(&key, text, source)?,
                other => self.set(&key, &other.to_string(), source)?,
            }
        }
        Ok(())
    }

    /// Applies variables whose names begin with `KDHT_`; `KDHT_CONFIG` and
    /// `KDHT_PUBLISHER_KEY` are read elsewhere. Lists are separated by commas.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable.
    pub fn apply_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        let source = Source::Environment;
        for (name, value) in variables {
            let Some(short) = name.strip_prefix("KDHT_") else { continue };
            if matches!(short, "CONFIG" | "PUBLISHER_KEY") {
                continue;
            }
            let lower = short.to_lowercase();
            let mut keys =
                KEYS.iter().map(|key| key.name).chain(FLAGS.iter().map(|flag| flag.name));
            let dotted = keys.find(|key| key.replace('.', "_") == lower);
            match dotted {
                Some(key) => self.set(key, &value, &source)?,
                None if TEXTS.contains(&lower.as_str()) => self.set(&lower, &value, &source)?,
                None => return Err(SettingsError::Unknown { key: name, source }),
            }
        }
        Ok(())
    }

    /// Sets one setting from text; lists are separated by commas.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and what it must be.
    pub fn set(&mut self, key: &str, text: &str, source: &Source) -> Result<(), SettingsError> {
        self.assign(key, text, source)?;
        self.sources.insert(key.to_owned(), source.clone());
        Ok(())
    }

    fn assign(&mut self, key: &str, text: &str, source: &Source) -> Result<(), SettingsError> {
        let wrong = |wanted: String| SettingsError::Value {
            key: key.to_owned(),
            source: source.clone(),
            wanted,
            found: text.to_owned(),
        };
        match key {
            "listen" | "advertise" | "bootstrap" => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                self.set_list(key, items.filter(|item| !item.is_empty()).collect(), source)
            }
            "state" => {
                self.state = Some(text.into());
                Ok(())
            }
            "network_key" => {
                self.network_key = Some(text.into());
                Ok(())
            }
            "cores" => {
                let cores: Cpus = text
                    .parse()
                    .map_err(|_| wrong("1 to 255 numbers of CPUs, such as 0-3,8".to_owned()))?;
                self.cores = cores;
                Ok(())
            }
            "shards" => {
                let shards = text.parse().ok().filter(|shards| *shards > 0);
                self.shards = Some(shards.ok_or_else(|| wrong("1 to 255 shards".to_owned()))?);
                Ok(())
            }
            "table" => {
                let wanted = || wrong(format!("kbucket, or wide:N with N from 1 to {WIDE_MAX}"));
                self.node.table = table_of(text).ok_or_else(wanted)?;
                Ok(())
            }
            "steering" => {
                self.is_steered = text.parse().map_err(|_| wrong("true or false".to_owned()))?;
                Ok(())
            }
            "datapath" => {
                self.datapath =
                    text.parse().map_err(|_| wrong("auto, uring or mmsg".to_owned()))?;
                Ok(())
            }
            "poll" => {
                let policies = "busy, adaptive or sleep";
                self.poll = text.parse().map_err(|_| wrong(policies.to_owned()))?;
                Ok(())
            }
            "json_debug" => {
                self.json_debug = text.parse().map_err(|_| wrong("true or false".to_owned()))?;
                Ok(())
            }
            "record" => {
                self.record = Some(text.into());
                Ok(())
            }
            "record_max" => {
                let bytes = text.parse().ok().filter(|bytes| *bytes >= RECORD_LEN_MIN);
                let wanted = || format!("{RECORD_LEN_MIN} bytes or more");
                self.record_max = bytes.ok_or_else(|| wrong(wanted()))?;
                Ok(())
            }
            "log" => {
                let levels = "off, error, warn, info, debug, trace, or such as info,kdht=debug";
                log_filter(text).ok_or_else(|| wrong(levels.to_owned()))?;
                self.log = text.to_owned();
                Ok(())
            }
            "drain_s" => {
                let seconds = text.parse().ok().filter(|seconds| *seconds <= DRAIN_S_MAX);
                self.drain_s = seconds.ok_or_else(|| wrong(format!("0 to {DRAIN_S_MAX} s")))?;
                Ok(())
            }
            _ => {
                if let Some(flag) = FLAGS.iter().find(|flag| flag.name == key) {
                    let value = text.parse().map_err(|_| wrong("true or false".to_owned()))?;
                    (flag.write)(&mut self.node, value);
                    self.plain_was_set |= key == ACCEPT_PLAIN;
                    return Ok(());
                }
                let Some(known) = KEYS.iter().find(|known| known.name == key) else {
                    let (key, source) = (key.to_owned(), source.clone());
                    return Err(SettingsError::Unknown { key, source });
                };
                let value = text.parse().ok().filter(|v| (known.min..=known.max).contains(v));
                let range = || format!("{} to {} {}", known.min, known.max, known.unit);
                (known.write)(&mut self.node, value.ok_or_else(|| wrong(range()))?);
                Ok(())
            }
        }
    }

    fn set_list(
        &mut self,
        key: &str,
        items: Vec<String>,
        source: &Source,
    ) -> Result<(), SettingsError> {
        match key {
            "listen" => {
                self.listen = addresses(key, &items, source)?;
                self.listen_was_set = true;
                if self.listen.is_empty() {
                    let wanted = "one or two addresses, one of each family at most".to_owned();
                    let (key, source) = (key.to_owned(), source.clone());
                    let found = String::new();
                    return Err(SettingsError::Value { key, source, wanted, found });
                }
                Ok(())
            }
            "advertise" => {
                self.advertise = addresses(key, &items, source)?;
                let unfit = |addr: &&SocketAddr| !Endpoint::from(**addr).is_reachable();
                if let Some(unfit) = self.advertise.iter().find(unfit) {
                    let wanted = "an address and a port that others can send to".to_owned();
                    let (key, source) = (key.to_owned(), source.clone());
                    let found = unfit.to_string();
                    return Err(SettingsError::Value { key, source, wanted, found });
                }
                Ok(())
            }
            "bootstrap" => {
                self.bootstrap = items;
                Ok(())
            }
            _ if KEYS.iter().any(|known| known.name == key) || TEXTS.contains(&key) => {
                Err(SettingsError::Value {
                    key: key.to_owned(),
                    source: source.clone(),
                    wanted: "one value".to_owned(),
                    found: "a list".to_owned(),
                })
            }
            _ => Err(SettingsError::Unknown { key: key.to_owned(), source: source.clone() }),
        }
    }

    /// The bootstrap hosts' addresses of the families that are listened on.
    ///
    /// # Errors
    /// [`SettingsError::Bootstrap`] names the host that has none.
    pub fn resolve_bootstrap(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        let families = self.families();
        let mut found = Vec::new();
        for host in &self.bootstrap {
            let fail = |why: String| SettingsError::Bootstrap { host: host.clone(), why };
            let addrs = host.to_socket_addrs().map_err(|error| fail(error.to_string()))?;
            let usable = addrs.filter(|a| if a.is_ipv4() { families.v4 } else { families.v6 });
            let before = found.len();
            found.extend(usable);
            if found.len() == before {
                return Err(fail("no address of a family that is listened on".to_owned()));
            }
        }
        Ok(found)
    }

    /// Listens on the `addrs` of sockets that a service manager opened, if there are any.
    ///
    /// # Errors
    /// [`SettingsError::Inherited`] if `listen` says something else.
    pub fn inherit(&mut self, addrs: &[SocketAddr]) -> Result<(), SettingsError> {
        let is_same =
            self.listen.len() == addrs.len() && self.listen.iter().all(|addr| addrs.contains(addr));
        if addrs.is_empty() || is_same {
            return Ok(());
        }
        if self.listen_was_set {
            let (listen, inherited) = (self.listen.clone(), addrs.to_vec());
            return Err(SettingsError::Inherited { listen, inherited });
        }
        self.listen = addrs.to_vec();
        Ok(())
    }

    /// Where the node is recorded, if it is.
    #[must_use]
    pub fn record_options(&self) -> Option<RecordOptions> {
        let path = self.record.clone()?;
        Some(RecordOptions { path, len_max: self.record_max })
    }

    /// The address families that are listened on.
    #[must_use]
    pub fn families(&self) -> Families {
        Families {
            v4: self.listen.iter().any(SocketAddr::is_ipv4),
            v6: self.listen.iter().any(SocketAddr::is_ipv6),
        }
    }

    /// What the node is made with, with the network key read.
    ///
    /// # Errors
    /// [`SettingsError::NetworkKey`], [`SettingsError::NoRoom`], [`SettingsError::Advertise`].
    pub fn node_config(&self) -> Result<Config, SettingsError> {
        let mut config = self.node.clone();
        config.families = self.families();
        for addr in &self.advertise {
            let own = Endpoint::from(*addr);
            let is_listened_on = if own.is_v4() { config.families.v4 } else { config.families.v6 };
            if !is_listened_on {
                return Err(SettingsError::Advertise { addr: *addr });
            }
            config.advertise[usize::from(!own.is_v4())] = Some(own);
        }
        config.shards = self.shards();
        if let Some(path) = &self.network_key {
            config.keys = network_key::load(path).map_err(SettingsError::NetworkKey)?;
            // The members of a keyed network trust each other, unless told otherwise.
            config.accept_plain |= !self.plain_was_set;
        }
        check_room(&config.store)?;
        Ok(config)
    }
}

/// Addresses in a list, at most one of each family.
fn addresses(
    key: &str,
    items: &[String],
    source: &Source,
) -> Result<Vec<SocketAddr>, SettingsError> {
    let wrong = |found: &str, wanted: &str| SettingsError::Value {
        key: key.to_owned(),
        source: source.clone(),
        wanted: wanted.to_owned(),
        found: found.to_owned(),
    };
    let mut found: Vec<SocketAddr> = Vec::new();
    for item in items {
        found.push(item.parse().map_err(|_| wrong(item, "IP:PORT or [IPv6]:PORT"))?);
    }
    let v4 = found.iter().filter(|addr| addr.is_ipv4()).count();
    if v4 > 1 || found.len() - v4 > 1 {
        return Err(wrong(&items.join(", "), "one or two addresses, one of each family at most"));
    }
    Ok(found)
}

/// Most contacts of a wide table: 1 GiB of them.
pub(crate) const WIDE_MAX: u32 = 16_000_000;

fn table_of(text: &str) -> Option<TableKind> {
    if text == "kbucket" {
        return Some(TableKind::KBucket);
    }
    let contacts = text.strip_prefix("wide:")?.parse().ok()?;
    (1..=WIDE_MAX).contains(&contacts).then_some(TableKind::Wide(contacts))
}

/// Sees that one value of the longest kind fits; zero means that nothing is to be held at all.
fn check_room(limits: &Limits) -> Result<(), SettingsError> {
    let len = u64::from(limits.value_len_max);
    let cost = len + VALUE_OVERHEAD;
    for (key, bytes, need) in [
        ("store.key_bytes_max", limits.key_bytes_max, len),
        ("store.source_bytes_max", limits.source_bytes_max, cost),
        ("store.bytes_max", limits.bytes_max, cost),
    ] {
        if bytes > 0 && bytes < need {
            return Err(SettingsError::NoRoom { key, bytes, need });
        }
    }
    Ok(())
}

/// Settings that are no numbers.
const TEXTS: &[&str] = &[
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
    "poll",
    "json_debug",
    "record",
    "record_max",
    "log",
    "drain_s",
];

/// What is logged by `text`: a level, or levels by module, with commas between them.
/// Nothing if it is neither; a lone word must be a level, so that a slip of the pen does
/// not silence the log.
#[must_use]
pub fn log_filter(text: &str) -> Option<EnvFilter> {
    let is_level = |word: &str| word.contains('=') || word.parse::<LevelFilter>().is_ok();
    let words_fit = !text.is_empty() && text.split(',').all(|word| is_level(word.trim()));
    if words_fit { EnvFilter::try_new(text).ok() } else { None }
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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment => write!(f, "in the environment"),
            Self::Flag => write!(f, "in a flag"),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Unknown { key, source } => {
                write!(f, "`{key}`, set {source}, is not a setting; the settings are ")?;
                let names = TEXTS.iter().copied().chain(FLAGS.iter().map(|flag| flag.name));
                let names: Vec<_> = names.chain(KEYS.iter().map(|key| key.name)).collect();
                f.write_str(&names.join(", "))
            }
            Self::Value { key, source, wanted, found } => {
                write!(f, "`{key}`, set {source}, must be {wanted}; it is `{found}`")
            }
            Self::NetworkKey(error) => error.fmt(f),
            Self::NoRoom { key, bytes, need } => write!(
                f,
                "`{key}` is {bytes}, but one value of `store.value_len_max` takes {need} bytes: \
                 raise the former or lower the latter"
            ),
            Self::Inherited { listen, inherited } => {
                let text = |addrs: &[SocketAddr]| {
                    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
                };
                let (listen, inherited) = (text(listen), text(inherited));
                write!(f, "`listen` is {listen}, but the service manager's sockets are bound ")?;
                write!(f, "to {inherited}; leave `listen` out, or make both the same")
            }
            Self::Advertise { addr } => {
                write!(f, "`advertise` {addr}: no address of its family is listened on; ")?;
                f.write_str("add one to `listen`, or leave it out")
            }
            Self::Bootstrap { host, why } => write!(f, "bootstrap `{host}`: {why}"),
        }
    }
}

impl Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        let table: toml::Table = text.parse().unwrap();
        settings.apply_table(&table, "", &Source::File("test.toml".into()))?;
        Ok(settings)
    }

    #[test]
    fn each_default_lies_within_its_range_and_each_bound_can_be_set() {
        for key in KEYS {
            let mut settings = Settings::default();
            let default = key.value(&settings.node);
            assert!((key.min..=key.max).contains(&default), "{}", key.name);
            for bound in [key.min, key.max] {
                settings.set(key.name, &bound.to_string(), &Source::Flag).unwrap();
                assert_eq!(key.value(&settings.node), bound, "{}", key.name);
            }
            let above = (key.max + 1).to_string();
            let error = settings.set(key.name, &above, &Source::Flag).unwrap_err();
            assert!(error.to_string().contains(key.name));
        }
    }

    #[test]
    fn later_sources_win_over_earlier_ones() {
        let mut settings = from_toml("listen = ['127.0.0.1:5000']\n[node]\nk = 8").unwrap();
        assert_eq!(settings.node.k, 8);
        let variables = [("KDHT_NODE_K", "9"), ("KDHT_LISTEN", "127.0.0.1:1,[::1]:1")];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        settings.apply_environment(variables.into_iter()).unwrap();
        assert_eq!(settings.node.k, 9);
        assert_eq!(settings.families(), Families { v4: true, v6: true });
        settings.set("node.k", "10", &Source::Flag).unwrap();
        assert_eq!(settings.node.k, 10);
    }

    #[test]
    fn a_longest_value_that_does_not_fit_is_named_with_what_is_too_small() {
        for (text, key) in [
            ("key_bytes_max = 1048575", "store.key_bytes_max"),
            ("source_bytes_max = 1048576", "store.source_bytes_max"),
            ("bytes_max = 1000000", "store.bytes_max"),
        ] {
            let settings = from_toml(&format!("[store]\n{text}")).unwrap();
            let error = settings.node_config().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("store.value_len_max"), "{error}");
            let lower = format!("[store]\n{text}\nvalue_len_max = 1000");
            assert!(from_toml(&lower).unwrap().node_config().is_ok(), "{text}");
        }
        for text in ["key_bytes_max = 1048576", "bytes_max = 0"] {
            assert!(from_toml(&format!("[store]\n{text}")).unwrap().node_config().is_ok());
        }
    }

    #[test]
    fn an_own_address_needs_a_socket_of_its_family() {
        let settings = from_toml("advertise = ['192.0.2.1:4000']").unwrap();
        let own = Some(Endpoint::from(settings.advertise[0]));
        assert_eq!(settings.node_config().unwrap().advertise, [own, None]);
        let settings = from_toml("advertise = ['[2001:db8::1]:4000']").unwrap();
        let error = settings.node_config().unwrap_err().to_string();
        assert!(error.contains("[2001:db8::1]:4000") && error.contains("listen"), "{error}");
    }

    #[test]
    fn unknown_and_unfit_settings_are_named() {
        for (text, parts) in [
            ("colour = 1", ["colour", "test.toml"]),
            ("[node]\nbeta = 1", ["node.beta", "test.toml"]),
            ("[node]\nk = 21", ["node.k", "1 to 20"]),
            ("[node]\nk = -1", ["node.k", "1 to 20"]),
            ("[node]\nk = [1]", ["node.k", "a list"]),
            ("[node]\naccept_plain = 7", ["node.accept_plain", "true or false"]),
            ("listen = ['nowhere']", ["listen", "nowhere"]),
            ("listen = ['127.0.0.1:1', '127.0.0.2:1']", ["listen", "one of each"]),
            ("listen = []", ["listen", "one or two"]),
            ("advertise = ['192.0.2.1']", ["advertise", "IP:PORT"]),
            ("advertise = ['0.0.0.0:4000']", ["advertise", "can send to"]),
            ("advertise = ['192.0.2.1:0']", ["advertise", "192.0.2.1:0"]),
            ("advertise = ['192.0.2.1:1', '192.0.2.2:1']", ["advertise", "one of each"]),
            ("datapath = 'rdma'", ["datapath", "uring"]),
            ("poll = 'often'", ["poll", "adaptive"]),
            ("json_debug = 1", ["json_debug", "true or false"]),
            ("record_max = 4095", ["record_max", "4096 bytes"]),
            ("log = 'loud'", ["log", "trace"]),
            ("log = ''", ["log", "trace"]),
            ("drain_s = 3601", ["drain_s", "0 to 3600 s"]),
        ] {
            let error = from_toml(text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
        let variables = [("KDHT_COLOUR".to_owned(), "1".to_owned())];
        let error = Settings::default().apply_environment(variables.into_iter()).unwrap_err();
        assert!(error.to_string().contains("KDHT_COLOUR"));
    }
}
