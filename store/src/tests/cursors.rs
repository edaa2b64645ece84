//! Reading in parts, and walking over all keys, while values come and go.

use std::collections::{BTreeMap, BTreeSet};

use kdht_wire::{Filter, Id, Publisher};

use super::{Item, Owner, Rng, key, store, wide};
use crate::{Memory, Outcome, Storage};

/// The cursor of each plain value under key 1, by its publisher.
fn cursors(store: &Memory, now_s: u64) -> BTreeMap<Id, u16> {
    let values = store.values(now_s, &key(1), &Filter::Any);
    let plain = values.from(0).map(|record| match record.publisher {
        Publisher::Plain(id) => (*id, record.cursor),
        _ => unreachable!("only plain values were put"),
    });
    plain.collect()
}

#[test]
fn a_value_keeps_its_cursor_while_others_come_and_go() {
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let mut store = store(wide());
        let mut reused = 0;
        for now_s in 0..200 {
            let before = cursors(&store, now_s);
            let id = u8::try_from(rng.below(50)).unwrap();
            let value = [u8::try_from(rng.below(3)).unwrap()];
            let life_s = 1 + u32::try_from(rng.below(40)).unwrap();
            Item::plain(key(1), id, &value).living(life_s).put(&mut store, now_s).unwrap();
            let after = cursors(&store, now_s);
            for (id, cursor) in &before {
                assert_eq!(after.get(id), Some(cursor), "seed {seed} at {now_s}");
            }
            let distinct: BTreeSet<u16> = after.values().copied().collect();
            assert_eq!(distinct.len(), after.len(), "seed {seed} at {now_s}");
            let newcomer = after.iter().find(|(id, _)| !before.contains_key(id));
            let highest = before.values().max();
            reused += u32::from(newcomer.is_some_and(|(_, cursor)| Some(cursor) < highest));
        }
        assert!(reused > 0, "seed {seed}: no freed position was ever given again");
    }
}

#[test]
fn reading_in_parts_finds_each_value_that_stayed_exactly_once() {
    for seed in 0..100 {
        let mut rng = Rng::from_seed(seed);
        let mut store = store(wide());
        let (staying, leaving) = (0..20, 20..40);
        let mut ids: Vec<u8> = staying.clone().chain(leaving).collect();
        rng.shuffle(&mut ids);
        for id in ids {
            let life_s = if staying.contains(&id) { 1000 } else { 1 + u32::from(id) };
            Item::plain(key(1), id, b"").living(life_s).put(&mut store, 0).unwrap();
        }
        let (mut cursor, mut found, mut now_s) = (0, Vec::new(), 0);
        // Each part begins past the last, and no cursor reaches a hundred here.
        for _ in 0..100 {
            let values = store.values(now_s, &key(1), &Filter::Any);
            let Some(record) = values.from(cursor).next() else {
                break;
            };
            if let Publisher::Plain(id) = record.publisher {
                found.push(id.0[0]);
            }
            cursor = record.cursor + 1;
            now_s += rng.below(5);
            store.expire(now_s, 1);
            let newcomer = 50 + u8::try_from(rng.below(20)).unwrap();
            Item::plain(key(1), newcomer, b"").put(&mut store, now_s).unwrap();
        }
        found.retain(|id| staying.contains(id));
        found.sort_unstable();
        assert_eq!(found, staying.collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn the_values_of_all_kinds_share_a_key_and_filters_part_them() {
    let mut store = store(wide());
    let signed = |public_key| Owner::Signed { public_key, sequence: 1, salt: 0 };
    for owner in [Owner::Immutable, signed(1), signed(2), Owner::Plain { id: 1 }] {
        assert_eq!(Item::new(key(1), owner, b"v").put(&mut store, 0), Ok(Outcome::Stored));
    }
    let cursors = |filter: Filter| -> Vec<u16> {
        store.values(0, &key(1), &filter).from(0).map(|record| record.cursor).collect()
    };
    assert_eq!(cursors(Filter::Any), [0, 1, 2, 3]);
    assert_eq!(cursors(Filter::Immutable), [0]);
    assert_eq!(cursors(Filter::Signed([2; 32])), [2]);
    assert_eq!(cursors(Filter::Plain(Id([1; 20]))), [3]);
    assert!(cursors(Filter::Plain(Id([2; 20]))).is_empty());
    assert_eq!(store.values(0, &key(2), &Filter::Any).total(), 0);
}

#[test]
fn a_walk_over_the_keys_meets_each_that_stayed_once_and_in_order() {
    let mut rng = Rng::from_seed(1);
    let mut store = store(wide());
    let mut ranks: Vec<u64> = (0..100).collect();
    rng.shuffle(&mut ranks);
    for rank in ranks {
        let life_s = if rank % 2 == 0 { 1000 } else { 1 + u32::try_from(rank).unwrap() };
        Item::plain(key(rank), 1, b"").living(life_s).put(&mut store, 0).unwrap();
    }
    let (mut after, mut met, mut now_s) = (None, Vec::new(), 0);
    while let Some(next) = store.next_key(after.as_ref()) {
        met.push(next);
        after = Some(next);
        now_s += 2;
        store.expire(now_s, 10);
    }
    met.retain(|id| id.0[19] % 2 == 0);
    assert_eq!(met, (0..100).step_by(2).map(key).collect::<Vec<_>>());
}
