//! What came of attacks: what adversaries got, what nodes refused them, and what they drew.

use std::collections::BTreeMap;

use kdht_core::{NS_PER_S, Node, Refusal};
use kdht_wire::{Endpoint, Outline};

use crate::adversary::Group;
use crate::adversary::claims::Right;
use crate::adversary::flood::SLOTS;
use crate::figures::Figures;
use crate::tray::Tray;
use crate::world::{Datagram, World};

/// Refusals of datagrams that are not of this network, or not of this time.
const MACS: [Refusal; 5] = [
    Refusal::MacMissing,
    Refusal::MacUnexpected,
    Refusal::MacKey,
    Refusal::MacWrong,
    Refusal::Stale,
];

/// Adds what the adversaries of a run got.
pub(crate) fn measure(figures: &mut Figures, world: &World, groups: &[Group], stands_ns: u64) {
    let sum = |right: Right| {
        groups
            .iter()
            .map(|group| group.claims.count(right))
            .fold((0, 0), |(sent, served), one| (sent + one.sent, served + one.served))
    };
    let (fair_sent, fair_served) = sum(Right::Fair);
    figures.fair_served = fair_served as f64 / fair_sent as f64;
    (figures.forbidden_sent, figures.forbidden_served) = sum(Right::Forbidden);
    let (greedy_sent, greedy_served) = sum(Right::Greedy);
    let attack_s = attack_s(world, groups, stands_ns);
    if greedy_sent > 0 {
        figures.greedy_per_s = greedy_served as f64 / attack_s;
    }
    let mut signatures_max = 0;
    for at in &world.live {
        let Some(node) = &world.places[*at as usize].node else { continue };
        let refused = |reason| node.counters().refused(reason);
        signatures_max = signatures_max.max(refused(Refusal::Signature));
        figures.macs_refused += MACS.into_iter().map(refused).sum::<u64>();
        figures.sequences_refused += refused(Refusal::Sequence);
        if groups.iter().any(|group| group.target == Some(*at)) {
            figures.slot_keys_max = figures.slot_keys_max.max(slot_keys_max(node));
        }
    }
    if !groups.is_empty() {
        figures.signatures_per_s = signatures_max as f64 / attack_s;
    }
}

/// Bytes in the tray for the sender of a datagram, for each byte of it.
pub(crate) fn drawn_by(datagram: &Datagram, tray: &Tray) -> f64 {
    let back = tray.iter().filter(|(to, _)| to.ip == datagram.from.ip);
    let drawn: usize = back.map(|(_, bytes)| bytes.len()).sum();
    drawn as f64 / datagram.bytes.len().max(1) as f64
}

/// Replies in the tray to a datagram that is a reply itself: to its sender, with its
/// transaction. Read from the bytes that no version changes (FORMAT.md §2.1).
pub(crate) fn replies_to_reply(datagram: &Datagram, tray: &Tray) -> u64 {
    let outline = |bytes: &[u8]| Outline::parse(bytes).ok().filter(|outline| outline.is_reply);
    let Some(asked) = outline(&datagram.bytes) else { return 0 };
    let is_answer = |to: Endpoint, bytes: &[u8]| {
        to == datagram.from && outline(bytes).is_some_and(|o| o.tx_id == asked.tx_id)
    };
    tray.iter().filter(|(to, bytes)| is_answer(*to, bytes)).count() as u64
}

/// Seconds from the first adversary's beginning to the last one's end; not a number without
/// any.
fn attack_s(world: &World, groups: &[Group], stands_ns: u64) -> f64 {
    let now_s = (world.now_ns() - stands_ns) / NS_PER_S;
    let end = |until_s: u64| if until_s == 0 { now_s } else { until_s.min(now_s) };
    let from_s = groups.iter().map(|group| group.plan.from_s).min();
    let until_s = groups.iter().map(|group| end(group.plan.until_s)).max();
    match (from_s, until_s) {
        (Some(from_s), Some(until_s)) => until_s.saturating_sub(from_s) as f64,
        _ => f64::NAN,
    }
}

fn slot_keys_max(node: &Node) -> u64 {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for key in node.keys_held() {
        *counts.entry(node.hash_of(&key) % SLOTS).or_default() += 1;
    }
    counts.values().copied().max().unwrap_or(0)
}
