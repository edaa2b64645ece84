//! Kademlia without input or output: datagrams, commands and time in; datagrams and events
//! out.
//!
//! [`Node`] is the whole of it. The crate is `no_std`, forbids `unsafe`, and can neither
//! read a clock, draw entropy, open a socket nor log: seeds and the time are arguments,
//! bytes go into the caller's [`Outbox`]. So the same code runs under an engine, in a
//! simulator of a million nodes, and in the replay of a recorded run.
//!
//! Rules and sources: Maymounkov & Mazières, "Kademlia" (IPTPS 2002), cited by section;
//! where a type differs from the paper its documentation says how and why.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod ask;
mod ask_stream;
mod bucket;
mod ceded;
mod cells;
mod closest;
mod collect;
mod command;
mod config;
mod contact;
mod contacts;
mod cookie;
mod counters;
mod disjoint;
mod drain;
mod few;
mod find_value;
mod foreign;
mod forward;
mod frequent;
mod groups;
mod handover;
mod join;
mod known;
mod lookup;
mod maintain;
mod newcomers;
mod node;
mod note;
mod observed;
mod operate;
mod operation;
mod outage;
mod outbox;
mod parked;
mod parts;
mod pending;
mod planes;
mod proofs;
mod proxy;
mod put;
mod recurse;
mod refresh;
mod replica;
mod republish;
mod rng;
#[cfg(test)]
mod samples;
mod serve;
mod serve_stream;
mod sharding;
#[cfg(feature = "simulation")]
mod simulation;
mod single;
mod spread;
mod stream;
mod table;
mod throttle;
mod time;
pub mod wide;
mod window;
mod zones;

pub use bucket::{MEMBERS_MAX, REPLACEMENTS_MAX};
pub use ceded::Tiding;
pub use cells::{NEIGHBOURS_MAX, PRIVATE_FROM, PRIVATE_TO};
pub use closest::Closest;
pub use command::{
    Command, CommandError, Event, OperationId, Outcome, Report, Request, Stored, Value,
    ValuePublisher,
};
pub use config::{Config, Families, Timeouts};
pub use contact::{
    Answer, BACKOFF_S, BACKOFF_S_MAX, COOKIE_USE_S, DISPLACE_FAILURES, Liveness, Peer,
    STALE_FAILURES,
};
pub use contacts::{TableKind, WIDE_SILENT_S};
pub use cookie::{Cookies, EPOCH_S};
pub use counters::{ByKind, Counters, Refusal};
pub use disjoint::PATHS_MAX;
pub use groups::Caps;
pub use kdht_store::{Limits, Usage};
pub use lookup::{Answered, Candidate, Lookup, Standing};
pub use node::Node;
pub use note::{Addressee, Note, owner_of};
pub use observed::{VOTES_MAX, VOTES_MIN};
pub use outbox::{Local, Outbox, Route};
pub use parked::{PARKED_MAX, PARKED_STORES_MAX, Verdict, VerifyJob};
pub use proxy::{LENT_LEN_MAX, LENT_MAX, Lent, RECALLS_MAX, Recall};
pub use rng::Rng;
pub use serve::weight;
pub use spread::{Home, SPREAD_OFFSET, Spread};
pub use stream::{
    STREAM_ASKS_MAX, STREAM_BYTES_MAX, STREAM_MS, STREAM_QUEUE_MAX, STREAM_RECURSION_MS, StreamAsk,
    StreamCheck, StreamRequest, StreamServed, seal,
};
pub use table::{Advice, FRESH_S, Fill, NEIGHBOURHOOD_SPLITS_MAX, SPLIT_BITS_MAX, Table};
pub use throttle::{Throttle, ThrottleConfig};
pub use time::{NS_PER_MS, NS_PER_S, Nanos, Now};
pub use zones::{ZONE_RANGES_MAX, ZoneRange, Zones};
