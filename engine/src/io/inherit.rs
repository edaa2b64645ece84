//! Sockets that a service manager opened and hands over (sd_listen_fds(3)).

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::socket::{Socket, SocketOptions};

/// The first descriptor that is handed over; the others follow it.
const FIRST_FD: i32 = 3;
/// Descriptors that are taken at most.
pub const INHERITED_MAX: i32 = 16;

/// How many descriptors there are.
const COUNT: &str = "LISTEN_FDS";
/// The process that they are for.
const PROCESS: &str = "LISTEN_PID";
/// What the manager calls each.
const NAMES: &str = "LISTEN_FDNAMES";

/// What a service manager handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Bound UDP sockets, at most one of a family.
    pub sockets: Vec<Socket>,
    /// Listening TCP sockets, and where they listen.
    pub listeners: Vec<(SocketAddr, OwnedFd)>,
}

/// Which descriptor cannot be used, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InheritError {
    /// The descriptor's number.
    pub fd: i32,
    /// What is wrong with it.
    pub reason: InheritReason,
}

/// What is wrong with a descriptor that was handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InheritReason {
    /// `LISTEN_FDS` is no number of descriptors from 0 to [`INHERITED_MAX`].
    Count,
    /// No such descriptor is open.
    Closed,
    /// It is no socket of IPv4 or IPv6.
    Family,
    /// It is neither UDP nor a TCP listener.
    Type,
    /// It is bound to no port.
    Unbound,
    /// It is of IPv6 and takes IPv4 traffic, too.
    DualStack,
    /// A socket of its family came before it.
    Second(SocketAddr),
    /// The host refused to set it up, with this error number.
    Host(i32),
}

/// Takes the sockets that a service manager opened for this process, if it did, and takes
/// what tells of them out of the environment. The second call in a process finds none.
///
/// To be called before the process starts a thread or opens a descriptor that it keeps.
///
/// # Errors
/// [`InheritError`] names the first descriptor that cannot be used.
pub fn inherited(options: &SocketOptions) -> Result<Inherited, InheritError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let is_ours = std::env::var(PROCESS).is_ok_and(|pid| pid == std::process::id().to_string());
    if !is_ours || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Inherited::default());
    }
    let count = std::env::var(COUNT).ok().and_then(|text| text.parse().ok());
    let count = count.filter(|count| (0..=INHERITED_MAX).contains(count));
    forget_environment();
    let Some(count) = count else {
        return Err(InheritError { fd: FIRST_FD, reason: InheritReason::Count });
    };
    let mut found = Inherited::default();
    for fd in FIRST_FD..FIRST_FD + count {
        let fail = |reason| InheritError { fd, reason };
        // SAFETY: F_GETFD only reads flags, and of a descriptor that is not open it says so.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            return Err(fail(InheritReason::Closed));
        }
        // SAFETY: the descriptor is open, and nobody else here owns it: who started this
        // process opened it for `LISTEN_PID`, which is this process, and `TAKEN` lets each
        // number be taken once.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        found.add(owned, options).map_err(fail)?;
    }
    Ok(found)
}

/// Processes that this one starts are not to think that the descriptors are for them.
fn forget_environment() {
    let tasks = std::fs::read_dir("/proc/self/task");
    if tasks.map_or(true, |tasks| tasks.count() != 1) {
        // Another thread may be reading the environment. The process that the variables
        // name is this one, so that a child ignores them all the same.
        return;
    }
    for name in [COUNT, PROCESS, NAMES] {
        // SAFETY: this is the process's only thread, as the kernel has just listed, so that
        // nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
}

impl Inherited {
    fn add(&mut self, fd: OwnedFd, options: &SocketOptions) -> Result<(), InheritReason> {
        let host = |errno: rustix::io::Errno| InheritReason::Host(errno.raw_os_error());
        rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(host)?;
        let family = sockopt::socket_domain(&fd).map_err(|_| InheritReason::Family)?;
        if ![AddressFamily::INET, AddressFamily::INET6].contains(&family) {
            return Err(InheritReason::Family);
        }
        let local_addr = rustix::net::getsockname(&fd).map_err(host)?;
        let local_addr = SocketAddr::try_from(local_addr).map_err(|_| InheritReason::Family)?;
        if local_addr.port() == 0 {
            return Err(InheritReason::Unbound);
        }
        match sockopt::socket_type(&fd).map_err(host)? {
            SocketType::STREAM if sockopt::socket_acceptconn(&fd).map_err(host)? => {
                self.listeners.push((local_addr, fd));
                return Ok(());
            }
            SocketType::DGRAM => {}
            _ => return Err(InheritReason::Type),
        }
        if family == AddressFamily::INET6 && !sockopt::ipv6_v6only(&fd).map_err(host)? {
            return Err(InheritReason::DualStack);
        }
        let same_family = |other: &&Socket| other.local_addr().is_ipv4() == local_addr.is_ipv4();
        if let Some(first) = self.sockets.iter().find(same_family) {
            return Err(InheritReason::Second(first.local_addr()));
        }
        rustix::io::ioctl_fionbio(&fd, true).map_err(host)?;
        self.sockets.push(Socket::of_bound(fd, local_addr, options).map_err(host)?);
        Ok(())
    }

    /// Where its UDP sockets are bound.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(Socket::local_addr).collect()
    }

    /// The number that a listener was handed over by.
    #[must_use]
    pub fn listener_fd(&self, at: usize) -> Option<i32> {
        self.listeners.get(at).map(|(_, fd)| fd.as_raw_fd())
    }
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason == InheritReason::Count {
            return write!(f, "LISTEN_FDS is no number from 0 to {INHERITED_MAX}");
        }
        write!(f, "descriptor {} of LISTEN_FDS ", self.fd)?;
        match self.reason {
            InheritReason::Count => Ok(()),
            InheritReason::Closed => f.write_str("is not open"),
            InheritReason::Family => f.write_str(
                "is no socket of IPv4 or IPv6; use ListenDatagram=ADDRESS:PORT in the unit",
            ),
            InheritReason::Type => f.write_str("is no UDP socket; use ListenDatagram= in the unit"),
            InheritReason::Unbound => f.write_str("is bound to no port"),
            InheritReason::DualStack => f.write_str(
                "takes IPv4 traffic on an IPv6 socket; set BindIPv6Only=ipv6-only in the unit, \
                 and name an IPv4 address beside it",
            ),
            InheritReason::Second(first) => {
                write!(f, "is the second socket of its family, after {first}; keep one")
            }
            InheritReason::Host(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                write!(f, "cannot be set up: {error}")
            }
        }
    }
}

impl Error for InheritError {}
