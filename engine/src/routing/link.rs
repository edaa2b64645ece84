//! What a shard wants of the threads that speak to the module.

use crossbeam_channel::Sender;
use kdht_core::{Recall, Tiding};
use kdht_wire::Id;

/// Errands that wait at most; what is lost is refused as `busy`, or asked for again.
pub(crate) const ERRANDS_MAX: usize = 8_192;

/// Something for the module.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Tell it, then the shard.
    Recall(u8, Recall),
    /// Lend it the values under this key.
    Lend(Id),
    /// Tell it what came of a request.
    Tell(Tiding),
    /// Nobody hands in anything any more.
    End,
}

/// A shard's way to the module. Never blocks.
#[derive(Clone, Debug)]
pub struct ProxyLink {
    pub(crate) shard: u8,
    pub(crate) errands: Sender<Errand>,
}

impl ProxyLink {
    pub(crate) fn recall(&self, recall: Recall) {
        let _ = self.errands.try_send(Errand::Recall(self.shard, recall));
    }

    pub(crate) fn tell(&self, tiding: Tiding) {
        let _ = self.errands.try_send(Errand::Tell(tiding));
    }

    pub(crate) fn lend(&self, key: Id) {
        let _ = self.errands.try_send(Errand::Lend(key));
    }
}
