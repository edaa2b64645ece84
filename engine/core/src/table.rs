//! The routing table: buckets that cover the id space, split around the own id.
//!
//! Differences from Kademlia §2.2 and §2.4, each for safety under hostile traffic:
//! - Whoever merely sent us something is *unverified*: it may fill a free place, but is
//!   not told to others, displaces nobody and splits nothing until it answered us.
//! - A full bucket's least recently seen contact is probed only if it has been silent for
//!   [`FRESH_S`]; until then it counts as alive, as if it had answered the ping.
//! - A contact loses its place only after [`DISPLACE_FAILURES`](crate::contact) pings at
//!   least two seconds apart, and only to a verified newcomer.

mod nearest;
mod neighbourhood;
mod survey;

use alloc::vec::Vec;

use kdht_wire::{Contact, Endpoint, Id};

use crate::bucket::{Bucket, MEMBERS_MAX, REPLACEMENTS_MAX};
use crate::closest::{Closest, Hear};
use crate::contact::{Answer, Peer, STALE_FAILURES};
use crate::groups::{Caps, Group, GroupCounts};
use crate::time::Nanos;

pub use neighbourhood::NEIGHBOURHOOD_SPLITS_MAX;
pub use survey::Fill;

/// A contact heard from within this many seconds counts as alive without a ping.
pub const FRESH_S: u32 = 60;

/// Largest b of accelerated lookups (Kademlia §4.2).
pub const SPLIT_BITS_MAX: u8 = 5;

/// The contacts of one address family.
#[derive(Debug)]
pub struct Table {
    own: Id,
    bucket_size: usize,
    contacts_max: usize,
    /// Sorted by `start`; together they cover the whole id space.
    buckets: Vec<Bucket>,
    /// Contacts, in no order; buckets name them by place. `None`: free.
    peers: Vec<Option<Peer>>,
    free: Vec<u16>,
    /// b: how many bits of distance one step of a lookup gains at least.
    split_bits: u8,
    caps: Caps,
    counts: GroupCounts,
    refused: Refused,
    /// What is known of the contacts that stand in other shards' tables.
    elsewhere: Elsewhere,
    change: Change,
}

/// What other shards know and the rules of this table need: all else that is kept depends
/// on contacts of one class, and each class has one shard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Elsewhere {
    /// The lowest class of the own neighbourhood; nothing: this table holds all classes.
    pub(crate) neighbourhood: Option<u8>,
    /// Contacts of other shards in the IP group of whom the table is told of next.
    pub(crate) of_group: u16,
}

/// Contacts that were not kept, and why.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    bucket_group: u64,
    table_group: u64,
    full: u64,
}

/// Whether members, or how far they are to be believed, may have changed.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Change {
    /// They have not.
    #[default]
    None,
    /// At most among ids that share as many leading bits with the own id as the id that the
    /// table was told of.
    Near,
    /// Somewhere.
    Anywhere,
}

/// What is to be done after a message was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// Nothing.
    Rest,
    /// Ping this endpoint; the contact is (or was said to be) this one.
    Probe(Contact),
    /// Ping both: the first may have to make room for the second.
    Contest(Contact, Contact),
}

impl Table {
    /// An empty table of at most `contacts_max` contacts (replacements included) around
    /// `own`, with `bucket_size` (k, 1 to 20) contacts a bucket.
    ///
    /// Memory is taken as contacts come: 68 bytes each, and 82 a bucket.
    #[must_use]
    pub fn new(own: Id, bucket_size: usize, contacts_max: usize) -> Self {
        Self {
            own,
            bucket_size: bucket_size.clamp(1, MEMBERS_MAX),
            contacts_max: contacts_max.min(usize::from(u16::MAX)),
            buckets: Vec::new(),
            peers: Vec::new(),
            free: Vec::new(),
            split_bits: 1,
            caps: Caps::NONE,
            counts: GroupCounts::default(),
            refused: Refused::default(),
            elsewhere: Elsewhere::default(),
            change: Change::None,
        }
    }

    /// The same table with buckets split for accelerated lookups (`split_bits`: b, 1 to 5;
    /// a table of b = 1 is Kademlia's usual one) and with caps for IP groups. [`Table::new`]
    /// has b = 1 and no caps.
    #[must_use]
    pub fn with_rules(mut self, split_bits: u8, caps: Caps) -> Self {
        self.split_bits = split_bits.clamp(1, SPLIT_BITS_MAX);
        self.caps = caps;
        self
    }

    /// Changes the caps for IP groups; whoever is held stays.
    pub(crate) fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// A message of `id` came from `endpoint`, not in answer to a request of ours.
    ///
    /// Cost: O(log buckets + k), no allocation once the table has grown.
    pub fn sighted(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) -> Advice {
        if *id == self.own || *id == Id::ZERO {
            return Advice::Rest;
        }
        let Some(at) = self.bucket_of(id) else {
            return self.insert_unverified(0, id, endpoint, now);
        };
        if let Some(place) = self.find(at, id) {
            return self.sighted_again(at, place, endpoint, now);
        }
        self.insert_unverified(at, id, endpoint, now)
    }

    /// `id` answered a request of ours from `endpoint`.
    ///
    /// Cost: O(log buckets + k) and the splits that it takes, at most 160.
    pub fn answered(&mut self, id: &Id, endpoint: &Endpoint, answer: &Answer, now: Nanos) {
        if *id == self.own || *id == Id::ZERO {
            return;
        }
        let mut peer = Peer::new(*id, *endpoint, now);
        if let Some((at, found)) = self.locate(id) {
            let Some(known) = self.peer_mut(found.place()) else { return };
            if known.endpoint == *endpoint {
                let before = known.liveness();
                known.answered(answer, now);
                if known.liveness() != before {
                    self.change = self.change.max(Change::Near);
                }
            } else if known.is_displaceable() {
                // The old endpoint failed two pings and the new one answered.
                peer.answered(answer, now);
                if !self.relocate(at, found.place(), peer) {
                    return;
                }
            } else {
                return;
            }
            // Another of its group may have made room.
            match self.find(at, id) {
                Some(Found::Member { index, .. }) => self.buckets[at].members.move_to_tail(index),
                Some(Found::Replacement { index, .. }) => self.promote(at, index),
                None => {}
            }
            return;
        }
        peer.answered(answer, now);
        self.insert_verified(peer);
    }

    /// `id` at `endpoint` left the request that we sent at `sent` unanswered. Unverified
    /// contacts that fail twice are forgotten; one that may be displaced is replaced if a
    /// verified replacement waits. Returns whom to probe, so that a replacement can be
    /// verified.
    pub fn failed(&mut self, id: &Id, endpoint: &Endpoint, sent: Nanos, now: Nanos) -> Advice {
        let Some((at, found)) = self.locate(id) else { return Advice::Rest };
        let Some(peer) = self.peer_mut(found.place()).filter(|p| p.endpoint == *endpoint) else {
            return Advice::Rest;
        };
        peer.failed(sent, now);
        let peer = *peer;
        self.change = self.change.max(Change::Near);
        match found {
            Found::Member { index, .. } => {
                if !peer.verified && peer.failures > 1 {
                    let place = self.buckets[at].members.remove(index);
                    self.release(place);
                    self.refill(at);
                    return Advice::Rest;
                }
                if peer.is_displaceable() && self.swap_in_verified(at, index) {
                    return Advice::Rest;
                }
                self.waiting_replacement(at, now).map_or(Advice::Rest, Advice::Probe)
            }
            Found::Replacement { index, .. } => {
                if peer.failures > 1 || !peer.verified {
                    let place = self.buckets[at].replacements.remove(index);
                    self.release(place);
                }
                Advice::Rest
            }
        }
    }

    /// The `k` (at most 20) good contacts nearest to `target`, in any order, without `asker`.
    /// Fewer only if fewer are known. Never the own id.
    ///
    /// Visits buckets in the order of their distance. Cost: O(k + buckets visited · log).
    #[must_use]
    pub fn closest(&self, target: &Id, k: usize, asker: &Id) -> Closest {
        let mut out = Closest::empty();
        self.tell_closest(target, k, asker, &mut out);
        out
    }

    /// Tells those of [`Table::closest`].
    pub(crate) fn tell_closest(&self, target: &Id, k: usize, asker: &Id, to: &mut impl Hear) {
        self.tell_nearest(target, k, |peer| peer.is_good() && peer.id != *asker, to);
    }

    /// As [`Table::closest`], nearest first, but of every verified contact not stale, for lookups
    /// to begin with; of all others if there is none, as after an outage of our own. Whoever never
    /// answered is pinged first: its address may be a victim's.
    #[must_use]
    pub fn candidates(&self, target: &Id, k: usize) -> Closest {
        let is_fresh = |peer: &Peer| peer.verified && peer.failures < STALE_FAILURES;
        let fresh = self.nearest(target, k, is_fresh);
        let is_known = !fresh.as_slice().is_empty();
        let all = if is_known { fresh } else { self.nearest(target, k, |_| true) };
        all.sorted(target)
    }

    /// The contact with this id, member or replacement.
    #[must_use]
    pub fn peer(&self, id: &Id) -> Option<&Peer> {
        let (_, found) = self.locate(id)?;
        self.peers[usize::from(found.place())].as_ref()
    }

    /// Every member, bucket by bucket, least recently seen first.
    pub fn members(&self) -> impl Iterator<Item = &Peer> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.members.as_slice())
            .filter_map(|place| self.peers[usize::from(*place)].as_ref())
    }

    /// Every member with an id from `low` to `high`, bucket by bucket.
    pub(crate) fn members_between(&self, low: &Id, high: &Id) -> impl Iterator<Item = &Peer> {
        let from = self.bucket_of(low).unwrap_or(0);
        let after = self.buckets.partition_point(|bucket| bucket.start <= *high);
        let buckets = &self.buckets[from..after.max(from)];
        let members = buckets.iter().flat_map(|bucket| bucket.members.as_slice());
        members.filter_map(|place| self.at(*place)).filter(|peer| (*low..=*high).contains(&peer.id))
    }

    /// Takes in what other shards know.
    pub(crate) fn set_elsewhere(&mut self, elsewhere: Elsewhere) {
        self.elsewhere = elsewhere;
    }

    /// Where members may have changed since the last call.
    pub(crate) fn take_change(&mut self) -> Change {
        core::mem::take(&mut self.change)
    }

    /// How many leading bits the ids in the bucket around `id` share. O(log buckets).
    #[must_use]
    pub fn bucket_depth(&self, id: &Id) -> u8 {
        self.bucket_of(id).map_or(0, |at| self.buckets[at].depth)
    }

    /// Whether no contact is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.members.len() == 0)
    }

    fn sighted_again(
        &mut self,
        at: usize,
        found: Found,
        endpoint: &Endpoint,
        now: Nanos,
    ) -> Advice {
        let Some(peer) = self.peer_mut(found.place()) else { return Advice::Rest };
        if peer.endpoint != *endpoint {
            // Another endpoint changes nothing by itself. If the known one is silent, it
            // is asked; the other is asked once the known one has failed twice.
            let known = peer.contact();
            if peer.is_displaceable() {
                return Advice::Probe(Contact::new(known.id, *endpoint));
            }
            let silent = now.seconds().saturating_sub(peer.seen_s) > FRESH_S;
            let may_probe = silent && peer.probe_after_s <= now.seconds();
            return if may_probe { Advice::Probe(known) } else { Advice::Rest };
        }
        peer.seen_s = now.seconds();
        let advice = if !peer.is_good() && peer.probe_after_s <= now.seconds() {
            Advice::Probe(peer.contact())
        } else {
            Advice::Rest
        };
        match found {
            Found::Member { index, .. } => self.buckets[at].members.move_to_tail(index),
            Found::Replacement { index, .. } => {
                self.buckets[at].replacements.move_to_tail(index);
            }
        }
        advice
    }

    fn insert_unverified(&mut self, at: usize, id: &Id, endpoint: &Endpoint, now: Nanos) -> Advice {
        self.cover_space();
        let newcomer = Contact::new(*id, *endpoint);
        if !self.admit(at, &Peer::new(*id, *endpoint, now)) {
            return Advice::Rest;
        }
        if !self.is_bucket_full(at) {
            let Some(place) = self.hold(Peer::new(*id, *endpoint, now)) else {
                return Advice::Rest;
            };
            self.buckets[at].members.push(place);
            return Advice::Probe(newcomer);
        }
        if self.would_fit(&self.buckets[at], id) {
            // Verified, it splits the bucket and displaces nobody; until then nothing is
            // to be remembered of it.
            return Advice::Probe(newcomer);
        }
        self.cache(at, Peer::new(*id, *endpoint, now));
        self.contest(at, newcomer, now)
    }

    /// A newcomer met a full bucket: whom to ping (Kademlia §2.2).
    fn contest(&self, at: usize, newcomer: Contact, now: Nanos) -> Advice {
        let bucket = &self.buckets[at];
        let oldest = bucket.members.as_slice().first().and_then(|place| self.at(*place));
        let Some(oldest) = oldest else { return Advice::Rest };
        let silent = now.seconds().saturating_sub(oldest.seen_s) > FRESH_S;
        let may_probe = oldest.probe_after_s <= now.seconds();
        if oldest.is_displaceable() && may_probe {
            Advice::Contest(oldest.contact(), newcomer)
        } else if oldest.is_displaceable() {
            Advice::Probe(newcomer)
        } else if silent && may_probe {
            Advice::Probe(oldest.contact())
        } else {
            Advice::Rest
        }
    }

    fn insert_verified(&mut self, peer: Peer) {
        self.cover_space();
        // Each turn either ends or deepens the bucket by a bit.
        for _ in 0..=Id::BITS {
            let Some(at) = self.bucket_of(&peer.id) else { return };
            let splits = self.would_fit(&self.buckets[at], &peer.id);
            if self.is_bucket_full(at) && splits && self.displaceable(at, true).is_none() {
                self.split(at);
                continue;
            }
            if !self.admit(at, &peer) {
                return;
            }
            if !self.is_bucket_full(at) {
                if self.is_full() {
                    self.forget_somebody();
                }
                if let Some(place) = self.hold(peer) {
                    self.buckets[at].members.push(place);
                }
            } else if let Some(index) = self.displaceable(at, splits) {
                let old = self.buckets[at].members.remove(index);
                self.release(old);
                if let Some(place) = self.hold(peer) {
                    self.buckets[at].members.push(place);
                }
            } else {
                self.cache(at, peer);
            }
            return;
        }
    }

    /// A replacement answered: it takes a free place, the place of a member that may be
    /// displaced, or splits the bucket; else it becomes the most recent replacement.
    fn promote(&mut self, at: usize, index: usize) {
        let bucket = &self.buckets[at];
        let id = bucket.replacements.as_slice().get(index).and_then(|place| self.at(*place));
        let has_place = !self.is_bucket_full(at)
            || id.is_some_and(|peer| self.would_fit(bucket, &peer.id))
            || self.displaceable(at, false).is_some();
        if !has_place {
            self.buckets[at].replacements.move_to_tail(index);
            return;
        }
        let place = self.buckets[at].replacements.remove(index);
        if let Some(peer) = self.at(place).copied() {
            self.release(place);
            self.insert_verified(peer);
        }
    }

    /// The member that a verified newcomer may displace: one that never answered, else,
    /// unless the bucket `splits`, the least recently seen that failed twice.
    fn displaceable(&self, at: usize, splits: bool) -> Option<usize> {
        let members = self.buckets[at].members.as_slice();
        let found = |wanted: &dyn Fn(&Peer) -> bool| {
            members.iter().position(|place| self.at(*place).is_some_and(wanted))
        };
        let unverified = found(&|peer| !peer.verified);
        if unverified.is_some() || splits { unverified } else { found(&Peer::is_displaceable) }
    }

    /// Gives the place of member `index` to the most recent verified replacement.
    fn swap_in_verified(&mut self, at: usize, index: usize) -> bool {
        let waiting = self.buckets[at].replacements.as_slice();
        let verified = |place: &u16| self.at(*place).is_some_and(Peer::is_good);
        let Some(chosen) = waiting.iter().rposition(verified) else { return false };
        let place = self.buckets[at].replacements.remove(chosen);
        let old = self.buckets[at].members.remove(index);
        self.buckets[at].members.push(place);
        self.release(old);
        true
    }

    /// A place became free: the most recent replacement takes it.
    fn refill(&mut self, at: usize) {
        if self.is_bucket_full(at) {
            return;
        }
        let bucket = &mut self.buckets[at];
        if let Some(last) = bucket.replacements.len().checked_sub(1) {
            let place = bucket.replacements.remove(last);
            bucket.members.push(place);
        }
    }

    /// The most recent replacement that has not answered yet and may be asked.
    fn waiting_replacement(&self, at: usize, now: Nanos) -> Option<Contact> {
        let waiting = self.buckets[at].replacements.as_slice().iter().rev();
        waiting
            .filter_map(|place| self.at(*place))
            .find(|peer| !peer.is_good() && peer.probe_after_s <= now.seconds())
            .map(Peer::contact)
    }

    /// Remembers a contact that found its bucket full; the oldest unverified one makes
    /// room, or the oldest.
    fn cache(&mut self, at: usize, peer: Peer) {
        let waiting = &self.buckets[at].replacements;
        if waiting.len() >= REPLACEMENTS_MAX.min(self.bucket_size) {
            let unverified = |place: &u16| self.at(*place).is_some_and(|peer| !peer.verified);
            let oldest = waiting.as_slice().iter().position(unverified);
            if oldest.is_none() && !peer.verified {
                return;
            }
            let place = self.buckets[at].replacements.remove(oldest.unwrap_or(0));
            self.release(place);
        }
        if let Some(place) = self.hold(peer) {
            self.buckets[at].replacements.push(place);
        }
    }

    fn split(&mut self, at: usize) {
        // Replacements of either half may become members.
        self.change = Change::Anywhere;
        let old = self.buckets[at];
        let mut halves = old.halves();
        let side = |id: &Id| usize::from(id.bit(old.depth));
        for place in old.members.as_slice() {
            if let Some(peer) = self.at(*place) {
                halves[side(&peer.id)].members.push(*place);
            }
        }
        for place in old.replacements.as_slice() {
            let Some(peer) = self.at(*place) else { continue };
            let half = &mut halves[side(&peer.id)];
            // A half has the room that the other half's members left.
            if half.members.len() < self.bucket_size {
                half.members.push(*place);
            } else {
                half.replacements.push(*place);
            }
        }
        self.buckets[at] = halves[0];
        grow_slowly(&mut self.buckets);
        self.buckets.insert(at + 1, halves[1]);
    }

    fn cover_space(&mut self) {
        if self.buckets.is_empty() {
            self.buckets.push(Bucket::whole_space());
        }
    }

    fn bucket_of(&self, id: &Id) -> Option<usize> {
        self.buckets.partition_point(|bucket| bucket.start <= *id).checked_sub(1)
    }

    fn locate(&self, id: &Id) -> Option<(usize, Found)> {
        let at = self.bucket_of(id)?;
        Some((at, self.find(at, id)?))
    }

    fn find(&self, at: usize, id: &Id) -> Option<Found> {
        let bucket = &self.buckets[at];
        let seek = |places: &[u16]| {
            let index = places.iter().position(|p| self.at(*p).is_some_and(|q| q.id == *id))?;
            Some((index, places[index]))
        };
        let member = seek(bucket.members.as_slice());
        member.map(|(index, place)| Found::Member { index, place }).or_else(|| {
            let (index, place) = seek(bucket.replacements.as_slice())?;
            Some(Found::Replacement { index, place })
        })
    }

    fn at(&self, place: u16) -> Option<&Peer> {
        self.peers[usize::from(place)].as_ref()
    }

    fn peer_mut(&mut self, place: u16) -> Option<&mut Peer> {
        self.peers[usize::from(place)].as_mut()
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.peers.len() >= self.contacts_max
    }

    /// Makes room for a verified newcomer that has a bucket's free place: an unverified
    /// replacement goes, else an unverified member, else any replacement. O(contacts).
    fn forget_somebody(&mut self) {
        self.change = Change::Anywhere;
        let unverified = |place: &u16| self.at(*place).is_some_and(|peer| !peer.verified);
        let waiting = |wanted: &dyn Fn(&u16) -> bool| {
            self.buckets.iter().enumerate().find_map(|(at, bucket)| {
                Some((at, bucket.replacements.as_slice().iter().position(wanted)?))
            })
        };
        let member = || {
            self.buckets.iter().enumerate().find_map(|(at, bucket)| {
                Some((at, bucket.members.as_slice().iter().position(unverified)?))
            })
        };
        if let Some((at, index)) = waiting(&unverified) {
            let place = self.buckets[at].replacements.remove(index);
            self.release(place);
        } else if let Some((at, index)) = member() {
            let place = self.buckets[at].members.remove(index);
            self.release(place);
            self.refill(at);
        } else if let Some((at, index)) = waiting(&|_| true) {
            let place = self.buckets[at].replacements.remove(index);
            self.release(place);
        }
    }

    /// A place for `peer`, unless the table is full.
    fn hold(&mut self, peer: Peer) -> Option<u16> {
        self.change = self.change.max(Change::Near);
        let group = Group::of(&peer.endpoint);
        let place = match self.free.pop() {
            Some(place) => {
                self.peers[usize::from(place)] = Some(peer);
                place
            }
            None => {
                let place = u16::try_from(self.peers.len()).ok();
                let place = place.filter(|_| self.peers.len() < self.contacts_max);
                let Some(place) = place else {
                    self.refused.full += 1;
                    return None;
                };
                grow_slowly(&mut self.peers);
                self.peers.push(Some(peer));
                place
            }
        };
        if self.counts.is_outgrown_by(self.peers.len()) {
            let groups = self.peers.iter().flatten().map(|peer| Group::of(&peer.endpoint));
            self.counts.rebuild(self.peers.len(), groups);
        } else {
            self.counts.add(group);
        }
        Some(place)
    }

    fn release(&mut self, place: u16) {
        self.change = self.change.max(Change::Near);
        if let Some(peer) = self.peers[usize::from(place)].take() {
            self.counts.remove(Group::of(&peer.endpoint));
        }
        self.free.push(place);
    }
}

#[derive(Clone, Copy, Debug)]
enum Found {
    Member { index: usize, place: u16 },
    Replacement { index: usize, place: u16 },
}

impl Found {
    fn place(self) -> u16 {
        match self {
            Self::Member { place, .. } | Self::Replacement { place, .. } => place,
        }
    }
}

/// Grows by a sixteenth instead of by doubling: simulations hold a million tables.
fn grow_slowly<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact((items.len() / 16).max(4));
    }
}

#[cfg(test)]
mod tests;
