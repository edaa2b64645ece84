//! What a contact says: how it introduces itself, and how it answers.

use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, Kind, Message, ReplyBody,
};
use zerocopy::byteorder::little_endian::U16;

use crate::protocol::{Item, Reader, Speech};

/// Bytes of an introduction: leaves room for the reply and two pings (FORMAT.md §9).
const INTRODUCTION_LEN: usize = 88;

/// Speaks for a contact.
pub trait Answerer {
    /// Lays out a request by which the node learns of `id`, and returns its length.
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize;

    /// Lays out the reply of `id` to a request of the node's, in which it may name `others`.
    /// Nothing: it is none.
    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id, others: &[Contact]) -> Option<usize>;

    /// Whether a node that answered an introduction asks back when it likes, if at all.
    fn asks_back_later(&self) -> bool {
        true
    }
}

/// Who speaks `protocol`.
///
/// # Errors
/// Nobody answers in it.
pub fn answerer(protocol: Speech) -> Result<Box<dyn Answerer>, String> {
    match protocol {
        Speech::Kdht => Ok(Box::new(KdhtContact)),
        Speech::Krpc => Ok(Box::new(KrpcContact)),
        Speech::OpenDht => Ok(Box::new(OpenDhtContact)),
        Speech::Bare => Err("bare servers know no contacts".to_owned()),
    }
}

struct KdhtContact;

impl Answerer for KdhtContact {
    fn asks_back_later(&self) -> bool {
        false
    }

    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize {
        let head = Head::request(Kind::Ping, tx_id, *id, *id);
        let Ok(mut emit) = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX) else { return 0 };
        emit.pad_to(INTRODUCTION_LEN);
        emit.finish()
    }

    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id, _: &[Contact]) -> Option<usize> {
        let message = Message::parse(request).ok().filter(|asked| !asked.head.is_reply())?;
        let asked = message.head;
        let mut head = Head::request(message.kind, asked.tx_id.get(), asked.target, *id);
        head.flags = U16::new(Flags::REPLY.0);
        // Any number: nobody asks a contact for more than a node's cookie allows.
        head.cookie = 1.into();
        let mut emit = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX).ok()?;
        match message.kind {
            // A lookup that comes by learns of nobody.
            Kind::Ping | Kind::FindNode | Kind::FindValue => {
                emit.body(&ReplyBody { observed: Endpoint::NONE, total: U16::ZERO }).ok()?;
            }
            Kind::Store | Kind::Fault => return None,
        }
        Some(emit.finish())
    }
}

/// A node of Mainline, which names others where it is asked for nodes or peers: those whom a
/// node's lookup meets are those that it tells others of.
struct KrpcContact;

impl Answerer for KrpcContact {
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize {
        let parts: [&[u8]; 5] =
            [b"d1:ad2:id20:", &id.0, b"e1:q4:ping1:t8:", &tx_id.to_be_bytes(), b"1:y1:qe"];
        put(out, &parts)
    }

    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id, others: &[Contact]) -> Option<usize> {
        if !request.ends_with(b"1:y1:qe") {
            return None;
        }
        let tx_id = tx_of(request)?;
        let len = tx_id.len().to_string();
        let finds = |key: &[u8]| request.windows(key.len()).any(|window| window == key);
        let mut nodes = Vec::new();
        if finds(b"9:find_node") || finds(b"9:get_peers") {
            let compact = compact(others);
            nodes = format!("5:nodes{}:", compact.len()).into_bytes();
            nodes.extend(compact);
        }
        let (head, len) = (b"d1:rd2:id20:".as_slice(), len.as_bytes());
        Some(put(out, &[head, &id.0, &nodes, b"e1:t", len, b":", tx_id, b"1:y1:re"]))
    }
}

/// The contacts of IPv4, compact: id, address, port.
fn compact(contacts: &[Contact]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for contact in contacts.iter().filter(|contact| contact.endpoint.is_v4()) {
        bytes.extend(contact.id.0);
        bytes.extend(&contact.endpoint.ip[12..]);
        bytes.extend(contact.endpoint.port.to_bytes());
    }
    bytes
}

/// A node of OpenDHT's: answers every request as one that has no values and knows `others`.
struct OpenDhtContact;

impl Answerer for OpenDhtContact {
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize {
        // As many as there are contacts fit.
        let tx_id = u32::try_from(tx_id).unwrap_or(0).to_be_bytes();
        let (head, query) = (b"\x85\xa1a\x81\xa2id\xc4\x14", b"\xa1q\xa4ping\xa1t\xce");
        put(out, &[head, &id.0, query, &tx_id, b"\xa1y\xa1q\xa1v\xa4RNG1"])
    }

    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id, others: &[Contact]) -> Option<usize> {
        let asked = Reader::new(request);
        if asked.bytes_of(b"y") != Some(b"q") {
            return None;
        }
        let tx_id = match asked.find(b"t")?.item()? {
            Item::Uint(tx_id) => u32::try_from(tx_id).ok()?,
            Item::Bytes(bytes) => u32::from_be_bytes(bytes.try_into().ok()?),
            _ => return None,
        };
        // Where it sees the asker: on loopback, which the asker makes nothing of.
        let head = b"\x84\xa1r\x83\xa2sa\xc4\x04\x7f\x00\x00\x01\xa2n4\xc4";
        let nodes = compact(others);
        let nodes_len = u8::try_from(nodes.len()).ok()?;
        let tail = b"\xa1y\xa1r\xa1v\xa4RNG1";
        let tx_id = tx_id.to_be_bytes();
        let parts: [&[u8]; 6] =
            [head, &[nodes_len], &nodes, b"\xa2id\xc4\x14", &id.0, b"\xa1t\xce"];
        let len = put(out, &parts);
        Some(len + put(&mut out[len..], &[&tx_id, tail]))
    }
}

fn put(out: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut len = 0;
    for part in parts {
        out[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    len
}

/// The transaction id of a KRPC request: the value of the last key `t`, of 1 to 9 bytes.
fn tx_of(request: &[u8]) -> Option<&[u8]> {
    let at = request.windows(3).rposition(|window| window == b"1:t")?;
    let (digit, rest) = request[at + 3..].split_first()?;
    let len = usize::from(digit.checked_sub(b'0')?);
    let tx_id = rest.strip_prefix(b":")?.get(..len)?;
    (1..=9).contains(&len).then_some(tx_id)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::draw::Draw;

    #[test]
    fn a_contact_introduces_itself_in_88_bytes_and_answers_as_itself() {
        let id = Draw::new(1).id();
        let mut out = [0; DATAGRAM_LEN_MAX];
        let len = KdhtContact.introduce(&mut out, 5, &id);
        assert_eq!(len, INTRODUCTION_LEN);
        let ping = out[..len].to_vec();
        let asked = Message::parse(&ping).unwrap();
        assert_eq!((asked.head.sender, asked.head.target), (id, id));
        let len = KdhtContact.answer(&mut out, &ping, &id, &[]).unwrap();
        let reply = Message::parse(&out[..len]).unwrap();
        assert!(reply.head.is_reply() && reply.head.sender == id);
        assert_eq!(reply.head.tx_id.get(), 5);
        let reply = out[..len].to_vec();
        assert_eq!(KdhtContact.answer(&mut out, &reply, &id, &[]), None, "a reply is not answered");
    }

    #[test]
    fn a_krpc_contact_answers_whatever_transaction_id_it_is_asked_with() {
        let id = Id(*b"mnopqrstuvwxyz123456");
        let mut out = [0; 512];
        let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:v4:LT121:y1:qe";
        let others =
            [Contact::new(Id([7; 20]), "1.2.3.4:258".parse::<SocketAddr>().unwrap().into())];
        let len = KrpcContact.answer(&mut out, ping, &id, &others).unwrap();
        assert_eq!(out[..len], b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"[..]);
        let find = b"d1:ad2:id20:abcdefghij01234567896:target20:abcdefghij0123456789e\
            1:q9:find_node1:t2:aa1:y1:qe";
        let len = KrpcContact.answer(&mut out, find, &id, &others).unwrap();
        let reply = b"d1:rd2:id20:mnopqrstuvwxyz1234565:nodes26:\
            \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
            \x01\x02\x03\x04\x01\x02e1:t2:aa1:y1:re";
        assert_eq!(out[..len], reply[..]);
    }

    #[test]
    fn an_opendht_contact_answers_requests_with_their_transaction_ids() {
        let id = Id(*b"mnopqrstuvwxyz123456");
        let mut out = [0; 512];
        let len = OpenDhtContact.introduce(&mut out, 258, &id);
        let ping = out[..len].to_vec();
        let others =
            [Contact::new(Id([7; 20]), "1.2.3.4:258".parse::<SocketAddr>().unwrap().into())];
        let len = OpenDhtContact.answer(&mut out, &ping, &id, &others).unwrap();
        let reply = out[..len].to_vec();
        let read = Reader::new(&reply);
        assert_eq!(read.find(b"t").unwrap().item(), Some(Item::Uint(258)));
        let said = read.find(b"r").unwrap();
        assert_eq!(said.bytes_of(b"id"), Some(&id.0[..]));
        assert_eq!(said.bytes_of(b"n4").unwrap().len(), 26);
        let mut whole = read;
        assert!(whole.skip().is_some() && whole.item().is_none());
        assert_eq!(
            OpenDhtContact.answer(&mut out, &reply, &id, &others),
            None,
            "a reply is not answered"
        );
    }
}
