//! One request, asked for by itself.

use kdht_wire::{
    Body, Fault, FindValueBody, Flags, INLINE_VALUE_LEN_MAX, Kind, Message, StoreBody,
};
use zerocopy::byteorder::little_endian::U64;

use crate::ask::{Ask, AskBody};
use crate::command::{Outcome, Request};
use crate::node::Node;
use crate::operate::Step;
use crate::operation::{Goal, Operation, OperationKey};
use crate::outbox::Outbox;
use crate::pending::{Intent, Pending, Purpose, Way};
use crate::time::Now;

impl Node {
    pub(crate) fn send_single(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        cookie: u64,
        is_retry: bool,
        out: &mut dyn Outbox,
    ) -> bool {
        let Goal::Ask { request, recurse, endpoint, expected, .. } = &operation.goal else {
            return false;
        };
        let (kind, body) = match request {
            Request::Ping => (Kind::Ping, AskBody::Empty),
            Request::FindNode { .. } => (Kind::FindNode, AskBody::Empty),
            Request::FindValue { filter, cursor, .. } => {
                (Kind::FindValue, AskBody::FindValue(FindValueBody::new(filter, *cursor)))
            }
            Request::Store { value, cas, .. } => {
                let cas = U64::new(cas.unwrap_or(StoreBody::UNCONDITIONAL));
                (Kind::Store, AskBody::Store(StoreBody { cas }, value.record()))
            }
        };
        let intent = Intent {
            endpoint: *endpoint,
            expected: *expected,
            kind,
            purpose: Purpose::Operation(key),
            is_retry,
            way: Way::Direct,
        };
        if let Request::Store { value, .. } = request
            && value.bytes.len() > INLINE_VALUE_LEN_MAX
        {
            operation.messages += 1;
            return self.ask_by_stream(intent, value.bytes.len());
        }
        let flags = if *recurse { Flags::RECURSE } else { Flags::default() };
        let target = *operation.lookup.target();
        operation.messages += 1;
        self.ask(now, &Ask { intent, flags, cookie, target, body }, out)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    pub(crate) fn single_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) -> Step {
        let needs_cookie = matches!(message.body, Body::Fault(Fault::Cookie, _));
        if needs_cookie && !pending.is_retry {
            let cookie = message.head.cookie.get();
            if self.send_single(now, key, operation, cookie, true, out) {
                return Step::Continue;
            }
        }
        if self.fetch_announced(operation, pending, message, bytes) {
            return Step::Continue;
        }
        let rtt_us = now.mono.us_since(pending.sent);
        Step::Done(Outcome::Reply { bytes: bytes.to_vec(), rtt_us }, 1)
    }
}
