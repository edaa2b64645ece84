//! Tests of the store as a whole, and what they share.

mod budget;
mod cursors;
mod model;
mod slots;

use kdht_wire::{Id, Publisher, Record, SignedTail};

use crate::{Ack, Limits, Memory, Outcome, Put, PutError, SourceGroup, Storage, VALUE_OVERHEAD};

const OWN_ID: Id = Id::ZERO;
const SEED: [u64; 4] = [1, 2, 3, 4];

/// SplitMix64: enough randomness for tests, and every run is told by its seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap();
            items.swap(at, other);
        }
    }
}

/// Who published an [`Item`]; signatures are made up, since a store does not check them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    Immutable,
    Signed { public_key: u8, sequence: u64, salt: u8 },
    Plain { id: u8 },
}

/// A value to put, with what its record borrows.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) key: Id,
    pub(crate) owner: Owner,
    pub(crate) value: Vec<u8>,
    pub(crate) remaining_s: u32,
    pub(crate) cas: Option<u64>,
    pub(crate) source: u64,
    pub(crate) by_publisher: bool,
    tail: SignedTail,
    id: Id,
}

impl Item {
    /// An item that lives for 100 s, put unconditionally by source 0.
    pub(crate) fn new(key: Id, owner: Owner, value: &[u8]) -> Self {
        let (public_key, sequence, salt) = match owner {
            Owner::Signed { public_key, sequence, salt } => (public_key, sequence, salt),
            _ => (0, 0, 0),
        };
        let id = if let Owner::Plain { id } = owner { id } else { 0 };
        Self {
            key,
            owner,
            value: value.to_vec(),
            remaining_s: 100,
            cas: None,
            source: 0,
            by_publisher: false,
            tail: SignedTail {
                sequence: sequence.into(),
                public_key: [public_key; 32],
                signature: [0x55; 64],
                salt: [salt; 16],
            },
            id: Id([id; 20]),
        }
    }

    pub(crate) fn signed(key: Id, sequence: u64, value: &[u8]) -> Self {
        Self::new(key, Owner::Signed { public_key: 1, sequence, salt: 0 }, value)
    }

    pub(crate) fn plain(key: Id, id: u8, value: &[u8]) -> Self {
        Self::new(key, Owner::Plain { id }, value)
    }

    pub(crate) fn living(self, remaining_s: u32) -> Self {
        Self { remaining_s, ..self }
    }

    pub(crate) fn by_source(self, source: u64) -> Self {
        Self { source, ..self }
    }

    pub(crate) fn record(&self) -> Record<'_> {
        let publisher = match self.owner {
            Owner::Immutable => Publisher::Immutable,
            Owner::Signed { .. } => Publisher::Signed(&self.tail),
            Owner::Plain { .. } => Publisher::Plain(&self.id),
        };
        Record::whole(publisher, self.remaining_s, &self.value).unwrap()
    }

    pub(crate) fn put(&self, store: &mut Memory, now_s: u64) -> Result<Outcome, PutError> {
        let put = Put {
            key: self.key,
            record: &self.record(),
            cas: self.cas,
            source: SourceGroup(self.source),
            by_publisher: self.by_publisher,
        };
        store.put(now_s, &put).map(|Ack { outcome, .. }| outcome)
    }
}

/// A key whose distance from [`OWN_ID`] is `rank`.
pub(crate) fn key(rank: u64) -> Id {
    let mut id = Id::ZERO;
    id.0[12..].copy_from_slice(&rank.to_be_bytes());
    id
}

/// Limits that no small test meets.
pub(crate) fn wide() -> Limits {
    Limits { value_len_max: 1 << 20, ..Limits::default() }
}

/// Room for `values` empty values, whatever the other limits say.
pub(crate) fn room_for(values: u64) -> Limits {
    Limits { bytes_max: values * VALUE_OVERHEAD, source_bytes_max: 1 << 30, ..wide() }
}

pub(crate) fn store(limits: Limits) -> Memory {
    Memory::new(limits, OWN_ID, SEED)
}
