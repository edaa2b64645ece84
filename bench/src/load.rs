//! `kdht-bench load`: one target under load, and what it answered.

mod values;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kdht_wire::Id;
use serde_json::{Value as Json, json};

use crate::draw::Draw;
use crate::generator::{Generator, Pace, Plan, Tally, Wait};
use crate::hdr;
use crate::link::Link;
use crate::oracle::Oracle;
use crate::protocol::{Kind, Speech};
use crate::slots::SLOTS_MAX;
use crate::workload::{Keys, Mix, Targets};

pub use values::store_values;

/// Requests in flight at most in an open loop.
const OPEN_IN_FLIGHT_MAX: usize = 1 << 18;
/// How long sources wait for their first answer.
const GREET_PATIENCE: Duration = Duration::from_secs(3);

/// What to load, and how.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// Where the node answers
    #[arg(long, value_name = "ADDR")]
    pub target: SocketAddr,
    /// Open loop: requests a second, Poisson; latency counts from the intended sending
    #[arg(long, value_name = "R", conflicts_with = "window")]
    pub rate: Option<f64>,
    /// Closed loop: requests in flight
    #[arg(long, value_name = "W", default_value_t = 64)]
    pub window: usize,
    /// Proportions of what is asked
    #[arg(long, value_name = "MIX", default_value = "find_node=70,ping=20,find_value=10")]
    pub mix: Mix,
    /// Distribution of targets: uniform, zipf, or near (the node; needs --control)
    #[arg(long, value_name = "KEYS", default_value = "uniform")]
    pub keys: Keys,
    /// Endpoints to ask from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sources: usize,
    /// Pad requests to this many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub request_bytes: usize,
    /// Store so many values first, and ask FIND_VALUE for them; without any it misses
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub values: usize,
    /// Length of those values
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub value_bytes: usize,
    /// Seconds to load for
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub duration: f64,
    /// A request unanswered for so long is lost
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub timeout_ms: u64,
    /// What all randomness follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the target is spoken to: kdht, krpc, opendht or bare
    #[arg(long, value_name = "PROTOCOL", default_value = "kdht")]
    pub protocol: Speech,
    /// The node's control socket, to know its table by
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Its table as `feed --ids-out` wrote it: for wide tables, which hold all that was fed
    #[arg(long, value_name = "FILE", conflicts_with = "control")]
    pub ids: Option<PathBuf>,
    /// Contacts in a whole answer
    #[arg(long, value_name = "K", default_value_t = 20)]
    pub k: usize,
    /// Check every so many replies against a full sort of the table
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub check_every: u64,
    /// Let many requests leave as one (UDP_SEGMENT); pads them to one length
    #[arg(long)]
    pub segment: bool,
    /// Sleep instead of looking again while nothing comes
    #[arg(long)]
    pub block: bool,
    /// CPU to pin the generator to
    #[arg(long, value_name = "CPU")]
    pub core: Option<usize>,
    /// Write the latencies' distribution here, as HdrHistogram's plotter reads it
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a load brought.
#[derive(Debug)]
pub struct Outcome {
    /// Counts and latencies.
    pub tally: Tally,
    /// Contacts that answers were held against; nothing where the table is not known.
    pub known: Option<usize>,
    /// Bytes of a request.
    pub request_len: usize,
    /// Bytes of the last reply.
    pub reply_len: usize,
    /// Datagrams, or batches, that the kernel did not take.
    pub send_errors: u64,
    /// Replies that the kernel dropped since our buffer was full.
    pub receive_overflow: u64,
}

/// Loads the target and prints what it did.
///
/// # Errors
/// What kept it from being loaded, or that a reply was wrong.
pub fn main(args: &LoadArgs) -> Result<(), String> {
    if let Some(core) = args.core {
        kdht::io::pin_to(core).map_err(|error| error.to_string())?;
    }
    let bar = indicatif::ProgressBar::new_spinner();
    if args.json || !std::io::stderr().is_terminal() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let outcome = load(args, |tally| {
        if tally.wall_ns / 10_000_000 % 20 == 0 {
            let (rate, lost, wrong) = (tally.rate_per_s(), tally.lost, tally.wrong);
            bar.set_message(format!("{rate:.0} replies/s, {lost} lost, {wrong} wrong"));
        }
    })?;
    bar.finish_and_clear();
    if let Some(path) = &args.hdr {
        let written = std::fs::write(path, hdr::text(&outcome.tally.latency));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let object = json_of(args, &outcome);
    if args.json {
        println!("{object}");
    } else {
        let Json::Object(fields) = &object else { return Err("no report".to_owned()) };
        fields.iter().for_each(|(name, value)| println!("{name:18} {value}"));
    }
    match outcome.tally.first_wrong {
        Some(wrong) => Err(format!("void: {} replies wrong, first {wrong:?}", outcome.tally.wrong)),
        None => Ok(()),
    }
}

/// Loads the target; `progress` is called about every 10 ms.
///
/// # Errors
/// What kept it from being loaded.
pub fn load(args: &LoadArgs, mut progress: impl FnMut(&Tally)) -> Result<Outcome, String> {
    let pace = match args.rate {
        Some(rate) if rate > 0.0 => Pace::Rate(rate),
        Some(_) => return Err("--rate must be above zero".to_owned()),
        None if (1..=SLOTS_MAX).contains(&args.window) => Pace::Window(args.window),
        None => return Err(format!("--window must be 1 to {SLOTS_MAX}")),
    };
    let duration = Duration::try_from_secs_f64(args.duration);
    let duration = duration.map_err(|_| "--duration is a number of seconds from 0 up")?;
    let protocol = args.protocol.speaker(args.seed);
    let asked = Kind::ALL.into_iter().filter(|kind| args.mix.has(*kind));
    if let Some(kind) = asked.into_iter().find(|kind| !protocol.can_ask(*kind)) {
        return Err(format!("{} cannot ask {}", protocol.name(), kind.name()));
    }
    let oracle = match (&args.control, &args.ids) {
        (Some(path), _) => Oracle::of_node(path, args.k)?,
        (None, Some(path)) => Some(Oracle::of_list(path, args.k)?),
        (None, None) => None,
    };
    let known = oracle.as_ref().map(Oracle::len);
    let node = match (&args.control, args.keys) {
        (Some(path), _) => node_id(path)?,
        (None, Keys::Near) => return Err("--keys near needs --control".to_owned()),
        (None, _) => Id::ZERO,
    };
    let mut values = Vec::new();
    if args.values > 0 {
        if args.protocol != Speech::Kdht {
            return Err("values can be stored by protocol kdht only".to_owned());
        }
        values = store_values(args.target, args.values, args.value_bytes, args.seed)?;
    }
    let plan = Plan {
        mix: args.mix,
        targets: Targets::new(args.keys, &node, &mut Draw::new(args.seed)),
        values: Targets::of(values, args.keys),
        request_len_min: args.request_bytes,
        timeout_ns: args.timeout_ms.saturating_mul(1_000_000),
        check_every: args.check_every,
        seed: args.seed,
        wait: if args.block { Wait::Block } else { Wait::Busy },
    };
    let in_flight_max = match pace {
        Pace::Window(window) => window,
        Pace::Rate(_) => OPEN_IN_FLIGHT_MAX,
    };
    if args.segment && args.sources > 1 {
        return Err(
            "--segment needs one source: only what goes to and fro one leaves together".to_owned()
        );
    }
    let link = Link::new(args.target, args.sources, args.segment)?;
    let mut generator = Generator::new(args.target, link, protocol, plan, in_flight_max);
    generator.set_oracle(oracle);
    generator.greet(GREET_PATIENCE)?;
    if args.segment {
        generator.pad();
    }
    let mut tally = generator.run(pace, duration, |tally| {
        progress(tally);
        false
    });
    generator.check_due(&mut tally);
    Ok(Outcome {
        known,
        request_len: generator.padded_len(),
        reply_len: generator.reply_len(),
        send_errors: generator.link().send_errors(),
        receive_overflow: generator.link().receive_overflow(),
        tally,
    })
}

/// The id of the node whose control socket stands at `path`.
///
/// # Errors
/// What keeps it from answering.
pub fn node_id(path: &std::path::Path) -> Result<Id, String> {
    let reply = kdht::control::ask(path, &kdht::control::Request::Stat {});
    match reply.map_err(|error| error.to_string())? {
        kdht::control::Reply::Stat(status) => {
            Id::from_hex(&status.id).ok_or_else(|| "the node's id is none".to_owned())
        }
        _ => Err("the node answered something else than its counters".to_owned()),
    }
}

fn json_of(args: &LoadArgs, outcome: &Outcome) -> Json {
    let tally = &outcome.tally;
    let us = |part: f64| hdr::quantile_us(&tally.latency, part);
    json!({
        "target": args.target.to_string(),
        "protocol": args.protocol.name(),
        "window": args.rate.is_none().then_some(args.window),
        "rate_offered": args.rate,
        "seconds": round(Duration::from_nanos(tally.wall_ns).as_secs_f64()),
        "sent": tally.sent,
        "answered": tally.answered,
        "refused": tally.refused,
        "lost": tally.lost,
        "wrong": tally.wrong,
        "checked": tally.checked,
        "table_known": outcome.known,
        "unsent": tally.unsent,
        "strays": tally.strays,
        "send_errors": outcome.send_errors,
        "receive_overflow": outcome.receive_overflow,
        "request_bytes": outcome.request_len,
        "reply_bytes": outcome.reply_len,
        "rate": round(tally.rate_per_s()),
        "p50_us": us(0.5),
        "p90_us": us(0.9),
        "p99_us": us(0.99),
        "p999_us": us(0.999),
        "max_us": us(1.0),
        "generator_busy": round(tally.busy()),
        "generator_cpu": round(tally.cpu()),
    })
}

/// To three digits behind the point.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
