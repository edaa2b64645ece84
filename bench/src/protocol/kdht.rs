//! This project's wire.

use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Filter, FindValueBody, Flags, Head, Id, Message, Publisher,
    Record, StoreBody, key_of_value,
};
use zerocopy::byteorder::little_endian::{U16, U64};

use super::{Ask, Kind, Protocol, Reply};
use crate::draw::Draw;
use crate::oracle::{Oracle, Wrong, check_each};

/// Bytes of a request without a cookie, so that it may draw any reply (FORMAT.md §9).
pub const HELLO_LEN: usize = 411;

/// A client of this project's wire: it says that it serves nobody, and sends the cookie
/// that it last got.
#[derive(Clone, Debug)]
pub struct Kdht {
    id: Id,
}

impl Kdht {
    /// A client whose id follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { id: Draw::new(seed ^ 0x636c_6965_6e74).id() }
    }

    /// Lays out a STORE of `value` under its hash, to live `remaining_s` seconds. Nothing: it
    /// does not fit.
    pub fn store(
        &self,
        out: &mut [u8],
        ask: &Ask<'_>,
        value: &[u8],
        remaining_s: u32,
    ) -> Option<usize> {
        let key = key_of_value(value);
        let head = self.head(kdht_wire::Kind::Store, ask.tx_id, key, ask.cookie);
        let mut emit = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX).ok()?;
        emit.body(&StoreBody { cas: U64::new(StoreBody::UNCONDITIONAL) }).ok()?;
        let record = Record::whole(Publisher::Immutable, remaining_s, value).ok()?;
        emit.store_record(&record).ok()?;
        Some(emit.finish())
    }

    fn head(&self, kind: kdht_wire::Kind, tx_id: u64, target: Id, cookie: u64) -> Head {
        let mut head = Head::request(kind, tx_id, target, self.id);
        head.flags = U16::new(Flags::CLIENT.0);
        head.cookie = U64::new(cookie);
        head
    }
}

impl Protocol for Kdht {
    fn name(&self) -> &'static str {
        "kdht"
    }

    fn has_cookies(&self) -> bool {
        true
    }

    fn can_ask(&self, _: Kind) -> bool {
        true
    }

    fn request(&self, out: &mut [u8], ask: &Ask<'_>) -> usize {
        let (kind, target) = match ask.kind {
            Kind::Ping => (kdht_wire::Kind::Ping, self.id),
            Kind::FindNode => (kdht_wire::Kind::FindNode, *ask.target),
            Kind::FindValue => (kdht_wire::Kind::FindValue, *ask.target),
        };
        let head = self.head(kind, ask.tx_id, target, ask.cookie);
        let Ok(mut emit) = Emit::datagram(out, head, None, DATAGRAM_LEN_MAX) else { return 0 };
        if ask.kind == Kind::FindValue {
            // Head and body are 108 bytes.
            let _ = emit.body(&FindValueBody::new(&Filter::Any, 0));
        }
        // As real askers do: whoever has no cookie pays with bytes.
        emit.pad_to(if ask.cookie == 0 { HELLO_LEN.max(ask.len_min) } else { ask.len_min });
        emit.finish()
    }

    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        let message = Message::parse(bytes).ok().filter(|message| message.head.is_reply())?;
        let kind = match message.kind {
            kdht_wire::Kind::Ping => Some(Kind::Ping),
            kdht_wire::Kind::FindNode => Some(Kind::FindNode),
            kdht_wire::Kind::FindValue => Some(Kind::FindValue),
            kdht_wire::Kind::Store | kdht_wire::Kind::Fault => None,
        };
        let finds = matches!(kind, Some(Kind::FindNode | Kind::FindValue));
        Some(Reply {
            tx_id: message.head.tx_id.get(),
            cookie: message.head.cookie.get(),
            kind,
            target: finds.then_some(message.head.target),
            // A full sort says how many there should be.
            contacts: None,
            is_refusal: message.kind == kdht_wire::Kind::Fault,
        })
    }

    fn check(
        &self,
        kind: Kind,
        target: &Id,
        bytes: &[u8],
        oracle: Option<&Oracle>,
    ) -> Result<(), Wrong> {
        let message = Message::parse(bytes).map_err(|_| Wrong::Message)?;
        match (kind, &message.body) {
            (Kind::Ping, Body::PingReply(_)) => Ok(()),
            (Kind::FindNode | Kind::FindValue, Body::Contacts { contacts, .. }) => match oracle {
                Some(oracle) => oracle.check(target, &self.id, contacts),
                None => check_each(&self.id, contacts),
            },
            (Kind::FindValue, Body::Values { records, .. }) => {
                let is_right = |record: Record<'_>| key_of_value(record.value) == *target;
                let is_whole = records.count() > 0 && records.iter().all(is_right);
                if is_whole { Ok(()) } else { Err(Wrong::Value) }
            }
            _ => Err(Wrong::Message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: Kind, target: &Id, cookie: u64, len_min: usize) -> Ask<'_> {
        Ask { kind, tx_id: 77, cookie, target, len_min }
    }

    #[test]
    fn requests_parse_as_a_clients_and_strangers_pad_them() {
        let speaker = Kdht::new(5);
        let target = Draw::new(1).id();
        for (kind, bare_len) in [(Kind::Ping, 72), (Kind::FindNode, 72), (Kind::FindValue, 108)] {
            for (cookie, len_min, len) in [(9, 0, bare_len), (9, 200, 200), (0, 0, HELLO_LEN)] {
                let mut out = [0; DATAGRAM_LEN_MAX];
                let laid = speaker.request(&mut out, &ask(kind, &target, cookie, len_min));
                assert_eq!(laid, len, "{kind:?}");
                let message = Message::parse(&out[..laid]).unwrap();
                assert!(message.head.flags().has(Flags::CLIENT) && !message.head.is_reply());
                assert_eq!(message.head.cookie.get(), cookie);
                assert_eq!(speaker.reply(&out[..laid]), None, "a request is no reply");
            }
        }
    }

    #[test]
    fn a_store_proves_itself() {
        let speaker = Kdht::new(5);
        let mut out = [0; DATAGRAM_LEN_MAX];
        let ask = ask(Kind::Ping, &Id::ZERO, 9, 0);
        let len = speaker.store(&mut out, &ask, b"a value", 60).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        let Body::Store { record, .. } = message.body else { panic!("{message:?}") };
        assert_eq!(kdht_store::verify(&message.head.target, &record), Ok(()));
        assert_eq!(speaker.store(&mut out, &ask, &[1; DATAGRAM_LEN_MAX], 60), None);
    }
}
