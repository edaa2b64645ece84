//! What a shard knows of the whole table, to answer from it alone.

use alloc::vec::Vec;
use core::ops::Range;

use kdht_wire::{Contact, Id};

use crate::bucket::MEMBERS_MAX;
use crate::closest::{Closest, Hear};
use crate::contact::Liveness;
use crate::groups::{Group, GroupCounts};
use crate::window::{Run, Runs, closest_of, find};

/// Every member of one family's table, whichever shard owns it, sorted by id. What a shard
/// owns itself changes at once, the rest as soon as the owner's notes arrive.
///
/// 49 bytes a member, and no more members than the owners hold. A change costs O(members)
/// at worst: a move of some kilobytes.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// The first 64 bits of each one's id.
    prefixes: Vec<u64>,
    contacts: Vec<Contact>,
    /// How far each is to be believed, as its owner last told.
    livenesses: Vec<Liveness>,
    groups: GroupCounts,
}

impl Replica {
    /// Takes in that `contact` is a member. Whether that is news.
    pub(crate) fn stand(&mut self, contact: &Contact, liveness: Liveness) -> bool {
        match self.place(&contact.id) {
            Ok(at) => {
                let old = core::mem::replace(&mut self.contacts[at], *contact);
                if old.endpoint != contact.endpoint {
                    self.groups.remove(Group::of(&old.endpoint));
                    self.groups.add(Group::of(&contact.endpoint));
                }
                let before = core::mem::replace(&mut self.livenesses[at], liveness);
                (old, before) != (*contact, liveness)
            }
            Err(at) => {
                self.prefixes.insert(at, contact.id.prefix());
                self.contacts.insert(at, *contact);
                self.livenesses.insert(at, liveness);
                if self.groups.is_outgrown_by(self.contacts.len()) {
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
            self.livenesses.remove(at);
            let gone = self.contacts.remove(at);
            self.groups.remove(Group::of(&gone.endpoint));
        }
    }

    /// Forgets every member that is not `kept`.
    pub(crate) fn retain(&mut self, mut kept: impl FnMut(&Id) -> bool) {
        let mut left = 0;
        for at in 0..self.contacts.len() {
            if kept(&self.contacts[at].id) {
                self.prefixes[left] = self.prefixes[at];
                self.contacts[left] = self.contacts[at];
                self.livenesses[left] = self.livenesses[at];
                left += 1;
            }
        }
        self.prefixes.truncate(left);
        self.contacts.truncate(left);
        self.livenesses.truncate(left);
        self.count_groups();
    }

    fn count_groups(&mut self) {
        let groups = self.contacts.iter().map(|contact| Group::of(&contact.endpoint));
        self.groups.rebuild(self.contacts.len(), groups);
    }

    /// How many `wanted` members are of the IP group. O(members) where there may be any.
    pub(crate) fn of_group(&self, group: Group, wanted: impl Fn(&Id) -> bool) -> usize {
        if self.groups.at_most(group) == 0 {
            return 0;
        }
        let of_group = |contact: &&Contact| Group::of(&contact.endpoint) == group;
        self.contacts.iter().filter(of_group).filter(|contact| wanted(&contact.id)).count()
    }

    /// The lowest class of ids (by the bits that they share with `own`) of which less than
    /// `k` verified members are closer.
    pub(crate) fn neighbourhood(&self, own: &Id, k: usize) -> u8 {
        let nearest = self.nearest(own, k, |liveness| *liveness != Liveness::Unverified);
        let shared = nearest.as_slice().iter().map(|contact| contact.id.shared_prefix(own));
        if shared.len() < k { 0 } else { shared.min().unwrap_or(0) }
    }

    /// The first member with an id from `low` to `high` that is `wanted`.
    pub(crate) fn find_between(
        &self,
        low: &Id,
        high: &Id,
        wanted: impl Fn(&Id) -> bool,
    ) -> Option<Contact> {
        let from = self.contacts.partition_point(|contact| contact.id < *low);
        let mut between = self.contacts[from..].iter().take_while(|contact| contact.id <= *high);
        between.find(|contact| wanted(&contact.id)).copied()
    }

    /// Tells those of [`Table::closest`](crate::Table::closest), of the whole table.
    pub(crate) fn tell_closest(&self, target: &Id, k: usize, asker: &Id, to: &mut impl Hear) {
        self.tell_nearest(target, k, asker, |liveness| *liveness == Liveness::Good, to);
    }

    /// As [`Table::candidates`](crate::Table::candidates), of the whole table.
    pub(crate) fn candidates(&self, target: &Id, k: usize) -> Closest {
        let is_fresh = |of: &Liveness| matches!(of, Liveness::Good | Liveness::Doubtful);
        let fresh = self.nearest(target, k, is_fresh);
        let is_known = !fresh.as_slice().is_empty();
        let all = if is_known { fresh } else { self.nearest(target, k, |_| true) };
        all.sorted(target)
    }

    /// The member with this id, and how far it is to be believed.
    pub(crate) fn member(&self, id: &Id) -> Option<(&Contact, Liveness)> {
        self.place(id).ok().map(|at| (&self.contacts[at], self.livenesses[at]))
    }

    /// Members in all, sorted by id.
    pub(crate) fn members(&self) -> &[Contact] {
        &self.contacts
    }

    /// Members in all, and how far each is to be believed, sorted by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Contact, Liveness)> {
        self.contacts.iter().copied().zip(self.livenesses.iter().copied())
    }

    /// How many of them may be told to others. O(members).
    pub(crate) fn good_count(&self) -> usize {
        self.livenesses.iter().filter(|liveness| **liveness == Liveness::Good).count()
    }

    /// The `k` (at most 20) members nearest to `target` that are `wanted`, in any order.
    pub(crate) fn nearest(
        &self,
        target: &Id,
        k: usize,
        wanted: impl Fn(&Liveness) -> bool,
    ) -> Closest {
        let mut out = Closest::empty();
        self.tell_nearest(target, k, &Id::ZERO, wanted, &mut out);
        out
    }

    /// Tells those of [`Replica::nearest`] without `but`, in any order.
    fn tell_nearest(
        &self,
        target: &Id,
        k: usize,
        but: &Id,
        wanted: impl Fn(&Liveness) -> bool,
        to: &mut impl Hear,
    ) {
        let k = k.min(MEMBERS_MAX);
        let of = Wanted { replica: self, is_wanted: &wanted };
        if let Err(told) = closest_of(&of, target, but, k, to) {
            let wanted = |at: usize| self.contacts[at].id != *but && wanted(&self.livenesses[at]);
            to.hear(self.halved(target, k, wanted).as_slice().iter().skip(told));
        }
    }

    /// As [`Replica::nearest`], nearest first and whatever the ids; members by their places.
    ///
    /// Halves the sorted range at each bit in which the ids in it differ, the nearer half
    /// first. Cost: O(k · log members), and the members in between that are not wanted.
    fn halved(&self, target: &Id, k: usize, wanted: impl Fn(usize) -> bool) -> Closest {
        let mut out = Closest::empty();
        // One range is taken and at most two are put back, which differ a bit deeper.
        let mut waiting: [Range<usize>; 162] = [const { 0..0 }; 162];
        let mut count = usize::from(!self.contacts.is_empty());
        waiting[0] = 0..self.contacts.len();
        while count > 0 && out.as_slice().len() < k {
            count -= 1;
            let Range { start, end } = waiting[count].clone();
            let (first, last) = (&self.contacts[start], &self.contacts[end - 1]);
            if start + 1 == end {
                if wanted(start) {
                    out.push(first);
                }
                continue;
            }
            // Ids are unique, so that the first and the last differ.
            let bit = first.id.shared_prefix(&last.id);
            let zeros = self.contacts[start..end].partition_point(|c| !c.id.bit(bit));
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
        find(&self.prefixes, &self.contacts, id)
    }
}

/// The members of a replica that are wanted, in one run.
struct Wanted<'a, W> {
    replica: &'a Replica,
    is_wanted: W,
}

impl<W: Fn(&Liveness) -> bool> Runs for Wanted<'_, W> {
    type Contact = Contact;
    type At = ();

    fn len(&self) -> usize {
        self.replica.contacts.len()
    }

    fn locate(&self, _: &Id) -> Option<()> {
        (!self.replica.contacts.is_empty()).then_some(())
    }

    fn run(&self, (): ()) -> Run<'_, Contact> {
        let Replica { prefixes, contacts, .. } = self.replica;
        Run { prefixes, contacts, subtree: None }
    }

    #[inline(always)]
    fn unwanted(&self, (): (), range: Range<usize>) -> u64 {
        let livenesses = self.replica.livenesses[range].iter().zip(0..);
        livenesses.fold(0, |bits, (of, number)| bits | u64::from(!(self.is_wanted)(of)) << number)
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
                let nearest =
                    replica.nearest(&target, k, |of| *of == Liveness::Good).sorted(&target);
                let ids: Vec<Id> = nearest.as_slice().iter().map(|c| c.id).collect();
                assert_eq!(ids, good, "seed {seed}, k {k}");
            }
        }
    }
}
