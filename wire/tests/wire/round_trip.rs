//! Whatever is emitted parses to what it was emitted from, and nothing is emitted beyond
//! its limit.

use kdht_wire::{
    Body, Contact, DATAGRAM_LEN_MAX, Emit, EmitError, Endpoint, Fault, FaultDetail, FindValueBody,
    Flags, HEAD_LEN, Head, Id, KeyRing, Kind, MAC_LEN, Message, NetworkKey, Publisher, Record,
    ReplyBody, STREAM_LEN_MAX, SignedTail, StoreBody,
};
use proptest::array::{uniform16, uniform20, uniform32};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::support::{cases, reference};

/// All that a message may be made of; each kind takes what it needs.
#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    flags: u16,
    arg: u8,
    numbers: (u32, u64, u64),
    target: Id,
    sender: Id,
    key: Option<NetworkKey>,
    reply: ReplyBody,
    find_value: FindValueBody,
    cas: u64,
    contacts: Vec<Contact>,
    records: Vec<RecordParts>,
    extensions: Vec<(u16, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct RecordParts {
    kind: u8,
    flags: u8,
    cursor: u16,
    remaining_s: u32,
    id: Id,
    tail: SignedTail,
    value: Vec<u8>,
    announced_len: u32,
}

impl RecordParts {
    fn record(&self) -> Record<'_> {
        let publisher = match self.kind {
            0 => Publisher::Immutable,
            1 => Publisher::Signed(&self.tail),
            _ => Publisher::Plain(&self.id),
        };
        let whole = Record::whole(publisher, self.remaining_s, &self.value).unwrap();
        let record = Record { cursor: self.cursor, flags: self.flags & 0xf0, ..whole };
        if self.flags & 1 != 0 {
            Record { value_len: self.announced_len, ..record }.announced()
        } else {
            record
        }
    }
}

fn any_id() -> impl Strategy<Value = Id> {
    uniform20(any::<u8>()).prop_map(Id)
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let mapped = any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_ipv6_mapped());
    let ip = prop_oneof![
        uniform16(any::<u8>()),
        // Runs of zeros, which the text form shortens.
        uniform16(prop_oneof![Just(0), any::<u8>()]),
        mapped.prop_map(|ip| ip.octets()),
    ];
    (ip, any::<u16>()).prop_map(|(ip, port)| Endpoint { ip, port: port.into() })
}

fn any_contact() -> impl Strategy<Value = Contact> {
    (any_id(), any_endpoint(), any::<u8>()).prop_map(|(id, endpoint, high)| Contact {
        id,
        endpoint,
        flags: U16::new(u16::from(high) << 8),
    })
}

fn any_record() -> impl Strategy<Value = RecordParts> {
    let tail = vec(any::<u8>(), size_of::<SignedTail>())
        .prop_map(|bytes| SignedTail::read_from_bytes(&bytes).unwrap());
    let tail = (tail, any::<bool>()).prop_map(|(tail, salted)| SignedTail {
        salt: if salted { tail.salt } else { [0; 16] },
        ..tail
    });
    let numbers = (0..3_u8, any::<u8>(), any::<u16>(), any::<u32>());
    (numbers, any_id(), tail, vec(any::<u8>(), 0..300), 0..=1_u32 << 20).prop_map(
        |((kind, flags, cursor, remaining_s), id, tail, value, announced_len)| RecordParts {
            kind,
            flags,
            cursor,
            remaining_s,
            id,
            tail,
            value,
            announced_len,
        },
    )
}

fn any_extension() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let forward = (vec(any::<u8>(), 40), 0..=8_u8).prop_map(|(mut data, hops)| {
        data[34] = hops;
        data[35] = 0;
        (1, data)
    });
    prop_oneof![
        (0..200_usize).prop_map(|len| (0, vec![0; len])),
        forward,
        (2..=u16::MAX, vec(any::<u8>(), 0..60)),
    ]
}

fn any_key() -> impl Strategy<Value = NetworkKey> {
    (1..=u8::MAX, uniform16(any::<u8>())).prop_map(|(id, secret)| NetworkKey { id, secret })
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let head = (kind, any::<u16>(), any::<u8>(), any::<(u32, u64, u64)>(), any_id(), any_id());
    let total = prop_oneof![Just(0), any::<u16>()];
    let reply = (any_endpoint(), total)
        .prop_map(|(observed, total)| ReplyBody { observed, total: U16::new(total) });
    let find_value =
        (any::<u16>(), 0..4_u8, uniform32(any::<u8>())).prop_map(|(cursor, filter, publisher)| {
            FindValueBody { cursor: U16::new(cursor), filter, reserved: 0, publisher }
        });
    let items = (vec(any_contact(), 0..40), vec(any_record(), 1..6), vec(any_extension(), 0..=8));
    (head, option::of(any_key()), reply, find_value, any::<u64>(), items).prop_map(
        |((kind, flags, arg, numbers, target, sender), key, reply, find_value, cas, items)| {
            let (contacts, records, extensions) = items;
            let mut flags = flags & !Flags::RESERVED_ZERO.0;
            let mut arg = arg;
            if kind == Kind::Fault {
                flags |= Flags::REPLY.0;
                arg = 1 + arg % 17;
            }
            if kind == Kind::Store && flags & Flags::REPLY.0 != 0 {
                arg = 1 + arg % 3;
            }
            Parts {
                kind,
                flags,
                arg,
                numbers,
                target,
                sender,
                key,
                reply,
                find_value,
                cas,
                contacts,
                records,
                extensions,
            }
        },
    )
}

impl Parts {
    fn is_reply(&self) -> bool {
        self.flags & Flags::REPLY.0 != 0
    }

    fn head(&self) -> Head {
        let (time_s, tx_id, cookie) = self.numbers;
        let mut head = Head::request(self.kind, tx_id, self.target, self.sender);
        head.flags = U16::new(self.flags);
        head.time_s = U32::new(time_s);
        head.cookie = U64::new(cookie);
        let counts = matches!(self.kind, Kind::FindNode | Kind::FindValue) && self.is_reply();
        head.arg = if counts { 0 } else { self.arg };
        head
    }

    /// The message, for a stream: it may be longer than a datagram.
    fn emit(&self) -> Vec<u8> {
        let mut buf = vec![0xaa; 1 << 14];
        let mut emit = Emit::stream(&mut buf, self.head(), self.key.as_ref()).unwrap();
        match (self.kind, self.is_reply()) {
            (Kind::Ping | Kind::FindNode, false) | (Kind::Fault, _) => {}
            (Kind::FindValue, false) => emit.body(&self.find_value).unwrap(),
            (Kind::Store, false) => {
                emit.body(&StoreBody { cas: U64::new(self.cas) }).unwrap();
                emit.store_record(&self.stored().record()).unwrap();
            }
            (kind, true) => {
                emit.body(&self.reply).unwrap();
                if self.lists_contacts() {
                    self.contacts.iter().for_each(|contact| emit.contact(contact).unwrap());
                } else if kind == Kind::FindValue {
                    self.records.iter().for_each(|one| emit.record(&one.record()).unwrap());
                }
            }
        }
        for (kind, data) in &self.extensions {
            emit.extension(*kind, data).unwrap();
        }
        let len = emit.finish();
        buf.truncate(len);
        buf
    }

    fn lists_contacts(&self) -> bool {
        let no_values = self.kind == Kind::FindValue && self.reply.total.get() == 0;
        self.is_reply() && (self.kind == Kind::FindNode || no_values)
    }

    /// A store is never announced.
    fn stored(&self) -> RecordParts {
        let record = self.records[0].clone();
        RecordParts { flags: record.flags & !1, ..record }
    }

    fn check(&self, message: &Message<'_>) {
        let head = message.head;
        assert_eq!(message.kind, self.kind);
        assert_eq!(head.flags.get() & !0x80, self.flags & !0x80);
        assert_eq!(head.key_id, self.key.map_or(0, |key| key.id));
        assert_eq!((head.time_s.get(), head.tx_id.get(), head.cookie.get()), self.numbers);
        assert_eq!((head.target, head.sender), (self.target, self.sender));
        match message.body {
            Body::Ping => assert_eq!((self.kind, self.is_reply()), (Kind::Ping, false)),
            Body::FindNode => assert_eq!((self.kind, self.is_reply()), (Kind::FindNode, false)),
            Body::FindValue(body) => assert_eq!(*body, self.find_value),
            Body::Store { store, record } => {
                assert_eq!(store.cas.get(), self.cas);
                assert_eq!(record, self.stored().record());
            }
            Body::PingReply(reply) => assert_eq!((*reply, self.kind), (self.reply, Kind::Ping)),
            Body::StoreReply(reply) => {
                assert_eq!((*reply, self.kind, head.arg), (self.reply, Kind::Store, self.arg));
            }
            Body::Contacts { reply, contacts } => {
                assert_eq!((*reply, contacts), (self.reply, &*self.contacts));
                assert!(self.lists_contacts());
            }
            Body::Values { reply, records } => {
                assert_eq!(*reply, self.reply);
                let expected: Vec<_> = self.records.iter().map(RecordParts::record).collect();
                assert_eq!(records.iter().collect::<Vec<_>>(), expected);
            }
            Body::Fault(fault, detail) => {
                assert_eq!(fault as u8, self.arg);
                assert_eq!(detail.to_target(), self.target);
            }
        }
        let extensions: Vec<_> =
            message.extensions.iter().map(|one| (one.kind, one.data.to_vec())).collect();
        assert_eq!(extensions, self.extensions);
    }
}

/// One call on an [`Emit`], in any order.
#[derive(Clone, Debug)]
enum Step {
    Reply,
    Contact,
    Record(usize),
    StoreRecord(usize),
    Extension(usize),
    Pad(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Reply),
        Just(Step::Contact),
        (0..1300_usize).prop_map(Step::Record),
        (0..1300_usize).prop_map(Step::StoreRecord),
        (0..1300_usize).prop_map(Step::Extension),
        (0..2000_usize).prop_map(Step::Pad),
    ]
}

fn take(emit: &mut Emit<'_, '_>, step: &Step) -> Result<(), EmitError> {
    let value = [0x77; 1300];
    let record = |len: usize| Record::whole(Publisher::Immutable, 1, &value[..len]).unwrap();
    match *step {
        Step::Reply => emit.body(&ReplyBody::default()),
        Step::Contact => emit.contact(&Contact::default()),
        Step::Record(len) => emit.record(&record(len)),
        Step::StoreRecord(len) => emit.store_record(&record(len)),
        Step::Extension(len) => emit.extension(9, &value[..len]),
        Step::Pad(total) => {
            emit.pad_to(total);
            Ok(())
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn what_is_emitted_parses_to_what_it_was_emitted_from(parts in any_parts()) {
        let bytes = parts.emit();
        prop_assert_eq!(reference::verdict(&bytes, STREAM_LEN_MAX), "ok");
        parts.check(&Message::parse_stream(&bytes).unwrap());
        let fits = bytes.len() <= DATAGRAM_LEN_MAX;
        prop_assert_eq!(Message::parse(&bytes).is_ok(), fits);
        let ring = parts.key.map_or(KeyRing::OPEN, |key| KeyRing::new(key, None));
        prop_assert_eq!(ring.verify(&bytes, parts.numbers.0), Ok(()));
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_makes_the_bytes_that_it_came_from(parts in any_parts(), key_id: u8) {
        let mut bytes = parts.emit();
        if parts.key.is_none() {
            bytes[6] = key_id;
        }
        let line = kdht_wire::json::to_json(&bytes).unwrap();
        prop_assert!(!line.contains('\n'));
        let again = kdht_wire::json::from_json(&line);
        prop_assert_eq!(again.as_ref(), Ok(&bytes), "{}", line);
        let pretty = kdht_wire::json::to_json_pretty(&bytes).unwrap();
        let again = kdht_wire::json::from_json(&pretty);
        prop_assert_eq!(again.as_ref(), Ok(&bytes));
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_without_its_mac_is_signed_anew_to_the_same_bytes(
        parts in any_parts(),
        key in any_key(),
    ) {
        let parts = Parts { key: Some(key), ..parts };
        let bytes = parts.emit();
        let line = kdht_wire::json::to_json(&bytes).unwrap();
        let mut object: serde_json::Value = serde_json::from_str(&line).unwrap();
        object.as_object_mut().unwrap().remove("mac").unwrap();
        let again = kdht_wire::json::from_json_keyed(&object.to_string(), Some(&key));
        prop_assert_eq!(again.as_ref(), Ok(&bytes));
        let missing = kdht_wire::json::from_json(&object.to_string());
        prop_assert_eq!(missing, Err(kdht_wire::json::JsonError::MacMissing));
    }

    #[test]
    fn no_order_of_calls_emits_beyond_its_limits(
        steps in vec(any_step(), 0..40),
        key in option::of(any_key()),
        len_max in prop_oneof![0..3000_usize, Just(usize::MAX)],
        buf_len in 0..3000_usize,
    ) {
        let mut buf = vec![0xaa; buf_len];
        let limit = len_max.min(buf_len).min(DATAGRAM_LEN_MAX);
        let least = HEAD_LEN + if key.is_some() { MAC_LEN } else { 0 };
        let head = Head::request(Kind::FindNode, 1, Id::ZERO, Id::ZERO);
        let begun = Emit::datagram(&mut buf, head, key.as_ref(), len_max);
        if limit < least {
            prop_assert_eq!(begun.err(), Some(EmitError { need: least, have: limit }));
            return Ok(());
        }
        let mut emit = begun.unwrap();
        for step in &steps {
            let room = emit.room();
            match (take(&mut emit, step), step) {
                (Ok(()), Step::Pad(total)) => {
                    let len = limit - emit.room();
                    prop_assert!(len >= *total.min(&(limit - 3)) || room == emit.room());
                }
                (Ok(()), _) => prop_assert!(emit.room() < room),
                (Err(error), _) => {
                    prop_assert_eq!(emit.room(), room);
                    prop_assert!(error.need > error.have);
                }
            }
        }
        let expected_len = limit - emit.room();
        let len = emit.finish();
        prop_assert_eq!(len, expected_len);
        prop_assert!((least..=limit).contains(&len));
        prop_assert_eq!(&buf[8..12], &u32::try_from(len - least).unwrap().to_le_bytes());
        prop_assert!(buf[len..].iter().all(|byte| *byte == 0xaa), "written behind the end");
    }

    #[test]
    fn padding_reaches_what_is_asked_by_at_most_a_heads_length_more(
        total in 0..1400_usize,
        key in option::of(any_key()),
    ) {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let head = Head::request(Kind::Ping, 1, Id::ZERO, Id::ZERO);
        let mut emit = Emit::datagram(&mut buf, head, key.as_ref(), usize::MAX).unwrap();
        emit.pad_to(total);
        let len = emit.finish();
        let least = HEAD_LEN + if key.is_some() { MAC_LEN } else { 0 };
        let wanted = total.clamp(least, DATAGRAM_LEN_MAX);
        prop_assert!((wanted..wanted + 4).contains(&len), "{} for {}", len, total);
        prop_assert_eq!(reference::verdict(&buf[..len], DATAGRAM_LEN_MAX), "ok");
    }

    #[test]
    fn a_fault_is_never_longer_than_a_head_and_a_mac(
        code in 1..=17_u8,
        target in any_id(),
        key in option::of(any_key()),
    ) {
        let mut head = Head::request(Kind::Fault, 1, target, Id::ZERO);
        head.flags = U16::new(Flags::REPLY.0);
        head.arg = code;
        let mut buf = [0; HEAD_LEN + MAC_LEN];
        let len = Emit::datagram(&mut buf, head, key.as_ref(), usize::MAX).unwrap().finish();
        prop_assert_eq!(len, HEAD_LEN + if key.is_some() { MAC_LEN } else { 0 });
        let message = Message::parse(&buf[..len]).unwrap();
        let fault = Fault::ALL[usize::from(code) - 1];
        prop_assert_eq!(message.body, Body::Fault(fault, FaultDetail::from_target(target)));
    }
}

#[test]
fn a_reply_takes_255_items_and_no_more() {
    let mut buf = vec![0; 1 << 14];
    let mut head = Head::request(Kind::FindNode, 1, Id::ZERO, Id::ZERO);
    head.flags = U16::new(Flags::REPLY.0);
    let mut emit = Emit::stream(&mut buf, head, None).unwrap();
    emit.body(&ReplyBody::default()).unwrap();
    for _ in 0..255 {
        emit.contact(&Contact::default()).unwrap();
    }
    let room = emit.room();
    assert!(emit.contact(&Contact::default()).is_err());
    let value = Record::whole(Publisher::Immutable, 1, b"").unwrap();
    assert!(emit.record(&value).is_err());
    assert_eq!(emit.room(), room);
    let len = emit.finish();
    let message = Message::parse_stream(&buf[..len]).unwrap();
    assert!(matches!(message.body, Body::Contacts { contacts, .. } if contacts.len() == 255));
}
