//! The kdht node on a host.
pub mod io;
