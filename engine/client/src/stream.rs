//! Exchanges by TCP: one connection, one request, one reply, each on a thread of its own, so
//! that datagrams are answered meanwhile.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use kdht_core::{StreamAsk, StreamCheck, seal};
use kdht_wire::{Endpoint, Flags, HEAD_LEN, KeyRing, MAC_LEN, Outline, STREAM_LEN_MAX};

use crate::socket::unix_s;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Where a head's flags stand (FORMAT.md §3).
const FLAGS_OFFSET: usize = 4;

/// What came of an exchange.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) endpoint: Endpoint,
    pub(crate) tx_id: u64,
    pub(crate) reply: Result<(Vec<u8>, StreamCheck), Error>,
}

/// Exchanges under way; the core bounds their number and their bytes.
#[derive(Debug)]
pub(crate) struct Streams {
    sender: Sender<Ended>,
    receiver: Receiver<Ended>,
    running: usize,
    /// The last exchange that brought nothing.
    pub(crate) last_failure: Option<(SocketAddr, Error)>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, running: 0, last_failure: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Begins an exchange; it ends within the core's patience.
    pub(crate) fn begin(&mut self, ask: StreamAsk, keys: KeyRing) {
        let (endpoint, tx_id) = (ask.endpoint, ask.tx_id);
        let sender = self.sender.clone();
        let work = move || {
            let reply = exchange(ask, &keys);
            // The client may be gone.
            let _ = sender.send(Ended { endpoint, tx_id, reply });
        };
        self.running += 1;
        let thread = std::thread::Builder::new().name("kdht-client-stream".into()).spawn(work);
        if let Err(error) = thread {
            let _ = self.sender.send(Ended { endpoint, tx_id, reply: Err(error) });
        }
    }

    /// The next exchange that ended.
    pub(crate) fn next_ended(&mut self) -> Option<Ended> {
        let ended = self.receiver.try_recv().ok()?;
        self.running = self.running.saturating_sub(1);
        Some(ended)
    }
}

fn exchange(mut ask: StreamAsk, keys: &KeyRing) -> Result<(Vec<u8>, StreamCheck), Error> {
    let patience = Duration::from_millis(ask.patience_ms.into());
    let deadline = Instant::now() + patience;
    seal(&mut ask.bytes, keys);
    let addr = ask.endpoint.socket_addr();
    let mut stream = TcpStream::connect_timeout(&addr, CONNECT_TIMEOUT.min(patience))?;
    stream.set_nodelay(true)?;
    let mut rest = &ask.bytes[..];
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest) {
            Ok(len) => rest = &rest[len..],
            Err(error) => go_on_after(error)?,
        }
    }
    let mut bytes = vec![0; HEAD_LEN];
    read_exactly(&mut stream, &mut bytes, deadline)?;
    let len = whole_len(&bytes)?;
    bytes.resize(len, 0);
    read_exactly(&mut stream, &mut bytes[HEAD_LEN..], deadline)?;
    let check = StreamCheck::of(&bytes, keys, unix_s());
    Ok((bytes, check))
}

/// Bytes of the message that begins with this head.
fn whole_len(head: &[u8]) -> Result<usize, Error> {
    let foreign = || Error::new(ErrorKind::InvalidData, "it does not speak kdht");
    let outline = Outline::parse(head).map_err(|_| foreign())?;
    let is_keyed = Flags(u16::from(head[FLAGS_OFFSET])).has(Flags::KEYED);
    let mac_len = if is_keyed { MAC_LEN } else { 0 };
    let body_len = usize::try_from(outline.body_len).map_err(|_| foreign())?;
    let len = body_len.checked_add(HEAD_LEN + mac_len);
    len.filter(|len| *len <= STREAM_LEN_MAX).ok_or_else(foreign)
}

fn read_exactly(
    stream: &mut TcpStream,
    mut into: &mut [u8],
    deadline: Instant,
) -> Result<(), Error> {
    while !into.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(into) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(len) => into = &mut into[len..],
            Err(error) => go_on_after(error)?,
        }
    }
    Ok(())
}

/// Time that is left; none is an error.
fn left(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::new(ErrorKind::TimedOut, "it took too long"));
    }
    Ok(left)
}

fn go_on_after(error: Error) -> Result<(), Error> {
    match error.kind() {
        // The deadline tells.
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ask_at(listener: &TcpListener, patience_ms: u32) -> Result<(Vec<u8>, StreamCheck), Error> {
        let endpoint = listener.local_addr().unwrap().into();
        let ask = StreamAsk { tx_id: 1, endpoint, bytes: vec![7; 100], patience_ms };
        exchange(ask, &KeyRing::OPEN)
    }

    #[test]
    fn whoever_says_nothing_or_drips_is_given_up_at_the_deadline() {
        for drips in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let served = std::thread::scope(|scope| {
                let serve = scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    while drips && stream.write(&[0x4b]).is_ok() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    stream
                });
                let error = ask_at(&listener, 200).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                serve.join().unwrap()
            });
            drop(served);
        }
    }

    #[test]
    fn what_is_not_kdht_or_too_long_is_refused_at_its_head() {
        let long = [&b"KD\x01\x03\x01\0\0\0\xff\xff\xff\xff"[..], &[0; 60]].concat();
        for head in [vec![b'x'; HEAD_LEN], long] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| listener.accept().unwrap().0.write_all(&head));
                let error = ask_at(&listener, 5_000).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            });
        }
    }

    #[test]
    fn nobody_there_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap().into();
        drop(listener);
        let ask = StreamAsk { tx_id: 1, endpoint, bytes: vec![7; 100], patience_ms: 1_000 };
        let error = exchange(ask, &KeyRing::OPEN).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
