//! Lookups done for others: who asked, and how they are answered.

use alloc::vec;

use kdht_wire::{Emit, Endpoint, Fault, Head, Id, Kind, Record, ReplyBody};
use zerocopy::byteorder::little_endian::U16;

use crate::command::{Outcome, Stored};
use crate::counters::Refusal;
use crate::node::Node;
use crate::operation::{Asker, Audience, Goal, Operation};
use crate::outbox::Outbox;
use crate::serve::{Asked, emit_contacts, emit_records};
use crate::time::Now;

impl Node {
    /// Begins the lookup that an asker wants done, or lets it share one.
    pub(crate) fn recurse(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        goal: Goal,
        cursor: u16,
        out: &mut dyn Outbox,
    ) {
        if !asked.proven {
            self.counters.refuse(Refusal::Cookie);
            return self.fault(now, asked, Fault::Cookie, 0, out);
        }
        let head = asked.head;
        let (tx_id, id) = (head.tx_id.get(), head.sender);
        let asker = Asker { route: *asked.route, tx_id, id, cursor };
        if let Some(askers) = self.operations.shared(&goal, &head.target) {
            askers.push(asker);
            return;
        }
        let full = self.operations.recursions() >= usize::from(self.config.recursions_max);
        if full || self.operations.is_full() {
            self.counters.refuse(Refusal::Recurse);
            return self.fault(now, asked, Fault::Recurse, 0, out);
        }
        self.begin_recursion(now, head.target, goal, asker, out);
    }

    pub(crate) fn answer_asker(
        &mut self,
        now: Now,
        asker: &Asker,
        operation: &Operation,
        outcome: &Outcome,
        out: &mut dyn Outbox,
    ) {
        let target = *operation.lookup.target();
        let kind = match operation.goal {
            Goal::FindValue { .. } => Kind::FindValue,
            Goal::Put { .. } => Kind::Store,
            _ => Kind::FindNode,
        };
        match outcome {
            Outcome::Nodes | Outcome::NotFound => {
                let mut closest = crate::closest::Closest::empty();
                let others = operation.lookup.closest().filter(|c| c.id != asker.id);
                for candidate in others {
                    closest.push(kdht_wire::Contact::new(candidate.id, candidate.endpoint));
                }
                let tell_total = kind == Kind::FindNode;
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit_contacts(emit, observed, closest.as_slice(), tell_total);
                });
            }
            Outcome::Values { values, total, .. } => {
                // Their holder's cursors mean nothing here: positions among those found do.
                let at = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
                let records = values.iter().enumerate();
                let records = records
                    .map(|(index, value)| Record { cursor: at(index), ..value.record() })
                    .filter(|record| record.cursor >= asker.cursor);
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit_records(emit, observed, *total, records);
                });
            }
            Outcome::Stored(Stored { acknowledged, durability: Some(durability), .. }) => {
                self.reply_to_asker(now, asker, kind, &target, out, |emit, observed| {
                    emit.head().arg = *durability as u8;
                    let _ = emit.body(&ReplyBody { observed, total: U16::new(*acknowledged) });
                });
            }
            Outcome::Stored(stored) => {
                let fault = stored.fault.unwrap_or(Fault::Recurse);
                self.fault_to_asker(now, asker, fault, stored.sequence, out);
            }
            Outcome::Reply { .. } | Outcome::Unanswered => {
                self.fault_to_asker(now, asker, Fault::Recurse, 0, out);
            }
        }
    }

    pub(crate) fn begin_recursion(
        &mut self,
        now: Now,
        target: Id,
        goal: Goal,
        asker: Asker,
        out: &mut dyn Outbox,
    ) {
        self.begin_operation(now, target, goal, Audience::Askers(vec![asker]), out);
    }

    /// Answers those who asked with RECURSE.
    pub(crate) fn reply_to_asker(
        &mut self,
        now: Now,
        asker: &Asker,
        kind: Kind,
        target: &Id,
        out: &mut dyn Outbox,
        fill: impl FnOnce(&mut Emit<'_, '_>, Endpoint),
    ) {
        let head = Head::request(kind, asker.tx_id, *target, asker.id);
        let checked = self.cookies.check(&asker.route.peer, 0, now.mono);
        let asked = Asked {
            route: &asker.route,
            head: &head,
            proven: true,
            fresh_cookie: checked.fresh,
            reply_len_max: usize::MAX,
            source: 0,
        };
        self.reply(now, &asked, kind, out, fill);
    }

    /// Tells an asker that its recursion came to nothing.
    pub(crate) fn fault_to_asker(
        &mut self,
        now: Now,
        asker: &Asker,
        fault: Fault,
        sequence: u64,
        out: &mut dyn Outbox,
    ) {
        let head = Head::request(Kind::Fault, asker.tx_id, Id::ZERO, asker.id);
        let checked = self.cookies.check(&asker.route.peer, 0, now.mono);
        let asked = Asked {
            route: &asker.route,
            head: &head,
            proven: true,
            fresh_cookie: checked.fresh,
            reply_len_max: usize::MAX,
            source: 0,
        };
        self.fault(now, &asked, fault, sequence, out);
    }
}
