//! What the suites share: seeds, endpoints, and settings that keep all of them short.
#![allow(dead_code, reason = "each suite uses a part of it")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use alloc_tracker::{Allocator, Session};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use kdht_bench::draw::Draw;
use kdht_core::{NS_PER_S, Nanos, Now};
use kdht_wire::{Endpoint, Id};
use mimalloc::MiMalloc;

/// The node's allocator, counted: with another one, tables of many contacts lie in memory
/// otherwise (this one asks for huge pages), and the rows would not be the node's.
#[global_allocator]
static ALLOCATOR: Allocator<MiMalloc> = Allocator::new(MiMalloc);

/// Different inputs of one row: a power of two, more than a branch predictor remembers.
pub(crate) const INPUTS: usize = 4_096;

/// The time at which everything happens.
pub(crate) const NOW: Nanos = Nanos(1_000 * NS_PER_S);
pub(crate) const NOW_BOTH: Now = Now { mono: NOW, unix_s: 1_000 };

/// Half a second to warm up, a second to measure: two seconds a row with the analysis.
pub(crate) fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .without_plots()
}

/// Calls over which allocations are counted.
const COUNTED: u64 = 1_000;

/// A row: how long a call takes, and what it allocates.
pub(crate) fn row<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: impl Into<String>,
    mut call: impl FnMut() -> T,
) {
    let mut is_wanted = false;
    group.bench_function(name.into(), |bencher| {
        is_wanted = true;
        bencher.iter(&mut call);
    });
    // Rows that the command line leaves out are not called at all.
    if is_wanted {
        allocates(|| {
            black_box(call());
        });
    }
}

/// Prints what a call allocates, on average over the next thousand.
pub(crate) fn allocates(mut call: impl FnMut()) {
    let session = Session::new().no_stdout().no_file();
    let calls = session.operation("calls");
    {
        let _counted = calls.measure_thread().no_peak().iterations(COUNTED);
        (0..COUNTED).for_each(|_| call());
    }
    for (_, found) in session.to_report().operations() {
        let [bytes, count] = [found.total_bytes_allocated(), found.total_allocations_count()]
            .map(|sum| sum as f64 / COUNTED as f64);
        println!("{:24}alloc:  {bytes:.3} B/op in {count:.3} allocations/op", "");
    }
}

/// An endpoint of its own for each number below 2³⁰.
pub(crate) fn endpoint(number: u32) -> Endpoint {
    // On loopback, where no table holds a group of addresses to a few.
    let ip = Ipv4Addr::from(0x7f00_0001 + number / 50_000);
    // Below 51,024, so that it fits.
    let port = u16::try_from(1_024 + number % 50_000).unwrap_or(1);
    Endpoint::from(SocketAddr::from((ip, port)))
}

/// Ids drawn before the clock runs.
pub(crate) fn ids(seed: u64) -> Vec<Id> {
    let mut draw = Draw::new(seed);
    (0..INPUTS).map(|_| draw.id()).collect()
}

/// The items one after another, without end.
pub(crate) struct Cycle<'a, T> {
    items: &'a [T],
    at: usize,
}

impl<'a, T> Cycle<'a, T> {
    pub(crate) fn new(items: &'a [T]) -> Self {
        assert!(!items.is_empty());
        Self { items, at: 0 }
    }

    pub(crate) fn next(&mut self) -> &'a T {
        let item = &self.items[self.at];
        self.at = if self.at + 1 == self.items.len() { 0 } else { self.at + 1 };
        item
    }

    /// What comes `by` after the next.
    pub(crate) fn ahead(&self, by: usize) -> &'a T {
        &self.items[(self.at + by) % self.items.len()]
    }
}
