//! Messages by TCP: one thread per node accepts, reads, checks and writes them, so that the
//! node's own thread sees whole messages only.
//!
//! The thread is not pinned and never blocks but in waiting for its sockets. It holds at
//! most [`StreamOptions::connections_max`] connections, each with a buffer for one small
//! message; what is longer is read into one of [`StreamOptions::buffers_max`] large buffers
//! once its head was looked at. Whoever is slow to send, to take, or to say anything is
//! cut. Hashes, signatures and MACs of large messages are computed here.

mod carrier;
mod connection;
mod counters;
mod groups;
mod mail;
mod pool;

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use kdht_wire::KeyRing;

use crate::io::{BindError, BindReason, ListenError, Wakeup, listen};
use crate::node_handle::NodeHandle;
use crate::runner::CallError;

use carrier::Carrier;
pub use counters::Cut;
pub(crate) use counters::StreamCounters;
pub(crate) use mail::StreamAnswer;
pub use mail::{StreamEnd, StreamLink, StreamMessage};

/// Ports tried where the host is to choose one that is free by UDP and TCP.
const PORT_TRIES: usize = 16;

/// Limits of one node's streams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamOptions {
    /// Connections of others at a time.
    pub connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64 at a time. Loopback has only the limit
    /// above, and in a keyed network so have private addresses.
    pub group_connections_max: usize,
    /// Large messages in memory at a time, of at most
    /// [`STREAM_LEN_MAX`](kdht_wire::STREAM_LEN_MAX) bytes each.
    pub buffers_max: usize,
    /// STOREs taken a second; each may cost a signature, about 50 µs of the streams' thread.
    pub stores_per_s: u32,
    /// Milliseconds for a whole message, from its first byte to its last, either way.
    pub message_ms: u64,
    /// Milliseconds without a byte between two messages.
    pub idle_ms: u64,
    /// Milliseconds that the node has to answer, lookups done for the asker included.
    pub answer_ms: u64,
}

impl Default for StreamOptions {
    /// 256 connections, 8 a group; 16 buffers, which are 16 MiB; 2000 STOREs a second; 10 s
    /// for a message, 30 s idle, 30 s for the node.
    fn default() -> Self {
        Self {
            connections_max: 256,
            group_connections_max: 8,
            buffers_max: 16,
            stores_per_s: 2_000,
            message_ms: 10_000,
            idle_ms: 30_000,
            answer_ms: 30_000,
        }
    }
}

/// The running thread. Dropping it closes its connections and its ports.
#[derive(Debug)]
pub struct Streams {
    link: StreamLink,
    thread: Option<JoinHandle<()>>,
}

/// Why no thread carries streams.
#[derive(Debug)]
pub enum StreamsError {
    /// The host gives no thread or no descriptor.
    Host(std::io::Error),
    /// The node does not answer.
    Call(CallError),
}

impl Streams {
    /// Begins to serve `node` on `listeners`, and to send its own requests by TCP. `keys`
    /// are those of its network; later ones come with the node's tuning.
    ///
    /// # Errors
    /// [`StreamsError`] if the host is out of threads or descriptors, or the node ended.
    pub fn start(
        node: &NodeHandle,
        listeners: Vec<TcpListener>,
        keys: KeyRing,
        options: StreamOptions,
    ) -> Result<Self, StreamsError> {
        let wakeup = Wakeup::new().map_err(StreamsError::Host)?;
        let counters: Arc<StreamCounters> = Arc::default();
        let (link, mail) = StreamLink::new(wakeup.waker(), counters.clone());
        let carrier = Carrier::new(node.clone(), listeners, keys, options, counters);
        let carrier = carrier.and_then(|carrier| carrier.watching(wakeup, mail));
        let carrier = carrier.map_err(StreamsError::Host)?;
        let thread = std::thread::Builder::new().name("kdht-stream".into());
        let thread = thread.spawn(move || carrier.run()).map_err(StreamsError::Host)?;
        let streams = Self { link, thread: Some(thread) };
        node.link_streams(&streams.link).map_err(StreamsError::Call)?;
        Ok(streams)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.link.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Binds by UDP and listens at the same address by TCP. If `port` is 0, so that the host
/// chooses, it is one that is free by both.
///
/// # Errors
/// [`BindBothError`] names the address, the protocol, and why it cannot be had.
pub fn bind_both<T>(
    port: u16,
    bind: impl Fn() -> Result<T, BindError>,
    addr_of: impl Fn(&T) -> SocketAddr,
) -> Result<(T, TcpListener), BindBothError> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        let bound = bind().map_err(BindBothError::Udp)?;
        tries -= 1;
        match listen(addr_of(&bound)) {
            Ok(listener) => return Ok((bound, listener)),
            Err(error) if tries == 0 || error.reason != BindReason::InUse => {
                return Err(BindBothError::Tcp(error));
            }
            Err(_) => {}
        }
    }
}

/// Why an address cannot be had by both protocols.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BindBothError {
    /// Not by UDP.
    Udp(BindError),
    /// Not by TCP.
    Tcp(ListenError),
}

impl fmt::Display for BindBothError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(error) => error.fmt(f),
            Self::Tcp(error) => error.fmt(f),
        }
    }
}

impl Error for BindBothError {}

impl fmt::Display for StreamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => {
                write!(f, "the host gives no thread or descriptor for TCP: {error}")
            }
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl Error for StreamsError {}
