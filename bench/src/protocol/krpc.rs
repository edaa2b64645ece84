//! BitTorrent's Mainline DHT (BEP 5): ping, find_node and get_peers.

use std::net::SocketAddr;

use kdht_wire::{Contact, Endpoint, ID_LEN, Id};

use super::{Ask, Kind, Protocol, Reply};
use crate::draw::Draw;
use crate::oracle::{Oracle, Wrong};

/// Before a reply's transaction id, which has 8 bytes.
const TX_KEY: &[u8] = b"1:t8:";
/// Bytes of a node in a reply: id, IPv4 address, port.
pub(super) const NODE_LEN: usize = ID_LEN + 6;

/// A read-only asker (BEP 43), so that nobody takes it into a table.
#[derive(Clone, Debug)]
pub struct Krpc {
    id: Id,
}

impl Krpc {
    /// An asker whose id follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { id: Draw::new(seed ^ 0x6b72_7063).id() }
    }
}

impl Protocol for Krpc {
    fn name(&self) -> &'static str {
        "krpc"
    }

    fn can_ask(&self, _: Kind) -> bool {
        true
    }

    /// Keys stand in their order, as BEP 3 demands. It has no padding.
    fn request(&self, out: &mut [u8], ask: &Ask<'_>) -> usize {
        let id: &[u8] = &self.id.0;
        let target: &[u8] = &ask.target.0;
        let (argument, query): (&[&[u8]], &[u8]) = match ask.kind {
            Kind::Ping => (&[], b"4:ping"),
            Kind::FindNode => (&[b"6:target20:", target], b"9:find_node"),
            Kind::FindValue => (&[b"9:info_hash20:", target], b"9:get_peers"),
        };
        let mut len = 0;
        let mut put = |part: &[u8]| {
            out[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        };
        put(b"d1:ad2:id20:");
        put(id);
        argument.iter().for_each(|part| put(part));
        put(b"e1:q");
        put(query);
        put(b"2:roi1e");
        put(TX_KEY);
        put(&ask.tx_id.to_be_bytes());
        put(b"1:y1:qe");
        len
    }

    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        // What follows it is short, and what stands before it may hold anything.
        let at = bytes.windows(TX_KEY.len()).rposition(|window| window == TX_KEY)?;
        let (tx_id, rest) = bytes[at + TX_KEY.len()..].split_first_chunk()?;
        let is_error = rest.ends_with(b"1:y1:ee");
        if !is_error && !rest.ends_with(b"1:y1:re") {
            return None;
        }
        Some(Reply {
            tx_id: u64::from_be_bytes(*tx_id),
            cookie: 0,
            kind: None,
            target: None,
            contacts: Some(nodes_of(bytes).map_or(0, |nodes| nodes.len() / NODE_LEN)),
            is_refusal: is_error,
        })
    }

    fn check(
        &self,
        kind: Kind,
        _: &Id,
        bytes: &[u8],
        oracle: Option<&Oracle>,
    ) -> Result<(), Wrong> {
        match kind {
            Kind::FindNode => check_nodes(nodes_of(bytes).ok_or(Wrong::Message)?, oracle),
            Kind::Ping | Kind::FindValue => Ok(()),
        }
    }
}

/// Looks at compact nodes: whether there are any, each a different one and, where the contacts
/// that the node was given are known, one of them. Which of those are right is not known,
/// since a stranger's table tells nobody.
///
/// # Errors
/// [`Wrong`].
pub(super) fn check_nodes(nodes: &[u8], oracle: Option<&Oracle>) -> Result<(), Wrong> {
    let (nodes, []) = nodes.as_chunks::<NODE_LEN>() else { return Err(Wrong::Message) };
    if nodes.is_empty() {
        return Err(Wrong::Count { have: 0, need: 1 });
    }
    for (at, node) in nodes.iter().enumerate() {
        let is_known = oracle.is_none_or(|oracle| oracle.knows(&contact_of(node)));
        let is_new = nodes[..at].iter().all(|before| before[..ID_LEN] != node[..ID_LEN]);
        if !is_known || !is_new {
            return Err(Wrong::Contact { at });
        }
    }
    Ok(())
}

/// A compact node: id, IPv4 address, port.
fn contact_of(node: &[u8; NODE_LEN]) -> Contact {
    let mut id = Id::ZERO;
    id.0.copy_from_slice(&node[..ID_LEN]);
    let [a, b, c, d, high, low] = node[ID_LEN..] else { return Contact::new(id, Endpoint::NONE) };
    let addr = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    Contact::new(id, Endpoint::from(addr))
}

/// The nodes of a reply: whole ones only.
fn nodes_of(bytes: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"5:nodes";
    let at = bytes.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = &bytes[at + KEY.len()..];
    let digits = rest.iter().position(|byte| *byte == b':')?;
    let len: usize = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let nodes = rest.get(digits + 1..)?.get(..len)?;
    nodes.len().is_multiple_of(NODE_LEN).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_bencoding_of_bep_5() {
        let speaker = Krpc { id: Id(*b"abcdefghij0123456789") };
        let target = Id(*b"mnopqrstuvwxyz123456");
        let mut out = [0; 512];
        let ask = Ask { kind: Kind::FindNode, tx_id: 258, cookie: 0, target: &target, len_min: 0 };
        let len = speaker.request(&mut out, &ask);
        let expected = b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e\
            1:q9:find_node2:roi1e1:t8:\0\0\0\0\0\0\x01\x021:y1:qe";
        assert_eq!(out[..len], expected[..]);
        assert_eq!(speaker.reply(&out[..len]), None, "a request is no reply");
    }

    #[test]
    fn replies_and_errors_are_told_apart_and_bad_nodes_are_found() {
        let speaker = Krpc::new(1);
        let mut nodes = Vec::new();
        for node in 0..8_u8 {
            nodes.extend([node; NODE_LEN]);
        }
        let reply = |nodes: &[u8]| {
            let mut bytes = b"d2:ip6:1234561:rd2:id20:abcdefghij01234567895:nodes".to_vec();
            bytes.extend(format!("{}:", nodes.len()).as_bytes());
            bytes.extend(nodes);
            bytes.extend(b"e1:t8:\0\0\0\0\0\0\x01\x021:v4:LT121:y1:re");
            bytes
        };
        let right = reply(&nodes);
        let read = speaker.reply(&right).unwrap();
        assert_eq!((read.tx_id, read.contacts, read.is_refusal), (258, Some(8), false));
        assert_eq!(speaker.reply(&reply(&[])).unwrap().contacts, Some(0));
        assert_eq!(speaker.check(Kind::FindNode, &Id::ZERO, &right, None), Ok(()));
        nodes.extend([3; NODE_LEN]);
        let twice = speaker.check(Kind::FindNode, &Id::ZERO, &reply(&nodes), None);
        assert_eq!(twice, Err(Wrong::Contact { at: 8 }));
        let known = |count: u8| Oracle::new((0..count).map(|n| contact_of(&[n; 26])).collect(), 8);
        assert_eq!(speaker.check(Kind::FindNode, &Id::ZERO, &right, Some(&known(8))), Ok(()));
        let foreign = speaker.check(Kind::FindNode, &Id::ZERO, &right, Some(&known(7)));
        assert_eq!(foreign, Err(Wrong::Contact { at: 7 }));
        nodes.pop();
        let torn = speaker.check(Kind::FindNode, &Id::ZERO, &reply(&nodes), None);
        assert_eq!(torn, Err(Wrong::Message));
        let error = b"d1:eli203e3:bade1:t8:\0\0\0\0\0\0\x01\x021:y1:ee";
        assert!(speaker.reply(error).unwrap().is_refusal);
        assert_eq!(speaker.reply(b"d1:t8:1234"), None);
    }
}
