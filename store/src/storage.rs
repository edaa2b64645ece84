//! What a node asks of whatever holds its values.

use kdht_wire::{Filter, Id};

use crate::put::{Ack, Put, PutError};
use crate::values::Values;

/// How much is held, and what left without being asked to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Keys that values are held under.
    pub keys: u32,
    /// Values held, expired ones that were not yet dropped included.
    pub values: u32,
    /// Bytes charged for them: their lengths and [`crate::VALUE_OVERHEAD`] each.
    pub bytes: u64,
    /// Source groups that are charged for them.
    pub sources: u32,
    /// Values dropped so far because they expired.
    pub expired_total: u64,
    /// Values dropped so far to make room for others.
    pub evicted_total: u64,
}

/// Holds values and answers reads.
///
/// Time is in whole seconds since any origin and does not run backwards; a store takes an
/// earlier one for the latest it was given by a call that changes it.
///
/// An implementation acknowledges at the durability that it has reached when `put`
/// returns. One that reaches more later tells so by means of its own; what it answers to
/// reads is the same.
pub trait Storage {
    /// Holds a value, for as long as it asks and the limits grant.
    ///
    /// # Errors
    /// [`PutError`], in its order; then no value that a reader sees has changed.
    fn put(&mut self, now_s: u64, put: &Put<'_>) -> Result<Ack, PutError>;

    /// The values held under `key` that pass the filter and have not expired.
    fn values(&self, now_s: u64, key: &Id, filter: &Filter) -> Values<'_>;

    /// Drops at most `budget` expired values, the longest expired first, and returns how
    /// many. Fewer than `budget` means that none is left.
    fn expire(&mut self, now_s: u64, budget: usize) -> usize;

    /// When the next value expires, in seconds like `now_s`; in the past where
    /// [`Storage::expire`] left some.
    fn next_expiry_s(&self) -> Option<u64>;

    /// The key held that follows `after` in distance from the own id, or the nearest one.
    ///
    /// `after` need not be held (any more), so that a walk over all keys can be spread
    /// over time while values come and go. The values of a key may all have expired.
    fn next_key(&self, after: Option<&Id>) -> Option<Id>;

    /// Notes that the value at `cursor` was last stored at second `stored_s`, as every put
    /// that is acknowledged does by itself ([`Values::stored`]). Nothing if it is gone.
    fn mark_stored(&mut self, key: &Id, cursor: u16, stored_s: u64);

    /// How much is held.
    fn usage(&self) -> Usage;
}
