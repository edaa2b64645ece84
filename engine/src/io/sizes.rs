//! The sizes that every datapath is made with, and their ranges.

use std::error::Error;
use std::fmt;

/// Most sockets of one datapath.
pub const SOCKET_COUNT_MAX: usize = 16;

/// Most datagrams of one system call, in either direction: the kernel's own limit.
pub const BATCH_COUNT_MAX: usize = 1024;

const _: () = assert!(SOCKET_COUNT_MAX <= u8::MAX as usize);

/// A size that no datapath can be made with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SizeError {
    /// Not 1 to [`SOCKET_COUNT_MAX`] sockets.
    SocketCount(usize),
    /// The batch is not of 1 to [`BATCH_COUNT_MAX`] datagrams.
    BatchCount(usize),
    /// Not 1 to [`BATCH_COUNT_MAX`] send slots.
    SlotCount(usize),
}

/// Holds the sizes of a datapath against their ranges.
pub(super) fn check(
    socket_count: usize,
    batch_count: usize,
    slot_count: usize,
) -> Result<(), SizeError> {
    if !(1..=SOCKET_COUNT_MAX).contains(&socket_count) {
        return Err(SizeError::SocketCount(socket_count));
    }
    if !(1..=BATCH_COUNT_MAX).contains(&batch_count) {
        return Err(SizeError::BatchCount(batch_count));
    }
    if !(1..=BATCH_COUNT_MAX).contains(&slot_count) {
        return Err(SizeError::SlotCount(slot_count));
    }
    Ok(())
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, have, max) = match *self {
            Self::SocketCount(have) => ("sockets", have, SOCKET_COUNT_MAX),
            Self::BatchCount(have) => ("datagrams in a batch", have, BATCH_COUNT_MAX),
            Self::SlotCount(have) => ("send slots", have, BATCH_COUNT_MAX),
        };
        write!(f, "{have} {what} asked; 1 to {max} are possible")
    }
}

impl Error for SizeError {}
