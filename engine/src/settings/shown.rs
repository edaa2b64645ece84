//! The settings as `kdht config show` lists them: each with what it means and who set it.

use std::net::SocketAddr;

use kdht_core::TableKind;
use serde::Serialize;

use super::{FLAGS, KEYS, Settings, SettingsError};

/// One setting.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Shown {
    /// Its name.
    pub key: String,
    /// What it is, as it would stand in a flag; empty: not set.
    pub value: String,
    /// What is counted; empty: nothing is.
    pub unit: String,
    /// What it may be.
    pub range: String,
    /// What it is if nobody sets it.
    pub default: String,
    /// Who set it: `default`, or where it stands.
    pub set: String,
    /// Why one would change it.
    pub reason: String,
}

/// A setting of the process that is text: its name, what it may be, and why.
type Text = (&'static str, &'static str, &'static str, fn(&Settings) -> String);

/// The settings that are neither numbers nor flags.
const TEXTS_SHOWN: &[Text] = &[
    ("listen", "one or two IP:PORT", "addresses to answer on, one of a family", |settings| {
        addresses(&settings.listen)
    }),
    (
        "advertise",
        "one or two IP:PORT",
        "own addresses; not set: learned from others",
        |settings| addresses(&settings.advertise),
    ),
    ("bootstrap", "HOST:PORT, …", "nodes to enter the network through", |settings| {
        settings.bootstrap.join(",")
    }),
    ("state", "a directory", "identity and contacts; without it the node forgets", |settings| {
        path(settings.state.as_deref())
    }),
    ("network_key", "a file", "keys of a private network", |settings| {
        path(settings.network_key.as_deref())
    }),
    ("cores", "1 to 255 CPUs", "where threads run; not set: where the node starts", |settings| {
        settings.cores.to_string()
    }),
    ("shards", "1 to 255", "parts of the node; not set: one for each CPU", |settings| {
        settings.shards.map_or_else(String::new, |shards| shards.to_string())
    }),
    ("steering", "true or false", "let the kernel hand datagrams to their shards", |settings| {
        settings.is_steered.to_string()
    }),
    ("table", "kbucket or wide:N", "N verified contacts, to answer in one hop", |settings| {
        match settings.node.table {
            TableKind::KBucket => "kbucket".to_owned(),
            TableKind::Wide(contacts) => format!("wide:{contacts}"),
        }
    }),
    ("datapath", "auto, uring or mmsg", "what datagrams are moved with", |settings| {
        settings.datapath.to_string()
    }),
    ("segment", "true or false", "send several datagrams to one peer as one", |settings| {
        settings.segments.to_string()
    }),
    ("poll", "busy, adaptive or sleep", "how the node waits for datagrams", |settings| {
        settings.poll.to_string()
    }),
    ("routing", "user, kernel or auto", "who answers first: the engine, or kdht.ko", |settings| {
        settings.routing.to_string()
    }),
    ("json_debug", "true or false", "answer requests in JSON, to debug by hand", |settings| {
        settings.json_debug.to_string()
    }),
    ("record", "a file", "all that goes into the node, for kdht replay", |settings| {
        path(settings.record.as_deref())
    }),
    ("record_max", "4096 bytes or more", "longest recording, in bytes", |settings| {
        settings.record_max.to_string()
    }),
    ("log", "a level, or levels by module", "what is logged", |settings| settings.log.clone()),
    ("drain_s", "0 to 3600", "seconds to hand values over before stopping", |settings| {
        settings.drain_s.to_string()
    }),
    ("zones", "CIDR=NAME, …", "racks or sites that may be lost as one", |settings| {
        let all: Vec<String> = settings.zones.iter().map(ToString::to_string).collect();
        all.join(",")
    }),
];

fn addresses(addrs: &[SocketAddr]) -> String {
    let all: Vec<String> = addrs.iter().map(ToString::to_string).collect();
    all.join(",")
}

fn path(path: Option<&std::path::Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

impl Settings {
    /// Every setting, in the order of their names. A flag whose default follows from the
    /// network key is shown as it is in effect.
    ///
    /// # Errors
    /// [`SettingsError::NetworkKey`] if the file that is named cannot be used.
    pub fn shown(&self) -> Result<Vec<Shown>, SettingsError> {
        let (config, default) = (self.node_config()?, Self::default());
        let set = |key: &str| match self.sources.get(key) {
            Some(source) => source.to_string(),
            None => "default".to_owned(),
        };
        let numbers = KEYS.iter().map(|key| Shown {
            key: key.name.to_owned(),
            value: key.value(&config).to_string(),
            unit: key.unit.to_owned(),
            range: format!("{} to {}", key.min, key.max),
            default: key.value(&default.node).to_string(),
            set: set(key.name),
            reason: key.why.to_owned(),
        });
        let flags = FLAGS.iter().map(|flag| Shown {
            key: flag.name.to_owned(),
            value: flag.value(&config).to_string(),
            unit: String::new(),
            range: "true or false".to_owned(),
            default: flag.value(&default.node).to_string(),
            set: set(flag.name),
            reason: flag.why.to_owned(),
        });
        let texts = TEXTS_SHOWN.iter().map(|(key, range, why, read)| Shown {
            key: (*key).to_owned(),
            value: read(self),
            unit: String::new(),
            range: (*range).to_owned(),
            default: read(&default),
            set: set(key),
            reason: (*why).to_owned(),
        });
        let mut all: Vec<Shown> = texts.chain(numbers).chain(flags).collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::super::keys::names;
    use super::*;

    #[test]
    fn every_setting_is_shown_once_with_its_reason() {
        let shown = Settings::default().shown().unwrap();
        let mut wanted: Vec<&str> = names().collect();
        wanted.sort_unstable();
        let found: Vec<&str> = shown.iter().map(|shown| shown.key.as_str()).collect();
        assert_eq!(found, wanted);
        for setting in shown {
            assert!(!setting.reason.is_empty() && !setting.range.is_empty(), "{setting:?}");
            assert_eq!((setting.set.as_str(), &setting.value), ("default", &setting.default));
        }
    }

    #[test]
    fn where_a_setting_was_set_last_is_shown() {
        let mut settings = Settings::default();
        settings.set("node.k", "8", &Source::File("node.toml".into())).unwrap();
        settings.set("node.k", "9", &Source::Environment).unwrap();
        settings.set("caps.private", "true", &Source::Flag).unwrap();
        settings.set("listen", "127.0.0.1:7", &Source::Flag).unwrap();
        assert!(settings.set("node.alpha", "99", &Source::Flag).is_err());
        let shown = settings.shown().unwrap();
        let of = |key: &str| {
            let setting = shown.iter().find(|shown| shown.key == key).unwrap();
            (setting.value.as_str(), setting.set.as_str())
        };
        assert_eq!(of("node.k"), ("9", "in the environment"));
        assert_eq!(of("caps.private"), ("true", "in a flag"));
        assert_eq!(of("listen"), ("127.0.0.1:7", "in a flag"));
        assert_eq!(of("node.alpha"), ("3", "default"));
    }
}
