//! What can be wrong with settings, and where each was set.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::keys::names;
use crate::network_key;

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

impl SettingsError {
    /// What was `found` does not fit the setting.
    pub(super) fn value(key: &str, source: &Source, wanted: &str, found: &str) -> Self {
        Self::Value {
            key: key.to_owned(),
            source: source.clone(),
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        }
    }

    /// No setting is called `key`.
    pub(super) fn unknown(key: &str, source: &Source) -> Self {
        Self::Unknown { key: key.to_owned(), source: source.clone() }
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
                f.write_str(&names().collect::<Vec<_>>().join(", "))
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
