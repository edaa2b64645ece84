//! Contacts: who is closest, and taking note of one that answered.
#![allow(missing_docs, reason = "a benchmark")]

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kdht_bench::draw::Draw;
use kdht_core::wide::Wide;
use kdht_core::{Answer, Table};
use kdht_wire::Id;
use std::hint::black_box;

use common::{Cycle, NOW, endpoint, ids, row};

const ANSWER: Answer = Answer { rtt_us: 900, cookie: 7 };

/// A table of buckets with `count` contacts: uniform ones would fill about 200 places, so
/// each depth gets as many as a bucket holds.
fn buckets(count: u32) -> (Table, Vec<Id>) {
    let mut draw = Draw::new(3);
    let own = draw.id();
    let mut table = Table::new(own, 20, 4_096);
    let mut held = Vec::new();
    for number in 0..count {
        // At most 100 depths of 20 contacts.
        let depth = u8::try_from(number / 20).unwrap_or(0);
        let mut id = draw.id();
        for bit in 0..=depth {
            id = id.with_bit(bit, own.bit(bit) ^ (bit == depth));
        }
        table.answered(&id, &endpoint(number), &ANSWER, NOW);
        held.push(id);
    }
    assert_eq!(table.members().count(), held.len());
    (table, held)
}

fn wide(count: u32) -> Wide {
    let mut draw = Draw::new(4);
    let mut wide = Wide::new(draw.id(), count as usize);
    for number in 0..count {
        wide.answered(&draw.id(), &endpoint(number), NOW);
    }
    assert_eq!(wide.good(), count as usize);
    wide
}

fn closest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("closest");
    let (targets, asker) = (ids(5), Id::ZERO);
    for count in [200, 2_000] {
        let (table, _) = buckets(count);
        for k in [8, 20] {
            group.throughput(Throughput::Elements(1));
            let mut targets = Cycle::new(&targets);
            row(&mut group, format!("kbucket_k{k}/{count}"), || {
                // By reference: as a value it would be copied once more.
                black_box(&black_box(&table).closest(targets.next(), k, &asker)).as_slice().len()
            });
        }
    }
    for count in [200, 2_000, 20_000, 1_000_000] {
        let table = wide(count);
        for k in [8, 20] {
            group.throughput(Throughput::Elements(1));
            let mut targets = Cycle::new(&targets);
            row(&mut group, format!("wide_k{k}/{count}"), || {
                // By reference: as a value it would be copied once more.
                black_box(&black_box(&table).closest(targets.next(), k, &asker)).as_slice().len()
            });
        }
    }
    group.finish();
}

fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    group.throughput(Throughput::Elements(1));
    let (mut table, held) = buckets(2_000);
    let known: Vec<(usize, Id)> = held.into_iter().enumerate().collect();
    let place = |number: usize| endpoint(u32::try_from(number).unwrap_or(0));
    let mut contacts = Cycle::new(&known);
    row(&mut group, "kbucket_answered_2000", || {
        let (number, id) = contacts.next();
        table.answered(id, &place(*number), &ANSWER, NOW);
    });
    let mut contacts = Cycle::new(&known);
    row(&mut group, "kbucket_sighted_2000", || {
        let (number, id) = contacts.next();
        table.sighted(id, &place(*number), NOW)
    });
    let mut wide = wide(1_000_000);
    let known: Vec<_> =
        wide.iter().step_by(250).map(|entry| (entry.contact.id, entry.contact.endpoint)).collect();
    let mut contacts = Cycle::new(&known);
    row(&mut group, "wide_answered_1000000", || {
        let (id, endpoint) = contacts.next();
        wide.answered(id, endpoint, NOW)
    });
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = closest, update }
criterion_main!(suites);
