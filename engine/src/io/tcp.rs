//! TCP sockets that never block: one that listens beside a UDP socket, and connections out.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::socket::BindReason;

/// Connections that wait to be accepted at most; the kernel refuses more.
const BACKLOG_MAX: i32 = 128;

/// Listens on `addr` by TCP; port 0 lets the host choose. A port that only has connections
/// of a process before this one left is free.
///
/// # Errors
/// `ListenError` names the address and why it cannot be had.
pub fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    open_listener(addr).map_err(|errno| ListenError { addr, reason: BindReason::of(errno) })
}

fn open_listener(addr: SocketAddr) -> Result<TcpListener, Errno> {
    let fd = open(addr)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    rustix::net::bind(&fd, &addr)?;
    rustix::net::listen(&fd, BACKLOG_MAX)?;
    Ok(TcpListener::from(fd))
}

/// Begins a connection to `addr`. It is there, or has failed, when it can be written to.
///
/// # Errors
/// The host's error, if it is known at once.
pub fn begin_connection(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let fd = open(addr)?;
    match rustix::net::connect(&fd, &addr) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(TcpStream::from(fd)),
        Err(errno) => Err(errno.into()),
    }
}

fn open(addr: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
}

/// Why nothing listens by TCP, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenError {
    /// The address asked.
    pub addr: SocketAddr,
    /// What stands against it.
    pub reason: BindReason,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on TCP {}: {}", self.addr, self.reason)
    }
}

impl Error for ListenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_as_in_use_by_tcp() {
        let held = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = held.local_addr().unwrap();
        let error = listen(addr).unwrap_err();
        assert_eq!(error, ListenError { addr, reason: BindReason::InUse });
        assert!(error.to_string().contains(&format!("TCP {addr}")), "{error}");
    }

    #[test]
    fn a_port_is_free_again_although_connections_linger() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        let client = TcpStream::connect(addr).unwrap();
        let served = loop {
            if let Ok((served, _)) = first.accept() {
                break served;
            }
        };
        // The side that closes first is the one that lingers.
        drop(served);
        drop(first);
        drop(client);
        listen(addr).unwrap();
    }
}
