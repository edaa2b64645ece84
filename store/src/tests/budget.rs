//! What is held at most, and what leaves first.

use kdht_wire::{Filter, Id};

use super::{Item, OWN_ID, Rng, SEED, key, room_for, store, wide};
use crate::{Limits, Memory, Outcome, PUT_EXPIRE_MAX, PutError, Storage, Usage, VALUE_OVERHEAD};

fn is_held(store: &Memory, now_s: u64, key: &Id) -> bool {
    store.values(now_s, key, &Filter::Any).total() > 0
}

#[test]
fn an_empty_store_allocates_nothing_and_without_room_takes_nothing() {
    // A constant cannot hold heap memory: that this compiles is the proof.
    const EMPTY: Memory = Memory::new(Limits::NONE, OWN_ID, SEED);
    let mut store = EMPTY;
    let too_long = PutError::TooLong { len: 1, len_max: 0 };
    assert_eq!(Item::plain(key(1), 1, b"v").put(&mut store, 0), Err(too_long));
    assert_eq!(Item::plain(key(1), 1, b"").put(&mut store, 0), Err(PutError::Expired));
    assert_eq!(store.usage(), Usage::default());
    assert_eq!((store.expire(9, 9), store.next_expiry_s()), (0, None));
}

#[test]
fn a_flood_of_ten_budgets_stays_within_one_and_displaces_no_nearer_value() {
    for seed in 0..5 {
        let mut rng = Rng::from_seed(seed);
        let limits = room_for(1000);
        let mut store = store(limits);
        // Honest keys share the 30 first bits with the own id, as lookups make them do.
        let honest: Vec<Id> = (0..100).map(|_| key(rng.next() >> 30)).collect();
        for key in &honest {
            assert_eq!(Item::plain(*key, 1, &[1; 300]).put(&mut store, 0), Ok(Outcome::Stored));
        }
        let mut flooded = 0;
        let mut refused = 0;
        while flooded < 10 * limits.bytes_max {
            let mut far = key(rng.next());
            far.0[0] |= 0x80;
            let value = vec![2; usize::try_from(rng.below(1000)).unwrap()];
            flooded += value.len() as u64 + VALUE_OVERHEAD;
            match Item::plain(far, 2, &value).by_source(rng.below(9)).put(&mut store, 1) {
                Ok(_) => {}
                Err(PutError::Full { .. }) => refused += 1,
                Err(other) => panic!("seed {seed}: {other:?}"),
            }
            assert!(store.usage().bytes <= limits.bytes_max, "seed {seed}");
        }
        assert!(refused > 0 && store.usage().evicted_total > 0, "seed {seed}");
        assert!(honest.iter().all(|key| is_held(&store, 1, key)), "seed {seed}");
        store.check();
    }
}

#[test]
fn expired_values_leave_first_and_then_the_farthest() {
    let mut store = store(room_for(4));
    for (rank, life_s) in [(1, 10), (50, 100), (60, 100), (70, 100)] {
        Item::plain(key(rank), 1, b"").living(life_s).put(&mut store, 0).unwrap();
    }
    let ranks = |store: &Memory, now_s| -> Vec<u64> {
        (0..100).filter(|rank| is_held(store, now_s, &key(*rank))).collect()
    };
    assert_eq!(Item::plain(key(40), 1, b"").put(&mut store, 10), Ok(Outcome::Stored));
    assert_eq!(ranks(&store, 10), [40, 50, 60, 70]);
    assert_eq!(Item::plain(key(30), 1, b"").put(&mut store, 10), Ok(Outcome::Stored));
    assert_eq!(ranks(&store, 10), [30, 40, 50, 60]);
    let two = vec![0; usize::try_from(VALUE_OVERHEAD).unwrap()];
    assert_eq!(Item::plain(key(45), 1, &two).put(&mut store, 10), Ok(Outcome::Stored));
    assert_eq!(ranks(&store, 10), [30, 40, 45]);
    let Usage { expired_total, evicted_total, .. } = store.usage();
    assert_eq!((expired_total, evicted_total), (1, 3));
}

#[test]
fn a_refused_value_displaces_nothing_even_where_some_room_could_be_made() {
    let mut store = store(room_for(3));
    for rank in [1, 2, 80] {
        Item::plain(key(rank), 1, b"").put(&mut store, 0).unwrap();
    }
    let before = store.usage();
    // Evicting the value at 80 frees one value's room; this one takes two.
    let two = vec![0; usize::try_from(VALUE_OVERHEAD).unwrap()];
    let result = Item::plain(key(40), 1, &two).put(&mut store, 0);
    assert!(matches!(result, Err(PutError::Full { values: 3, .. })), "{result:?}");
    // Nor does an equally far value of another publisher.
    let result = Item::plain(key(80), 2, b"").put(&mut store, 0);
    assert!(matches!(result, Err(PutError::Full { values: 3, .. })), "{result:?}");
    let huge = vec![0; 1 << 20];
    let result = Item::plain(key(0), 1, &huge).put(&mut store, 0);
    assert!(matches!(result, Err(PutError::Full { .. })), "{result:?}");
    assert_eq!(store.usage(), before);
    assert!([1, 2, 80].iter().all(|rank| is_held(&store, 0, &key(*rank))));
}

#[test]
fn a_longer_value_in_a_full_slot_evicts_others_and_never_itself() {
    let mut store = store(room_for(3));
    for rank in [1, 2, 80] {
        Item::plain(key(rank), 1, b"").put(&mut store, 0).unwrap();
    }
    assert!(Item::plain(key(80), 1, b"longer").put(&mut store, 0).is_err());
    assert_eq!(Item::plain(key(2), 1, b"longer").put(&mut store, 0), Ok(Outcome::Stored));
    assert!(!is_held(&store, 0, &key(80)) && is_held(&store, 0, &key(2)));
    assert_eq!(store.usage().bytes, 2 * VALUE_OVERHEAD + 6);
}

#[test]
fn the_count_of_values_is_a_budget_too() {
    let mut store = store(Limits { values_max: 2, ..wide() });
    for rank in [5, 6] {
        Item::plain(key(rank), 1, b"").put(&mut store, 0).unwrap();
    }
    assert!(matches!(
        Item::plain(key(7), 1, b"").put(&mut store, 0),
        Err(PutError::Full { values: 2, values_max: 2, .. })
    ));
    assert_eq!(Item::plain(key(4), 1, b"").put(&mut store, 0), Ok(Outcome::Stored));
    assert_eq!(store.keys().collect::<Vec<_>>(), [key(4), key(5)]);
}

#[test]
fn a_key_holds_its_quota_of_values_and_of_bytes() {
    let limits = Limits { key_values_max: 3, key_bytes_max: 10, ..wide() };
    let mut store = store(limits);
    let full = |values, bytes| PutError::KeyFull { values, values_max: 3, bytes, bytes_max: 10 };
    let mut put = |id, value: &[u8], now_s| Item::plain(key(1), id, value).put(&mut store, now_s);
    assert_eq!(put(1, b"12345", 0), Ok(Outcome::Stored));
    assert_eq!(put(2, b"123456", 0), Err(full(1, 5)));
    assert_eq!(put(2, b"12345", 0), Ok(Outcome::Stored));
    assert_eq!(put(3, b"", 0), Ok(Outcome::Stored));
    assert_eq!(put(4, b"", 0), Err(full(3, 10)));
    // What a value replaces does not count against it.
    assert_eq!(put(1, b"54321", 0), Ok(Outcome::Stored));
    assert_eq!(put(1, b"543210", 0), Err(full(2, 5)));
    // Nor does what has expired.
    assert_eq!(put(4, b"1234567890", 100), Ok(Outcome::Stored));
}

#[test]
fn a_source_holds_its_quota_and_is_forgotten_with_its_last_value() {
    let source_bytes_max = 2 * VALUE_OVERHEAD + 10;
    let mut store = store(Limits { source_bytes_max, ..wide() });
    let mut put = |rank, source, value: &[u8], now_s| {
        let item = Item::plain(key(rank), 1, value).by_source(source);
        (item.put(&mut store, now_s), store.usage().sources)
    };
    let full = |bytes| Err(PutError::SourceFull { bytes, bytes_max: source_bytes_max });
    assert_eq!(put(1, 7, b"12345", 0), (Ok(Outcome::Stored), 1));
    assert_eq!(put(2, 7, b"12345", 0), (Ok(Outcome::Stored), 1));
    assert_eq!(put(3, 7, b"", 0), (full(source_bytes_max), 1));
    assert_eq!(put(1, 7, b"123456", 0), (full(VALUE_OVERHEAD + 5), 1));
    assert_eq!(put(3, 8, b"", 0), (Ok(Outcome::Stored), 2));
    // Who replaces a value pays for it.
    assert_eq!(put(1, 8, b"1", 0), (Ok(Outcome::Stored), 2));
    assert_eq!(put(4, 7, b"", 0), (Ok(Outcome::Stored), 2));
    assert_eq!(put(5, 9, b"", 100), (Ok(Outcome::Stored), 1));
    assert_eq!(store.usage().values, 1);
}

#[test]
fn one_value_of_the_longest_kind_fits_the_default_quotas() {
    let mut store = store(wide());
    let longest = vec![1; kdht_wire::VALUE_LEN_MAX];
    assert_eq!(Item::signed(key(1), 1, &longest).put(&mut store, 0), Ok(Outcome::Stored));
    assert_eq!(store.values(0, &key(1), &Filter::Any).from(0).next().unwrap().value, longest);
}

#[test]
fn expire_and_put_drop_no_more_than_their_budget() {
    let mut store = store(wide());
    let count = u32::try_from(PUT_EXPIRE_MAX).unwrap() + 100;
    for rank in 0..count {
        let item = Item::plain(key(rank.into()), 1, b"").living(1 + rank % 3);
        item.put(&mut store, 0).unwrap();
    }
    assert_eq!(store.expire(0, usize::MAX), 0);
    assert_eq!(store.expire(3, 90), 90);
    assert_eq!(store.next_expiry_s(), Some(2));
    Item::plain(key(1000), 1, b"").put(&mut store, 3).unwrap();
    let left = count - 90 - u32::try_from(PUT_EXPIRE_MAX).unwrap();
    assert_eq!(store.usage().values, left + 1);
    assert_eq!(store.expire(3, 90), left as usize);
    assert_eq!(store.usage().expired_total, u64::from(count));
    store.check();
}

#[test]
fn an_expired_value_blocks_neither_its_slot_nor_its_key_while_a_late_timer_leaves_it_there() {
    let mut store = store(Limits { key_values_max: 2, ..wide() });
    let last = key(5000);
    for rank in 0..2 * u64::try_from(PUT_EXPIRE_MAX).unwrap() {
        Item::plain(key(rank), 1, b"").living(1).put(&mut store, 0).unwrap();
    }
    Item::signed(last, 9, b"high").living(2).put(&mut store, 0).unwrap();
    Item::plain(last, 1, b"").living(2).put(&mut store, 0).unwrap();
    let lower = Item { cas: Some(0), ..Item::signed(last, 3, b"low") };
    assert_eq!(lower.put(&mut store, 2), Ok(Outcome::Stored));
    assert_eq!(Item::plain(last, 2, b"").put(&mut store, 2), Ok(Outcome::Stored));
    assert_eq!(store.values(2, &last, &Filter::Any).total(), 2);
    store.check();
}

#[test]
fn a_full_store_drops_what_expired_before_it_evicts_however_much_that_is() {
    let expired = 3 * u64::try_from(PUT_EXPIRE_MAX).unwrap();
    let mut store = store(room_for(expired + 1));
    Item::plain(key(9000), 1, b"").put(&mut store, 0).unwrap();
    for rank in 0..expired {
        Item::plain(key(rank), 1, b"").living(1).put(&mut store, 0).unwrap();
    }
    let most = vec![0; usize::try_from((expired - 1) * VALUE_OVERHEAD).unwrap()];
    assert_eq!(Item::plain(key(5000), 1, &most).put(&mut store, 1), Ok(Outcome::Stored));
    assert!(is_held(&store, 1, &key(9000)));
    let Usage { values, expired_total, evicted_total, .. } = store.usage();
    assert_eq!((values, expired_total, evicted_total), (2, expired, 0));
}
