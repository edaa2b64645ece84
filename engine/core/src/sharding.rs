//! A node that is one of several shards: what it hands to the others, and what it takes.
//!
//! Every shard is a whole [`Node`] with the same id. It *writes* about its own contacts
//! only ([`owner_of`]); it *reads* from a replica of all members, which their owners' notes
//! keep up. Lookups, cookies, throttle and values need no word between shards.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hasher;

use kdht_wire::{Contact, Endpoint, Id};
use siphasher::sip::SipHasher13;

use crate::contact::{Answer, Liveness};
use crate::node::Node;
use crate::note::{Addressee, Note, owner_of};
use crate::outbox::Outbox;
use crate::replica::{Entry, Replica};
use crate::spread::{Home, Spread};
use crate::table::Change;
use crate::time::{Nanos, Now};

/// A contact that was handed to its owner is not handed again for so long, in seconds:
/// half of what counts as fresh there.
const HANDED_S: u32 = crate::table::FRESH_S / 2;
/// Contacts remembered as handed; a power of two.
const HANDED_MAX: usize = 1_024;
/// Notes that wait for whoever carries them; more are dropped, and told of.
const NOTES_MAX: usize = 4_096;

/// What makes a node one of several shards.
#[derive(Debug)]
pub(crate) struct Sharding {
    own: Id,
    shard: u8,
    pub(crate) spread: Spread,
    /// IPv4, IPv6.
    pub(crate) replicas: [Replica; 2],
    handed: Handed,
    notes: VecDeque<(Addressee, Note)>,
    /// Notes were dropped since nobody carried them.
    is_lossy: bool,
    /// Members of one class while they are compared; kept for its memory.
    members: Vec<(Contact, Liveness)>,
}

impl Sharding {
    pub(crate) fn new(own: Id, shard: u8, spread: Spread, key: [u8; 16]) -> Self {
        Self {
            own,
            shard,
            spread,
            replicas: [Replica::default(), Replica::default()],
            handed: Handed::new(key),
            notes: VecDeque::new(),
            is_lossy: false,
            members: Vec::new(),
        }
    }

    /// The shard that writes about `id`, if it is not this one.
    fn foreign_owner(&self, id: &Id) -> Option<u8> {
        Some(owner_of(&self.own, id, self.spread.shards())).filter(|owner| *owner != self.shard)
    }

    fn note(&mut self, to: Addressee, note: Note) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push_back((to, note));
        } else {
            self.is_lossy = true;
        }
    }
}

fn family_of(endpoint: &Endpoint) -> usize {
    usize::from(!endpoint.is_v4())
}

/// Which contacts were handed to their owners lately: a table of fixed size without
/// chains, in which a newcomer takes the place of whoever was there.
#[derive(Debug)]
struct Handed {
    key: [u8; 16],
    /// A hash of the contact, and when it was handed.
    places: Vec<(u32, u32)>,
}

impl Handed {
    fn new(key: [u8; 16]) -> Self {
        Self { key, places: Vec::new() }
    }

    /// Whether the contact is to be handed now; then it counts as handed.
    fn is_due(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) -> bool {
        if self.places.is_empty() {
            self.places.resize(HANDED_MAX, (0, 0));
        }
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&id.0);
        hasher.write(&endpoint.ip);
        hasher.write(&endpoint.port.to_bytes());
        let hash = hasher.finish();
        // Two halves of one hash: where to look, and what to find there.
        let [a, b, c, d, tag @ ..] = hash.to_le_bytes();
        let at = u32::from_le_bytes([a, b, c, d]) as usize & (HANDED_MAX - 1);
        let tag = u32::from_le_bytes(tag);
        let now_s = now.seconds();
        let (held, handed_s) = self.places[at];
        if held == tag && now_s.saturating_sub(handed_s) < HANDED_S {
            return false;
        }
        self.places[at] = (tag, now_s);
        true
    }
}

impl Node {
    /// Where a datagram is to be handled. O(1).
    #[must_use]
    pub fn home(&self, datagram: &[u8]) -> Home {
        self.sharding.as_ref().map_or(Home::Any, |sharding| sharding.spread.home(datagram))
    }

    /// How requests and values are spread over the shards of this node.
    #[must_use]
    pub fn spread(&self) -> Spread {
        self.sharding.as_ref().map_or(Spread::new(1, 0), |sharding| sharding.spread)
    }

    /// The next note for other shards; a node that is alone has none.
    pub fn poll_note(&mut self) -> Option<(Addressee, Note)> {
        self.sharding.as_mut()?.notes.pop_front()
    }

    /// Whether notes were dropped since the last call, so that every shard must be told
    /// anew.
    pub fn take_lossy(&mut self) -> bool {
        self.sharding.as_mut().is_some_and(|sharding| core::mem::take(&mut sharding.is_lossy))
    }

    /// Every note that a shard needs which missed some of ours: all that this one owns.
    /// O(members).
    pub fn retell(&self) -> impl Iterator<Item = Note> {
        let standing = |peer: &crate::Peer| Note::Standing(peer.contact(), peer.liveness());
        core::iter::once(Note::Anew).chain(self.members().map(standing))
    }

    /// Takes in what shard `from` told.
    pub fn handle_note(&mut self, now: Now, from: u8, note: Note, out: &mut dyn Outbox) {
        let Some(sharding) = self.sharding.as_mut() else { return };
        match note {
            Note::Sighted(contact) => self.sighted(now, &contact.id, &contact.endpoint, out),
            Note::Answered(contact, answer) => {
                self.answered(now, &contact.id, &contact.endpoint, &answer);
            }
            Note::Failed(contact, sent) => {
                self.failed(now, &contact.id, &contact.endpoint, sent, out);
            }
            Note::Standing(contact, liveness) => {
                sharding.replicas[family_of(&contact.endpoint)].stand(&contact, liveness);
            }
            Note::Gone(contact) => {
                sharding.replicas[family_of(&contact.endpoint)].remove(&contact.id);
            }
            Note::Anew => {
                let (own, shards) = (sharding.own, sharding.spread.shards());
                for replica in &mut sharding.replicas {
                    replica.retain(|id| owner_of(&own, id, shards) != from);
                }
            }
        }
    }

    /// Somebody sent us something, not in answer to a request.
    pub(crate) fn sighted(&mut self, now: Now, id: &Id, endpoint: &Endpoint, out: &mut dyn Outbox) {
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            if sharding.handed.is_due(id, endpoint, now.mono) {
                let contact = Contact::new(*id, *endpoint);
                sharding.note(Addressee::Shard(owner), Note::Sighted(contact));
            }
            return;
        }
        let advice = self.table_of(endpoint).sighted(id, endpoint, now.mono);
        if self.publish(id, endpoint) {
            self.look_over_contacts_soon(now);
        }
        self.follow(now, advice, out);
    }

    /// Somebody answered a request of this node.
    pub(crate) fn answered(&mut self, now: Now, id: &Id, endpoint: &Endpoint, answer: &Answer) {
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            let note = Note::Answered(Contact::new(*id, *endpoint), *answer);
            return sharding.note(Addressee::Shard(owner), note);
        }
        self.table_of(endpoint).answered(id, endpoint, answer, now.mono);
        self.publish(id, endpoint);
    }

    /// Somebody left the request unanswered that was sent at `sent`.
    pub(crate) fn failed(
        &mut self,
        now: Now,
        id: &Id,
        endpoint: &Endpoint,
        sent: Nanos,
        out: &mut dyn Outbox,
    ) {
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            let note = Note::Failed(Contact::new(*id, *endpoint), sent);
            return sharding.note(Addressee::Shard(owner), note);
        }
        let advice = self.table_of(endpoint).failed(id, endpoint, sent, now.mono);
        self.publish(id, endpoint);
        self.follow(now, advice, out);
        self.look_over_contacts_soon(now);
    }

    /// A random id in each class of ids that is farther than the closest neighbour's, the
    /// farthest first: what a sharded node looks up after it has joined, since no shard has
    /// all buckets.
    pub(crate) fn refresh_targets(&mut self, max: usize) -> Vec<Id> {
        let mut targets = Vec::new();
        let Some(sharding) = &self.sharding else {
            for table in &self.tables {
                table.refresh_targets(&mut self.rng, max, |id| targets.push(id));
            }
            return targets;
        };
        for replica in &sharding.replicas {
            let shared = |entry: &Entry| self.id.shared_prefix(&entry.contact.id);
            let nearest = replica.entries().iter().map(shared).max().unwrap_or(0);
            for class in 0..nearest.min(u8::try_from(max).unwrap_or(u8::MAX)) {
                let mut target = self.rng.id();
                for bit in 0..=class {
                    target = target.with_bit(bit, self.id.bit(bit) != (bit == class));
                }
                targets.push(target);
            }
        }
        targets
    }

    /// Contacts that may be told to others, whichever shard owns them.
    pub(crate) fn good_count(&self) -> usize {
        let is_good = |entry: &&Entry| entry.liveness == Liveness::Good;
        match &self.sharding {
            None => self.tables.iter().map(|table| table.fill().good).sum(),
            Some(sharding) => {
                sharding.replicas.iter().flat_map(Replica::entries).filter(is_good).count()
            }
        }
    }

    /// Tells the others what changed in the table around `id`, if anything did: the table
    /// says only that, and so what holds is compared with what was told before.
    fn publish(&mut self, id: &Id, endpoint: &Endpoint) -> bool {
        let family = family_of(endpoint);
        let change = self.tables[family].take_change();
        let Some(sharding) = self.sharding.as_mut() else { return change != Change::None };
        let (low, high) = match change {
            Change::None => return false,
            Change::Near => class_of(&sharding.own, id),
            Change::Anywhere => (Id::ZERO, Id([0xff; 20])),
        };
        let mut members = core::mem::take(&mut sharding.members);
        members.clear();
        let standing = |peer: &crate::Peer| (peer.contact(), peer.liveness());
        members.extend(self.tables[family].members_between(&low, &high).map(standing));
        members.sort_unstable_by_key(|(contact, _)| contact.id);
        sharding.tell_difference(family, &low, &high, &members);
        sharding.members = members;
        true
    }
}

impl Sharding {
    /// Brings this shard's replica to `members`, sorted by id, between two ids, and tells
    /// the others what is new in it.
    fn tell_difference(
        &mut self,
        family: usize,
        low: &Id,
        high: &Id,
        members: &[(Contact, Liveness)],
    ) {
        for (contact, liveness) in members {
            if self.replicas[family].stand(contact, *liveness) {
                self.note(Addressee::Others, Note::Standing(*contact, *liveness));
            }
        }
        let (own, shard, shards) = (self.own, self.shard, self.spread.shards());
        let is_gone = |id: &Id| {
            owner_of(&own, id, shards) == shard
                && members.binary_search_by(|(contact, _)| contact.id.cmp(id)).is_err()
        };
        // Each turn takes one out.
        while let Some(gone) = self.replicas[family].find_between(low, high, is_gone) {
            self.replicas[family].remove(&gone.id);
            self.note(Addressee::Others, Note::Gone(gone));
        }
    }
}

/// The lowest and the highest of the ids that share as many leading bits with `own` as `id`
/// does.
fn class_of(own: &Id, id: &Id) -> (Id, Id) {
    let shared = own.shared_prefix(id);
    let (mut low, mut high) = (*own, *own);
    for bit in shared..Id::BITS {
        let is_first = bit == shared;
        low = low.with_bit(bit, is_first && !own.bit(bit));
        high = high.with_bit(bit, !is_first || !own.bit(bit));
    }
    (low, high)
}
