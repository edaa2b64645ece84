//! What can be written on a line.

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

use crate::cli::args::{ValueArgs, WantedArgs};

/// One line. A key is a name, or 40 hexadecimal digits; words with spaces want quotes.
#[derive(Parser)]
#[command(name = "", multicall = true, disable_version_flag = true, max_term_width = 100)]
pub(super) struct Line {
    #[command(subcommand)]
    pub(super) order: Order,
}

#[derive(Subcommand)]
pub(super) enum Order {
    /// Store a value at the nodes closest to its key
    Put {
        /// KEY VALUE
        #[arg(value_name = "KEY VALUE", num_args = 0..=2, allow_negative_numbers = true)]
        words: Vec<String>,
        #[command(flatten)]
        value: Box<ValueArgs>,
    },
    /// Find values under a key and print the first
    Get {
        /// A name, or 40 hexadecimal digits
        key: String,
        #[command(flatten)]
        wanted: WantedArgs,
        /// All values that the closest holders have, a line each
        #[arg(long)]
        all: bool,
    },
    /// Send one PING
    P {
        /// Whom to ask
        addr: SocketAddr,
        /// Who must answer; whoever is there if left out
        id: Option<String>,
    },
    /// Send one STORE
    S {
        /// Whom to ask
        addr: SocketAddr,
        /// KEY VALUE; without a VALUE, the one that a lookup of the key finds
        #[arg(value_name = "KEY VALUE", num_args = 0..=2, allow_negative_numbers = true)]
        words: Vec<String>,
        #[command(flatten)]
        value: Box<ValueArgs>,
    },
    /// Send one FIND_NODE
    Fn {
        /// Whom to ask
        addr: SocketAddr,
        /// Target: 40 hexadecimal digits, or a name; the id of who is asked if left out
        id: Option<String>,
    },
    /// Send one FIND_VALUE
    Fv {
        /// Whom to ask
        addr: SocketAddr,
        /// A name, or 40 hexadecimal digits
        key: String,
        #[command(flatten)]
        wanted: WantedArgs,
    },
    /// Find the nodes closest to an id, step by step, and print the path
    Ln {
        /// Target: 40 hexadecimal digits, or a name; the own id if left out
        id: Option<String>,
    },
    /// Find a value step by step, and print the path
    Lv {
        /// A name, or 40 hexadecimal digits
        key: String,
        #[command(flatten)]
        wanted: WantedArgs,
    },
    /// Read the routing table
    Table,
    /// Read the counters
    Stat,
    /// Leave
    #[command(alias = "exit")]
    Quit,
}
