//! What the module is told of a node.

use std::os::fd::AsFd;

use kdht_core::{Config, TableKind};
use kdht_kmod::{Control, ControlError, Settings};
use kdht_wire::Id;

use super::RoutingError;
use super::table::rules_of;
use crate::io::SharedFd;
use crate::shard::Tuning;

/// Sources that the module remembers at most.
const THROTTLE_SLOTS_MAX: u32 = 1 << 20;
/// Bits of the filter of present keys for each value that may be held: four bits a key are
/// set, so that far less than half of them are while there is room for more values.
const FILTER_BITS_PER_VALUE: u32 = 16;
const FILTER_BITS_MIN: u32 = 1 << 20;
const FILTER_BITS_MAX: u32 = 1 << 26;

/// A node's sockets and secrets, as the module needs them.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub(crate) id: Id,
    /// Of all shards.
    pub(crate) sockets: Vec<SharedFd>,
    pub(crate) cookie_secret: [u8; 16],
    /// Of the whole node.
    pub(crate) config: Config,
    pub(crate) is_recorded: bool,
}

impl Attachment {
    /// Whether the kernel may route for such a node at all.
    pub(crate) fn check(&self) -> Result<(), RoutingError> {
        match self.config {
            _ if self.is_recorded => Err(RoutingError::Recorded),
            Config { table: TableKind::Wide(_), .. } => Err(RoutingError::Wide),
            Config { client: true, .. } => Err(RoutingError::Client),
            _ => Ok(()),
        }
    }

    /// Attaches every socket to a node that passes all, and tells that node all but to answer.
    pub(crate) fn attach(&self, control: &Control, tuning: &Tuning) -> Result<(), ControlError> {
        // What a process of this id left, whose sockets the host has not closed yet.
        if control.node(&self.id).is_ok() {
            control.detach(&self.id, None)?;
        }
        let slots = Some(self.config.throttle.slots.min(THROTTLE_SLOTS_MAX));
        for socket in &self.sockets {
            control.attach(&self.id, socket.as_fd(), slots)?;
        }
        let settings = Settings {
            k: Some(self.config.k),
            value_len_max: Some(self.config.store.value_len_max),
            cookie_secret: Some(self.cookie_secret),
            routing: Some(true),
            rules: Some(rules_of(&self.config)),
            ..settings_of(tuning)
        };
        control.set(&self.id, &settings)
    }

    /// Bits of a generation of the filter.
    pub(crate) fn filter_bits(&self) -> u32 {
        let wanted = self.config.store.values_max.saturating_mul(FILTER_BITS_PER_VALUE);
        wanted.clamp(FILTER_BITS_MIN, FILTER_BITS_MAX)
    }
}

/// What may change while the node runs.
pub(crate) fn settings_of(tuning: &Tuning) -> Settings {
    Settings {
        keys: Some(tuning.keys),
        allowance: Some((tuning.rate_per_s, tuning.burst)),
        ..Settings::default()
    }
}
