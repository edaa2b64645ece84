//! The host's sockets, clock, cores and sleep: the one place of the engine that holds
//! descriptors, and the one where `unsafe` is allowed.
//!
//! A runner thread owns a few [`Datapath`]s, one [`Waiter`] or [`Poller`] over all their
//! descriptors and one [`Wakeup`] for other threads to end its sleep. Per turn it calls
//! [`Datapath::receive`], walks the batch beside the outbox ([`Datapath::split`]) and
//! calls [`Datapath::flush`]. Nothing here allocates after construction.
//!
//! [`Uring`] and [`Mmsg`] do the same by other means; `tests.rs` holds what both claim.

mod choice;
mod clock;
mod control;
mod datapath;
mod drafts;
mod drain;
mod inherit;
mod messages;
mod mmsg;
mod name;
mod overflow;
mod pin;
mod poller;
mod queued;
mod run;
mod sizes;
mod socket;
mod steer;
mod tcp;
#[cfg(test)]
mod tests;
mod uring;
mod wait;
mod wake;

pub use choice::{DatapathChoice, DatapathKind, OpenError, UnknownDatapath};
pub use clock::Moment;
pub use datapath::{Datagram, Datapath, DatapathCounters, Received, SharedFd};
pub use inherit::{INHERITED_MAX, InheritError, InheritReason, Inherited, inherited};
pub use mmsg::{Mmsg, MmsgBatch, MmsgOptions, MmsgOutbox, RECEIVE_LEN_MAX};
pub use pin::{Cpus, PinError, PinReason, allowed_cpus, pin_to};
pub use poller::{Interest, Poller, Readiness};
pub use queued::queued_len;
pub use sizes::{BATCH_COUNT_MAX, SOCKET_COUNT_MAX, SizeError};
pub use socket::{BindError, BindReason, Socket, SocketOptions, bind};
pub use steer::{Steering, bind_each};
pub use tcp::{ListenError, begin_connection, listen};
pub use uring::{
    BUFFER_COUNT_MAX, Uring, UringBatch, UringError, UringOptions, UringOutbox, UringUnavailable,
    uring_available,
};
pub use wait::{Ready, WaitError, Waiter};
pub use wake::{Waker, Wakeup};
