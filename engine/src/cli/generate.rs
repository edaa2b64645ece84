//! Completions for shells, and manual pages: made at packaging time from the same
//! description that the command line is read by.

use std::io::Error;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Failure;
use super::args::{Cli, GenerateArgs, Generated};
use super::show;

pub(crate) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    let fail = |error: Error| Failure::Failed(format!("{}: {error}", args.directory.display()));
    std::fs::create_dir_all(&args.directory).map_err(fail)?;
    match args.what {
        Generated::Completions => {
            for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
                let mut command = Cli::command();
                let path = clap_complete::generate_to(shell, &mut command, "kdht", &args.directory);
                show::line(&path.map_err(fail)?.display().to_string());
            }
        }
        Generated::Man => {
            clap_mangen::generate_to(Cli::command(), &args.directory).map_err(fail)?;
        }
    }
    Ok(())
}
