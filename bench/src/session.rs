//! `kdht-bench session`: becomes another program, in a session (and so an autogroup of the
//! scheduler) of its own, on one core, that ends when whoever started it does.

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use rustix::process::{Signal, set_parent_process_death_signal, setsid};

/// What to become.
#[derive(Args, Clone, Debug)]
pub struct SessionArgs {
    /// CPU to run on
    #[arg(long, value_name = "CPU")]
    pub core: usize,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Becomes the program; returns only if it cannot.
///
/// # Errors
/// Why not.
pub fn main(args: &SessionArgs) -> Result<(), String> {
    setsid().map_err(|error| format!("no session of its own: {error}"))?;
    kdht::io::pin_to(args.core).map_err(|error| error.to_string())?;
    let dies = set_parent_process_death_signal(Some(Signal::KILL));
    dies.map_err(|error| format!("cannot be ended with its parent: {error}"))?;
    let (program, rest) = args.command.split_first().ok_or("no program")?;
    Err(format!("{program}: {}", Command::new(program).args(rest).exec()))
}
