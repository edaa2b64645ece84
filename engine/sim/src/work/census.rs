//! Whether values are still held anywhere, as only somebody who sees the whole network knows.

use std::collections::{HashMap, HashSet};

use kdht_core::NS_PER_S;
use kdht_wire::Id;

use super::Work;
use crate::world::{Task, World};

impl Work {
    /// Looks at every live node for the values that were stored and not missed before, and
    /// sets the next census. Nothing is asked of a node, so that nothing is cached.
    pub(crate) fn census(&mut self, world: &mut World) {
        let every_s = world.scenario.values.census_s;
        world.schedule(world.now_ns() + every_s * NS_PER_S, Task::Census);
        let nodes = world.places.iter().filter_map(|place| place.node.as_ref());
        let held: HashSet<Id> = nodes.flat_map(|node| node.keys_held()).collect();
        let known = self.items.iter_mut().filter(|item| item.stored.is_some() && !item.is_gone);
        for item in known {
            self.at_risk += 1;
            item.is_gone = !held.contains(&item.key);
            self.gone += u64::from(item.is_gone);
        }
    }

    /// Whether a node with a connection holds this value.
    pub(super) fn is_held(&self, world: &World, item: u32) -> bool {
        let Some(key) = self.items.get(item as usize).map(|item| item.key) else { return false };
        let reached = world.places.iter().filter(|place| !place.is_out);
        reached.filter_map(|place| place.node.as_ref()).any(|node| node.is_holding(&key))
    }

    /// Most nodes of one rack that hold the same of the values put.
    pub(super) fn count_in_racks(&self, world: &World) -> u64 {
        let wanted: HashSet<Id> = self.items.iter().map(|item| item.key).collect();
        let mut counts: HashMap<(Id, u16), u64> = HashMap::new();
        for place in &world.places {
            let rack = world.config.zones.of(&place.endpoint);
            let (Some(node), Some(rack)) = (&place.node, rack) else { continue };
            for key in node.keys_held().filter(|key| wanted.contains(key)) {
                *counts.entry((key, rack)).or_default() += 1;
            }
        }
        counts.values().copied().max().unwrap_or(0)
    }
}
