//! `kdht-bench overload`: what a server answers of more than twice what it can.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use clap::Args;
use kdht::control::{self, Reply, Request};
use serde::Serialize;
use serde_json::json;

use super::entry::{Entry, Stage};
use super::{CompareArgs, Role, carries_verdict, default_out, repeat};
use crate::cpu;
use crate::echo::{Mover, Waiting};
use crate::gate::{self, Verdict};
use crate::generator::{Pace, Tally};
use crate::hdr;
use crate::host;
use crate::oracle::Oracle;
use crate::stats::{bootstrap_median, median};

/// Requests in flight at most. Those that are lost stay so for 200 ms.
const IN_FLIGHT_MAX: usize = 1 << 18;
/// Windows of which the best rate is looked for.
const WINDOWS: [usize; 3] = [64, 128, 256];
/// Slices of each window from which that is told.
const PILOT_SLICES: usize = 3;
/// Load before what is measured: longer than a full receive buffer takes to be served.
const WARM: Duration = Duration::from_millis(60);
/// After it, until what the server's buffer still held is served.
const SETTLE: Duration = Duration::from_millis(150);
/// Requests a second while it settles: the least that the open loop knows.
const SETTLE_PACE: Pace = Pace::Rate(1.0);

/// Whom to overload, and how.
#[derive(Args, Clone, Debug)]
pub struct OverloadArgs {
    /// Whom, and where; what concerns windows and floors of others has no effect
    #[command(flatten)]
    pub compare: CompareArgs,
    /// How many times its best rate each is offered; below 2 the result is void
    #[arg(long, value_name = "TIMES", default_value_t = 2.3)]
    pub factor: f64,
}

/// What became of one server.
#[derive(Clone, Debug, Serialize)]
pub struct Overloaded {
    /// Its name.
    pub candidate: String,
    /// What it is there for.
    pub role: Role,
    /// Requests in flight at which it answered most.
    pub window: usize,
    /// Median of the replies a second then.
    pub rate_best: f64,
    /// Median of the requests a second that left the generator.
    pub rate_offered: f64,
    /// Median of the replies a second that came back.
    pub rate_answered: f64,
    /// Median of the ratios of offered to best rate, of slices that follow each other.
    pub offered_ratio: f64,
    /// The same of answered to best rate.
    pub ratio_median: f64,
    /// Lower end of its 95 % interval.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// Less than twice the best rate was offered: the rest says nothing.
    pub is_void: bool,
    /// What the ratio says of its gate; nothing of a void result or a floor.
    pub verdict: Option<Verdict>,
    /// Memory of the process before it was first overloaded, in KiB.
    pub resident_before_kib: u64,
    /// And after the last time.
    pub resident_after_kib: u64,
    /// It grew by no more than a hundredth.
    pub is_flat: bool,
    /// Requests sent in all, and what became of them.
    pub sent: u64,
    /// Replies, late ones included.
    pub answered: u64,
    /// Requests without a reply, by the reason that was counted for them.
    pub drops: BTreeMap<String, u64>,
    /// Requests without a reply that no counter names.
    pub unnamed: u64,
    /// Median latency from the intended sending, in microseconds.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// Replies that were wrong: one voids the run.
    pub wrong: u64,
    /// Why the first was.
    pub first_wrong: Option<String>,
    /// Slices at whose end the node's table was not what it was before, or could not be read:
    /// whoever is overloaded may lose what contacts answer, too, and rightly tells nobody of such a
    /// contact. Their replies were not checked.
    pub unchecked_slices: usize,
    /// Slices of overload.
    pub slices: usize,
}

/// Overloads, prints what was answered, and writes it down.
///
/// # Errors
/// What kept it from measuring, a wrong reply, or that too little was offered.
pub fn main(args: &OverloadArgs) -> Result<(), String> {
    let named_out = || Some(default_out("target/bench".as_ref(), "overload"));
    let mut compare = args.compare.clone();
    compare.out = compare.out.or_else(named_out);
    let mut stage = Stage::set(&compare)?;
    stage.in_flight_max = IN_FLIGHT_MAX;
    let mut results = Vec::new();
    for named in stage.groups(&compare).into_values().flatten() {
        eprintln!("starting {}", named.name);
        let mut candidate = match stage.start_candidate(&named) {
            Ok(candidate) => candidate,
            Err(why) => {
                eprintln!("note: {} was left out: {why}", named.name);
                continue;
            }
        };
        if results.is_empty() {
            overload_floors(&stage, candidate.sizes(), args.factor, &mut results)?;
        }
        results.push(overload(&stage, &mut candidate, args.factor)?);
    }
    if results.is_empty() {
        return Err("nothing was measured".to_owned());
    }
    write_down(&stage, &results)?;
    if compare.json {
        println!("{}", json!({ "quick": compare.quick, "overloaded": results }));
    } else {
        print!("{}", table(&results));
    }
    eprintln!("report: {}", stage.out.join("overload.json").display());
    // Two slices a pair.
    if let Some(result) = results.iter().find(|it| it.unchecked_slices == 2 * it.slices) {
        return Err(format!("void: no reply of {} could be checked", result.candidate));
    }
    if let Some(wrong) = results.iter().find(|result| result.wrong > 0) {
        let first = wrong.first_wrong.as_deref().unwrap_or_default();
        return Err(format!("void: {} gave wrong replies: {first}", wrong.candidate));
    }
    match results.iter().find(|result| result.is_void) {
        Some(void) => Err(format!(
            "void: {} was offered {:.2} times its best rate, and 2 is the least; see --factor, \
             or the generator's core is not fast enough",
            void.candidate, void.offered_ratio
        )),
        None => Ok(()),
    }
}

/// Measures the busy echoes that answer with as many bytes as the first candidate.
fn overload_floors(
    stage: &Stage,
    (request_len, reply_len): (usize, usize),
    factor: f64,
    results: &mut Vec<Overloaded>,
) -> Result<(), String> {
    for mover in [Mover::Uring, Mover::Mmsg] {
        let named = stage.own_floor(mover, Waiting::Busy, reply_len);
        match stage.start_floor(&named, Role::Floor, request_len) {
            Ok(mut floor) => results.push(overload(stage, &mut floor, factor)?),
            Err(why) => eprintln!("note: {} was left out: {why}", named.name),
        }
    }
    Ok(())
}

/// Measures one server: its best rate and its answers to too much, in turn.
fn overload(stage: &Stage, entry: &mut Entry, factor: f64) -> Result<Overloaded, String> {
    let mut unchecked_slices = 0;
    let (window, best) = pilot(stage, entry)?;
    eprintln!("{}: {best:.0} replies/s with {window} in flight", entry.named.name);
    let resident_before_kib = cpu::resident_kib(entry.resident.pid());
    let before = named_drops(entry)?;
    let mut sum = Tally::default();
    let mut latency = hdr::histogram();
    let (mut calm, mut offered, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..stage.pairs() {
        // What the host gives changes within a run, so each pair has its own best rate.
        let (tally, is_checked) = turn(stage, entry, Pace::Window(window), &mut sum)?;
        unchecked_slices += usize::from(!is_checked);
        let best = tally.rate_per_s();
        let pace = Pace::Rate((best * factor).max(1.0));
        let (tally, is_checked) = turn(stage, entry, pace, &mut sum)?;
        unchecked_slices += usize::from(!is_checked);
        calm.push(best);
        offered.push(tally.sent_per_s());
        answered.push(tally.rate_per_s());
        // Both hold the same range.
        let _ = latency.add(&tally.latency);
    }
    let mut drops = named_drops(entry)?;
    for (name, count) in &mut drops {
        *count = count.saturating_sub(before.get(name).copied().unwrap_or(0));
    }
    let lost_here = entry.generator.link().receive_overflow();
    drops.insert("reply lost in the generator's buffer".to_owned(), lost_here);
    drops.retain(|_, count| *count > 0);
    let resident_after_kib = cpu::resident_kib(entry.resident.pid());
    let ratios = |rates: &[f64]| -> Vec<f64> {
        rates.iter().zip(&calm).map(|(rate, calm)| rate / calm.max(1.0)).collect()
    };
    let interval = bootstrap_median(&ratios(&answered), stage.args.seed).ok_or("no slices")?;
    let of = |values: &[f64]| median(values).unwrap_or(0.0);
    let offered_ratio = of(&ratios(&offered));
    let is_void = offered_ratio < gate::OVERLOAD_MIN;
    let verdict = (entry.role == Role::Candidate && !is_void).then(|| {
        let enough = carries_verdict(stage.pairs());
        if enough { gate::OVERLOAD.judge(&interval) } else { Verdict::Undecided }
    });
    let replies = sum.answered + sum.refused + sum.strays;
    let explained = replies + drops.values().sum::<u64>();
    Ok(Overloaded {
        candidate: entry.named.name.clone(),
        role: entry.role,
        window,
        rate_best: of(&calm),
        rate_offered: of(&offered),
        rate_answered: of(&answered),
        offered_ratio,
        ratio_median: interval.median,
        ci_low: interval.low,
        ci_high: interval.high,
        is_void,
        verdict,
        resident_before_kib,
        resident_after_kib,
        is_flat: resident_after_kib <= resident_before_kib + resident_before_kib / 100,
        sent: sum.sent,
        answered: replies,
        unnamed: sum.sent.saturating_sub(explained),
        drops,
        p50_us: hdr::quantile_us(&latency, 0.5),
        p99_us: hdr::quantile_us(&latency, 0.99),
        wrong: sum.wrong,
        first_wrong: sum.first_wrong.map(|wrong| format!("{wrong:?}")),
        unchecked_slices,
        slices: answered.len(),
    })
}

/// The window at which it answers most, and how much.
fn pilot(stage: &Stage, entry: &mut Entry) -> Result<(usize, f64), String> {
    let mut best = (WINDOWS[0], 0.0);
    for window in WINDOWS {
        let mut rates = Vec::new();
        for _ in 0..PILOT_SLICES {
            let (tally, _) = turn(stage, entry, Pace::Window(window), &mut Tally::default())?;
            rates.push(tally.rate_per_s());
        }
        let rate = median(&rates).unwrap_or(0.0);
        if rate > best.1 {
            best = (window, rate);
        }
    }
    Ok(best)
}

/// One slice, in which nobody else runs; all that was sent in it is added to `sum`. Also whether
/// its replies were checked.
fn turn(
    stage: &Stage,
    entry: &mut Entry,
    pace: Pace,
    sum: &mut Tally,
) -> Result<(Tally, bool), String> {
    entry.generator.forget();
    entry.resident.resume()?;
    let length = Duration::from_millis(stage.args.slice_ms);
    let warmed = run(entry, pace, WARM);
    let mut tally = run(entry, pace, length);
    let settled = run(entry, SETTLE_PACE, SETTLE);
    let table = entry.resident.control().map(|path| Oracle::of_node(path, 20));
    entry.resident.pause()?;
    let is_checked = match table {
        // Nobody to ask, or more than one reading tells: a list is held against.
        None | Some(Ok(None)) => true,
        Some(Ok(Some(table))) => entry.generator.renew_oracle(table),
        Some(Err(_)) => false,
    };
    if is_checked {
        entry.generator.check_due(&mut tally);
    } else {
        entry.generator.forget_due();
    }
    [&warmed, &tally, &settled].into_iter().for_each(|part| sum.add(part));
    Ok((tally, is_checked))
}

/// Runs the generator: what the kernel did not take of it was not sent.
fn run(entry: &mut Entry, pace: Pace, length: Duration) -> Tally {
    let refused = entry.generator.link().send_errors();
    let mut tally = entry.generator.run(pace, length, |_| false);
    let refused = entry.generator.link().send_errors() - refused;
    tally.sent = tally.sent.saturating_sub(refused);
    tally
}

/// Datagrams that were dropped or refused so far, by reason.
fn named_drops(entry: &Entry) -> Result<BTreeMap<String, u64>, String> {
    let mut drops = BTreeMap::new();
    let full = cpu::udp_drops(entry.resident.addr().port());
    drops.insert("receive buffer full".to_owned(), full);
    let Some(path) = entry.resident.control() else { return Ok(drops) };
    entry.resident.resume()?;
    let told = control::ask(path, &Request::Stat {});
    entry.resident.pause()?;
    if let Ok(Reply::Stat(status)) = told {
        drops.insert("not sent".to_owned(), status.datapath.send_errors);
        drops.extend(status.refusals.iter().map(|(name, count)| (name.clone(), *count)));
    }
    Ok(drops)
}

fn write_down(stage: &Stage, results: &[Overloaded]) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        let path = stage.out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let summary = json!({
        "quick": stage.args.quick,
        "pairs": stage.pairs(),
        "offered_min": gate::OVERLOAD_MIN,
        "overloaded": results,
    });
    write("overload.json", &format!("{summary:#}\n"))?;
    write("env.json", &format!("{:#}\n", host::describe()))?;
    write("repeat.sh", &format!("#!/bin/sh\n# Measures the same again.\n{}\n", repeat()))
}

/// The results for a terminal: a line each, and its drops below.
fn table(results: &[Overloaded]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{:<18} {:>9} {:>9} {:>6} {:>9} {:>6}  {:<14} {:<9}  resident KiB",
        "server", "best/s", "offered/s", "times", "answered", "share", "95 %", "verdict"
    );
    for result in results {
        let verdict = match (result.is_void, result.verdict) {
            (true, _) => "void",
            (false, Some(Verdict::Met)) => "met",
            (false, Some(Verdict::Missed)) => "missed",
            (false, Some(Verdict::Undecided)) => "undecided",
            (false, None) => "",
        };
        let _ = writeln!(
            out,
            "{:<18} {:>9.0} {:>9.0} {:>6.2} {:>9.0} {:>6.3}  {:.3} to {:.3} {verdict:<9}  {} to {}",
            result.candidate,
            result.rate_best,
            result.rate_offered,
            result.offered_ratio,
            result.rate_answered,
            result.ratio_median,
            result.ci_low,
            result.ci_high,
            result.resident_before_kib,
            result.resident_after_kib,
        );
        for (name, count) in &result.drops {
            let _ = writeln!(out, "    {name}: {count} of {}", result.sent);
        }
        if result.unnamed > 0 {
            let _ = writeln!(out, "    unnamed: {} of {}", result.unnamed, result.sent);
        }
        if result.unchecked_slices > 0 {
            let unchecked = result.unchecked_slices;
            let _ =
                writeln!(out, "    another table after {unchecked} slices, which were not checked");
        }
    }
    out
}
