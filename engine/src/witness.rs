//! What is said of where others see the node.

use kdht_core::Node;
use kdht_wire::Endpoint;

/// Logs where others see a node, and warns where that is not what it was told.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// IPv4, IPv6: warned before.
    has_warned: [bool; 2],
}

impl Witness {
    /// Others see the node at `after` now, and saw it at `before`.
    pub(crate) fn note(&mut self, node: &Node, before: Option<Endpoint>, after: Option<Endpoint>) {
        let text = |endpoint: Option<Endpoint>| {
            endpoint.map_or_else(|| "nowhere".to_owned(), |endpoint| endpoint.to_string())
        };
        tracing::info!(before = text(before), now = text(after), "seen by others elsewhere");
        let Some(seen) = after else { return };
        let family = usize::from(!seen.is_v4());
        let told = node.config().advertise[family].filter(|told| *told != seen);
        if let Some(told) = told.filter(|_| !self.has_warned[family]) {
            self.has_warned[family] = true;
            tracing::warn!(advertise = %told, observed = %seen, "others see another endpoint");
        }
    }
}
