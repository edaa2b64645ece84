//! The simulator on a terminal.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::{fs, io};

use indicatif::{ProgressBar, ProgressStyle};
use kdht_sim::{Figures, Outcome, RunError, Scenario, run};
use serde_json::{Value as Json, json};

use super::Failure;
use super::args::SimArgs;
use super::show;

pub(crate) fn sim(args: &SimArgs) -> Result<(), Failure> {
    let path = args.scenario.display();
    let text = fs::read_to_string(&args.scenario)
        .map_err(|error| Failure::Misuse(format!("{path}: {error}")))?;
    let scenario = Scenario::parse(&text, &args.set)
        .map_err(|error| Failure::Misuse(format!("{path}: {error}")))?;
    let seed = match args.seed {
        Some(seed) => seed,
        // Small enough to be typed again.
        None => u64::from_le_bytes(kdht::entropy().map_err(Failure::failed)?) >> 32,
    };
    match args.seeds {
        Some(count) => many(args, &scenario, seed, count),
        None => one(args, &scenario, seed),
    }
}

fn one(args: &SimArgs, scenario: &Scenario, seed: u64) -> Result<(), Failure> {
    if let Some(path) = &args.report {
        // Before the run, so that no figures are lost to a path that cannot be written.
        fs::write(path, "").map_err(|error| unwritable(path, &error))?;
    }
    // The bar shows itself on a terminal only.
    let bar = bar(0);
    let outcome = run(scenario, seed, args.trace, &mut |what, done, of| {
        bar.set_message(what);
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let outcome = outcome.map_err(|error| failed(args, seed, &error))?;
    outcome.trace.iter().for_each(|line| show::talk(line));
    print(&outcome.figures, args.json)?;
    if let Some(path) = &args.report {
        let report = json!({
            "scenario": args.scenario.display().to_string(),
            "claim": scenario.claim,
            "command": again(args, seed),
            "figures": outcome.figures,
            "failures": outcome.failures,
            "rows": outcome.rows,
        });
        fs::write(path, format!("{report}\n")).map_err(|error| unwritable(path, &error))?;
    }
    judge(args, seed, &outcome)
}

/// Runs seeds in as many threads as `--jobs` says, or as there are CPUs; each run in one.
fn many(args: &SimArgs, scenario: &Scenario, first: u64, count: u64) -> Result<(), Failure> {
    let jobs = args.jobs.map(usize::from);
    let threads = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicU64::new(0);
    let failed_count = AtomicU64::new(0);
    // At once, so that an interrupted run can be repeated.
    show::talk(&format!("{count} seeds from {first} on"));
    let bar = bar(count);
    bar.set_message("seeds");
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    let done = run(scenario, seed, false, &mut |_, _, _| {})
                        .map_err(|error| failed(args, seed, &error))
                        .and_then(|outcome| {
                            if args.json {
                                print(&outcome.figures, true)?;
                            }
                            judge(args, seed, &outcome)
                        });
                    bar.inc(1);
                    if let Err(why) = done {
                        let why = why.into_text();
                        bar.suspend(|| show::talk(&format!("seed {seed}: {why}")));
                        failed_count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let failed = failed_count.into_inner();
    let summary = format!("{count} seeds from {first} on, {failed} failed");
    if failed > 0 {
        return Err(Failure::Failed(summary));
    }
    show::talk(&summary);
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

fn bar(len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn failed(args: &SimArgs, seed: u64, error: &RunError) -> Failure {
    Failure::Failed(format!("{error}\nagain with: {}", again(args, seed)))
}

fn judge(args: &SimArgs, seed: u64, outcome: &Outcome) -> Result<(), Failure> {
    if outcome.failures.is_empty() {
        return Ok(());
    }
    let lines = outcome.failures.join("\n");
    Err(Failure::Failed(format!("{lines}\nagain with: {}", again(args, seed))))
}

/// The command that runs just this again, for a shell.
fn again(args: &SimArgs, seed: u64) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let set: String = args.set.iter().map(|word| format!(" --set {}", quoted(word))).collect();
    let path = args.scenario.display().to_string();
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let path = if is_plain { path } else { quoted(&path) };
    format!("kdht sim {path} --seed {seed}{set}")
}

fn print(figures: &Figures, is_json: bool) -> Result<(), Failure> {
    if is_json {
        show::line(&serde_json::to_string(figures).map_err(Failure::failed)?);
        return Ok(());
    }
    let Json::Object(fields) = serde_json::to_value(figures).map_err(Failure::failed)? else {
        return Ok(());
    };
    // In the order of the figures, and those that were measured.
    for name in Figures::names().into_iter().chain(["digest", "elapsed_s"]) {
        let text = match fields.get(name) {
            None | Some(Json::Null) => continue,
            Some(Json::String(text)) => text.clone(),
            Some(Json::Number(number)) if number.is_f64() => {
                format!("{:.4}", number.as_f64().unwrap_or(f64::NAN))
            }
            Some(other) => other.to_string(),
        };
        show::line(&format!("{name:22}{text:>14}"));
    }
    Ok(())
}
