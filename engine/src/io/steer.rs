//! Several sockets on one address, and the kernel's rule for which of them a datagram is for.

use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use kdht_core::{SPREAD_OFFSET, Spread};
use kdht_wire::{Flags, HEAD_LEN, Kind, MAGIC, SHARD_OFFSET, TARGET_OFFSET};

use super::messages::last_error;
use super::socket::{BindError, BindReason, Socket, SocketOptions, bind, bind_shared};

/// Binds one UDP socket per shard of `spread` to `addr`, in the shards' order; port 0 lets
/// the host choose one for all.
///
/// Where `steering` is not [`Steering::Off`], the kernel hands each datagram to the shard that
/// it is for. It is a hint: what is short goes to the first socket, one that is closed
/// shifts those behind it, and the kernel may treat datagrams that it carries as one as one.
///
/// # Errors
/// `BindError` names the address and why it cannot be had. An address that any other socket
/// holds is in use, even where that one would share it.
pub fn bind_each(
    addr: SocketAddr,
    options: &SocketOptions,
    spread: &Spread,
    steering: Steering,
) -> Result<Vec<Socket>, BindError> {
    let alone = bind(addr, options)?;
    if spread.shards() == 1 {
        return Ok(vec![alone]);
    }
    // Bound alone, it has shown that nobody else is there; sockets that share an address
    // cannot tell a sibling from a stranger.
    let addr = alone.local_addr();
    drop(alone);
    let sockets: Vec<Socket> =
        (0..spread.shards()).map(|_| bind_shared(addr, options)).collect::<Result<_, _>>()?;
    if let Some((wide, first)) = steering.wide().zip(sockets.first()) {
        steer(first, spread, wide)
            .map_err(|errno| BindError { addr, reason: BindReason::Steering(errno) })?;
    }
    Ok(sockets)
}

/// How the kernel chooses among a node's sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Steering {
    /// By the sender's address: the shards hand over what is not theirs.
    Off,
    /// As [`Spread::home`] says, and the rest by target.
    Spread,
    /// So, but FIND_NODE by the first byte of the target, as wide tables are divided; except
    /// where it is this one, the own id's, which all shards can answer for.
    Wide(u8),
}

impl Steering {
    /// Nothing if it is off; else the own byte, if it is by prefix.
    fn wide(self) -> Option<Option<u8>> {
        match self {
            Self::Off => None,
            Self::Spread => Some(None),
            Self::Wide(own) => Some(Some(own)),
        }
    }
}

fn steer(socket: &Socket, spread: &Spread, wide: Option<u8>) -> Result<(), i32> {
    const LEN: libc::socklen_t = 16;
    const _: () = assert!(size_of::<libc::sock_fprog>() == LEN as usize);
    let mut program = program(spread, wide);
    let len = u16::try_from(program.len()).unwrap_or(u16::MAX);
    let lent = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF);
    let fd = socket.fd().as_fd().as_raw_fd();
    // SAFETY: the kernel reads `LEN` bytes at the pointer, which are those of `lent`, and
    // through it `len` instructions of `program`; both live through the call, and the kernel
    // keeps a copy. The descriptor is open as long as the socket is borrowed.
    let result =
        unsafe { libc::setsockopt(fd, level, option, std::ptr::from_ref(&lent).cast(), LEN) };
    if result == 0 { Ok(()) } else { Err(last_error().raw_os_error()) }
}

/// The instructions of classic BPF that say whose a datagram is, over the UDP payload. A load
/// from behind its end makes the result 0, as does what is no message.
fn program(spread: &Spread, wide: Option<u8>) -> Vec<libc::sock_filter> {
    let offset = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    let head_len = u32::try_from(HEAD_LEN).unwrap_or(u32::MAX);
    let (reply, recurse) = (u32::from(Flags::REPLY.0), u32::from(Flags::RECURSE.0));
    let shards = u32::from(spread.shards());
    let byte = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    // Where the parts begin.
    let by_spread: u8 = if wide.is_some() { 14 } else { 6 };
    let (by_nothing, by_reply) = (by_spread + 5, by_spread + 6);
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0),
        jump(1, libc::BPF_JGE, head_len, 2, by_nothing),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0),
        jump(3, libc::BPF_JEQ, u32::from(u16::from_be_bytes(MAGIC)), 4, by_nothing),
        // Flags are little-endian; those asked for are in their first byte.
        step(byte, 4),
        jump(5, libc::BPF_JSET, reply, by_reply, 6),
    ];
    if let Some(own) = wide {
        program.extend([
            jump(6, libc::BPF_JSET, recurse, by_spread, 7),
            step(byte, 3),
            jump(8, libc::BPF_JEQ, Kind::FindNode as u32, 9, by_spread),
            step(byte, offset(TARGET_OFFSET)),
            jump(10, libc::BPF_JEQ, own.into(), by_spread, 11),
            step(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, shards),
            step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 8),
            step(libc::BPF_RET | libc::BPF_A, 0),
        ]);
    }
    program.extend([
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset(SPREAD_OFFSET)),
        step(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, spread.factor()),
        step(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 16),
        step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, shards),
        step(libc::BPF_RET | libc::BPF_A, 0),
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(byte, offset(SHARD_OFFSET)),
        jump(by_reply + 1, libc::BPF_JGE, shards, by_reply + 2, by_reply + 3),
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_A, 0),
    ]);
    program
}

fn step(code: u32, k: u32) -> libc::sock_filter {
    // Every code is below 2⁸.
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k }
}

/// The instruction at `at`, behind which it goes on at `yes` or `no`; both stand behind it.
fn jump(at: u8, how: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    let (jt, jf) = (yes - at - 1, no - at - 1);
    libc::sock_filter { jt, jf, ..step(libc::BPF_JMP | how | libc::BPF_K, k) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use kdht_core::{Home, Rng};
    use rustix::net::{RecvFlags, recv};

    use super::*;

    /// The shard whose socket `bytes` reach.
    fn reached(sockets: &[Socket], sender: &UdpSocket, bytes: &[u8]) -> usize {
        sender.send_to(bytes, sockets[0].local_addr()).unwrap();
        for _ in 0..2_000 {
            for (shard, socket) in sockets.iter().enumerate() {
                let mut into = [0; 2_048];
                if let Ok((_, len)) = recv(socket.fd(), &mut into, RecvFlags::DONTWAIT) {
                    assert_eq!(&into[..len], bytes);
                    return shard;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the datagram is lost");
    }

    #[test]
    fn the_kernel_steers_as_the_spread_says() {
        let mut rng = Rng::from_seed([6; 16]);
        for (shards, addr) in [(2, "127.0.0.1:0"), (5, "[::1]:0"), (255, "127.0.0.1:0")] {
            let spread = Spread::new(shards, rng.next_u32());
            let options = SocketOptions { receive_buffer_len: 1 << 16, send_buffer_len: 1 << 16 };
            let sockets =
                bind_each(addr.parse().unwrap(), &options, &spread, Steering::Spread).unwrap();
            assert_eq!(sockets.len(), usize::from(shards));
            let any = if addr.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
            let sender = UdpSocket::bind(any).unwrap();
            for round in 0..300_u16 {
                let mut bytes = [0_u8; 120];
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
                }
                bytes[..2].copy_from_slice(&MAGIC);
                bytes[3] = u8::try_from(1 + round % 5).unwrap();
                let len = if round % 7 == 0 { 71 } else { 120 };
                let shard = reached(&sockets, &sender, &bytes[..len]);
                match spread.home(&bytes[..len]) {
                    Home::Shard(home) => assert_eq!(shard, usize::from(home), "round {round}"),
                    Home::Any if len < HEAD_LEN => assert_eq!(shard, 0),
                    Home::Any => {}
                }
            }
        }
    }

    #[test]
    fn find_node_goes_by_prefix_where_tables_are_wide() {
        let mut rng = Rng::from_seed([7; 16]);
        let spread = Spread::new(5, rng.next_u32());
        let options = SocketOptions { receive_buffer_len: 1 << 16, send_buffer_len: 1 << 16 };
        let steering = Steering::Wide(0xa7);
        let any = "127.0.0.1:0".parse().unwrap();
        let sockets = bind_each(any, &options, &spread, steering).unwrap();
        let sender = UdpSocket::bind(any).unwrap();
        for first in 0..=255_u8 {
            let mut bytes = [0_u8; 72];
            bytes[..2].copy_from_slice(&MAGIC);
            bytes[3] = Kind::FindNode as u8;
            bytes[40..].iter_mut().for_each(|byte| *byte = rng.next_u64().to_le_bytes()[0]);
            bytes[TARGET_OFFSET] = first;
            let mut target = kdht_wire::Id::ZERO;
            target.0.copy_from_slice(&bytes[TARGET_OFFSET..TARGET_OFFSET + 20]);
            let by_prefix = usize::from(first) * 5 / 256;
            let by_spread = usize::from(spread.of(&target));
            let wanted = if first == 0xa7 { by_spread } else { by_prefix };
            assert_eq!(reached(&sockets, &sender, &bytes), wanted, "{first:02x}");
            bytes[4] = u8::try_from(Flags::RECURSE.0).unwrap();
            assert_eq!(reached(&sockets, &sender, &bytes), by_spread, "{first:02x}, recursive");
        }
    }

    #[test]
    fn an_address_that_others_share_is_in_use() {
        let spread = Spread::new(2, 1);
        let options = SocketOptions::default();
        let first =
            bind_each("127.0.0.1:0".parse().unwrap(), &options, &spread, Steering::Spread).unwrap();
        let again =
            bind_each(first[0].local_addr(), &options, &spread, Steering::Spread).unwrap_err();
        assert_eq!(again.reason, BindReason::InUse);
    }
}
