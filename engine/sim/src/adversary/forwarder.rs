//! Requests that look forwarded on the victim's behalf.

use kdht_wire::{Endpoint, Flags, Forward};

use crate::adversary::Group;
use crate::letter::Letter;
use crate::random::below;
use crate::world::World;

/// Seconds after which a stamp is worth nothing.
const STAMP_DEAD_S: u32 = 121;

impl Group {
    /// A request of this host's that says it was forwarded for the victim, as by a member of
    /// the network: with a stamp that was made up, that is another origin's, or too old; or by
    /// a stranger without the key. Informed, it stamps as a first hop would.
    pub(super) fn forwarded<'l>(
        &mut self,
        world: &World,
        own: Endpoint,
        request: Letter<'l>,
    ) -> Letter<'l> {
        let ring_key = world.config.keys.signing().copied();
        let way = if self.plan.informed { 4 } else { below(&mut self.rng, 4) };
        let epoch_s = if way == 0 { request.time_s - STAMP_DEAD_S } else { request.time_s };
        let (tx_id, epoch_s, origin) = (request.tx_id.into(), epoch_s.into(), world.victim);
        let stamp = match (way, &ring_key) {
            (0 | 4, Some(key)) => Forward::stamp(tx_id, &origin, epoch_s, key),
            (1, Some(key)) => Forward::stamp(tx_id, &own, epoch_s, key),
            _ => self.rng.next_u64(),
        };
        let (stamp, hops) = (stamp.into(), Forward::HOPS_MAX);
        let forward = Some(Forward { tx_id, stamp, origin, hops, reserved: 0, epoch_s });
        let key = ring_key.filter(|_| way != 2);
        Letter { flags: Flags::FORWARD, forward, key, ..request }
    }
}
