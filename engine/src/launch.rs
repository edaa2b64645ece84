//! Starting a node: its shards, their sockets, and the threads that turn them.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};

use kdht_core::{Config, TableKind};
use kdht_wire::Id;

use crate::hosted::{Hosted, Hosting};
use crate::io::{Moment, OpenError, Socket, SocketOptions, Steering, bind_each};
use crate::mesh::mesh;
use crate::node_handle::NodeHandle;
use crate::now_of;
use crate::record::RecordError;
use crate::routing::Attachment;
use crate::runner::{CallError, Runner};
use crate::stream::{BindBothError, StreamOptions, Streams, StreamsError, bind_both};

/// A node that is about to run.
#[derive(Debug)]
pub struct Launch {
    /// One for each shard, in their order.
    nodes: Vec<Hosted>,
    /// For each shard, one socket for each address.
    sockets: Vec<Vec<Socket>>,
    listening: Vec<SocketAddr>,
    /// At the same addresses, by TCP.
    listeners: Vec<TcpListener>,
    /// What the node is made with.
    config: Config,
    is_recorded: bool,
}

/// Why a node did not start.
#[derive(Debug)]
pub enum LaunchError {
    /// An address cannot be had.
    Bind(BindBothError),
    /// Nothing carries TCP.
    Streams(StreamsError),
    /// The datapath cannot be made.
    Open(OpenError),
    /// A thread has ended or does not answer.
    Call(CallError),
    /// The node cannot be recorded.
    Record(RecordError),
    /// Sockets were handed over for one shard, and there are more.
    Inherited {
        /// How many.
        shards: u8,
    },
}

impl Launch {
    /// Makes the shards of the node `id` and binds their sockets. `config.shards` says how
    /// many; `is_steered` whether the kernel hands each datagram to the shard that it is for.
    ///
    /// # Errors
    /// [`LaunchError::Bind`], [`LaunchError::Record`].
    pub fn prepare(
        id: Id,
        config: &Config,
        seed: [u8; 16],
        listen: &[SocketAddr],
        is_steered: bool,
        hosting: &Hosting,
    ) -> Result<Self, LaunchError> {
        let nodes = hosted(id, config, seed, hosting)?;
        let spread = nodes[0].spread();
        let steering = match config.table {
            _ if !is_steered => Steering::Off,
            TableKind::KBucket => Steering::Spread,
            TableKind::Wide(_) => Steering::Wide(id.0[0]),
        };
        let mut sockets: Vec<Vec<Socket>> = nodes.iter().map(|_| Vec::new()).collect();
        let (mut listening, mut listeners) = (Vec::new(), Vec::new());
        for addr in listen {
            let bind = || bind_each(*addr, &SocketOptions::default(), &spread, steering);
            let addr_of = |bound: &Vec<Socket>| bound.first().map_or(*addr, Socket::local_addr);
            let (bound, listener) =
                bind_both(addr.port(), bind, addr_of).map_err(LaunchError::Bind)?;
            listeners.push(listener);
            listening.extend(bound.first().map(Socket::local_addr));
            sockets.iter_mut().zip(bound).for_each(|(of_shard, socket)| of_shard.push(socket));
        }
        let is_recorded = hosting.record.is_some();
        Ok(Self { nodes, sockets, listening, listeners, config: config.clone(), is_recorded })
    }

    /// The same over sockets that somebody else bound, UDP and TCP.
    ///
    /// # Errors
    /// [`LaunchError::Inherited`] if there are several shards, which need sockets each.
    pub fn over(
        id: Id,
        config: &Config,
        seed: [u8; 16],
        (sockets, listeners): (Vec<Socket>, Vec<TcpListener>),
        hosting: &Hosting,
    ) -> Result<Self, LaunchError> {
        if config.shards > 1 {
            return Err(LaunchError::Inherited { shards: config.shards });
        }
        let nodes = hosted(id, config, seed, hosting)?;
        let listening = sockets.iter().map(Socket::local_addr).collect();
        let (sockets, is_recorded) = (vec![sockets], hosting.record.is_some());
        Ok(Self { nodes, sockets, listening, listeners, config: config.clone(), is_recorded })
    }

    /// The same; without `segments` each datagram leaves by itself, where several to one peer would
    /// leave as one.
    #[must_use]
    pub fn with_segments(mut self, segments: bool) -> Self {
        for socket in self.sockets.iter_mut().flatten() {
            *socket = socket.clone().with_segments(segments);
        }
        self
    }

    /// Where the node answers, with the ports that the host chose.
    #[must_use]
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// What the kernel module is told of the node, if it is to route for it.
    ///
    /// # Panics
    /// Never: there is a shard.
    #[must_use]
    pub fn attachment(&self) -> Attachment {
        Attachment {
            id: self.nodes[0].id(),
            sockets: self.sockets.iter().flatten().map(|socket| socket.fd().clone()).collect(),
            cookie_secret: self.nodes[0].cookie_secret(),
            config: self.config.clone(),
            is_recorded: self.is_recorded,
        }
    }

    /// Gives the shards to `runners`, in turn, and begins to serve TCP.
    ///
    /// # Errors
    /// [`LaunchError`]; what runs already is stopped.
    ///
    /// # Panics
    /// Without a runner.
    pub fn start(self, runners: &[Runner]) -> Result<(NodeHandle, Streams), LaunchError> {
        let spread = self.nodes[0].spread();
        let mut ports: Vec<_> = mesh(spread.shards()).into_iter().map(Some).collect();
        let mut handles = Vec::new();
        for (shard, (node, sockets)) in self.nodes.into_iter().zip(self.sockets).enumerate() {
            let port = ports[shard].take().filter(|_| spread.shards() > 1);
            let opened = runners[shard % runners.len()].open(node, sockets, port);
            handles.push(opened.map_err(LaunchError::Open)?.map_err(LaunchError::Call)?);
        }
        let node = NodeHandle::of_shards(&handles, spread);
        let streams =
            Streams::start(&node, self.listeners, self.config.keys, StreamOptions::default());
        Ok((node, streams.map_err(LaunchError::Streams)?))
    }
}

fn hosted(
    id: Id,
    config: &Config,
    seed: [u8; 16],
    hosting: &Hosting,
) -> Result<Vec<Hosted>, LaunchError> {
    let now = now_of(Moment::now());
    let shard = |shard| hosting.host(id, Config { shard, ..config.clone() }, seed, now);
    let shards = (0..config.shards.max(1)).map(shard);
    shards.collect::<Result<_, _>>().map_err(LaunchError::Record)
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Streams(error) => error.fmt(f),
            Self::Open(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Inherited { shards } => write!(
                f,
                "the service manager's sockets serve one shard, not {shards}; set `shards` to 1, \
                 or leave the socket unit out"
            ),
        }
    }
}

impl Error for LaunchError {}
