//! `kdht-bench compare`: floors and candidates, resident on one core, measured in turn.

mod cell;
mod entry;
mod overload;
mod slice;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use crate::draw::Draw;
use crate::echo::{Mover, Waiting};
use crate::generator::{Pace, Wait};
use crate::hdr;
use crate::host;
use crate::perf;
use crate::protocol::Kind;
use crate::report;
use crate::stats::median;

pub use cell::{Cell, Metric, Role, cells_of};
pub use entry::{Named, Stage};
pub use overload::{OverloadArgs, Overloaded, main as overload};
pub use slice::Slice;

use entry::Entry;

/// Rounds that a verdict stands on.
pub const PAIRS: usize = 60;
/// Rounds of a quick run: enough to see that all works, and a hint.
pub const PAIRS_QUICK: usize = 12;
/// Slices of each floor from which the one that is entered twice is picked.
const PILOT_SLICES: usize = 3;

/// Whom to compare, and how.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Few slices and windows: a hint, no result
    #[arg(long)]
    pub quick: bool,
    /// Rounds, each with a slice of everybody [default: 60, quick 12]
    #[arg(long, value_name = "N")]
    pub pairs: Option<usize>,
    /// Length of a slice
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub slice_ms: u64,
    /// Load before each slice that is not counted
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pub warm_ms: u64,
    /// Requests in flight, one cell each [default: 1,16,64,256, quick 1,64]
    #[arg(long, value_name = "W", value_delimiter = ',')]
    pub window: Vec<usize>,
    /// Contacts that the node is fed
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub contacts: usize,
    /// The node's kind of table: wide or kbucket
    #[arg(long, value_name = "TABLE", default_value = "wide")]
    pub table: String,
    /// What is asked: ping, find_node or find_value (which misses)
    #[arg(long, value_name = "KIND", default_value = "find_node")]
    pub kind: crate::workload::Mix,
    /// Endpoints to ask from; more than one goes without UDP_SEGMENT
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sources: usize,
    /// Send each request by itself
    #[arg(long)]
    pub no_segment: bool,
    /// Whose replies to one asker leave as one (UDP_SEGMENT)
    #[arg(long, value_enum, default_value_t = SegmentReplies::Nodes)]
    pub segment_replies: SegmentReplies,
    /// Which of our own candidates, such as uring-adaptive,mmsg-sleep; `none` for none
    /// [default: all six]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub own: Vec<String>,
    /// Another candidate, as NAME=COMMAND, NAME:PROTOCOL=COMMAND or
    /// NAME:PROTOCOL:ADDR=COMMAND. Without ADDR its first line on standard output is JSON with
    /// `listen`; {core} and {contacts} are filled in
    #[arg(long, value_name = "CANDIDATE")]
    pub candidate: Vec<Named>,
    /// Another floor, in the same form; {reply_bytes} is filled in
    #[arg(long, value_name = "FLOOR")]
    pub floor: Vec<Named>,
    /// CPU of the servers [default: the last allowed]
    #[arg(long, value_name = "CPU")]
    pub server_core: Option<usize>,
    /// CPU of the generator and the contacts [default: the first allowed]
    #[arg(long, value_name = "CPU")]
    pub generator_core: Option<usize>,
    /// The command `kdht` [default: beside this one]
    #[arg(long, value_name = "PATH")]
    pub kdht: Option<PathBuf>,
    /// Folder for the report; made, and must not exist
    /// [default: target/bench/ and the time]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Count instructions and more by `perf stat`, where the machine can
    #[arg(long)]
    pub perf: bool,
    /// What all randomness follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print the cells as JSON
    #[arg(long)]
    pub json: bool,
}

/// Whose replies leave several as one, which the kernel cuts apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum SegmentReplies {
    /// Those of our own nodes, as they do unless told otherwise; echoes send each by itself
    Nodes,
    /// Those of our echoes, too
    Both,
    /// Nobody's
    None,
}

/// Everything that one run found.
#[derive(Debug, Default)]
pub struct Findings {
    /// A row each.
    pub cells: Vec<Cell>,
    /// What could not be measured, and why; what makes the run worth less.
    pub notes: Vec<String>,
    /// What `kdht tune check` says: its last word, and all of it.
    pub tuning: (String, String),
    /// Distributions of latency: candidate, window, histogram.
    pub latencies: Vec<(String, usize, hdrhistogram::Histogram<u64>)>,
}

/// Compares, writes the folder and prints where it is.
///
/// # Errors
/// What kept it from measuring, a wrong reply, or a control that voids the run.
pub fn main(args: &CompareArgs) -> Result<(), String> {
    let stage = Stage::set(args)?;
    let (verdict, tuning) = host::tuning(&stage.kdht, stage.server_core);
    eprintln!("{verdict}");
    let mut findings = Findings { tuning: (verdict, tuning), ..Findings::default() };
    let mut raw = String::new();
    let mut perf_found = serde_json::Map::new();
    for named in stage.groups(args).into_values() {
        measure_group(&stage, &named, &mut findings, &mut raw, &mut perf_found)?;
    }
    if findings.cells.is_empty() {
        return Err(format!("nothing was measured: {}", findings.notes.join("; ")));
    }
    let is_valid = findings.cells.iter().all(|cell| cell.is_valid);
    write_folder(&stage, &findings, &raw, perf_found, is_valid)?;
    if args.json {
        println!("{}", json!({ "valid": is_valid, "quick": args.quick, "cells": findings.cells }));
    } else {
        print!("{}", report::table(&findings.cells));
    }
    findings.notes.iter().for_each(|note| eprintln!("note: {note}"));
    eprintln!("report: {}", stage.out.join("report.html").display());
    match findings.cells.iter().find(|cell| cell.wrong > 0) {
        Some(cell) => Err(format!("void: {} gave wrong replies", cell.candidate)),
        None if !is_valid => Err("invalid: the floor held against itself differs".to_owned()),
        None => Ok(()),
    }
}

fn measure_group(
    stage: &Stage,
    named: &[Named],
    findings: &mut Findings,
    raw: &mut String,
    perf_found: &mut serde_json::Map<String, Json>,
) -> Result<(), String> {
    let args = &stage.args;
    let mut candidates = Vec::new();
    for one in named {
        eprintln!("starting {}", one.name);
        match stage.start_candidate(one) {
            Ok(entry) => candidates.push(entry),
            Err(why) => findings.notes.push(format!("{} was left out: {why}", one.name)),
        }
    }
    let Some((request_len, reply_len)) = candidates.first().map(Entry::sizes) else {
        return Ok(());
    };
    let mut floors = Vec::new();
    for (mover, waiting) in [
        (Mover::Uring, Waiting::Block),
        (Mover::Uring, Waiting::Busy),
        (Mover::Mmsg, Waiting::Block),
        (Mover::Mmsg, Waiting::Busy),
    ] {
        let named = stage.own_floor(mover, waiting, reply_len);
        match stage.start_floor(&named, Role::Floor, request_len) {
            Ok(entry) => floors.push(entry),
            Err(why) => findings.notes.push(format!("{} was left out: {why}", named.name)),
        }
    }
    for one in &args.floor {
        let named = one.filled(stage, reply_len);
        floors.push(stage.start_floor(&named, Role::Floor, request_len)?);
    }
    for window in stage.windows() {
        let wait = if window < 16 { Wait::Busy } else { stage.wait };
        floors.iter_mut().chain(&mut candidates).for_each(|entry| entry.generator.set_wait(wait));
        let picked = pilot(stage, &mut floors, window)?;
        let twin = floors[picked].named.twin();
        let mut control = stage.start_floor(&twin, Role::Control, request_len)?;
        control.generator.set_wait(wait);
        let mut entries: Vec<&mut Entry> = floors.iter_mut().chain(&mut candidates).collect();
        entries.push(&mut control);
        eprintln!("window {window}: {} rounds of {} slices", stage.pairs(), entries.len());
        let rounds = run_rounds(stage, &mut entries, window, raw)?;
        let twice = entries[picked].named.name.clone();
        let mut cells = cells_of(&stage.facts(window), &entries, &rounds, &twice);
        for (entry, slices) in entries.iter().zip(&rounds) {
            let mut latency = hdr::histogram();
            for slice in slices {
                // Both hold the same range.
                let _ = latency.add(&slice.tally.latency);
            }
            findings.latencies.push((entry.named.name.clone(), window, latency));
        }
        if args.perf {
            count_by_perf(&mut entries, window, perf_found)?;
        }
        findings.cells.append(&mut cells);
    }
    Ok(())
}

/// The number of the floor that does best: most replies, or with one in flight soonest.
fn pilot(stage: &Stage, floors: &mut [Entry], window: usize) -> Result<usize, String> {
    let mut rates = vec![Vec::new(); floors.len()];
    for _ in 0..PILOT_SLICES {
        for (floor, rates) in floors.iter_mut().zip(&mut rates) {
            rates.push(slice::measure(stage, floor, Pace::Window(window))?.tally.rate_per_s());
        }
    }
    let medians = rates.iter().map(|rates| median(rates).unwrap_or(0.0)).enumerate();
    let best = medians.max_by(|(_, left), (_, right)| left.total_cmp(right));
    best.map(|(at, _)| at).ok_or_else(|| "there is no floor".to_owned())
}

/// A slice of each entry a round, in an order drawn anew each time: of each entry its slices.
fn run_rounds(
    stage: &Stage,
    entries: &mut [&mut Entry],
    window: usize,
    raw: &mut String,
) -> Result<Vec<Vec<Slice>>, String> {
    let mut draw = Draw::new(stage.args.seed ^ window as u64);
    let mut rounds: Vec<Vec<Slice>> = entries.iter().map(|_| Vec::new()).collect();
    let before: Vec<_> = entries.iter().map(|entry| entry.calls()).collect::<Result<_, _>>()?;
    for round in 0..stage.pairs() {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        draw.shuffle(&mut order);
        for at in order {
            let entry = &mut *entries[at];
            let slice = slice::measure(stage, entry, Pace::Window(window))?;
            let line = slice.json(&entry.named.name, window, round);
            // Writing to a string cannot fail.
            let _ = writeln!(raw, "{line}");
            rounds[at].push(slice);
        }
    }
    for (entry, before) in entries.iter_mut().zip(before) {
        entry.note_calls(before)?;
    }
    Ok(rounds)
}

fn count_by_perf(
    entries: &mut [&mut Entry],
    window: usize,
    found: &mut serde_json::Map<String, Json>,
) -> Result<(), String> {
    for entry in entries {
        let counted = match perf::begin(entry.resident.pid(), 1.0) {
            Ok(counting) => {
                entry.resident.resume()?;
                let lasting = Duration::from_millis(1_300);
                let mut tally = entry.generator.run(Pace::Window(window), lasting, |_| false);
                entry.resident.pause()?;
                entry.generator.check_due(&mut tally);
                json!({ "replies_per_s": tally.rate_per_s(), "in_1_s": perf::finish(counting) })
            }
            Err(why) => json!({ "error": why }),
        };
        found.insert(format!("{}-w{window}", entry.named.name), counted);
    }
    Ok(())
}

fn write_folder(
    stage: &Stage,
    findings: &Findings,
    raw: &str,
    perf_found: serde_json::Map<String, Json>,
    is_valid: bool,
) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        let path = stage.out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let env = host::describe();
    write("env.json", &format!("{env:#}\n"))?;
    write("raw.jsonl", raw)?;
    let args = &stage.args;
    let summary = json!({
        "valid": is_valid,
        "quick": args.quick,
        "pairs": stage.pairs(),
        "notes": findings.notes,
        "tuning": { "verdict": findings.tuning.0, "check": findings.tuning.1 },
        "cells": findings.cells,
    });
    write("cells.json", &format!("{summary:#}\n"))?;
    if args.perf {
        write("perf.json", &format!("{:#}\n", Json::Object(perf_found)))?;
    }
    fs::create_dir_all(stage.out.join("hdr")).map_err(|error| error.to_string())?;
    for (name, window, latency) in &findings.latencies {
        write(&format!("hdr/{name}-w{window}.hgrm"), &hdr::text(latency))?;
    }
    let command = repeat();
    write("repeat.sh", &format!("#!/bin/sh\n# Measures the same again.\n{command}\n"))?;
    let page = report::Page { env: &env, findings, is_valid, args, command: &command };
    write("report.html", &page.html()?)
}

/// This command line, as a shell reads it.
pub(crate) fn repeat() -> String {
    let quoted = |word: String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            return word;
        }
        format!("'{}'", word.replace('\'', "'\\''"))
    };
    std::env::args().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A folder named by what is done and the time.
pub(crate) fn default_out(target: &Path, what: &str) -> PathBuf {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    target.join(format!("{what}-{}", since.as_secs()))
}

/// What stays the same over one window, for its cells.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Requests in flight.
    pub window: usize,
    /// What is asked.
    pub kind: String,
    /// Contacts fed.
    pub contacts: usize,
    /// Endpoints that ask.
    pub sources: usize,
    /// What the bootstrap follows from.
    pub seed: u64,
}

impl Stage {
    fn facts(&self, window: usize) -> Facts {
        let kinds = Kind::ALL.into_iter().filter(|kind| self.args.kind.has(*kind));
        let kind = kinds.map(Kind::name).collect::<Vec<_>>().join("+");
        let CompareArgs { contacts, sources, seed, .. } = self.args;
        Facts { window, kind, contacts, sources, seed }
    }

    fn pairs(&self) -> usize {
        let quick = if self.args.quick { PAIRS_QUICK } else { PAIRS };
        self.args.pairs.unwrap_or(quick).max(1)
    }

    fn windows(&self) -> Vec<usize> {
        match (&self.args.window[..], self.args.quick) {
            ([], false) => vec![1, 16, 64, 256],
            ([], true) => vec![1, 64],
            (given, _) => given.to_vec(),
        }
    }
}

/// Whether so many rounds carry a verdict.
#[must_use]
pub fn carries_verdict(pairs: usize) -> bool {
    pairs >= PAIRS
}
