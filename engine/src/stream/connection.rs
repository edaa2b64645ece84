//! One TCP connection: bytes in until a message is whole, bytes out until it is gone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use kdht_core::Local;
use kdht_wire::{
    DATAGRAM_LEN_MAX, Endpoint, Flags, HEAD_LEN, ID_LEN, Id, Kind, MAC_LEN, Outline,
    STREAM_LEN_MAX, TARGET_OFFSET, VERSION,
};

use super::counters::Cut;

/// Bytes moved for one connection before others have their turn.
const SHARE_LEN: usize = 256 << 10;
/// Where a head's kind and flags stand (FORMAT.md §3).
const KIND_OFFSET: usize = 3;
const FLAGS_OFFSET: usize = 4;

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Role {
    /// The other side asks.
    Serving,
    /// A shard of ours asks.
    Asking {
        /// The request's transaction.
        tx_id: u64,
    },
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// To be there, then to send.
    Connecting,
    /// A message, from its first byte on.
    Reading,
    /// A large buffer, to read on into.
    ReadBuffer,
    /// A large buffer, for the reply to a message that is whole.
    ReplyBuffer,
    /// The shard.
    Shard,
    /// The other side, to take a message.
    Writing,
}

/// Where its incoming or outgoing bytes are kept.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: Endpoint,
    pub(super) local: Local,
    pub(super) role: Role,
    pub(super) state: State,
    /// When it is cut, in nanoseconds of the monotonic clock.
    pub(super) due_ns: u64,
    /// Whether it counts among those of its IP group.
    pub(super) group: Option<[u8; 16]>,
    /// The head, and the whole of a small message.
    small: [u8; DATAGRAM_LEN_MAX],
    /// The whole of a large one; or what is being written.
    pub(super) large: Vec<u8>,
    /// Whether `large` is one of the pool's.
    pub(super) is_pooled: bool,
    /// Bytes read, or written.
    moved: usize,
    /// Bytes of the message that is being read, once its head is there.
    whole_len: Option<usize>,
}

/// How far a read or a write came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// Wait until the socket is ready again.
    Pending,
    /// A large message begins: a buffer is needed.
    Large,
    /// The message is whole, or gone.
    Done,
    /// The other side ended between two messages.
    Ended,
    /// Of no use any more.
    Cut(Cut),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: Endpoint, local: Local, role: Role) -> Self {
        Self {
            stream,
            peer,
            local,
            state: State::Reading,
            role,
            due_ns: 0,
            group: None,
            small: [0; DATAGRAM_LEN_MAX],
            large: Vec::new(),
            is_pooled: false,
            moved: 0,
            whole_len: None,
        }
    }

    /// Whether a part of a message is there.
    pub(super) fn has_begun(&self) -> bool {
        self.moved > 0
    }

    /// Gets ready to read the next message.
    pub(super) fn read_anew(&mut self) {
        (self.state, self.moved, self.whole_len) = (State::Reading, 0, None);
    }

    /// Gets ready to write what stands in `large`.
    pub(super) fn write_anew(&mut self) {
        (self.state, self.moved, self.whole_len) = (State::Writing, 0, None);
    }

    /// Reads until the message is whole, but no byte of the next one. `count` is told how
    /// many came.
    pub(super) fn read(&mut self, is_keyed: bool, mut count: impl FnMut(usize)) -> Progress {
        let mut share = SHARE_LEN;
        loop {
            let end = self.whole_len.unwrap_or(HEAD_LEN);
            if self.moved == end {
                if self.whole_len.is_some() {
                    return Progress::Done;
                }
                match self.begin_message(is_keyed) {
                    Ok(true) => return Progress::Large,
                    Ok(false) => continue,
                    Err(cut) => return Progress::Cut(cut),
                }
            }
            if share == 0 {
                return Progress::Pending;
            }
            let into = if end > self.small.len() { &mut self.large[..] } else { &mut self.small };
            let to = end.min(self.moved + share);
            match self.stream.read(&mut into[self.moved..to]) {
                Ok(0) if self.moved == 0 => return Progress::Ended,
                Ok(0) => return Progress::Cut(Cut::Broken),
                Ok(len) => {
                    self.moved += len;
                    share -= len;
                    count(len);
                }
                Err(error) => {
                    if let Some(progress) = ended_by(&error) {
                        return progress;
                    }
                }
            }
        }
    }

    /// Looks at a head, before any memory is taken for what it declares. True: it needs a
    /// large buffer.
    fn begin_message(&mut self, is_keyed: bool) -> Result<bool, Cut> {
        let head = &self.small[..HEAD_LEN];
        let outline = Outline::parse(head).map_err(|_| Cut::Magic)?;
        let has_mac = Flags(u16::from(head[FLAGS_OFFSET])).has(Flags::KEYED);
        if has_mac != is_keyed {
            return Err(Cut::Mac);
        }
        let mac_len = if has_mac { MAC_LEN } else { 0 };
        let body_len = usize::try_from(outline.body_len).map_err(|_| Cut::Length)?;
        let len = body_len.checked_add(HEAD_LEN + mac_len).filter(|len| *len <= STREAM_LEN_MAX);
        let len = len.ok_or(Cut::Length)?;
        self.whole_len = Some(len);
        if len <= self.small.len() {
            return Ok(false);
        }
        let kind = head[KIND_OFFSET];
        let wanted = match self.role {
            Role::Serving => kind == Kind::Store as u8 && !outline.is_reply,
            Role::Asking { .. } => kind == Kind::FindValue as u8 && outline.is_reply,
        };
        if wanted && outline.version == VERSION { Ok(true) } else { Err(Cut::Kind) }
    }

    /// Goes on reading into a buffer of the pool's.
    pub(super) fn read_into(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.resize(self.whole_len.unwrap_or_default(), 0);
        buffer[..HEAD_LEN].copy_from_slice(&self.small[..HEAD_LEN]);
        self.large = buffer;
        self.is_pooled = true;
        self.state = State::Reading;
    }

    /// Whether the message that is whole may cost a signature.
    pub(super) fn is_store(&self) -> bool {
        self.small[KIND_OFFSET] == Kind::Store as u8
    }

    /// Whether the message that is whole may draw a large reply.
    pub(super) fn may_draw_much(&self) -> bool {
        self.small[KIND_OFFSET] == Kind::FindValue as u8
    }

    /// The target of the message that is whole.
    pub(super) fn target(&self) -> Id {
        let mut target = Id::ZERO;
        target.0.copy_from_slice(&self.small[TARGET_OFFSET..TARGET_OFFSET + ID_LEN]);
        target
    }

    /// The message that is whole, and whether its buffer is one of the pool's.
    pub(super) fn take_message(&mut self) -> (Vec<u8>, bool) {
        let len = self.whole_len.unwrap_or_default();
        if len > self.small.len() {
            return (std::mem::take(&mut self.large), std::mem::take(&mut self.is_pooled));
        }
        (self.small[..len].to_vec(), false)
    }

    /// Writes what is left. `count` is told how many bytes left.
    pub(super) fn write(&mut self, mut count: impl FnMut(usize)) -> Progress {
        let mut share = SHARE_LEN;
        while self.moved < self.large.len() {
            if share == 0 {
                return Progress::Pending;
            }
            let to = self.large.len().min(self.moved + share);
            match self.stream.write(&self.large[self.moved..to]) {
                Ok(len) => {
                    self.moved += len;
                    share -= len;
                    count(len);
                }
                Err(error) => {
                    if let Some(progress) = ended_by(&error) {
                        return progress;
                    }
                }
            }
        }
        Progress::Done
    }
}

/// What an error of the socket ends reading or writing with; nothing: it is tried again.
fn ended_by(error: &io::Error) -> Option<Progress> {
    match error.kind() {
        ErrorKind::WouldBlock => Some(Progress::Pending),
        ErrorKind::Interrupted => None,
        _ => Some(Progress::Cut(Cut::Broken)),
    }
}
