//! Many datagrams to one peer in one system call: the kernel cuts them out of one buffer.

use std::net::SocketAddr;

use rustix::net::{SendFlags, sendto};

use super::messages::set_int;
use super::socket::Socket;

/// Most datagrams of one call, by the kernel's own limit since 4.18; later ones take more.
pub const SEGMENTS_MAX: usize = 64;

/// From now on the kernel cuts what is sent by `socket` into datagrams of `len` bytes, the
/// last as long as what is left. Shorter ones are sent as they are.
///
/// # Errors
/// What the kernel says; those before 4.18 do not know how.
pub fn set_segment_len(socket: &Socket, len: u16) -> std::io::Result<()> {
    Ok(set_int(socket.fd(), libc::SOL_UDP, libc::UDP_SEGMENT, len.into())?)
}

/// Sends `bytes` to `peer`, cut as [`set_segment_len`] said. Never blocks.
///
/// # Errors
/// What the kernel says; then nothing was sent.
pub fn send_segments(socket: &Socket, peer: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    sendto(socket.fd(), bytes, SendFlags::DONTWAIT, &peer)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::super::socket::{SocketOptions, bind};
    use super::*;

    #[test]
    fn one_call_arrives_as_datagrams_of_the_set_length() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let from = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        set_segment_len(&from, 72).unwrap();
        let bytes: Vec<u8> = (0..72 * 5 + 9).map(|at| u8::try_from(at % 251).unwrap()).collect();
        send_segments(&from, peer.local_addr().unwrap(), &bytes).unwrap();
        let mut buf = [0; 2_048];
        for expected in bytes.chunks(72) {
            let (len, addr) = peer.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..len], addr), (expected, from.local_addr()));
        }
    }
}
