//! Between shards: a datagram that came to the wrong one, a note, and waking one that sleeps.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kdht::io::{Cpus, Waiter, Wakeup, allowed_cpus, pin_to};
use kdht::{Port, mesh};
use kdht_bench::draw::Draw;
use kdht_core::{Note, Route};
use kdht_wire::Contact;

use common::{endpoint, row};

/// What one flush carries: a batch off a ring.
const BATCH: u64 = 64;
/// A FIND_NODE request.
const REQUEST: [u8; 72] = [7; 72];
/// Datagrams on their way at most, so that no lane is full: half of what one holds.
const UNDER_WAY_MAX: u64 = 1_024;
/// Nobody sleeps longer, so that a lost wake-up ends the suite instead of hanging it.
const NAP_MAX: Duration = Duration::from_secs(10);

fn pair() -> (Port, Port) {
    let mut ports = mesh(2);
    let second = ports.pop().unwrap();
    (ports.pop().unwrap(), second)
}

fn hand_over(port: &mut Port, route: &Route, count: u64) {
    for _ in 0..count {
        port.hand_over(1, route, &REQUEST);
    }
    port.flush();
}

/// Takes what came, and returns how many datagrams that was.
fn take(port: &mut Port) -> u64 {
    let mut taken = 0;
    while port.receive(|parcel| taken += parcel.datagrams().count() as u64) {}
    taken
}

/// Both ends by one thread: what the hand-over itself costs, without two cores that share a
/// line of their caches.
fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh_one_thread");
    group.throughput(Throughput::Elements(BATCH));
    let route = Route::to(endpoint(1));
    let (mut from, mut to) = pair();
    row(&mut group, "datagram_72_by_64", || {
        hand_over(&mut from, &route, BATCH);
        assert_eq!(take(&mut to), BATCH);
    });
    let note = Note::Sighted(Contact::new(Draw::new(1).id(), endpoint(2)));
    let (mut from, mut to) = pair();
    row(&mut group, "note_by_64", || {
        for _ in 0..BATCH {
            from.tell(1, note);
        }
        from.flush();
        let mut taken = 0;
        while to.receive(|parcel| taken += parcel.notes().len() as u64) {}
        assert_eq!(taken, BATCH);
    });
    group.finish();
}

/// `count` datagrams from this thread to one on another core, which looks without end.
fn stream(count: u64, cpus: &Cpus) -> Duration {
    let route = Route::to(endpoint(1));
    let (mut from, mut to) = pair();
    let taken = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin_to(cpus.as_slice()[1]).unwrap();
            while taken.load(Ordering::Relaxed) < count {
                let came = take(&mut to);
                taken.fetch_add(came, Ordering::Release);
            }
        });
        pin_to(cpus.as_slice()[0]).unwrap();
        let begin = Instant::now();
        let mut handed = 0;
        while handed < count {
            let batch = BATCH.min(count - handed);
            hand_over(&mut from, &route, batch);
            handed += batch;
            while handed - taken.load(Ordering::Acquire) > UNDER_WAY_MAX {
                std::hint::spin_loop();
            }
        }
        while taken.load(Ordering::Acquire) < count {
            std::hint::spin_loop();
        }
        begin.elapsed()
    })
}

/// One side of a ping-pong in which whoever waits sleeps, as a shard's thread does.
fn sleeper(port: &mut Port, wakeup: &Wakeup, to: u8, count: u64, begins: bool) {
    let route = Route::to(endpoint(1));
    let mut waiter = Waiter::new(std::slice::from_ref(wakeup.fd()));
    let send = |port: &mut Port| {
        port.hand_over(to, &route, &REQUEST);
        port.flush();
    };
    for _ in 0..count {
        if begins {
            send(port);
        }
        while take(port) == 0 {
            if port.fall_asleep() {
                let ready = waiter.wait(Some(NAP_MAX)).unwrap().count();
                assert_eq!(ready, 1, "nobody woke it");
                wakeup.clear();
                port.wake_up();
            }
        }
        if !begins {
            send(port);
        }
    }
}

/// `count` round trips between two threads that sleep in between.
fn round_trips(count: u64, cpus: &Cpus) -> Duration {
    let (mut first, mut second) = pair();
    let (woken_first, woken_second) = (Wakeup::new().unwrap(), Wakeup::new().unwrap());
    first.wake_by(woken_first.waker());
    second.wake_by(woken_second.waker());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin_to(cpus.as_slice()[1]).unwrap();
            sleeper(&mut second, &woken_second, 0, count, false);
        });
        pin_to(cpus.as_slice()[0]).unwrap();
        let begin = Instant::now();
        sleeper(&mut first, &woken_first, 1, count, true);
        begin.elapsed()
    })
}

fn two_threads(criterion: &mut Criterion) {
    let cpus = allowed_cpus();
    if cpus.as_slice().len() < 2 {
        println!("mesh_two_threads: left out, since one CPU is allowed ({cpus})");
        return;
    }
    let mut group = criterion.benchmark_group("mesh_two_threads");
    group.throughput(Throughput::Elements(1));
    group.bench_function("datagram_72_streaming", |bencher| {
        bencher.iter_custom(|count| stream(count, &cpus));
    });
    group.bench_function("round_trip_asleep", |bencher| {
        bencher.iter_custom(|count| round_trips(count, &cpus));
    });
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = one_thread, two_threads }
criterion_main!(suites);
