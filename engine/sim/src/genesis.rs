//! How a network comes to be: tables as chance would fill them, or one node after another.

use kdht_core::{NS_PER_S, Rng};
use kdht_wire::{Contact, Endpoint, Id};

use crate::oracle::range;
use crate::random::below;
use crate::run::{Director, Progress, RunError};
use crate::watch::Cause;
use crate::world::World;

/// A newcomer that has not entered after so long never will.
const JOIN_S_MAX: u64 = 900;

/// Gives every node min(k, all) random contacts of each range that it has a bucket for,
/// then lets the stale share of the nodes die. `others` are hosts that are no honest nodes
/// and stand in the tables all the same.
pub(crate) fn perfect(world: &mut World, others: &[Contact], progress: &mut Progress<'_>) {
    let nodes = world.scenario.nodes;
    let mut rng = world.draws.stream(1);
    for _ in 0..nodes {
        let id = rng.id();
        let at = world.add(id);
        world.start(at);
    }
    let of = |place: &crate::world::Place| Contact::new(place.id, place.endpoint);
    let mut sorted: Vec<Contact> =
        world.places.iter().map(of).chain(others.iter().copied()).collect();
    sorted.sort_by_key(|contact| contact.id);
    let (k, b) = (usize::from(world.config.k), world.scenario.b);
    let mut chosen = Vec::new();
    for at in 0..nodes {
        progress("tables", u64::from(at), u64::from(nodes));
        let (id, endpoint) = {
            let place = &world.places[at as usize];
            (place.id, place.endpoint)
        };
        chosen.clear();
        if at < world.scenario.wide {
            chosen.extend(sorted.iter().filter(|contact| contact.id != id));
        } else {
            choose(&sorted, &id, k, b, &mut rng, &mut chosen);
        }
        let now = world.now_of(at);
        for contact in &chosen {
            let rtt_us = world.rtt_us(&endpoint, &contact.endpoint);
            if let Some(node) = world.places[at as usize].node.as_mut() {
                node.learn(contact, rtt_us, now);
            }
        }
        world.joined(at);
    }
    let stale = world.scenario.stale * f64::from(nodes);
    for _ in 0..crate::random::whole(stale) {
        if let Some(at) = world.random_live() {
            world.stop(at);
        }
    }
}

/// Appends the contacts of a perfect table around `own`: of each range that splitting `b`
/// bits at a time leaves apart from `own`, `k` at random, and all of the last.
fn choose(sorted: &[Contact], own: &Id, k: usize, b: u8, rng: &mut Rng, out: &mut Vec<Contact>) {
    let mut depth = 0;
    let mut inside = sorted;
    while inside.len() > k + 1 && depth < Id::BITS {
        let deeper = (depth + b).min(Id::BITS);
        for block in 0..1_u32 << (deeper - depth) {
            let mut prefix = *own;
            for bit in depth..deeper {
                prefix = prefix.with_bit(bit, block >> (bit - depth) & 1 == 1);
            }
            if prefix.shared_prefix(own) < deeper {
                pick(part(inside, &prefix, deeper), k, rng, out);
            }
        }
        inside = part(inside, own, deeper);
        depth = deeper;
    }
    out.extend(inside.iter().filter(|contact| contact.id != *own));
}

/// Those of the sorted contacts whose ids share `depth` bits with `prefix`.
fn part<'c>(sorted: &'c [Contact], prefix: &Id, depth: u8) -> &'c [Contact] {
    let range = range(prefix, depth);
    let low = sorted.partition_point(|contact| contact.id < *range.start());
    let high = sorted.partition_point(|contact| contact.id <= *range.end());
    &sorted[low..high]
}

/// Appends `k` different ones at random, or all.
fn pick(from: &[Contact], k: usize, rng: &mut Rng, out: &mut Vec<Contact>) {
    if from.len() <= k {
        out.extend_from_slice(from);
        return;
    }
    // Floyd's way: each of the last k numbers is drawn for once, or stands for itself.
    let mut taken: Vec<usize> = Vec::with_capacity(k);
    for last in from.len() - k..from.len() {
        let drawn = below(rng, last + 1);
        let index = if taken.contains(&drawn) { last } else { drawn };
        taken.push(index);
        out.push(from[index]);
    }
}

/// Lets one node after another enter through random earlier ones.
pub(crate) fn join(director: &mut Director, progress: &mut Progress<'_>) -> Result<(), RunError> {
    let nodes = director.world.scenario.nodes;
    let at_once = director.world.scenario.join.at_once;
    let mut rng = director.world.draws.stream(1);
    let mut under_way: Vec<(u32, u64)> = Vec::new();
    let mut begun = 0;
    while begun < nodes || !under_way.is_empty() {
        let world = &mut director.world;
        under_way.retain(|(at, _)| world.places[*at as usize].joined_ns.is_none());
        if under_way.len() < at_once as usize && begun < nodes {
            progress("joins", u64::from(begun), u64::from(nodes));
            let id = rng.id();
            let at = world.add(id);
            world.start(at);
            begun += 1;
            enter(world, at);
            under_way.push((at, world.now_ns() + JOIN_S_MAX * NS_PER_S));
            continue;
        }
        if under_way.iter().any(|(_, until_ns)| *until_ns < world.now_ns()) {
            return Err(RunError::NotJoined { joined: world.live.len(), nodes });
        }
        if !director.step(u64::MAX)? {
            return Err(RunError::NotJoined { joined: director.world.live.len(), nodes });
        }
    }
    let rest_ns = director.world.scenario.join.rest_s * NS_PER_S;
    let until_ns = director.world.now_ns() + rest_ns;
    while director.step(until_ns)? {}
    director.world.pass_to(until_ns);
    Ok(())
}

/// Lets node `at` enter through random live nodes; the first one of all is alone.
pub(crate) fn enter(world: &mut World, at: u32) {
    let mut through: Vec<Endpoint> = Vec::new();
    for _ in 0..world.scenario.join.through {
        if let Some(by) = world.random_reachable() {
            let endpoint = world.places[by as usize].endpoint;
            if !through.contains(&endpoint) {
                through.push(endpoint);
            }
        }
    }
    if through.is_empty() {
        return world.joined(at);
    }
    world.call(at, Cause::Command, |node, now, tray| node.join(now, &through, tray));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::address::Addresses;

    #[test]
    fn a_perfect_table_has_k_or_all_of_each_range() {
        let mut rng = Rng::from_seed([8; 16]);
        let addresses = Addresses::new(&mut rng, 1);
        let mut all: Vec<Contact> =
            (0..2_000).map(|at| Contact::new(rng.id(), addresses.host(at))).collect();
        all.sort_by_key(|contact| contact.id);
        for own in all.iter().step_by(97).map(|contact| contact.id) {
            let mut chosen = Vec::new();
            choose(&all, &own, 8, 1, &mut rng, &mut chosen);
            let ids: HashSet<Id> = chosen.iter().map(|contact| contact.id).collect();
            assert_eq!(ids.len(), chosen.len());
            assert!(!ids.contains(&own));
            for depth in 0..160 {
                let at = |id: &&Id| id.shared_prefix(&own) == depth;
                let there = all.iter().filter(|c| at(&&c.id)).count();
                assert_eq!(ids.iter().filter(at).count(), there.min(8), "depth {depth}");
            }
            let mut wide = Vec::new();
            choose(&all, &own, 8, 5, &mut rng, &mut wide);
            assert!(wide.len() > 31 * 8, "{}", wide.len());
        }
    }
}
