//! The command `kdht` as its users meet it: real processes, real sockets, loopback only.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod daemon;
mod generate;
mod hostile;
mod leaving;
mod misuse;
mod network;
mod python;
mod reading;
mod reload;
mod shell;
mod swarm;
