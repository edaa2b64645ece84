//! What is looked at: a root, the node's cores and its network interface.

use std::error::Error;
use std::fmt;

use crate::{Cpus, Root};

/// A host, and what of it the node is to use.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its files.
    pub root: Root,
    /// The cores that the node's threads are pinned to; none if nobody named them and none
    /// are isolated.
    pub cores: Cpus,
    /// The network interface that the node's datagrams come through, if it is known.
    pub nic: Option<String>,
    /// The CPUs that are online; none if the host does not tell.
    pub online: Cpus,
}

/// Why a host cannot be looked at as asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostError {
    /// These cores are not online; the second are.
    Cores(Cpus, Cpus),
    /// No interface has this name; the others are those that there are.
    Nic(String, Vec<String>),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores(missing, online) => {
                write!(f, "--cores: {missing} not online here; online are {online}")
            }
            Self::Nic(name, there) => {
                write!(f, "--nic: no interface `{name}` here; there are {}", there.join(", "))
            }
        }
    }
}

impl Error for HostError {}

impl Host {
    /// Looks at the host under `root`. Without `cores` the isolated ones are taken; without
    /// `nic` the one of the default route, or else the only one that is hardware.
    ///
    /// # Errors
    /// [`HostError`], for what was named and does not exist.
    pub fn new(root: Root, cores: Option<Cpus>, nic: Option<String>) -> Result<Self, HostError> {
        let cpus = |path| root.read(path).ok().and_then(|text| text.parse().ok());
        let online: Cpus = cpus("/sys/devices/system/cpu/online").unwrap_or_default();
        let isolated = || cpus("/sys/devices/system/cpu/isolated").unwrap_or_default();
        let cores = cores.unwrap_or_else(isolated);
        let missing = cores.without(&online);
        if !online.is_empty() && !missing.is_empty() {
            return Err(HostError::Cores(missing, online));
        }
        if let Some(name) = &nic {
            let there = root.list("/sys/class/net");
            if !there.contains(name) {
                return Err(HostError::Nic(name.clone(), there));
            }
        }
        let nic = nic.or_else(|| of_default_route(&root)).or_else(|| only_hardware(&root));
        Ok(Self { root, cores, nic, online })
    }

    /// The CPUs that are left for everything but the node.
    #[must_use]
    pub fn housekeeping(&self) -> Cpus {
        self.online.without(&self.cores)
    }
}

/// The interface of the first route to everywhere.
fn of_default_route(root: &Root) -> Option<String> {
    let routes = root.read("/proc/net/route").ok()?;
    let to_everywhere = |line: &str| {
        let mut fields = line.split_whitespace();
        let (name, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then(|| name.to_owned())
    };
    let name = routes.lines().skip(1).find_map(to_everywhere)?;
    root.list("/sys/class/net").contains(&name).then_some(name)
}

/// The interface that a device stands behind, if there is just one.
fn only_hardware(root: &Root) -> Option<String> {
    let names = root.list("/sys/class/net");
    let mut hardware =
        names.into_iter().filter(|name| root.exists(&format!("/sys/class/net/{name}/device")));
    hardware.next().filter(|_| hardware.next().is_none())
}
