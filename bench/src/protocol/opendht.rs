//! OpenDHT's wire (savoirfairelinux/opendht, from version 2 on): maps in MessagePack, with the
//! keys of BEP 5 and contacts as compact as there.

use kdht_wire::Id;

use super::krpc::{NODE_LEN, check_nodes};
use super::{Ask, Item, Kind, Protocol, Reader, Reply};
use crate::draw::Draw;
use crate::oracle::{Oracle, Wrong};

/// A client (key `s`), so that nobody takes it into a table.
#[derive(Clone, Debug)]
pub struct OpenDht {
    id: Id,
}

impl OpenDht {
    /// An asker whose id follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { id: Draw::new(seed ^ 0x6f70_656e).id() }
    }
}

impl Protocol for OpenDht {
    fn name(&self) -> &'static str {
        "opendht"
    }

    fn tx_bits(&self) -> u32 {
        32
    }

    fn can_ask(&self, _: Kind) -> bool {
        true
    }

    /// It has no padding. Numbers are four bytes long whatever they are, so that all requests
    /// of a kind have one length.
    fn request(&self, out: &mut [u8], ask: &Ask<'_>) -> usize {
        let id: &[u8] = &self.id.0;
        let target: &[u8] = &ask.target.0;
        // Contacts of IPv4 (2) are wanted.
        let (argument, query): ([&[u8]; 3], &[u8]) = match ask.kind {
            Kind::Ping => ([b"\x81", b"", b""], b"\xa4ping"),
            Kind::FindNode => ([b"\x83\xa1w\x91\x02", b"\xa6target\xc4\x14", target], b"\xa4find"),
            Kind::FindValue => ([b"\x83\xa1w\x91\x02", b"\xa1h\xc4\x14", target], b"\xa3get"),
        };
        // Of 32 bits, as promised.
        let tx_id = u32::try_from(ask.tx_id).unwrap_or(0).to_be_bytes();
        let [open, name, about] = argument;
        let parts: [&[u8]; 10] = [
            b"\x86\xa1a",
            open,
            name,
            about,
            b"\xa2id\xc4\x14",
            id,
            b"\xa1q",
            query,
            b"\xa1s\xc3\xa1t\xce",
            &tx_id,
        ];
        let mut len = 0;
        for part in parts.into_iter().chain([&b"\xa1y\xa1q\xa1v\xa4RNG1"[..]]) {
            out[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        len
    }

    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        let reader = Reader::new(bytes);
        let tx_id = match reader.find(b"t")?.item()? {
            Item::Uint(tx_id) => tx_id,
            Item::Bytes(bytes) => u32::from_be_bytes(bytes.try_into().ok()?).into(),
            _ => return None,
        };
        let is_refusal = reader.find(b"e").is_some();
        let said = reader.find(b"r");
        if said.is_none() && !is_refusal {
            return None;
        }
        let nodes = said.and_then(|said| said.bytes_of(b"n4")).unwrap_or_default();
        Some(Reply {
            tx_id,
            cookie: 0,
            kind: None,
            target: None,
            contacts: Some(nodes.len() / NODE_LEN),
            is_refusal,
        })
    }

    fn check(
        &self,
        kind: Kind,
        _: &Id,
        bytes: &[u8],
        oracle: Option<&Oracle>,
    ) -> Result<(), Wrong> {
        let said = Reader::new(bytes).find(b"r").ok_or(Wrong::Message)?;
        let sender = said.bytes_of(b"id").filter(|id| id.len() == 20 && *id != self.id.0);
        sender.ok_or(Wrong::Message)?;
        match kind {
            Kind::FindNode => check_nodes(said.bytes_of(b"n4").unwrap_or_default(), oracle),
            Kind::Ping | Kind::FindValue => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kdht_wire::DATAGRAM_LEN_MAX;

    use super::*;

    fn reply(tx_id: &[u8], nodes: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x84\xa1r\x83\xa2id\xc4\x14abcdefghij0123456789\xa2n4\xc4".to_vec();
        bytes.push(u8::try_from(nodes.len()).unwrap());
        bytes.extend(nodes);
        bytes.extend(b"\xa2sa\xc4\x04\x7f\x00\x00\x01\xa1t");
        bytes.extend(tx_id);
        bytes.extend(b"\xa1y\xa1r\xa1v\xa4RNG1");
        bytes
    }

    #[test]
    fn a_request_is_one_map_with_what_was_asked() {
        let speaker = OpenDht::new(3);
        let target = Draw::new(1).id();
        for (kind, name, key) in [
            (Kind::Ping, &b"ping"[..], None),
            (Kind::FindNode, b"find", Some(&b"target"[..])),
            (Kind::FindValue, b"get", Some(b"h")),
        ] {
            let mut out = [0; DATAGRAM_LEN_MAX];
            let ask = Ask { kind, tx_id: 0xfedc_ba98, cookie: 0, target: &target, len_min: 0 };
            let len = speaker.request(&mut out, &ask);
            let reader = Reader::new(&out[..len]);
            let mut whole = reader;
            assert!(whole.skip().is_some() && whole.item().is_none(), "{kind:?}");
            assert_eq!(reader.bytes_of(b"q"), Some(name));
            assert_eq!(reader.find(b"t").unwrap().item(), Some(Item::Uint(0xfedc_ba98)));
            let said = reader.find(b"a").unwrap();
            assert_eq!(said.bytes_of(b"id"), Some(&speaker.id.0[..]));
            let about = key.and_then(|key| said.bytes_of(key));
            assert_eq!(about, key.map(|_| &target.0[..]));
            assert_eq!(speaker.reply(&out[..len]), None, "a request is no reply");
        }
    }

    #[test]
    fn a_reply_is_matched_and_one_without_nodes_is_found() {
        let speaker = OpenDht::new(3);
        let mut nodes = Vec::new();
        for node in 0..8 {
            nodes.extend([node; NODE_LEN]);
        }
        for tx_id in [&b"\xcd\x01\x02"[..], b"\xce\x00\x00\x01\x02", b"\xc4\x04\x00\x00\x01\x02"] {
            let right = reply(tx_id, &nodes);
            let read = speaker.reply(&right).unwrap();
            assert_eq!((read.tx_id, read.contacts, read.is_refusal), (258, Some(8), false));
            assert_eq!(speaker.check(Kind::FindNode, &Id::ZERO, &right, None), Ok(()));
            let empty = reply(tx_id, &[]);
            assert_eq!(speaker.reply(&empty).unwrap().contacts, Some(0));
            let empty = speaker.check(Kind::FindNode, &Id::ZERO, &empty, None);
            assert_eq!(empty, Err(Wrong::Count { have: 0, need: 1 }));
            let torn = speaker.check(Kind::FindNode, &Id::ZERO, &reply(tx_id, &nodes[1..]), None);
            assert_eq!(torn, Err(Wrong::Message));
        }
        let error = b"\x83\xa1e\x92\x64\xa3bad\xa1t\x05\xa1y\xa1e";
        let read = speaker.reply(error).unwrap();
        assert!(read.is_refusal && read.tx_id == 5);
    }
}
