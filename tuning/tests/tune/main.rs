//! The host's settings, over copies of `/proc` and `/sys`, and in a network namespace.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod journal;
mod namespace;
mod readme;
mod trees;
mod unit;
mod verdicts;
