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

use crate::disjoint::{PATHS_MAX, Paths};
use crate::groups::{Caps, Group};
use crate::zones::{Share, Zones};

/// Candidates kept where there is one path: the nearest; the rest is forgotten. As many as a
/// dozen liars may name beside the honest ones: with room for three replies' worth, a fifth of
/// poisoners among the nodes pushed every true contact out (engine/sim/scenarios/poisoner.toml).
pub(crate) const CANDIDATES_MAX: usize = 256;
/// Candidates of one path at one endpoint: a lookup does not become a flood of one address
/// because replies name it under many ids.
pub(crate) const SAME_ENDPOINT_MAX: usize = 2;
/// And at one globally routable address, whatever their ports, for the same reason.
pub(crate) const SAME_IP_MAX: usize = 4;
/// Endpoints of one id on one path: who names a node falsely does not hide it.
pub(crate) const SAME_ID_MAX: usize = 2;

/// Requests of one lookup, whatever its answers name: colluders who invent an endless
/// row of ever nearer ids end it there. Honest lookups need a tenth of it.
pub(crate) const ASKED_MAX: u32 = 512;
/// How often a lookup for nodes of several zones looks farther: the k nearest are followed by
/// about k, 2k, 4k and 8k others.
const WIDENED_MAX: u8 = 4;

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
    /// Which of the lookup's disjoint paths asked it, or named it first, from 0.
    pub path: u8,
    /// Whether a path ended at it.
    is_end: bool,
    /// A bit for each path on which it was named.
    named_on: u8,
    /// Its zone, where the lookup looks for nodes of several.
    zone: Option<u16>,
}

impl Candidate {
    /// Whether it is of this path: one that was not asked yet is of all that named it.
    fn is_on(&self, path: u8) -> bool {
        match self.standing {
            Standing::Known => self.named_on & bit_of(path) != 0,
            _ => self.path == path,
        }
    }

    /// Whether it has answered or may do so before long.
    fn is_hopeful(&self) -> bool {
        !matches!(self.standing, Standing::Failed | Standing::Slow)
    }
}

/// A path's bit. There are at most 8.
fn bit_of(path: u8) -> u8 {
    1 << (path % PATHS_MAX)
}

/// A lookup's candidates, nearest first, and its progress.
#[derive(Debug)]
pub struct Lookup {
    target: Id,
    own: Id,
    alpha: usize,
    k: usize,
    candidates: Vec<Candidate>,
    paths: Paths,
    caps: Caps,
    /// What no zone may have more of among the k nearest; without zones: any number.
    zones: Zones,
    /// What requests name as their target: another id once [`Lookup::widen`] was needed.
    aim: Id,
    /// How often that was.
    widened: u8,
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
            paths: Paths::new(1),
            caps: Caps::NONE,
            zones: Zones::default(),
            aim: target,
            widened: 0,
            asked: 0,
        }
    }

    /// The same lookup on `paths` (1 to 8) paths that share no node, each with its share of
    /// the k nearest; where there are several, each has one request in flight.
    #[must_use]
    pub fn with_paths(mut self, paths: u8) -> Self {
        self.paths = Paths::new(paths);
        self
    }

    /// The same lookup with no more candidates of one IP group on a path than a table holds:
    /// whoever has one network names its hosts under any ids, and they would be the nearest.
    #[must_use]
    pub fn with_caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self
    }

    /// The same lookup for those of the nearest among which no zone has more than its share:
    /// who may take a replica of a value.
    #[must_use]
    pub fn with_zones(mut self, zones: &Zones) -> Self {
        self.zones = zones.clone();
        self
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

    /// What requests are to name as their target.
    pub(crate) fn aim(&self) -> &Id {
        &self.aim
    }

    /// The nearest candidates that answered, nearest first, at most k; of a zone, where there
    /// are any, no more than its share.
    pub fn closest(&self) -> impl Iterator<Item = &Candidate> {
        let mut share = self.zones.share();
        self.answered_all().filter(move |c| share.take(c.zone)).take(self.k)
    }

    /// Every candidate that answered, nearest first.
    pub(crate) fn answered_all(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.standing == Standing::Answered)
    }

    /// A lookup that is done has fewer than k who may take a replica, since the nearest share
    /// their zones: goes on to look farther from the target. Whether there is more to ask.
    ///
    /// Replies name the k nearest to one id. The next after them are the nearest to the
    /// target with one bit flipped: the one in which the farthest of them differs first, then
    /// those above it, each of which leads to twice as many nodes. Whoever is nearest to such
    /// an id is asked once more, for it; [`WIDENED_MAX`] times at most.
    pub(crate) fn widen(&mut self) -> bool {
        if !self.zones.is_on()
            || self.widened >= WIDENED_MAX
            || self.asked >= ASKED_MAX
            || self.closest().count() >= self.k
        {
            return false;
        }
        let farthest = match self.widened {
            0 => self.answered_all().take(self.k).last().map(|c| c.id.shared_prefix(&self.target)),
            _ => self.aim.shared_prefix(&self.target).checked_sub(1),
        };
        let Some(bit) = farthest.filter(|bit| *bit < Id::BITS) else { return false };
        self.widened += 1;
        self.aim = self.target.with_bit(bit, !self.target.bit(bit));
        let mut nearest: Vec<(Id, Endpoint)> = self.closest().map(|c| (c.id, c.endpoint)).collect();
        nearest.sort_by_key(|(id, _)| id.distance(&self.aim));
        for (id, endpoint) in nearest.iter().take(self.alpha) {
            if let Some(candidate) = self.candidate_mut(id, endpoint) {
                candidate.standing = Standing::Known;
            }
        }
        !nearest.is_empty()
    }

    /// Where the paths ended, nearest first, at most k + 7: none where there is one path.
    /// They may be farther than [`Lookup::closest`], and are true where those are lies.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.is_end)
    }

    /// Adds a node that we know, at discovery depth `hop`, to the path whose turn it is.
    /// Returns whether it is nearer than every candidate of that path before it.
    pub fn learn(&mut self, contact: &Contact, hop: u8) -> bool {
        let (path, before) = (self.paths.next_to_deal(), self.candidates.len());
        if self.candidates.iter().any(|c| c.id == contact.id && c.endpoint == contact.endpoint) {
            return false;
        }
        let is_nearest = self.learn_on(path, contact, hop);
        if self.candidates.len() > before {
            self.paths.dealt();
        }
        is_nearest
    }

    /// Adds a node that one of this path's named.
    fn learn_on(&mut self, path: u8, contact: &Contact, hop: u8) -> bool {
        if contact.id == self.own || contact.id == Id::ZERO || !contact.endpoint.is_reachable() {
            return false;
        }
        let distance = contact.id.distance(&self.target);
        let at = self.candidates.partition_point(|c| self.distance(c) < distance);
        let count = self.candidates[at..].iter().take_while(|c| c.id == contact.id).count();
        let same_id = &self.candidates[at..at + count];
        let known = same_id.iter().position(|c| c.endpoint == contact.endpoint);
        let may_share = |c: &Candidate| c.standing == Standing::Known && !c.is_on(path);
        if known.is_some_and(|known| !may_share(&same_id[known]))
            || same_id.iter().filter(|c| c.is_on(path)).count() >= SAME_ID_MAX
            || self.is_crowded(path, &contact.endpoint)
            || !self.make_room(path, at + count)
        {
            return false;
        }
        let is_nearest = !self.candidates[..at + count].iter().any(|c| c.is_on(path));
        if let Some(known) = known {
            self.candidates[at + known].named_on |= bit_of(path);
            return is_nearest;
        }
        let candidate = Candidate {
            id: contact.id,
            endpoint: contact.endpoint,
            standing: Standing::Known,
            hop,
            lacked_value: false,
            rtt_us: 0,
            cookie: 0,
            path,
            is_end: false,
            named_on: bit_of(path),
            zone: self.zones.of(&contact.endpoint),
        };
        self.candidates.insert(at + count, candidate);
        is_nearest
    }

    /// Makes room for a newcomer to this path that is nearer than all from place `behind` on,
    /// if there is none. Returns whether there is.
    fn make_room(&mut self, path: u8, behind: usize) -> bool {
        let held = self.candidates.iter().filter(|c| c.is_on(path)).count();
        if held < self.paths.candidates_max(CANDIDATES_MAX) {
            return true;
        }
        // The farthest goes. Not who answered: that is what is looked for, and liars name more
        // nodes, and nearer ones, than there are places. Nor one to whom a request is under way,
        // whose answer must still find it. One that is overdue must not keep nearer ones out,
        // so it goes like any other.
        let may_go = |c: &Candidate| {
            c.is_on(path) && !matches!(c.standing, Standing::Asked | Standing::Answered)
        };
        let Some(farthest) = self.candidates[behind..].iter().rposition(may_go) else {
            return false;
        };
        let candidate = &mut self.candidates[behind + farthest];
        candidate.named_on &= !bit_of(path);
        if candidate.standing != Standing::Known || candidate.named_on == 0 {
            self.candidates.remove(behind + farthest);
        }
        true
    }

    /// The next node to ask, or nothing while enough are in flight or none is left among
    /// the nearest of any path, and of all. The caller sends, and the candidate counts as
    /// asked.
    pub fn next_to_ask(&mut self) -> Option<Candidate> {
        if self.paths.is_one() {
            return self.next_on(0);
        }
        self.mark_ends();
        let next = self.paths.all().find_map(|path| self.next_on(path));
        if next.is_some() || !self.paths.all().all(|path| self.is_path_done(path)) {
            return next;
        }
        self.next_of_all()
    }

    fn next_on(&mut self, path: u8) -> Option<Candidate> {
        let (alpha, k) = (self.paths.alpha(self.alpha), self.paths.share_of(self.k));
        let (in_flight, asked_max) = (self.count(path, Standing::Asked), self.paths.asked_max());
        // Several paths look for the nearest each, and for those of all zones together.
        let mut share = if self.paths.is_one() { self.zones.share() } else { Share::UNLIMITED };
        let progress = self.paths.of_mut(path);
        let stalled = progress.answers_without_progress >= alpha;
        let limit = if stalled { k.max(alpha) } else { alpha };
        if in_flight >= limit || progress.asked >= asked_max {
            return None;
        }
        let nearest = self.candidates.iter_mut().filter(|c| c.is_on(path) && c.is_hopeful());
        let mut wanted = nearest.filter(|c| share.take(c.zone)).take(k);
        let next = wanted.find(|c| c.standing == Standing::Known)?;
        (next.standing, next.path) = (Standing::Asked, path);
        progress.asked = progress.asked.saturating_add(1);
        self.asked = self.asked.saturating_add(1);
        Some(*next)
    }

    /// The next of the k nearest on whichever path: what is left when all paths have ended.
    fn next_of_all(&mut self) -> Option<Candidate> {
        if self.asked >= ASKED_MAX {
            return None;
        }
        let mut share = self.zones.share();
        let hopeful = self.candidates.iter_mut().filter(|c| c.is_hopeful());
        let mut nearest = hopeful.filter(|c| share.take(c.zone)).take(self.k);
        let next = nearest.find(|c| c.standing == Standing::Known)?;
        next.standing = Standing::Asked;
        self.asked = self.asked.saturating_add(1);
        Some(*next)
    }

    /// Remembers where paths ended: what is found later may be lies from elsewhere.
    fn mark_ends(&mut self) {
        for path in self.paths.all() {
            if !self.paths.of(path).has_ended && self.is_path_done(path) {
                self.paths.of_mut(path).has_ended = true;
                let is_found =
                    |c: &&mut Candidate| c.is_on(path) && c.standing == Standing::Answered;
                let found = self.candidates.iter_mut().filter(is_found);
                found.take(self.paths.share_of(self.k)).for_each(|c| c.is_end = true);
            }
        }
    }

    /// The candidate with this id and endpoint.
    pub fn candidate_mut(&mut self, id: &Id, endpoint: &Endpoint) -> Option<&mut Candidate> {
        let distance = id.distance(&self.target);
        let at = self.candidates.partition_point(|c| self.distance(c) < distance);
        let mut same_id = self.candidates[at..].iter_mut().take_while(|c| c.id == *id);
        same_id.find(|c| c.endpoint == *endpoint)
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
        let (hop, path) = (candidate.hop.saturating_add(1), candidate.path);
        let mut is_nearer = false;
        for contact in contacts {
            is_nearer |= self.learn_on(path, contact, hop);
        }
        let without = &mut self.paths.of_mut(path).answers_without_progress;
        *without = if is_nearer { 0 } else { without.saturating_add(1) };
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

    /// Whether on each path its share of the k nearest of those neither failed nor set aside
    /// have answered, and of all together the k nearest, or no more may be asked. Where fewer
    /// have answered, those set aside are waited for too.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.paths.all().all(|path| self.is_path_done(path))
            && (self.paths.is_one()
                || self.is_over(|_| true, self.zones.share(), self.k, self.asked >= ASKED_MAX))
    }

    fn is_path_done(&self, path: u8) -> bool {
        let asked_all = self.paths.of(path).asked >= self.paths.asked_max();
        let share = if self.paths.is_one() { self.zones.share() } else { Share::UNLIMITED };
        self.is_over(|c| c.is_on(path), share, self.paths.share_of(self.k), asked_all)
    }

    /// Whether the `k` nearest of these candidates have answered, as far as zones have room.
    fn is_over(
        &self,
        is_of: impl Fn(&Candidate) -> bool,
        share: Share,
        k: usize,
        asked_all: bool,
    ) -> bool {
        let of = || self.candidates.iter().filter(|c| is_of(c));
        let count = |standing| of().filter(|c| c.standing == standing).count();
        let mut left = share.clone();
        let mut nearest = of().filter(|c| c.is_hopeful()).filter(|c| left.take(c.zone)).take(k);
        let all_answered = nearest.all(|c| c.standing == Standing::Answered);
        let exhausted = asked_all && count(Standing::Asked) == 0;
        let mut left = share;
        let answered = of().filter(|c| c.standing == Standing::Answered);
        (all_answered || exhausted)
            && (answered.filter(|c| left.take(c.zone)).count() >= k || count(Standing::Slow) == 0)
    }

    /// Whether as many candidates of this path as may be stand at this endpoint, or at its
    /// address where that is globally routable, or in its IP group.
    fn is_crowded(&self, path: u8, endpoint: &Endpoint) -> bool {
        let is_local = endpoint.is_loopback() || endpoint.is_private();
        let group = self.caps.group_of(endpoint);
        let (mut same_endpoint, mut same_ip, mut same_group) = (0, 0, 0);
        for candidate in self.candidates.iter().filter(|c| c.is_on(path)) {
            same_endpoint += usize::from(candidate.endpoint == *endpoint);
            same_ip += usize::from(candidate.endpoint.ip == endpoint.ip);
            same_group += usize::from(Some(Group::of(&candidate.endpoint)) == group);
        }
        same_endpoint >= SAME_ENDPOINT_MAX
            || same_ip >= SAME_IP_MAX && !is_local
            || same_group >= usize::from(self.caps.table_max)
    }

    fn count(&self, path: u8, standing: Standing) -> usize {
        self.candidates.iter().filter(|c| c.is_on(path) && c.standing == standing).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(id: u8, endpoint: &str) -> Contact {
        let addr: core::net::SocketAddr = endpoint.parse().unwrap();
        Contact::new(Id([id; 20]), addr.into())
    }

    fn lookup() -> Lookup {
        Lookup::new(Id([9; 20]), Id([8; 20]), 3, 20)
    }

    /// Number `number` of contacts that are the nearer the higher it is.
    fn nearer(number: usize) -> Contact {
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        let mut id = Id([9; 20]);
        (id.0[0], id.0[1]) = (9 ^ !high, 9 ^ !low);
        let endpoint: core::net::SocketAddr = format!("20.{high}.{low}.1:1").parse().unwrap();
        Contact::new(id, endpoint.into())
    }

    #[test]
    fn overdue_candidates_keep_no_nearer_one_out() {
        let mut lookup = lookup();
        for number in 0..CANDIDATES_MAX {
            lookup.learn(&nearer(number), 1);
        }
        let farthest = *lookup.candidates().last().unwrap();
        lookup.candidate_mut(&farthest.id, &farthest.endpoint).unwrap().standing = Standing::Asked;
        lookup.slow(&farthest.id, &farthest.endpoint);
        assert!(lookup.learn(&nearer(CANDIDATES_MAX), 2));
        assert_eq!(lookup.candidates().len(), CANDIDATES_MAX);
        assert!(lookup.candidates().iter().all(|c| c.id != farthest.id));
    }

    #[test]
    fn a_request_under_way_keeps_its_place_among_many() {
        let mut lookup = lookup();
        for number in 0..CANDIDATES_MAX {
            lookup.learn(&nearer(number), 1);
        }
        let farthest = *lookup.candidates().last().unwrap();
        lookup.candidate_mut(&farthest.id, &farthest.endpoint).unwrap().standing = Standing::Asked;
        for number in 0..20 {
            assert!(lookup.learn(&nearer(CANDIDATES_MAX + number), 2));
        }
        assert_eq!(lookup.candidates().len(), CANDIDATES_MAX);
        assert!(lookup.candidate_mut(&farthest.id, &farthest.endpoint).is_some());
    }

    #[test]
    fn who_answered_keeps_its_place_whatever_is_named_later() {
        for paths in [1, 2, 8] {
            let mut lookup = lookup().with_paths(paths);
            let truth = nearer(0);
            lookup.learn(&truth, 1);
            let mut asked = lookup.next_to_ask();
            let mut named = 1;
            while let Some(next) = asked {
                // Each answer names twenty that are nearer than all before.
                let lies: Vec<Contact> = (named..named + 20).map(nearer).collect();
                named += 20;
                lookup.answered(&next.id, &next.endpoint, &lies, Answered::default());
                asked = lookup.next_to_ask();
            }
            let answered = lookup.candidates().iter().any(|c| c.id == truth.id);
            assert!(answered && lookup.is_done(), "{paths} paths");
            assert!(named > 40 * 20, "{paths} paths: there are more names than places");
        }
    }

    #[test]
    fn a_second_endpoint_of_the_farthest_finds_no_place_and_breaks_nothing() {
        let mut lookup = lookup();
        for number in 0..CANDIDATES_MAX {
            lookup.learn(&nearer(number), 1);
        }
        let farthest = *lookup.candidates().last().unwrap();
        let other = contact(1, "21.0.0.1:1").endpoint;
        assert!(!lookup.learn(&Contact::new(farthest.id, other), 2));
        assert_eq!(lookup.candidates().len(), CANDIDATES_MAX);
    }

    #[test]
    fn a_false_endpoint_does_not_hide_the_true_one() {
        let mut lookup = lookup();
        lookup.learn(&contact(1, "20.0.0.1:1"), 1);
        lookup.learn(&contact(1, "20.0.0.2:2"), 1);
        lookup.learn(&contact(1, "20.0.0.2:2"), 1);
        lookup.learn(&contact(1, "20.0.0.3:3"), 1);
        assert_eq!(lookup.candidates().len(), SAME_ID_MAX);
        let (lie, truth) = (contact(1, "20.0.0.1:1"), contact(1, "20.0.0.2:2"));
        assert_eq!(lookup.next_to_ask().map(|c| c.endpoint), Some(lie.endpoint));
        lookup.failed(&lie.id, &lie.endpoint);
        assert_eq!(lookup.next_to_ask().map(|c| c.endpoint), Some(truth.endpoint));
        lookup.answered(&truth.id, &truth.endpoint, &[], Answered::default());
        assert!(lookup.is_done());
        let found: Vec<_> = lookup.closest().map(|c| c.endpoint).collect();
        assert_eq!(found, [truth.endpoint]);
    }

    #[test]
    fn no_more_candidates_are_of_one_ip_group_than_a_table_holds() {
        let caps = Caps { bucket_max: 2, table_max: 10, exempt_private: false };
        for (net, wanted) in [("20.0.0", 10), ("10.0.0", 10), ("127.0.0", 60)] {
            let mut lookup = lookup().with_caps(caps);
            for host in 1..=60 {
                lookup.learn(&contact(host + 10, &format!("{net}.{host}:1")), 1);
            }
            assert_eq!(lookup.candidates().len(), wanted, "{net}");
            lookup.learn(&contact(200, "30.0.0.1:1"), 1);
            assert_eq!(lookup.candidates().len(), wanted + 1, "others are not kept out");
        }
    }

    #[test]
    fn few_candidates_stand_at_one_routable_address_and_many_at_a_local_one() {
        for (ip, wanted) in [("20.0.0.1", SAME_IP_MAX), ("127.0.0.1", 40), ("10.0.0.1", 40)] {
            let mut lookup = lookup();
            for port in 1..=40 {
                lookup.learn(&contact(port + 10, &format!("{ip}:{port}")), 1);
            }
            assert_eq!(lookup.candidates().len(), wanted, "{ip}");
        }
    }
}
