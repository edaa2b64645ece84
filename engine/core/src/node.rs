//! The node: state, and the calls that move it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use kdht_store::{Memory, Storage, Usage};
use kdht_wire::{
    Contact, Endpoint, Head, Id, KeyRing, Kind, MacError, Message, Outline, ParseError,
};
use zerocopy::FromBytes;

use crate::ceded::Ceded;
use crate::closest::Closest;
use crate::command::{Command, CommandError, Event, OperationId};
use crate::config::Config;
use crate::contact::{Liveness, Peer};
use crate::contacts::Contacts;
use crate::cookie::Cookies;
use crate::counters::{Counters, Refusal};
use crate::drain::Drain;
use crate::frequent::Frequent;
use crate::handover::Handover;
use crate::join::Join;
use crate::known::Known;
use crate::observed::Observed;
use crate::operation::Operations;
use crate::outage::Silence;
use crate::outbox::{Outbox, Route};
use crate::parked::Parked;
use crate::pending::{Requests, RoundTrips};
use crate::proxy::Proxy;
use crate::refresh::NEVER;
use crate::replica::Replica;
use crate::republish::Republish;
use crate::rng::Rng;
use crate::sharding::Sharding;
use crate::spread::Spread;
use crate::stream::Jobs;
use crate::table::Fill;
use crate::throttle::{Throttle, ThrottleConfig};
use crate::time::{Nanos, Now};

/// Events kept for an owner that does not ask for them. No report is ever lost to it:
/// commands are refused long before.
const EVENTS_MAX: usize = 2 * u16::MAX as usize;

/// Contacts of one table that are kept for the next start, about.
const CONTACTS_KEPT: usize = 2_048;

/// One Kademlia node without sockets, clocks or entropy.
///
/// Whoever owns it hands in datagrams ([`Node::handle_datagram`]), commands
/// ([`Node::begin`], [`Node::join`]) and the time ([`Node::handle_timeout`]); what it
/// sends goes into the [`Outbox`] of the call, and what it has to say comes out of
/// [`Node::poll_event`]. Any order of calls is legal. Work per call is bounded by k, the
/// requests in flight and the contacts held; nothing is allocated per datagram, except by
/// lookups done for others and by what is set aside to be verified apart.
#[derive(Debug)]
pub struct Node {
    pub(crate) id: Id,
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    /// IPv4, IPv6.
    pub(crate) tables: [Contacts; 2],
    pub(crate) store: Memory,
    pub(crate) cookies: Cookies,
    pub(crate) throttle: Throttle,
    pub(crate) requests: Requests,
    pub(crate) round_trips: RoundTrips,
    pub(crate) operations: Operations,
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
    pub(crate) join: Option<Box<Join>>,
    pub(crate) drain: Option<Box<Drain>>,
    /// When contacts are looked over for probes; nothing while all are good.
    pub(crate) probe_at: Option<Nanos>,
    pub(crate) signatures: SignatureBudget,
    pub(crate) observed: Observed,
    /// What makes it one of several shards; nothing if it is alone.
    pub(crate) sharding: Option<Box<Sharding>>,
    pub(crate) parked: Parked,
    /// Requests of ours that wait to be sent by TCP.
    pub(crate) jobs: Jobs,
    pub(crate) silence: Option<Box<Silence>>,
    /// After an outage: good contacts not heard of since this second are asked.
    pub(crate) verify_before_s: Option<u32>,
    pub(crate) refresh_at: Nanos,
    /// Nothing while nothing is held.
    pub(crate) republish: Option<Box<Republish>>,
    /// Nothing while there are no newcomers.
    pub(crate) handover: Option<Box<Handover>>,
    /// Nothing while nothing was looked up of late.
    pub(crate) frequent: Option<Box<Frequent>>,
    /// Nothing while nobody answers in its stead.
    pub(crate) proxy: Option<Box<Proxy>>,
    /// Nothing while the tables are the node's own.
    pub(crate) ceded: Option<Box<Ceded>>,
}

/// Signatures verified in the current second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SignatureBudget {
    second: u32,
    spent: u32,
}

impl SignatureBudget {
    pub(crate) fn spend(&mut self, per_s: u32, now: Nanos) -> bool {
        if self.second != now.seconds() {
            *self = Self { second: now.seconds(), spent: 0 };
        }
        self.spent = self.spent.saturating_add(1);
        self.spent <= per_s
    }
}

impl Node {
    /// A node with id `id` that knows nobody, or one shard of it. All its randomness follows
    /// from `seed` and the shard's number; the shards of one node have one seed, so that
    /// each honours the cookies that another made.
    #[must_use]
    pub fn new(id: Id, config: Config, seed: [u8; 16], now: Now) -> Self {
        let mut common = Rng::from_seed(seed);
        let cookie_secret = common.secret();
        let spread_secret = common.next_u32();
        let mut own_seed = common.secret();
        own_seed[0] ^= config.shard;
        let mut rng = Rng::from_seed(own_seed);
        let config = config.share();
        let sharding = (config.shards > 1).then(|| {
            let spread = Spread::new(config.shards, spread_secret);
            Box::new(Sharding::new(id, config.shard, spread, config.table, rng.secret()))
        });
        let contacts = |wanted: bool| if wanted { usize::from(config.contacts_max) } else { 0 };
        let families = config.families;
        let hash_seed = [rng.next_u64(), rng.next_u64(), rng.next_u64(), rng.next_u64()];
        Self {
            id,
            tables: [
                Contacts::new(id, &config, contacts(families.v4)),
                Contacts::new(id, &config, contacts(families.v6)),
            ],
            store: Memory::new(config.store, id, hash_seed),
            cookies: Cookies::new(cookie_secret, now.mono),
            throttle: Throttle::new(&config.throttle, rng.secret()),
            requests: Requests::new(config.pending_max, config.shard),
            round_trips: RoundTrips::default(),
            operations: Operations::new(config.operations_max),
            events: VecDeque::new(),
            counters: Counters::default(),
            join: None,
            drain: None,
            probe_at: None,
            signatures: SignatureBudget::default(),
            observed: Observed::default(),
            sharding,
            parked: Parked::default(),
            jobs: Jobs::default(),
            silence: None,
            verify_before_s: None,
            refresh_at: NEVER,
            republish: None,
            handover: None,
            frequent: None,
            proxy: None,
            ceded: None,
            config,
            rng,
        }
    }

    /// Takes one datagram of UDP payload that came along `route`, and lays what it leads
    /// to into `out`. Hostile bytes are counted by their [`Refusal`] and dropped, or
    /// answered by a FAULT.
    ///
    /// O(k) and, for answers that move a lookup on, at most k requests sent.
    pub fn handle_datagram(&mut self, now: Now, route: &Route, bytes: &[u8], out: &mut dyn Outbox) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += bytes.len() as u64;
        if bytes.len() > kdht_wire::DATAGRAM_LEN_MAX {
            return self.counters.refuse(Refusal::Oversize);
        }
        if let Err(error) = self.config.keys.verify(bytes, now.unix_s) {
            return self.refuse_foreign(bytes, error);
        }
        match Message::parse(bytes) {
            Ok(message) => {
                self.heard(now);
                if message.head.is_reply() {
                    self.handle_reply(now, route, &message, bytes, out);
                } else {
                    self.handle_request(now, route, &message, bytes.len(), out);
                }
            }
            Err(error) => self.handle_unparsed(now, route, bytes, error, out),
        }
        self.send_jobs(now);
    }

    /// What is of another format is refused as that, whatever its MAC would be.
    #[cold]
    fn refuse_foreign(&mut self, bytes: &[u8], error: MacError) {
        let format = Outline::parse(bytes).map_err(Refusal::from);
        self.counters.refuse(format.err().unwrap_or(error.into()));
    }

    /// Refuses what is no message, and answers it if it was a request for all that can be told.
    #[cold]
    fn handle_unparsed(
        &mut self,
        now: Now,
        route: &Route,
        bytes: &[u8],
        error: ParseError,
        out: &mut dyn Outbox,
    ) {
        let outline = match Outline::parse(bytes) {
            Ok(outline) => outline,
            Err(error) => return self.counters.refuse(error.into()),
        };
        self.heard(now);
        self.counters.refuse(error.into());
        self.answer_unparsed(now, route, &outline, error, bytes.len(), out);
    }

    /// Whether [`Node::fetch`] is worth calling: a table is larger than the processor's own caches.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.tables.iter().any(Contacts::is_far)
    }

    /// `bytes` are a datagram that is handled when `before` others were, 3 first, then 2, then 1,
    /// as far as so many are there: where it asks for contacts, memory is asked for what its
    /// answer reads, a step each time.
    /// Changes nothing, and does nothing for a table that [`Node::is_far`] does not name.
    /// O(log contacts), no allocation.
    pub fn fetch(&self, before: usize, route: &Route, bytes: &[u8]) {
        let Ok((head, _)) = Head::ref_from_prefix(bytes) else { return };
        let kind = Kind::from_u8(head.kind);
        if matches!(kind, Some(Kind::FindNode | Kind::FindValue)) && !head.is_reply() {
            let table = &self.tables[usize::from(!route.peer.is_v4())];
            table.fetch(&head.target, usize::from(self.config.k), before);
        }
    }

    /// Does what is due at `now`. To be called when [`Node::poll_timeout`] says so, and
    /// harmless at any other time.
    pub fn handle_timeout(&mut self, now: Now, out: &mut dyn Outbox) {
        self.handle_due_requests(now, out);
        self.give_up_parked(now, out);
        self.give_up_recalls(now, out);
        self.continue_join(now, out);
        self.continue_drain(now, out);
        self.continue_silence(now, out);
        self.continue_refresh(now, out);
        self.continue_republish(now, out);
        self.continue_handover(now, out);
        self.maintain(now, out);
        self.send_jobs(now);
        self.forget_ends(now);
        self.release();
    }

    /// When [`Node::handle_timeout`] has something to do, at the earliest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Nanos> {
        let or_never = |at: Option<Nanos>| at.unwrap_or(NEVER);
        let expiry = self.store.next_expiry_s().map(|s| Nanos(0).plus_ms(s * 1_000));
        let soonest = [
            self.requests.next_due(),
            self.refresh_at,
            or_never(expiry),
            or_never(self.join.as_ref().and_then(|join| join.retry_at())),
            or_never(self.drain.as_ref().and_then(|drain| drain.next_at())),
            or_never(self.parked.next_due()),
            or_never(self.probe_at),
            or_never(self.silence.as_ref().map(|silence| silence.next_at())),
            or_never(self.republish.as_ref().map(|republish| republish.next_at())),
            or_never(self.handover.as_ref().map(|handover| handover.next_at())),
            or_never(self.frequent.as_ref().and_then(|frequent| frequent.next_at())),
            or_never(self.proxy.as_ref().and_then(|proxy| proxy.next_due())),
        ];
        Some(soonest.into_iter().fold(NEVER, Nanos::min)).filter(|at| *at != NEVER)
    }

    /// The next thing that the node has to say.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Begins a command; its report comes as an [`Event::Done`].
    ///
    /// # Errors
    /// [`CommandError`], and nothing was begun.
    pub fn begin(
        &mut self,
        now: Now,
        command: Command,
        out: &mut dyn Outbox,
    ) -> Result<OperationId, CommandError> {
        let begun = self.begin_command(now, command, out);
        self.send_jobs(now);
        begun
    }

    /// Enters the network through whichever of `bootstrap` answers, and tries again with
    /// growing pauses until one does. Ends in [`Event::Joined`]. Nothing where a proxy keeps
    /// the tables: it is the proxy that joins.
    pub fn join(&mut self, now: Now, bootstrap: &[Endpoint], out: &mut dyn Outbox) {
        if self.ceded.is_some() {
            return;
        }
        self.join = Some(Box::new(Join::new(bootstrap, now.mono)));
        self.continue_join(now, out);
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What its cookies follow from, and those of its other shards.
    #[must_use]
    pub fn cookie_secret(&self) -> [u8; 16] {
        self.cookies.master()
    }

    /// The first key behind `after` that values are held under, nearest to the own id first;
    /// nothing: the first of all. They may have expired.
    #[must_use]
    pub fn next_held_key(&self, after: Option<&Id>) -> Option<Id> {
        self.store.next_key(after)
    }

    /// Changes the network's keys from the next datagram on, in and out.
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.config.keys = keys;
        let caps = self.config.caps();
        self.tables.iter_mut().for_each(|table| table.set_caps(caps));
    }

    /// Changes what one source may ask: units a second, and units saved up. What a source
    /// has spent stays spent.
    pub fn set_allowance(&mut self, rate_per_s: u32, burst: u32) {
        let whole = ThrottleConfig { rate_per_s, burst, ..self.config.throttle };
        self.config.throttle = whole.share_of(self.config.shards);
        let ThrottleConfig { rate_per_s, burst, .. } = self.config.throttle;
        self.throttle.set_allowance(rate_per_s, burst);
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How full its routing tables are: IPv4, IPv6.
    #[must_use]
    pub fn fill(&self) -> [Fill; 2] {
        [self.tables[0].fill(), self.tables[1].fill()]
    }

    /// What its store holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Commands and recursions under way.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.count()
    }

    /// Contacts that may be told to others: what to persist for the next start. Of a wide
    /// table some, from everywhere in it.
    pub fn good_contacts(&self) -> impl Iterator<Item = Contact> {
        let some = |contacts: &Contacts| contacts.member_count().div_ceil(CONTACTS_KEPT).max(1);
        let members = self.tables.iter().flat_map(move |c| c.members().step_by(some(c)));
        let members = members.filter(Peer::is_good).map(|peer| peer.contact());
        // Every shard has a copy of them all.
        let ceded = self.ceded.iter().filter(|_| self.config.shard == 0);
        let ceded = ceded.flat_map(|ceded| ceded.replicas.iter().flat_map(Replica::iter));
        let good = ceded.filter(|(_, liveness)| *liveness == Liveness::Good);
        members.chain(good.map(|(contact, _)| contact))
    }

    /// Every member of both tables.
    pub fn members(&self) -> impl Iterator<Item = Peer> {
        self.tables.iter().flat_map(Contacts::members)
    }

    /// How many leading bits the ids in a member's bucket share.
    #[must_use]
    pub fn bucket_depth(&self, member: &Peer) -> u8 {
        self.tables[usize::from(!member.endpoint.is_v4())].bucket_depth(&member.id)
    }

    /// Gives back what a burst of lookups took, once all is quiet: simulations hold a
    /// million nodes, and each is quiet most of the time.
    fn release(&mut self) {
        self.requests.release();
        self.operations.release();
        self.parked.release();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// Says something, unless nobody has listened for long.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    pub(crate) fn table_of(&mut self, endpoint: &Endpoint) -> &mut Contacts {
        &mut self.tables[usize::from(!endpoint.is_v4())]
    }

    pub(crate) fn has_family_of(&self, endpoint: &Endpoint) -> bool {
        let families = self.config.families;
        if endpoint.is_v4() { families.v4 } else { families.v6 }
    }

    /// The closest good contacts of one family, whichever shard owns them.
    pub(crate) fn closest_good(&self, family: usize, target: &Id, k: usize, but: &Id) -> Closest {
        let (sharding, ceded) = (self.sharding.as_deref(), self.ceded.as_deref());
        Known { tables: &self.tables, sharding, ceded, k }.closest(family, target, but)
    }

    /// The contacts that a lookup of `target` begins with.
    pub(crate) fn candidates(&self, target: &Id) -> Closest {
        let k = usize::from(self.config.k);
        if let Some(ceded) = &self.ceded {
            let of = |family: usize| ceded.replicas[family].candidates(target, k);
            return of(0).merge(&of(1), target, k);
        }
        let of = |family: usize| match &self.sharding {
            None => self.tables[family].candidates(target, k),
            Some(sharding) => sharding.candidates(family, &self.tables[family], target, k),
        };
        of(0).merge(&of(1), target, k)
    }
}
