//! What a host should be set to for a kdht node on pinned cores: read, judged by a
//! [`Profile`], planned, written with a [`Journal`], and put back byte for byte.
//!
//! Every file is reached through one [`Root`], so that all of it also works on a copy of
//! another host's `/proc` and `/sys`. What is looked at stands in one table, [`items`];
//! `kdht tune`, its JSON and the tables of README.md are made from that.
#![forbid(unsafe_code)]

mod apply;
mod change;
mod check;
mod cpus;
mod host;
mod journal;
mod judge;
mod profile;
mod registry;
mod revert;
mod root;

pub use apply::{Applied, ApplyError, Refused, apply};
pub use change::{Change, Plan};
pub use check::{Check, Finding, Verdict, check};
pub use cpus::{CPUS_MAX, Cpus, NoCpus};
pub use host::{Host, HostError};
pub use journal::{Entry, Journal, JournalError, STATE_DIR};
pub use profile::{Profile, UnknownProfile};
pub use registry::{Item, Want, items, markdown};
pub use revert::{Outcome, RevertError, Reverted, revert};
pub use root::{ReadError, Root};
