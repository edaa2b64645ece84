//! Which of a reply's records prove themselves.

use kdht_store::verify;
use kdht_wire::{Filter, Id, Record};

use crate::counters::Counters;
use crate::parked::is_to_verify;

/// What was found elsewhere of a reply's signatures, if they were verified there.
pub(crate) struct Proofs<'r>(Option<core::slice::Iter<'r, bool>>);

/// What is known of one record.
pub(crate) struct Proof {
    is_signed: bool,
    given: Option<bool>,
}

impl<'r> Proofs<'r> {
    pub(crate) fn new(given: Option<&'r [bool]>) -> Self {
        Self(given.map(<[bool]>::iter))
    }

    /// That of the next record: to be called for each, in their order.
    pub(crate) fn next(&mut self, filter: &Filter, record: &Record<'_>) -> Proof {
        let is_signed = is_to_verify(filter, record);
        let given = self.0.as_mut().filter(|_| is_signed);
        Proof { is_signed, given: given.map(|given| given.next().copied().unwrap_or(false)) }
    }
}

impl Proof {
    /// Whether the record is looked for and belongs under `target`, which is verified here
    /// unless it was elsewhere.
    pub(crate) fn holds(
        &self,
        target: &Id,
        filter: &Filter,
        record: &Record<'_>,
        counters: &mut Counters,
    ) -> bool {
        let mut is_proven = || {
            counters.signatures_verified += u64::from(self.is_signed);
            verify(target, record).is_ok()
        };
        let holds = filter.passes(record) && self.given.unwrap_or_else(&mut is_proven);
        counters.values_unproven += u64::from(!holds);
        holds
    }
}
