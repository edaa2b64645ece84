//! Messages as adversaries make them: bytes laid out through the wire crate, in whoever's
//! name.

use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, EXT_FORWARD, Emit, Endpoint, Fault, Filter, FindValueBody, Flags,
    Forward, Head, Id, Kind, NetworkKey, Publisher, Record, ReplyBody, StoreBody,
};
use zerocopy::IntoBytes;

/// One message of a stranger.
#[derive(Clone, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) tx_id: u64,
    pub(crate) target: Id,
    pub(crate) sender: Id,
    pub(crate) cookie: u64,
    pub(crate) time_s: u32,
    /// Of a reply.
    pub(crate) observed: Endpoint,
    /// Of a FIND reply.
    pub(crate) contacts: &'a [Contact],
    /// Of a STORE of an immutable value.
    pub(crate) value: &'a [u8],
    /// Of a STORE of any other.
    pub(crate) record: Option<Record<'a>>,
    /// Of a forwarded request.
    pub(crate) forward: Option<Forward>,
    /// Padded to this length.
    pub(crate) len_min: usize,
    /// Of a network with a key.
    pub(crate) key: Option<NetworkKey>,
}

impl<'a> Letter<'a> {
    /// A request without anything special.
    pub(crate) fn request(kind: Kind, tx_id: u64, target: Id, sender: Id, time_s: u32) -> Self {
        Self {
            kind,
            flags: Flags::default(),
            tx_id,
            target,
            sender,
            cookie: 0,
            time_s,
            observed: Endpoint::NONE,
            contacts: &[],
            value: &[],
            record: None,
            forward: None,
            len_min: 0,
            key: None,
        }
    }

    /// A reply to the request with this head.
    pub(crate) fn reply(asked: &Head, kind: Kind, sender: Id, observed: Endpoint) -> Self {
        let tx_id = asked.tx_id.get();
        let request = Self::request(kind, tx_id, asked.target, sender, asked.time_s.get());
        Self { flags: Flags::REPLY, cookie: 1, observed, ..request }
    }

    /// Its bytes. What does not fit is left out.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut head = Head::request(self.kind, self.tx_id, self.target, self.sender);
        head.flags = self.flags.0.into();
        head.cookie = self.cookie.into();
        head.time_s = self.time_s.into();
        let Ok(mut emit) = Emit::datagram(&mut buf, head, self.key.as_ref(), usize::MAX) else {
            return Vec::new();
        };
        if self.kind == Kind::Fault {
            // It wants a cookie: the code that makes an asker ask again.
            emit.head().arg = Fault::Cookie as u8;
        } else if self.flags.has(Flags::REPLY) {
            if self.kind == Kind::Store {
                // Acknowledged as durably as memory.
                emit.head().arg = 1;
            }
            let total = if self.kind == Kind::FindNode { self.contacts.len() } else { 0 };
            let total = u16::try_from(total).unwrap_or(u16::MAX);
            let _ = emit.body(&ReplyBody { observed: self.observed, total: total.into() });
            for contact in self.contacts {
                let _ = emit.contact(contact);
            }
        } else if self.kind == Kind::FindValue {
            let _ = emit.body(&FindValueBody::new(&Filter::Any, 0));
        } else if self.kind == Kind::Store {
            let _ = emit.body(&StoreBody { cas: StoreBody::UNCONDITIONAL.into() });
            let immutable = Record::whole(Publisher::Immutable, 86_400, self.value).ok();
            if let Some(record) = self.record.or(immutable) {
                let _ = emit.store_record(&record);
            }
        }
        if let Some(forward) = &self.forward {
            let _ = emit.extension(EXT_FORWARD, forward.as_bytes());
        }
        emit.pad_to(self.len_min);
        let len = emit.finish();
        buf[..len].to_vec()
    }
}
