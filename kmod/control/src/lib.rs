//! Control of the kernel module `kdht.ko` by generic netlink.
//!
//! A daemon [`Control::attach`]es its UDP sockets to a node of the module, tells it secrets
//! and contacts, and lets it answer ([`Settings::answer`]). A node lives as long as one of its
//! sockets does, so nothing is left behind by a daemon that died. The commands are those of
//! `kmod/kdht.yaml`; they need `CAP_NET_ADMIN`.
#![forbid(unsafe_code)]

mod control;
mod error;
mod message;
mod numbers;
mod routing;
mod sightings;
mod status;

pub use control::{Control, Rules, Settings};
pub use error::ControlError;
pub use numbers::{
    Attribute, Command, EntryAttribute, FAMILY_NAME, FAMILY_VERSION, FillAttribute, KeyAttribute,
    KeysAttribute, StatsAttribute,
};
pub use routing::{
    Entry, Fill, Happened, JoinState, Liveness, RoutingEvent, RoutingEvents, Seen, Unanswered,
};
pub use sightings::{Sightings, Told};
pub use status::{Counts, FilterState, NodeStatus};
