//! The command `kdht-bench`: load, floors, contacts, and comparisons.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kdht_bench::{compare, echo, feed, kernel, load, session, sim};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures kdht: load, floors, contacts, and comparisons.
#[derive(Parser)]
#[command(name = "kdht-bench", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load a node and report what it answered
    Load(load::LoadArgs),
    /// Run a bare echo server: the floor
    Echo(echo::EchoArgs),
    /// Fill a node's table with contacts that answer
    Feed(feed::FeedArgs),
    /// Measure candidates and floors in turn, and write a report
    Compare(Box<compare::CompareArgs>),
    /// Offer each more than twice what it can answer, and report what it does
    Overload(Box<compare::OverloadArgs>),
    /// Count the instructions that kernel path, engine and bare echoes take in a guest
    Kernel(kernel::KernelArgs),
    /// Draw one page from what simulator runs left
    Sim(sim::SimArgs),
    /// Become another program in a session of its own
    #[command(hide = true)]
    Session(session::SessionArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Load(args) => load::main(&args),
        Command::Echo(args) => echo::main(&args),
        Command::Feed(args) => feed::main(&args),
        Command::Compare(args) => compare::main(&args),
        Command::Overload(args) => compare::overload(&args),
        Command::Kernel(args) => kernel::main(&args),
        Command::Sim(args) => sim::main(&args),
        Command::Session(args) => session::main(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kdht-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
