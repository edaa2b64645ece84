//! The good contacts that others are told of, whichever shard owns them.

use kdht_wire::{Endpoint, Flags, Id};

use crate::ceded::Ceded;
use crate::closest::{Closest, Hear};
use crate::contacts::Contacts;
use crate::sharding::Sharding;

/// The tables of a node and what it knows of other shards', to be read while its other parts
/// change.
pub(crate) struct Known<'a> {
    /// IPv4, IPv6.
    pub(crate) tables: &'a [Contacts; 2],
    pub(crate) sharding: Option<&'a Sharding>,
    /// What is known of a table that the node's proxy keeps.
    pub(crate) ceded: Option<&'a Ceded>,
    /// Most contacts of an answer.
    pub(crate) k: usize,
}

impl Known<'_> {
    /// Tells `to` of the closest contacts that an asker may know, in any order: of the families
    /// that its flags want, or of its own if they want none.
    #[inline(always)]
    pub(crate) fn tell_closest_for(
        &self,
        target: &Id,
        flags: Flags,
        asker: &Endpoint,
        asker_id: &Id,
        to: &mut impl Hear,
    ) {
        let default = !flags.has(Flags::WANT4.with(Flags::WANT6));
        let want4 = flags.has(Flags::WANT4) || default && asker.is_v4();
        let want6 = flags.has(Flags::WANT6) || default && !asker.is_v4();
        let family = match (want4, want6) {
            (true, true) => {
                let both = self.closest_of_both(target, asker, asker_id);
                return to.hear(both.as_slice().iter());
            }
            (false, true) => 1,
            _ => 0,
        };
        self.tell_closest(family, target, asker_id, to);
    }

    // Apart, as others of its kind are: what few requests want would only be in the way of all.
    #[inline(never)]
    fn closest_of_both(&self, target: &Id, asker: &Endpoint, asker_id: &Id) -> Closest {
        let own = usize::from(!asker.is_v4());
        let of = |family| self.closest(family, target, asker_id);
        of(own).merge(&of(1 - own), target, self.k)
    }

    /// Those of [`Known::tell_closest_for`], nearest first.
    #[inline(never)]
    pub(crate) fn closest_for(
        &self,
        target: &Id,
        flags: Flags,
        asker: &Endpoint,
        asker_id: &Id,
    ) -> Closest {
        let mut out = Closest::empty();
        self.tell_closest_for(target, flags, asker, asker_id, &mut out);
        out.sorted(target)
    }

    /// Tells the closest good contacts of one family without `but`, in any order.
    #[inline(always)]
    fn tell_closest(&self, family: usize, target: &Id, but: &Id, to: &mut impl Hear) {
        let (table, k) = (&self.tables[family], self.k);
        match (self.ceded, self.sharding) {
            (None, None) => table.tell_closest(target, k, but, to),
            (Some(ceded), _) => ceded.replicas[family].tell_closest(target, k, but, to),
            (None, Some(sharding)) => sharding.tell_closest(family, table, target, k, but, to),
        }
    }

    /// The closest good contacts of one family without `but`, nearest first.
    pub(crate) fn closest(&self, family: usize, target: &Id, but: &Id) -> Closest {
        let mut out = Closest::empty();
        self.tell_closest(family, target, but, &mut out);
        out.sorted(target)
    }
}
