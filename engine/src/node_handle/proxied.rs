//! What the threads that speak to the module want of a node.

use std::sync::Arc;

use crossbeam_channel::Sender;
use kdht_core::{Answer, Lent, Liveness, Nanos, Peer};
use kdht_wire::{Contact, Id};

use super::NodeHandle;
use crate::routing::{Errand, ProxyLink};
use crate::runner::CallError;
use crate::shard::{ProxyRequest, ShardRequest};

impl NodeHandle {
    pub(crate) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// From before this returns on a proxy answers, and is told things by `errands`.
    pub(crate) fn begin_proxy(&self, errands: &Sender<Errand>) -> Result<(), CallError> {
        let mut shard = 0..=u8::MAX;
        self.ask_each(|sender| {
            let shard = shard.next().unwrap_or(u8::MAX);
            let link = ProxyLink { shard, errands: errands.clone() };
            ShardRequest::Proxied(ProxyRequest::Begin(link, sender))
        })
        .map(drop)
    }

    /// No proxy answers any more.
    pub(crate) fn end_proxy(&self) -> Result<(), CallError> {
        self.ask_each(|sender| ShardRequest::Proxied(ProxyRequest::End(sender))).map(drop)
    }

    /// The proxy was told of the recalls with these `tickets`, and has nothing any more under
    /// `keys`.
    pub(crate) fn recalled(
        &self,
        shard: u8,
        tickets: Vec<u64>,
        keys: Vec<Id>,
    ) -> Result<(), CallError> {
        let shard = self.shards.get(usize::from(shard)).ok_or(CallError::Stopped)?;
        shard.post(ShardRequest::Proxied(ProxyRequest::Recalled(tickets, keys)))
    }

    /// The same of a key alone.
    pub(crate) fn no_longer_lent(&self, key: &Id) -> Result<(), CallError> {
        self.recalled(self.spread.of(key), Vec::new(), vec![*key])
    }

    /// The values under a key, to be lent.
    pub(crate) fn lend(&self, key: &Id) -> Result<Option<Lent>, CallError> {
        let shard = self.shard_of(key)?;
        ask(shard, |sender| ProxyRequest::Lend(*key, sender))
    }

    /// Leaves the tables to the proxy, and tells who stood in them.
    pub(crate) fn cede_table(&self) -> Result<Vec<Peer>, CallError> {
        let each = self.ask_each(|sender| ShardRequest::Proxied(ProxyRequest::Cede(sender)))?;
        Ok(each.into_iter().flatten().collect())
    }

    /// These stand in the proxy's tables.
    pub(crate) fn set_known(&self, known: Arc<[(Contact, Liveness)]>) -> Result<(), CallError> {
        let request = || ShardRequest::Proxied(ProxyRequest::Known(known.clone()));
        self.shards.iter().try_for_each(|shard| shard.post(request()))
    }

    /// These answered the proxy for the first time.
    pub(crate) fn learned(&self, contacts: Arc<[Contact]>) -> Result<(), CallError> {
        let request = || ShardRequest::Proxied(ProxyRequest::Learned(contacts.clone()));
        self.shards.iter().try_for_each(|shard| shard.post(request()))
    }

    /// Keeps the tables again, from these contacts on.
    pub(crate) fn reclaim_table(
        &self,
        known: &Arc<[(Contact, Option<Answer>)]>,
    ) -> Result<(), CallError> {
        let request = |sender| ShardRequest::Proxied(ProxyRequest::Reclaim(known.clone(), sender));
        self.ask_each(request).map(drop)
    }

    /// Waits until each shard has served all that it had taken in.
    pub(crate) fn settle(&self) -> Result<(), CallError> {
        self.ask_each(|sender| ShardRequest::Proxied(ProxyRequest::Settle(sender))).map(drop)
    }

    /// Since when the first of all STOREs waits for its signature to be verified.
    pub(crate) fn parked_since(&self) -> Result<Option<Nanos>, CallError> {
        let each =
            self.ask_each(|sender| ShardRequest::Proxied(ProxyRequest::ParkedSince(sender)))?;
        Ok(each.into_iter().flatten().min())
    }

    /// The first keys behind `after` that a shard holds values under, at most `max`.
    pub(crate) fn held_keys(
        &self,
        shard: usize,
        after: Option<Id>,
        max: usize,
    ) -> Result<Vec<Id>, CallError> {
        let shard = self.shards.get(shard).ok_or(CallError::Stopped)?;
        ask(shard, |sender| ProxyRequest::HeldKeys(after, max, sender))
    }
}

/// Asks one shard and waits for its answer.
fn ask<T>(
    shard: &crate::runner::ShardAddress,
    request: impl FnOnce(Sender<T>) -> ProxyRequest,
) -> Result<T, CallError> {
    let (sender, answer) = crossbeam_channel::bounded(1);
    shard.post(ShardRequest::Proxied(request(sender)))?;
    answer.recv_timeout(crate::runner::ANSWER_TIMEOUT).map_err(|_| CallError::Late)
}
