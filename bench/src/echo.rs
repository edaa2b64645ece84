//! `kdht-bench echo`: the floor. A server that does nothing but send back bytes, by the
//! means that the engine has, too.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kdht::io::{
    Datapath, DatapathCounters, Mmsg, MmsgOptions, Socket, SocketOptions, Uring, UringOptions,
    Waiter, bind,
};
use kdht_core::Outbox;
use kdht_wire::DATAGRAM_LEN_MAX;
use serde_json::json;

use crate::protocol::BARE_LEN_MIN;

/// How an echo moves datagrams.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Mover {
    /// recvmmsg and sendmmsg
    Mmsg,
    /// io_uring: multishot receives, batched sends
    Uring,
    /// recvfrom and sendto, one datagram at a time, by the standard library alone; it always
    /// sleeps
    Recvfrom,
}

/// What an echo does while nothing comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Waiting {
    /// Sleep in ppoll
    Block,
    /// Look again
    Busy,
}

/// A floor.
#[derive(Args, Clone, Debug)]
pub struct EchoArgs {
    /// Where to answer
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Length of every reply; 0: that of its request
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub reply_bytes: usize,
    /// How to move datagrams
    #[arg(long, value_enum, default_value_t = Mover::Mmsg)]
    pub datapath: Mover,
    /// What to do while nothing comes
    #[arg(long, value_enum, default_value_t = Waiting::Block)]
    pub wait: Waiting,
    /// Answer on the socket that standard input is; `recvfrom` only
    #[arg(long)]
    pub inherit: bool,
    /// Let replies to one asker leave as one (UDP_SEGMENT), as the engine does
    #[arg(long)]
    pub segment: bool,
    /// CPU to pin to
    #[arg(long, value_name = "CPU")]
    pub core: Option<usize>,
}

/// A request of these bytes is answered with the echo's counters, as JSON.
pub const COUNTERS_REQUEST: &[u8; 8] = b"counters";
/// Longest sleep.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Echoes until the process is ended. Prints where it listens, as `kdht run --json` does.
///
/// # Errors
/// What the host refuses.
pub fn main(args: &EchoArgs) -> Result<(), String> {
    if args.reply_bytes > DATAGRAM_LEN_MAX {
        return Err(format!("--reply-bytes is at most {DATAGRAM_LEN_MAX}"));
    }
    if args.reply_bytes != 0 && args.reply_bytes < BARE_LEN_MIN {
        return Err(format!("--reply-bytes is 0, or at least {BARE_LEN_MIN}"));
    }
    if let Some(core) = args.core {
        kdht::io::pin_to(core).map_err(|error| error.to_string())?;
    }
    if args.inherit && args.datapath != Mover::Recvfrom {
        return Err("--inherit needs --datapath recvfrom".to_owned());
    }
    match args.datapath {
        Mover::Mmsg => {
            let made = Mmsg::new(vec![listen(args)?], &MmsgOptions::default());
            serve(made.map_err(|error| error.to_string())?, args)
        }
        Mover::Uring => {
            let made = Uring::new(vec![listen(args)?], &UringOptions::default());
            serve(made.map_err(|error| error.to_string())?, args)
        }
        Mover::Recvfrom => recvfrom(args),
    }
}

/// A socket as the engine has it; says where it listens.
fn listen(args: &EchoArgs) -> Result<Socket, String> {
    let socket = bind(args.listen, &SocketOptions::default()).map_err(|error| error.to_string())?;
    let socket = socket.with_segments(args.segment);
    println!("{}", json!({ "listen": [socket.local_addr().to_string()] }));
    Ok(socket)
}

/// As plainly as it goes.
fn recvfrom(args: &EchoArgs) -> Result<(), String> {
    let host = |error: std::io::Error| error.to_string();
    let socket = if args.inherit {
        UdpSocket::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(host)?)
    } else {
        UdpSocket::bind(args.listen).map_err(host)?
    };
    let addr = socket.local_addr().map_err(host)?;
    println!("{}", json!({ "listen": [addr.to_string()] }));
    let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
    loop {
        match socket.recv_from(&mut buf) {
            Ok((len, peer)) => {
                let len = if args.reply_bytes == 0 { len } else { args.reply_bytes };
                // Whoever went away has no use for it.
                let _ = socket.send_to(&buf[..len], peer);
            }
            // What an earlier reply met on its way.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn serve<D: Datapath>(mut datapath: D, args: &EchoArgs) -> Result<(), String> {
    let mut waiter = Waiter::new(datapath.fds());
    loop {
        let received = datapath.receive();
        if received.datagram_count > 0 {
            answer(&mut datapath, args.reply_bytes);
            datapath.flush();
        }
        if !received.more && args.wait == Waiting::Block && datapath.announce() {
            waiter.wait(Some(HEARTBEAT)).map_err(|error| error.to_string())?;
        }
    }
}

fn answer<D: Datapath>(datapath: &mut D, reply_len: usize) {
    let counters = datapath.counters();
    let (batch, out) = datapath.split();
    for datagram in batch {
        let Some(slot) = out.slot(datagram.route) else { return };
        let len = if datagram.bytes == COUNTERS_REQUEST {
            let text = counters_text(&counters);
            slot[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        } else {
            echo(datagram.bytes, slot, reply_len)
        };
        out.commit(len);
    }
}

/// Lays the reply to `request` into `slot`: as much of it as the reply has room for. What
/// follows is whatever the slot held.
fn echo(request: &[u8], slot: &mut [u8], reply_len: usize) -> usize {
    let len = if reply_len == 0 { request.len() } else { reply_len }.min(slot.len());
    let copied = request.len().min(len);
    slot[..copied].copy_from_slice(&request[..copied]);
    len
}

fn counters_text(counters: &DatapathCounters) -> String {
    json!({
        "syscalls": counters.receive_syscalls + counters.send_syscalls,
        "datagrams": counters.datagrams_in + counters.datagrams_out,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_the_length_asked_for_and_begins_with_the_request() {
        let mut slot = [0; 100];
        for (reply_len, expected) in [(0, 30), (24, 24), (90, 90), (200, 100)] {
            assert_eq!(echo(&[7; 30], &mut slot, reply_len), expected);
            assert_eq!(slot[..expected.min(30)], [7; 30][..expected.min(30)]);
        }
    }
}
