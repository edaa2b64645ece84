//! The host's sockets, clock, cores and sleep: the one place of the engine that holds
//! descriptors, and the one where `unsafe` is allowed.
//!
//! A runner thread owns a few [`Datapath`]s, one [`Waiter`] over all their descriptors and
//! one [`Wakeup`] for other threads to end its sleep. Per turn it calls
//! [`Datapath::receive`], walks the batch beside the outbox ([`Datapath::split`]) and
//! calls [`Datapath::flush`]. Nothing here allocates after construction.

mod clock;
mod control;
mod datapath;
mod drain;
mod messages;
mod mmsg;
mod name;
mod pin;
mod socket;
mod wait;
mod wake;

pub use clock::Moment;
pub use datapath::{Datagram, Datapath, DatapathCounters, Received, SharedFd};
pub use mmsg::{
    BATCH_COUNT_MAX, Mmsg, MmsgBatch, MmsgError, MmsgOptions, MmsgOutbox, RECEIVE_LEN_MAX,
    SOCKET_COUNT_MAX,
};
pub use pin::{Cpus, PinError, PinReason, allowed_cpus, pin_to};
pub use socket::{BindError, BindReason, Socket, SocketOptions, bind};
pub use wait::{Ready, WaitError, Waiter};
pub use wake::{Waker, Wakeup};
