//! One held value.

use alloc::boxed::Box;

use kdht_wire::{Filter, Id, Publisher, Record, SignedTail};
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

use crate::limits::Limits;
use crate::put::SourceGroup;

/// A value as the store keeps it. What is read often stands here, the rest in one block,
/// so that a read follows one pointer.
#[derive(Debug)]
pub(crate) struct Held {
    block: Block,
    /// First second in which it is no longer held.
    pub(crate) deadline_s: u64,
    /// Who is charged for it.
    pub(crate) source: SourceGroup,
    /// When it was last stored here, in seconds; 136 years of them.
    pub(crate) stored_s: u32,
    /// Its position among the values of its key.
    pub(crate) cursor: u16,
}

/// A value and what its kind puts before it, in one allocation.
#[derive(Debug)]
pub(crate) enum Block {
    Immutable(Box<[u8]>),
    Signed(Box<Tailed<SignedTail>>),
    Plain(Box<Tailed<Id>>),
}

#[derive(Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Tailed<T> {
    tail: T,
    value: [u8],
}

impl Block {
    /// Copies a record's publisher and bytes; `None` where the allocator has no room.
    pub(crate) fn copy_of(record: &Record<'_>) -> Option<Self> {
        let len = record.value.len();
        Some(match record.publisher {
            Publisher::Immutable => {
                let mut value = <[u8]>::new_box_zeroed_with_elems(len).ok()?;
                value.copy_from_slice(record.value);
                Self::Immutable(value)
            }
            Publisher::Signed(tail) => {
                let mut block = Tailed::<SignedTail>::new_box_zeroed_with_elems(len).ok()?;
                block.tail = *tail;
                block.value.copy_from_slice(record.value);
                Self::Signed(block)
            }
            Publisher::Plain(id) => {
                let mut block = Tailed::<Id>::new_box_zeroed_with_elems(len).ok()?;
                block.tail = *id;
                block.value.copy_from_slice(record.value);
                Self::Plain(block)
            }
        })
    }
}

impl Held {
    pub(crate) fn new(block: Block, deadline_s: u64, source: SourceGroup, cursor: u16) -> Self {
        Self { block, deadline_s, source, stored_s: 0, cursor }
    }

    /// The same, stored at `now_s`.
    pub(crate) fn stored_at(mut self, now_s: u64) -> Self {
        self.stored_s = u32::try_from(now_s).unwrap_or(u32::MAX);
        self
    }

    pub(crate) fn value(&self) -> &[u8] {
        match &self.block {
            Block::Immutable(value) => value,
            Block::Signed(block) => &block.value,
            Block::Plain(block) => &block.value,
        }
    }

    pub(crate) fn publisher(&self) -> Publisher<'_> {
        match &self.block {
            Block::Immutable(_) => Publisher::Immutable,
            Block::Signed(block) => Publisher::Signed(&block.tail),
            Block::Plain(block) => Publisher::Plain(&block.tail),
        }
    }

    /// Whether it stands in the slot that a value of this publisher would take.
    pub(crate) fn is_slot_of(&self, publisher: &Publisher<'_>) -> bool {
        match (&self.block, publisher) {
            (Block::Immutable(_), Publisher::Immutable) => true,
            (Block::Signed(held), Publisher::Signed(tail)) => {
                held.tail.public_key == tail.public_key
            }
            (Block::Plain(held), Publisher::Plain(id)) => held.tail == **id,
            _ => false,
        }
    }

    pub(crate) fn passes(&self, filter: &Filter) -> bool {
        match (filter, &self.block) {
            (Filter::Any, _) | (Filter::Immutable, Block::Immutable(_)) => true,
            (Filter::Signed(public_key), Block::Signed(held)) => {
                held.tail.public_key == *public_key
            }
            (Filter::Plain(id), Block::Plain(held)) => held.tail == *id,
            _ => false,
        }
    }

    /// Seconds left to live; zero once it has expired.
    pub(crate) fn remaining_s(&self, now_s: u64) -> u32 {
        u32::try_from(self.deadline_s.saturating_sub(now_s)).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_live(&self, now_s: u64) -> bool {
        self.deadline_s > now_s
    }

    pub(crate) fn cost(&self) -> u64 {
        Limits::cost(self.value().len())
    }

    pub(crate) fn record(&self, now_s: u64) -> Record<'_> {
        let value = self.value();
        Record {
            // Only records are copied in, and their length is 32 bits.
            value_len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            remaining_s: self.remaining_s(now_s),
            cursor: self.cursor,
            flags: 0,
            publisher: self.publisher(),
            value,
        }
    }
}
