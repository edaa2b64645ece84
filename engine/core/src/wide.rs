//! A wide table: every contact of the network that answered us, for a node that knows all
//! of them and answers in one hop.
//!
//! Differences from Kademlia §2.4, because this table has no buckets:
//! - It holds only contacts that answered a request of ours, up to a number, wherever their
//!   ids lie. Whoever merely sends us something is named to be asked, and not kept.
//! - A contact that fails once is not told to others and, after a pause of two seconds,
//!   asked again; if it fails again it is forgotten. There are no replacements to wait for.
//! - A full table takes a newcomer only in the place of a contact that failed, whose pause
//!   is over, and that nobody has asked again yet; a live contact is never evicted.
//!
//! Contacts lie sorted by id, so any prefix is a range; and in chunks that are whole subtrees,
//! for the most part, so that the answer to a request is picked from one of them. Memory: at
//! most 80 bytes a contact in a table of thousands, 63 in the usual case.

mod bits;
mod chunk;
mod directory;
mod nearest;
mod patrol;
mod row;
mod starts;
mod walk;

use kdht_wire::{Contact, Endpoint, Id};

use crate::table::FRESH_S;
use crate::time::Nanos;

pub use chunk::Entry;
pub use patrol::{LOOKED_AT_MAX, ROUND_S_MIN, SUSPECTS_MAX};

use bits::blend;
use directory::{Directory, Place};
use patrol::Patrol;

/// Up to a million contacts of one address family and more, sorted by id.
#[derive(Debug)]
pub struct Wide {
    own: Id,
    contacts_max: usize,
    directory: Directory,
    patrol: Patrol,
}

/// How the set of good contacts changed; who follows these holds the same set.
///
/// An endpoint never changes in place: an id whose known endpoint fails twice is forgotten,
/// and then it is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Not at all.
    None,
    /// This contact is good now.
    Added(Contact),
    /// The contact of this id is not good any more.
    Removed(Id),
}

/// What is to be done after a message was seen that is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sighting {
    /// Nothing: the own id, no room for a newcomer, a contact in its pause, or a known id
    /// from another endpoint while the known one is believed alive.
    Rest,
    /// Nothing: a good contact that was heard from within [`FRESH_S`].
    Fresh,
    /// Nothing: a good contact that had been silent for longer.
    Seen,
    /// Ping this endpoint: an unknown contact, a known one that failed, or the known and
    /// silent one of an id that now came from elsewhere.
    Probe(Contact),
}

impl Wide {
    /// An empty table of at most `contacts_max` contacts around `own`, which is never in
    /// it. Memory is taken as contacts come.
    #[must_use]
    pub fn new(own: Id, contacts_max: usize) -> Self {
        let (directory, patrol) = (Directory::new(), Patrol::default());
        Self { own, contacts_max, directory, patrol }
    }

    /// Lets the table hold at most `contacts_max` contacts from now on; those that it holds
    /// stay.
    pub fn set_contacts_max(&mut self, contacts_max: usize) {
        self.contacts_max = contacts_max;
    }

    /// `id` answered a request of ours from `endpoint`.
    ///
    /// A known id at another endpoint changes nothing: the known one has not failed twice,
    /// or it would have been forgotten. Nor does a newcomer without room.
    /// Cost: O(log contacts) and the moving of at most 64 contacts; amortised O(1) chunks
    /// split or joined.
    pub fn answered(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) -> Change {
        if *id == self.own || *id == Id::ZERO {
            return Change::None;
        }
        let Some(place) = self.find(id) else {
            if self.directory.len() >= self.contacts_max && !self.evict_suspect(now) {
                return Change::None;
            }
            self.directory.insert(Entry::new(*id, *endpoint, now));
            return Change::Added(Contact::new(*id, *endpoint));
        };
        let entry = self.directory.at(place);
        if entry.contact.endpoint != *endpoint {
            return Change::None;
        }
        let was_good = entry.is_good();
        self.directory.update(place, |heard| heard.answered(now));
        if was_good { Change::None } else { Change::Added(Contact::new(*id, *endpoint)) }
    }

    /// A message of `id` came from `endpoint`, not in answer to a request of ours. It keeps
    /// a good contact from being asked whether it is alive, and proves nothing else.
    ///
    /// Cost: O(log contacts), no allocation.
    pub fn sighted(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) -> Sighting {
        if *id == self.own || *id == Id::ZERO {
            return Sighting::Rest;
        }
        let Some(place) = self.find(id) else {
            let has_room = self.directory.len() < self.contacts_max || self.patrol.suspects() > 0;
            let newcomer = Contact::new(*id, *endpoint);
            return if has_room { Sighting::Probe(newcomer) } else { Sighting::Rest };
        };
        let entry = self.directory.at(place);
        let known = entry.contact;
        if !entry.is_good() {
            let may_probe = entry.is_suspect(now);
            return if may_probe { Sighting::Probe(known) } else { Sighting::Rest };
        }
        let is_silent = now.seconds().saturating_sub(entry.seen_s()) > FRESH_S;
        match (known.endpoint == *endpoint, is_silent) {
            (true, false) => Sighting::Fresh,
            (true, true) => {
                self.directory.update(place, |heard| heard.sighted(now));
                Sighting::Seen
            }
            (false, true) => Sighting::Probe(known),
            (false, false) => Sighting::Rest,
        }
    }

    /// `id` at `endpoint` left the request that we sent at `sent` unanswered.
    ///
    /// The first failure makes it one that is not told to others; the second, of a request
    /// sent at least two seconds after the first failed, makes it forgotten. A request that
    /// was sent before the last answer does not count.
    pub fn failed(&mut self, id: &Id, endpoint: &Endpoint, sent: Nanos, now: Nanos) -> Change {
        let Some(place) = self.find(id) else { return Change::None };
        let entry = self.directory.at(place);
        if entry.contact.endpoint != *endpoint || sent.tenths() < entry.heard.counts_from_ds {
            return Change::None;
        }
        if !entry.is_good() {
            self.directory.remove(place);
            // It was taken from the good ones at its first failure.
            return Change::None;
        }
        self.directory.update(place, |heard| heard.failed(now));
        let entry = self.directory.at(place);
        self.patrol.suspect(&entry);
        Change::Removed(*id)
    }

    /// The contact with this id, good or not. O(log contacts).
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<Entry> {
        self.find(id).map(|place| self.directory.at(place))
    }

    /// Every contact, good or not, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        self.directory.from(&Id::ZERO)
    }

    /// The contacts, good or not, whose ids share their first `bits` bits (at most 160)
    /// with `prefix`, in the order of ids. O(log contacts) to begin.
    pub fn range(&self, prefix: Id, bits: u8) -> impl Iterator<Item = Entry> {
        let bits = bits.min(Id::BITS);
        let lowest = blend(&prefix, &Id::ZERO, bits);
        self.directory
            .from(&lowest)
            .take_while(move |entry| entry.contact.id.shared_prefix(&lowest) >= bits)
    }

    /// How many contacts [`Wide::range`] has, counted up to `max`. O(log contacts + max).
    #[must_use]
    pub fn count_in(&self, prefix: Id, bits: u8, max: usize) -> usize {
        self.range(prefix, bits).take(max).count()
    }

    /// Contacts, good or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.directory.len()
    }

    /// Whether no contact is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Contacts that others may be told of.
    #[must_use]
    pub fn good(&self) -> usize {
        self.directory.len() - self.directory.failing()
    }

    /// Memory that the table takes, in bytes: itself and all that it allocated, unused
    /// capacity included; what the allocator rounds up is not. O(chunks).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.directory.heap_bytes() + self.patrol.heap_bytes()
    }

    fn find(&self, id: &Id) -> Option<Place> {
        self.directory.seek(id).ok()
    }

    /// Takes out the contact that has failed for longest, if its pause is over and nobody
    /// was told to ask it again.
    fn evict_suspect(&mut self, now: Nanos) -> bool {
        let directory = &self.directory;
        let found = self.patrol.next_suspect(now, |id| {
            let place = directory.seek(id).ok()?;
            directory.at(place).is_suspect(now).then_some(place)
        });
        found.map(|place| self.directory.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests;
