//! The routing table on its way from the engine to the module, and back.

use kdht_core::{Answer, Config, Liveness, Nanos, Peer, Tiding};
use kdht_kmod::{Entry, Rules, Seen, Unanswered};
use kdht_wire::{Contact, Endpoint};

use crate::status::{Member, Members};

/// Seeds that the module takes.
const SEEDS_MAX: usize = 64;

/// The rules of the engine's tables, for the module's.
pub(super) fn rules_of(config: &Config) -> Rules {
    Rules {
        alpha: config.alpha,
        b: config.b,
        bucket_group_max: config.bucket_group_max,
        table_group_max: config.table_group_max,
        caps_private: config.caps_private,
        refresh_s: config.refresh_s,
    }
}

/// The engine's contacts that answered it, as the module is told of them.
pub(super) fn seen_of(members: &[Peer], now: Nanos) -> Vec<Seen> {
    let answered = members.iter().filter(|member| member.is_good());
    let seen = |member: &Peer| Seen {
        contact: member.contact(),
        rtt_us: member.rtt_us,
        cookie: member.cookie(now),
        age_ms: now.seconds().saturating_sub(member.seen_s).saturating_mul(1_000),
    };
    answered.map(seen).collect()
}

/// Where to enter the network: where an operator says, and where others were.
pub(super) fn seeds(bootstrap: &[Endpoint], members: &[Peer]) -> Vec<Endpoint> {
    let known = members.iter().filter(|member| member.is_good()).map(|member| member.endpoint);
    let mut seeds: Vec<Endpoint> = Vec::new();
    for seed in bootstrap.iter().copied().chain(known) {
        if seeds.len() < SEEDS_MAX && !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    seeds
}

/// The module's members, for the engine's copy.
pub(super) fn known_of(entries: &[Entry]) -> Vec<(Contact, Liveness)> {
    let members = entries.iter().filter(|entry| !entry.is_replacement);
    members.map(|entry| (entry.contact, liveness_of(entry))).collect()
}

/// The module's contacts, for the engine to go on with.
pub(super) fn reclaimed(entries: &[Entry]) -> Vec<(Contact, Option<Answer>)> {
    let answer = |entry: &Entry| {
        let is_good = entry.liveness == kdht_kmod::Liveness::Good;
        is_good.then_some(Answer { rtt_us: entry.rtt_us, cookie: entry.cookie })
    };
    // Those first that need no ping.
    let (good, others): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| answer(entry).is_some());
    good.into_iter().chain(others).map(|entry| (entry.contact, answer(entry))).collect()
}

/// The engine's own members, to go on with as if nothing had been.
pub(super) fn own_members(members: &[Peer], now: Nanos) -> Vec<(Contact, Option<Answer>)> {
    let answer = |member: &Peer| {
        let answer = Answer { rtt_us: member.rtt_us, cookie: member.cookie(now) };
        Some(answer).filter(|_| member.is_good())
    };
    members.iter().map(|member| (member.contact(), answer(member))).collect()
}

/// What came of the engine's requests, as the module is told of it.
pub(super) fn told_of(tidings: &[Tiding], now: Nanos) -> (Vec<Seen>, Vec<Unanswered>) {
    let age_ms = |at: Nanos| u32::try_from(now.since(at) / 1_000_000).unwrap_or(u32::MAX);
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    for tiding in tidings {
        match *tiding {
            Tiding::Answered { contact, answer: Answer { rtt_us, cookie }, at } => {
                seen.push(Seen { contact, rtt_us, cookie, age_ms: age_ms(at) });
            }
            Tiding::Failed { contact, sent } => {
                failed.push(Unanswered { contact, age_ms: age_ms(sent) });
            }
        }
    }
    (seen, failed)
}

/// The module's members, as `kdht table` shows those of the engine.
pub(super) fn members_of(id: String, entries: &[Entry]) -> Box<Members> {
    let member = |entry: &Entry| Member {
        depth: entry.depth,
        id: entry.contact.id.to_string(),
        endpoint: entry.contact.endpoint.socket_addr(),
        liveness: liveness_of(entry).name().to_owned(),
        rtt_us: Some(entry.rtt_us).filter(|rtt_us| *rtt_us > 0),
        silent_s: entry.silent_s,
        failures: entry.failures,
    };
    let entries = entries.iter().filter(|entry| !entry.is_replacement);
    let mut members: Vec<Member> = entries.map(member).collect();
    members.sort();
    members.dedup_by(|one, other| one.id == other.id && one.endpoint == other.endpoint);
    Box::new(Members { id, total: members.len(), members })
}

fn liveness_of(entry: &Entry) -> Liveness {
    match entry.liveness {
        kdht_kmod::Liveness::Unverified => Liveness::Unverified,
        kdht_kmod::Liveness::Good => Liveness::Good,
        kdht_kmod::Liveness::Doubtful => Liveness::Doubtful,
        kdht_kmod::Liveness::Stale => Liveness::Stale,
    }
}
