//! What a shard knows of the whole table, to answer from it alone.

use alloc::vec::Vec;
use core::ops::Range;

use kdht_wire::{Contact, Endpoint, Id};

use crate::bucket::MEMBERS_MAX;
use crate::closest::Closest;
use crate::contact::Liveness;
use crate::groups::{Group, GroupCounts};
use crate::window::{Run, Runs, Sorted, closest_of, find};

/// A member of the table, as its owner last told of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) contact: Contact,
    pub(crate) liveness: Liveness,
}

impl Sorted for Entry {
    fn id(&self) -> &Id {
        &self.contact.id
    }
}

/// Every member of one family's table, whichever shard owns it, sorted by id. What a shard
/// owns itself changes at once, the rest as soon as the owner's notes arrive.
///
/// 52 bytes a member, and no more members than the owners hold. A change costs O(members)
/// at worst: a move of some kilobytes.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// The first 64 bits of each one's id.
    prefixes: Vec<u64>,
    entries: Vec<Entry>,
    groups: GroupCounts,
}

impl Replica {
    /// Takes in that `contact` is a member. Whether that is news.
    pub(crate) fn stand(&mut self, contact: &Contact, liveness: Liveness) -> bool {
        let entry = Entry { contact: *contact, liveness };
        match self.place(&contact.id) {
            Ok(at) => {
                let old = core::mem::replace(&mut self.entries[at], entry);
                if old.contact.endpoint != contact.endpoint {
                    self.groups.remove(Group::of(&old.contact.endpoint));
                    self.groups.add(Group::of(&contact.endpoint));
                }
                old != entry
            }
            Err(at) => {
                self.prefixes.insert(at, contact.id.prefix());
                self.entries.insert(at, entry);
                if self.groups.is_outgrown_by(self.entries.len()) {
                    self.count_groups();
                } else {
                    self.groups.add(Group::of(&contact.endpoint));
                }
                true
            }
        }
    }

    /// Takes in that `id` is no member.
    pub(crate) fn remove(&mut self, id: &Id) {
        if let Ok(at) = self.place(id) {
            self.prefixes.remove(at);
            let gone = self.entries.remove(at);
            self.groups.remove(Group::of(&gone.contact.endpoint));
        }
    }

    /// Forgets every member that is not `kept`.
    pub(crate) fn retain(&mut self, mut kept: impl FnMut(&Id) -> bool) {
        self.entries.retain(|entry| kept(&entry.contact.id));
        self.prefixes.clear();
        self.prefixes.extend(self.entries.iter().map(|entry| entry.contact.id.prefix()));
        self.count_groups();
    }

    fn count_groups(&mut self) {
        let groups = self.entries.iter().map(|entry| Group::of(&entry.contact.endpoint));
        self.groups.rebuild(self.entries.len(), groups);
    }

    /// How many `wanted` members are of the IP group. O(members) where there may be any.
    pub(crate) fn of_group(&self, group: Group, wanted: impl Fn(&Id) -> bool) -> usize {
        if self.groups.at_most(group) == 0 {
            return 0;
        }
        let of_group = |e: &&Entry| Group::of(&e.contact.endpoint) == group;
        self.entries.iter().filter(of_group).filter(|e| wanted(&e.contact.id)).count()
    }

    /// The lowest class of ids (by the bits that they share with `own`) of which less than
    /// `k` verified members are closer.
    pub(crate) fn neighbourhood(&self, own: &Id, k: usize) -> u8 {
        let nearest = self.nearest(own, k, |entry| entry.liveness != Liveness::Unverified);
        let last = nearest.as_slice().get(k.wrapping_sub(1));
        last.map_or(0, |contact| contact.id.shared_prefix(own))
    }

    /// The first member with an id from `low` to `high` that is `wanted`.
    pub(crate) fn find_between(
        &self,
        low: &Id,
        high: &Id,
        wanted: impl Fn(&Id) -> bool,
    ) -> Option<Contact> {
        let from = self.entries.partition_point(|entry| entry.contact.id < *low);
        let between = self.entries[from..].iter().take_while(|e| e.contact.id <= *high);
        between.map(|entry| entry.contact).find(|contact| wanted(&contact.id))
    }

    /// As [`Table::closest`](crate::Table::closest), of the whole table and one after another.
    pub(crate) fn each_closest(
        &self,
        target: &Id,
        k: usize,
        asker: &Id,
        take: impl FnMut(&Id, &Endpoint),
    ) {
        self.each_nearest(target, k, asker, |entry| entry.liveness == Liveness::Good, take);
    }

    /// As [`Table::candidates`](crate::Table::candidates), of the whole table.
    pub(crate) fn candidates(&self, target: &Id, k: usize) -> Closest {
        let is_fresh = |e: &Entry| matches!(e.liveness, Liveness::Good | Liveness::Doubtful);
        let fresh = self.nearest(target, k, is_fresh);
        if !fresh.as_slice().is_empty() { fresh } else { self.nearest(target, k, |_| true) }
    }

    /// The member with this id.
    pub(crate) fn entry(&self, id: &Id) -> Option<&Entry> {
        self.place(id).ok().map(|at| &self.entries[at])
    }

    /// Members in all, by id.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The `k` (at most 20) members nearest to `target` that are `wanted`, nearest first.
    pub(crate) fn nearest(
        &self,
        target: &Id,
        k: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Closest {
        let mut out = Closest::empty();
        self.each_nearest(target, k, &Id::ZERO, wanted, |id, endpoint| out.push(id, endpoint));
        out
    }

    /// As [`Replica::nearest`], without `but` and one after another.
    fn each_nearest(
        &self,
        target: &Id,
        k: usize,
        but: &Id,
        wanted: impl Fn(&Entry) -> bool,
        mut take: impl FnMut(&Id, &Endpoint),
    ) {
        let k = k.min(MEMBERS_MAX);
        let tell = |entry: &Entry| take(&entry.contact.id, &entry.contact.endpoint);
        if let Err(told) = closest_of(self, target, but, k, &wanted, tell) {
            let wanted = |entry: &Entry| entry.contact.id != *but && wanted(entry);
            self.halved(target, k, wanted).each_from(told, take);
        }
    }

    /// As [`Replica::nearest`], whatever the ids.
    ///
    /// Halves the sorted range at each bit in which the ids in it differ, the nearer half
    /// first. Cost: O(k · log members), and the members in between that are not wanted.
    fn halved(&self, target: &Id, k: usize, wanted: impl Fn(&Entry) -> bool) -> Closest {
        let mut out = Closest::empty();
        // One range is taken and at most two are put back, which differ a bit deeper.
        let mut waiting: [Range<usize>; 162] = [const { 0..0 }; 162];
        let mut count = usize::from(!self.entries.is_empty());
        waiting[0] = 0..self.entries.len();
        while count > 0 && out.as_slice().len() < k {
            count -= 1;
            let Range { start, end } = waiting[count].clone();
            let (first, last) = (&self.entries[start], &self.entries[end - 1]);
            if start + 1 == end {
                if wanted(first) {
                    out.push(&first.contact.id, &first.contact.endpoint);
                }
                continue;
            }
            // Ids are unique, so that the first and the last differ.
            let bit = first.contact.id.shared_prefix(&last.contact.id);
            let zeros = self.entries[start..end].partition_point(|e| !e.contact.id.bit(bit));
            let halves = [start..start + zeros, start + zeros..end];
            let near = usize::from(target.bit(bit));
            for half in [1 - near, near] {
                waiting[count] = halves[half].clone();
                count += 1;
            }
        }
        out
    }

    fn place(&self, id: &Id) -> Result<usize, usize> {
        find(&self.prefixes, &self.entries, id)
    }
}

/// One run.
impl Runs for Replica {
    type Contact = Entry;
    type At = ();

    fn locate(&self, _: &Id) -> Option<()> {
        (!self.entries.is_empty()).then_some(())
    }

    fn run(&self, (): ()) -> Run<'_, Entry> {
        Run { prefixes: &self.prefixes, contacts: &self.entries, is_clean: false }
    }

    fn before(&self, (): ()) -> Option<()> {
        None
    }

    fn after(&self, (): ()) -> Option<()> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kdht_wire::Endpoint;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn the_nearest_are_those_of_a_full_sort_while_members_come_and_go() {
        for seed in 0..40_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let own = rng.id();
            let mut replica = Replica::default();
            let mut model: Vec<(Id, bool)> = Vec::new();
            let addr: SocketAddr = "192.0.2.1:4000".parse().unwrap();
            for _ in 0..400 {
                let mut id = rng.id();
                if seed % 2 == 1 {
                    id.0[..4].copy_from_slice(&own.0[..4]);
                }
                let is_good = rng.below(4) > 0;
                let liveness = if is_good { Liveness::Good } else { Liveness::Doubtful };
                replica.stand(&Contact::new(id, Endpoint::from(addr)), liveness);
                model.push((id, is_good));
                if rng.below(4) == 0 {
                    let gone = usize::try_from(rng.below(model.len() as u64)).unwrap();
                    replica.remove(&model.swap_remove(gone).0);
                }
                let target = if rng.below(2) == 0 { rng.id() } else { id };
                let k = usize::try_from(rng.below(21)).unwrap();
                let mut good: Vec<Id> = model.iter().filter(|m| m.1).map(|m| m.0).collect();
                good.sort_by_key(|id| id.distance(&target));
                good.truncate(k);
                let nearest = replica.nearest(&target, k, |e| e.liveness == Liveness::Good);
                let ids: Vec<Id> = nearest.as_slice().iter().map(|c| c.id).collect();
                assert_eq!(ids, good, "seed {seed}, k {k}");
            }
        }
    }
}
