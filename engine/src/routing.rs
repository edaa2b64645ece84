//! Who answers and whose the contacts are: the engine alone, or before it the kernel module.
//!
//! With kernel routing the node's UDP sockets are attached to `kdht.ko` (`kmod/README.md`),
//! which answers in softirq what it can and passes the rest on. A datagram loop never waits for
//! it: threads of their own tell it things by netlink, and STOREs whose acknowledgement must
//! wait for that wait in the core ([`kdht_core::Recall`]).

mod attachment;
mod errands;
mod error;
mod events;
mod filter;
mod link;
mod router;
mod table;
mod upkeep;
mod view;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use attachment::Attachment;
pub use error::RoutingError;
pub(crate) use link::Errand;
pub use link::ProxyLink;
pub use router::Router;
pub(crate) use view::RoutingView;

/// Whose routing is wanted, as an operator says it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RoutingChoice {
    /// `user`: the engine's.
    #[default]
    User,
    /// `kernel`: the module's, or the node does not start.
    Kernel,
    /// `auto`: the module's if it is there and may be used.
    Auto,
}

/// Whose routing is live.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// The engine's.
    #[default]
    User,
    /// The module's.
    Kernel,
}

/// A text that names no [`RoutingChoice`], or no [`Routing`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownRouting;

impl FromStr for RoutingChoice {
    type Err = UnknownRouting;

    fn from_str(text: &str) -> Result<Self, UnknownRouting> {
        match text {
            "user" => Ok(Self::User),
            "kernel" => Ok(Self::Kernel),
            "auto" => Ok(Self::Auto),
            _ => Err(UnknownRouting),
        }
    }
}

impl FromStr for Routing {
    type Err = UnknownRouting;

    fn from_str(text: &str) -> Result<Self, UnknownRouting> {
        match text {
            "user" => Ok(Self::User),
            "kernel" => Ok(Self::Kernel),
            _ => Err(UnknownRouting),
        }
    }
}

impl fmt::Display for RoutingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Kernel => "kernel",
            Self::Auto => "auto",
        })
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Kernel => "kernel",
        })
    }
}
