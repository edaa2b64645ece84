//! Whom the module answered, told to the node that it answered for.

use std::time::Duration;

use kdht_kmod::{Control, ControlError, Sightings};
use kdht_wire::Id;

use crate::node_handle::NodeHandle;

/// Pause after the host could not tell.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins to listen, on a thread that lasts as long as the process or the node.
pub(super) fn begin(control: &Control, id: Id, node: NodeHandle) -> Result<(), ControlError> {
    let sightings = Sightings::listen(control)?;
    let listen = move || {
        loop {
            // Those that were missed ask again.
            let Ok(told) = sightings.wait() else {
                std::thread::sleep(PAUSE);
                continue;
            };
            for told in told.into_iter().filter(|told| told.node == id) {
                if node.sighted(told.askers).is_err() {
                    return;
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("kdht-sighted".into()).spawn(listen);
    thread.map(drop).map_err(|error| ControlError::Socket(error.to_string()))
}
