//! Kademlia without input or output.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
mod outbox;
pub use outbox::{Local, Outbox, Route};
