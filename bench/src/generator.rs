//! The load: requests in flight, open or closed loop, and what became of them.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use kdht::io::Waiter;
use kdht_wire::{Endpoint, Id};
use rustix::time::{ClockId, clock_gettime};

use crate::draw::{Arrivals, Draw};
use crate::hdr;
use crate::link::Link;
use crate::now_ns;
use crate::oracle::{Oracle, Wrong};
use crate::protocol::{Ask, Kind, Protocol};
use crate::slots::{Flight, Slots};
use crate::workload::{Mix, Targets};

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: so many in flight at all times.
    Window(usize),
    /// Open loop: so many a second on average, by a Poisson process, whatever comes back.
    Rate(f64),
}

/// What the generator does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Wait {
    /// Look again: its own wake-up is no part of any latency.
    #[default]
    Busy,
    /// Sleep until a reply comes or a request is due.
    Block,
}

/// What stays the same from one run of a generator to the next.
#[derive(Debug)]
pub struct Plan {
    /// Proportions of the kinds.
    pub mix: Mix,
    /// What FIND_NODE, and FIND_VALUE without values, ask about.
    pub targets: Targets,
    /// Keys under which values are held; may be empty.
    pub values: Targets,
    /// Pad requests to so many bytes.
    pub request_len_min: usize,
    /// A request unanswered for so long is lost.
    pub timeout_ns: u64,
    /// Look closely at every so many replies; zero: at none.
    pub check_every: u64,
    /// What all draws follow from.
    pub seed: u64,
    /// What to do in between.
    pub wait: Wait,
}

impl Plan {
    fn targets_of(&self, kind: Kind) -> &Targets {
        let has_values = kind == Kind::FindValue && !self.values.is_empty();
        if has_values { &self.values } else { &self.targets }
    }
}

/// What became of the requests of one run.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests sent.
    pub sent: u64,
    /// Replies in time that are no refusals.
    pub answered: u64,
    /// Refusals.
    pub refused: u64,
    /// Requests unanswered until their timeout.
    pub lost: u64,
    /// Replies that are wrong; one voids the run.
    pub wrong: u64,
    /// Replies that were looked at closely.
    pub checked: u64,
    /// Requests due that found no slot free (open loop).
    pub unsent: u64,
    /// Datagrams that answer nothing in flight: late or foreign.
    pub strays: u64,
    /// Bytes of payload in replies that answer.
    pub bytes_in: u64,
    /// How long the run took.
    pub wall_ns: u64,
    /// Time in turns that moved a datagram.
    pub useful_ns: u64,
    /// CPU time of the generator's thread.
    pub cpu_ns: u64,
    /// From the intended sending to the reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// The first wrong reply.
    pub first_wrong: Option<Wrong>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            sent: 0,
            answered: 0,
            refused: 0,
            lost: 0,
            wrong: 0,
            checked: 0,
            unsent: 0,
            strays: 0,
            bytes_in: 0,
            wall_ns: 0,
            useful_ns: 0,
            cpu_ns: 0,
            latency: hdr::histogram(),
            first_wrong: None,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts and times of a run fit a double")]
impl Tally {
    /// Replies a second.
    #[must_use]
    pub fn rate_per_s(&self) -> f64 {
        self.answered as f64 * 1e9 / self.wall_ns.max(1) as f64
    }

    /// Requests a second.
    #[must_use]
    pub fn sent_per_s(&self) -> f64 {
        self.sent as f64 * 1e9 / self.wall_ns.max(1) as f64
    }

    /// The part of the time in which the generator moved datagrams.
    #[must_use]
    pub fn busy(&self) -> f64 {
        self.useful_ns as f64 / self.wall_ns.max(1) as f64
    }

    /// The part of the time in which the generator had a CPU.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.cpu_ns as f64 / self.wall_ns.max(1) as f64
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.refused += other.refused;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.checked += other.checked;
        self.unsent += other.unsent;
        self.strays += other.strays;
        self.bytes_in += other.bytes_in;
        self.wall_ns += other.wall_ns;
        self.useful_ns += other.useful_ns;
        self.cpu_ns += other.cpu_ns;
        // Both hold the same range, so there is nothing that one cannot take.
        let _ = self.latency.add(&other.latency);
        self.first_wrong = self.first_wrong.clone().or_else(|| other.first_wrong.clone());
    }

    /// A reply was held against the oracle.
    fn check(&mut self, found: Result<(), Wrong>) {
        self.checked += 1;
        if let Err(wrong) = found {
            self.wrong(wrong);
        }
    }

    fn wrong(&mut self, wrong: Wrong) {
        self.wrong += 1;
        self.first_wrong.get_or_insert(wrong);
    }
}

/// Loads one peer. Used by one thread, pinned by its owner.
pub struct Generator {
    link: Link,
    peer: Endpoint,
    protocol: Box<dyn Protocol>,
    plan: Plan,
    oracle: Option<Oracle>,
    slots: Slots,
    cookies: Vec<u64>,
    draw: Draw,
    next_source: usize,
    replies: u64,
    /// The length of the last reply looked at.
    reply_len: usize,
    /// Replies that are still to be held against the oracle.
    due: Vec<Due>,
}

/// A reply that is to be held against the oracle.
struct Due {
    kind: Kind,
    target: Id,
    bytes: Vec<u8>,
}

/// Most replies set aside to be checked; further ones are checked while the load runs.
const DUE_MAX: usize = 4_096;
/// Pause between two greetings of sources that have not been answered.
const HELLO_PAUSE: Duration = Duration::from_millis(20);
/// Greetings of one round: no more than the smallest receive buffers hold.
const HELLO_BATCH: usize = 64;

impl Generator {
    /// A generator with at most `in_flight_max` requests in flight.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        link: Link,
        protocol: Box<dyn Protocol>,
        plan: Plan,
        in_flight_max: usize,
    ) -> Self {
        Self {
            peer: Endpoint::from(peer),
            cookies: vec![0; link.sources()],
            draw: Draw::new(plan.seed),
            slots: Slots::new(in_flight_max, protocol.tx_bits()),
            next_source: 0,
            replies: 0,
            reply_len: 0,
            due: Vec::new(),
            oracle: None,
            link,
            protocol,
            plan,
        }
    }

    /// What right answers are held against from now on.
    pub fn set_oracle(&mut self, oracle: Option<Oracle>) {
        self.oracle = oracle;
    }

    /// Has right answers held against `table` from now on, and says whether they already were.
    pub fn renew_oracle(&mut self, table: Oracle) -> bool {
        let is_same = self.oracle.as_ref().is_some_and(|oracle| oracle.is_same(&table));
        self.oracle = Some(table);
        is_same
    }

    /// Forgets the replies that were set aside.
    pub fn forget_due(&mut self) {
        self.due.clear();
    }

    /// What is done from now on while nothing comes.
    pub fn set_wait(&mut self, wait: Wait) {
        self.plan.wait = wait;
    }

    /// What is asked from now on for FIND_VALUE.
    pub fn set_values(&mut self, values: Targets) {
        self.plan.values = values;
    }

    /// The cookie of the first source; zero before the first reply.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookies[0]
    }

    /// The first source's sockets.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The length of the last reply that was no refusal, in bytes.
    #[must_use]
    pub fn reply_len(&self) -> usize {
        self.reply_len
    }

    /// Greets the peer from every source until it answered each, so that each has its cookie.
    ///
    /// # Errors
    /// How many sources had no answer in time.
    pub fn greet(&mut self, patience: Duration) -> Result<(), String> {
        let deadline_ns = now_ns() + u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        let mut greeted = vec![false; self.link.sources()];
        while now_ns() < deadline_ns {
            let missing = (0..greeted.len()).filter(|source| !greeted[*source]);
            let missing: Vec<usize> = missing.take(HELLO_BATCH).collect();
            if missing.is_empty() {
                return Ok(());
            }
            for source in missing {
                // The top of a transaction id is free: the source's number stands there.
                let tx_id = u64::try_from(source).unwrap_or(0);
                let ask = Ask { kind: Kind::Ping, tx_id, cookie: 0, target: &Id::ZERO, len_min: 0 };
                let protocol = &self.protocol;
                self.link.send(source, |out| protocol.request(out, &ask));
            }
            self.link.flush();
            std::thread::sleep(HELLO_PAUSE);
            while self.link.receive().datagram_count > 0 {
                for datagram in self.link.batch() {
                    let Some(reply) = self.protocol.reply(datagram.bytes) else { continue };
                    let Ok(source) = usize::try_from(reply.tx_id) else { continue };
                    if source < greeted.len() && datagram.route.peer == self.peer {
                        greeted[source] = true;
                        self.cookies[source] = reply.cookie;
                    }
                }
            }
        }
        let silent = greeted.iter().filter(|greeted| !**greeted).count();
        let peer = self.peer;
        Err(format!("{peer} did not answer {silent} of {} sources", greeted.len()))
    }

    /// The length that all requests of the mix have when padded to the longest.
    #[must_use]
    pub fn padded_len(&self) -> usize {
        let len = |kind: Kind| {
            let mut out = [0; kdht_wire::DATAGRAM_LEN_MAX];
            let cookie = self.cookies[0].max(1);
            let ask = Ask {
                kind,
                tx_id: 1,
                cookie,
                target: &Id::ZERO,
                len_min: self.plan.request_len_min,
            };
            self.protocol.request(&mut out, &ask)
        };
        Kind::ALL.into_iter().filter(|kind| self.plan.mix.has(*kind)).map(len).max().unwrap_or(0)
    }

    /// From now on requests of all kinds have one length, as those must that leave as one.
    pub fn pad(&mut self) {
        self.plan.request_len_min = self.padded_len();
    }

    /// Forgets what is in flight; replies to it count as strays.
    pub fn forget(&mut self) {
        while self.slots.expire(u64::MAX).is_some() {}
    }

    /// Loads the peer for `duration`, or until `stop` says so (asked about every 10 ms).
    /// Requests in flight at the end are neither answered nor lost; they are those in flight at
    /// the next run's beginning, unless forgotten. What is to be held against the oracle is set
    /// aside, since a sort of a large table takes longer than thousands of replies:
    /// [`Generator::check_due`] does it.
    pub fn run(
        &mut self,
        pace: Pace,
        duration: Duration,
        mut stop: impl FnMut(&Tally) -> bool,
    ) -> Tally {
        let mut tally = Tally::default();
        let start_ns = now_ns();
        let end_ns =
            start_ns.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let mut arrivals = match pace {
            Pace::Rate(rate) => Some(Arrivals::new(self.draw.next_u64(), rate, start_ns)),
            Pace::Window(_) => None,
        };
        let mut waiter = Waiter::new(self.link.fds());
        let cpu_before_ns = thread_cpu_ns();
        let mut now = start_ns;
        let mut look_at_ns = now;
        while now < end_ns {
            let received = self.link.receive();
            if received.datagram_count > 0 {
                self.take_replies(&mut tally);
            }
            while self.slots.expire(now.saturating_sub(self.plan.timeout_ns)).is_some() {
                tally.lost += 1;
            }
            let sent_before = tally.sent;
            // What reading replies took is no part of the next requests' latency.
            let sent_at_ns = if received.datagram_count > 0 { now_ns() } else { now };
            match (pace, &mut arrivals) {
                (Pace::Window(window), _) => self.fill_window(window, sent_at_ns, &mut tally),
                (Pace::Rate(_), Some(arrivals)) => self.send_due(arrivals, now, &mut tally),
                (Pace::Rate(_), None) => {}
            }
            self.link.flush();
            let after = now_ns();
            if received.datagram_count > 0 || tally.sent > sent_before {
                tally.useful_ns += after - now;
            } else if self.plan.wait == Wait::Block {
                let due_ns = arrivals.as_ref().map_or(after + 10_000_000, Arrivals::due_ns);
                let wait_ns = due_ns.saturating_sub(after).min(10_000_000);
                let _ = waiter.wait(Some(Duration::from_nanos(wait_ns)));
            } else {
                std::hint::spin_loop();
            }
            now = now_ns();
            if now >= look_at_ns {
                look_at_ns = now + 10_000_000;
                tally.wall_ns = now - start_ns;
                if stop(&tally) {
                    break;
                }
            }
        }
        tally.wall_ns = now_ns() - start_ns;
        tally.cpu_ns = thread_cpu_ns().saturating_sub(cpu_before_ns);
        tally
    }

    /// Checks the replies that were set aside, and enters the outcome in `tally`.
    pub fn check_due(&mut self, tally: &mut Tally) {
        for Due { kind, target, bytes } in std::mem::take(&mut self.due) {
            let found = self.protocol.check(kind, &target, &bytes, self.oracle.as_ref());
            tally.check(found);
        }
    }

    /// Sends what the window has room for, but not a few at a time: many in one call cost
    /// less, and the window is there so that some may wait.
    fn fill_window(&mut self, window: usize, now: u64, tally: &mut Tally) {
        let room = window.saturating_sub(self.slots.used());
        if room < (window / 8).max(1) {
            return;
        }
        for _ in 0..room {
            self.send_one(now, now, tally);
        }
    }

    fn send_due(&mut self, arrivals: &mut Arrivals, now: u64, tally: &mut Tally) {
        // What is due later than this batch is sent by the next turn, which first receives.
        for _ in 0..64 {
            let due_ns = arrivals.due_ns();
            if due_ns > now {
                return;
            }
            self.send_one(due_ns, now, tally);
            arrivals.step();
        }
    }

    fn send_one(&mut self, intended_ns: u64, now: u64, tally: &mut Tally) {
        let kind = self.plan.mix.draw(&mut self.draw);
        let Self { plan, draw, .. } = self;
        let target = plan.targets_of(kind).draw(draw);
        let source = self.next_source;
        self.next_source = if source + 1 == self.link.sources() { 0 } else { source + 1 };
        let flight = Flight {
            intended_ns,
            sent_ns: now,
            target,
            source: u16::try_from(source).unwrap_or(0),
            kind: kind as u8,
        };
        let Some(tx_id) = self.slots.take(flight) else {
            tally.unsent += 1;
            return;
        };
        let ask = Ask {
            kind,
            tx_id,
            cookie: self.cookies[source],
            target: self.plan.targets_of(kind).id(target),
            len_min: self.plan.request_len_min,
        };
        let protocol = &self.protocol;
        self.link.send(source, |out| protocol.request(out, &ask));
        tally.sent += 1;
    }

    fn take_replies(&mut self, tally: &mut Tally) {
        let now = now_ns();
        let Self { link, protocol, slots, plan, cookies, oracle, due, .. } = self;
        for datagram in link.batch() {
            let reply = protocol.reply(datagram.bytes).filter(|_| datagram.route.peer == self.peer);
            let settled = reply.and_then(|reply| Some((reply, slots.settle(reply.tx_id)?)));
            let Some((reply, flight)) = settled else {
                tally.strays += 1;
                continue;
            };
            if reply.cookie != 0 {
                cookies[usize::from(flight.source)] = reply.cookie;
            }
            if reply.is_refusal {
                tally.refused += 1;
                continue;
            }
            let kind = Kind::ALL[usize::from(flight.kind)];
            let target = plan.targets_of(kind).id(flight.target);
            tally.answered += 1;
            tally.bytes_in += datagram.bytes.len() as u64;
            hdr::record(&mut tally.latency, now.saturating_sub(flight.intended_ns));
            self.reply_len = datagram.bytes.len();
            self.replies += 1;
            let mut found = Ok(());
            if reply.kind.is_some_and(|told| told != kind) {
                found = Err(Wrong::Message);
            } else if reply.target.is_some_and(|told| told != *target) {
                found = Err(Wrong::Target);
            } else if kind == Kind::FindNode && reply.contacts == Some(0) {
                found = Err(Wrong::Count { have: 0, need: 1 });
            } else if plan.check_every > 0 && self.replies.is_multiple_of(plan.check_every) {
                if due.len() < DUE_MAX {
                    due.push(Due { kind, target: *target, bytes: datagram.bytes.to_vec() });
                } else {
                    tally.check(protocol.check(kind, target, datagram.bytes, oracle.as_ref()));
                }
            }
            if let Err(wrong) = found {
                tally.wrong(wrong);
            }
        }
    }
}

/// CPU time of the calling thread, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
