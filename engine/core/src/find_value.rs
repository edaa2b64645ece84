//! Finding values: pages, proofs, caching.

use alloc::vec::Vec;

use kdht_store::Storage;
use kdht_wire::{
    Filter, Flags, INLINE_VALUE_LEN_MAX, Id, Kind, Message, Record, Records, ReplyBody, StoreBody,
};
use zerocopy::byteorder::little_endian::U64;

use crate::ask::{Ask, AskBody};
use crate::ask_stream::Fetch;
use crate::command::{Outcome, Value};
use crate::lookup::{Candidate, Standing};
use crate::node::Node;
use crate::operate::Step;
use crate::operation::{Found, Goal, Operation, OperationKey, PAGES_MAX};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose};
use crate::proofs::Proofs;
use crate::time::Now;

impl Node {
    /// Values came: takes those that prove themselves, and asks for the next page if more
    /// are wanted.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    pub(crate) fn values_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        reply: &ReplyBody,
        records: &Records<'_>,
        proven: Option<&[bool]>,
        out: &mut dyn Outbox,
    ) -> Step {
        let target = *operation.lookup.target();
        let Goal::FindValue { filter, values_max, found, .. } = &mut operation.goal else {
            operation.lookup.failed(&pending.expected, &pending.endpoint);
            return Step::Continue;
        };
        let holder = (pending.expected, pending.endpoint);
        if found.holder.is_some_and(|first| first != holder) {
            found.others.push(holder);
            return Step::Continue;
        }
        found.is_paging = false;
        let mut next_cursor = 0;
        let mut proofs = Proofs::new(proven);
        for record in records.iter() {
            next_cursor = record.cursor.saturating_add(1);
            let proof = proofs.next(filter, &record);
            let wanted = found.values.len() + usize::from(found.fetching);
            if wanted >= usize::from(*values_max) {
                continue;
            }
            if record.is_announced() {
                let (audience, purpose) = (&operation.audience, pending.purpose);
                let fetch = Fetch { holder, filter, purpose, audience };
                if !fetch.queue(found, &record, &mut self.jobs) {
                    self.counters.values_unproven += 1;
                }
                continue;
            }
            if !proof.holds(&target, filter, &record, &mut self.counters) {
                continue;
            }
            found.values.push(Value::of(&record));
        }
        found.total = reply.total.get();
        found.pages = found.pages.saturating_add(1);
        let wants_more = found.values.len() + usize::from(found.fetching)
            < usize::from(*values_max)
            && message.head.flags().has(Flags::MORE)
            && found.pages < PAGES_MAX
            // Once, an empty page means that a cookie was missing.
            && (records.count() > 0 || found.pages == 1);
        if wants_more {
            found.holder = Some(holder);
            let candidate = operation.lookup.candidate_mut(&holder.0, &holder.1).copied();
            let asked = candidate.is_some_and(|mut candidate| {
                candidate.cookie = message.head.cookie.get();
                self.ask_candidate(now, key, operation, &candidate, next_cursor, out)
            });
            if asked {
                if let Goal::FindValue { found, .. } = &mut operation.goal {
                    found.is_paging = true;
                }
                return Step::Continue;
            }
        } else if !found.values.is_empty() || found.fetching > 0 || found.has_more {
            found.holder = Some(holder);
        }
        done_with_values(operation)
    }

    /// Asks the next of those who answered with values while another's were waited for.
    /// False if there is none.
    pub(crate) fn ask_other_holder(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) -> bool {
        while let Goal::FindValue { found, .. } = &mut operation.goal
            && let Some((id, endpoint)) = found.others.pop()
        {
            (found.holder, found.is_paging) = (Some((id, endpoint)), true);
            let candidate = operation.lookup.candidate_mut(&id, &endpoint).copied();
            if candidate.is_some_and(|c| self.ask_candidate(now, key, operation, &c, 0, out)) {
                return true;
            }
            if let Goal::FindValue { found, .. } = &mut operation.goal {
                (found.holder, found.is_paging) = (None, false);
            }
        }
        false
    }

    /// Values that this node holds itself.
    pub(crate) fn held_values(
        &self,
        now: Now,
        key: &Id,
        filter: &Filter,
        values_max: u16,
    ) -> Option<Outcome> {
        let held = self.store.values(u64::from(now.mono.seconds()), key, filter);
        let total = held.total();
        let wanted = held.from(0).take(usize::from(values_max));
        let values: Vec<Value> = wanted.map(|record| Value::of(&record)).collect();
        (total > 0).then_some(Outcome::Values { values, total, holder: None })
    }

    /// Stores a found value at the closest node that was asked and lacked it, for a time
    /// that halves with each node known to be closer to the key (Kademlia §2.3).
    ///
    /// Only a value that is all that its holder has under the key: one of several at a
    /// closer node would hide the others from every lookup that ends there.
    pub(crate) fn cache(
        &mut self,
        now: Now,
        operation: &Operation,
        outcome: &Outcome,
        out: &mut dyn Outbox,
    ) {
        let Outcome::Values { values, total: 1, .. } = outcome else { return };
        let Goal::FindValue { filter: Filter::Any, holders: 0..=1, .. } = &operation.goal else {
            return;
        };
        let lookup = &operation.lookup;
        let lacked = |c: &Candidate| c.standing == Standing::Answered && c.lacked_value;
        let Some(closer) = lookup.candidates().iter().position(lacked) else { return };
        let (candidate, target) = (lookup.candidates()[closer], *lookup.target());
        let Some(value) = values.first().filter(|v| v.bytes.len() <= INLINE_VALUE_LEN_MAX) else {
            // A copy of a large one costs more than a lookup that goes one hop further.
            return;
        };
        let remaining_s = cached_for(value.remaining_s, closer);
        if remaining_s == 0 {
            return;
        }
        let intent = Intent::new(candidate.endpoint, candidate.id, Kind::Store, Purpose::Cache);
        let record = Record { remaining_s, ..value.record() };
        let cas = U64::new(StoreBody::UNCONDITIONAL);
        let body = AskBody::Store(StoreBody { cas }, record);
        let cookie = candidate.cookie;
        self.ask(now, &Ask { intent, flags: Flags::default(), cookie, target, body }, out);
    }
}

/// Seconds that a value with `remaining_s` left is cached for by a node to whose key `closer`
/// nodes are closer: half for each. Nothing from 32 on, where a shift would begin anew.
fn cached_for(remaining_s: u32, closer: usize) -> u32 {
    let halvings = u32::try_from(closer).unwrap_or(u32::MAX);
    remaining_s.checked_shr(halvings).unwrap_or(0)
}

/// The node asked for a further page did not give it: what came before is all. Goes on
/// where nothing came, or another node was asked.
pub(crate) fn holder_is_lost(operation: &mut Operation, pending: &Pending) -> Step {
    match &mut operation.goal {
        Goal::FindValue { found, .. }
            if found.holder == Some((pending.expected, pending.endpoint)) =>
        {
            found.is_paging = false;
            done_with_values(operation)
        }
        _ => Step::Continue,
    }
}

/// Ends the search at its holder, if nothing is waited for; goes on elsewhere if nothing
/// came.
pub(crate) fn done_with_values(operation: &mut Operation) -> Step {
    let Goal::FindValue { found, .. } = &mut operation.goal else { return Step::Continue };
    if found.is_paging || found.fetching > 0 {
        return Step::Continue;
    }
    let is_found = !found.values.is_empty() || found.has_more;
    let found = core::mem::take(found);
    let Some((id, endpoint)) = found.holder.filter(|_| is_found) else {
        let others = found.others;
        if let Goal::FindValue { found, .. } = &mut operation.goal {
            found.others = others;
        }
        return Step::Continue;
    };
    let hops = operation.lookup.candidate_mut(&id, &endpoint).map_or(0, |c| c.hop);
    let Found { values, total, holder, .. } = found;
    Step::Done(Outcome::Values { values, total, holder }, hops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_values_time_halves_with_each_closer_node_and_never_wraps() {
        for closer in 0..200_usize {
            let mut wanted_s = u32::MAX;
            (0..closer).for_each(|_| wanted_s /= 2);
            assert_eq!(cached_for(u32::MAX, closer), wanted_s, "{closer} closer");
        }
        assert_eq!(cached_for(86_400, usize::MAX), 0);
    }
}
