//! The thread that keeps what the module and the engine know of each other up to date.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use kdht_kmod::{Control, Fill, FilterState};

use super::table::known_of;
use super::{Attachment, RoutingError, filter};
use crate::node_handle::NodeHandle;

/// Between two looks.
const STEP: Duration = Duration::from_millis(250);
/// How old the engine's copy of the table may get while nothing is told of it.
const COPY_AGE_MAX: Duration = Duration::from_secs(10);
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
    /// Something happened to the module's table.
    pub(super) is_news: Arc<AtomicBool>,
    /// How the table was when it was copied last, and when that was.
    copied: Option<([Fill; 2], Instant)>,
    renewed_at: Option<Instant>,
}

impl Upkeep {
    pub(super) fn new(
        attachment: Attachment,
        control: Control,
        node: NodeHandle,
        over: Receiver<()>,
        is_news: Arc<AtomicBool>,
    ) -> Self {
        Self { attachment, control, node, over, is_news, copied: None, renewed_at: None }
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
        let status = self.control.node(&self.attachment.id)?;
        let is_news = self.is_news.swap(false, Ordering::AcqRel);
        let is_current =
            |(fill, at): &([Fill; 2], Instant)| *fill == status.fill && at.elapsed() < COPY_AGE_MAX;
        if is_news || !self.copied.as_ref().is_some_and(is_current) {
            self.copy_table()?;
            self.copied = Some((status.fill, Instant::now()));
        }
        let age = match status.filter {
            FilterState::Incomplete => GENERATION_MIN,
            FilterState::Complete | FilterState::Full => GENERATION,
        };
        if self.renewed_at.is_none_or(|at| at.elapsed() >= age) {
            let over = self.over.clone();
            let is_over = || matches!(over.try_recv(), Err(TryRecvError::Disconnected));
            filter::renew(&self.attachment, &self.control, &self.node, &is_over)?;
            self.renewed_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Lets the engine know who stands in the module's table.
    pub(super) fn copy_table(&self) -> Result<(), RoutingError> {
        let entries = self.control.table(&self.attachment.id)?;
        self.node.set_known(known_of(&entries).into())?;
        Ok(())
    }
}
