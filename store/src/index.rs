//! Held values by key, by distance, by expiry and by source, kept in step.

use alloc::collections::BTreeSet;
use core::hash::BuildHasher;
use core::mem;
use core::ops::Bound::{Excluded, Unbounded};

use ahash::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use kdht_wire::{Distance, Id, Publisher};

use crate::held::Held;
use crate::key_values::KeyValues;
use crate::put::SourceGroup;

/// All values, and the orders in which they leave.
///
/// Decides nothing: each change is made to every index and account at once. A key is in
/// `by_distance` if and only if it is in `keys`; a value's deadline is in `by_expiry`
/// once; `bytes`, `values` and `sources` are sums over what is held.
pub(crate) struct Index {
    own_id: Id,
    keys: HashMap<Id, KeyValues, RandomState>,
    by_distance: BTreeSet<Distance>,
    by_expiry: BTreeSet<Expiry>,
    /// Bytes charged; a source that is charged nothing is not kept.
    sources: HashMap<SourceGroup, u64, RandomState>,
    bytes: u64,
}

/// When which value goes. Orders by time first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Expiry {
    deadline_s: u64,
    key: Id,
    cursor: u16,
}

impl Index {
    /// An empty index; allocates nothing.
    pub(crate) const fn new(own_id: Id, hash_seed: [u64; 4]) -> Self {
        let [a, b, c, d] = hash_seed;
        Self {
            own_id,
            keys: HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)),
            by_distance: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            sources: HashMap::with_hasher(RandomState::with_seeds(a, b, c, d)),
            bytes: 0,
        }
    }

    pub(crate) fn hash_of(&self, key: &Id) -> u64 {
        BuildHasher::hash_one(self.keys.hasher(), key)
    }

    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn value_count(&self) -> usize {
        self.by_expiry.len()
    }

    pub(crate) fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Bytes charged for all values.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes charged to one source.
    pub(crate) fn source_bytes(&self, source: SourceGroup) -> u64 {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    pub(crate) fn distance(&self, key: &Id) -> Distance {
        self.own_id.distance(key)
    }

    /// The key at a distance: XOR is its own inverse.
    fn key_at(&self, distance: &Distance) -> Id {
        Id(self.own_id.distance(&Id(distance.0)).0)
    }

    pub(crate) fn key_values(&self, key: &Id) -> Option<&KeyValues> {
        self.keys.get(key)
    }

    /// The value in a publisher's slot, expired or not.
    pub(crate) fn slot(&self, key: &Id, publisher: &Publisher<'_>) -> Option<&Held> {
        self.keys.get(key)?.iter().find(|held| held.is_slot_of(publisher))
    }

    /// The deadline that comes first.
    pub(crate) fn next_expiry_s(&self) -> Option<u64> {
        self.by_expiry.first().map(|first| first.deadline_s)
    }

    /// The nearest key, or the nearest beyond `after`.
    pub(crate) fn next_key(&self, after: Option<&Id>) -> Option<Id> {
        let lower = after.map_or(Unbounded, |key| Excluded(self.distance(key)));
        let next = self.by_distance.range((lower, Unbounded)).next()?;
        Some(self.key_at(next))
    }

    /// The values of the keys strictly farther than `distance`, by key.
    pub(crate) fn farther_than(&self, distance: Distance) -> impl Iterator<Item = &KeyValues> {
        let farther = self.by_distance.range((Excluded(distance), Unbounded));
        farther.filter_map(|distance| self.keys.get(&self.key_at(distance)))
    }

    /// Adds a value to its key's at a free cursor.
    pub(crate) fn insert(&mut self, key: Id, held: Held) {
        self.charge(held.source, held.cost());
        let deadline_s = held.deadline_s;
        let cursor = match self.keys.entry(key) {
            Entry::Occupied(mut values) => values.get_mut().insert(held),
            Entry::Vacant(vacant) => {
                self.by_distance.insert(self.own_id.distance(&key));
                vacant.insert(KeyValues::new(held)).last_cursor()
            }
        };
        self.by_expiry.insert(Expiry { deadline_s, key, cursor });
    }

    /// Puts a value in the place of the one at its cursor.
    pub(crate) fn replace(&mut self, key: Id, held: Held) {
        let cursor = held.cursor;
        let (deadline_s, source, cost) = (held.deadline_s, held.source, held.cost());
        let Some(place) = self.keys.get_mut(&key).and_then(|values| values.get_mut(cursor)) else {
            return;
        };
        let old = mem::replace(place, held);
        self.by_expiry.remove(&Expiry { deadline_s: old.deadline_s, key, cursor });
        self.by_expiry.insert(Expiry { deadline_s, key, cursor });
        self.refund(old.source, old.cost());
        self.charge(source, cost);
    }

    /// Gives the value at a cursor another deadline.
    pub(crate) fn renew(&mut self, key: Id, cursor: u16, deadline_s: u64) {
        let Some(held) = self.keys.get_mut(&key).and_then(|values| values.get_mut(cursor)) else {
            return;
        };
        let old_s = mem::replace(&mut held.deadline_s, deadline_s);
        self.by_expiry.remove(&Expiry { deadline_s: old_s, key, cursor });
        self.by_expiry.insert(Expiry { deadline_s, key, cursor });
    }

    /// Notes when the value at a cursor was last stored here.
    pub(crate) fn mark_stored(&mut self, key: &Id, cursor: u16, stored_s: u64) {
        if let Some(held) = self.keys.get_mut(key).and_then(|values| values.get_mut(cursor)) {
            held.stored_s = u32::try_from(stored_s).unwrap_or(u32::MAX);
        }
    }

    /// Drops the value that expired first, if any has by `now_s`.
    pub(crate) fn drop_expired(&mut self, now_s: u64) -> bool {
        match self.by_expiry.first().copied() {
            Some(first) if first.deadline_s <= now_s => {
                self.remove(first.key, first.cursor);
                true
            }
            _ => false,
        }
    }

    /// Drops one expired value of a key, if it has any.
    pub(crate) fn drop_expired_under(&mut self, key: &Id, now_s: u64) -> bool {
        let expired = self
            .keys
            .get(key)
            .and_then(|values| values.iter().find(|held| !held.is_live(now_s)))
            .map(|held| held.cursor);
        expired.inspect(|cursor| self.remove(*key, *cursor)).is_some()
    }

    /// Drops a value of the farthest key: that at the highest cursor, so that values are
    /// kept before those that came later.
    pub(crate) fn drop_farthest(&mut self) {
        let Some(key) = self.by_distance.last().map(|farthest| self.key_at(farthest)) else {
            return;
        };
        if let Some(cursor) = self.keys.get(&key).map(KeyValues::last_cursor) {
            self.remove(key, cursor);
        }
    }

    fn remove(&mut self, key: Id, cursor: u16) {
        let Entry::Occupied(mut values) = self.keys.entry(key) else {
            return;
        };
        let held = if values.get().is_single() {
            self.by_distance.remove(&self.own_id.distance(&key));
            values.remove().into_first()
        } else if let Some(held) = values.get_mut().remove(cursor) {
            held
        } else {
            return;
        };
        self.by_expiry.remove(&Expiry { deadline_s: held.deadline_s, key, cursor });
        self.refund(held.source, held.cost());
    }

    fn charge(&mut self, source: SourceGroup, cost: u64) {
        self.bytes += cost;
        *self.sources.entry(source).or_default() += cost;
    }

    fn refund(&mut self, source: SourceGroup, cost: u64) {
        self.bytes -= cost;
        if let Entry::Occupied(mut account) = self.sources.entry(source) {
            *account.get_mut() -= cost;
            if *account.get() == 0 {
                account.remove();
            }
        }
    }

    /// Checks what the type's comment promises, by counting everything anew.
    ///
    /// # Panics
    /// If an index or an account disagrees with what is held.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        use alloc::collections::BTreeMap;
        let mut by_distance = BTreeSet::new();
        let mut by_expiry = BTreeSet::new();
        let mut sources = BTreeMap::new();
        let mut bytes = 0;
        for (key, values) in &self.keys {
            by_distance.insert(self.own_id.distance(key));
            for held in values.iter() {
                let (deadline_s, cursor) = (held.deadline_s, held.cursor);
                assert!(by_expiry.insert(Expiry { deadline_s, key: *key, cursor }));
                *sources.entry(held.source).or_insert(0) += held.cost();
                bytes += held.cost();
            }
        }
        assert_eq!(self.by_distance, by_distance);
        assert_eq!(self.by_expiry, by_expiry);
        let held: BTreeMap<_, _> = self.sources.iter().map(|(s, bytes)| (*s, *bytes)).collect();
        assert_eq!(held, sources);
        assert_eq!(self.bytes, bytes);
    }
}
