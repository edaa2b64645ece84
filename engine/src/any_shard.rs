//! A shard on whichever datapath: the choice is made once a turn, not once a datagram.

use kdht_core::{Nanos, Verdict, VerifyJob};

use crate::hosted::Hosted;
use crate::io::{
    Datapath, DatapathKind, Mmsg, MmsgOptions, Moment, OpenError, SharedFd, Socket, Uring,
    UringOptions,
};
use crate::mesh::Port;
use crate::shard::{Shard, ShardRequest, Turn};
use crate::status::Status;

/// A shard on whichever datapath.
pub enum AnyShard {
    /// Over recvmmsg and sendmmsg.
    Mmsg(Box<Shard<Mmsg>>),
    /// Over io_uring.
    Uring(Box<Shard<Uring>>),
}

/// Calls a method of whichever shard it is.
macro_rules! of_either {
    ($any:expr, $shard:ident => $work:expr) => {
        match $any {
            AnyShard::Mmsg($shard) => $work,
            AnyShard::Uring($shard) => $work,
        }
    };
}

impl AnyShard {
    /// A shard for `node` on a datapath of `kind` over `sockets`, of usual sizes.
    ///
    /// # Errors
    /// `OpenError` if there are too many sockets or the host does not allow it.
    pub fn open(
        kind: DatapathKind,
        node: impl Into<Hosted>,
        sockets: Vec<Socket>,
    ) -> Result<Self, OpenError> {
        Ok(match kind {
            DatapathKind::Mmsg => {
                let mmsg = Mmsg::new(sockets, &MmsgOptions::default());
                Shard::new(node, mmsg.map_err(OpenError::Mmsg)?).into()
            }
            DatapathKind::Uring => {
                let uring = Uring::new(sockets, &UringOptions::default());
                Shard::new(node, uring.map_err(OpenError::Uring)?).into()
            }
        })
    }

    /// What it moves datagrams with.
    #[must_use]
    pub fn kind(&self) -> DatapathKind {
        match self {
            Self::Mmsg(_) => DatapathKind::Mmsg,
            Self::Uring(_) => DatapathKind::Uring,
        }
    }

    /// The same as one of several shards.
    #[must_use]
    pub fn with_port(self, port: Port) -> Self {
        match self {
            Self::Mmsg(shard) => (*shard).with_port(port).into(),
            Self::Uring(shard) => (*shard).with_port(port).into(),
        }
    }

    pub(crate) fn port(&self) -> Option<&Port> {
        of_either!(self, shard => shard.port())
    }

    pub(crate) fn fds(&self) -> &[SharedFd] {
        of_either!(self, shard => shard.datapath().fds())
    }

    pub(crate) fn turn(&mut self, moment: Moment) -> Turn {
        of_either!(self, shard => shard.turn(moment))
    }

    pub(crate) fn announce(&mut self) -> bool {
        of_either!(self, shard => shard.announce())
    }

    pub(crate) fn handle(&mut self, moment: Moment, request: ShardRequest) {
        of_either!(self, shard => shard.handle(moment, request));
    }

    pub(crate) fn poll_verify(&mut self) -> Option<VerifyJob> {
        of_either!(self, shard => shard.poll_verify())
    }

    pub(crate) fn handle_verdict(&mut self, moment: Moment, verdict: Verdict) {
        of_either!(self, shard => shard.handle_verdict(moment, verdict));
    }

    pub(crate) fn wake_at(&self) -> Option<Nanos> {
        of_either!(self, shard => shard.wake_at())
    }

    pub(crate) fn status(&self, moment: Moment) -> Status {
        of_either!(self, shard => shard.status(moment))
    }
}

impl From<Shard<Mmsg>> for AnyShard {
    fn from(shard: Shard<Mmsg>) -> Self {
        Self::Mmsg(Box::new(shard))
    }
}

impl From<Shard<Uring>> for AnyShard {
    fn from(shard: Shard<Uring>) -> Self {
        Self::Uring(Box::new(shard))
    }
}
