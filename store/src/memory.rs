//! The store that lasts as long as the process.

use core::fmt;

use kdht_wire::{Distance, Durability, Filter, Id, Publisher};

use crate::held::{Block, Held};
use crate::index::Index;
use crate::limits::Limits;
use crate::put::{Ack, Outcome, Put, PutError};
use crate::storage::{Storage, Usage};
use crate::values::Values;

/// Expired values that a put drops in passing, whosever they are, so that a store whose
/// timer is late still sheds them faster than new ones come.
pub const PUT_EXPIRE_MAX: usize = 64;

/// An in-memory store: values by key, bounded by [`Limits`].
///
/// Reads cost one hash lookup and allocate nothing. A put costs a few ordered-index
/// updates, O(log values) each, and scans the values of its key; it drops at most what
/// its own charge needs ([`crate::VALUE_OVERHEAD`] a value at least), the expired values
/// of its key, and [`PUT_EXPIRE_MAX`] others. An expired value counts for nothing but the
/// byte and value counts of [`Usage`] and its source's account, and for those until it is
/// dropped.
///
/// Room is made by dropping expired values first, then those of the keys farthest (XOR)
/// from the own id, and only of keys strictly farther than the newcomer's: a flood can
/// displace nothing nearer than what it stores. Unlike Kademlia §2.5, which shortens the
/// life of far values, a far value lives its full time while there is room.
pub struct Memory {
    limits: Limits,
    index: Index,
    /// The latest time given to a call that changed something.
    now_s: u64,
    expired_total: u64,
    evicted_total: u64,
}

/// What a put does to its slot, if quotas and budget allow.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// The slot is empty.
    New,
    /// Another value takes the place of the one at this cursor.
    Replace { cursor: u16 },
    /// The same value is held at this cursor; it lives as long as before.
    Keep { cursor: u16 },
    /// The same value is held at this cursor, and its publisher sets its life anew.
    Renew { cursor: u16 },
}

/// What a replaced value gives back; all zero where none is replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Freed {
    values: u16,
    /// Bytes of the value itself.
    len: u64,
    /// Bytes charged in all.
    cost: u64,
    /// Bytes charged to the source that pays for the new value.
    source_cost: u64,
}

impl Memory {
    /// An empty store of the node `own_id`. Allocates nothing until the first put.
    ///
    /// `hash_seed` keys the hash tables and must be secret entropy: who knows it can
    /// choose keys that collide.
    #[must_use]
    pub const fn new(limits: Limits, own_id: Id, hash_seed: [u64; 4]) -> Self {
        let index = Index::new(own_id, hash_seed);
        Self { limits, index, now_s: 0, expired_total: 0, evicted_total: 0 }
    }

    /// What it was made to hold at most.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Every key held, nearest to the own id first. The values of a key may all have
    /// expired.
    pub fn keys(&self) -> impl Iterator<Item = Id> {
        core::iter::successors(self.index.next_key(None), |key| self.index.next_key(Some(key)))
    }

    /// Whether any value is held under `key`; it may have expired.
    #[must_use]
    pub fn holds(&self, key: &Id) -> bool {
        self.index.key_values(key).is_some()
    }

    /// The keyed hash by which the table of keys finds `key`, whether it is held or not.
    ///
    /// Whoever can tell hashes can choose keys that collide, so nothing that a peer may see
    /// may follow from it: it is for tests of that defence.
    #[must_use]
    pub fn hash_of(&self, key: &Id) -> u64 {
        self.index.hash_of(key)
    }

    /// Time never runs backwards here, whatever is given.
    fn advance(&mut self, now_s: u64) -> u64 {
        self.now_s = self.now_s.max(now_s);
        self.now_s
    }

    fn drop_expired(&mut self, now_s: u64) -> bool {
        let dropped = self.index.drop_expired(now_s);
        self.expired_total += u64::from(dropped);
        dropped
    }

    /// Drops the expired values of one key, so that cursors, quotas and slots count only
    /// what is seen.
    fn clean(&mut self, key: &Id, now_s: u64) {
        while self.index.drop_expired_under(key, now_s) {
            self.expired_total += 1;
        }
    }

    /// The slot rules of FORMAT.md §5.4 and §6.
    fn judge(&self, put: &Put<'_>) -> Result<Write, PutError> {
        let slot = self.index.slot(&put.key, &put.record.publisher);
        match (&put.record.publisher, slot.map(|held| (held, held.publisher()))) {
            (Publisher::Signed(tail), Some((held, Publisher::Signed(held_tail)))) => {
                let (sequence, held_sequence) = (tail.sequence.get(), held_tail.sequence.get());
                let same = sequence == held_sequence
                    && tail.salt == held_tail.salt
                    && held.value() == put.record.value;
                if same {
                    // Nothing is written, so compare-and-swap has nothing to guard: a
                    // writer whose acknowledgement was lost may ask again.
                    return Ok(Write::Keep { cursor: held.cursor });
                }
                check_cas(put.cas, held_sequence)?;
                if sequence <= held_sequence {
                    return Err(PutError::Sequence { held: held_sequence });
                }
                Ok(Write::Replace { cursor: held.cursor })
            }
            (Publisher::Signed(tail), _) => {
                check_cas(put.cas, 0)?;
                // An empty slot has sequence 0, and only a higher one is written.
                match tail.sequence.get() {
                    0 => Err(PutError::Sequence { held: 0 }),
                    _ => Ok(Write::New),
                }
            }
            // The key is the hash of the bytes, so the bytes are the same.
            (Publisher::Immutable, Some((held, _))) => Ok(Write::Keep { cursor: held.cursor }),
            (Publisher::Plain(_), Some((held, _))) => {
                let cursor = held.cursor;
                Ok(match (held.value() == put.record.value, put.by_publisher) {
                    (false, _) => Write::Replace { cursor },
                    (true, true) => Write::Renew { cursor },
                    (true, false) => Write::Keep { cursor },
                })
            }
            (Publisher::Immutable | Publisher::Plain(_), None) => Ok(Write::New),
        }
    }

    fn freed(&self, put: &Put<'_>) -> Freed {
        self.index.slot(&put.key, &put.record.publisher).map_or(Freed::default(), |old| Freed {
            values: 1,
            len: old.value().len() as u64,
            cost: old.cost(),
            source_cost: if old.source == put.source { old.cost() } else { 0 },
        })
    }

    fn check_quotas(&self, put: &Put<'_>, freed: &Freed) -> Result<(), PutError> {
        let Limits { key_values_max, key_bytes_max, source_bytes_max, .. } = self.limits;
        let len = put.record.value.len();
        let (mut count, mut bytes) = (0_u16, 0_u64);
        for held in self.index.key_values(&put.key).into_iter().flat_map(|values| values.iter()) {
            // A key holds at most 65,535 values.
            count = count.saturating_add(1);
            bytes += held.value().len() as u64;
        }
        let (values, bytes) = (count - freed.values, bytes - freed.len);
        if values >= key_values_max || bytes + len as u64 > key_bytes_max {
            let (values_max, bytes_max) = (key_values_max, key_bytes_max);
            return Err(PutError::KeyFull { values, values_max, bytes, bytes_max });
        }
        let bytes = self.index.source_bytes(put.source) - freed.source_cost;
        if bytes + Limits::cost(len) > source_bytes_max {
            return Err(PutError::SourceFull { bytes, bytes_max: source_bytes_max });
        }
        Ok(())
    }

    /// Drops what must go for a value of `cost` bytes, or refuses it and drops nothing
    /// but expired values.
    fn make_room(
        &mut self,
        now_s: u64,
        distance: Distance,
        cost: u64,
        freed: &Freed,
    ) -> Result<(), PutError> {
        if cost > self.limits.bytes_max || self.limits.values_max == 0 {
            return Err(self.full(freed));
        }
        while self.excess(cost, freed) != (0, 0) {
            if !self.drop_expired(now_s) {
                break;
            }
        }
        let (bytes, values) = self.excess(cost, freed);
        if !self.can_evict(distance, bytes, values) {
            return Err(self.full(freed));
        }
        while self.excess(cost, freed) != (0, 0) {
            self.index.drop_farthest();
            self.evicted_total += 1;
        }
        Ok(())
    }

    /// Bytes and values that are too many once a value of `cost` bytes is in.
    fn excess(&self, cost: u64, freed: &Freed) -> (u64, u64) {
        let bytes = self.index.bytes() - freed.cost + cost;
        let values = self.index.value_count() as u64 - u64::from(freed.values) + 1;
        let values_max = u64::from(self.limits.values_max);
        (bytes.saturating_sub(self.limits.bytes_max), values.saturating_sub(values_max))
    }

    /// Whether the keys beyond `distance` hold so much. Looks at no more values than it
    /// takes to know, and the rest of one key's.
    fn can_evict(&self, distance: Distance, mut bytes: u64, mut values: u64) -> bool {
        let mut farther = self.index.farther_than(distance);
        while (bytes, values) != (0, 0) {
            let Some(victims) = farther.next() else {
                return false;
            };
            for held in victims.iter() {
                bytes = bytes.saturating_sub(held.cost());
                values = values.saturating_sub(1);
            }
        }
        true
    }

    fn full(&self, freed: &Freed) -> PutError {
        PutError::Full {
            values: saturating_u32(self.index.value_count()) - u32::from(freed.values),
            values_max: self.limits.values_max,
            bytes: self.index.bytes() - freed.cost,
            bytes_max: self.limits.bytes_max,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.index.check();
    }

    /// Makes room and writes, or refuses.
    fn write(&mut self, put: &Put<'_>, deadline_s: u64, write: Write) -> Result<(), PutError> {
        let freed = self.freed(put);
        self.check_quotas(put, &freed)?;
        // Copied before anything is dropped: the allocator's refusal must change nothing.
        let block = Block::copy_of(put.record).ok_or_else(|| self.full(&freed))?;
        let distance = self.index.distance(&put.key);
        self.make_room(self.now_s, distance, Limits::cost(put.record.value.len()), &freed)?;
        if let Write::Replace { cursor } = write {
            let held = Held::new(block, deadline_s, put.source, cursor);
            self.index.replace(put.key, held.stored_at(self.now_s));
        } else {
            let held = Held::new(block, deadline_s, put.source, 0);
            self.index.insert(put.key, held.stored_at(self.now_s));
        }
        Ok(())
    }
}

impl Storage for Memory {
    fn put(&mut self, now_s: u64, put: &Put<'_>) -> Result<Ack, PutError> {
        let now_s = self.advance(now_s);
        self.expire(now_s, PUT_EXPIRE_MAX);
        self.clean(&put.key, now_s);
        let len = saturating_u32(put.record.value.len());
        if len > self.limits.value_len_max {
            return Err(PutError::TooLong { len, len_max: self.limits.value_len_max });
        }
        let remaining_s = put.record.remaining_s.min(self.limits.lifetime_s_max);
        if remaining_s == 0 {
            return Err(PutError::Expired);
        }
        let deadline_s = now_s.saturating_add(u64::from(remaining_s));
        let write = self.judge(put)?;
        let outcome = match write {
            Write::New | Write::Replace { .. } => {
                self.write(put, deadline_s, write)?;
                Outcome::Stored
            }
            Write::Renew { cursor } => {
                self.index.renew(put.key, cursor, deadline_s);
                self.index.mark_stored(&put.key, cursor, now_s);
                Outcome::Refreshed
            }
            Write::Keep { cursor } => {
                self.index.mark_stored(&put.key, cursor, now_s);
                Outcome::Refreshed
            }
        };
        Ok(Ack { durability: Durability::Memory, outcome })
    }

    fn values(&self, now_s: u64, key: &Id, filter: &Filter) -> Values<'_> {
        Values::new(self.index.key_values(key), filter, now_s.max(self.now_s))
    }

    fn expire(&mut self, now_s: u64, budget: usize) -> usize {
        let now_s = self.advance(now_s);
        (0..budget).take_while(|_| self.drop_expired(now_s)).count()
    }

    fn next_expiry_s(&self) -> Option<u64> {
        self.index.next_expiry_s()
    }

    fn next_key(&self, after: Option<&Id>) -> Option<Id> {
        self.index.next_key(after)
    }

    fn mark_stored(&mut self, key: &Id, cursor: u16, stored_s: u64) {
        self.index.mark_stored(key, cursor, stored_s);
    }

    fn usage(&self) -> Usage {
        Usage {
            keys: saturating_u32(self.index.key_count()),
            values: saturating_u32(self.index.value_count()),
            bytes: self.index.bytes(),
            sources: saturating_u32(self.index.source_count()),
            expired_total: self.expired_total,
            evicted_total: self.evicted_total,
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("limits", &self.limits)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

fn check_cas(cas: Option<u64>, held: u64) -> Result<(), PutError> {
    match cas {
        Some(expected) if expected != held => Err(PutError::Cas { held }),
        _ => Ok(()),
    }
}

fn saturating_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
