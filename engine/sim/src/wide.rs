//! How true the tables are of nodes that want to know the whole network, and what that costs.

use kdht_core::NS_PER_S;

use crate::figures::Figures;
use crate::world::World;

/// Compares wide tables with who is there.
pub(crate) fn measure(figures: &mut Figures, world: &World, stands_ns: u64) {
    figures.wide = u64::from(world.scenario.wide);
    let (mut good, mut dead, mut tables) = (0_u64, 0_u64, 0_u64);
    let (mut datagrams, mut bytes) = (0, 0);
    for place in world.places.iter().take(world.scenario.wide as usize) {
        let Some(node) = &place.node else { continue };
        tables += 1;
        for member in node.members().filter(|member| member.is_good()) {
            good += 1;
            dead += u64::from(!world.oracle.contains(&member.id));
        }
        let counters = node.counters();
        datagrams += counters.datagrams_in + counters.datagrams_out;
        bytes += counters.bytes_in + counters.bytes_out;
    }
    let hours = (world.now_ns() - stands_ns) as f64 / NS_PER_S as f64 / 3_600.0;
    // Its own id stands in no table.
    let others = tables as f64 * (world.live.len().saturating_sub(1)) as f64;
    figures.wide_known = (good - dead) as f64 / others;
    figures.wide_dead = dead as f64 / good as f64;
    figures.wide_datagrams_per_contact_hour = datagrams as f64 / others / hours;
    figures.wide_bytes_per_contact_hour = bytes as f64 / others / hours;
}
