//! The store against a list that is searched from end to end.

use kdht_wire::{Filter, Id, Publisher};

use super::{Item, OWN_ID, Owner, Rng, key, store};
use crate::{Limits, Outcome, PutError, Storage, VALUE_OVERHEAD};

#[derive(Clone, Debug)]
struct Entry {
    item: Item,
    deadline_s: u64,
    cursor: u16,
}

#[derive(Clone, Debug)]
struct Model {
    limits: Limits,
    entries: Vec<Entry>,
}

impl Entry {
    fn cost(&self) -> u64 {
        self.item.value.len() as u64 + VALUE_OVERHEAD
    }
}

fn same_slot(a: &Item, b: &Item) -> bool {
    a.key == b.key
        && match (a.owner, b.owner) {
            (Owner::Immutable, Owner::Immutable) => true,
            (Owner::Signed { public_key: a, .. }, Owner::Signed { public_key: b, .. }) => a == b,
            (Owner::Plain { id: a }, Owner::Plain { id: b }) => a == b,
            _ => false,
        }
}

impl Model {
    fn drop_expired(&mut self, now_s: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.deadline_s > now_s);
        before - self.entries.len()
    }

    fn put(&mut self, now_s: u64, item: &Item) -> Result<Outcome, PutError> {
        self.drop_expired(now_s);
        let limits = self.limits;
        let len = item.value.len() as u64;
        if len > u64::from(limits.value_len_max) {
            let (len, len_max) = (u32::try_from(len).unwrap(), limits.value_len_max);
            return Err(PutError::TooLong { len, len_max });
        }
        let remaining_s = item.remaining_s.min(limits.lifetime_s_max);
        if remaining_s == 0 {
            return Err(PutError::Expired);
        }
        let deadline_s = now_s + u64::from(remaining_s);
        let at = self.entries.iter().position(|entry| same_slot(&entry.item, item));
        if let Some(outcome) = self.judge(at, item, deadline_s)? {
            return Ok(outcome);
        }
        let mut next = self.clone();
        let old = at.map(|at| next.entries.remove(at));
        let of_key: Vec<&Entry> =
            next.entries.iter().filter(|entry| entry.item.key == item.key).collect();
        let bytes: u64 = of_key.iter().map(|entry| entry.item.value.len() as u64).sum();
        let values = u16::try_from(of_key.len()).unwrap();
        if values + 1 > limits.key_values_max || bytes + len > limits.key_bytes_max {
            let (values_max, bytes_max) = (limits.key_values_max, limits.key_bytes_max);
            return Err(PutError::KeyFull { values, values_max, bytes, bytes_max });
        }
        let of_source = next.entries.iter().filter(|entry| entry.item.source == item.source);
        let bytes: u64 = of_source.map(Entry::cost).sum();
        if bytes + len + VALUE_OVERHEAD > limits.source_bytes_max {
            return Err(PutError::SourceFull { bytes, bytes_max: limits.source_bytes_max });
        }
        let cursor = old.map_or_else(
            || (0..).find(|free| of_key.iter().all(|entry| entry.cursor != *free)).unwrap(),
            |old| old.cursor,
        );
        next.evict_for(item)?;
        next.entries.push(Entry { item: item.clone(), deadline_s, cursor });
        *self = next;
        Ok(Outcome::Stored)
    }

    /// What the slot says; `None` where the value is to be written.
    fn judge(
        &mut self,
        at: Option<usize>,
        item: &Item,
        deadline_s: u64,
    ) -> Result<Option<Outcome>, PutError> {
        let held = at.map(|at| &mut self.entries[at]);
        if let Owner::Signed { sequence, .. } = item.owner {
            let same = held
                .as_ref()
                .is_some_and(|e| e.item.owner == item.owner && e.item.value == item.value);
            if same {
                return Ok(Some(Outcome::Refreshed));
            }
            let held = held.map(|entry| match entry.item.owner {
                Owner::Signed { sequence, .. } => sequence,
                _ => unreachable!("another kind in the slot"),
            });
            let held = held.unwrap_or(0);
            if item.cas.is_some_and(|cas| cas != held) {
                return Err(PutError::Cas { held });
            }
            return if held >= sequence { Err(PutError::Sequence { held }) } else { Ok(None) };
        }
        let Some(held) = held.filter(|held| held.item.value == item.value) else {
            return Ok(None);
        };
        if item.by_publisher && item.owner != Owner::Immutable {
            held.deadline_s = deadline_s;
        }
        Ok(Some(Outcome::Refreshed))
    }

    fn evict_for(&mut self, item: &Item) -> Result<(), PutError> {
        let limits = self.limits;
        let bytes = |entries: &[Entry]| entries.iter().map(Entry::cost).sum::<u64>();
        let full = PutError::Full {
            values: u32::try_from(self.entries.len()).unwrap(),
            values_max: limits.values_max,
            bytes: bytes(&self.entries),
            bytes_max: limits.bytes_max,
        };
        let need = item.value.len() as u64 + VALUE_OVERHEAD;
        let rank = |entry: &Entry| (entry.item.key.distance(&OWN_ID), entry.cursor);
        self.entries.sort_by_key(rank);
        while bytes(&self.entries) + need > limits.bytes_max
            || self.entries.len() as u64 + 1 > u64::from(limits.values_max)
        {
            let farthest = self.entries.pop().ok_or(full)?;
            if farthest.item.key.distance(&OWN_ID) <= item.key.distance(&OWN_ID) {
                return Err(full);
            }
        }
        Ok(())
    }

    /// Cursor, seconds left, owner and bytes of what a read finds.
    fn read(&self, now_s: u64, key: &Id, filter: &Filter) -> Vec<(u16, u64, Owner, Vec<u8>)> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.item.key == *key && entry.deadline_s > now_s)
            .filter(|entry| match (filter, entry.item.owner) {
                (Filter::Any, _) | (Filter::Immutable, Owner::Immutable) => true,
                (Filter::Signed(key), Owner::Signed { public_key, .. }) => *key == [public_key; 32],
                (Filter::Plain(wanted), Owner::Plain { id }) => *wanted == Id([id; 20]),
                _ => false,
            })
            .map(|entry| {
                let left_s = entry.deadline_s - now_s;
                (entry.cursor, left_s, entry.item.owner, entry.item.value.clone())
            })
            .collect();
        found.sort_by_key(|(cursor, ..)| *cursor);
        found
    }
}

fn owner_of(publisher: Publisher<'_>) -> Owner {
    match publisher {
        Publisher::Immutable => Owner::Immutable,
        Publisher::Signed(tail) => Owner::Signed {
            public_key: tail.public_key[0],
            sequence: tail.sequence.get(),
            salt: tail.salt[0],
        },
        Publisher::Plain(id) => Owner::Plain { id: id.0[0] },
    }
}

/// Small numbers everywhere, so that slots, keys and sources collide all the time.
fn any_item(rng: &mut Rng) -> Item {
    let small = |rng: &mut Rng, end| u8::try_from(rng.below(end)).unwrap();
    let rank = rng.below(8);
    let mut len = usize::try_from(rng.below(5)).unwrap();
    if rng.below(20) == 0 {
        len = usize::try_from(rng.below(400)).unwrap();
    }
    let value = vec![small(rng, 3); len];
    let owner = match rng.below(5) {
        0 => Owner::Immutable,
        1 | 2 => {
            Owner::Signed { public_key: small(rng, 3), sequence: rng.below(5), salt: small(rng, 2) }
        }
        _ => Owner::Plain { id: small(rng, 3) },
    };
    // An immutable value's key determines its bytes.
    let value = if owner == Owner::Immutable { vec![9; 3] } else { value };
    Item {
        cas: (rng.below(4) == 0).then(|| rng.below(4)),
        source: rng.below(4),
        by_publisher: rng.below(2) == 0,
        remaining_s: u32::try_from(rng.below(30)).unwrap(),
        ..Item::new(key(rank), owner, &value)
    }
}

fn any_limits(rng: &mut Rng) -> Limits {
    let some = 2 + rng.below(20);
    let tight = |rng: &mut Rng, narrow: u64| if rng.below(3) == 0 { narrow } else { 1 << 20 };
    Limits {
        bytes_max: some * (VALUE_OVERHEAD + 2),
        values_max: u32::try_from(tight(rng, some)).unwrap(),
        key_values_max: u16::try_from(tight(rng, 3).min(60)).unwrap(),
        key_bytes_max: tight(rng, 9),
        source_bytes_max: tight(rng, 4 * VALUE_OVERHEAD + 12),
        value_len_max: 300,
        lifetime_s_max: 20,
    }
}

fn any_filter(rng: &mut Rng) -> Filter {
    let small = u8::try_from(rng.below(3)).unwrap();
    match rng.below(4) {
        0 => Filter::Immutable,
        1 => Filter::Signed([small; 32]),
        2 => Filter::Plain(Id([small; 20])),
        _ => Filter::Any,
    }
}

#[test]
fn any_sequence_of_calls_gives_what_a_list_would() {
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in 0..400 {
        let mut rng = Rng::from_seed(seed);
        let limits = any_limits(&mut rng);
        let mut model = Model { limits, entries: Vec::new() };
        let mut store = store(limits);
        let mut now_s = rng.below(1000);
        for step in 0..300 {
            match rng.below(10) {
                0 => now_s += rng.below(8),
                1 => {
                    let dropped = store.expire(now_s, usize::MAX);
                    assert_eq!(dropped, model.drop_expired(now_s), "seed {seed} step {step}");
                    let next_s = model.entries.iter().map(|entry| entry.deadline_s).min();
                    assert_eq!(store.next_expiry_s(), next_s, "seed {seed} step {step}");
                }
                2 | 3 => {
                    let (key, filter) = (key(rng.below(8)), any_filter(&mut rng));
                    let cursor = u16::try_from(rng.below(4)).unwrap();
                    let want = model.read(now_s, &key, &filter);
                    let found = store.values(now_s, &key, &filter);
                    let total = usize::from(found.total());
                    assert_eq!(total, want.len(), "seed {seed} step {step}");
                    let got: Vec<_> = found
                        .from(cursor)
                        .map(|record| {
                            let owner = owner_of(record.publisher);
                            assert_eq!(record.value_len as usize, record.value.len());
                            let left_s = u64::from(record.remaining_s);
                            (record.cursor, left_s, owner, record.value.to_vec())
                        })
                        .collect();
                    let want: Vec<_> = want.into_iter().filter(|(at, ..)| *at >= cursor).collect();
                    assert_eq!(got, want, "seed {seed} step {step}");
                }
                _ => {
                    let item = any_item(&mut rng);
                    let want = model.put(now_s, &item);
                    assert_eq!(item.put(&mut store, now_s), want, "seed {seed} step {step}");
                    *outcomes.entry(name_of(want)).or_insert(0_u32) += 1;
                    let mut keys: Vec<Id> = model.entries.iter().map(|e| e.item.key).collect();
                    keys.sort_by_key(|key| key.distance(&OWN_ID));
                    keys.dedup();
                    assert_eq!(store.keys().collect::<Vec<_>>(), keys, "seed {seed} {step}");
                }
            }
            store.check();
        }
    }
    for name in
        ["Stored", "Refreshed", "TooLong", "Expired", "Cas", "Sequence", "KeyFull", "SourceFull"]
    {
        assert!(outcomes.get(name).is_some_and(|count| *count > 20), "{name}: {outcomes:?}");
    }
    assert!(outcomes["Full"] > 20, "{outcomes:?}");
}

fn name_of(result: Result<Outcome, PutError>) -> String {
    let shown = match result {
        Ok(outcome) => format!("{outcome:?}"),
        Err(error) => format!("{error:?}"),
    };
    shown.split(' ').next().unwrap_or_default().to_owned()
}
