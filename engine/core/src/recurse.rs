//! Lookups done for others: who asked, and how they are answered.

use alloc::vec;

use kdht_wire::{Contact, Fault, Head, Id, Kind, Record, ReplyBody};
use zerocopy::byteorder::little_endian::U16;

use crate::closest::Hear;
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
        let asker = Asker { route: *asked.route, tx_id, id, cursor, stream: None };
        if !self.begin_recursion(now, &head.target, goal, asker, out) {
            self.counters.refuse(Refusal::Recurse);
            self.fault(now, asked, Fault::Recurse, 0, out);
        }
    }

    /// False if no lookup can be begun.
    pub(crate) fn begin_recursion(
        &mut self,
        now: Now,
        target: &Id,
        goal: Goal,
        asker: Asker,
        out: &mut dyn Outbox,
    ) -> bool {
        if let Some(askers) = self.operations.shared(&goal, target, asker.stream.is_some()) {
            askers.push(asker);
            return true;
        }
        let full = self.operations.recursions() >= usize::from(self.config.recursions_max);
        if full || self.operations.is_full() {
            return false;
        }
        let audience = Audience::Askers(vec![asker]);
        self.begin_operation(now, *target, goal, audience, out);
        true
    }

    /// Answers one of those who asked with RECURSE, by the way that they asked.
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
        let head = Head::request(kind, asker.tx_id, target, asker.id);
        let asked = Asked {
            route: &asker.route,
            head: &head,
            // It was, when it asked.
            proven: true,
            fresh_cookie: self.cookies.check(&asker.route.peer, 0, now.mono).fresh,
            reply_len_max: usize::MAX,
            source: 0,
        };
        match outcome {
            Outcome::Nodes | Outcome::NotFound => {
                let mut closest = crate::closest::Closest::empty();
                let others = operation.lookup.closest().filter(|c| c.id != asker.id);
                for candidate in others {
                    closest.push(&Contact::new(candidate.id, candidate.endpoint));
                }
                let tell_total = kind == Kind::FindNode;
                self.reply(now, &asked, kind, out, |emit, observed| {
                    emit_contacts(emit, observed, tell_total, |telling| {
                        telling.hear(closest.as_slice().iter());
                    });
                });
            }
            Outcome::Values { values, total, .. } => {
                // Their holder's cursors mean nothing here: positions among those found do.
                let at = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
                let records = values.iter().enumerate();
                let records = records
                    .map(|(index, value)| Record { cursor: at(index), ..value.record() })
                    .filter(|record| record.cursor >= asker.cursor);
                if let Some(stream) = asker.stream {
                    return self.tell_values(now, stream, &asked, *total, records);
                }
                self.reply(now, &asked, kind, out, |emit, observed| {
                    emit_records(emit, observed, *total, records);
                });
            }
            Outcome::Stored(Stored { acknowledged, durability: Some(durability), .. }) => {
                self.reply(now, &asked, kind, out, |emit, observed| {
                    emit.head().arg = *durability as u8;
                    let _ = emit.body(&ReplyBody { observed, total: U16::new(*acknowledged) });
                });
            }
            Outcome::Stored(stored) => {
                let fault = stored.fault.unwrap_or(Fault::Recurse);
                self.fault(now, &asked, fault, stored.sequence, out);
            }
            Outcome::Reply { .. } | Outcome::Unanswered => {
                self.fault(now, &asked, Fault::Recurse, 0, out);
            }
        }
    }
}
