//! The core as a whole: real nodes, virtual time, hostile strangers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod amplification;
mod apart;
mod collecting;
mod disjoint;
mod forwarding;
mod frequent;
mod handover;
mod hostile;
mod joining;
mod keyed;
mod known_bugs;
mod lookups;
mod memory;
mod observed;
mod order;
mod outage;
mod proxied;
mod recursion;
mod refreshing;
mod republishing;
mod sharding;
mod spoofing;
mod streams;
mod table_rules;
mod values;
