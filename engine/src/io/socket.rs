//! UDP sockets that tell which address was asked.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kdht_wire::Endpoint;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::datapath::SharedFd;
use super::messages::{set_flag, set_int};

/// What to ask of the host for a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketOptions {
    /// Bytes the kernel may hold that we have not received, bookkeeping included.
    pub receive_buffer_len: usize,
    /// Bytes the kernel may hold that have not left, bookkeeping included.
    pub send_buffer_len: usize,
}

impl Default for SocketOptions {
    /// 4 MiB each way: more than a core takes in during a scheduler's pause.
    fn default() -> Self {
        Self { receive_buffer_len: 4 << 20, send_buffer_len: 4 << 20 }
    }
}

/// A bound UDP socket of one family; a v6 socket takes no v4 traffic.
#[derive(Clone, Debug)]
pub struct Socket {
    fd: SharedFd,
    local_addr: SocketAddr,
    receive_buffer_len: usize,
    send_buffer_len: usize,
    segments: bool,
}

/// How long a port may be in use by a process that has ended: the kernel takes an io_uring
/// apart, and closes the sockets in it, some time after the process is gone.
const RELEASE_MAX: Duration = Duration::from_secs(2);
/// Between two tries to have such a port.
const RELEASE_STEP: Duration = Duration::from_millis(20);

/// Binds a UDP socket to `addr`; port 0 lets the host choose. A port in use is tried again
/// for two seconds.
///
/// Buffer sizes are asked past the host's limit first, which takes a privilege, then within
/// it; whatever the kernel gives is kept and can be read from the socket.
///
/// # Errors
/// `BindError` names the address and why it cannot be had.
pub fn bind(addr: SocketAddr, options: &SocketOptions) -> Result<Socket, BindError> {
    // A v6 socket here takes no v4 traffic, so a v4-mapped address means a v4 socket.
    let addr = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(_) => addr,
    };
    let deadline = Instant::now() + RELEASE_MAX;
    loop {
        match open(addr, options, false) {
            Err(Errno::ADDRINUSE) if addr.port() != 0 && Instant::now() < deadline => {
                std::thread::sleep(RELEASE_STEP);
            }
            bound => return bound.map_err(|errno| BindError::of(addr, errno)),
        }
    }
}

/// As [`bind`], to an address that other sockets of this kind may hold, too.
pub(super) fn bind_shared(addr: SocketAddr, options: &SocketOptions) -> Result<Socket, BindError> {
    open(addr, options, true).map_err(|errno| BindError::of(addr, errno))
}

fn open(addr: SocketAddr, options: &SocketOptions, is_shared: bool) -> Result<Socket, Errno> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    prepare(&fd, addr, options)?;
    if is_shared {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    rustix::net::bind(&fd, &addr)?;
    let local_addr = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
    Socket::of_prepared(fd, local_addr)
}

/// Asks for all that a socket bound to `addr` is to tell with each datagram, and for its
/// buffers.
fn prepare(fd: &OwnedFd, addr: SocketAddr, options: &SocketOptions) -> Result<(), Errno> {
    // Where only one address can be asked, it need not be told each time.
    match addr.ip() {
        ip if !ip.is_unspecified() => {}
        IpAddr::V4(_) => set_flag(fd, libc::IPPROTO_IP, libc::IP_PKTINFO)?,
        IpAddr::V6(_) => set_flag(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?,
    }
    // No datagram is longer than every path takes whole, so none is ever cut in pieces: which
    // others could forge, and for which the kernel draws an identification each. What ICMP
    // says of a path's size is not believed either. A host that cannot is as before.
    let _ = if addr.is_ipv4() {
        set_int(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    } else {
        set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
    };
    // Only a counter is lost where the host does not tell of drops.
    let _ = set_flag(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL);

    // A smaller buffer than asked loses datagrams under load but breaks nothing, and the
    // host's limit is the host's to set.
    let len = options.receive_buffer_len;
    if sockopt::set_socket_recv_buffer_size_force(fd, len).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(fd, len);
    }
    let len = options.send_buffer_len;
    if sockopt::set_socket_send_buffer_size_force(fd, len).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(fd, len);
    }
    Ok(())
}

impl Socket {
    /// A socket that somebody else bound to `local_addr`.
    pub(super) fn of_bound(
        fd: OwnedFd,
        local_addr: SocketAddr,
        options: &SocketOptions,
    ) -> Result<Self, Errno> {
        prepare(&fd, local_addr, options)?;
        Self::of_prepared(fd, local_addr)
    }

    fn of_prepared(fd: OwnedFd, local_addr: SocketAddr) -> Result<Self, Errno> {
        Ok(Self {
            local_addr,
            receive_buffer_len: sockopt::socket_recv_buffer_size(&fd)?,
            send_buffer_len: sockopt::socket_send_buffer_size(&fd)?,
            // One that does not know how would take a run for one datagram.
            segments: set_int(&fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok(),
            fd: Arc::new(fd),
        })
    }

    /// Where it listens, with the port the host chose if none was asked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The one address that it can be asked at, IPv6 or v4-mapped; zeros if it listens on all
    /// of the host's.
    pub(super) fn bound_ip(&self) -> [u8; 16] {
        if self.local_addr.ip().is_unspecified() {
            return Endpoint::NONE.ip;
        }
        Endpoint::from(self.local_addr).ip
    }

    /// The receive buffer the kernel gave, in bytes as it counts them: twice what was
    /// asked, for its bookkeeping, unless the host's limit is lower.
    #[must_use]
    pub fn receive_buffer_len(&self) -> usize {
        self.receive_buffer_len
    }

    /// The send buffer the kernel gave, counted as [`Socket::receive_buffer_len`].
    #[must_use]
    pub fn send_buffer_len(&self) -> usize {
        self.send_buffer_len
    }

    /// The same; without `segments` each datagram leaves it by itself.
    #[must_use]
    pub fn with_segments(self, segments: bool) -> Self {
        Self { segments: self.segments && segments, ..self }
    }

    /// Several datagrams to one peer leave it as one, which the kernel or the device cuts apart
    /// (UDP_SEGMENT), as they do unless told otherwise, where the kernel knows how.
    #[must_use]
    pub fn segments(&self) -> bool {
        self.segments
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> &SharedFd {
        &self.fd
    }
}

/// Why no socket could be bound, and to what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BindError {
    /// The address asked.
    pub addr: SocketAddr,
    /// What stands against it.
    pub reason: BindReason,
}

/// What stands against binding a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BindReason {
    /// Another socket holds the address and port.
    InUse,
    /// The address is none of this host's.
    NotLocal,
    /// The host forbids it, as it does ports below 1024 to most users.
    Denied,
    /// The host does not speak this family.
    FamilyUnsupported,
    /// The limit of open descriptors is reached.
    DescriptorLimit,
    /// The host does not take the rule that sockets are steered by, with this error number.
    Steering(i32),
    /// Any other error number of the host's.
    Other(i32),
}

impl BindError {
    fn of(addr: SocketAddr, errno: Errno) -> Self {
        Self { addr, reason: BindReason::of(errno) }
    }
}

impl BindReason {
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::ADDRINUSE => Self::InUse,
            Errno::ADDRNOTAVAIL => Self::NotLocal,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::AFNOSUPPORT => Self::FamilyUnsupported,
            Errno::MFILE | Errno::NFILE => Self::DescriptorLimit,
            errno => Self::Other(errno.raw_os_error()),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on UDP {}: {}", self.addr, self.reason)
    }
}

impl fmt::Display for BindReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => {
                f.write_str("the port is in use; stop the process that holds it or choose another")
            }
            Self::NotLocal => f.write_str(
                "the address is none of this host's; choose one of its own, or 0.0.0.0 or [::]",
            ),
            Self::Denied => f.write_str(
                "the host forbids it; choose a port from 1024 up or grant CAP_NET_BIND_SERVICE",
            ),
            Self::FamilyUnsupported => f.write_str(
                "the host does not speak this family; leave the address out or enable IPv6",
            ),
            Self::DescriptorLimit => {
                f.write_str("the limit of open descriptors is reached; raise `ulimit -n`")
            }
            Self::Steering(errno) => {
                let why = std::io::Error::from_raw_os_error(*errno);
                write!(f, "the host does not steer sockets ({why}); set steering to false")
            }
            Self::Other(errno) => {
                write!(f, "{}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl Error for BindError {}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn refused(addr: &str) -> BindError {
        bind(addr.parse().unwrap(), &SocketOptions::default()).unwrap_err()
    }

    #[test]
    fn a_taken_port_is_named_as_in_use() {
        let options = SocketOptions::default();
        let held = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        assert_ne!(held.local_addr().port(), 0);
        let error = bind(held.local_addr(), &options).unwrap_err();
        assert_eq!(error, BindError { addr: held.local_addr(), reason: BindReason::InUse });
        assert!(error.to_string().contains(&held.local_addr().to_string()));
    }

    #[test]
    fn a_foreign_address_is_named_as_not_local() {
        assert_eq!(refused("203.0.113.1:0").reason, BindReason::NotLocal);
        assert_eq!(refused("[2001:db8::1]:0").reason, BindReason::NotLocal);
    }

    #[test]
    fn a_v4_and_a_v6_socket_share_one_port() {
        let options = SocketOptions::default();
        let v6 = bind("[::]:0".parse().unwrap(), &options).unwrap();
        let v4 = SocketAddr::from(([0, 0, 0, 0], v6.local_addr().port()));
        assert_eq!(bind(v4, &options).unwrap().local_addr(), v4);
    }

    #[test]
    fn a_v4_mapped_address_binds_a_v4_socket() {
        let options = SocketOptions::default();
        let socket = bind("[::ffff:127.0.0.1]:0".parse().unwrap(), &options).unwrap();
        assert_eq!(socket.local_addr().ip(), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn nothing_that_is_sent_is_cut_in_pieces() {
        let options = SocketOptions::default();
        for (addr, level, option, wanted) in [
            ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
            ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
        ] {
            let socket = bind(addr.parse().unwrap(), &options).unwrap();
            let (mut value, mut len): (libc::c_int, libc::socklen_t) = (-1, 4);
            // SAFETY: both pointers are to locals of the lengths given, which outlive the call,
            // and the descriptor is open as long as the socket.
            let result = unsafe {
                let value = (&raw mut value).cast();
                libc::getsockopt(socket.fd.as_raw_fd(), level, option, value, &raw mut len)
            };
            assert_eq!((result, value), (0, wanted), "{addr}");
        }
    }

    #[test]
    fn the_buffers_the_kernel_gave_are_told() {
        let options = SocketOptions { receive_buffer_len: 20_000, send_buffer_len: 30_000 };
        let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        assert_eq!(socket.receive_buffer_len(), 40_000);
        assert_eq!(socket.send_buffer_len(), 60_000);
    }
}
