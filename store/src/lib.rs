//! What a node holds: values, their expiry, quotas and proofs.
//!
//! [`Memory`] is the store that answers reads: single-threaded, one per shard, bounded in
//! bytes and in items ([`Limits`]). It stands behind [`Storage`], whose acknowledgements
//! name how durable a value is, so that a log can stand behind it too. The slot rules are
//! those of `wire/FORMAT.md` §5.4 and §6.
//!
//! [`verify`] proves a record before it is put; [`PublisherKey`] makes such proofs.
//!
//! The crate is `no_std`, forbids `unsafe`, and can neither read a clock nor draw entropy:
//! time and hash seeds are arguments.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod held;
mod index;
mod key_values;
mod limits;
mod memory;
mod put;
mod sign;
mod storage;
#[cfg(test)]
mod tests;
mod values;
mod verify;

pub use limits::{Limits, VALUE_OVERHEAD};
pub use memory::{Memory, PUT_EXPIRE_MAX};
pub use put::{Ack, Outcome, Put, PutError, SourceGroup};
pub use sign::PublisherKey;
pub use storage::{Storage, Usage};
pub use values::Values;
pub use verify::{Unproven, verify};
