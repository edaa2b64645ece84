//! A whole network in one thread: the shipped core ([`kdht_core::Node`]) in every node,
//! virtual time, and an oracle that knows all of it.
//!
//! A [`Scenario`] and a seed decide everything: the same pair gives the same datagrams in
//! the same order on every machine, which [`Figures::digest`] proves. Nothing here decides
//! whom a node asks, tells or forgets; that is the core's, and without the core's lookup
//! this crate does not build.
#![forbid(unsafe_code)]

mod address;
mod adversary;
mod attacked;
mod expect;
mod figures;
mod genesis;
mod letter;
mod oracle;
mod random;
mod run;
mod scenario;
mod settings;
mod tap;
mod trace;
mod tray;
mod watch;
mod wide;
mod work;
mod world;

pub use figures::{Figures, Row};
pub use run::{Outcome, RunError, run};
pub use scenario::{
    Adversary, Churn, ClockStep, DURATION_S_MAX, Distribution, Joining, Latency, Lookups,
    NODES_MAX, Network, Outage, PLANS_MAX, Partition, Proof, Scenario, ScenarioError, Script,
    Targets, Values, WORK_MAX,
};
pub use watch::Broken;
