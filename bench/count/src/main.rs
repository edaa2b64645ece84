//! `kdht-count`: instructions of single operations, counted by callgrind. Unlike times they are
//! the same on a busy host, so that a test can hold them to what `bench/counts.toml` says.
//!
//! Without an argument, or with `check`, all rows are held to the file; `bless` writes the
//! file anew; `run ROW` does what callgrind counts.
#![forbid(unsafe_code)]

mod counts;
mod row;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use counts::{Counts, TOLERANCE_PERCENT};
use row::ROWS;

/// What counts instructions, and the Debian package that has it.
const VALGRIND: &str = "valgrind";
/// The exit code where [`VALGRIND`] is missing.
const EXIT_MISSING: u8 = 3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] | ["check"] => check(),
        ["bless"] => bless(),
        ["run", name] => row::run(name),
        _ => {
            eprintln!("usage: kdht-count [check | bless | run ROW]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Missing) => {
            eprintln!("kdht-count: {VALGRIND} is missing: install the Debian package {VALGRIND}");
            ExitCode::from(EXIT_MISSING)
        }
        Err(Failure::Other(why)) => {
            eprintln!("kdht-count: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing was counted, or that a count is another than the one written down.
enum Failure {
    /// There is no valgrind.
    Missing,
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

fn check() -> Result<(), Failure> {
    let path = path();
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let wanted = Counts::parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    let found = count()?;
    let differences = wanted.differences(&found);
    for (name, count) in found.rows() {
        println!("{name:32} {count:>9} instructions in {} calls", row::CALLS);
    }
    if differences.is_empty() {
        return Ok(());
    }
    let toolchain = match wanted.toolchain() == found.toolchain() {
        true => String::new(),
        false => format!(
            "\nwritten down with {}, counted with {}",
            wanted.toolchain(),
            found.toolchain()
        ),
    };
    Err(Failure::Other(format!(
        "instructions differ by more than {TOLERANCE_PERCENT} % from bench/counts.toml:\n{}{}\n\
         if that is meant to be: cargo run --release -p kdht-count -- bless",
        differences.join("\n"),
        toolchain
    )))
}

fn bless() -> Result<(), Failure> {
    let (path, found) = (path(), count()?);
    let written = std::fs::write(&path, found.text());
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Counts every row by a valgrind of its own.
fn count() -> Result<Counts, Failure> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for row in ROWS {
        rows.push((row.name, collected(&own, row.name)?));
    }
    Ok(Counts::new(env!("KDHT_RUSTC"), rows))
}

/// Instructions of the calls that [`row::run`] makes to be counted.
fn collected(own: &Path, name: &str) -> Result<u64, Failure> {
    let ran = Command::new(VALGRIND)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*collected_here*")
        .arg(own)
        .args(["run", name])
        .output();
    let ran = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Failure::Missing),
        ran => ran.map_err(|error| format!("{VALGRIND}: {error}"))?,
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match count {
        Some(count) if ran.status.success() && count > 0 => Ok(count),
        _ => Err(Failure::Other(format!("{name} could not be counted:\n{said}"))),
    }
}

/// The file of the counts, beside this crate.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("counts.toml")
}
