//! Which buckets split: the one around the own id, those that the accelerated lookup wants
//! finer, and those of the own neighbourhood.
//!
//! The contacts that share exactly d leading bits with the own id are called class d. Once
//! the bucket around the own id has split, each bucket lies within one class, and what is
//! kept in it depends on that class alone, but for two numbers about the whole table: from
//! which class on less than k verified contacts are closer ([`Table::is_near`]), and how many
//! contacts of one IP group there are in all ([`Table::admit`]). Where classes are shared out
//! among shards, both come from elsewhere ([`super::Elsewhere`]).

use kdht_wire::{Endpoint, Id};

use super::Table;
use crate::bucket::Bucket;
use crate::contact::Peer;
use crate::groups::Group;

/// How often the range of one class is halved so that all of the own neighbourhood is kept:
/// up to 8 buckets a class. Uniform ids need 1 or 2 splits; more would be room for crowds of
/// ids that somebody chose.
pub const NEIGHBOURHOOD_SPLITS_MAX: u8 = 3;

impl Table {
    /// Whether splitting a full bucket makes room for `id`, however often it takes.
    ///
    /// Kademlia §2.2: the bucket around the own id splits. §4.2, accelerated lookups: so does
    /// one whose depth is not a multiple of b, until it is. §2.4: so does one of the smallest
    /// subtree around the own id that holds k verified contacts, of which all are kept, as
    /// far as [`NEIGHBOURHOOD_SPLITS_MAX`]. It does not help where all that are in it would
    /// go to the same side as `id`: so a bucket that has not split yet keeps just what it
    /// would keep if it had.
    pub(super) fn would_fit(&self, bucket: &Bucket, id: &Id) -> bool {
        let class = id.shared_prefix(&self.own);
        if bucket.depth >= Id::BITS || class >= Id::BITS {
            return false;
        }
        let plain = self.plain_depth(class);
        let near = (class + 1 + NEIGHBOURHOOD_SPLITS_MAX).min(Id::BITS);
        let splits_to =
            if bucket.depth < near && self.is_near(class) { plain.max(near) } else { plain };
        let apart = |place: &u16| {
            self.at(*place).is_some_and(|member| member.id.shared_prefix(id) < splits_to)
        };
        bucket.members.as_slice().iter().any(apart)
    }

    /// Whether bucket `at` has its k members; or is a part of a range that has, and was
    /// split while it was of the neighbourhood, which it is no longer.
    pub(super) fn is_bucket_full(&self, at: usize) -> bool {
        let bucket = &self.buckets[at];
        if bucket.members.len() >= self.bucket_size {
            return true;
        }
        let class = bucket.start.shared_prefix(&self.own);
        let is_part = !bucket.covers(&self.own) && bucket.depth > self.plain_depth(class);
        is_part && self.in_range_of(at) >= self.bucket_size && !self.is_near(class)
    }

    /// Members of all parts of the range that one bucket would have but for the
    /// neighbourhood; they stand next to each other.
    fn in_range_of(&self, at: usize) -> usize {
        let range = self.range_of(at);
        self.buckets[range].iter().map(|bucket| bucket.members.len()).sum()
    }

    /// The buckets that share with bucket `at` a range that would be one bucket but for the
    /// neighbourhood; at most 8.
    pub(super) fn range_of(&self, at: usize) -> core::ops::Range<usize> {
        let bucket = &self.buckets[at];
        if bucket.covers(&self.own) {
            return at..at + 1;
        }
        let depth = self.plain_depth(bucket.start.shared_prefix(&self.own));
        let is_part = |other: &&Bucket| {
            other.depth > depth && other.start.shared_prefix(&bucket.start) >= depth
        };
        let before = self.buckets[..at].iter().rev().take_while(is_part).count();
        let behind = self.buckets[at + 1..].iter().take_while(is_part).count();
        at - before..at + 1 + behind
    }

    /// How deep the buckets of a class are split whatever is in them.
    fn plain_depth(&self, class: u8) -> u8 {
        // A class is below 160, and b at most 5.
        (class + 1).next_multiple_of(self.split_bits).min(Id::BITS)
    }

    /// Whether a class belongs to the smallest subtree around the own id that holds k.
    fn is_near(&self, class: u8) -> bool {
        if let Some(lowest) = self.elsewhere.neighbourhood {
            return class >= lowest;
        }
        self.closer_than(class, self.bucket_size) < self.bucket_size
    }

    /// Verified contacts that share more than `class` bits with the own id, counted up to
    /// `enough`. They stand in the buckets next to the own id.
    fn closer_than(&self, class: u8, enough: usize) -> usize {
        let Some(own) = self.bucket_of(&self.own) else { return 0 };
        let is_closer = |bucket: &&Bucket| bucket.start.shared_prefix(&self.own) > class;
        let before = self.buckets[..own].iter().rev().take_while(is_closer);
        let behind = self.buckets[own + 1..].iter().take_while(is_closer);
        core::iter::once(&self.buckets[own])
            .chain(before)
            .chain(behind)
            .flat_map(|bucket| bucket.members.as_slice())
            .filter(|place| self.at(**place).is_some_and(|peer| peer.verified))
            .take(enough)
            .count()
    }

    /// Whether `peer` may be held in bucket `at` as far as the caps of its IP group go;
    /// else it is counted. A verified one takes the place of one of its group that never
    /// answered, so that forged sources keep no node out.
    ///
    /// Cost: O(k); O(contacts) where the table may hold as many of the group as it may.
    pub(super) fn admit(&mut self, at: usize, peer: &Peer) -> bool {
        let Some(group) = self.caps.group_of(&peer.endpoint) else { return true };
        let class = peer.id.shared_prefix(&self.own);
        let bucket = &self.buckets[at];
        let both = bucket.members.as_slice().iter().chain(bucket.replacements.as_slice());
        let in_bucket = both.filter_map(|place| self.at(*place)).filter(|held| {
            Group::of(&held.endpoint) == group && held.id.shared_prefix(&self.own) == class
        });
        let (count, unverified) = count_and_unverified(in_bucket);
        if count >= usize::from(self.caps.bucket_max) {
            match unverified.filter(|_| peer.verified) {
                Some(id) => self.forget(&id),
                None => {
                    self.refused.bucket_group += 1;
                    return false;
                }
            }
        }
        let table_max = usize::from(self.caps.table_max);
        let elsewhere = usize::from(self.elsewhere.of_group);
        if self.counts.at_most(group).saturating_add(elsewhere) < table_max {
            return true;
        }
        let in_table = self.peers.iter().flatten();
        let in_table = in_table.filter(|held| Group::of(&held.endpoint) == group);
        let (count, unverified) = count_and_unverified(in_table);
        if count + elsewhere >= table_max {
            match unverified.filter(|_| peer.verified) {
                Some(id) => self.forget(&id),
                None => {
                    self.refused.table_group += 1;
                    return false;
                }
            }
        }
        true
    }

    /// Holds what is known of a contact under the endpoint that it moved to.
    pub(super) fn relocate(&mut self, at: usize, place: u16, peer: Peer) -> bool {
        let moved_within = |table: &Self, to: &Endpoint| {
            table.at(place).is_some_and(|old| Group::of(&old.endpoint) == Group::of(to))
        };
        if !moved_within(self, &peer.endpoint) && !self.admit(at, &peer) {
            return false;
        }
        if let Some(old) = self.at(place).map(|old| Group::of(&old.endpoint)) {
            self.counts.remove(old);
        }
        self.counts.add(Group::of(&peer.endpoint));
        self.peers[usize::from(place)] = Some(peer);
        self.change = self.change.max(super::Change::Near);
        true
    }

    /// Forgets a contact; a waiting one takes its place.
    fn forget(&mut self, id: &Id) {
        self.change = super::Change::Anywhere;
        let Some((at, found)) = self.locate(id) else { return };
        match found {
            super::Found::Member { index, .. } => {
                let place = self.buckets[at].members.remove(index);
                self.release(place);
                self.refill(at);
            }
            super::Found::Replacement { index, .. } => {
                let place = self.buckets[at].replacements.remove(index);
                self.release(place);
            }
        }
    }
}

fn count_and_unverified<'a>(peers: impl Iterator<Item = &'a Peer>) -> (usize, Option<Id>) {
    peers.fold((0, None), |(count, unverified), peer| {
        (count + 1, unverified.or((!peer.verified).then_some(peer.id)))
    })
}
