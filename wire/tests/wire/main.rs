//! What FORMAT.md promises, checked from outside the crate.
//!
//! `BLESS=1 cargo test -p kdht-wire --all-features` rewrites the files that are generated
//! here: the datagrams in `vectors/` and the C header. Tests that read them may fail in that
//! run; the next one, without `BLESS`, checks what was written.
#![allow(clippy::unwrap_used, reason = "a test fails by it, in its helpers too")]

mod golden;
mod header;
mod hostile;
#[cfg(feature = "json")]
mod json;
mod layout;
mod round_trip;
mod support;
