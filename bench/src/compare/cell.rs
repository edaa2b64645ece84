//! What the slices of one entry add up to, held against the floor's.

use serde::Serialize;

use super::entry::Entry;
use super::{Facts, Slice, carries_verdict};
use crate::gate::{self, Gate, Verdict};
use crate::hdr;
use crate::stats::{Interval, bootstrap_median, median};

/// What an entry is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To be held against.
    Floor,
    /// The floor once more, to be held against itself.
    Control,
    /// To be held against the floor.
    Candidate,
}

/// What a ratio is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Replies a second, the candidate's over the floor's.
    Throughput,
    /// CPU time a reply, the floor's over the candidate's.
    Cpu,
    /// The median latency, the candidate's over the floor's.
    Latency,
}

/// One row: an entry with so many requests in flight.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its name.
    pub candidate: String,
    /// What it is there for.
    pub role: Role,
    /// What it was asked.
    pub kind: String,
    /// Requests in flight.
    pub window: usize,
    /// Contacts that it tells others of; nothing where that is not known.
    pub table: Option<usize>,
    /// How it polls; empty where that is not known.
    pub poll: String,
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Bytes of a reply.
    pub reply_bytes: usize,
    /// Median of the slices' replies a second.
    pub rate: f64,
    /// What it is held against.
    pub base: String,
    /// What the ratio is of.
    pub metric: Metric,
    /// Median of the paired ratios.
    pub ratio_median: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// What the ratio says of its gate; nothing where it has none.
    pub verdict: Option<Verdict>,
    /// Too few slices count for throughput.
    pub generator_bound: bool,
    /// Median latency, in microseconds.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// Median of the slices' CPU time of the server for each reply.
    pub cpu_ns_per_reply: Option<f64>,
    /// Median of the paired differences to the floor's.
    pub cpu_extra_ns: Option<f64>,
    /// Whether it lies within 220 ns.
    pub cpu_verdict: Option<Verdict>,
    /// Of the server's core, by the kernel's ticks.
    pub user_ns_per_reply: f64,
    /// Of the server's core, by the kernel's ticks.
    pub system_ns_per_reply: f64,
    /// Of the server's core, by the kernel's ticks.
    pub softirq_ns_per_reply: f64,
    /// Of all cores, less what the generator spent waiting.
    pub machine_ns_per_reply: f64,
    /// System calls for each datagram in or out.
    pub syscalls_per_datagram: Option<f64>,
    /// Median part of the time in which the server had its core.
    pub server_busy: f64,
    /// Median part of the time in which the generator moved datagrams.
    pub generator_busy: f64,
    /// Slices.
    pub slices: usize,
    /// Of those, pairs that count for throughput.
    pub pairs_counted: usize,
    /// Requests lost.
    pub lost: u64,
    /// Requests refused.
    pub refused: u64,
    /// Replies checked against a full sort.
    pub checked: u64,
    /// Replies that were wrong: one voids the run.
    pub wrong: u64,
    /// The floor held against itself is within 0.97 to 1.03.
    pub is_valid: bool,
}

/// Fewest pairs that count for throughput, of ten.
const COUNTED_MIN_OF_10: usize = 5;

/// The cells of one window. `rounds` holds of each entry its slices, in the same order;
/// Throughput and CPU are held against the floor that did best in them; the floor that was
/// entered twice, `twice`, is held against itself.
#[must_use]
pub fn cells_of(
    facts: &Facts,
    entries: &[&mut Entry],
    rounds: &[Vec<Slice>],
    twice: &str,
) -> Vec<Cell> {
    let of_name =
        |name: &str| entries.iter().position(|e| e.named.name == name).map(|at| &rounds[at][..]);
    let floors = || entries.iter().zip(rounds).filter(|(entry, _)| entry.role == Role::Floor);
    let rate = |slices: &[Slice]| {
        let rates: Vec<f64> = slices.iter().map(|slice| slice.tally.rate_per_s()).collect();
        median(&rates).unwrap_or(0.0)
    };
    let best = floors().max_by(|(_, left), (_, right)| rate(left).total_cmp(&rate(right)));
    let best = best.map_or_else(|| twice.to_owned(), |(entry, _)| entry.named.name.clone());
    let fastest = |poll: &str| {
        let floors = floors().filter(|(entry, _)| entry.named.poll == poll);
        let p50 = |slices: &[Slice]| median(&p50s(slices)).unwrap_or(f64::INFINITY);
        floors
            .min_by(|(_, left), (_, right)| p50(left).total_cmp(&p50(right)))
            .map(|(entry, _)| entry.named.name.clone())
    };
    let mut cells = Vec::new();
    for (entry, slices) in entries.iter().zip(rounds) {
        let latency_gate = gate::latency(&entry.named.poll);
        let against = match (facts.window, entry.role, latency_gate) {
            (1, Role::Candidate, Some((_, poll))) => fastest(poll),
            (1, Role::Candidate, None) => fastest("block"),
            (_, Role::Control, _) => Some(twice.to_owned()),
            _ => None,
        };
        let against = against.unwrap_or_else(|| best.clone());
        let floor = of_name(&against).unwrap_or_default();
        let gate = match (entry.role, facts.window) {
            (Role::Candidate, 1) => latency_gate.map(|(gate, _)| gate),
            (Role::Candidate, _) => Some(gate::throughput(facts.contacts, facts.sources)),
            _ => None,
        };
        cells.push(cell(facts, entry, slices, (&against, floor), gate));
    }
    let is_valid = cells
        .iter()
        .filter(|cell| cell.role == Role::Control)
        .any(|control| control.ratio_median.is_some_and(gate::is_valid_control));
    for cell in &mut cells {
        cell.is_valid = is_valid;
        if !is_valid {
            (cell.verdict, cell.cpu_verdict) = (None, None);
        }
    }
    cells
}

fn cell(
    facts: &Facts,
    entry: &Entry,
    slices: &[Slice],
    (base, floor): (&str, &[Slice]),
    gate: Option<Gate>,
) -> Cell {
    let Compared { metric, interval, is_bound, counted } = compare(facts, slices, floor);
    let has_busy_loop = entry.named.poll == "busy";
    let is_enough = carries_verdict(slices.len());
    let judge = |gate: Gate, interval: &Interval| match is_enough {
        true => gate.judge(interval),
        false => Verdict::Undecided,
    };
    let verdict = gate.zip(interval).map(|(gate, interval)| {
        // A busy loop takes its core whether there is work or not.
        if metric == Metric::Cpu && has_busy_loop {
            return Verdict::Undecided;
        }
        judge(gate, &interval)
    });
    let extra: Vec<f64> = slices
        .iter()
        .zip(floor)
        .filter_map(|(own, floor)| Some(own.cpu_ns_per_reply()? - floor.cpu_ns_per_reply()?))
        .collect();
    let extra = bootstrap_median(&extra, facts.seed);
    let is_judged_by_cpu = entry.role == Role::Candidate && facts.window > 1 && !has_busy_loop;
    let cpu_gate = Gate::AtMost(gate::CPU_EXTRA_NS_MAX);
    let is_small = facts.contacts < gate::LARGE_TABLE;
    let cpu_verdict =
        extra.filter(|_| is_judged_by_cpu && is_small).map(|extra| judge(cpu_gate, &extra));
    let mut latency = hdr::histogram();
    for slice in slices {
        // Both hold the same range.
        let _ = latency.add(&slice.tally.latency);
    }
    let of = |value: fn(&Slice) -> f64| median(&slices.iter().map(value).collect::<Vec<_>>());
    let sum = |value: fn(&Slice) -> u64| slices.iter().map(value).sum::<u64>();
    let replies = sum(|slice| slice.replies);
    let per_reply = |ns: u64| ratio(ns, replies);
    let cpu: Vec<f64> = slices.iter().filter_map(Slice::cpu_ns_per_reply).collect();
    let machine_ns = sum(|slice| slice.machine.busy_ns()).saturating_sub(sum(|s| s.idle_ns));
    Cell {
        candidate: entry.named.name.clone(),
        role: entry.role,
        kind: facts.kind.clone(),
        window: facts.window,
        table: entry.contacts,
        poll: entry.named.poll.clone(),
        request_bytes: entry.lens.0,
        reply_bytes: entry.lens.1,
        rate: of(|slice| slice.tally.rate_per_s()).unwrap_or(0.0),
        base: base.to_owned(),
        metric,
        ratio_median: interval.map(|interval| interval.median),
        ci_low: interval.map(|interval| interval.low),
        ci_high: interval.map(|interval| interval.high),
        verdict,
        generator_bound: is_bound,
        p50_us: hdr::quantile_us(&latency, 0.5),
        p99_us: hdr::quantile_us(&latency, 0.99),
        p999_us: hdr::quantile_us(&latency, 0.999),
        cpu_ns_per_reply: median(&cpu),
        cpu_extra_ns: extra.map(|extra| extra.median),
        cpu_verdict,
        user_ns_per_reply: per_reply(sum(|slice| slice.core.user_ns)),
        system_ns_per_reply: per_reply(sum(|slice| slice.core.system_ns)),
        softirq_ns_per_reply: per_reply(sum(|slice| slice.core.softirq_ns)),
        machine_ns_per_reply: per_reply(machine_ns),
        syscalls_per_datagram: entry.syscalls_per_datagram,
        server_busy: of(Slice::server_busy).unwrap_or(0.0),
        generator_busy: of(|slice| slice.tally.busy()).unwrap_or(0.0),
        slices: slices.len(),
        pairs_counted: counted,
        lost: sum(|slice| slice.tally.lost),
        refused: sum(|slice| slice.tally.refused),
        checked: sum(|slice| slice.tally.checked),
        wrong: sum(|slice| slice.tally.wrong),
        is_valid: true,
    }
}

struct Compared {
    metric: Metric,
    interval: Option<Interval>,
    is_bound: bool,
    /// Pairs that count for throughput.
    counted: usize,
}

/// Holds slices against the floor's of the same rounds.
fn compare(facts: &Facts, own: &[Slice], floor: &[Slice]) -> Compared {
    let pairs = || own.iter().zip(floor);
    let counted: Vec<f64> = pairs()
        .filter(|(own, floor)| own.counts() && floor.counts())
        .map(|(own, floor)| own.tally.rate_per_s() / floor.tally.rate_per_s().max(1.0))
        .collect();
    let count = counted.len();
    let (metric, ratios) = if facts.window == 1 {
        let ratios = p50s(own).into_iter().zip(p50s(floor)).map(|(own, floor)| own / floor);
        // Where nothing was answered there is nothing to hold against anything.
        (Metric::Latency, ratios.filter(|ratio| ratio.is_finite()).collect())
    } else if count * 10 >= own.len() * COUNTED_MIN_OF_10 && count > 0 {
        (Metric::Throughput, counted)
    } else {
        let ratio = |(own, floor): (&Slice, &Slice)| {
            Some(floor.cpu_ns_per_reply()? / own.cpu_ns_per_reply()?)
        };
        (Metric::Cpu, pairs().filter_map(ratio).collect::<Vec<f64>>())
    };
    Compared {
        metric,
        interval: bootstrap_median(&ratios, facts.seed),
        is_bound: metric == Metric::Cpu,
        counted: count,
    }
}

/// The medians of the slices' latencies; infinite where nothing was answered.
fn p50s(slices: &[Slice]) -> Vec<f64> {
    let p50 = |slice: &Slice| hdr::quantile_us(&slice.tally.latency, 0.5).unwrap_or(f64::INFINITY);
    slices.iter().map(p50).collect()
}

#[allow(clippy::cast_precision_loss, reason = "times and counts of a run fit a double")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
