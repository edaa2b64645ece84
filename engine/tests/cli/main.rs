//! The command `kdht` as its users meet it: real processes, real sockets, loopback only.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod daemon;
mod endpoints;
mod generate;
mod hostile;
mod inherited;
mod keeping;
mod leaving;
mod misuse;
mod network;
mod python;
mod reading;
mod recording;
mod reload;
mod routing;
mod settings;
mod shell;
mod sim;
mod swarm;
mod tune;
