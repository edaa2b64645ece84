//! What the module counted, told as what the node counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kdht_core::Refusal;
use kdht_kmod::{Control, Counts, FilterState, NodeStatus};
use kdht_wire::{Id, Kind};

use super::Routing;
use crate::status::{Kernel, Status};

/// What the module tells of a node, while it routes and after.
#[derive(Debug, Default)]
pub(crate) struct RoutingView(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The way to the module while it routes.
    live: Option<(Control, Id)>,
    /// What it counted for the node before: a node of the module begins with its sockets.
    past: Counts,
}

impl RoutingView {
    /// The module routes for node `id` from now on.
    pub(super) fn begin(&self, control: Control, id: Id) {
        self.seen().live = Some((control, id));
    }

    /// It will no more, and this is what it has counted.
    pub(super) fn end(&self) {
        let mut seen = self.seen();
        if let Some(status) = seen.read() {
            add(&mut seen.past, &status.counts);
        }
        seen.live = None;
    }

    /// Adds to a node's status what was answered in its stead.
    pub(crate) fn add_to(&self, status: &mut Status) {
        let seen = self.seen();
        let mut counts = seen.past.clone();
        if seen.live.is_some() {
            status.routing = Routing::Kernel;
        }
        if let Some(node) = seen.read() {
            add(&mut counts, &node.counts);
            status.kernel = Kernel {
                sockets: node.sockets,
                values_bytes: node.values_bytes,
                filters_complete: u32::from(node.filter == FilterState::Complete),
                sighted_lost: node.sighted_lost,
                ..Kernel::default()
            };
        }
        status.kernel.datagrams_in = counts.datagrams_in;
        status.kernel.bytes_in = counts.bytes_in;
        status.kernel.datagrams_out = counts.datagrams_out;
        status.kernel.bytes_out = counts.bytes_out;
        status.kernel.passed = counts.passed;
        let kinds = || Kind::ALL.iter().map(|kind| kind.name());
        let reasons = Refusal::NAMED.iter().map(|(_, name)| *name);
        for (sums, names, numbers) in [
            (&mut status.messages.requests_in, kinds().collect(), &counts.requests_in),
            (&mut status.messages.replies_out, kinds().collect(), &counts.replies_out),
            (&mut status.refusals, reasons.collect::<Vec<_>>(), &counts.refused),
        ] {
            for (name, number) in names.into_iter().zip(numbers) {
                let sum = sums.entry(name.to_owned()).or_default();
                *sum = sum.saturating_add(*number);
            }
        }
    }

    /// Nobody panics while holding it.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn read(&self) -> Option<NodeStatus> {
        let (control, id) = self.live.as_ref()?;
        control.node(id).ok()
    }
}

fn add(sum: &mut Counts, other: &Counts) {
    let Counts { datagrams_in, bytes_in, datagrams_out, bytes_out, passed, .. } = other;
    sum.datagrams_in += datagrams_in;
    sum.bytes_in += bytes_in;
    sum.datagrams_out += datagrams_out;
    sum.bytes_out += bytes_out;
    sum.passed += passed;
    for (sums, others) in [
        (&mut sum.requests_in, &other.requests_in),
        (&mut sum.replies_out, &other.replies_out),
        (&mut sum.refused, &other.refused),
    ] {
        sums.resize(sums.len().max(others.len()), 0);
        sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
    }
}
