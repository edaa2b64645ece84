//! What of the settings can be changed while the node runs.

use kdht_core::Config;

use super::{FLAGS, KEYS, Settings, SettingsError};
use crate::shard::Tuning;

/// Settings that a reload applies; all others wait for a restart.
pub const LIVE: &[&str] =
    &["network_key", "log", "drain_s", "throttle.rate_per_s", "throttle.burst"];

/// What a node works by: its settings, with the network key file read.
#[derive(Clone, Debug)]
pub struct InEffect {
    /// The settings.
    pub settings: Settings,
    /// What the node itself works by.
    pub config: Config,
}

/// How two readings of the settings differ, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Those that a reload applies.
    pub live: Vec<&'static str>,
    /// Those that wait for a restart.
    pub restart: Vec<&'static str>,
}

impl InEffect {
    /// Reads the network key file that `settings` name.
    ///
    /// # Errors
    /// [`SettingsError::NetworkKey`].
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let config = settings.node_config()?;
        Ok(Self { settings, config })
    }

    /// What is different in `wanted`. A network key file counts as changed by what stands
    /// in it, not by its name.
    #[must_use]
    pub fn changes_to(&self, wanted: &Self) -> Changes {
        let (old, new) = (&self.settings, &wanted.settings);
        let texts = [
            ("listen", old.listen != new.listen),
            ("advertise", old.advertise != new.advertise),
            ("bootstrap", old.bootstrap != new.bootstrap),
            ("state", old.state != new.state),
            ("network_key", self.config.keys != wanted.config.keys),
            ("cores", old.cores != new.cores),
            ("shards", old.shards != new.shards),
            ("steering", old.is_steered != new.is_steered),
            ("table", self.config.table != wanted.config.table),
            ("datapath", old.datapath != new.datapath),
            ("segment", old.segments != new.segments),
            ("poll", old.poll != new.poll),
            ("routing", old.routing != new.routing),
            ("json_debug", old.json_debug != new.json_debug),
            ("record", old.record != new.record),
            ("record_max", old.record_max != new.record_max),
            ("log", old.log != new.log),
            ("drain_s", old.drain_s != new.drain_s),
            ("zones", old.zones != new.zones),
        ];
        let flipped = |flag: &&super::Flag| flag.value(&self.config) != flag.value(&wanted.config);
        let flags = FLAGS.iter().filter(flipped).map(|flag| flag.name);
        let differs = |key: &&super::Key| key.value(&self.config) != key.value(&wanted.config);
        let numbers = KEYS.iter().filter(differs).map(|key| key.name);
        let texts = texts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name);
        let (live, restart) =
            texts.chain(numbers).chain(flags).partition(|name| LIVE.contains(name));
        Changes { live, restart }
    }

    /// Takes over those settings of `wanted` that need no restart.
    pub fn take_live(&mut self, wanted: &Self) {
        self.settings.network_key.clone_from(&wanted.settings.network_key);
        self.settings.log.clone_from(&wanted.settings.log);
        self.settings.drain_s = wanted.settings.drain_s;
        self.config.keys = wanted.config.keys;
        self.config.throttle.rate_per_s = wanted.config.throttle.rate_per_s;
        self.config.throttle.burst = wanted.config.throttle.burst;
    }

    /// What a running node is told of it.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        Tuning {
            keys: self.config.keys,
            rate_per_s: self.config.throttle.rate_per_s,
            burst: self.config.throttle.burst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    /// Another value than the default of every setting but the network key.
    fn changed() -> Vec<(&'static str, String)> {
        let config = Config::default();
        let other =
            |key: &super::super::Key| if key.value(&config) == key.min { key.max } else { key.min };
        let mut all: Vec<_> = KEYS.iter().map(|key| (key.name, other(key).to_string())).collect();
        for (name, value) in [
            ("listen", "127.0.0.1:7"),
            ("advertise", "127.0.0.1:7"),
            ("bootstrap", "127.0.0.1:7"),
            ("state", "/nonexistent"),
            ("cores", "0"),
            ("shards", "3"),
            ("steering", "false"),
            ("table", "wide:1000"),
            ("datapath", "mmsg"),
            ("segment", "false"),
            ("poll", "busy"),
            ("routing", "auto"),
            ("json_debug", "true"),
            ("record", "/nonexistent"),
            ("record_max", "5000"),
            ("log", "debug"),
            ("drain_s", "77"),
            ("zones", "10.0.0.0/8=a"),
        ] {
            all.push((name, value.to_owned()));
        }
        all.extend(FLAGS.iter().map(|flag| (flag.name, (!flag.value(&config)).to_string())));
        all
    }

    #[test]
    fn each_changed_setting_is_named_once_and_only_live_ones_are_taken_over() {
        for (name, value) in changed() {
            let mut old = InEffect::new(Settings::default()).unwrap();
            let mut settings = Settings::default();
            settings.set(name, &value, &Source::Flag).unwrap();
            let new = InEffect::new(settings).unwrap();
            let changes = old.changes_to(&new);
            let named = [&changes.live[..], &changes.restart[..]].concat();
            assert_eq!(named, [name], "{changes:?}");
            old.take_live(&new);
            let left = old.changes_to(&new);
            assert_eq!(left.live, Vec::<&str>::new(), "{name} is live, and was not taken over");
            assert_eq!(left.restart, changes.restart, "{name}");
        }
    }

    #[test]
    fn a_network_key_counts_as_changed_by_its_file_s_contents() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mut settings = Settings::default();
            settings.set("network_key", path.to_str().unwrap(), &Source::Flag).unwrap();
            InEffect::new(settings).unwrap()
        };
        let key = "ab".repeat(16);
        let mut old = read("one", &format!("1 {key}\n"));
        assert_eq!(
            old.changes_to(&read("two", &format!("# moved\n1 {key}\n"))),
            Changes::default()
        );
        let new = read("one", &format!("2 {key}\n1 {key}\n"));
        assert_eq!(old.changes_to(&new).live, ["network_key"]);
        old.take_live(&new);
        assert_eq!(old.tuning().keys, new.config.keys);
    }
}
