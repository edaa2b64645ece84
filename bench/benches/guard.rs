//! What stands before every reply: the cookie, the MAC of a private network, the throttle.
#![allow(missing_docs, reason = "a benchmark")]

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kdht_bench::draw::Draw;
use kdht_core::{Cookies, Throttle, ThrottleConfig};
use kdht_wire::{Endpoint, NetworkKey};
use std::hint::black_box;

use common::{Cycle, INPUTS, NOW, endpoint, row};

fn cookie(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cookie");
    group.throughput(Throughput::Elements(1));
    let mut cookies = Cookies::new([7; 16], NOW);
    let asker = |number: usize| endpoint(u32::try_from(number).unwrap_or(0));
    let askers: Vec<(Endpoint, u64)> = (0..INPUTS)
        .map(|number| (asker(number), cookies.check(&asker(number), 0, NOW).fresh))
        .collect();
    for (name, is_proven) in [("valid", true), ("none", false)] {
        let mut askers = Cycle::new(&askers);
        row(&mut group, name, || {
            let (asker, cookie) = askers.next();
            cookies.check(asker, if is_proven { *cookie } else { 0 }, NOW)
        });
    }
    group.finish();
}

fn mac(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mac");
    let key = NetworkKey { id: 1, secret: [9; 16] };
    for len in [72, 892, 1_224] {
        let bytes = vec![3; len];
        group.throughput(Throughput::Bytes(len as u64));
        row(&mut group, len.to_string(), || key.mac(black_box(&bytes)));
    }
    group.finish();
}

fn throttle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("throttle");
    group.throughput(Throughput::Elements(1));
    let mut draw = Draw::new(6);
    let sources: Vec<Endpoint> =
        (0..1_000_000).map(|_| endpoint(u32::try_from(draw.below(1 << 30)).unwrap_or(0))).collect();
    for (name, slots) in
        [("default_slots", ThrottleConfig::default().slots), ("2^20_slots", 1 << 20)]
    {
        let config = ThrottleConfig { slots, ..ThrottleConfig::default() };
        let mut throttle = Throttle::new(&config, [5; 16]);
        let mut sources = Cycle::new(&sources);
        row(&mut group, format!("{name}_1000000_sources"), || {
            let source = throttle.source(sources.next(), false);
            throttle.allow(source, 1, NOW)
        });
    }
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = cookie, mac, throttle }
criterion_main!(suites);
