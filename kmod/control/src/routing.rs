//! A node whose routing table is the module's: what the daemon asks of it and tells it.

use kdht_wire::{Contact, Endpoint, Id};
use neli::consts::nl::NlmF;
use neli::genl::Nlattr;
use neli::types::Buffer;
use zerocopy::IntoBytes;

use crate::control::{TOLD_AT_ONCE, of_id, of_table, read_contact, read_id};
use crate::message::{Attributes, Link, attribute, nest};
use crate::numbers::{Attribute, Command, EntryAttribute};
use crate::status::number;
use crate::{Control, ControlError};

/// How far a contact is to be believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Liveness {
    /// Never answered a request.
    #[default]
    Unverified,
    /// Answered, and has not failed since: the only ones told to others.
    Good,
    /// Failed 1 to 4 times in a row.
    Doubtful,
    /// Failed 5 times in a row or more.
    Stale,
}

/// What the module knows of a contact.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The contact.
    pub contact: Contact,
    /// How far it is to be believed.
    pub liveness: Liveness,
    /// Failures since its last answer.
    pub failures: u8,
    /// Whether it waits for a place in its bucket ([`Control::table`]).
    pub is_replacement: bool,
    /// Leading bits that the ids in its bucket share ([`Control::table`]).
    pub depth: u8,
    /// Seconds since it was last heard from.
    pub silent_s: u32,
    /// Smoothed round trip, in microseconds; zero before the first.
    pub rtt_us: u32,
    /// Its mean deviation, in microseconds.
    pub rtt_deviation_us: u32,
    /// The cookie to ask it with; zero where there is none ([`Control::candidates`]).
    pub cookie: u64,
}

/// A contact that answered a request of the daemon's.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Who answered, and from where.
    pub contact: Contact,
    /// Round trip, in microseconds.
    pub rtt_us: u32,
    /// The cookie in the answer.
    pub cookie: u64,
    /// Milliseconds since the answer came.
    pub age_ms: u32,
}

/// A contact that left a request of the daemon's unanswered.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered {
    /// Who was asked, and where.
    pub contact: Contact,
    /// Milliseconds since the request was sent.
    pub age_ms: u32,
}

/// How full one table is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fill {
    /// Buckets.
    pub buckets: u32,
    /// Members that never answered.
    pub unverified: u32,
    /// Members that others are told of.
    pub good: u32,
    /// Members that failed 1 to 4 times in a row.
    pub doubtful: u32,
    /// Members that failed 5 times in a row or more.
    pub stale: u32,
    /// Contacts in replacement caches.
    pub replacements: u32,
    /// Contacts not kept so far since their IP group has its share of the bucket.
    pub refused_bucket_group: u64,
    /// Contacts not kept so far since their IP group has its share of the table.
    pub refused_table_group: u64,
    /// Contacts not kept so far since the table was full.
    pub refused_full: u64,
    /// Members that lost their place so far.
    pub evicted: u64,
}

/// How far a node has come in joining.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum JoinState {
    /// It was not told to.
    #[default]
    Idle,
    /// It waits for the next attempt.
    Waiting,
    /// It waits for its seeds.
    Contacting,
    /// It looks up its own id.
    Finding,
    /// It looks up ids elsewhere.
    Refreshing,
    /// Done.
    Joined,
}

/// What the module tells of its routing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoutingEvent {
    /// Which node.
    pub node: Id,
    /// What happened.
    pub what: Happened,
}

/// What happened to a node's routing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Happened {
    /// These answered for the first time.
    Learned(Vec<Contact>),
    /// It has joined, with so many good contacts: IPv4, IPv6.
    Joined([u32; 2]),
    /// No seed answered; it tries again after so many milliseconds.
    JoinFailed(u32),
}

/// Listens to what the module tells of its routing.
#[derive(Debug)]
pub struct RoutingEvents {
    link: Link,
}

impl Control {
    /// Lets node `id` enter the network through whichever of `seeds` (at most 64) answers, and
    /// try again until one does. None ends that.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, its table is the daemon's (`EBUSY`),
    /// or there are too many seeds (`ENOSPC`).
    pub fn join(&self, id: &Id, seeds: &[Endpoint]) -> Result<(), ControlError> {
        let seeds = seeds.iter().map(|seed| attribute(Attribute::Seed, seed.as_bytes()));
        let attributes: Result<Vec<_>, _> = [of_id(id)].into_iter().chain(seeds).collect();
        self.tell(Command::Join, attributes?)
    }

    /// Whom a lookup of `target` begins with: of one family, in no order.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or its table is the daemon's.
    pub fn candidates(
        &self,
        id: &Id,
        is_v4: bool,
        target: &Id,
    ) -> Result<Vec<Entry>, ControlError> {
        let attributes = of_table(id, is_v4, target)?.into_iter().collect();
        read_entries(&self.ask(Command::Candidates, NlmF::empty(), attributes)?)
    }

    /// Tells node `id` of contacts that answered requests of the daemon's. It keeps those that
    /// find a place.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or its table is the daemon's.
    pub fn seen(&self, id: &Id, seen: &[Seen]) -> Result<(), ControlError> {
        self.tell_entries(Command::Seen, id, seen, |seen| {
            Ok([
                attribute(EntryAttribute::Contact, seen.contact.as_bytes())?,
                attribute(EntryAttribute::RttUs, &seen.rtt_us.to_ne_bytes())?,
                attribute(EntryAttribute::Cookie, &seen.cookie.to_ne_bytes())?,
                attribute(EntryAttribute::AgeMs, &seen.age_ms.to_ne_bytes())?,
            ])
        })
    }

    /// Tells node `id` of contacts that left requests of the daemon's unanswered.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node, or its table is the daemon's.
    pub fn failed(&self, id: &Id, failed: &[Unanswered]) -> Result<(), ControlError> {
        self.tell_entries(Command::Failed, id, failed, |failed| {
            Ok([
                attribute(EntryAttribute::Contact, failed.contact.as_bytes())?,
                attribute(EntryAttribute::AgeMs, &failed.age_ms.to_ne_bytes())?,
            ])
        })
    }

    /// Every contact of the module's tables of node `id`. What changes meanwhile may be missing,
    /// or stand there twice.
    ///
    /// # Errors
    /// [`ControlError::Refused`] if there is no such node.
    pub fn table(&self, id: &Id) -> Result<Vec<Entry>, ControlError> {
        let attributes = [of_id(id)?].into_iter().collect();
        read_entries(&self.ask(Command::TableGet, NlmF::DUMP, attributes)?)
    }

    fn tell_entries<T, const N: usize>(
        &self,
        command: Command,
        id: &Id,
        entries: &[T],
        lay_out: impl Fn(&T) -> Result<[Nlattr<EntryAttribute, Buffer>; N], ControlError>,
    ) -> Result<(), ControlError> {
        entries.chunks(TOLD_AT_ONCE).try_for_each(|some| {
            let told = some.iter().map(|entry| nest(Attribute::Entry, &lay_out(entry)?));
            let attributes: Result<Vec<_>, _> = [of_id(id)].into_iter().chain(told).collect();
            self.tell(command, attributes?)
        })
    }
}

fn read_entries(answers: &[Attributes<Attribute>]) -> Result<Vec<Entry>, ControlError> {
    let entries = answers.iter().flat_map(Attributes::iter);
    entries
        .filter(|attribute| *attribute.nla_type().nla_type() == Attribute::Entry)
        .map(Entry::read)
        .collect()
}

impl Entry {
    fn read(attribute: &Nlattr<Attribute, Buffer>) -> Result<Self, ControlError> {
        let inner = attribute.get_attr_handle::<EntryAttribute>();
        let inner = inner.map_err(|_| ControlError::Answer("entry"))?;
        let mut entry = Self::default();
        for attribute in inner.iter() {
            let number = || number(attribute);
            let byte = || u8::try_from(number()).unwrap_or(u8::MAX);
            let half = || u32::try_from(number()).unwrap_or(u32::MAX);
            match attribute.nla_type().nla_type() {
                EntryAttribute::Contact => entry.contact = read_contact(attribute)?,
                EntryAttribute::Liveness => {
                    entry.liveness = match number() {
                        0 => Liveness::Unverified,
                        1 => Liveness::Good,
                        2 => Liveness::Doubtful,
                        _ => Liveness::Stale,
                    };
                }
                EntryAttribute::Failures => entry.failures = byte(),
                EntryAttribute::IsReplacement => entry.is_replacement = number() == 1,
                EntryAttribute::Depth => entry.depth = byte(),
                EntryAttribute::SilentS => entry.silent_s = half(),
                EntryAttribute::RttUs => entry.rtt_us = half(),
                EntryAttribute::RttDeviationUs => entry.rtt_deviation_us = half(),
                EntryAttribute::Cookie => entry.cookie = number(),
                _ => {}
            }
        }
        Ok(entry)
    }
}

impl RoutingEvents {
    /// Listens from now on.
    ///
    /// # Errors
    /// [`ControlError::Socket`] without `CAP_NET_ADMIN`.
    pub fn listen(control: &Control) -> Result<Self, ControlError> {
        let link = Link::open()?;
        link.join(control.routing_group())?;
        Ok(Self { link })
    }

    /// Waits for the next ones. Events may be lost; a table tells all.
    ///
    /// # Errors
    /// [`ControlError::Socket`] where some were missed: what follows can be waited for again.
    pub fn wait(&self) -> Result<Vec<RoutingEvent>, ControlError> {
        let messages = self.link.listen::<Command, Attribute>()?;
        messages.iter().map(read_event).collect()
    }
}

fn read_event(attributes: &Attributes<Attribute>) -> Result<RoutingEvent, ControlError> {
    let (mut node, mut learned) = (Id::ZERO, Vec::new());
    let (mut joined, mut retry_ms) = (None, None);
    for attribute in attributes.iter() {
        let half = || u32::try_from(number(attribute)).unwrap_or(u32::MAX);
        match attribute.nla_type().nla_type() {
            Attribute::Id => node = read_id(attribute)?,
            Attribute::Contact => learned.push(read_contact(attribute)?),
            Attribute::ContactsV4 => joined.get_or_insert([0; 2])[0] = half(),
            Attribute::ContactsV6 => joined.get_or_insert([0; 2])[1] = half(),
            Attribute::RetryMs => retry_ms = Some(half()),
            _ => {}
        }
    }
    let what = match (joined, retry_ms) {
        (Some(contacts), _) => Happened::Joined(contacts),
        (_, Some(retry_ms)) => Happened::JoinFailed(retry_ms),
        _ => Happened::Learned(learned),
    };
    Ok(RoutingEvent { node, what })
}
