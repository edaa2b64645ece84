//! What the right answer is, by the simplest means: a full sort of all that is known.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use kdht::control::{self, Reply, Request};
use kdht_wire::{Contact, Endpoint, Id};

/// The contacts that a node may tell others of.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    known: Vec<Contact>,
    /// The same, to be found at once.
    places: HashSet<(Id, Endpoint)>,
    /// Contacts in a whole answer.
    k: usize,
}

/// Why an answer is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wrong {
    /// Not as many contacts as a full sort gives.
    Count {
        /// How many came.
        have: usize,
        /// How many there should be.
        need: usize,
    },
    /// Another contact than a full sort gives stands at this place.
    Contact {
        /// The place, from 0.
        at: usize,
    },
    /// Not a message, or not of the kind asked for.
    Message,
    /// The target that came back is not the one asked about.
    Target,
    /// A value under a key that is not its hash.
    Value,
}

impl Oracle {
    /// An oracle that knows `known`, and answers with `k` of them.
    #[must_use]
    pub fn new(known: Vec<Contact>, k: usize) -> Self {
        let places = known.iter().map(|contact| (contact.id, contact.endpoint)).collect();
        Self { known, places, k }
    }

    /// Whether this contact is known, at its endpoint.
    #[must_use]
    pub fn knows(&self, contact: &Contact) -> bool {
        self.places.contains(&(contact.id, contact.endpoint))
    }

    /// Reads the tables of the node whose control socket stands at `path`. Nothing if it
    /// holds more than one reading names.
    ///
    /// # Errors
    /// What keeps the node from answering, or that its answer makes no sense.
    pub fn of_node(path: &Path, k: usize) -> Result<Option<Self>, String> {
        let reply = control::ask(path, &Request::Table {}).map_err(|error| error.to_string())?;
        let Reply::Table(members) = reply else {
            return Err("the node answered something else than its table".to_owned());
        };
        if members.total > members.members.len() {
            return Ok(None);
        }
        let good = members.members.iter().filter(|member| member.liveness == "good");
        let contact = |member: &kdht::status::Member| {
            let id = Id::from_hex(&member.id)?;
            Some(Contact::new(id, Endpoint::from(member.endpoint)))
        };
        let known: Option<Vec<Contact>> = good.map(contact).collect();
        let known = known.ok_or("the node's table holds an id that is none")?;
        Ok(Some(Self::new(known, k)))
    }

    /// Reads the list that `kdht-bench feed --ids-out` wrote: an id and an endpoint a line.
    ///
    /// # Errors
    /// The line that is none, or why the file cannot be read.
    pub fn of_list(path: &Path, k: usize) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let contact = |(at, line): (usize, &str)| {
            let (id, addr) = line.split_once(' ').unwrap_or((line, ""));
            let parsed = Id::from_hex(id).zip(addr.parse::<std::net::SocketAddr>().ok());
            parsed
                .map(|(id, addr)| Contact::new(id, addr.into()))
                .ok_or_else(|| format!("{}:{}: want ID ADDRESS", path.display(), at + 1))
        };
        let known: Result<Vec<Contact>, String> = text.lines().enumerate().map(contact).collect();
        Ok(Self::new(known?, k))
    }

    /// Whether both know the same contacts.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.places == other.places
    }

    /// How many contacts it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it knows nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The contacts nearest to `target`, nearest first, without `asker`: a sort of all.
    #[must_use]
    pub fn nearest(&self, target: &Id, asker: &Id) -> Vec<Contact> {
        let others = self.known.iter().filter(|contact| contact.id != *asker);
        let mut by_distance: BTreeMap<_, Contact> = BTreeMap::new();
        for contact in others {
            by_distance.insert(contact.id.distance(target), *contact);
            if by_distance.len() > self.k {
                by_distance.pop_last();
            }
        }
        by_distance.into_values().collect()
    }

    /// Holds an answer, which may be in any order, against the sort.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn check(&self, target: &Id, asker: &Id, answer: &[Contact]) -> Result<(), Wrong> {
        let right = self.nearest(target, asker);
        let mut answer = answer.to_vec();
        answer.sort_by_key(|contact| contact.id.distance(target));
        if answer.len() != right.len() {
            return Err(Wrong::Count { have: answer.len(), need: right.len() });
        }
        let same = |(left, right): (&Contact, &Contact)| {
            left.id == right.id && left.endpoint == right.endpoint
        };
        match answer.iter().zip(&right).position(|pair| !same(pair)) {
            Some(at) => Err(Wrong::Contact { at }),
            None => Ok(()),
        }
    }
}

/// Checks what can be checked of an answer without knowing the table: nobody twice, not the
/// asker.
///
/// # Errors
/// [`Wrong::Contact`].
pub fn check_each(asker: &Id, answer: &[Contact]) -> Result<(), Wrong> {
    if let Some(at) = answer.iter().position(|contact| contact.id == *asker) {
        return Err(Wrong::Contact { at });
    }
    let mut told = HashSet::new();
    match answer.iter().position(|contact| !told.insert(contact.id)) {
        Some(at) => Err(Wrong::Contact { at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    fn contacts(draw: &mut Draw, count: u16) -> Vec<Contact> {
        let addr = |port| Endpoint::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        (1..=count).map(|port| Contact::new(draw.id(), addr(port))).collect()
    }

    #[test]
    fn every_single_change_of_a_right_answer_is_found() {
        let mut draw = Draw::new(3);
        let known = contacts(&mut draw, 100);
        let (target, asker) = (draw.id(), known[7].id);
        let oracle = Oracle::new(known.clone(), 20);
        let right = oracle.nearest(&target, &asker);
        assert_eq!(right.len(), 20);
        assert_eq!(oracle.check(&target, &asker, &right), Ok(()));
        let mut turned = right.clone();
        turned.reverse();
        assert_eq!(oracle.check(&target, &asker, &turned), Ok(()));
        assert_eq!(check_each(&asker, &turned), Ok(()));
        for at in 0..20 {
            let mut answer = right.clone();
            answer[at] = known[7];
            assert!(matches!(oracle.check(&target, &asker, &answer), Err(Wrong::Contact { .. })));
            assert_eq!(check_each(&asker, &answer), Err(Wrong::Contact { at }));
            let mut answer = right.clone();
            answer[at] = right[(at + 1) % 20];
            assert!(matches!(oracle.check(&target, &asker, &answer), Err(Wrong::Contact { .. })));
            assert!(matches!(check_each(&asker, &answer), Err(Wrong::Contact { .. })));
            let mut answer = right.clone();
            answer[at].endpoint.port = 9_999.into();
            assert_eq!(oracle.check(&target, &asker, &answer), Err(Wrong::Contact { at }));
            answer.truncate(at);
            let count = Wrong::Count { have: at, need: 20 };
            assert_eq!(oracle.check(&target, &asker, &answer), Err(count));
        }
    }

    #[test]
    fn a_list_reads_back_and_a_bad_line_is_named() {
        let mut draw = Draw::new(4);
        let known = contacts(&mut draw, 30);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ids");
        let text: String =
            known.iter().map(|contact| format!("{} {}\n", contact.id, contact.endpoint)).collect();
        std::fs::write(&path, &text).unwrap();
        let oracle = Oracle::of_list(&path, 20).unwrap();
        assert_eq!(oracle.known, known);
        std::fs::write(&path, text + "nothing\n").unwrap();
        assert!(Oracle::of_list(&path, 20).unwrap_err().contains(":31:"));
    }
}
