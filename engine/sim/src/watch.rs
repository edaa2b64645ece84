//! What must hold at every step, whatever strangers do: read from the bytes that nodes
//! send and from what they say of themselves.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use kdht_core::{Config, TableKind};
use kdht_wire::{Body, DATAGRAM_LEN_MAX, Id, Message, UNPROVEN_FACTOR};

use crate::scenario::Scenario;
use crate::tray::Tray;
use crate::world::{Datagram, Place};

/// Tables are looked over once in so many calls of one run: it costs as much as a hundred
/// of them.
const TABLE_EVERY: u64 = 64;

/// An invariant that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// Which, and how it was.
    pub what: String,
    /// At which node.
    pub node: Id,
    /// After how many calls of nodes.
    pub calls: u64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken invariant at node {} (call {}): {}", self.node, self.calls, self.what)
    }
}

/// Why a node was called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    /// A datagram arrived.
    Datagram(&'a Datagram),
    /// A timer was due.
    Timer,
    /// The run wants something of it.
    Command,
}

/// Checks each call of a node.
#[derive(Debug)]
pub(crate) struct Watch {
    is_on: bool,
    k: usize,
    contacts_max: usize,
    operations_max: usize,
    bytes_max: u64,
    calls: u64,
}

impl Watch {
    pub(crate) fn new(scenario: &Scenario, config: &Config) -> Self {
        Self {
            is_on: scenario.checks,
            k: usize::from(config.k),
            contacts_max: usize::from(config.contacts_max),
            operations_max: usize::from(config.operations_max),
            bytes_max: config.store.bytes_max,
            calls: 0,
        }
    }

    /// Checks what one call led to.
    pub(crate) fn called(
        &mut self,
        place: &Place,
        cause: &Cause<'_>,
        tray: &Tray,
    ) -> Result<(), Broken> {
        self.calls += 1;
        if !self.is_on {
            return Ok(());
        }
        let broken = |what| Broken { what, node: place.id, calls: self.calls };
        self.check_sent(place, cause, tray).map_err(broken)?;
        self.check_state(place).map_err(broken)
    }

    fn check_sent(&self, place: &Place, cause: &Cause<'_>, tray: &Tray) -> Result<(), String> {
        let asked = match cause {
            Cause::Datagram(datagram) => Some(*datagram),
            _ => None,
        };
        let request = asked.and_then(|datagram| Message::parse(&datagram.bytes).ok());
        let is_request = request.is_none_or(|message| !message.head.is_reply());
        let (mut replies, mut drawn) = (0, 0);
        for (to, bytes) in tray.iter() {
            if bytes.len() > DATAGRAM_LEN_MAX {
                return Err(format!("a datagram of {} bytes", bytes.len()));
            }
            let message = Message::parse(bytes)
                .map_err(|error| format!("a datagram that does not parse: {error}"))?;
            if message.head.sender != place.id {
                return Err(format!("a datagram in the name of {}", message.head.sender));
            }
            if let Some(asked) = asked.filter(|asked| asked.from == to) {
                drawn += bytes.len();
                let is_fault = matches!(message.body, Body::Fault(..));
                if is_fault && bytes.len() > asked.bytes.len() {
                    return Err(format!("a FAULT longer than its {} bytes", asked.bytes.len()));
                }
            }
            if let Body::Contacts { contacts, .. } = message.body {
                self.check_contacts(place, &request, contacts)?;
            }
            if !message.head.is_reply() {
                continue;
            }
            // Whoever asked for a lookup gets its answer later.
            let is_direct = asked.is_some_and(|asked| asked.from == to)
                && request.is_some_and(|r| r.head.tx_id == message.head.tx_id);
            replies += usize::from(is_direct);
            if is_direct && !is_request {
                return Err("a reply to a reply".to_owned());
            }
        }
        if replies > 1 {
            return Err(format!("{replies} replies to one request"));
        }
        let (Some(asked), Some(request)) = (asked, request) else { return Ok(()) };
        let is_unproven = !request.head.is_reply() && request.head.cookie.get() == 0;
        if is_unproven && drawn > UNPROVEN_FACTOR * asked.bytes.len() {
            let len = asked.bytes.len();
            return Err(format!("{drawn} bytes drawn by {len} from an unproven endpoint"));
        }
        Ok(())
    }

    fn check_contacts(
        &self,
        place: &Place,
        request: &Option<Message<'_>>,
        contacts: &[kdht_wire::Contact],
    ) -> Result<(), String> {
        if contacts.len() > self.k {
            return Err(format!("{} contacts in a reply", contacts.len()));
        }
        if contacts.iter().any(|contact| contact.id == place.id) {
            return Err("a node told of itself".to_owned());
        }
        let asker = request.as_ref().filter(|r| !r.head.is_reply()).map(|r| r.head.sender);
        if contacts.iter().any(|contact| Some(contact.id) == asker) {
            return Err("a node told the asker of itself".to_owned());
        }
        let ids: BTreeSet<Id> = contacts.iter().map(|contact| contact.id).collect();
        if ids.len() < contacts.len() {
            return Err("a contact twice in a reply".to_owned());
        }
        Ok(())
    }

    fn check_state(&self, place: &Place) -> Result<(), String> {
        let Some(node) = &place.node else { return Ok(()) };
        if node.operations() > self.operations_max {
            return Err(format!("{} operations under way", node.operations()));
        }
        let held = node.usage().bytes;
        if held > self.bytes_max {
            return Err(format!("{held} bytes of values held"));
        }
        let is_wide = node.config().table != TableKind::KBucket;
        if is_wide || !self.calls.is_multiple_of(TABLE_EVERY) {
            return Ok(());
        }
        let mut buckets: HashMap<(u8, Id), usize> = HashMap::new();
        let (mut count, mut ids) = (0, std::collections::HashSet::new());
        for member in node.members() {
            count += 1;
            if member.id == place.id || member.id == Id::ZERO {
                return Err("a table holds its own id, or none".to_owned());
            }
            if !ids.insert(member.id) {
                return Err(format!("{} stands in a table twice", member.id));
            }
            let depth = node.bucket_depth(&member);
            let start = *crate::oracle::range(&member.id, depth).start();
            *buckets.entry((depth, start)).or_default() += 1;
        }
        if count > self.contacts_max {
            return Err(format!("{count} contacts in a table"));
        }
        let own = |depth, start: &Id| start.shared_prefix(&place.id) >= depth;
        // The bucket around the own id may hold more: the relaxed tree of §2.4.
        let full = buckets
            .iter()
            .find(|((depth, start), size)| **size > self.k && !own(depth.saturating_sub(1), start));
        match full {
            Some(((depth, _), size)) => Err(format!("{size} members in a bucket {depth} deep")),
            None => Ok(()),
        }
    }
}
