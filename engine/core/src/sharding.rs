//! A node that is one of several shards: what it hands to the others, and what it takes.
//!
//! Every shard is a whole [`Node`] with the same id. It *writes* about its own contacts
//! only ([`owner_of`]); it *reads* from a replica of all members, which their owners' notes
//! keep up. Lookups, cookies, throttle and values need no word between shards.

mod wide;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hasher;

use kdht_wire::{Contact, Endpoint, Flags, HEAD_LEN, ID_LEN, Id, Kind, MAGIC, TARGET_OFFSET};
use siphasher::sip::SipHasher13;

use crate::cells::{Cells, WholeAnswer};
use crate::closest::{Closest, Hear};
use crate::contact::{Answer, Liveness};
use crate::contacts::{Changed, Contacts, TableKind};
use crate::groups::Group;
use crate::node::Node;
use crate::note::{Addressee, Note, owner_of};
use crate::outbox::Outbox;
use crate::replica::Replica;
use crate::sharding::wide::Division;
use crate::spread::{Home, Spread};
use crate::table::{Advice, Change, Elsewhere};
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
    /// IPv4, IPv6: all members of a k-bucket table; of a wide one those good contacts of
    /// other shards that all know.
    replicas: [Replica; 2],
    /// How wide tables are divided; nothing if they are not wide.
    divisions: [Option<Division>; 2],
    handed: Handed,
    notes: VecDeque<(Addressee, Note)>,
    /// Notes were dropped since nobody carried them.
    is_lossy: bool,
    /// Members of one class while they are compared; kept for its memory.
    members: Vec<(Contact, Liveness)>,
}

impl Sharding {
    pub(crate) fn new(own: Id, shard: u8, spread: Spread, table: TableKind, key: [u8; 16]) -> Self {
        let division = || match table {
            TableKind::KBucket => None,
            TableKind::Wide(max) => Some(Division::new(own, spread.shards(), max as usize)),
        };
        Self {
            own,
            shard,
            spread,
            replicas: [Replica::default(), Replica::default()],
            divisions: [division(), division()],
            handed: Handed::new(key),
            notes: VecDeque::new(),
            is_lossy: false,
            members: Vec::new(),
        }
    }

    /// The shard that writes about `id`.
    fn owner(&self, id: &Id) -> u8 {
        match &self.divisions[0] {
            None => owner_of(&self.own, id, self.spread.shards()),
            Some(division) => division.cells.owner(Cells::of(id)),
        }
    }

    /// The shard that writes about `id`, if it is not this one.
    fn foreign_owner(&self, id: &Id) -> Option<u8> {
        Some(self.owner(id)).filter(|owner| *owner != self.shard)
    }

    /// Every member that this shard was told of.
    pub(crate) fn told(&self) -> impl Iterator<Item = (Contact, Liveness)> {
        self.replicas.iter().flat_map(Replica::iter)
    }

    /// Forgets them all.
    pub(crate) fn forget_told(&mut self) {
        self.replicas.iter_mut().for_each(|replica| replica.retain(|_| false));
    }

    /// As [`Contacts::tell_closest`] of the whole table, as far as this shard knows it.
    pub(crate) fn tell_closest(
        &self,
        family: usize,
        own_part: &Contacts,
        target: &Id,
        k: usize,
        asker: &Id,
        to: &mut impl Hear,
    ) {
        let told = &self.replicas[family];
        let whole = match &self.divisions[family] {
            // The replica has this shard's members, too.
            None => WholeAnswer::Told,
            Some(division) => division.cells.whole_answer(target, self.shard),
        };
        match whole {
            WholeAnswer::Owned => own_part.tell_closest(target, k, asker, to),
            WholeAnswer::Told => told.tell_closest(target, k, asker, to),
            WholeAnswer::Both => {
                let (mut owned, mut others) = (Closest::empty(), Closest::empty());
                own_part.tell_closest(target, k, asker, &mut owned);
                told.tell_closest(target, k, asker, &mut others);
                let (owned, others) = (owned.sorted(target), others.sorted(target));
                to.hear(owned.merge(&others, target, k).as_slice().iter());
            }
        }
    }

    /// As [`Contacts::candidates`] of the whole table, as far as this shard knows it.
    pub(crate) fn candidates(
        &self,
        family: usize,
        own_part: &Contacts,
        target: &Id,
        k: usize,
    ) -> Closest {
        let told = self.replicas[family].candidates(target, k);
        match own_part {
            Contacts::Buckets(_) => told,
            Contacts::Wide(_) => own_part.candidates(target, k).merge(&told, target, k),
        }
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
    /// Where a datagram is to be handled: as [`Spread::home`] says, and where tables are
    /// wide at a shard that can answer it. O(1), at most 256 small steps.
    #[must_use]
    pub fn home(&self, datagram: &[u8]) -> Home {
        let Some(sharding) = &self.sharding else { return Home::Any };
        let home = sharding.spread.home(datagram);
        if sharding.divisions[0].is_none() || datagram.len() < HEAD_LEN {
            return home;
        }
        let is_request = datagram[..2] == MAGIC
            && !Flags(u16::from_le_bytes([datagram[4], datagram[5]]))
                .has(Flags::REPLY.with(Flags::RECURSE));
        let mut target = Id::ZERO;
        target.0.copy_from_slice(&datagram[TARGET_OFFSET..TARGET_OFFSET + ID_LEN]);
        let asks_for_contacts = match Kind::from_u8(datagram[3]) {
            Some(Kind::FindNode) => true,
            // Values are asked for where they are held; if there are none, so are contacts.
            Some(Kind::FindValue) => {
                home == Home::Shard(sharding.shard) && !self.store.holds(&target)
            }
            _ => false,
        };
        if !is_request || !asks_for_contacts {
            return home;
        }
        let answerers = sharding.divisions.iter().flatten().map(|d| d.cells.answerer(&target));
        // One family's table decides; a node with two answers for the other as it can.
        match answerers.flatten().next() {
            Some(shard) => Home::Shard(shard),
            None => home,
        }
    }

    /// Where a datagram that another shard handed over is to be handled: here, unless it asks
    /// for a value that would be held here and is not, in which case it may have to go on to
    /// whoever can answer with contacts. That one keeps it, so that there is no third.
    #[must_use]
    pub fn home_of_handed(&self, datagram: &[u8]) -> Home {
        let is_for_here = self
            .sharding
            .as_ref()
            .is_some_and(|sharding| sharding.spread.home(datagram) == Home::Shard(sharding.shard));
        if is_for_here { self.home(datagram) } else { Home::Any }
    }

    /// How requests and values are spread over the shards of this node.
    #[must_use]
    pub fn spread(&self) -> Spread {
        self.sharding.as_ref().map_or(Spread::new(1, 0), |sharding| sharding.spread)
    }

    /// How many cells of its wide tables only their owners know: IPv4, IPv6.
    #[must_use]
    pub fn private_cells(&self) -> (u32, u32) {
        let count = |family: usize| {
            let division = self.sharding.as_ref().and_then(|s| s.divisions[family].as_ref());
            division.map_or(0, |division| division.cells.private_count())
        };
        (count(0), count(1))
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
    pub fn retell(&self) -> Vec<Note> {
        let mut notes = alloc::vec![Note::Anew];
        let Some(sharding) = &self.sharding else { return notes };
        for (family, contacts) in self.tables.iter().enumerate() {
            match contacts.wide() {
                Some(wide) => sharding.retell_wide(family, wide, |note| notes.push(note)),
                None => notes.extend(
                    contacts.members().map(|peer| Note::Standing(peer.contact(), peer.liveness())),
                ),
            }
        }
        notes
    }

    /// Takes in what shard `from` told.
    pub fn handle_note(&mut self, now: Now, from: u8, note: Note, out: &mut dyn Outbox) {
        let Some(sharding) = self.sharding.as_mut() else { return };
        match note {
            Note::Sighted(contact) => self.sighted(now, &contact.id, &contact.endpoint, out),
            Note::Heard(contact) => self.heard_of(now, &contact, out),
            Note::Answered(contact, answer) => {
                self.answered(now, &contact.id, &contact.endpoint, &answer);
            }
            Note::Failed(contact, sent) => {
                self.failed(now, &contact.id, &contact.endpoint, sent, out);
            }
            Note::Standing(contact, liveness) => {
                let replica = &mut sharding.replicas[family_of(&contact.endpoint)];
                let before = replica.member(&contact.id).map(|(_, liveness)| liveness);
                replica.stand(&contact, liveness);
                let was_verified = before.is_some_and(|before| before != Liveness::Unverified);
                if !was_verified && liveness == Liveness::Good {
                    self.welcome(now, &contact);
                }
            }
            Note::Gone(contact) => {
                sharding.replicas[family_of(&contact.endpoint)].remove(&contact.id);
            }
            Note::Anew => {
                for family in 0..2 {
                    let mut replica = core::mem::take(&mut sharding.replicas[family]);
                    replica.retain(|id| sharding.owner(id) != from);
                    sharding.replicas[family] = replica;
                }
            }
            Note::Cell { is_v4, cell, is_private } => {
                let family = usize::from(!is_v4);
                if let Some(division) = sharding.divisions[family].as_mut() {
                    division.cells.set_private(cell, is_private);
                    sharding.forget_private(family);
                }
            }
            Note::Neighbourhood { is_v4, depth, is_crowded } => {
                let family = usize::from(!is_v4);
                if let Some(division) = sharding.divisions[family].as_mut() {
                    division.cells.set_neighbourhood(depth, is_crowded);
                    sharding.forget_private(family);
                }
            }
            Note::Held { is_v4, count } => {
                let family = usize::from(!is_v4);
                if let Some(division) = sharding.divisions[family].as_mut() {
                    division.set_held(from, count);
                    let contacts_max = division.contacts_max(sharding.shard);
                    if let Some(wide) = self.tables[family].wide_mut() {
                        wide.set_contacts_max(contacts_max);
                    }
                }
            }
        }
    }

    /// Somebody sent us something, not in answer to a request.
    pub(crate) fn sighted(&mut self, now: Now, id: &Id, endpoint: &Endpoint, out: &mut dyn Outbox) {
        if self.ceded.is_some() {
            // The proxy saw it, too.
            return;
        }
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            if sharding.handed.is_due(id, endpoint, now.mono) {
                let contact = Contact::new(*id, *endpoint);
                sharding.note(Addressee::Shard(owner), Note::Sighted(contact));
            }
            return;
        }
        if self.sharding.is_some() && self.table_of(endpoint).peer(id).is_none() {
            self.learn_elsewhere(id, endpoint);
        }
        let advice = self.table_of(endpoint).sighted(id, endpoint, now.mono);
        if self.publish(id, endpoint) {
            self.look_over_contacts_soon(now);
        }
        self.follow(now, advice, out);
    }

    /// Somebody told us of `contact`: a wide table wants to know everybody.
    pub(crate) fn heard_of(&mut self, now: Now, contact: &Contact, out: &mut dyn Outbox) {
        if self.config.table == TableKind::KBucket || contact.id == self.id {
            return;
        }
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(&contact.id)
        {
            if sharding.handed.is_due(&contact.id, &contact.endpoint, now.mono) {
                sharding.note(Addressee::Shard(owner), Note::Heard(*contact));
            }
            return;
        }
        if !self.table_of(&contact.endpoint).knows(&contact.id) {
            self.probe(now, contact, out);
        }
    }

    /// Somebody answered a request of this node.
    pub(crate) fn answered(&mut self, now: Now, id: &Id, endpoint: &Endpoint, answer: &Answer) {
        if let Some(ceded) = &mut self.ceded {
            return ceded.answered(Contact::new(*id, *endpoint), *answer, now.mono);
        }
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            let note = Note::Answered(Contact::new(*id, *endpoint), *answer);
            return sharding.note(Addressee::Shard(owner), note);
        }
        self.learn_elsewhere(id, endpoint);
        let (contact, table) = (Contact::new(*id, *endpoint), self.table_of(endpoint));
        let is_verified = |table: &Contacts| {
            table.liveness(&contact).is_some_and(|liveness| liveness != Liveness::Unverified)
        };
        let was_verified = is_verified(table);
        table.answered(id, endpoint, answer, now.mono);
        if !was_verified && is_verified(table) {
            self.welcome(now, &contact);
        }
        self.plan_refresh(now);
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
        if let Some(ceded) = &mut self.ceded {
            return ceded.failed(Contact::new(*id, *endpoint), sent);
        }
        if let Some(sharding) = self.sharding.as_mut()
            && let Some(owner) = sharding.foreign_owner(id)
        {
            let note = Note::Failed(Contact::new(*id, *endpoint), sent);
            return sharding.note(Addressee::Shard(owner), note);
        }
        self.learn_elsewhere(id, endpoint);
        let advice = self.table_of(endpoint).failed(id, endpoint, sent, now.mono);
        self.publish(id, endpoint);
        self.follow(now, advice, out);
        self.look_over_contacts_soon(now);
    }

    /// Takes in a contact that a proxy kept, with its answer if it gave one: where it is this
    /// shard's.
    pub(crate) fn take_in(
        &mut self,
        now: Now,
        contact: &Contact,
        answer: Option<&Answer>,
        out: &mut dyn Outbox,
    ) {
        let (id, endpoint) = (&contact.id, &contact.endpoint);
        if self.sharding.as_ref().is_some_and(|sharding| sharding.foreign_owner(id).is_some()) {
            return;
        }
        self.learn_elsewhere(id, endpoint);
        let table = self.table_of(endpoint);
        let advice = match answer {
            Some(answer) => {
                table.answered(id, endpoint, answer, now.mono);
                Advice::Rest
            }
            None => table.sighted(id, endpoint, now.mono),
        };
        self.publish(id, endpoint);
        self.follow(now, advice, out);
    }

    /// A random id in each class of ids that is farther than the closest neighbour's, the
    /// farthest first: what a sharded node looks up after it has joined, since no shard has
    /// all buckets.
    pub(crate) fn refresh_targets(&mut self, max: usize) -> Vec<Id> {
        let mut targets = Vec::new();
        let sharding = self.sharding.as_ref().filter(|sharding| sharding.divisions[0].is_none());
        let Some(sharding) = sharding else {
            for table in &self.tables {
                table.refresh_targets(&mut self.rng, max, |id| targets.push(id));
            }
            return targets;
        };
        for replica in &sharding.replicas {
            let shared = |contact: &Contact| self.id.shared_prefix(&contact.id);
            let nearest = replica.members().iter().map(shared).max().unwrap_or(0);
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
        let own = || self.tables.iter().map(|table| table.fill().good).sum::<usize>();
        let Some(sharding) = &self.sharding else { return own() };
        let told = sharding.replicas.iter().map(Replica::good_count).sum::<usize>();
        // The replica of a wide table is what other shards told.
        told + sharding.divisions[0].as_ref().map_or(0, |_| own())
    }

    /// How far a contact of whichever shard is to be believed, if it is known at this
    /// endpoint.
    pub(crate) fn liveness_of(&self, contact: &Contact) -> Option<Liveness> {
        let family = family_of(&contact.endpoint);
        let own = self.tables[family].liveness(contact);
        own.or_else(|| {
            let replica = &self.sharding.as_ref()?.replicas[family];
            let (known, liveness) = replica.member(&contact.id)?;
            (known.endpoint == contact.endpoint).then_some(liveness)
        })
    }

    /// Tells the table what other shards know and it needs to place a contact.
    fn learn_elsewhere(&mut self, id: &Id, endpoint: &Endpoint) {
        let Some(sharding) = self.sharding.as_ref() else { return };
        let family = family_of(endpoint);
        if self.tables[family].buckets().is_none() {
            return;
        }
        let replica = &sharding.replicas[family];
        let is_known = self.tables[family].peer(id).is_some_and(|p| p.endpoint == *endpoint);
        let is_foreign = |id: &Id| sharding.foreign_owner(id).is_some();
        let of_group = if is_known { 0 } else { replica.of_group(Group::of(endpoint), is_foreign) };
        // A table holds no more than 65,535 contacts.
        let of_group = u16::try_from(of_group).unwrap_or(u16::MAX);
        let k = usize::from(self.config.k);
        let neighbourhood = Some(replica.neighbourhood(&self.id, k));
        self.tables[family].set_elsewhere(Elsewhere { neighbourhood, of_group });
    }

    /// Tells the others what changed in the table around `id`, if anything did: the table
    /// says only that, and so what holds is compared with what was told before.
    fn publish(&mut self, id: &Id, endpoint: &Endpoint) -> bool {
        let family = family_of(endpoint);
        let changed = self.tables[family].take_change();
        let Some(sharding) = self.sharding.as_mut() else {
            return changed != Changed::Members(Change::None);
        };
        let (low, high) = match changed {
            Changed::Members(Change::None) => return false,
            Changed::Members(Change::Near) => class_of(&sharding.own, id),
            Changed::Members(Change::Anywhere) => (Id::ZERO, Id([0xff; 20])),
            Changed::Good(change) => {
                let wide = self.tables[family].wide();
                return wide.is_some_and(|wide| sharding.tell_change(family, wide, change));
            }
        };
        let Some(table) = self.tables[family].buckets() else { return false };
        let mut members = core::mem::take(&mut sharding.members);
        members.clear();
        let standing = |peer: &crate::Peer| (peer.contact(), peer.liveness());
        members.extend(table.members_between(&low, &high).map(standing));
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
