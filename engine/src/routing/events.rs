//! What the module tells of the routing that it does for a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use kdht_kmod::{Control, ControlError, Happened, RoutingEvents};
use kdht_wire::Id;

use crate::node_handle::NodeHandle;
use crate::runner::CallError;
use crate::shard::JoinNews;

/// Pause after the host could not tell.
const PAUSE: Duration = Duration::from_millis(100);

/// Begins to listen, on a thread that lasts as long as the process or the node. `is_news` is
/// set with each event; how joining by way of `seeds` others goes is told through `joined`.
pub(super) fn begin(
    control: &Control,
    id: Id,
    node: NodeHandle,
    (joined, seeds): (Sender<JoinNews>, usize),
    is_news: Arc<AtomicBool>,
) -> Result<(), ControlError> {
    let events = RoutingEvents::listen(control)?;
    let listen = move || {
        loop {
            let told = events.wait();
            // What was missed stands in the table.
            is_news.store(true, Ordering::Release);
            let Ok(told) = told else {
                std::thread::sleep(PAUSE);
                continue;
            };
            for event in told.into_iter().filter(|event| event.node == id) {
                let told = match event.what {
                    Happened::Learned(contacts) => node.learned(contacts.into()),
                    Happened::Joined([v4, v6]) => {
                        let contacts = v4.saturating_add(v6) as usize;
                        let _ = joined.try_send(JoinNews::Joined { contacts });
                        Ok(())
                    }
                    Happened::JoinFailed(retry_ms) => {
                        let retry_ms = retry_ms.into();
                        let _ = joined.try_send(JoinNews::Failed { tried: seeds, retry_ms });
                        Ok(())
                    }
                    _ => Ok(()),
                };
                // Once the node is gone, so is who wants to know.
                if told == Err(CallError::Stopped) {
                    return;
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("kdht-events".into()).spawn(listen);
    thread.map(drop).map_err(|error| ControlError::Socket(error.to_string()))
}
