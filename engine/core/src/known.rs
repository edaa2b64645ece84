//! The good contacts that others are told of, whichever shard owns them.

use kdht_wire::{Endpoint, Flags, Id};

use crate::closest::Closest;
use crate::contacts::Contacts;
use crate::sharding::Sharding;

/// The tables of a node and what it knows of other shards', to be read while its other parts
/// change.
pub(crate) struct Known<'a> {
    /// IPv4, IPv6.
    pub(crate) tables: &'a [Contacts; 2],
    pub(crate) sharding: Option<&'a Sharding>,
    /// Most contacts of an answer.
    pub(crate) k: usize,
}

impl Known<'_> {
    /// Calls `take` with the closest contacts to tell an asker about, nearest first: of the
    /// families that its flags want, or of its own if they want none.
    pub(crate) fn each_closest_for(
        &self,
        target: &Id,
        flags: Flags,
        asker: &Endpoint,
        asker_id: &Id,
        take: impl FnMut(&Id, &Endpoint),
    ) {
        let default = !flags.has(Flags::WANT4.with(Flags::WANT6));
        let want4 = flags.has(Flags::WANT4) || default && asker.is_v4();
        let want6 = flags.has(Flags::WANT6) || default && !asker.is_v4();
        let family = match (want4, want6) {
            (true, true) => {
                let own = usize::from(!asker.is_v4());
                let of = |family| self.closest(family, target, asker_id);
                return of(own).merge(&of(1 - own), target, self.k).each(take);
            }
            (false, true) => 1,
            _ => 0,
        };
        self.each_closest(family, target, asker_id, take);
    }

    /// Calls `take` with the closest good contacts of one family, without `but`.
    fn each_closest(&self, family: usize, target: &Id, but: &Id, take: impl FnMut(&Id, &Endpoint)) {
        let table = &self.tables[family];
        match self.sharding {
            None => table.each_closest(target, self.k, but, take),
            Some(sharding) => sharding.each_closest(family, table, target, self.k, but, take),
        }
    }

    /// As [`Known::each_closest`], all of them.
    pub(crate) fn closest(&self, family: usize, target: &Id, but: &Id) -> Closest {
        let mut out = Closest::empty();
        self.each_closest(family, target, but, |id, endpoint| out.push(id, endpoint));
        out
    }
}
