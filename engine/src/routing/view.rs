//! What the module counted, told as what the node counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kdht_core::Refusal;
use kdht_kmod::{Control, Counts, Fill, FilterState, NodeStatus};
use kdht_wire::{Id, Kind};

use super::Routing;
use super::table::members_of;
use crate::status::{Kernel, Members, RefusedContacts, Status, TableFill, Tables};

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

    /// The members of the module's tables, if it routes.
    pub(crate) fn members(&self) -> Option<Box<Members>> {
        let seen = self.seen();
        let (control, id) = seen.live.as_ref()?;
        let entries = control.table(id).ok()?;
        Some(members_of(id.to_string(), &entries))
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
            status.table = Tables { v4: fill_of(&node.fill[0]), v6: fill_of(&node.fill[1]) };
            status.kernel = Kernel {
                sockets: node.sockets,
                values_bytes: node.values_bytes,
                filters_complete: u32::from(node.filter == FilterState::Complete),
                ..Kernel::default()
            };
        }
        status.kernel.datagrams_in = counts.datagrams_in;
        status.kernel.bytes_in = counts.bytes_in;
        status.kernel.datagrams_out = counts.datagrams_out;
        status.kernel.bytes_out = counts.bytes_out;
        status.kernel.passed = counts.passed;
        status.timeouts += counts.timeouts;
        status.contacts_unreachable += counts.contacts_unreachable;
        status.outages += counts.outages;
        status.failures_forgiven += counts.failures_forgiven;
        status.maintenance.refreshes += counts.refreshes;
        status.forwarded += counts.forwarded;
        let kinds = || Kind::ALL.iter().map(|kind| kind.name());
        let reasons = Refusal::NAMED.iter().map(|(_, name)| *name);
        for (sums, names, numbers) in [
            (&mut status.messages.requests_in, kinds().collect(), &counts.requests_in),
            (&mut status.messages.replies_out, kinds().collect(), &counts.replies_out),
            (&mut status.messages.requests_out, kinds().collect(), &counts.requests_out),
            (&mut status.messages.replies_in, kinds().collect(), &counts.replies_in),
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
    for (sum, other) in [
        (&mut sum.datagrams_in, other.datagrams_in),
        (&mut sum.bytes_in, other.bytes_in),
        (&mut sum.datagrams_out, other.datagrams_out),
        (&mut sum.bytes_out, other.bytes_out),
        (&mut sum.passed, other.passed),
        (&mut sum.timeouts, other.timeouts),
        (&mut sum.contacts_unreachable, other.contacts_unreachable),
        (&mut sum.outages, other.outages),
        (&mut sum.failures_forgiven, other.failures_forgiven),
        (&mut sum.refreshes, other.refreshes),
        (&mut sum.forwarded, other.forwarded),
    ] {
        *sum = sum.saturating_add(other);
    }
    for (sums, others) in [
        (&mut sum.requests_in, &other.requests_in),
        (&mut sum.replies_out, &other.replies_out),
        (&mut sum.refused, &other.refused),
        (&mut sum.requests_out, &other.requests_out),
        (&mut sum.replies_in, &other.replies_in),
    ] {
        sums.resize(sums.len().max(others.len()), 0);
        sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
    }
}

fn fill_of(fill: &Fill) -> TableFill {
    let size = |count: u32| count as usize;
    TableFill {
        buckets: size(fill.buckets),
        good: size(fill.good),
        unverified: size(fill.unverified),
        doubtful: size(fill.doubtful),
        stale: size(fill.stale),
        replacements: size(fill.replacements),
        refused: RefusedContacts {
            bucket_group: fill.refused_bucket_group,
            table_group: fill.refused_table_group,
            full: fill.refused_full,
        },
    }
}
