//! A node of which everything that goes in is recorded, if that is wanted.

use std::ops::Deref;

use kdht_core::{
    Addressee, Command, CommandError, Config, Event, Node, Note, Now, OperationId, Outbox, Route,
    StreamCheck, StreamRequest, StreamServed, Verdict, VerifyJob,
};
use kdht_wire::{Endpoint, Id, KeyRing};

use super::digest::Digest;
use super::entry::{Begin, Entry, Polled};
use super::recorder::{RecordError, RecordOptions, Recorder};

/// A node and its recording.
///
/// Every call that moves the node stands here, so that none is missed; what only reads is
/// the node's own.
#[derive(Debug)]
pub(crate) struct Recorded {
    node: Node,
    recorder: Option<Box<Recorder>>,
    /// What was taken out last, how often since the last entry, and what the digest was
    /// before.
    polled: Option<(Polled, u32, [u8; 4])>,
}

impl From<Node> for Recorded {
    fn from(node: Node) -> Self {
        Self { node, recorder: None, polled: None }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.note_polled();
    }
}

impl Deref for Recorded {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Recorded {
    /// Makes a node, and a recording of it.
    pub(crate) fn new(
        id: Id,
        config: Config,
        seed: [u8; 16],
        now: Now,
        options: &RecordOptions,
    ) -> Result<Self, RecordError> {
        let release = env!("CARGO_PKG_VERSION").into();
        let begin = Begin { release, id, seed, now: Some(now), config: config.clone() };
        let recorder = Some(Box::new(Recorder::create(options, begin)?));
        Ok(Self { node: Node::new(id, config, seed, now), recorder, polled: None })
    }

    #[inline]
    pub(crate) fn handle_datagram(
        &mut self,
        now: Now,
        route: &Route,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) {
        match self.recorder {
            None => self.node.handle_datagram(now, route, bytes, out),
            Some(_) => self.record_datagram(now, route, bytes, out),
        }
    }

    #[cold]
    fn record_datagram(&mut self, now: Now, route: &Route, bytes: &[u8], out: &mut dyn Outbox) {
        let call =
            |node: &mut Node, out: &mut dyn Outbox| node.handle_datagram(now, route, bytes, out);
        self.call(out, call, || Entry::Datagram { now, route: *route, bytes: bytes.to_vec() });
    }

    pub(crate) fn answer_malformed(
        &mut self,
        now: Now,
        route: &Route,
        tx_id: u64,
        len: usize,
        out: &mut dyn Outbox,
    ) {
        let call = |node: &mut Node, out: &mut dyn Outbox| {
            node.answer_malformed(now, route, tx_id, len, out);
        };
        // A datagram's length.
        let entry_len = u32::try_from(len).unwrap_or(u32::MAX);
        self.call(out, call, || Entry::Malformed { now, route: *route, tx_id, len: entry_len });
    }

    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut dyn Outbox) {
        let call = |node: &mut Node, out: &mut dyn Outbox| node.handle_timeout(now, out);
        self.call(out, call, || Entry::Timeout { now });
    }

    pub(crate) fn begin(
        &mut self,
        now: Now,
        command: Command,
        out: &mut dyn Outbox,
    ) -> Result<OperationId, CommandError> {
        let copy = self.recorder.is_some().then(|| Box::new(command.clone()));
        let call = |node: &mut Node, out: &mut dyn Outbox| node.begin(now, command, out);
        self.call_with(out, call, || copy.map(|command| Entry::Command { now, command }))
    }

    pub(crate) fn join(&mut self, now: Now, bootstrap: &[Endpoint], out: &mut dyn Outbox) {
        let call = |node: &mut Node, out: &mut dyn Outbox| node.join(now, bootstrap, out);
        self.call(out, call, || Entry::Join { now, bootstrap: bootstrap.to_vec() });
    }

    pub(crate) fn drain(&mut self, now: Now, out: &mut dyn Outbox) {
        let call = |node: &mut Node, out: &mut dyn Outbox| node.drain(now, out);
        self.call(out, call, || Entry::Drain { now });
    }

    pub(crate) fn set_keys(&mut self, keys: KeyRing) {
        self.node.set_keys(keys);
        self.note(Entry::Keys(keys));
    }

    pub(crate) fn set_allowance(&mut self, rate_per_s: u32, burst: u32) {
        self.node.set_allowance(rate_per_s, burst);
        self.note(Entry::Allowance { rate_per_s, burst });
    }

    pub(crate) fn handle_note(&mut self, now: Now, from: u8, note: Note, out: &mut dyn Outbox) {
        let call = |node: &mut Node, out: &mut dyn Outbox| node.handle_note(now, from, note, out);
        self.call(out, call, || Entry::Note { now, from, note });
    }

    pub(crate) fn handle_verdict(&mut self, now: Now, verdict: Verdict, out: &mut dyn Outbox) {
        let copy = self.recorder.is_some().then(|| Entry::Verdict {
            now,
            ticket: verdict.ticket(),
            proven: verdict.proven().map(<[bool]>::to_vec),
        });
        let call = |node: &mut Node, out: &mut dyn Outbox| node.handle_verdict(now, verdict, out);
        self.call_with(out, call, || copy);
    }

    pub(crate) fn handle_stream_request(
        &mut self,
        now: Now,
        request: &StreamRequest<'_>,
        reply: &mut Vec<u8>,
        out: &mut dyn Outbox,
    ) -> StreamServed {
        let call = |node: &mut Node, out: &mut dyn Outbox| {
            node.handle_stream_request(now, request, reply, out)
        };
        let served = self.call_with(out, call, || {
            let StreamRequest { stream, peer, local, bytes, check } = *request;
            let route = Route { peer, local };
            let (keys, checked_s) = check.made_with();
            let bytes = bytes.to_vec();
            Some(Entry::StreamRequest { now, stream, route, keys, checked_s, bytes })
        });
        if let Some(recorder) = &mut self.recorder {
            recorder.digest.reply(served, reply);
        }
        served
    }

    pub(crate) fn handle_stream_end(
        &mut self,
        now: Now,
        endpoint: &Endpoint,
        tx_id: u64,
        reply: Option<(&[u8], &StreamCheck)>,
        out: &mut dyn Outbox,
    ) {
        let call = |node: &mut Node, out: &mut dyn Outbox| {
            node.handle_stream_end(now, endpoint, tx_id, reply, out);
        };
        self.call(out, call, || {
            let (keys, checked_s) = reply.map_or((KeyRing::OPEN, 0), |(_, c)| c.made_with());
            let bytes = reply.map(|(bytes, _)| bytes.to_vec());
            Entry::StreamEnd { now, endpoint: *endpoint, tx_id, keys, checked_s, bytes }
        });
    }

    /// The node, to be called for its proxy. A node with one is not recorded: what is answered
    /// in its stead goes past it.
    pub(crate) fn proxied(&mut self) -> &mut Node {
        debug_assert!(self.recorder.is_none(), "a recorded node has no proxy");
        &mut self.node
    }

    pub(crate) fn take_lossy(&mut self) -> bool {
        let is_lossy = self.node.take_lossy();
        if is_lossy {
            self.note(Entry::Lossy);
        }
        is_lossy
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = self.node.poll_event();
        self.note_taken(Polled::Events, event.as_ref(), Digest::event);
        event
    }

    pub(crate) fn poll_note(&mut self) -> Option<(Addressee, Note)> {
        let note = self.node.poll_note();
        self.note_taken(Polled::Notes, note.as_ref(), Digest::note);
        note
    }

    pub(crate) fn poll_verify(&mut self) -> Option<VerifyJob> {
        let job = self.node.poll_verify();
        self.note_taken(Polled::Jobs, job.as_ref(), |_, _| ());
        job
    }

    /// Something was taken out, or there was nothing more.
    fn note_taken<T>(
        &mut self,
        what: Polled,
        taken: Option<&T>,
        digest: impl FnOnce(&mut Digest, &T),
    ) {
        if self.recorder.is_none() {
            return;
        }
        if taken.is_none() || self.polled.is_some_and(|(other, ..)| other != what) {
            self.note_polled();
        }
        let (Some(recorder), Some(taken)) = (&mut self.recorder, taken) else { return };
        let before = recorder.digest.short();
        let (_, count, _) = self.polled.get_or_insert((what, 0, before));
        *count += 1;
        digest(&mut recorder.digest, taken);
    }

    fn call(
        &mut self,
        out: &mut dyn Outbox,
        call: impl FnOnce(&mut Node, &mut dyn Outbox),
        entry: impl FnOnce() -> Entry,
    ) {
        self.call_with(out, call, || Some(entry()));
    }

    /// Calls the node, and writes the entry of that call behind it: only then it is known
    /// which slots were refused.
    fn call_with<T>(
        &mut self,
        out: &mut dyn Outbox,
        call: impl FnOnce(&mut Node, &mut dyn Outbox) -> T,
        entry: impl FnOnce() -> Option<Entry>,
    ) -> T {
        self.note_polled();
        let Some(recorder) = &mut self.recorder else { return call(&mut self.node, out) };
        let before = recorder.digest.short();
        let mut digested = recorder.digest.outbox(out);
        let result = call(&mut self.node, &mut digested);
        let refused = digested.into_refused();
        if let Some(entry) = entry() {
            recorder.write(before, refused, entry);
        }
        result
    }

    fn note(&mut self, entry: Entry) {
        self.note_polled();
        if let Some(recorder) = &mut self.recorder {
            let before = recorder.digest.short();
            recorder.write(before, Vec::new(), entry);
        }
    }

    /// Whoever replays must take the same things at the same place.
    fn note_polled(&mut self) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Some((what, count, before)) = self.polled.take() {
            recorder.write(before, Vec::new(), Entry::Polled { what, count });
        }
    }
}
