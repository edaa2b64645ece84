//! The kdht node on a host: sockets, threads, files, clocks and signals around
//! `kdht-core`, and the swarm of real nodes that shows it at work.
//!
//! A [`Shard`] joins one node with one datapath; its synchronous [`Shard::turn`] takes in
//! a batch, lets the node work and sends what came of it. A [`Runner`] is a pinned thread
//! that turns one or more shards. ARCHITECTURE.md has the picture.
#![deny(unsafe_code)]

mod any_shard;
pub mod control;
mod drive;
mod executor;
mod hosted;
#[allow(unsafe_code)]
pub mod io;
mod json_debug;
mod launch;
mod mesh;
pub mod network_key;
mod node_handle;
mod pace;
pub mod record;
pub mod routing;
mod runner;
pub mod settings;
mod shard;
pub mod state;
pub mod status;
pub mod stream;
pub mod swarm;
mod verifier;
mod witness;

pub use any_shard::AnyShard;
pub use hosted::{Hosted, Hosting};
pub use launch::{Launch, LaunchError};
pub use mesh::{Parcel, Port, mesh};
pub use node_handle::NodeHandle;
pub use pace::{PollPolicy, UnknownPolicy};
pub use runner::{CallError, Picked, Runner, RunnerError};
pub use shard::{DrainTally, Drained, JoinNews, ProxyRequest, Shard, ShardRequest, Tuning, Turn};
pub use verifier::{VERIFIER_RUNNERS_MAX, Verifier};

use io::Moment;
use kdht_core::{Nanos, Now};

/// The core's clocks, read from the host's.
#[must_use]
pub fn now_of(moment: Moment) -> Now {
    Now { mono: Nanos(moment.monotonic_ns), unix_s: moment.unix_s }
}

/// Bytes of the host's entropy.
///
/// # Errors
/// Whatever keeps the host from giving them.
pub fn entropy<const LEN: usize>() -> Result<[u8; LEN], getrandom::Error> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
