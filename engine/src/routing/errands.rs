//! The thread that tells the module what is held, and lends it what is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use kdht_core::{Nanos, Tiding};
use kdht_kmod::{Control, ControlError};
use kdht_wire::Id;

use super::link::Errand;
use super::table::told_of;
use crate::io::Moment;
use crate::node_handle::NodeHandle;

/// How long a key's values are lent: whoever is asked for no more makes room.
const LEASE: Duration = Duration::from_secs(60);
/// Errands done at once.
const BATCH_MAX: usize = 256;
/// The longest pause without a look at leases.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The kernel's number for a node that is not attached.
const ENOENT: i32 = 2;

/// One node's errands.
pub(super) struct Errands {
    pub(super) id: Id,
    pub(super) control: Control,
    pub(super) node: NodeHandle,
    pub(super) waiting: Receiver<Errand>,
    /// Keys whose values the module may have.
    lent: BTreeMap<Id, Instant>,
    /// In the order of their ends.
    leases: VecDeque<(Instant, Id)>,
}

impl Errands {
    pub(super) fn new(
        id: Id,
        control: Control,
        node: NodeHandle,
        waiting: Receiver<Errand>,
    ) -> Self {
        Self { id, control, node, waiting, lent: BTreeMap::new(), leases: VecDeque::new() }
    }

    /// Does errands until their end.
    pub(super) fn run(mut self) {
        let (mut recalls, mut wanted, mut tidings) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let first = match self.waiting.recv_timeout(self.pause()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for errand in first.into_iter().chain(self.waiting.try_iter().take(BATCH_MAX)) {
                match errand {
                    Errand::Recall(shard, recall) => recalls.push((shard, recall)),
                    Errand::Lend(key) => wanted.push(key),
                    Errand::Tell(tiding) => tidings.push(tiding),
                    Errand::End => return,
                }
            }
            self.recall(&recalls);
            recalls.clear();
            for key in wanted.drain(..) {
                self.lend(key);
            }
            self.tell(&tidings);
            tidings.clear();
            self.end_leases();
        }
    }

    fn pause(&self) -> Duration {
        let next = self.leases.front();
        next.map_or(PAUSE_MAX, |(end, _)| end.saturating_duration_since(Instant::now()))
            .min(PAUSE_MAX)
    }

    /// Tells the module what is held now, and the shards that it knows.
    fn recall(&mut self, recalls: &[(u8, kdht_core::Recall)]) {
        if recalls.is_empty() {
            return;
        }
        let mut keys: Vec<Id> = recalls.iter().map(|(_, recall)| recall.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let told = self.tell_held(&keys).and_then(|()| self.take_back(&keys));
        if let Err(error) = told {
            // Nobody is told that these values are held: they are refused when time is up.
            tracing::error!(%error, stores = recalls.len(), "kdht.ko was not told of STOREs");
            return;
        }
        let mut by_shard: BTreeMap<u8, Vec<(u64, Id)>> = BTreeMap::new();
        for (shard, recall) in recalls {
            by_shard.entry(*shard).or_default().push((recall.ticket, recall.key));
        }
        for (shard, done) in by_shard {
            let (tickets, keys) = done.into_iter().unzip();
            let _ = self.node.recalled(shard, tickets, keys);
        }
    }

    fn tell_held(&self, keys: &[Id]) -> Result<(), ControlError> {
        unless_gone(self.control.add_keys(&self.id, keys))
    }

    /// Takes back what is lent under `keys`.
    fn take_back(&mut self, keys: &[Id]) -> Result<(), ControlError> {
        let lent: Vec<Id> =
            keys.iter().copied().filter(|key| self.lent.contains_key(key)).collect();
        if lent.is_empty() {
            return Ok(());
        }
        unless_gone(self.control.unpublish(&self.id, &lent))?;
        for key in &lent {
            self.lent.remove(key);
        }
        Ok(())
    }

    /// Lends the module the values under `key`, as the shard that holds them has them now.
    fn lend(&mut self, key: Id) {
        let Ok(Some(lent)) = self.node.lend(&key) else { return };
        let end = Instant::now() + LEASE;
        // Before it is: whatever comes of the command, it may have them.
        self.lent.insert(key, end);
        self.leases.push_back((end, key));
        if let Err(error) = self.control.publish(&self.id, &key, &lent.records, lent.now_s) {
            tracing::debug!(%error, %key, "not published");
            if self.take_back(&[key]).is_ok() {
                let _ = self.node.no_longer_lent(&key);
            }
        }
    }

    /// Tells the module what came of the engine's requests.
    fn tell(&self, tidings: &[Tiding]) {
        let (seen, failed) = told_of(tidings, Nanos(Moment::now().monotonic_ns));
        let mut told = Ok(());
        if !seen.is_empty() {
            told = told.and(self.control.seen(&self.id, &seen));
        }
        if !failed.is_empty() {
            told = told.and(self.control.failed(&self.id, &failed));
        }
        if let Err(error) = unless_gone(told) {
            tracing::debug!(%error, "kdht.ko was not told what came of requests");
        }
    }

    fn end_leases(&mut self) {
        let now = Instant::now();
        while let Some((end, key)) = self.leases.front().copied().filter(|(end, _)| *end <= now) {
            self.leases.pop_front();
            // It may have been taken back since, or lent anew.
            if self.lent.get(&key) == Some(&end) && self.take_back(&[key]).is_ok() {
                let _ = self.node.no_longer_lent(&key);
            }
        }
    }
}

/// Where there is no node any more, nothing is answered for it.
fn unless_gone(told: Result<(), ControlError>) -> Result<(), ControlError> {
    match told {
        Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(()),
        told => told,
    }
}
