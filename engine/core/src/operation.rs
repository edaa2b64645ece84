//! What is under way: a lookup and what it is for.

use alloc::vec::Vec;

use kdht_wire::{Endpoint, Filter, FindValueBody, Id, Kind};

use crate::ask::AskBody;
use crate::collect::{Announced, Holder};
use crate::command::{OperationId, Request, Stored, Value};
use crate::lookup::Lookup;
use crate::outbox::Route;
use crate::time::Nanos;

/// Askers that share one recursive lookup; more begin another.
pub(crate) const ASKERS_MAX: usize = 16;
/// Pages asked of one holder for one FIND_VALUE.
pub(crate) const PAGES_MAX: u8 = 32;

/// Bytes of announced values fetched for one FIND_VALUE of the owner's; for an asker no
/// more than a reply carries.
pub(crate) const FETCH_BYTES_MAX: u64 = 16 << 20;

/// Where an operation stands in the node's list; a place is used again under another
/// generation, so that a late answer finds nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OperationKey {
    place: u16,
    generation: u32,
}

/// Who is told when an operation is done.
#[derive(Debug)]
pub(crate) enum Audience {
    /// The owner of the node, by an event.
    Owner,
    /// The node's own join.
    Join,
    /// The same, by a lookup with one request in flight that fills a part of a bucket.
    Walk,
    /// The node's own leaving.
    Drain,
    /// Nobody: it keeps a range of the table fresh.
    Refresh,
    /// Nobody: it hands a value to a newcomer.
    Handover,
    /// Nobody: it republishes the value at this cursor.
    Republish(u16),
    /// Nodes and clients that asked with RECURSE.
    Askers(Vec<Asker>),
}

/// One who asked with RECURSE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) route: Route,
    pub(crate) tx_id: u64,
    pub(crate) id: Id,
    /// First position wanted among the values found; zero for all else.
    pub(crate) cursor: u16,
    /// The connection that it asked by; nothing: by datagram.
    pub(crate) stream: Option<u64>,
}

/// What an operation is for.
#[derive(Debug)]
pub(crate) enum Goal {
    FindNode,
    /// With `holders` above one, from as many of the closest holders.
    FindValue {
        filter: Filter,
        values_max: u16,
        holders: u8,
        found: Found,
    },
    Put {
        value: Value,
        cas: Option<u64>,
        stored: Stored,
        phase: PutPhase,
    },
    Ask {
        request: Request,
        recurse: bool,
        endpoint: Endpoint,
        expected: Id,
        /// The reply by datagram that only announces, while the values are fetched by TCP.
        announced: Option<Vec<u8>>,
    },
}

/// The values found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) values: Vec<Value>,
    pub(crate) total: u16,
    pub(crate) holder: Option<(Id, Endpoint)>,
    /// Others who answered with values meanwhile, to be asked again if the holder's come to
    /// nothing; at most as many as a lookup asks.
    pub(crate) others: Vec<(Id, Endpoint)>,
    /// Requests sent to the holder so far.
    pub(crate) pages: u8,
    /// Whether a further page of the holder's is waited for.
    pub(crate) is_paging: bool,
    /// Announced values that are being fetched from the holder, and their bytes, and those
    /// fetched before.
    pub(crate) fetching: u16,
    pub(crate) fetched_bytes: u64,
    /// Whether the holder announced values that are not fetched, since whoever asked by
    /// datagram could not be given them.
    pub(crate) has_more: bool,
    /// Who gave values, where more than one is asked.
    pub(crate) holders: Vec<Holder>,
    /// Announced values that one of them is asked for.
    pub(crate) awaited: Vec<Announced>,
    /// The same values at other holders, at most [`crate::collect::SPARES_MAX`], for if the
    /// first does not give what it announced.
    pub(crate) spares: Vec<Announced>,
    /// Whether this node holds some itself.
    pub(crate) is_held_here: bool,
}

/// How far a put has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PutPhase {
    /// Looking for the closest nodes.
    Finding,
    /// Waiting for this many of them to answer a STORE.
    Storing { waiting: u16 },
}

/// One thing under way.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) goal: Goal,
    pub(crate) lookup: Lookup,
    pub(crate) audience: Audience,
    pub(crate) started: Nanos,
    pub(crate) messages: u32,
    /// Whether a forwarded request is waited for before its lookup begins.
    pub(crate) is_forwarded: bool,
}

impl Operation {
    /// What a lookup asks its candidates, from value position `cursor` on.
    pub(crate) fn request(&self, cursor: u16) -> (Kind, AskBody<'static>) {
        match &self.goal {
            Goal::FindValue { filter, .. } => {
                (Kind::FindValue, AskBody::FindValue(FindValueBody::new(filter, cursor)))
            }
            _ => (Kind::FindNode, AskBody::Empty),
        }
    }
}

/// The node's operations in a fixed number of places.
#[derive(Debug)]
pub(crate) struct Operations {
    places: Vec<(u32, Option<Operation>)>,
    places_max: usize,
    count: usize,
    begun: u64,
    generation: u32,
}

impl Operations {
    pub(crate) fn new(places_max: u16) -> Self {
        let places_max = usize::from(places_max);
        Self { places: Vec::new(), places_max, count: 0, begun: 0, generation: 0 }
    }

    /// Operations under way.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= self.places_max
    }

    pub(crate) fn next_id(&mut self) -> OperationId {
        self.begun += 1;
        OperationId(self.begun)
    }

    /// Takes a place. The caller has seen that there is one.
    pub(crate) fn insert(&mut self, operation: Operation) -> OperationKey {
        let place = self.places.iter().position(|(_, held)| held.is_none());
        let place = place.unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() - 1
        });
        self.generation = self.generation.wrapping_add(1);
        self.places[place] = (self.generation, Some(operation));
        self.count += 1;
        // `places_max` fits in 16 bits.
        let generation = self.generation;
        OperationKey { place: u16::try_from(place).unwrap_or(u16::MAX), generation }
    }

    /// Gives memory back while nothing is under way.
    pub(crate) fn release(&mut self) {
        if self.count == 0 {
            self.places = Vec::new();
        }
    }

    /// Takes an operation out to work on it; [`Operations::put_back`] returns it.
    pub(crate) fn take(&mut self, key: OperationKey) -> Option<Operation> {
        let (generation, held) = self.places.get_mut(usize::from(key.place))?;
        if *generation != key.generation {
            return None;
        }
        let taken = held.take();
        self.count -= usize::from(taken.is_some());
        taken
    }

    /// What an operation looks for, and where.
    pub(crate) fn peek(&self, key: OperationKey) -> Option<(Id, &Goal)> {
        let operation = self.held(key)?;
        Some((*operation.lookup.target(), &operation.goal))
    }

    /// One that is in its place.
    pub(crate) fn held(&self, key: OperationKey) -> Option<&Operation> {
        let (generation, held) = self.places.get(usize::from(key.place))?;
        held.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn put_back(&mut self, key: OperationKey, operation: Operation) {
        self.places[usize::from(key.place)].1 = Some(operation);
        self.count += 1;
    }

    /// A recursive lookup of the same thing that can take another asker.
    /// Those who asked by TCP and those who did not do not share one: it does more for the
    /// former.
    pub(crate) fn shared(
        &mut self,
        wanted: &Goal,
        target: &Id,
        by_stream: bool,
    ) -> Option<&mut Vec<Asker>> {
        self.places.iter_mut().find_map(|(_, held)| {
            let operation = held.as_mut()?;
            let same = operation.lookup.target() == target
                && match (&operation.goal, wanted) {
                    (Goal::FindNode, Goal::FindNode) => true,
                    (Goal::FindValue { filter: l, .. }, Goal::FindValue { filter: r, .. }) => {
                        l == r
                    }
                    _ => false,
                };
            match &mut operation.audience {
                Audience::Askers(askers)
                    if same
                        && askers.len() < ASKERS_MAX
                        && askers.iter().all(|a| a.stream.is_some() == by_stream) =>
                {
                    Some(askers)
                }
                _ => None,
            }
        })
    }

    /// Recursive lookups under way.
    pub(crate) fn recursions(&self) -> usize {
        self.count_for(|audience| matches!(audience, Audience::Askers(_)))
    }

    /// Operations under way for those whom `is_wanted` picks.
    pub(crate) fn count_for(&self, is_wanted: impl Fn(&Audience) -> bool) -> usize {
        let held = self.places.iter().filter_map(|(_, held)| held.as_ref());
        held.filter(|operation| is_wanted(&operation.audience)).count()
    }
}
