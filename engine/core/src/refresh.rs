//! Refresh (Kademlia §2.3): a range of ids in which nothing was looked up for an hour is
//! looked up, so that its contacts are alive and its newcomers known.
//!
//! Ranges are those of the table's buckets, the parts that one was split into for the sake
//! of the neighbourhood counting as one. Each at a time of its own
//! within the last eighth of the interval: nodes that started together drift apart.

use kdht_wire::Id;

use crate::node::Node;
use crate::operation::{Audience, Goal};
use crate::outbox::Outbox;
use crate::time::{Nanos, Now};

/// Refreshing lookups under way at once.
const RUNNING_MAX: usize = 4;
/// Least pause between two refreshes, in milliseconds; up to twice that by chance.
const PAUSE_MS: u64 = 1_000;

/// Nothing is to be refreshed.
pub(crate) const NEVER: Nanos = Nanos(u64::MAX);

impl Node {
    /// Contacts are known: their ranges are to be refreshed some time.
    pub(crate) fn plan_refresh(&mut self, now: Now) {
        let interval_s = u64::from(self.config.refresh_s);
        if self.refresh_at == NEVER && interval_s > 0 && !self.config.client {
            let early_s = self.rng.below(interval_s / 8 + 1);
            self.refresh_at = now.mono.plus_ms((interval_s - early_s) * 1_000);
        }
    }

    /// Looks up an id in the range that was idle for longest, if it was for long enough.
    pub(crate) fn continue_refresh(&mut self, now: Now, out: &mut dyn Outbox) {
        if now.mono < self.refresh_at || self.refresh_at == NEVER {
            return;
        }
        let pause_ms = PAUSE_MS + self.rng.below(PAUSE_MS);
        self.refresh_at = now.mono.plus_ms(pause_ms);
        let running = self.operations.count_for(|audience| matches!(audience, Audience::Refresh));
        if self.is_busy() || self.silence.is_some() || running >= RUNNING_MAX {
            return;
        }
        let Some((touched_s, family)) = self.idlest_family() else {
            self.refresh_at = NEVER;
            return;
        };
        let interval_s = u64::from(self.config.refresh_s);
        let due_s = u64::from(touched_s) + interval_s - self.rng.below(interval_s / 8 + 1);
        if due_s > u64::from(now.mono.seconds()) {
            self.refresh_at = self.refresh_at.max(Nanos(0).plus_ms(due_s * 1_000));
            return;
        }
        if let Some(target) = self.tables[family].idlest_target(&mut self.rng) {
            self.counters.refreshes += 1;
            self.begin_operation(now, target, Goal::FindNode, Audience::Refresh, out);
        }
    }

    /// A lookup of `target` began: its range is not idle.
    pub(crate) fn touch(&mut self, now: Now, target: &Id) {
        for table in &mut self.tables {
            table.touch(target, now.mono);
        }
    }

    /// Whether what is periodic should wait, so that places are left for commands.
    pub(crate) fn is_busy(&self) -> bool {
        let operations_max = usize::from(self.config.operations_max);
        2 * self.operations.count() >= operations_max || self.is_draining()
    }

    fn idlest_family(&self) -> Option<(u32, usize)> {
        let idle = self.tables.iter().enumerate();
        idle.filter_map(|(family, table)| Some((table.idlest_s()?, family))).min()
    }
}
