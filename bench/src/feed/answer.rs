//! What a contact says: how it introduces itself, and how it answers.

use kdht_wire::{DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, Kind, Message, ReplyBody};
use zerocopy::byteorder::little_endian::U16;

use crate::protocol::Speech;

/// Bytes of an introduction: leaves room for the reply and two pings (FORMAT.md §9).
const INTRODUCTION_LEN: usize = 88;

/// Speaks for a contact.
pub trait Answerer {
    /// Lays out a request by which the node learns of `id`, and returns its length.
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize;

    /// Lays out the reply of `id` to a request of the node's. Nothing: it is none.
    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id) -> Option<usize>;
}

/// Who speaks `protocol`.
///
/// # Errors
/// Nobody answers in it.
pub fn answerer(protocol: Speech) -> Result<Box<dyn Answerer>, String> {
    match protocol {
        Speech::Kdht => Ok(Box::new(KdhtContact)),
        Speech::Krpc => Ok(Box::new(KrpcContact)),
        Speech::Bare => Err("bare servers know no contacts".to_owned()),
    }
}

struct KdhtContact;

impl Answerer for KdhtContact {
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize {
        let head = Head::request(Kind::Ping, tx_id, *id, *id);
        let Ok(mut emit) = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX) else { return 0 };
        emit.pad_to(INTRODUCTION_LEN);
        emit.finish()
    }

    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id) -> Option<usize> {
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

/// A node of Mainline: answers ping, and find_node with nobody.
struct KrpcContact;

impl Answerer for KrpcContact {
    fn introduce(&self, out: &mut [u8], tx_id: u64, id: &Id) -> usize {
        let parts: [&[u8]; 5] =
            [b"d1:ad2:id20:", &id.0, b"e1:q4:ping1:t8:", &tx_id.to_be_bytes(), b"1:y1:qe"];
        put(out, &parts)
    }

    fn answer(&self, out: &mut [u8], request: &[u8], id: &Id) -> Option<usize> {
        if !request.ends_with(b"1:y1:qe") {
            return None;
        }
        let tx_id = tx_of(request)?;
        let len = tx_id.len().to_string();
        let finds = request.windows(7).any(|window| window == b"6:targe");
        let nodes: &[u8] = if finds { b"5:nodes0:" } else { b"" };
        let (head, len) = (b"d1:rd2:id20:".as_slice(), len.as_bytes());
        Some(put(out, &[head, &id.0, nodes, b"e1:t", len, b":", tx_id, b"1:y1:re"]))
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
        let len = KdhtContact.answer(&mut out, &ping, &id).unwrap();
        let reply = Message::parse(&out[..len]).unwrap();
        assert!(reply.head.is_reply() && reply.head.sender == id);
        assert_eq!(reply.head.tx_id.get(), 5);
        let reply = out[..len].to_vec();
        assert_eq!(KdhtContact.answer(&mut out, &reply, &id), None, "a reply is not answered");
    }

    #[test]
    fn a_krpc_contact_answers_whatever_transaction_id_it_is_asked_with() {
        let id = Id(*b"mnopqrstuvwxyz123456");
        let mut out = [0; 512];
        let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:v4:LT121:y1:qe";
        let len = KrpcContact.answer(&mut out, ping, &id).unwrap();
        assert_eq!(out[..len], b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"[..]);
    }
}
