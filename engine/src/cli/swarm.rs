//! The swarm on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use kdht::swarm::{Options, Report, Swarm};

use super::Failure;
use super::args::SwarmArgs;
use super::run::stop_signals;
use super::show;

pub(crate) fn swarm(args: &SwarmArgs) -> Result<(), Failure> {
    if !(0.0..=0.9).contains(&args.kill) {
        return Err(Failure::Misuse(format!("--kill must be 0 to 0.9, not {}", args.kill)));
    }
    let seed = match args.seed {
        Some(seed) => seed,
        None => u64::from_le_bytes(kdht::entropy().map_err(Failure::failed)?),
    };
    raise_descriptor_limit();
    let options = Options {
        nodes: usize::from(args.nodes),
        values: usize::try_from(args.values).map_err(Failure::misuse)?,
        roll: args.roll,
        kill: args.kill,
        seed,
        datapath: args.datapath.parse().map_err(Failure::misuse)?,
    };
    // The bar shows itself on a terminal only.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    let progress = |what: &'static str, done: usize, of: usize| {
        bar.set_message(what);
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let failed = |error| Failure::Failed(format!("swarm with --seed {seed}: {error}"));
    let mut swarm =
        Swarm::start_recorded(options, args.record.as_deref(), &progress).map_err(failed)?;
    let exercise = swarm.exercise(&progress).map_err(failed)?;
    bar.finish_and_clear();
    let report = if args.keep {
        let report = swarm.report(&exercise).map_err(failed)?;
        print(&report, args.json)?;
        keep(&swarm)?;
        report
    } else {
        let report = swarm.finish(&exercise).map_err(failed)?;
        print(&report, args.json)?;
        report
    };
    if report.found < report.values {
        let missing = report.values - report.found;
        return Err(Failure::Failed(format!(
            "{missing} of {} values were not found; again with --seed {seed}",
            report.values
        )));
    }
    // A node that was restarted or killed is asked with the cookies of before.
    if report.refusals > 0 && !args.roll && report.killed == 0 {
        let reasons: Vec<_> =
            report.refused.iter().map(|(name, n)| format!("{name} {n}")).collect();
        return Err(Failure::Failed(format!(
            "{} requests were refused ({}); again with --seed {seed}",
            report.refusals,
            reasons.join(", ")
        )));
    }
    Ok(())
}

fn print(report: &Report, is_json: bool) -> Result<(), Failure> {
    if is_json {
        show::line(&serde_json::to_string(report).map_err(Failure::failed)?);
    } else {
        lines_of(report).iter().for_each(|text| show::line(text));
    }
    Ok(())
}

fn keep(swarm: &Swarm) -> Result<(), Failure> {
    let stop = stop_signals()?;
    for addr in swarm.addrs() {
        show::talk(&format!("{addr}"));
    }
    show::talk("these nodes run until SIGINT or SIGTERM");
    let _ = stop.recv();
    Ok(())
}

fn lines_of(report: &Report) -> Vec<String> {
    let row = |name: &str, value: String| format!("{name:22}{value:>14}");
    let mut lines = vec![
        row("nodes", report.nodes.to_string()),
        row("contacts per node", format!("{:.1}", report.contacts_mean)),
        row("values", report.values.to_string()),
        row("stored", report.stored.to_string()),
        row("replicas per value", format!("{:.1}", report.replicas_mean)),
        row("nodes killed", report.killed.to_string()),
        row("found", format!("{} of {}", report.found, report.values)),
        row("  in the asker's store", report.held_by_asker.to_string()),
        row("hops, mean", format!("{:.2}", report.hops_mean)),
        row("hops, p99", report.hops_p99.to_string()),
        row("latency, p50", format!("{} µs", report.latency_us_p50)),
        row("latency, p99", format!("{} µs", report.latency_us_p99)),
        row("datagrams", report.datagrams.to_string()),
        row("packets", report.packets.to_string()),
        row("refusals", report.refusals.to_string()),
    ];
    for (reason, count) in &report.refused {
        lines.push(row(&format!("  {reason}"), count.to_string()));
    }
    lines.push(row("elapsed", format!("{:.1} s", report.elapsed_s)));
    lines.push(row("seed", report.seed.to_string()));
    lines
}

/// Each node takes a descriptor; the soft limit is often 1024 where the hard one is more.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused or not, what is missing shows when a socket is opened.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
