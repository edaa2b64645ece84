//! Messages by TCP: what the core and the owner of its connections hand to each other.
//!
//! The core opens no connection. A request that another node sent whole comes in by
//! [`Node::handle_stream_request`]; a request of ours leaves as [`Event::Stream`] and
//! ends in [`Node::handle_stream_end`]. Whatever is in proportion to a large value's
//! length and is not a copy (hash, signature, MAC) is done by the owner, away from the
//! node's thread: [`StreamCheck::of`] for what comes, [`seal`] for what leaves.
//!
//! [`Node::handle_stream_request`]: crate::Node::handle_stream_request
//! [`Node::handle_stream_end`]: crate::Node::handle_stream_end
//! [`Event::Stream`]: crate::Event::Stream

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use kdht_store::{Unproven, verify};
use kdht_wire::{Body, Endpoint, Filter, Flags, HEAD_LEN, KeyRing, MacError, Message};

use crate::outbox::Local;
use crate::pending::Intent;

/// Requests of a node's own by TCP in flight; more wait in a queue.
pub const STREAM_ASKS_MAX: usize = 32;
/// Bytes of values that these send and wait for, together.
pub const STREAM_BYTES_MAX: u64 = 8 << 20;
/// Requests that wait for their turn; more have failed at once.
pub const STREAM_QUEUE_MAX: usize = 4_096;
/// How long a whole exchange by TCP may take, in milliseconds.
pub const STREAM_MS: u32 = 10_000;
/// The same where the other node does a whole lookup first, and may then store by TCP
/// itself.
pub const STREAM_RECURSION_MS: u32 = 25_000;

/// A request that its owner is to send by TCP, on a connection to `endpoint`. It ends in
/// one call of [`crate::Node::handle_stream_end`], whatever came of it.
#[derive(Clone, Debug)]
pub struct StreamAsk {
    /// Names the request; its top byte is the asking shard.
    pub tx_id: u64,
    /// To whom.
    pub endpoint: Endpoint,
    /// The message without MAC: [`seal`] it.
    pub bytes: Vec<u8>,
    /// Milliseconds after which the core waits no longer.
    pub patience_ms: u32,
}

/// A whole message that came by TCP.
#[derive(Clone, Copy, Debug)]
pub struct StreamRequest<'a> {
    /// The owner's name for the connection, handed back with a reply that comes later.
    pub stream: u64,
    /// The other side. It is who it says, or the connection would not be.
    pub peer: Endpoint,
    /// Our side.
    pub local: Local,
    /// The message, MAC included.
    pub bytes: &'a [u8],
    /// What the owner found out about it.
    pub check: &'a StreamCheck,
}

/// What came of a request by TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum StreamServed {
    /// The reply is laid out; [`seal`] it.
    Answered,
    /// The reply comes as [`crate::Event::StreamReply`], or never.
    Later,
    /// Counted, and not answered: whoever sends such bytes need not be listened to.
    Refused,
}

/// Whether a message is a member's, and whether its value proves itself: what costs time in
/// proportion to a value's length. Made where that time may be spent.
#[derive(Clone, Copy, Debug)]
pub struct StreamCheck {
    keys: KeyRing,
    checked_s: u32,
    mac: Result<(), MacError>,
    /// Of the first record, if there is one.
    proof: Option<Result<(), Unproven>>,
}

impl StreamCheck {
    /// Checks one whole message: its MAC under `keys` at the time `unix_s`, and the hash
    /// or signature of its first record, if it has one. What does not parse is left for the
    /// node to refuse.
    ///
    /// Cost: one SipHash and one SHA-256 over the message, and one signature.
    #[must_use]
    pub fn of(bytes: &[u8], keys: &KeyRing, unix_s: u32) -> Self {
        let mac = keys.verify(bytes, unix_s);
        let proof = if mac.is_ok() { proof_of(bytes) } else { None };
        Self { keys: *keys, checked_s: unix_s, mac, proof }
    }

    /// The keys and the time that it was made with: the same check of the same bytes.
    #[must_use]
    pub fn made_with(&self) -> (KeyRing, u32) {
        (self.keys, self.checked_s)
    }

    /// Whether the message is a member's by the keys of now: those that it was checked
    /// under may have been changed meanwhile.
    pub(crate) fn mac(&self, bytes: &[u8], keys: &KeyRing, unix_s: u32) -> Result<(), MacError> {
        if self.keys == *keys { self.mac } else { keys.verify(bytes, unix_s) }
    }

    /// Whether the first record proves itself, if there is one.
    pub(crate) fn proof(&self) -> Option<Result<(), Unproven>> {
        self.proof
    }
}

fn proof_of(bytes: &[u8]) -> Option<Result<(), Unproven>> {
    let message = Message::parse_stream(bytes).ok()?;
    let record = match &message.body {
        Body::Store { record, .. } => *record,
        Body::Values { records, .. } => records.iter().next()?,
        _ => return None,
    };
    Some(verify(&message.head.target, &record))
}

/// Where a head's flags and its key id stand (FORMAT.md §3).
const FLAGS_OFFSET: usize = 4;
const KEY_ID_OFFSET: usize = 6;

/// Adds the MAC of a keyed network to a message that the core laid out for a stream, if it
/// does not have it. In an open network nothing changes.
///
/// Cost: one SipHash over the message.
pub fn seal(bytes: &mut Vec<u8>, keys: &KeyRing) {
    let Some(key) = keys.signing() else { return };
    let [keyed, _] = Flags::KEYED.0.to_le_bytes();
    if bytes.len() < HEAD_LEN || bytes[FLAGS_OFFSET] & keyed != 0 {
        return;
    }
    bytes[FLAGS_OFFSET] |= keyed;
    bytes[KEY_ID_OFFSET] = key.id;
    let mac = key.mac(bytes);
    bytes.extend_from_slice(&mac);
}

/// A request of ours by TCP that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) intent: Intent,
    /// Bytes of the value that it sends or fetches.
    pub(crate) value_len: u32,
    /// What is fetched; nothing: what the operation asks for anyway.
    pub(crate) fetch: Option<(Filter, u16)>,
}

/// Requests of ours by TCP that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    waiting: VecDeque<Job>,
}

impl Jobs {
    /// False if too many wait.
    pub(crate) fn push(&mut self, job: Job) -> bool {
        let fits = self.waiting.len() < STREAM_QUEUE_MAX;
        if fits {
            self.waiting.push_back(job);
        }
        fits
    }

    pub(crate) fn first(&self) -> Option<Job> {
        self.waiting.front().copied()
    }

    /// Forgets the first one.
    pub(crate) fn pop(&mut self) {
        self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}
