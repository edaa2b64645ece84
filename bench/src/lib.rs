//! Measures kdht: a load generator, bare echo servers as the floor, contacts that fill a
//! node's table, and a comparison of candidates with floors in turn, on one core.
//!
//! README.md beside this crate has the method and what it cannot see.
#![forbid(unsafe_code)]

pub mod compare;
pub mod cpu;
pub mod draw;
pub mod echo;
pub mod feed;
pub mod gate;
pub mod generator;
pub mod hdr;
pub mod host;
pub mod kernel;
pub mod link;
pub mod load;
pub mod oracle;
pub mod perf;
pub mod plot;
pub mod protocol;
pub mod report;
pub mod resident;
pub mod session;
pub mod sim;
pub mod slots;
pub mod stats;
pub mod workload;

/// Nanoseconds of the host's monotonic clock.
#[must_use]
pub fn now_ns() -> u64 {
    kdht::io::Moment::now().monotonic_ns
}
