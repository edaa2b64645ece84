//! The thread that keeps what the module knows up to date.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use kdht_kmod::{Control, FilterState};
use kdht_wire::{Contact, Endpoint, Id};

use super::{Attachment, RoutingError, filter};
use crate::node_handle::NodeHandle;

/// Between two looks at the contacts.
const STEP: Duration = Duration::from_millis(250);
/// Between two looks at the module.
const LOOK: Duration = Duration::from_secs(1);
/// How long a generation of the filter lasts: keys that are gone leave with the one after.
const GENERATION: Duration = Duration::from_secs(60);
/// How long one lasts that proves nothing.
const GENERATION_MIN: Duration = Duration::from_secs(2);

/// One node's upkeep.
pub(super) struct Upkeep {
    pub(super) attachment: Attachment,
    pub(super) control: Control,
    pub(super) node: NodeHandle,
    /// Closes when it is over.
    pub(super) over: Receiver<()>,
    /// Whom others are told of: whether by IPv4, the id, and where.
    told: BTreeMap<(bool, Id), Endpoint>,
    requests_in: u64,
    looked_at: Option<Instant>,
    renewed_at: Option<Instant>,
}

impl Upkeep {
    pub(super) fn new(
        attachment: Attachment,
        control: Control,
        node: NodeHandle,
        over: Receiver<()>,
    ) -> Self {
        let (told, requests_in) = (BTreeMap::new(), 0);
        let (looked_at, renewed_at) = (None, None);
        Self { attachment, control, node, over, told, requests_in, looked_at, renewed_at }
    }

    /// Looks again and again until it is over.
    pub(super) fn run(mut self) {
        loop {
            if let Err(error) = self.step() {
                tracing::warn!(%error, "kdht.ko was not kept up to date");
            }
            match self.over.recv_timeout(STEP) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
        }
    }

    fn step(&mut self) -> Result<(), RoutingError> {
        self.tell_contacts()?;
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        let status = self.control.node(&self.attachment.id)?;
        let requests_in = status.counts.requests_in.iter().sum();
        if requests_in > self.requests_in {
            self.requests_in = requests_in;
            self.node.sighted(Vec::new())?;
        }
        let age = match status.filter {
            FilterState::Incomplete => GENERATION_MIN,
            FilterState::Complete | FilterState::Full => GENERATION,
        };
        if self.renewed_at.is_none_or(|at| at.elapsed() >= age) {
            let over = self.over.clone();
            // Closed and empty, or still open.
            let is_over =
                || matches!(over.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));
            filter::renew(&self.attachment, &self.control, &self.node, &is_over)?;
            self.renewed_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Lets others be told of the contacts that the engine would tell of.
    pub(super) fn tell_contacts(&mut self) -> Result<(), RoutingError> {
        let id = &self.attachment.id;
        let good = self.node.contacts()?;
        let place = |contact: &Contact| (contact.endpoint.is_v4(), contact.id);
        let known: BTreeMap<_, Endpoint> =
            good.iter().map(|contact| (place(contact), contact.endpoint)).collect();
        let gone: Vec<_> =
            self.told.keys().filter(|told| !known.contains_key(*told)).copied().collect();
        for gone in gone {
            if let Some(endpoint) = self.told.remove(&gone) {
                self.control.remove_contact(id, &Contact::new(gone.1, endpoint))?;
            }
        }
        let is_new = |contact: &Contact| self.told.get(&place(contact)) != Some(&contact.endpoint);
        let new: Vec<Contact> = good.into_iter().filter(is_new).collect();
        self.control.add_contacts(id, &new)?;
        self.told = known;
        Ok(())
    }
}
