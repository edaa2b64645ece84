//! Who asks: as little as it takes to send and to wait.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use kdht_bench::draw::Draw;
use kdht_bench::kernel::plan::{Ask, Question};
use kdht_bench::protocol::{self, Kdht, Protocol};
use kdht_wire::{
    Body, Contact, DATAGRAM_LEN_MAX, HEAD_LEN, Id, Kind, MAC_LEN, Message, Publisher, Record,
    ReplyBody, key_of_value,
};
use rustix::net::{RecvFlags, SendFlags, recv, send, sendto};

use crate::far;
use crate::forwarded;
use crate::server::Server;

/// Requests that are asked in turn, each about another target.
const TARGETS: usize = 64;
/// What targets and the asker's id follow from.
const SEED: u64 = 7;
/// A reply that does not come is one that the count must not have.
const PATIENCE: Duration = Duration::from_secs(10);
/// Contacts in a reply.
const K: u32 = 20;

/// One socket, and what it asks.
pub(crate) struct Asker {
    socket: UdpSocket,
    /// Whom it asks; nothing: whom its socket is connected to.
    to: Option<SocketAddr>,
    /// From whom the replies come then.
    holder: Option<SocketAddr>,
    kind: Question,
    is_bare: bool,
    in_flight: u32,
    requests: Vec<(Id, Vec<u8>)>,
    reply_len: usize,
    /// Whom the server tells others of.
    known: Vec<Id>,
}

/// Bytes of the reply.
pub(crate) fn reply_len(ask: &Ask) -> usize {
    let known = if ask.path.is_bare() { K } else { ask.table.min(K) };
    let body = match ask.kind {
        Question::Ping => 0,
        Question::FindNode | Question::FindValueMiss => known as usize * size_of::<Contact>(),
        Question::FindValueHit | Question::FindValueForwarded => {
            let value = vec![0; ask.value_bytes as usize];
            Record::whole(Publisher::Immutable, 1, &value).map_or(0, |record| record.wire_len())
        }
    };
    let mac_len = if ask.kind.is_forwarded() { MAC_LEN } else { 0 };
    HEAD_LEN + size_of::<ReplyBody>() + body + mac_len
}

impl Asker {
    /// Lays out what is asked of `server`, which has given a cookie.
    pub(crate) fn new(
        ask: &Ask,
        server: &Server,
        namespace: Option<&Path>,
    ) -> Result<Self, String> {
        let holder = server.holder();
        let to = holder.map(|_| server.addr());
        let socket = far::socket(to.is_none().then(|| server.addr()), namespace)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let is_bare = ask.path.is_bare();
        // Of a bare echo the value of a cookie is of no matter.
        let cookie = match to {
            _ if is_bare => 1,
            Some(first) => forwarded::greet(&socket, first)?.1,
            None => greet(&socket)?,
        };
        let mut draw = Draw::new(SEED);
        let speaker = Kdht::new(SEED);
        let kind = match ask.kind {
            Question::Ping => protocol::Kind::Ping,
            Question::FindNode => protocol::Kind::FindNode,
            _ => protocol::Kind::FindValue,
        };
        let mut request = |_| {
            let drawn = draw.id();
            let target = match ask.kind {
                Question::FindValueHit | Question::FindValueForwarded => {
                    server.key(ask.value_bytes)
                }
                _ => drawn,
            };
            if ask.kind.is_forwarded() {
                return (target, forwarded::request(Kind::FindValue, target, cookie));
            }
            let mut buf = [0; DATAGRAM_LEN_MAX];
            let asked = protocol::Ask { kind, tx_id: 1, cookie, target: &target, len_min: 0 };
            let len = speaker.request(&mut buf, &asked);
            (target, buf[..len].to_vec())
        };
        Ok(Self {
            socket,
            to,
            holder,
            kind: ask.kind,
            is_bare,
            in_flight: ask.in_flight,
            requests: (0..TARGETS).map(&mut request).collect(),
            reply_len: reply_len(ask),
            known: server.known().to_vec(),
        })
    }

    fn send(&self, request: &[u8]) -> Result<(), String> {
        let sent = match &self.to {
            None => send(&self.socket, request, SendFlags::empty()),
            Some(to) => sendto(&self.socket, request, SendFlags::empty(), to),
        };
        sent.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Asks each request once, and looks closely at the replies.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
        for (target, request) in &self.requests {
            self.send(request)?;
            let received = self.socket.recv_from(&mut buf).map_err(|error| error.to_string());
            let (len, from) = received?;
            if self.holder.is_some_and(|holder| holder != from) {
                return Err(format!("{from} answered in the holder's stead"));
            }
            if len != self.reply_len {
                return Err(format!("a reply of {len} bytes where {} are due", self.reply_len));
            }
            if self.is_bare {
                let same = request.len().min(len);
                if buf[..same] != request[..same] {
                    return Err("an echo of other bytes".to_owned());
                }
            } else {
                self.check_reply(target, &buf[..len])?;
            }
        }
        Ok(())
    }

    /// Whether a reply is what was asked for: contacts are the closest of those known.
    fn check_reply(&self, target: &Id, bytes: &[u8]) -> Result<(), String> {
        let message = Message::parse(bytes).map_err(|error| format!("a reply: {error:?}"))?;
        let is_right = match (self.kind, &message.body) {
            (Question::Ping, Body::PingReply(_)) => true,
            (Question::FindNode | Question::FindValueMiss, Body::Contacts { contacts, .. }) => {
                let mut told: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
                let mut known = self.known.clone();
                let count = told.len().min(known.len());
                if count > 0 && count < known.len() {
                    known.select_nth_unstable_by_key(count, |id| id.distance(target));
                }
                known.truncate(count);
                told.sort_unstable();
                known.sort_unstable();
                told == known
            }
            (
                Question::FindValueHit | Question::FindValueForwarded,
                Body::Values { records, .. },
            ) => records.iter().map(|record| key_of_value(record.value)).eq([*target]),
            _ => false,
        };
        if is_right { Ok(()) } else { Err(format!("a wrong reply: {message:?}")) }
    }

    /// Makes so many round trips: as many requests at once as shall be in flight, and then as
    /// many replies.
    pub(crate) fn ask(&mut self, round_trips: u32) -> Result<(), String> {
        let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
        let mut requests = self.requests.iter().cycle();
        for _ in 0..round_trips / self.in_flight {
            for (_, request) in requests.by_ref().take(self.in_flight as usize) {
                self.send(request)?;
            }
            for _ in 0..self.in_flight {
                let received = recv(&self.socket, &mut buf[..], RecvFlags::empty());
                let (_, len) = received.map_err(|error| format!("no reply: {error}"))?;
                if len != self.reply_len {
                    return Err(format!("a reply of {len} bytes where {} are due", self.reply_len));
                }
            }
        }
        Ok(())
    }
}

/// The cookie that a node gives to whoever asks.
fn greet(socket: &UdpSocket) -> Result<u64, String> {
    let speaker = Kdht::new(SEED);
    let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
    let kind = protocol::Kind::Ping;
    let asked = protocol::Ask { kind, tx_id: 1, cookie: 0, target: &Id::ZERO, len_min: 0 };
    let len = speaker.request(&mut buf, &asked);
    socket.send(&buf[..len]).map_err(|error| error.to_string())?;
    let len = socket.recv(&mut buf).map_err(|error| format!("no greeting: {error}"))?;
    let reply = speaker.reply(&buf[..len]).ok_or("a greeting that is none")?;
    Ok(reply.cookie)
}
