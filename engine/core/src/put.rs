//! Storing at the closest nodes.

use alloc::vec::Vec;

use kdht_store::{Put, SourceGroup, Storage};
use kdht_wire::{
    Body, Durability, Fault, Flags, INLINE_VALUE_LEN_MAX, Id, Kind, Message, Publisher, Record,
    StoreBody,
};
use zerocopy::byteorder::little_endian::U64;

use crate::ask::{Ask, AskBody};
use crate::command::{Outcome, Stored};
use crate::lookup::Candidate;
use crate::node::Node;
use crate::operate::{Step, hops_of};
use crate::operation::{Audience, Goal, Operation, OperationKey, PutPhase};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose};
use crate::proxy::Acknowledge;
use crate::serve::refusal_of;
use crate::time::Now;
use crate::zones::Share;

/// Whose quota a node's own values are charged to.
const OWN_SOURCE: SourceGroup = SourceGroup(0);

impl Node {
    /// Sends a put's value to the k closest nodes, and keeps it here if this is one. No zone is
    /// given more than its share.
    pub(crate) fn store_at_closest(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) {
        let target = *operation.lookup.target();
        let k = usize::from(self.config.k);
        let own = self.id.distance(&target);
        let (zones, mut share) = (&self.config.zones, self.config.zones.share());
        let may_hold = !self.config.client && !self.is_draining();
        let all = || operation.lookup.answered_all();
        let nearer = all().take_while(|c| c.id.distance(&target) < own).count();
        let mut closest: Vec<Candidate> = Vec::new();
        let takes = |share: &mut Share, c: &&Candidate| share.take(zones.of(&c.endpoint));
        closest.extend(all().take(nearer).filter(|c| takes(&mut share, c)).take(k));
        let here = may_hold && closest.len() < k && share.take(self.own_zone());
        let left = k - usize::from(here) - closest.len();
        closest.extend(all().skip(nearer).filter(|c| takes(&mut share, c)).take(left));
        // And where each path of the lookup ended: liars on one cannot keep the value from
        // those that others found.
        for end in operation.lookup.ends() {
            let is_new = !closest.iter().any(|c| c.id == end.id && c.endpoint == end.endpoint);
            if is_new && takes(&mut share, &end) {
                closest.push(*end);
            }
        }
        // What is put for another is on that one's account.
        let asker = match &operation.audience {
            Audience::Askers(askers) => askers.first(),
            _ => None,
        };
        let source = asker.map_or(OWN_SOURCE, |a| SourceGroup(self.source(&a.route.peer)));
        let sender = asker.map(|asker| asker.id);
        let Goal::Put { value, cas, stored, phase } = &mut operation.goal else { return };
        let mut waiting = 0;
        if here {
            stored.asked += 1;
            match self.put_here(now, &target, &value.record(), *cas, source, sender) {
                Ok(durability) => match self.acknowledge_put_later(now, target, key, durability) {
                    Acknowledge::Now => acknowledged(stored, 1, durability),
                    Acknowledge::Later => waiting += 1,
                    Acknowledge::Never => refused(stored, Fault::Busy, 0),
                },
                Err((fault, sequence)) => refused(stored, fault, sequence),
            }
        }
        let value_len = value.bytes.len();
        let cas = cas.unwrap_or(StoreBody::UNCONDITIONAL);
        for candidate in &closest {
            operation.messages += 1;
            stored.asked += 1;
            let intent =
                Intent::new(candidate.endpoint, candidate.id, Kind::Store, Purpose::Operation(key));
            if value_len > INLINE_VALUE_LEN_MAX {
                waiting += u16::from(self.ask_by_stream(intent, value_len));
                continue;
            }
            let body = AskBody::Store(StoreBody { cas: U64::new(cas) }, value.record());
            let cookie = candidate.cookie;
            let ask = Ask { intent, flags: Flags::default(), cookie, target, body };
            waiting += u16::from(self.ask(now, &ask, out));
        }
        *phase = PutPhase::Storing { waiting };
    }

    /// The zone of the node's own address, as far as it knows that.
    fn own_zone(&self) -> Option<u16> {
        let zone_of = |is_v4| self.config.zones.of(&self.own_endpoint(is_v4)?);
        zone_of(true).or_else(|| zone_of(false))
    }

    pub(crate) fn advance_stored(&self, operation: &Operation) -> Step {
        let hops = hops_of(&operation.lookup);
        match &operation.goal {
            Goal::Put { stored, .. } if stored.asked == 0 => Step::Done(Outcome::Unanswered, 0),
            Goal::Put { stored, phase: PutPhase::Storing { waiting: 0 }, .. } => {
                Step::Done(Outcome::Stored(*stored), hops)
            }
            _ => Step::Continue,
        }
    }

    pub(crate) fn store_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        out: &mut dyn Outbox,
    ) -> Step {
        let target = *operation.lookup.target();
        let Goal::Put { value, cas, stored, phase: PutPhase::Storing { waiting } } =
            &mut operation.goal
        else {
            return Step::Continue;
        };
        match message.body {
            Body::StoreReply(_) => {
                let durability = Durability::from_u8(message.head.arg);
                acknowledged(stored, 1, durability.unwrap_or(Durability::Memory));
            }
            Body::Fault(Fault::Cookie, _) if !pending.is_retry && !pending.is_stream() => {
                let cas = cas.unwrap_or(StoreBody::UNCONDITIONAL);
                let body = AskBody::Store(StoreBody { cas: U64::new(cas) }, value.record());
                let (endpoint, expected) = (pending.endpoint, pending.expected);
                let intent = Intent::new(endpoint, expected, Kind::Store, pending.purpose);
                let intent = Intent { is_retry: true, ..intent };
                let cookie = message.head.cookie.get();
                let ask = Ask { intent, flags: Flags::default(), cookie, target, body };
                operation.messages += 1;
                if self.ask(now, &ask, out) {
                    return Step::Continue;
                }
            }
            Body::Fault(fault, detail) => refused(stored, fault, detail.sequence.get()),
            _ => {}
        }
        *waiting = waiting.saturating_sub(1);
        self.advance(now, key, operation, out)
    }

    /// Holds a value at this node itself, as it would a stranger's. `sender` is who asked
    /// for it, if not our owner.
    fn put_here(
        &mut self,
        now: Now,
        key: &Id,
        record: &Record<'_>,
        cas: Option<u64>,
        source: SourceGroup,
        sender: Option<Id>,
    ) -> Result<Durability, (Fault, u64)> {
        // What is put for another was proven when that one asked, and so was what is too long
        // to be proven here.
        if sender.is_none() && record.value.len() <= INLINE_VALUE_LEN_MAX {
            self.prove(now, key, record).map_err(|(_, fault)| (fault, 0))?;
        } else if !self.accepts_kind_of(record) {
            return Err((Fault::Plain, 0));
        }
        let by_publisher = sender.is_none_or(|id| record.publisher == Publisher::Plain(&id));
        let put = Put { key: *key, record, cas, source, by_publisher };
        let ack = self.store.put(u64::from(now.mono.seconds()), &put);
        self.plan_republish(now);
        ack.map(|ack| ack.durability).map_err(|error| {
            let (_, fault, sequence) = refusal_of(&error);
            (fault, sequence)
        })
    }
}

pub(crate) fn acknowledged(stored: &mut Stored, nodes: u16, durability: Durability) {
    stored.acknowledged += nodes;
    let lowest = stored.durability.map_or(durability, |held| held.min(durability));
    stored.durability = Some(lowest);
}

pub(crate) fn refused(stored: &mut Stored, fault: Fault, sequence: u64) {
    stored.refused += 1;
    stored.fault = Some(fault);
    stored.sequence = stored.sequence.max(sequence);
}
