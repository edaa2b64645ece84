//! What a socket holds that nobody has received.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes of memory of the datagrams that wait in a socket, bookkeeping included; zero: none
/// waits, not even an empty one.
///
/// # Errors
/// The host's, if it cannot tell.
pub fn queued_len(fd: impl AsFd) -> io::Result<u32> {
    // `SK_MEMINFO_VARS` of them; the first is that of what was received.
    let mut info = [0_u32; 9];
    let mut len = libc::socklen_t::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: the kernel writes at most `len` bytes to `info`, which is that long and of any
    // bits valid, and the length to `len`; both live through the call. `fd` is open as long as
    // it is borrowed.
    let result = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(info[0]) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_has_something_queued_until_it_was_received_even_if_it_is_empty() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        assert_eq!(queued_len(&socket).unwrap(), 0);
        for bytes in [&b""[..], b"some"] {
            socket.send_to(bytes, addr).unwrap();
        }
        for _ in 0..2 {
            assert!(queued_len(&socket).unwrap() > 0);
            socket.recv(&mut [0; 8]).unwrap();
        }
        assert_eq!(queued_len(&socket).unwrap(), 0);
    }
}
