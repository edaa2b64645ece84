//! The contacts of one address family, in a table of either kind.

use alloc::boxed::Box;
use alloc::vec::Vec;

use kdht_wire::{Contact, Endpoint, Id};

use crate::closest::{Closest, Hear};
use crate::config::Config;
use crate::contact::{Answer, Liveness, Peer};
use crate::groups::Caps;
use crate::rng::Rng;
use crate::table::{Advice, Change, Elsewhere, Fill, Table};
use crate::time::Nanos;
use crate::wide::{self, Entry, Sighting, Wide};

/// Which kind of table a node keeps.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TableKind {
    /// k-buckets (Kademlia §2.4).
    #[default]
    KBucket,
    /// Every verified contact, up to so many: for a node that knows the whole network.
    Wide(u32),
}

/// A contact of a wide table is pinged when it has been silent for so long, in seconds.
pub const WIDE_SILENT_S: u32 = 1_800;
/// Random ids that a node with a wide table looks up when it joins.
const WIDE_REFRESH: usize = 32;

/// The contacts of one address family.
#[derive(Debug)]
pub(crate) enum Contacts {
    Buckets(Table),
    /// Boxed, so that the many nodes with buckets pay nothing for it.
    Wide(Box<WideTable>),
}

/// A wide table, and what changed in it.
#[derive(Debug)]
pub(crate) struct WideTable {
    wide: Wide,
    change: wide::Change,
}

/// What changed among the contacts since it was last asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Changed {
    /// Of a k-bucket table: members, somewhere.
    Members(Change),
    /// Of a wide table: a good contact.
    Good(wide::Change),
}

impl Contacts {
    /// No contacts around `own`.
    pub(crate) fn new(own: Id, config: &Config, contacts_max: usize) -> Self {
        match config.table {
            TableKind::KBucket => {
                let table = Table::new(own, usize::from(config.k), contacts_max);
                Self::Buckets(table.with_rules(config.b, config.caps()))
            }
            TableKind::Wide(max) => {
                let max = if contacts_max == 0 { 0 } else { max as usize };
                let (wide, change) = (Wide::new(own, max), wide::Change::None);
                Self::Wide(Box::new(WideTable { wide, change }))
            }
        }
    }

    pub(crate) fn sighted(&mut self, id: &Id, endpoint: &Endpoint, now: Nanos) -> Advice {
        match self {
            Self::Buckets(table) => table.sighted(id, endpoint, now),
            Self::Wide(table) => match table.wide.sighted(id, endpoint, now) {
                Sighting::Probe(contact) => Advice::Probe(contact),
                Sighting::Rest | Sighting::Fresh | Sighting::Seen => Advice::Rest,
            },
        }
    }

    pub(crate) fn answered(&mut self, id: &Id, endpoint: &Endpoint, answer: &Answer, now: Nanos) {
        match self {
            Self::Buckets(table) => table.answered(id, endpoint, answer, now),
            Self::Wide(table) => table.change = table.wide.answered(id, endpoint, now),
        }
    }

    pub(crate) fn failed(
        &mut self,
        id: &Id,
        endpoint: &Endpoint,
        sent: Nanos,
        now: Nanos,
    ) -> Advice {
        match self {
            Self::Buckets(table) => table.failed(id, endpoint, sent, now),
            Self::Wide(table) => {
                table.change = table.wide.failed(id, endpoint, sent, now);
                Advice::Rest
            }
        }
    }

    pub(crate) fn take_change(&mut self) -> Changed {
        match self {
            Self::Buckets(table) => Changed::Members(table.take_change()),
            Self::Wide(table) => {
                Changed::Good(core::mem::replace(&mut table.change, wide::Change::None))
            }
        }
    }

    /// Tells those of [`Table::closest`].
    #[inline(always)]
    pub(crate) fn tell_closest(&self, target: &Id, k: usize, asker: &Id, to: &mut impl Hear) {
        match self {
            Self::Buckets(table) => table.tell_closest(target, k, asker, to),
            Self::Wide(table) => table.wide.tell_closest(target, k, asker, to),
        }
    }

    /// As [`wide::Wide::is_far`]; a table of buckets is not.
    pub(crate) fn is_far(&self) -> bool {
        self.wide().is_some_and(Wide::is_far)
    }

    /// As [`wide::Wide::fetch`]; of a table of buckets nothing.
    pub(crate) fn fetch(&self, target: &Id, k: usize, before: usize) {
        if let Some(wide) = self.wide() {
            wide.fetch(target, k, before);
        }
    }

    pub(crate) fn candidates(&self, target: &Id, k: usize) -> Closest {
        match self {
            Self::Buckets(table) => table.candidates(target, k),
            Self::Wide(table) => table.wide.closest(target, k, &Id::ZERO).sorted(target),
        }
    }

    /// Changes the caps for IP groups; a wide table has none.
    pub(crate) fn set_caps(&mut self, caps: Caps) {
        if let Self::Buckets(table) = self {
            table.set_caps(caps);
        }
    }

    /// Takes in what other shards know; a wide table needs nothing of it.
    pub(crate) fn set_elsewhere(&mut self, elsewhere: Elsewhere) {
        if let Self::Buckets(table) = self {
            table.set_elsewhere(elsewhere);
        }
    }

    /// How far `contact` is to be believed, if it is known at this endpoint.
    pub(crate) fn liveness(&self, contact: &Contact) -> Option<Liveness> {
        match self {
            Self::Buckets(table) => {
                let peer = table.peer(&contact.id);
                peer.filter(|peer| peer.endpoint == contact.endpoint).map(Peer::liveness)
            }
            Self::Wide(table) => {
                let entry = table.wide.get(&contact.id);
                let entry = entry.filter(|entry| entry.contact.endpoint == contact.endpoint);
                entry.map(|entry| peer_of(entry).liveness())
            }
        }
    }

    /// An id in the range of `target`'s bucket is being looked up.
    pub(crate) fn touch(&mut self, target: &Id, now: Nanos) {
        if let Self::Buckets(table) = self {
            table.touch(target, now);
        }
    }

    /// As [`Table::idlest_s`]; a wide table goes round all of its contacts anyway.
    pub(crate) fn idlest_s(&self) -> Option<u32> {
        self.buckets().and_then(Table::idlest_s)
    }

    /// As [`Table::idlest_target`].
    pub(crate) fn idlest_target(&self, rng: &mut Rng) -> Option<Id> {
        self.buckets().and_then(|table| table.idlest_target(rng))
    }

    /// Names good contacts not heard of since second `before_s`, at most `max`. Whether there
    /// are any. A wide table goes round all of its contacts anyway.
    pub(crate) fn silent_since(
        &self,
        before_s: u32,
        max: usize,
        probes: &mut Vec<Contact>,
    ) -> bool {
        let end = probes.len() + max;
        self.buckets().is_some_and(|table| {
            table.silent_since(before_s, |contact| {
                if probes.len() < end {
                    probes.push(contact);
                }
            })
        })
    }

    /// What is known of `id`, if its table keeps round trips and cookies.
    pub(crate) fn peer(&self, id: &Id) -> Option<&Peer> {
        match self {
            Self::Buckets(table) => table.peer(id),
            Self::Wide(_) => None,
        }
    }

    /// Whether `id` is known.
    pub(crate) fn knows(&self, id: &Id) -> bool {
        match self {
            Self::Buckets(table) => table.peer(id).is_some(),
            Self::Wide(table) => table.wide.get(id).is_some(),
        }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = Peer> {
        let buckets = self.buckets().into_iter().flat_map(Table::members).copied();
        buckets.chain(self.wide().into_iter().flat_map(Wide::iter).map(peer_of))
    }

    /// Members in all.
    pub(crate) fn member_count(&self) -> usize {
        match self {
            Self::Buckets(table) => table.members().count(),
            Self::Wide(table) => table.wide.len(),
        }
    }

    /// Names contacts to be probed, at most `max`. From which second on there may be more.
    pub(crate) fn unsettled(
        &mut self,
        now: Nanos,
        max: usize,
        probes: &mut Vec<Contact>,
    ) -> Option<u32> {
        let end = probes.len() + max;
        match self {
            Self::Buckets(table) => table.unsettled(now, |contact| {
                if probes.len() < end {
                    probes.push(contact);
                }
            }),
            Self::Wide(table) => {
                table.wide.due(now, WIDE_SILENT_S, max, |contact| probes.push(contact));
                (!table.wide.is_empty()).then(|| now.seconds())
            }
        }
    }

    pub(crate) fn refresh_targets(&self, rng: &mut Rng, max: usize, mut target: impl FnMut(Id)) {
        match self {
            Self::Buckets(table) => table.refresh_targets(rng, max, target),
            Self::Wide(_) => (0..max.min(WIDE_REFRESH)).for_each(|_| target(rng.id())),
        }
    }

    pub(crate) fn fill(&self) -> Fill {
        match self {
            Self::Buckets(table) => table.fill(),
            Self::Wide(table) => {
                let wide = &table.wide;
                let doubtful = wide.len() - wide.good();
                Fill { good: wide.good(), doubtful, ..Fill::default() }
            }
        }
    }

    pub(crate) fn bucket_depth(&self, id: &Id) -> u8 {
        self.buckets().map_or(0, |table| table.bucket_depth(id))
    }

    pub(crate) fn buckets(&self) -> Option<&Table> {
        match self {
            Self::Buckets(table) => Some(table),
            Self::Wide(_) => None,
        }
    }

    pub(crate) fn wide(&self) -> Option<&Wide> {
        match self {
            Self::Buckets(_) => None,
            Self::Wide(table) => Some(&table.wide),
        }
    }

    pub(crate) fn wide_mut(&mut self) -> Option<&mut Wide> {
        match self {
            Self::Buckets(_) => None,
            Self::Wide(table) => Some(&mut table.wide),
        }
    }
}

fn peer_of(entry: Entry) -> Peer {
    let mut peer = Peer::new(entry.contact.id, entry.contact.endpoint, Nanos(0));
    (peer.seen_s, peer.failures, peer.verified) =
        (entry.seen_s(), u8::from(!entry.is_good()), true);
    peer
}
