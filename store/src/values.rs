//! What a read finds.

use kdht_wire::{Filter, Record};

use crate::held::Held;
use crate::key_values::KeyValues;

/// The values of one key that pass a filter and have not expired.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    held: Option<&'a KeyValues>,
    filter: Filter,
    now_s: u64,
    total: u16,
}

impl<'a> Values<'a> {
    pub(crate) fn new(held: Option<&'a KeyValues>, filter: &Filter, now_s: u64) -> Self {
        let mut values = Self { held, filter: *filter, now_s, total: 0 };
        // A key holds at most 65,535 values.
        values.total = u16::try_from(values.from(0).count()).unwrap_or(u16::MAX);
        values
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u16 {
        self.total
    }

    /// Those at `cursor` and above, ascending by cursor, each as a record with the whole
    /// seconds that it has left (at least 1) and its cursor.
    ///
    /// A value keeps its cursor while it is held; that of one that is gone may be given
    /// to another. Cost: O(values of the key); copies and allocates nothing.
    pub fn from(&self, cursor: u16) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let now_s = self.now_s;
        self.held_from(cursor).map(move |held| held.record(now_s))
    }

    /// All of them, each with the second in which it was last stored here: by whoever put or
    /// republished it.
    pub fn stored(&self) -> impl Iterator<Item = (Record<'a>, u64)> + use<'a> {
        let now_s = self.now_s;
        self.held_from(0).map(move |held| (held.record(now_s), u64::from(held.stored_s)))
    }

    fn held_from(&self, cursor: u16) -> impl Iterator<Item = &'a Held> + use<'a> {
        let Self { held, filter, now_s, .. } = *self;
        held.into_iter().flat_map(KeyValues::iter).filter(move |held| {
            held.cursor >= cursor && held.is_live(now_s) && held.passes(&filter)
        })
    }
}
