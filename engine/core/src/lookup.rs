//! The iterative lookup (Kademlia §2.3): whom to ask next, and when it is over.
//!
//! Pure bookkeeping over one target: it sends nothing and knows no time. Ids asked,
//! answered and failed are one state each, kept per candidate and never per branch.
//!
//! Difference from the paper: requests are not sent in rounds. Up to α are in flight at
//! all times; α answers in a row that bring nothing closer count as a round without
//! progress, and lift the limit to k until there is progress again.

use alloc::vec::Vec;

use kdht_wire::{Contact, Distance, Endpoint, Id};

/// Candidates kept: the nearest; the rest is forgotten.
pub(crate) const CANDIDATES_MAX: usize = 64;
/// Candidates at one endpoint: a lookup does not become a flood of one address because
/// replies name it under many ids.
pub(crate) const SAME_ENDPOINT_MAX: usize = 2;

/// Requests of one lookup, whatever its answers name: colluders who invent an endless
/// row of ever nearer ids end it there. Honest lookups need a tenth of it.
pub(crate) const ASKED_MAX: u32 = 512;

/// Where a candidate stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Known, not asked.
    Known,
    /// Asked, and expected to answer yet.
    Asked,
    /// Asked, and overdue: set aside until it answers or fails.
    Slow,
    /// Answered.
    Answered,
    /// Did not answer until the final timeout, or refused.
    Failed,
}

/// One node that the lookup knows of.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its id.
    pub id: Id,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Where it stands.
    pub standing: Standing,
    /// Discovery depth: 1 if it was in our table, else one more than its namer's.
    pub hop: u8,
    /// Whether it answered a FIND_VALUE that it holds no such value.
    pub lacked_value: bool,
    /// Round trip of its answer, in microseconds.
    pub rtt_us: u32,
    /// The cookie that it gave with its answer.
    pub cookie: u64,
}

/// A lookup's candidates, nearest first, and its progress.
#[derive(Debug)]
pub struct Lookup {
    target: Id,
    own: Id,
    alpha: usize,
    k: usize,
    candidates: Vec<Candidate>,
    /// Answers since one brought a candidate nearer than all before.
    answers_without_progress: usize,
    /// Requests sent.
    pub asked: u32,
}

impl Lookup {
    /// A lookup of `target` that ends when the `k` nearest have answered, with up to
    /// `alpha` requests in flight. `own` never becomes a candidate.
    #[must_use]
    pub fn new(target: Id, own: Id, alpha: usize, k: usize) -> Self {
        Self {
            target,
            own,
            alpha: alpha.max(1),
            k: k.max(1),
            candidates: Vec::new(),
            answers_without_progress: 0,
            asked: 0,
        }
    }

    /// What is looked for.
    #[must_use]
    pub fn target(&self) -> &Id {
        &self.target
    }

    /// Every candidate, nearest first.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The nearest candidates that answered, nearest first, at most k.
    pub fn closest(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.standing == Standing::Answered).take(self.k)
    }

    /// Adds a node that we know or were told of at discovery depth `hop`. Returns whether
    /// it is nearer than every candidate before it.
    pub fn learn(&mut self, contact: &Contact, hop: u8) -> bool {
        let same_endpoint = |c: &&Candidate| c.endpoint == contact.endpoint;
        if contact.id == self.own
            || contact.id == Id::ZERO
            || !contact.endpoint.is_reachable()
            || self.candidates.iter().filter(same_endpoint).count() >= SAME_ENDPOINT_MAX
        {
            return false;
        }
        let distance = contact.id.distance(&self.target);
        let at = self.candidates.partition_point(|c| self.distance(c) < distance);
        if self.candidates.get(at).is_some_and(|c| c.id == contact.id) {
            return false;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            // The farthest makes room, unless it is the newcomer, or a request to it is
            // under way whose answer must still find it.
            let last_is_idle = self.candidates.last().is_some_and(|c| {
                matches!(c.standing, Standing::Known | Standing::Answered | Standing::Failed)
            });
            if at == self.candidates.len() || !last_is_idle {
                return false;
            }
            self.candidates.pop();
        }
        let candidate = Candidate {
            id: contact.id,
            endpoint: contact.endpoint,
            standing: Standing::Known,
            hop,
            lacked_value: false,
            rtt_us: 0,
            cookie: 0,
        };
        self.candidates.insert(at, candidate);
        at == 0
    }

    /// The next node to ask, or nothing while enough are in flight or none is left among
    /// the k nearest. The caller sends, and the candidate counts as asked.
    pub fn next_to_ask(&mut self) -> Option<Candidate> {
        let in_flight = self.count(Standing::Asked);
        let stalled = self.answers_without_progress >= self.alpha;
        let limit = if stalled { self.k.max(self.alpha) } else { self.alpha };
        if in_flight >= limit || self.asked >= ASKED_MAX {
            return None;
        }
        let next = self
            .candidates
            .iter_mut()
            .filter(|c| !matches!(c.standing, Standing::Failed | Standing::Slow))
            .take(self.k)
            .find(|c| c.standing == Standing::Known)?;
        next.standing = Standing::Asked;
        self.asked = self.asked.saturating_add(1);
        Some(*next)
    }

    /// The candidate with this id and endpoint.
    pub fn candidate_mut(&mut self, id: &Id, endpoint: &Endpoint) -> Option<&mut Candidate> {
        let distance = id.distance(&self.target);
        let at = self.candidates.partition_point(|c| self.distance(c) < distance);
        self.candidates.get_mut(at).filter(|c| c.id == *id && c.endpoint == *endpoint)
    }

    /// `id` answered and named `contacts`.
    pub fn answered(&mut self, id: &Id, endpoint: &Endpoint, contacts: &[Contact], told: Answered) {
        let Some(candidate) = self.candidate_mut(id, endpoint) else { return };
        if candidate.standing == Standing::Answered {
            return;
        }
        candidate.standing = Standing::Answered;
        candidate.rtt_us = told.rtt_us;
        candidate.cookie = told.cookie;
        candidate.lacked_value = told.lacked_value;
        let hop = candidate.hop.saturating_add(1);
        let mut progress = false;
        for contact in contacts {
            progress |= self.learn(contact, hop);
        }
        let without = self.answers_without_progress.saturating_add(1);
        self.answers_without_progress = if progress { 0 } else { without };
    }

    /// `id` is overdue: set it aside and let another branch begin.
    pub fn slow(&mut self, id: &Id, endpoint: &Endpoint) {
        if let Some(c) = self.candidate_mut(id, endpoint)
            && c.standing == Standing::Asked
        {
            c.standing = Standing::Slow;
        }
    }

    /// `id` did not answer until its final timeout, or refused. A late failure does not
    /// take back an answer.
    pub fn failed(&mut self, id: &Id, endpoint: &Endpoint) {
        if let Some(c) = self.candidate_mut(id, endpoint)
            && c.standing != Standing::Answered
        {
            c.standing = Standing::Failed;
        }
    }

    /// Whether the k nearest of those neither failed nor set aside have answered, or no
    /// more may be asked. Where fewer than k have answered, those set aside are waited for
    /// too.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let mut nearest = self
            .candidates
            .iter()
            .filter(|c| !matches!(c.standing, Standing::Failed | Standing::Slow))
            .take(self.k);
        let all_answered = nearest.all(|c| c.standing == Standing::Answered);
        let enough = self.count(Standing::Answered) >= self.k;
        let exhausted = self.asked >= ASKED_MAX && self.count(Standing::Asked) == 0;
        (all_answered || exhausted) && (enough || self.count(Standing::Slow) == 0)
    }

    fn count(&self, standing: Standing) -> usize {
        self.candidates.iter().filter(|c| c.standing == standing).count()
    }

    fn distance(&self, candidate: &Candidate) -> Distance {
        candidate.id.distance(&self.target)
    }
}

/// What a candidate's answer told besides contacts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    /// Round trip, in microseconds.
    pub rtt_us: u32,
    /// The fresh cookie in it.
    pub cookie: u64,
    /// Whether it was asked for a value and holds none.
    pub lacked_value: bool,
}
