//! `kdht-bench-guest`: what `kdht-bench kernel` runs in its guest. It starts one server after
//! another, asks each what the plan says, and marks when the emulator shall count. Each line
//! `counted` on standard output has the cell that a count is of.
#![forbid(unsafe_code)]

mod asker;
mod clock;
mod far;
mod forwarded;
mod server;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use kdht_bench::kernel::plan::{Ask, Link, Path, ROUND_TRIPS, plan};

use serde_json::{Value as Json, json};

use asker::Asker;
use server::{Engines, Server};

/// Asks servers in a guest that counts instructions.
#[derive(Debug, Parser)]
#[command(name = "kdht-bench-guest", max_term_width = 100)]
struct Cli {
    /// The namespace at the other end of the link between namespaces
    #[arg(long, value_name = "PATH")]
    far: PathBuf,
    /// Where kdht.ko is
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// Time each cell instead of marking it: a line `timed` has the cell and what it took
    #[arg(long)]
    clock: bool,
    /// The core that engines are pinned to
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    core: usize,
    /// Let engines send replies to one asker as one
    #[arg(long)]
    segment: bool,
    /// Few cells
    #[arg(long)]
    quick: bool,
    /// Only these paths
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    path: Vec<Path>,
}

/// What the counting plugin waits for.
const MARK: &str = "/sys/module/kdht_floor/parameters/mark";

/// Round trips before those.
const WARM_UP: u32 = 128;
/// In which what a server's start left to the kernel is done, such as what is to be freed.
const SETTLING: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("kdht-bench-guest: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let engines = Engines { core: cli.core, segment: cli.segment };
    let mark = (!cli.clock).then(Mark::open).transpose()?;
    let mut running: Option<(Ask, Server)> = None;
    for ask in plan(cli.quick) {
        if !cli.path.is_empty() && !cli.path.contains(&ask.path) {
            continue;
        }
        let server = match &mut running {
            Some((of, server)) if serves(of, &ask) => server,
            _ => {
                // Gone before the next takes its place.
                drop(running.take());
                let server = Server::start(&ask, &cli.modules, engines)?;
                std::thread::sleep(SETTLING);
                &mut running.insert((ask, server)).1
            }
        };
        let namespace = (ask.link == Link::Veth).then_some(&*cli.far);
        let told = |why| format!("{ask:?}: {why}");
        let mut asker = Asker::new(&ask, server, namespace).map_err(told)?;
        asker.check().map_err(told)?;
        asker.ask(WARM_UP).map_err(told)?;
        let (word, cell) = match &mark {
            Some(mark) => {
                mark.set()?;
                let done = asker.ask(ROUND_TRIPS);
                mark.set()?;
                done.map_err(told)?;
                ("counted", json!(ask))
            }
            None => {
                let timed = clock::time(&mut asker, ask.in_flight).map_err(told)?;
                let mut cell = json!(ask);
                if let (Json::Object(cell), Json::Object(timed)) = (&mut cell, json!(timed)) {
                    cell.extend(timed);
                }
                ("timed", cell)
            }
        };
        println!("{word} {cell}");
    }
    Ok(())
}

/// By which the counting plugin knows where a count begins and ends.
struct Mark(File);

impl Mark {
    fn open() -> Result<Self, String> {
        let opened = File::options().write(true).open(MARK);
        opened.map(Self).map_err(|error| format!("{MARK}: {error}"))
    }

    fn set(&self) -> Result<(), String> {
        self.0.write_at(b"1", 0).map(|_| ()).map_err(|error| format!("{MARK}: {error}"))
    }
}

/// Whether the server that was started for one cell is right for another.
fn serves(of: &Ask, ask: &Ask) -> bool {
    let is_same = of.path == ask.path
        && of.link == ask.link
        && of.table == ask.table
        && of.kind.is_forwarded() == ask.kind.is_forwarded();
    // An echo is started for a length.
    is_same && (!ask.path.is_bare() || of.kind == ask.kind && of.value_bytes == ask.value_bytes)
}
