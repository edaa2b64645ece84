//! Generations of the module's filter of present keys.

use std::time::{Duration, Instant};

use kdht_core::Nanos;
use kdht_kmod::{Control, ControlError};
use kdht_wire::Id;

use super::{Attachment, RoutingError};
use crate::io::{Moment, queued_len};
use crate::node_handle::NodeHandle;

/// How long what had arrived may take to be served; then the next generation is begun.
const SERVED_MAX: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// How often a datagram may be handed from shard to shard, and then some.
const HAND_OVERS: usize = 3;
/// Keys told at once.
const KEYS_PAGE: usize = 1_024;

/// Begins a generation and fills it with every key that is held. True: it is complete. False:
/// there was too much to do, or `is_over`.
///
/// Every STORE that the module passed before notes its key in an earlier generation only, so
/// all of them are served first: what the sockets hold, what the shards took in, what waits
/// for its signature.
pub(super) fn renew(
    attachment: &Attachment,
    control: &Control,
    node: &NodeHandle,
    is_over: &dyn Fn() -> bool,
) -> Result<bool, RoutingError> {
    let id = &attachment.id;
    control.begin_filter(id, Some(attachment.filter_bits()))?;
    let begun = Nanos(Moment::now().monotonic_ns);
    let deadline = Instant::now() + SERVED_MAX;
    let is_late = || is_over() || Instant::now() > deadline;
    for socket in &attachment.sockets {
        while queued_len(socket).map_err(RoutingError::Host)? > 0 {
            if is_late() {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }
    for _ in 0..HAND_OVERS {
        node.settle()?;
    }
    while node.parked_since()?.is_some_and(|since| since <= begun) {
        if is_late() {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    for shard in 0..node.shard_count() {
        tell_keys_of(shard, id, control, node)?;
        if is_over() {
            return Ok(false);
        }
    }
    control.complete_filter(id)?;
    Ok(true)
}

fn tell_keys_of(
    shard: usize,
    id: &Id,
    control: &Control,
    node: &NodeHandle,
) -> Result<(), RoutingError> {
    let mut after = None;
    loop {
        let keys = node.held_keys(shard, after, KEYS_PAGE)?;
        let told: Result<(), ControlError> = control.add_keys(id, &keys);
        told?;
        match keys.last() {
            Some(last) if keys.len() == KEYS_PAGE => after = Some(*last),
            _ => return Ok(()),
        }
    }
}
