//! What a shard has to do with a proxy that answers in its stead, and with the threads of
//! [`crate::routing`] that speak to it.

use std::sync::Arc;

use crossbeam_channel::Sender;
use kdht_core::{Answer, Lent, Liveness, Nanos, Now, Peer};
use kdht_wire::{Contact, Id};

use super::Shard;
use crate::io::Datapath;
use crate::routing::ProxyLink;

/// Something that the threads which speak to a proxy want of a shard.
#[derive(Debug)]
pub enum ProxyRequest {
    /// One answers from now on; say that this is known.
    Begin(ProxyLink, Sender<()>),
    /// None answers any more.
    End(Sender<()>),
    /// It was told of the recalls with these tickets, and has nothing under these keys.
    Recalled(Vec<u64>, Vec<Id>),
    /// Lend it what is held under this key.
    Lend(Id, Sender<Option<Lent>>),
    /// Leave it the tables, and tell who stood in them.
    Cede(Sender<Vec<Peer>>),
    /// These stand in its tables.
    Known(Arc<[(Contact, Liveness)]>),
    /// These answered it for the first time.
    Learned(Arc<[Contact]>),
    /// Keep the tables again, from these contacts on; say that this is so.
    Reclaim(Arc<[(Contact, Option<Answer>)]>, Sender<()>),
    /// Say when all was served that was taken in by now.
    Settle(Sender<()>),
    /// Since when does the first STORE wait for its signature?
    ParkedSince(Sender<Option<Nanos>>),
    /// The first keys behind this one that values are held under, at most so many.
    HeldKeys(Option<Id>, usize, Sender<Vec<Id>>),
}

impl<D: Datapath> Shard<D> {
    pub(super) fn handle_proxied(&mut self, now: Now, request: ProxyRequest) {
        match request {
            ProxyRequest::Begin(link, asker) => {
                self.node.begin_proxy();
                self.proxy = Some(link);
                let _ = asker.try_send(());
            }
            ProxyRequest::End(asker) => {
                self.node.end_proxy(now, self.datapath.outbox());
                self.proxy = None;
                let _ = asker.try_send(());
            }
            ProxyRequest::Recalled(tickets, keys) => {
                self.node.handle_recalled(now, &tickets, &keys, self.datapath.outbox());
            }
            ProxyRequest::Lend(key, asker) => {
                let _ = asker.try_send(self.node.lend(now, &key));
            }
            ProxyRequest::Cede(asker) => {
                let _ = asker.try_send(self.node.cede_table());
            }
            ProxyRequest::Known(known) => self.node.set_known(&known),
            ProxyRequest::Learned(contacts) => self.node.learned_by_proxy(now, &contacts),
            ProxyRequest::Reclaim(known, asker) => {
                self.node.reclaim_table(now, &known, self.datapath.outbox());
                let _ = asker.try_send(());
            }
            ProxyRequest::Settle(asker) => self.settling.push(asker),
            ProxyRequest::ParkedSince(asker) => {
                let _ = asker.try_send(self.node.parked_since());
            }
            ProxyRequest::HeldKeys(after, max, asker) => {
                let next = |key: &Id| self.node.next_held_key(Some(key));
                let first = self.node.next_held_key(after.as_ref());
                let keys = std::iter::successors(first, next).take(max).collect();
                let _ = asker.try_send(keys);
            }
        }
    }

    /// Hands on what the node wants the proxy to be told.
    pub(super) fn post_errands(&mut self) {
        let Some(link) = &self.proxy else { return };
        while let Some(recall) = self.node.poll_recall() {
            link.recall(recall);
        }
        while let Some(key) = self.node.poll_wanted() {
            link.lend(key);
        }
        while let Some(tiding) = self.node.poll_tiding() {
            link.tell(tiding);
        }
    }

    /// Tells those who waited for it that all is served.
    pub(super) fn settle(&mut self) {
        for asker in self.settling.drain(..) {
            let _ = asker.try_send(());
        }
    }
}
