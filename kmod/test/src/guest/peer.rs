//! Another node, played by hand.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use kdht_kmod_test::Random;
use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, Kind, Message, ReplyBody,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::daemon::{V4, now_s};

/// A node that does only what it is told to.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    pub(crate) id: Id,
}

impl Peer {
    pub(crate) fn with_id(id: Id) -> Self {
        Self::at(V4, id)
    }

    pub(crate) fn at(ip: IpAddr, id: Id) -> Self {
        Self { socket: UdpSocket::bind((ip, 0)).unwrap(), id }
    }

    /// A peer whose id differs from `own` in bit `class` and then by chance.
    pub(crate) fn of_class(own: Id, class: u8, random: &mut Random) -> Self {
        let mut id = Id(random.bytes());
        (0..class).for_each(|bit| id = id.with_bit(bit, own.bit(bit)));
        Self::with_id(id.with_bit(class, !own.bit(class)))
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.socket.local_addr().unwrap().into()
    }

    pub(crate) fn contact(&self) -> Contact {
        Contact::new(self.id, self.endpoint())
    }

    /// Pings `node`, long enough to be pinged in turn.
    pub(crate) fn ping(&self, node: SocketAddr) {
        let mut head = Head::request(Kind::Ping, 7, self.id, self.id);
        head.time_s = U32::new(now_s());
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap();
        emit.pad_to(88);
        let len = emit.finish();
        self.socket.send_to(&buf[..len], node).unwrap();
    }

    /// The next request that comes within `wait`, and from where; replies are not looked at.
    pub(crate) fn request(&self, wait: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        self.socket.set_read_timeout(Some(wait)).unwrap();
        loop {
            let (len, from) = self.socket.recv_from(&mut buf).ok()?;
            if !Message::parse(&buf[..len]).unwrap().head.is_reply() {
                return Some((buf[..len].to_vec(), from));
            }
        }
    }

    /// The reply to a PING or FIND_NODE, naming `contacts`.
    pub(crate) fn reply(&self, request: &[u8], asker: SocketAddr, contacts: &[Contact]) -> Vec<u8> {
        let asked = Message::parse(request).unwrap();
        let (tx_id, target) = (asked.head.tx_id.get(), asked.head.target);
        let mut head = Head::request(asked.kind, tx_id, target, self.id);
        head.flags = U16::new(Flags::REPLY.0);
        head.cookie = U64::new(1 + tx_id);
        head.time_s = U32::new(now_s());
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap();
        let total = U16::new(u16::try_from(contacts.len()).unwrap());
        emit.body(&ReplyBody { observed: asker.into(), total }).unwrap();
        contacts.iter().for_each(|contact| emit.contact(contact).unwrap());
        let len = emit.finish();
        buf[..len].to_vec()
    }

    /// Waits for a request and answers it. Whether one came.
    pub(crate) fn answer(&self, wait: Duration) -> bool {
        let Some((request, asker)) = self.request(wait) else { return false };
        let reply = self.reply(&request, asker, &[]);
        self.socket.send_to(&reply, asker).unwrap();
        true
    }
}
