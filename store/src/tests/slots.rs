//! One slot: what replaces what, and for how long it stays.

use kdht_wire::Filter;

use super::{Item, Owner, Rng, key, store, wide};
use crate::{Limits, Memory, Outcome, PutError, Storage};

/// Sequence, seconds left and bytes of the one value that a reader sees.
fn seen(store: &Memory, now_s: u64) -> Option<(u64, u32, Vec<u8>)> {
    let values = store.values(now_s, &key(1), &Filter::Any);
    assert!(values.total() <= 1);
    values.from(0).next().map(|record| {
        let sequence = match record.publisher {
            kdht_wire::Publisher::Signed(tail) => tail.sequence.get(),
            _ => 0,
        };
        (sequence, record.remaining_s, record.value.to_vec())
    })
}

#[test]
fn in_any_order_of_puts_the_highest_sequence_wins_and_readers_never_see_it_fall() {
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let mut sequences: Vec<u64> = (0..20).map(|_| rng.below(1 << 40)).collect();
        sequences.extend_from_within(..5);
        rng.shuffle(&mut sequences);
        let mut store = store(wide());
        let mut highest = 0;
        for (step, sequence) in sequences.iter().enumerate() {
            let forged = rng.below(4) == 0;
            let value = if forged { vec![0xff] } else { sequence.to_le_bytes().to_vec() };
            // Two writers of one sequence: whichever came first stays.
            let result = Item::signed(key(1), *sequence, &value).put(&mut store, step as u64);
            let (now, ..) = seen(&store, step as u64).unwrap();
            assert!(now >= highest, "seed {seed} step {step}: {now} after {highest}");
            if result.is_err() {
                assert_eq!(result, Err(PutError::Sequence { held: now }), "seed {seed}");
            }
            highest = now;
        }
        assert_eq!(Some(&highest), sequences.iter().max(), "seed {seed}");
    }
}

#[test]
fn what_remains_of_a_value_never_rises() {
    for seed in 0..300 {
        let mut rng = Rng::from_seed(seed);
        let owner = match rng.below(3) {
            0 => Owner::Immutable,
            1 => Owner::Signed { public_key: 1, sequence: 5, salt: 0 },
            _ => Owner::Plain { id: 1 },
        };
        let mut store = store(wide());
        let mut now_s = 1000;
        let first = Item::new(key(1), owner, b"same").living(500);
        assert_eq!(first.put(&mut store, now_s), Ok(Outcome::Stored));
        let mut left_s = 500;
        for _ in 0..40 {
            // The clock that is handed in may even run backwards.
            now_s = (now_s + rng.below(30)).saturating_sub(rng.below(10));
            let again = first.clone().living(1 + u32::try_from(rng.below(90_000)).unwrap());
            let result = again.put(&mut store, now_s);
            if result == Ok(Outcome::Stored) {
                break;
            }
            assert_eq!(result, Ok(Outcome::Refreshed), "seed {seed}");
            let (_, now_left_s, _) = seen(&store, now_s).unwrap();
            assert!(now_left_s <= left_s, "seed {seed}: {now_left_s} after {left_s}");
            left_s = now_left_s;
        }
    }
}

#[test]
fn a_replay_with_little_time_left_does_not_shorten_a_life() {
    let mut store = store(wide());
    let item = Item::signed(key(1), 1, b"v");
    assert_eq!(item.clone().living(500).put(&mut store, 0), Ok(Outcome::Stored));
    assert_eq!(item.living(1).put(&mut store, 10), Ok(Outcome::Refreshed));
    assert_eq!(seen(&store, 10), Some((1, 490, b"v".to_vec())));
}

#[test]
fn only_the_publisher_of_a_plain_value_sets_its_life_anew() {
    let mut store = store(wide());
    let item = Item::plain(key(1), 1, b"v");
    let published = Item { by_publisher: true, ..item.clone() };
    assert_eq!(item.clone().living(50).put(&mut store, 0), Ok(Outcome::Stored));
    assert_eq!(item.living(500).put(&mut store, 10), Ok(Outcome::Refreshed));
    assert_eq!(seen(&store, 10), Some((0, 40, b"v".to_vec())));
    assert_eq!(published.clone().living(500).put(&mut store, 10), Ok(Outcome::Refreshed));
    assert_eq!(seen(&store, 10), Some((0, 500, b"v".to_vec())));
    assert_eq!(published.living(5).put(&mut store, 10), Ok(Outcome::Refreshed));
    assert_eq!((seen(&store, 14).is_some(), seen(&store, 15)), (true, None));
    store.check();
}

#[test]
fn a_plain_value_with_other_bytes_takes_the_slot_and_its_own_life() {
    let mut store = store(wide());
    assert_eq!(Item::plain(key(1), 1, b"old").put(&mut store, 0), Ok(Outcome::Stored));
    let new = Item::plain(key(1), 1, b"new").living(700);
    assert_eq!(new.put(&mut store, 10), Ok(Outcome::Stored));
    assert_eq!(seen(&store, 10), Some((0, 700, b"new".to_vec())));
}

#[test]
fn the_same_sequence_is_acknowledged_again_only_with_the_same_bytes_and_salt() {
    let mut store = store(wide());
    let owner = |sequence, salt| Owner::Signed { public_key: 1, sequence, salt };
    let mut put = |sequence, salt, value: &[u8]| {
        Item::new(key(1), owner(sequence, salt), value).put(&mut store, 0)
    };
    assert_eq!(put(7, 1, b"v"), Ok(Outcome::Stored));
    assert_eq!(put(7, 1, b"v"), Ok(Outcome::Refreshed));
    assert_eq!(put(7, 2, b"v"), Err(PutError::Sequence { held: 7 }));
    assert_eq!(put(7, 1, b"w"), Err(PutError::Sequence { held: 7 }));
    assert_eq!(put(6, 1, b"v"), Err(PutError::Sequence { held: 7 }));
    assert_eq!(put(8, 2, b"w"), Ok(Outcome::Stored));
}

#[test]
fn compare_and_swap_writes_over_the_named_sequence_only() {
    let mut store = store(wide());
    let mut put = |sequence, cas, value: &[u8]| {
        Item { cas: Some(cas), ..Item::signed(key(1), sequence, value) }.put(&mut store, 0)
    };
    assert_eq!(put(5, 1, b"a"), Err(PutError::Cas { held: 0 }));
    assert_eq!(put(5, 0, b"a"), Ok(Outcome::Stored));
    assert_eq!(put(6, 0, b"b"), Err(PutError::Cas { held: 5 }));
    assert_eq!(put(6, 4, b"b"), Err(PutError::Cas { held: 5 }));
    assert_eq!(put(6, 5, b"b"), Ok(Outcome::Stored));
    // The acknowledgement may have been lost.
    assert_eq!(put(6, 5, b"b"), Ok(Outcome::Refreshed));
    assert_eq!(put(6, 5, b"other"), Err(PutError::Cas { held: 6 }));
    assert_eq!(put(6, 6, b"other"), Err(PutError::Sequence { held: 6 }));
}

#[test]
fn an_expired_value_is_gone_before_expire_ran() {
    let mut store = store(wide());
    assert_eq!(Item::signed(key(1), 9, b"v").living(5).put(&mut store, 100), Ok(Outcome::Stored));
    assert_eq!(seen(&store, 104), Some((9, 1, b"v".to_vec())));
    assert_eq!(seen(&store, 105), None);
    assert_eq!(store.next_expiry_s(), Some(105));
    let lower = Item { cas: Some(0), ..Item::signed(key(1), 3, b"w") };
    assert_eq!(lower.put(&mut store, 105), Ok(Outcome::Stored));
    assert_eq!(seen(&store, 105), Some((3, 100, b"w".to_vec())));
}

#[test]
fn a_life_is_cut_to_the_limit_and_none_is_refused() {
    let mut store = store(Limits { lifetime_s_max: 60, ..wide() });
    let item = Item::signed(key(1), 1, b"v");
    assert_eq!(item.clone().living(0).put(&mut store, 0), Err(PutError::Expired));
    assert_eq!(item.living(u32::MAX).put(&mut store, 0), Ok(Outcome::Stored));
    assert_eq!(seen(&store, 0), Some((1, 60, b"v".to_vec())));
}

#[test]
fn the_end_of_time_overflows_nothing() {
    let mut store = store(wide());
    let item = Item::signed(key(1), 1, b"v").living(u32::MAX);
    assert_eq!(item.put(&mut store, u64::MAX - 1), Ok(Outcome::Stored));
    assert_eq!(seen(&store, u64::MAX - 1), Some((1, 1, b"v".to_vec())));
    assert_eq!(store.expire(u64::MAX, 9), 1);
}

#[test]
fn every_acknowledged_put_and_no_refused_one_counts_as_the_last_time_stored() {
    for owner in [
        Owner::Immutable,
        Owner::Signed { public_key: 1, sequence: 5, salt: 0 },
        Owner::Plain { id: 1 },
    ] {
        let mut store = store(wide());
        let stored = |store: &Memory, now_s| {
            let values = store.values(now_s, &key(1), &Filter::Any);
            values.stored().map(|(record, at_s)| (record.cursor, at_s)).collect::<Vec<_>>()
        };
        let item = Item::new(key(1), owner, b"same").living(5_000);
        item.put(&mut store, 10).unwrap();
        assert_eq!(stored(&store, 20), [(0, 10)]);
        item.put(&mut store, 30).unwrap();
        assert_eq!(stored(&store, 40), [(0, 30)]);
        assert!(item.living(0).put(&mut store, 50).is_err());
        assert_eq!(stored(&store, 50), [(0, 30)]);
        store.mark_stored(&key(1), 0, 7);
        store.mark_stored(&key(1), 1, 8);
        store.mark_stored(&key(2), 0, 9);
        assert_eq!(stored(&store, 60), [(0, 7)]);
    }
}
