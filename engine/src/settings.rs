//! What an operator sets: a TOML file, then the environment, then flags; later ones win.

mod assign;
mod error;
mod keys;
mod live;
mod shown;
mod zones;

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use kdht_core::{Config, Families, Limits};
use kdht_store::VALUE_OVERHEAD;
use kdht_wire::Endpoint;

pub(crate) use assign::WIDE_MAX;
pub use assign::log_filter;
pub use error::{SettingsError, Source};
pub use keys::{FLAGS, Flag, KEYS, Key};
pub use live::{Changes, InEffect, LIVE};
pub use shown::Shown;
pub use zones::NamedRange;

use keys::names;

use crate::io::{Cpus, DatapathChoice};
use crate::network_key;
use crate::pace::PollPolicy;
use crate::record::{RECORD_LEN_MAX_DEFAULT, RecordOptions};
use crate::routing::RoutingChoice;

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
    /// Whether several datagrams to one peer leave as one, for the kernel to cut apart.
    pub segments: bool,
    /// How the node's thread waits for datagrams.
    pub poll: PollPolicy,
    /// Who routes when the node starts.
    pub routing: RoutingChoice,
    /// Whether requests in JSON are served, too (FORMAT.md §12).
    pub json_debug: bool,
    /// File that all that goes into the node is recorded to; nothing: none.
    pub record: Option<PathBuf>,
    /// Bytes that it has at most, [`RECORD_LEN_MIN`] or more.
    pub record_max: u64,
    /// What is logged: a level, or levels by module (`info,kdht=debug`).
    pub log: String,
    /// Which addresses are of which zone: racks or sites that may be lost as one.
    pub zones: Vec<NamedRange>,
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
            segments: true,
            poll: PollPolicy::Adaptive,
            routing: RoutingChoice::User,
            json_debug: false,
            record: None,
            record_max: RECORD_LEN_MAX_DEFAULT,
            log: "info".to_owned(),
            zones: Vec::new(),
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
                    self.assign_list(&key, items.iter().map(text).collect(), source)?;
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
            match names().find(|key| key.replace('.', "_") == lower) {
                Some(key) => self.set(key, &value, &source)?,
                None => return Err(SettingsError::Unknown { key: name, source }),
            }
        }
        Ok(())
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
        config.zones = zones::zones_of(&self.zones, config.zones.replicas_max);
        if let Some(path) = &self.network_key {
            config.keys = network_key::load(path).map_err(SettingsError::NetworkKey)?;
            // The members of a keyed network trust each other, unless told otherwise.
            config.accept_plain |= !self.plain_was_set;
        }
        check_room(&config.store)?;
        Ok(config)
    }
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

#[cfg(test)]
mod tests;
