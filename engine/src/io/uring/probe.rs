//! Whether this host lets us have a ring, and if not, why and what to do.

use std::error::Error;
use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::buffers::Buffers;
use super::ring::Ring;

/// Where the host says whether it allows io_uring: 0 yes, 1 to a group, 2 to nobody.
const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// Bytes that a datapath locks at most: the pages of its rings of buffers, of which a
/// kernel before 5.12 counts those of the queues too.
const LOCKED_LEN_MAX: u64 = 512 << 10;

/// Why a ring cannot be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UringUnavailable {
    /// The sysctl `kernel.io_uring_disabled` has this value.
    Disabled(u8),
    /// A seccomp filter, as containers have it, or a security module forbids it.
    Filtered,
    /// The kernel has no io_uring, or a filter says so.
    Missing,
    /// The kernel lacks a feature that came with Linux 6.1.
    TooOld,
    /// The limit of locked memory is too low, in bytes.
    Memlock {
        /// The limit.
        have: u64,
        /// What is needed.
        need: u64,
    },
    /// The kernel has no memory for a ring.
    Memory,
    /// The limit of open descriptors is reached.
    DescriptorLimit,
    /// The executor that drives rings did not start.
    Executor,
    /// Any other error number of the host's.
    Other(i32),
}

/// Makes a ring as a datapath does, and drops it.
///
/// # Errors
/// `UringUnavailable` says what the host is lacking or forbids, and its text what to do.
pub fn uring_available() -> Result<(), UringUnavailable> {
    Ring::new(&[], &[Buffers::new(1)], 1).map(drop)
}

impl UringUnavailable {
    /// What `error`, told while a ring was made, means.
    pub(super) fn of(error: &io::Error) -> Self {
        Self::judge(
            Errno::from_io_error(error).unwrap_or(Errno::IO),
            std::fs::read_to_string(SYSCTL).ok().and_then(|text| text.trim().parse().ok()),
            memlock_len(),
        )
    }

    /// What `errno` means on a host with this sysctl and this limit of locked memory.
    fn judge(errno: Errno, sysctl: Option<u8>, memlock: Option<u64>) -> Self {
        match (errno, sysctl, memlock) {
            (Errno::PERM | Errno::ACCESS, Some(value @ 1..), _) => Self::Disabled(value),
            (Errno::PERM | Errno::ACCESS, ..) => Self::Filtered,
            (Errno::NOSYS, ..) => Self::Missing,
            (Errno::INVAL, ..) => Self::TooOld,
            (Errno::NOMEM, _, Some(have)) if have < LOCKED_LEN_MAX => {
                Self::Memlock { have, need: LOCKED_LEN_MAX }
            }
            (Errno::NOMEM, ..) => Self::Memory,
            (Errno::MFILE | Errno::NFILE, ..) => Self::DescriptorLimit,
            (errno, ..) => Self::Other(errno.raw_os_error()),
        }
    }

    /// The limit of locked memory, if it is below `need` bytes.
    pub(crate) fn memlock_below(need: u64) -> Option<Self> {
        memlock_len().filter(|&have| have < need).map(|have| Self::Memlock { have, need })
    }
}

/// How much memory this process may lock, in bytes; none: without limit.
fn memlock_len() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

impl fmt::Display for UringUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Disabled(value) => write!(
                f,
                "io_uring is off on this host (kernel.io_uring_disabled = {value}); \
                 set it to 0 with `sysctl kernel.io_uring_disabled=0`, or use mmsg"
            ),
            Self::Filtered => f.write_str(
                "a seccomp filter or security module forbids io_uring, as containers do; \
                 allow io_uring_setup, io_uring_enter and io_uring_register, or use mmsg",
            ),
            Self::Missing => f.write_str(
                "the kernel has no io_uring or a seccomp filter hides it; allow \
                 io_uring_setup, io_uring_enter and io_uring_register, or use mmsg",
            ),
            Self::TooOld => f.write_str(
                "the kernel's io_uring is too old (IORING_SETUP_DEFER_TASKRUN is missing); \
                 use Linux 6.1 or newer, or mmsg",
            ),
            Self::Memlock { have, need } => write!(
                f,
                "the limit of locked memory is {have} bytes and io_uring needs {need}; \
                 raise `ulimit -l` or systemd's LimitMEMLOCK, or use mmsg"
            ),
            Self::Memory => f.write_str("the kernel has no memory for io_uring; use mmsg"),
            Self::DescriptorLimit => {
                f.write_str("the limit of open descriptors is reached; raise `ulimit -n`")
            }
            Self::Executor => {
                f.write_str("the executor that drives io_uring did not start; use mmsg")
            }
            Self::Other(errno) => {
                write!(f, "io_uring cannot be used: {}", io::Error::from_raw_os_error(errno))
            }
        }
    }
}

impl Error for UringUnavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_named_by_what_the_host_says_beside_it() {
        use UringUnavailable as U;
        for (errno, sysctl, memlock, meant, names) in [
            (Errno::PERM, Some(2), None, U::Disabled(2), "kernel.io_uring_disabled = 2"),
            (Errno::PERM, Some(0), None, U::Filtered, "seccomp"),
            (Errno::PERM, None, None, U::Filtered, "seccomp"),
            (Errno::NOSYS, None, None, U::Missing, "seccomp"),
            (Errno::INVAL, Some(0), None, U::TooOld, "6.1"),
            (
                Errno::NOMEM,
                Some(0),
                Some(65_536),
                U::Memlock { have: 65_536, need: 524_288 },
                "65536 bytes and io_uring needs 524288",
            ),
            (Errno::NOMEM, Some(0), None, U::Memory, "memory"),
            (Errno::MFILE, Some(0), None, U::DescriptorLimit, "ulimit -n"),
        ] {
            let judged = UringUnavailable::judge(errno, sysctl, memlock);
            assert_eq!(judged, meant);
            assert!(judged.to_string().contains(names), "{judged}");
        }
    }
}
