//! The command line: what can be asked, and how answers are shown. Data goes to stdout,
//! talk to stderr; exit 0 done, 1 failed, 2 misuse.

mod args;
mod asker;
mod codec;
mod config;
mod generate;
mod inherited;
mod keep;
mod keeper;
mod log;
mod lookup;
mod notify;
mod operate;
mod replay;
mod rpc;
mod run;
mod shell;
mod show;
mod sim;
mod stat;
mod swarm;
mod tune;
mod value;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Why a command ended without what was asked for.
pub(crate) enum Failure {
    /// It was tried, and failed: exit 1.
    Failed(String),
    /// It could not be tried as asked: exit 2.
    Misuse(String),
}

impl Failure {
    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }

    pub(crate) fn misuse(error: impl ToString) -> Self {
        Self::Misuse(error.to_string())
    }

    /// Why, whichever it is.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Failed(why) | Self::Misuse(why) => why,
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Put(args) => value::put(&args),
        Command::Get(args) => value::get(&args),
        Command::Ping(args) => rpc::ping(&args),
        Command::FindNode(args) => rpc::find_node(&args),
        Command::FindValue(args) => rpc::find_value(&args),
        Command::Store(args) => rpc::store(&args),
        Command::LookupNode(args) => lookup::node(&args),
        Command::LookupValue(args) => lookup::value(&args),
        Command::Swarm(args) => swarm::swarm(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::Stat(args) => stat::stat(&args),
        Command::Table(args) => operate::table(&args),
        Command::Drain(args) => operate::drain(&args),
        Command::Reload(args) => operate::reload(&args),
        Command::Routing(args) => operate::routing(&args),
        Command::Log(args) => operate::log(&args),
        Command::Config(args) => config::config(&args),
        Command::Shell(args) => shell::shell(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Tune(args) => tune::tune(&args),
        Command::Decode(args) => codec::decode(&args),
        Command::Encode(args) => codec::encode(&args),
        Command::Generate(args) => generate::generate(&args),
    };
    let (why, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => (why, 1),
        Err(Failure::Misuse(why)) => (why, 2),
    };
    show::talk(&format!("kdht: {why}"));
    ExitCode::from(code)
}
