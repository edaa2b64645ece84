//! What a node is told to do, and what it says when that is done.

use alloc::vec::Vec;

use kdht_wire::{Durability, Endpoint, Fault, Filter, Id, Publisher, Record, SignedTail};

use crate::lookup::Candidate;
use crate::stream::StreamAsk;
use crate::time::Nanos;

/// Names a command until its [`Report`]; never used twice by one node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OperationId(pub u64);

/// Something to do that takes more than one datagram, or whose answer is wanted.
#[derive(Clone, Debug)]
pub enum Command {
    /// Find the k nodes closest to `target`.
    FindNode {
        /// Any id.
        target: Id,
    },
    /// Find values under `key`; ends at the first holder that answers, or collects from
    /// several.
    FindValue {
        /// The key.
        key: Id,
        /// Which values.
        filter: Filter,
        /// Most values wanted; more than a reply holds are paged for.
        values_max: u16,
        /// How many of the closest holders are to give theirs, 1 to k; of one publisher's
        /// the highest sequence is taken. Above one it costs a whole lookup and two requests
        /// a holder.
        holders: u8,
    },
    /// Store a value at the k nodes closest to `key`. One that is longer than a datagram
    /// carries has been verified by the caller, on a thread where that may take its time.
    Put {
        /// The key.
        key: Id,
        /// The value.
        value: Value,
        /// Compare-and-swap: the sequence that must be held.
        cas: Option<u64>,
    },
    /// Send one request, and again if it needs a cookie.
    Ask {
        /// To whom.
        endpoint: Endpoint,
        /// Who must answer; nothing: whoever is there.
        id: Option<Id>,
        /// What to ask.
        request: Request,
        /// Ask the node to do the whole lookup.
        recurse: bool,
    },
}

/// One request, as [`Command::Ask`] sends it.
#[derive(Clone, Debug)]
pub enum Request {
    /// PING.
    Ping,
    /// FIND_NODE.
    FindNode {
        /// The target.
        target: Id,
    },
    /// FIND_VALUE.
    FindValue {
        /// The key.
        key: Id,
        /// Which values.
        filter: Filter,
        /// First position wanted.
        cursor: u16,
    },
    /// STORE.
    Store {
        /// The key.
        key: Id,
        /// The value.
        value: Value,
        /// Compare-and-swap.
        cas: Option<u64>,
    },
}

impl Request {
    /// The id in the request's target field.
    #[must_use]
    pub fn target(&self) -> Option<Id> {
        match self {
            Self::Ping => None,
            Self::FindNode { target } => Some(*target),
            Self::FindValue { key, .. } | Self::Store { key, .. } => Some(*key),
        }
    }
}

/// A value that owns its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Value {
    /// Who published it.
    pub publisher: ValuePublisher,
    /// Seconds that it has left to live.
    pub remaining_s: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Who published a [`Value`]; owns what [`Publisher`] borrows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ValuePublisher {
    /// Nobody: the key is the hash of the bytes.
    Immutable,
    /// The holder of an ed25519 key.
    Signed(SignedTail),
    /// A node.
    Plain(Id),
}

impl Value {
    /// The value that a record carries.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Self {
        let publisher = match record.publisher {
            Publisher::Immutable => ValuePublisher::Immutable,
            Publisher::Signed(tail) => ValuePublisher::Signed(*tail),
            Publisher::Plain(id) => ValuePublisher::Plain(*id),
        };
        Self { publisher, remaining_s: record.remaining_s, bytes: record.value.to_vec() }
    }

    /// The record that carries it.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        let publisher = match &self.publisher {
            ValuePublisher::Immutable => Publisher::Immutable,
            ValuePublisher::Signed(tail) => Publisher::Signed(tail),
            ValuePublisher::Plain(id) => Publisher::Plain(id),
        };
        Record {
            // Commands with longer values than the wire carries are refused.
            value_len: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            remaining_s: self.remaining_s,
            cursor: 0,
            flags: 0,
            publisher,
            value: &self.bytes,
        }
    }
}

/// Why a command was not begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// As many operations as the node may have are under way, or their reports wait.
    Busy {
        /// How many that is.
        operations_max: u16,
    },
    /// The value is longer than any may be.
    ValueTooLong {
        /// Its bytes.
        len: usize,
        /// Most bytes.
        max: usize,
    },
    /// The value's key is not its hash, or its signature does not verify.
    Unproven,
}

/// What a node has to say.
#[derive(Clone, Debug)]
pub enum Event {
    /// A command is done.
    Done(Report),
    /// The node has joined: it found its neighbours and refreshed its buckets.
    Joined {
        /// Good contacts now known.
        contacts: usize,
    },
    /// The node has handed over what it held, and may be stopped.
    Drained {
        /// Values that at least one other node acknowledged.
        handed: u32,
        /// Values that none did.
        kept: u32,
    },
    /// Send this by TCP, and tell what came of it.
    Stream(StreamAsk),
    /// The reply to a request that came by TCP and took a lookup.
    StreamReply {
        /// The owner's name for the connection.
        stream: u64,
        /// The reply; [`crate::seal`] it.
        bytes: Vec<u8>,
    },
    /// Others see the node at another endpoint than before, or no more at any one.
    Observed {
        /// Where they saw it.
        before: Option<Endpoint>,
        /// Where they see it; of the same family.
        after: Option<Endpoint>,
    },
    /// No bootstrap endpoint answered; it will be tried again.
    JoinFailed {
        /// Endpoints tried.
        tried: usize,
        /// When they will be tried again, in milliseconds from now.
        retry_ms: u64,
    },
}

/// How a command went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which command.
    pub operation: OperationId,
    /// Its target or key.
    pub target: Id,
    /// What came of it.
    pub outcome: Outcome,
    /// When it was begun.
    pub started: Nanos,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
    /// Requests sent for it.
    pub messages: u32,
    /// Discovery depth of what was found: of the holder for a value, of the closest node
    /// else; 0 if this node itself knew.
    pub hops: u8,
    /// Every node that the lookup knew, nearest first.
    pub path: Vec<Candidate>,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The lookup ended; the path's answered nodes are the closest.
    Nodes,
    /// Values were found.
    Values {
        /// They, each verified.
        values: Vec<Value>,
        /// How many their holder has.
        total: u16,
        /// Who held them; nothing: this node.
        holder: Option<(Id, Endpoint)>,
    },
    /// No node that was asked holds such a value.
    NotFound,
    /// The value was offered to the closest nodes.
    Stored(Stored),
    /// The reply to [`Command::Ask`], whole.
    Reply {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Round trip, in microseconds.
        rtt_us: u32,
    },
    /// Nobody answered, or nobody is known.
    Unanswered,
}

/// How a STORE at the closest nodes went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stored {
    /// Nodes that were asked to store it, this one included if it is among the closest.
    pub asked: u16,
    /// Nodes that acknowledged.
    pub acknowledged: u16,
    /// The lowest durability acknowledged.
    pub durability: Option<Durability>,
    /// Nodes that refused.
    pub refused: u16,
    /// What the last of them said.
    pub fault: Option<Fault>,
    /// The highest sequence that one of them holds instead, if that is why.
    pub sequence: u64,
}
