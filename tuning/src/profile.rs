//! Kinds of host.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// What a host is for; each profile wants its own settings, and is silent about the rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// Bare metal with cores set aside: the shortest answer, whatever it takes in power.
    Latency,
    /// Bare metal with cores set aside: the most datagrams per second.
    Throughput,
    /// A host that does other work too: only what harms nobody else.
    Shared,
    /// A guest: what the hypervisor leaves to it.
    Vm,
}

impl Profile {
    /// All of them, in the order of an item's wants.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Throughput, Self::Shared, Self::Vm];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Shared => "shared",
            Self::Vm => "vm",
        }
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Latency => {
                "Bare metal with cores set aside for the node: the shortest answer, whatever it \
                 takes in power."
            }
            Self::Throughput => {
                "Bare metal with cores set aside for the node: the most datagrams per second."
            }
            Self::Shared => "A host that does other work too: only what harms nobody else.",
            Self::Vm => "A guest: what the hypervisor leaves to it.",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownProfile;

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile is latency, throughput, shared or vm")
    }
}

impl Error for UnknownProfile {}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == text).ok_or(UnknownProfile)
    }
}
