//! The thread's loop: what is ready, what shards want, what is overdue.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use kdht_core::{Local, NS_PER_MS, NS_PER_S, StreamAsk, StreamCheck, StreamServed, seal};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint, KeyRing};

use super::StreamOptions;
use super::connection::{Connection, Progress, Role, State};
use super::counters::{Cut, StreamCounters};
use super::groups::{Groups, group_of};
use super::mail::{Mail, Pooled, StreamAnswer, StreamEnd, StreamMessage};
use super::pool::Pool;
use crate::io::{Interest, Moment, Poller, Readiness, Wakeup, begin_connection};
use crate::node_handle::NodeHandle;

/// Names of descriptors that are no connections; those count up from 0.
const WAKEUP: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 16;
/// Connections accepted before others have their turn.
const ACCEPT_BATCH: usize = 32;
/// Pause after a connection could not be accepted, such as at the limit of descriptors.
const ACCEPT_PAUSE_NS: u64 = 100 * NS_PER_MS;
/// Letters taken before sockets have their turn.
const MAIL_BATCH: usize = 64;

/// One node's streams.
pub(super) struct Carrier {
    node: NodeHandle,
    listeners: Vec<TcpListener>,
    keys: KeyRing,
    options: StreamOptions,
    counters: Arc<StreamCounters>,
    poller: Poller,
    pool: Pool,
    groups: Groups,
    connections: HashMap<u64, Connection>,
    /// Those of others.
    serving: usize,
    /// When each is cut.
    due: BTreeSet<(u64, u64)>,
    /// Those that wait for a buffer, the longest waiting first; some may be gone.
    waiting: VecDeque<u64>,
    next_name: u64,
    /// STOREs taken in this second of the monotonic clock.
    stores: (u64, u32),
    /// Listeners rest until then.
    rest_until_ns: Option<u64>,
    now_ns: u64,
}

/// A carrier that hears from its shards.
pub(super) struct Watching {
    carrier: Carrier,
    wakeup: Wakeup,
    mail: Receiver<Mail>,
}

impl Carrier {
    pub(super) fn new(
        node: NodeHandle,
        listeners: Vec<TcpListener>,
        keys: KeyRing,
        options: StreamOptions,
        counters: Arc<StreamCounters>,
    ) -> std::io::Result<Self> {
        let poller = Poller::new()?;
        for (listener, token) in listeners.iter().zip(LISTENERS..) {
            poller.add(listener, token, Interest::Read)?;
        }
        Ok(Self {
            node,
            listeners,
            keys,
            options,
            pool: Pool::new(options.buffers_max, counters.clone()),
            counters,
            poller,
            groups: Groups::default(),
            connections: HashMap::new(),
            serving: 0,
            due: BTreeSet::new(),
            waiting: VecDeque::new(),
            next_name: 0,
            stores: (0, 0),
            rest_until_ns: None,
            now_ns: 0,
        })
    }

    pub(super) fn watching(
        self,
        wakeup: Wakeup,
        mail: Receiver<Mail>,
    ) -> std::io::Result<Watching> {
        self.poller.add(&**wakeup.fd(), WAKEUP, Interest::Read)?;
        Ok(Watching { carrier: self, wakeup, mail })
    }
}

impl Watching {
    /// Carries until it is told to stop.
    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let wait =
                if self.mail.is_empty() { self.carrier.wait() } else { Some(Duration::ZERO) };
            if let Err(error) = self.carrier.poller.wait(wait, &mut ready) {
                tracing::error!(%error, "the host refuses to wait for sockets; TCP is not served");
                return;
            }
            self.carrier.now_ns = Moment::now().monotonic_ns;
            for one in &ready {
                match one.token {
                    WAKEUP => {
                        self.wakeup.clear();
                    }
                    LISTENERS.. => self.carrier.accept(one.token),
                    _ => self.carrier.move_on(*one),
                }
            }
            for letter in self.mail.try_iter().take(MAIL_BATCH) {
                if let Mail::Stop = letter {
                    return;
                }
                self.carrier.open(letter);
            }
            self.carrier.cut_overdue();
            self.carrier.lend_buffers();
        }
    }
}

impl Carrier {
    /// How long nothing is due.
    fn wait(&self) -> Option<Duration> {
        let first = self.due.first().map(|(at, _)| *at);
        let next = [first, self.rest_until_ns].into_iter().flatten().min()?;
        // A deadline is over a little after it, not before.
        Some(Duration::from_nanos(next.saturating_sub(Moment::now().monotonic_ns) + NS_PER_MS))
    }

    fn accept(&mut self, token: u64) {
        let listener = usize::try_from(token - LISTENERS).ok();
        for _ in 0..ACCEPT_BATCH {
            let listener = listener.and_then(|at| self.listeners.get(at));
            let Some(listener) = listener else { return };
            match listener.accept() {
                Ok((stream, addr)) => {
                    self.counters.accepted.add(1);
                    self.admit(stream, addr.into());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // What waits stays with the kernel, and would be told again at once.
                    self.counters.accept_errors.add(1);
                    self.rest_until_ns = Some(self.now_ns + ACCEPT_PAUSE_NS);
                    return self.watch_listeners(Interest::Nothing);
                }
            }
        }
    }

    fn watch_listeners(&self, interest: Interest) {
        for (listener, token) in self.listeners.iter().zip(LISTENERS..) {
            let _ = self.poller.change(listener, token, interest);
        }
    }

    fn admit(&mut self, stream: std::net::TcpStream, peer: Endpoint) {
        if self.serving >= self.options.connections_max {
            return self.counters.cut(Cut::Full);
        }
        let group = group_of(&peer, self.keys.is_keyed());
        if let Some(group) = group
            && !self.groups.enter(group, self.options.group_connections_max)
        {
            return self.counters.cut(Cut::GroupFull);
        }
        let local = stream.local_addr().map(|addr| Endpoint::from(addr).ip).unwrap_or_default();
        let is_ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        let local = Local { ip: local, socket: 0 };
        let mut connection = Connection::new(stream, peer, local, Role::Serving);
        connection.group = group;
        self.serving += 1;
        self.counters.connections.set(self.serving);
        let name = self.hold(connection, Interest::Read, self.options.idle_ms);
        if is_ready.is_err() {
            self.cut(name, Some(Cut::Broken));
        }
    }

    /// Takes a connection in, under a name of its own.
    fn hold(&mut self, mut connection: Connection, interest: Interest, ms: u64) -> u64 {
        let name = self.next_name;
        self.next_name += 1;
        connection.due_ns = self.now_ns + ms * NS_PER_MS;
        self.due.insert((connection.due_ns, name));
        let is_watched = self.poller.add(&connection.stream, name, interest).is_ok();
        self.connections.insert(name, connection);
        if !is_watched {
            self.cut(name, Some(Cut::Broken));
        }
        name
    }

    /// A socket has something to tell.
    fn move_on(&mut self, ready: Readiness) {
        let name = ready.token;
        let Some(connection) = self.connections.get_mut(&name) else { return };
        match connection.state {
            State::Connecting => match connection.stream.take_error() {
                Ok(None) if !ready.is_broken => {
                    connection.write_anew();
                    self.write(name);
                }
                _ => self.cut(name, Some(Cut::Broken)),
            },
            State::Reading => self.read(name),
            State::Writing => self.write(name),
            State::ReadBuffer | State::ReplyBuffer | State::Shard => {
                self.cut(name, Some(Cut::Broken));
            }
        }
    }

    fn read(&mut self, name: u64) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        let had_begun = connection.has_begun();
        let counters = &self.counters;
        let progress =
            connection.read(self.keys.is_keyed(), |len| counters.bytes_in.add(len as u64));
        let has_begun = connection.has_begun();
        if !had_begun && has_begun && matches!(connection.role, Role::Serving) {
            self.set_due(name, self.options.message_ms);
        }
        match progress {
            Progress::Pending => {}
            Progress::Large => self.wait_for_buffer(name, State::ReadBuffer),
            Progress::Done => {
                self.counters.messages_in.add(1);
                self.whole(name);
            }
            Progress::Ended => self.cut(name, None),
            Progress::Cut(cut) => self.cut(name, Some(cut)),
        }
    }

    /// A message is whole: hands it to the shard.
    fn whole(&mut self, name: u64) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        match connection.role {
            Role::Asking { tx_id } => {
                let endpoint = connection.peer;
                let (bytes, is_pooled) = connection.take_message();
                let check = StreamCheck::of(&bytes, &self.keys, Moment::now().unix_s);
                let reply = Some((bytes, check));
                let end = StreamEnd { endpoint, tx_id, reply, is_pooled };
                self.let_go(name);
                if self.node.end_stream(end).is_err() {
                    self.counters.asks_failed.add(1);
                    if is_pooled {
                        self.pool.give(Vec::new());
                    }
                }
            }
            Role::Serving if connection.may_draw_much() => {
                self.wait_for_buffer(name, State::ReplyBuffer);
            }
            Role::Serving => {
                if connection.is_store() && !self.may_store() {
                    return self.cut(name, Some(Cut::Busy));
                }
                self.serve(name, None);
            }
        }
    }

    /// Counts one more STORE, unless there were too many in this second.
    fn may_store(&mut self) -> bool {
        let second = self.now_ns / NS_PER_S;
        if self.stores.0 != second {
            self.stores = (second, 0);
        }
        self.stores.1 = self.stores.1.saturating_add(1);
        self.stores.1 <= self.options.stores_per_s
    }

    fn wait_for_buffer(&mut self, name: u64, state: State) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        connection.state = state;
        let _ = self.poller.change(&connection.stream, name, Interest::Nothing);
        self.waiting.push_back(name);
    }

    /// Gives buffers to those that have waited longest.
    fn lend_buffers(&mut self) {
        while let Some(name) = self.waiting.front().copied() {
            let state = self.connections.get(&name).map(|connection| connection.state);
            let Some(state @ (State::ReadBuffer | State::ReplyBuffer)) = state else {
                self.waiting.pop_front();
                continue;
            };
            let Some(buffer) = self.pool.take() else { return };
            self.waiting.pop_front();
            if state == State::ReplyBuffer {
                self.serve(name, Some(buffer));
            } else if let Some(connection) = self.connections.get_mut(&name) {
                connection.read_into(buffer);
                let _ = self.poller.change(&connection.stream, name, Interest::Read);
            }
        }
    }

    /// Hands a request to its shard, with a buffer for a large reply.
    fn serve(&mut self, name: u64, buffer: Option<Vec<u8>>) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        let (bytes, is_pooled) = connection.take_message();
        let pooled = match (is_pooled, &buffer) {
            (true, _) => Pooled::Request,
            (false, Some(_)) => Pooled::Reply,
            (false, None) => Pooled::Neither,
        };
        let check = StreamCheck::of(&bytes, &self.keys, Moment::now().unix_s);
        let target = connection.target();
        let (peer, local, reply) = (connection.peer, connection.local, buffer.unwrap_or_default());
        connection.state = State::Shard;
        let _ = self.poller.change(&connection.stream, name, Interest::Nothing);
        self.set_due(name, self.options.answer_ms);
        let message = StreamMessage { stream: name, peer, local, bytes, check, reply, pooled };
        if self.node.serve_stream(&target, message).is_err() {
            if pooled != Pooled::Neither {
                self.pool.give(Vec::new());
            }
            self.cut(name, Some(Cut::Overrun));
        }
    }

    /// Takes what a shard wants.
    fn open(&mut self, letter: Mail) {
        match letter {
            Mail::Ask(ask) => self.ask(ask),
            Mail::Answer(answer) => self.answered(answer),
            Mail::Reply(name, bytes) => self.reply(name, bytes, false),
            Mail::Buffer(buffer) => self.pool.give(buffer),
            Mail::Keys(keys) => self.keys = keys,
            // Looked for before.
            Mail::Stop => {}
        }
    }

    fn answered(&mut self, answer: StreamAnswer) {
        let StreamAnswer { stream: name, served, bytes, mut reply, pooled } = answer;
        if pooled == Pooled::Request {
            self.pool.give(bytes);
        }
        let waits = self.connections.get(&name).is_some_and(|c| c.state == State::Shard);
        let is_pooled = pooled == Pooled::Reply;
        match served {
            StreamServed::Answered if waits && is_pooled && reply.len() > DATAGRAM_LEN_MAX => {
                self.reply(name, reply, true);
            }
            StreamServed::Answered if waits => {
                let small = if is_pooled { reply.clone() } else { std::mem::take(&mut reply) };
                self.reply(name, small, false);
                if is_pooled {
                    self.pool.give(reply);
                }
            }
            StreamServed::Later if waits && is_pooled => {
                // What comes later is as large, and stands for this one.
                if let Some(connection) = self.connections.get_mut(&name) {
                    (connection.large, connection.is_pooled) = (reply, true);
                }
            }
            StreamServed::Refused if waits => {
                if is_pooled {
                    self.pool.give(reply);
                }
                self.cut(name, Some(Cut::Refused));
            }
            _ if is_pooled => self.pool.give(reply),
            _ => {}
        }
    }

    /// Begins to write a reply. With `is_pooled` its buffer is one of the pool's.
    fn reply(&mut self, name: u64, mut bytes: Vec<u8>, is_pooled: bool) {
        let waiting = self.connections.get_mut(&name).filter(|c| c.state == State::Shard);
        let Some(connection) = waiting else {
            if is_pooled {
                self.pool.give(bytes);
            }
            return;
        };
        seal(&mut bytes, &self.keys);
        connection.large = bytes;
        connection.is_pooled |= is_pooled;
        connection.write_anew();
        self.set_due(name, self.options.message_ms);
        self.write(name);
    }

    fn write(&mut self, name: u64) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        let counters = &self.counters;
        match connection.write(|len| counters.bytes_out.add(len as u64)) {
            Progress::Done => {
                self.counters.messages_out.add(1);
                let buffer = std::mem::take(&mut connection.large);
                if std::mem::take(&mut connection.is_pooled) {
                    self.pool.give(buffer);
                }
                connection.read_anew();
                let _ = self.poller.change(&connection.stream, name, Interest::Read);
                if matches!(connection.role, Role::Serving) {
                    self.set_due(name, self.options.idle_ms);
                }
            }
            Progress::Cut(cut) => self.cut(name, Some(cut)),
            _ => {
                let _ = self.poller.change(&connection.stream, name, Interest::Write);
            }
        }
    }

    /// Sends a request of a shard's, on a connection of its own.
    fn ask(&mut self, ask: StreamAsk) {
        let StreamAsk { tx_id, endpoint, mut bytes, patience_ms } = ask;
        self.counters.asks.add(1);
        let Ok(stream) = begin_connection(endpoint.socket_addr()) else {
            return self.ask_failed(endpoint, tx_id);
        };
        let _ = stream.set_nodelay(true);
        seal(&mut bytes, &self.keys);
        let local = Local::default();
        let mut connection = Connection::new(stream, endpoint, local, Role::Asking { tx_id });
        connection.state = State::Connecting;
        connection.large = bytes;
        self.hold(connection, Interest::Write, u64::from(patience_ms));
    }

    fn ask_failed(&mut self, endpoint: Endpoint, tx_id: u64) {
        self.counters.asks_failed.add(1);
        // If even that does not reach the node, its own deadline does.
        let _ = self.node.end_stream(StreamEnd { endpoint, tx_id, reply: None, is_pooled: false });
    }

    fn set_due(&mut self, name: u64, ms: u64) {
        let Some(connection) = self.connections.get_mut(&name) else { return };
        self.due.remove(&(connection.due_ns, name));
        connection.due_ns = self.now_ns + ms * NS_PER_MS;
        self.due.insert((connection.due_ns, name));
    }

    fn cut_overdue(&mut self) {
        if self.rest_until_ns.is_some_and(|at| at <= self.now_ns) {
            self.rest_until_ns = None;
            self.watch_listeners(Interest::Read);
        }
        while let Some((at, name)) = self.due.first().copied() {
            if at > self.now_ns {
                return;
            }
            let Some(connection) = self.connections.get(&name) else {
                self.due.remove(&(at, name));
                continue;
            };
            let cut = match connection.state {
                State::Reading if !connection.has_begun() => Cut::Idle,
                State::Connecting | State::Reading => Cut::Slow,
                State::ReadBuffer | State::ReplyBuffer => Cut::NoBuffer,
                State::Shard => Cut::Unanswered,
                State::Writing => Cut::Unread,
            };
            self.cut(name, Some(cut));
        }
    }

    /// Ends a connection. What was asked by it has failed.
    fn cut(&mut self, name: u64, cut: Option<Cut>) {
        let Some(connection) = self.let_go(name) else { return };
        match connection.role {
            Role::Serving => {
                if let Some(cut) = cut {
                    self.counters.cut(cut);
                }
            }
            Role::Asking { tx_id } => self.ask_failed(connection.peer, tx_id),
        }
    }

    /// Forgets a connection and takes its buffer back.
    fn let_go(&mut self, name: u64) -> Option<Connection> {
        let mut connection = self.connections.remove(&name)?;
        self.due.remove(&(connection.due_ns, name));
        if std::mem::take(&mut connection.is_pooled) {
            self.pool.give(std::mem::take(&mut connection.large));
        }
        if let Role::Serving = connection.role {
            self.serving -= 1;
            self.counters.connections.set(self.serving);
            if let Some(group) = &connection.group {
                self.groups.leave(group);
            }
        }
        Some(connection)
    }
}
