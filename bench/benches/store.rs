//! Values at a million keys: finding one, missing one, putting one.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kdht_bench::draw::Draw;
use kdht_store::{Limits, Memory, Put, SourceGroup, Storage};
use kdht_wire::{Filter, Id, Publisher, Record, key_of_value};
use std::hint::black_box;

use common::{Cycle, INPUTS, allocates, ids, row};

const KEYS: usize = 1_000_000;
const VALUE_LEN: usize = 100;

fn value(draw: &mut Draw) -> [u8; VALUE_LEN] {
    let mut value = [0; VALUE_LEN];
    value[..8].copy_from_slice(&draw.next_u64().to_le_bytes());
    value
}

fn put(store: &mut Memory, key: Id, bytes: &[u8]) {
    let record = Record::whole(Publisher::Immutable, 86_400, bytes).unwrap();
    // As many sources as make no quota bind.
    let source = SourceGroup(u64::from(key.0[0]));
    let put = Put { key, record: &record, cas: None, source, by_publisher: false };
    store.put(1_000, &put).unwrap();
}

fn store(criterion: &mut Criterion) {
    let limits = Limits {
        bytes_max: 8 << 30,
        values_max: 1 << 24,
        source_bytes_max: 8 << 30,
        ..Limits::default()
    };
    let mut store = Memory::new(limits, Id::ZERO, [1, 2, 3, 4]);
    let mut draw = Draw::new(8);
    let mut held = Vec::with_capacity(INPUTS);
    for number in 0..KEYS {
        let value = value(&mut draw);
        let key = key_of_value(&value);
        put(&mut store, key, &value);
        if number.is_multiple_of(KEYS / INPUTS) {
            held.push((key, value));
        }
    }
    let missing = ids(9);
    let mut group = criterion.benchmark_group("store_1000000");
    group.throughput(Throughput::Bytes(VALUE_LEN as u64));
    let mut keys = Cycle::new(&held);
    row(&mut group, "get_hit", || {
        let (key, _) = keys.next();
        let values = store.values(1_000, key, &Filter::Any);
        let record = values.from(0).next();
        black_box(record.map(|record| record.value.len()))
    });
    group.throughput(Throughput::Elements(1));
    let mut missing = Cycle::new(&missing);
    row(&mut group, "get_miss", || store.values(1_000, missing.next(), &Filter::Any).total());
    group.throughput(Throughput::Bytes(VALUE_LEN as u64));
    let mut values = Cycle::new(&held);
    row(&mut group, "put_same", || {
        let (key, value) = values.next();
        put(&mut store, *key, value);
    });
    let mut is_wanted = false;
    group.bench_function("put_new", |bencher| {
        is_wanted = true;
        bencher.iter_batched(
            || {
                let value = value(&mut draw);
                (key_of_value(&value), value)
            },
            |(key, value)| put(&mut store, key, &value),
            BatchSize::SmallInput,
        );
    });
    if is_wanted {
        allocates(|| {
            let value = value(&mut draw);
            put(&mut store, key_of_value(&value), &value);
        });
    }
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = store }
criterion_main!(suites);
