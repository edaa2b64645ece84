//! Sockets of another namespace.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// This namespace's end of the link to the other.
pub(crate) const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// A socket that hears `server` alone, or anybody, of the namespace at `namespace` if there is one.
pub(crate) fn socket(
    server: Option<SocketAddr>,
    namespace: Option<&Path>,
) -> Result<UdpSocket, String> {
    let host = |error: std::io::Error| error.to_string();
    let bind = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(host)?;
        if let Some(server) = server {
            socket.connect(server).map_err(host)?;
        }
        Ok(socket)
    };
    let Some(namespace) = namespace else { return bind() };
    let own = File::open("/proc/thread-self/ns/net").map_err(host)?;
    let there = File::open(namespace).map_err(host)?;
    let enter = |of: &File| {
        move_into_link_name_space(of.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| format!("another namespace: {error}"))
    };
    enter(&there)?;
    let bound = bind();
    enter(&own)?;
    bound
}
