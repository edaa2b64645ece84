//! Time, where it means something: on a host rather than in an emulated machine.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kdht_bench::kernel::plan::Timed;
use kdht_bench::stats::quantile;

use crate::asker::Asker;

/// Round trips of a cell that are timed.
const ROUND_TRIPS: u32 = 20_480;
/// In which `perf` has begun to count.
const PERF_START: Duration = Duration::from_millis(300);

/// Times each batch of a cell: one request and its reply, or as many as are in flight.
pub(crate) fn time(asker: &mut Asker, in_flight: u32) -> Result<Timed, String> {
    let counting = Cycles::begin();
    let mut batches = Vec::new();
    let begun = Instant::now();
    for _ in 0..ROUND_TRIPS / in_flight {
        let sent = Instant::now();
        asker.ask(in_flight)?;
        batches.push(nanoseconds(sent.elapsed()));
    }
    let all = nanoseconds(begun.elapsed());
    let cycles = counting.and_then(Cycles::end);
    let each = |all: f64| all / f64::from(ROUND_TRIPS);
    let of = |part| quantile(&batches, part).unwrap_or(0.0);
    Ok(Timed { ns: each(all), p50_ns: of(0.5), p99_ns: of(0.99), cycles: cycles.map(each) })
}

#[allow(clippy::cast_precision_loss, reason = "a minute of nanoseconds fits a double")]
fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Cycles of all processors, by `perf stat`: for as long as the command lives that it runs, which
/// lives until its input ends. A signal would end one of the two alone.
struct Cycles(Child);

impl Cycles {
    /// Nothing where there is no `perf`.
    fn begin() -> Option<Self> {
        let started = Command::new("perf")
            .args(["stat", "-a", "-x", ",", "-e", "cycles", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let counting = Self(started.ok()?);
        std::thread::sleep(PERF_START);
        Some(counting)
    }

    /// Nothing where the processor does not count them.
    fn end(mut self) -> Option<f64> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stderr.take()?.read_to_string(&mut said).ok()?;
        let line = said.lines().find(|line| line.contains("cycles"))?;
        line.split(',').next()?.parse().ok()
    }
}

impl Drop for Cycles {
    fn drop(&mut self) {
        // It has ended where it was asked for its count.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn cycles_are_told_as_soon_as_they_are_asked_for() {
        let Some(counting) = Cycles::begin() else { return println!("there is no perf here") };
        let (told, telling) = channel();
        std::thread::spawn(move || told.send(counting.end()));
        let count = telling.recv_timeout(Duration::from_secs(60)).expect("perf still counts");
        println!("{count:?} cycles");
    }
}
