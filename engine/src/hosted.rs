//! A node as its host runs it: the core's calls, and around them what the core must not
//! know of.

use std::ops::Deref;

use kdht_core::{
    Addressee, Answer, Command, CommandError, Config, Event, Home, Lent, Liveness, Node, Note, Now,
    OperationId, Outbox, Peer, Recall, Route, StreamCheck, StreamRequest, StreamServed, Tiding,
    Verdict, VerifyJob,
};
use kdht_wire::{Contact, Endpoint, Id, KeyRing};

use crate::json_debug::{self, JsonDebug};
use crate::record::{RecordError, RecordOptions, Recorded};

/// What a host does with a node beside running it.
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    /// Serve JSON datagrams, too (FORMAT.md §12).
    pub json_debug: bool,
    /// Record all that goes in; each of several shards into a file of its own.
    pub record: Option<RecordOptions>,
}

impl Hosting {
    /// A node that is hosted so. Of several shards it is number `config.shard`.
    ///
    /// # Errors
    /// [`RecordError`] if it is to be recorded, and the file cannot be made.
    pub fn host(
        &self,
        id: Id,
        config: Config,
        seed: [u8; 16],
        now: Now,
    ) -> Result<Hosted, RecordError> {
        let node = match &self.record {
            None => Node::new(id, config, seed, now).into(),
            Some(options) => {
                let options = options.of_shard(config.shard.into(), config.shards.into());
                Recorded::new(id, config, seed, now, &options)?
            }
        };
        Ok(Hosted { node, json: self.json_debug.then(Box::default) })
    }
}

/// A node, and what its host does with what goes into it and comes out of it.
///
/// What only reads is the node's own; what moves it stands here, call by call.
#[derive(Debug)]
pub struct Hosted {
    node: Recorded,
    /// Where JSON datagrams are served.
    json: Option<Box<JsonDebug>>,
}

impl From<Node> for Hosted {
    fn from(node: Node) -> Self {
        Self { node: node.into(), json: None }
    }
}

impl Deref for Hosted {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Hosted {
    /// JSON datagrams that were not served, or not answered for want of room.
    #[must_use]
    pub fn json_refused(&self) -> u64 {
        self.json.as_ref().map_or(0, |json| json.refused())
    }

    /// As [`Node::home`]; a JSON datagram's is that of what it says.
    #[must_use]
    pub fn home(&self, bytes: &[u8]) -> Home {
        match self.json {
            Some(_) if bytes.starts_with(b"{") => json_debug::home(&self.node, bytes),
            _ => self.node.home(bytes),
        }
    }

    /// As [`Node::home_of_handed`]; a JSON datagram's is that of what it says.
    #[must_use]
    pub fn home_of_handed(&self, bytes: &[u8]) -> Home {
        match self.json {
            Some(_) if bytes.starts_with(b"{") => json_debug::home_of_handed(&self.node, bytes),
            _ => self.node.home_of_handed(bytes),
        }
    }

    /// As [`Node::handle_note`].
    pub fn handle_note(&mut self, now: Now, from: u8, note: Note, out: &mut dyn Outbox) {
        self.with(out, |node, out| node.handle_note(now, from, note, out));
    }

    /// As [`Node::handle_verdict`].
    pub fn handle_verdict(&mut self, now: Now, verdict: Verdict, out: &mut dyn Outbox) {
        self.with(out, |node, out| node.handle_verdict(now, verdict, out));
    }

    /// As [`Node::handle_stream_request`].
    pub fn handle_stream_request(
        &mut self,
        now: Now,
        request: &StreamRequest<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> StreamServed {
        self.with(out, |node, out| node.handle_stream_request(now, request, reply, out))
    }

    /// As [`Node::handle_stream_end`].
    pub fn handle_stream_end(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        tx_id: u64,
        reply: Option<(&[u8], &StreamCheck)>,
        out: &mut dyn Outbox,
    ) {
        self.with(out, |node, out| node.handle_stream_end(now, endpoint, tx_id, reply, out));
    }

    /// As [`Node::poll_note`].
    pub fn poll_note(&mut self) -> Option<(Addressee, Note)> {
        self.node.poll_note()
    }

    /// As [`Node::take_lossy`].
    pub fn take_lossy(&mut self) -> bool {
        self.node.take_lossy()
    }

    /// As [`Node::poll_verify`].
    pub fn poll_verify(&mut self) -> Option<VerifyJob> {
        self.node.poll_verify()
    }

    /// As [`Node::handle_datagram`].
    pub fn handle_datagram(&mut self, now: Now, route: &Route, bytes: &[u8], out: &mut dyn Outbox) {
        if let Some(json) = self.json.as_mut().filter(|_| bytes.starts_with(b"{")) {
            return json.handle(&mut self.node, now, route, bytes, out);
        }
        self.with(out, |node, out| node.handle_datagram(now, route, bytes, out));
    }

    /// As [`Node::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now, out: &mut dyn Outbox) {
        self.with(out, |node, out| node.handle_timeout(now, out));
    }

    /// As [`Node::begin`].
    ///
    /// # Errors
    /// [`CommandError`], and nothing was begun.
    pub fn begin(
        &mut self,
        now: Now,
        command: Command,
        out: &mut dyn Outbox,
    ) -> Result<OperationId, CommandError> {
        self.with(out, |node, out| node.begin(now, command, out))
    }

    /// As [`Node::join`].
    pub fn join(&mut self, now: Now, bootstrap: &[Endpoint], out: &mut dyn Outbox) {
        self.with(out, |node, out| node.join(now, bootstrap, out));
    }

    /// As [`Node::drain`].
    pub fn drain(&mut self, now: Now, out: &mut dyn Outbox) {
        self.with(out, |node, out| node.drain(now, out));
    }

    /// As [`Node::set_keys`].
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.node.set_keys(keys);
    }

    /// As [`Node::set_allowance`].
    pub fn set_allowance(&mut self, rate_per_s: u32, burst: u32) {
        self.node.set_allowance(rate_per_s, burst);
    }

    /// As [`Node::begin_proxy`]; one is blind where requests come in JSON, too.
    pub fn begin_proxy(&mut self) {
        let is_blind = self.json.is_some();
        self.node.proxied().begin_proxy(is_blind);
    }

    /// As [`Node::end_proxy`].
    pub fn end_proxy(&mut self, now: Now, out: &mut dyn Outbox) {
        self.with(out, |node, out| node.proxied().end_proxy(now, out));
    }

    /// As [`Node::poll_recall`].
    pub fn poll_recall(&mut self) -> Option<Recall> {
        self.node.proxied().poll_recall()
    }

    /// As [`Node::poll_wanted`].
    pub fn poll_wanted(&mut self) -> Option<Id> {
        self.node.proxied().poll_wanted()
    }

    /// As [`Node::lend`].
    pub fn lend(&mut self, now: Now, key: &Id) -> Option<Lent> {
        self.node.proxied().lend(now, key)
    }

    /// As [`Node::handle_recalled`].
    pub fn handle_recalled(
        &mut self,
        now: Now,
        tickets: &[u64],
        keys: &[Id],
        out: &mut dyn Outbox,
    ) {
        self.with(out, |node, out| node.proxied().handle_recalled(now, tickets, keys, out));
    }

    /// As [`Node::cede_table`].
    pub fn cede_table(&mut self) -> Vec<Peer> {
        self.node.proxied().cede_table()
    }

    /// As [`Node::set_known`].
    pub fn set_known(&mut self, known: &[(Contact, Liveness)]) {
        self.node.proxied().set_known(known);
    }

    /// As [`Node::learned_by_proxy`].
    pub fn learned_by_proxy(&mut self, now: Now, contacts: &[Contact]) {
        self.node.proxied().learned_by_proxy(now, contacts);
    }

    /// As [`Node::poll_tiding`].
    pub fn poll_tiding(&mut self) -> Option<Tiding> {
        self.node.proxied().poll_tiding()
    }

    /// As [`Node::reclaim_table`].
    pub fn reclaim_table(
        &mut self,
        now: Now,
        known: &[(Contact, Option<Answer>)],
        out: &mut dyn Outbox,
    ) {
        self.with(out, |node, out| node.proxied().reclaim_table(now, known, out));
    }

    /// As [`Node::poll_event`].
    pub fn poll_event(&mut self) -> Option<Event> {
        self.node.poll_event()
    }

    /// Calls the node with an outbox in which late answers to JSON datagrams become JSON.
    fn with<T>(
        &mut self,
        out: &mut dyn Outbox,
        call: impl FnOnce(&mut Recorded, &mut dyn Outbox) -> T,
    ) -> T {
        match &mut self.json {
            None => call(&mut self.node, out),
            Some(json) => call(&mut self.node, &mut json.outbox(out)),
        }
    }
}
