//! One turn of one entry: resumed, warmed, measured, paused.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::entry::{Entry, Stage};
use crate::cpu::{self, CoreTimes};
use crate::gate::{GENERATOR_BUSY_MAX, SERVER_BUSY_MIN};
use crate::generator::{Pace, Tally};
use crate::hdr;
use crate::now_ns;

/// What one turn found.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The measured part.
    pub tally: Tally,
    /// Replies of the whole turn, warming included: what its CPU time was spent for.
    pub replies: u64,
    /// CPU time of the server's process over the turn.
    pub server_ns: Option<u64>,
    /// Length of the turn.
    pub turn_ns: u64,
    /// The server's core over the turn, in ticks of the kernel.
    pub core: CoreTimes,
    /// All cores over the turn, in ticks of the kernel.
    pub machine: CoreTimes,
    /// Time that the generator spent looking for what was not there.
    pub idle_ns: u64,
}

#[allow(clippy::cast_precision_loss, reason = "times and counts of a slice fit a double")]
impl Slice {
    /// The part of the turn in which the server's process had its core.
    #[must_use]
    pub fn server_busy(&self) -> f64 {
        let busy_ns = self.server_ns.unwrap_or_else(|| self.core.busy_ns());
        busy_ns as f64 / self.turn_ns.max(1) as f64
    }

    /// Whether its throughput is the server's and not the generator's.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.server_busy() >= SERVER_BUSY_MIN && self.tally.busy() <= GENERATOR_BUSY_MAX
    }

    /// CPU time of the server for each reply, in nanoseconds.
    #[must_use]
    pub fn cpu_ns_per_reply(&self) -> Option<f64> {
        let busy_ns = self.server_ns.unwrap_or_else(|| self.core.busy_ns());
        (self.replies > 0).then(|| busy_ns as f64 / self.replies as f64)
    }

    /// The line of `raw.jsonl`.
    #[must_use]
    pub fn json(&self, name: &str, window: usize, round: usize) -> Json {
        let tally = &self.tally;
        let core = |times: &CoreTimes| {
            json!({
                "user_ns": times.user_ns,
                "system_ns": times.system_ns,
                "softirq_ns": times.softirq_ns,
                "idle_ns": times.idle_ns,
                "steal_ns": times.steal_ns,
            })
        };
        json!({
            "candidate": name,
            "window": window,
            "round": round,
            "counts": self.counts(),
            "rate": tally.rate_per_s(),
            "answered": tally.answered,
            "lost": tally.lost,
            "refused": tally.refused,
            "wrong": tally.wrong,
            "checked": tally.checked,
            "p50_us": hdr::quantile_us(&tally.latency, 0.5),
            "p99_us": hdr::quantile_us(&tally.latency, 0.99),
            "wall_ns": tally.wall_ns,
            "turn_ns": self.turn_ns,
            "replies": self.replies,
            "server_ns": self.server_ns,
            "server_busy": self.server_busy(),
            "generator_busy": tally.busy(),
            "generator_cpu": tally.cpu(),
            "generator_idle_ns": self.idle_ns,
            "core": core(&self.core),
            "machine": core(&self.machine),
        })
    }
}

/// Gives `entry` its turn.
///
/// # Errors
/// Its process has ended.
pub(super) fn measure(stage: &Stage, entry: &mut Entry, pace: Pace) -> Result<Slice, String> {
    let warm = Duration::from_millis(stage.args.warm_ms);
    let length = Duration::from_millis(stage.args.slice_ms);
    let cores_before = cpu::cores();
    let server_before = entry.resident.cpu_ns();
    let start_ns = now_ns();
    entry.generator.forget();
    entry.resident.resume()?;
    let warmed = entry.generator.run(pace, warm, |_| false);
    let mut tally = entry.generator.run(pace, length, |_| false);
    entry.resident.pause()?;
    let turn_ns = now_ns() - start_ns;
    let server_ns = server_before.zip(entry.resident.cpu_ns());
    let server_ns = server_ns.map(|(before, after)| after.saturating_sub(before));
    let (mut core, mut machine) = (CoreTimes::default(), CoreTimes::default());
    for (number, (after, before)) in cpu::cores().iter().zip(&cores_before).enumerate() {
        let spent = after.since(before);
        machine.add(&spent);
        if number == stage.server_core {
            core = spent;
        }
    }
    entry.generator.check_due(&mut tally);
    let idle = |tally: &Tally| tally.wall_ns.saturating_sub(tally.useful_ns);
    Ok(Slice {
        replies: warmed.answered + tally.answered,
        idle_ns: idle(&warmed) + idle(&tally),
        tally,
        server_ns,
        turn_ns,
        core,
        machine,
    })
}
