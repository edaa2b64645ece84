//! Messages as a stranger would make them.

use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, EXT_FORWARD, Emit, Endpoint, Filter, FindValueBody, Flags, Forward,
    HEAD_LEN, Head, Id, Kind, Message, NetworkKey, Record, ReplyBody, STREAM_LEN_MAX, StoreBody,
};
use zerocopy::IntoBytes;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) kind: Kind,
    pub(crate) tx_id: u64,
    pub(crate) target: Id,
    pub(crate) sender: Id,
    pub(crate) flags: Flags,
    pub(crate) cookie: u64,
    pub(crate) time_s: u32,
    pub(crate) filter: Filter,
    pub(crate) cursor: u16,
    pub(crate) record: Option<Record<'a>>,
    pub(crate) cas: u64,
    pub(crate) forward: Option<Forward>,
    /// Padded to this length.
    pub(crate) len_min: usize,
    pub(crate) key: Option<NetworkKey>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(kind: Kind, target: Id, sender: Id) -> Self {
        Self {
            kind,
            tx_id: 0x0123_4567_89ab_cdef,
            target,
            sender,
            flags: Flags::default(),
            cookie: 0,
            time_s: super::START.unix_s,
            filter: Filter::Any,
            cursor: 0,
            record: None,
            cas: StoreBody::UNCONDITIONAL,
            forward: None,
            len_min: 0,
            key: None,
        }
    }

    /// The first PING of a node that wants to be known: it pays for the pings that follow.
    pub(crate) fn hello(id: Id) -> Self {
        Self { len_min: 88, ..Self::new(Kind::Ping, id, id) }
    }

    pub(crate) fn store(target: Id, sender: Id, record: Record<'a>, cookie: u64) -> Self {
        Self { record: Some(record), cookie, ..Self::new(Kind::Store, target, sender) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let head = self.head();
        let len = self.fill(Emit::datagram(&mut buf, head, self.key.as_ref(), usize::MAX).unwrap());
        buf[..len].to_vec()
    }

    /// The request as it travels by TCP.
    pub(crate) fn stream_bytes(&self) -> Vec<u8> {
        let mut buf = vec![0; STREAM_LEN_MAX];
        let len = self.fill(Emit::stream(&mut buf, self.head(), self.key.as_ref()).unwrap());
        buf.truncate(len);
        buf
    }

    fn head(&self) -> Head {
        let mut head = Head::request(self.kind, self.tx_id, self.target, self.sender);
        head.flags = self.flags.0.into();
        head.cookie = self.cookie.into();
        head.time_s = self.time_s.into();
        head
    }

    fn fill(&self, mut emit: Emit<'_, '_>) -> usize {
        match self.kind {
            Kind::FindValue => {
                emit.body(&FindValueBody::new(&self.filter, self.cursor)).unwrap();
            }
            Kind::Store => {
                emit.body(&StoreBody { cas: self.cas.into() }).unwrap();
                emit.store_record(self.record.as_ref().expect("a STORE has a record")).unwrap();
            }
            _ => {}
        }
        if let Some(forward) = &self.forward {
            emit.extension(EXT_FORWARD, forward.as_bytes()).unwrap();
        }
        emit.pad_to(self.len_min);
        emit.finish()
    }
}

/// One reply to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply<'a> {
    pub(crate) total: u16,
    pub(crate) contacts: &'a [Contact],
    pub(crate) records: &'a [Record<'a>],
    pub(crate) flags: Flags,
    pub(crate) arg: u8,
    pub(crate) cookie: u64,
    pub(crate) key: Option<NetworkKey>,
}

impl Reply<'_> {
    /// Answers `request` as `sender`, who saw it come from `observed`.
    pub(crate) fn bytes(&self, request: &[u8], sender: Id, observed: Endpoint) -> Vec<u8> {
        let asked = Message::parse(request).expect("nodes send what parses").head;
        let kind = Kind::from_u8(asked.kind).unwrap();
        self.bytes_as(kind, request, sender, observed)
    }

    /// The same as a reply of another kind.
    pub(crate) fn bytes_as(
        &self,
        kind: Kind,
        request: &[u8],
        sender: Id,
        observed: Endpoint,
    ) -> Vec<u8> {
        let asked = Message::parse(request).expect("nodes send what parses").head;
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut head = Head::request(kind, asked.tx_id.get(), asked.target, sender);
        head.flags = self.flags.with(Flags::REPLY).0.into();
        head.cookie = self.cookie.into();
        head.time_s = asked.time_s;
        head.arg = self.arg;
        let mut emit = Emit::datagram(&mut buf, head, self.key.as_ref(), usize::MAX).unwrap();
        if kind != Kind::Fault {
            emit.body(&ReplyBody { observed, total: self.total.into() }).unwrap();
        }
        self.contacts.iter().for_each(|contact| emit.contact(contact).unwrap());
        self.records.iter().for_each(|record| emit.record(record).unwrap());
        let len = emit.finish();
        buf[..len].to_vec()
    }
}

/// The parsed head of a reply among `datagrams` to `tx_id`, with its bytes.
pub(crate) fn reply_of<'a>(
    datagrams: impl IntoIterator<Item = &'a [u8]>,
    tx_id: u64,
) -> Option<Message<'a>> {
    datagrams
        .into_iter()
        .find(|bytes| is_reply(bytes) && tx_id_of(bytes) == tx_id)
        .map(|bytes| Message::parse(bytes).expect("nodes send what parses"))
}

pub(crate) fn is_reply(bytes: &[u8]) -> bool {
    bytes.len() >= HEAD_LEN && bytes[4] & 1 == 1
}

pub(crate) fn tx_id_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[16..24].try_into().unwrap())
}
