//! The C of `kdht.ko` beside the Rust crates: what its tests share.
//!
//! The module's portable files are compiled for user space, under AddressSanitizer and
//! UndefinedBehaviorSanitizer, into one program ([`Harness`]) that answers each record
//! with a line. Tests compute the same line from the Rust crates and compare.
#![forbid(unsafe_code)]

mod corpus;
mod harness;
mod passed;
mod random;

pub use corpus::{Vector, mutate, vectors};
pub use harness::{Harness, HarnessError};
pub use passed::is_passed;
pub use random::Random;

use std::path::{Path, PathBuf};

/// A file of this repository, by its path from the top.
#[must_use]
pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
