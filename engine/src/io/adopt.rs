//! Handing a descriptor to a type that takes raw ones only.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Makes `fd` into a `T`, which closes it from then on.
pub(crate) fn adopt<T: FromRawFd>(fd: OwnedFd) -> T {
    // SAFETY: the descriptor is open and owned, and its ownership ends here, which is what
    // `from_raw_fd` asks for.
    unsafe { T::from_raw_fd(fd.into_raw_fd()) }
}
