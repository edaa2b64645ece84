//! Requests that travel to whoever holds what they ask for, and are answered from there
//! (FORMAT.md §8.3): only in keyed networks, whose members trust each other's stamps.
//!
//! A hop keeps nothing of what it passed on. The origin keeps the transaction, and takes its
//! answer from any endpoint; what comes from one that it did not ask names candidates and
//! brings values that prove themselves, and says nothing of anybody's standing.

use kdht_store::Storage;
use kdht_wire::{
    Body, Contact, EXT_FORWARD, Emit, EmitError, Endpoint, Flags, Forward, Head, Id, Message,
    NetworkKey, TIME_SKEW_S_MAX,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::ask::Ask;
use crate::collect::is_collecting;
use crate::lookup::Standing;
use crate::node::Node;
use crate::operate::{Step, is_repeatable};
use crate::operation::{Goal, Operation, OperationKey};
use crate::outbox::{Outbox, Route};
use crate::pending::{Intent, Pending, Purpose, Way};
use crate::serve::Asked;
use crate::time::Now;

/// Discovery depth of one who answered unasked: a contact of ours passed it the request.
const STRANGER_HOP: u8 = 2;

/// Contacts among which the next hop is chosen: one of them may be the origin.
const NEXT_HOPS: usize = 2;

/// What became of a FIND with FORWARD.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Forwarded {
    /// It is to be served as any other.
    Not,
    /// It was passed on, or its origin answered.
    Done,
    /// Its stamp, time or origin is not sound.
    Refused,
}

impl Node {
    /// Passes a FIND with FORWARD on, or answers its origin if it comes from another hop.
    ///
    /// One datagram at most, and no state. Cost: one search of the table, two passes of
    /// SipHash more than a reply takes.
    pub(crate) fn handle_forward(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        message: &Message<'_>,
        out: &mut dyn Outbox,
    ) -> Forwarded {
        let (head, peer) = (asked.head, &asked.route.peer);
        let Some(given) = message.extensions.forward() else {
            let is_origin = asked.proven && !head.flags().has(Flags::RECURSE);
            if !is_origin || !self.config.keys.is_keyed() || !peer.is_reachable() {
                return Forwarded::Not;
            }
            let forward = Forward {
                tx_id: head.tx_id,
                stamp: U64::ZERO,
                origin: *peer,
                hops: Forward::HOPS_MAX,
                reserved: 0,
                epoch_s: U32::new(now.unix_s),
            };
            let is_passed = self.pass_on(now, message, &forward, out);
            return if is_passed { Forwarded::Done } else { Forwarded::Not };
        };
        if !self.is_sound(now, head, peer, given) {
            return Forwarded::Refused;
        }
        let passed = given.hops.checked_sub(1).map(|hops| Forward { hops, ..*given });
        if !passed.is_some_and(|forward| self.pass_on(now, message, &forward, out)) {
            self.answer_origin(now, asked, message, given, out);
        }
        Forwarded::Done
    }

    /// Whether a member stamped it lately for an origin that may be answered.
    fn is_sound(&self, now: Now, head: &Head, peer: &Endpoint, given: &Forward) -> bool {
        let Some(key) = self.config.keys.named(head.key_id) else { return false };
        let origin = &given.origin;
        let age_s = now.unix_s.wrapping_sub(given.epoch_s.get()).cast_signed();
        given.stamp.get() == Forward::stamp(given.tx_id, origin, given.epoch_s, key)
            && age_s.unsigned_abs() <= TIME_SKEW_S_MAX
            && origin.is_reachable()
            && origin.is_v4() == peer.is_v4()
            // Nobody's requests reach what listens on this host only.
            && (peer.is_loopback() || !origin.is_loopback())
            && !self.is_own_endpoint(origin)
    }

    /// Sends a request to the next hop, if it may go there and there is one.
    fn pass_on(
        &mut self,
        now: Now,
        message: &Message<'_>,
        forward: &Forward,
        out: &mut dyn Outbox,
    ) -> bool {
        let Some(key) = self.config.keys.signing() else { return false };
        if self.holds_asked(now, message) {
            return false;
        }
        let Some(next) = self.next_hop(message.head, &forward.origin) else { return false };
        let Some(slot) = out.slot(&Route::to(next)) else { return false };
        let mut head =
            Head::request(message.kind, forward.tx_id.get(), message.head.target, self.id);
        let wanted = Flags(message.head.flags.get() & Flags::WANT4.with(Flags::WANT6).0);
        head.flags = U16::new(wanted.with(Flags::FORWARD).0);
        head.time_s = U32::new(now.unix_s);
        let stamp = Forward::stamp(forward.tx_id, &forward.origin, forward.epoch_s, key);
        let forward = Forward { stamp: U64::new(stamp), ..*forward };
        let Ok(len) = lay_out(slot, head, message, &forward, key) else { return false };
        out.commit(len);
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += len as u64;
        self.counters.forwarded += 1;
        true
    }

    /// Whether this node holds values that are asked for.
    fn holds_asked(&self, now: Now, message: &Message<'_>) -> bool {
        let Body::FindValue(body) = &message.body else { return false };
        let filter = body.filter().unwrap_or_default();
        let now_s = u64::from(now.mono.seconds());
        self.store.values(now_s, &message.head.target, &filter).total() > 0
    }

    /// The good contact nearest to the target, neither the sender nor at the origin's
    /// endpoint, if it is nearer than this node.
    fn next_hop(&self, head: &Head, origin: &Endpoint) -> Option<Endpoint> {
        let family = usize::from(!origin.is_v4());
        let closest = self.closest_good(family, &head.target, NEXT_HOPS, &head.sender);
        let next = closest.as_slice().iter().find(|contact| contact.endpoint != *origin)?;
        let is_closer = next.id.distance(&head.target) < self.id.distance(&head.target);
        // Else it would be refused there.
        let is_for_it = next.endpoint.is_loopback() || !origin.is_loopback();
        (is_closer && is_for_it).then_some(next.endpoint)
    }

    /// Answers the origin of a request that goes no further. The first hop saw its cookie.
    fn answer_origin(
        &mut self,
        now: Now,
        asked: &Asked<'_>,
        message: &Message<'_>,
        given: &Forward,
        out: &mut dyn Outbox,
    ) {
        // It never heard of the address that the hop before asked.
        let route = Route::to(given.origin);
        let head = Head { tx_id: given.tx_id, ..*asked.head };
        let fresh_cookie = self.cookies.check(&given.origin, 0, now.mono).fresh;
        let origin = Asked {
            route: &route,
            head: &head,
            proven: true,
            fresh_cookie,
            reply_len_max: usize::MAX,
            source: asked.source,
        };
        match &message.body {
            Body::FindValue(body) => self.serve_find_value(now, &origin, body, out),
            _ => self.serve_find_node(now, &origin, out),
        }
    }

    /// Begins a get with a request that is forwarded, if it may and a first hop's cookie is
    /// held: that of the nearest there is.
    pub(crate) fn begin_forwarded(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        out: &mut dyn Outbox,
    ) {
        let (goal, audience) = (&operation.goal, &operation.audience);
        // Whoever wants the closest nodes, or values of all of them, has to ask them anyway.
        let is_get = matches!(goal, Goal::FindValue { holders: 0..=1, .. });
        let is_keyed = self.config.keys.is_keyed();
        if !self.config.forward || !is_keyed || !is_get || !is_repeatable(audience) {
            return;
        }
        let cookie_of = |id: &Id, endpoint: &Endpoint| {
            let peer = self.tables[usize::from(!endpoint.is_v4())].peer(id)?;
            let is_first = peer.is_good() && peer.endpoint == *endpoint;
            Some(peer.cookie(now.mono)).filter(|cookie| is_first && *cookie != 0)
        };
        let known = operation.lookup.candidates().iter();
        let mut known = known.filter(|c| c.standing == Standing::Known);
        let first = known.find_map(|c| Some((*c, cookie_of(&c.id, &c.endpoint)?)));
        let Some((first, cookie)) = first else { return };
        let (kind, body) = operation.request(0);
        let intent = Intent::new(first.endpoint, first.id, kind, Purpose::Operation(key));
        let intent = Intent { way: Way::Forwarded, ..intent };
        let flags = self.families_wanted().with(Flags::FORWARD);
        let target = *operation.lookup.target();
        operation.messages += 1;
        operation.is_forwarded = self.ask(now, &Ask { intent, flags, cookie, target, body }, out);
    }

    /// A forwarded request was answered by one who was not asked: takes the values, else goes
    /// on with the contacts.
    #[expect(clippy::too_many_arguments, reason = "the parts of one reply, already parsed")]
    pub(crate) fn stranger_answered(
        &mut self,
        now: Now,
        key: OperationKey,
        operation: &mut Operation,
        pending: &Pending,
        message: &Message<'_>,
        proven: Option<&[bool]>,
        out: &mut dyn Outbox,
    ) -> Step {
        let stranger = Contact::new(pending.expected, pending.endpoint);
        for stranger in self.usable(&[stranger]).as_slice() {
            operation.lookup.learn(stranger, STRANGER_HOP);
        }
        match &message.body {
            Body::Contacts { contacts, .. } => {
                for contact in self.usable(contacts).as_slice() {
                    operation.lookup.learn(contact, STRANGER_HOP + 1);
                    self.heard_of(now, contact, out);
                }
            }
            Body::Values { reply, records } if !is_collecting(&operation.goal) => {
                let step = self.values_answered(
                    now, key, operation, pending, message, reply, records, proven, out,
                );
                if let Step::Done(..) = step {
                    return step;
                }
            }
            _ => {}
        }
        self.advance(now, key, operation, out)
    }
}

/// Lays out a request as it came, with `forward` in the place of the one that it brought, or
/// behind all else if it brought none.
fn lay_out(
    slot: &mut [u8],
    head: Head,
    message: &Message<'_>,
    forward: &Forward,
    key: &NetworkKey,
) -> Result<usize, EmitError> {
    let mut emit = Emit::datagram(slot, head, Some(key), usize::MAX)?;
    if let Body::FindValue(body) = message.body {
        emit.body(body)?;
    }
    let mut is_told = false;
    for extension in message.extensions.iter() {
        let is_here = extension.kind == EXT_FORWARD && !is_told;
        let data = if is_here { forward.as_bytes() } else { extension.data };
        emit.extension(extension.kind, data)?;
        is_told |= is_here;
    }
    if !is_told {
        emit.extension(EXT_FORWARD, forward.as_bytes())?;
    }
    Ok(emit.finish())
}
