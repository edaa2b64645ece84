//! PING, STORE and FAULT.

use kdht_wire::{
    Fault, Flags, Kind, NetworkKey, Publisher, Record, SALT_LEN, StoreBody, key_of_string,
    key_of_value,
};
use zerocopy::byteorder::little_endian::U64;

use super::{
    ASKER_V4, ASKER_V6, KEY, SALT, head, id, long_value, message, ok, refusal, reply, reply_body,
    request, signed, stream, whole, with_cookie,
};
use crate::support::vectors::Vector;

pub(super) fn ping() -> Vec<Vector> {
    let every_flag =
        Flags::NAMED.into_iter().fold(Flags::default(), |all, (flag, _)| all.with(flag));
    let mut undefined = head(Kind::Ping, Flags::RESERVED_IGNORED);
    undefined.arg = 0xee;
    let mut undefined = message(undefined, None, |_| {});
    undefined[6] = 0x55;
    vec![
        ok("ping_request", "the shortest message: a head", None, request(Kind::Ping, None, |_| {})),
        ok(
            "ping_request_client",
            "the asker serves nobody, and shows the cookie that it got before",
            None,
            message(with_cookie(head(Kind::Ping, Flags::CLIENT)), None, |_| {}),
        ),
        ok(
            "ping_request_padded",
            "padded to 100 bytes",
            None,
            request(Kind::Ping, None, |emit| emit.pad_to(100)),
        ),
        ok(
            "ping_request_keyed",
            "a head and its MAC",
            Some(KEY),
            request(Kind::Ping, Some(&KEY), |_| {}),
        ),
        ok(
            "ping_reply_every_flag",
            "all eight flags at once; those without meaning here are ignored",
            Some(KEY),
            message(head(Kind::Ping, every_flag), Some(&KEY), |emit| {
                emit.body(&reply_body(ASKER_V4, 0)).unwrap();
            }),
        ),
        ok(
            "ping_request_undefined",
            "what receivers ignore: flag bits 12 to 15, arg, and key_id without KEYED",
            None,
            undefined,
        ),
        ok(
            "ping_request_unknown_extension",
            "an extension of type 0xbeef is skipped",
            None,
            request(Kind::Ping, None, |emit| emit.extension(0xbeef, b"skipped").unwrap()),
        ),
        ok(
            "ping_request_eight_extensions",
            "as many extensions as there may be, empty ones and padding among them",
            None,
            request(Kind::Ping, None, |emit| {
                for kind in [2, 0, 0xffff, 2, 0, 3, 4] {
                    emit.extension(kind, &[]).unwrap();
                }
                emit.extension(0, &[0; 5]).unwrap();
            }),
        ),
        ok(
            "ping_reply_v4",
            "tells the asker its IPv4 endpoint",
            None,
            reply(Kind::Ping, None, |emit| emit.body(&reply_body(ASKER_V4, 0)).unwrap()),
        ),
        ok(
            "ping_reply_v6",
            "tells the asker its IPv6 endpoint",
            None,
            reply(Kind::Ping, None, |emit| emit.body(&reply_body(ASKER_V6, 0)).unwrap()),
        ),
        ok(
            "ping_reply_keyed",
            "signed",
            Some(KEY),
            reply(Kind::Ping, Some(&KEY), |emit| emit.body(&reply_body(ASKER_V4, 0)).unwrap()),
        ),
    ]
}

pub(super) fn store() -> Vec<Vector> {
    let storing = |flags: Flags, key: Option<&NetworkKey>, target, cas, record: &Record<'_>| {
        let mut head = with_cookie(head(Kind::Store, flags));
        head.target = target;
        stream(head, key, |emit| {
            emit.body(&StoreBody { cas: U64::new(cas) }).unwrap();
            emit.store_record(record).unwrap();
        })
    };
    let stored = |durability: u8, total: u16, key: Option<&NetworkKey>| {
        let mut head = head(Kind::Store, Flags::REPLY);
        head.arg = durability;
        message(head, key, |emit| emit.body(&reply_body(ASKER_V4, total)).unwrap())
    };
    let open = Flags::default();
    let any = StoreBody::UNCONDITIONAL;
    let value = b"a value";
    let long = long_value(2000);
    let slot = key_of_string("example");
    let first = signed(&slot, 1, [0; SALT_LEN], value);
    let second = signed(&slot, 2, SALT, value);
    let publisher = id(0x77);
    let immutable = whole(Publisher::Immutable, value);
    vec![
        ok(
            "store_request_immutable",
            "under the hash of its bytes",
            None,
            storing(open, None, key_of_value(value), any, &immutable),
        ),
        ok(
            "store_request_signed",
            "unconditional; the signature verifies",
            None,
            storing(open, None, slot, any, &whole(Publisher::Signed(&first), value)),
        ),
        ok(
            "store_request_cas",
            "compare-and-swap: only over sequence 1; salted",
            None,
            storing(open, None, slot, 1, &whole(Publisher::Signed(&second), value)),
        ),
        ok(
            "store_request_plain",
            "in a private network",
            Some(KEY),
            storing(open, Some(&KEY), slot, any, &whole(Publisher::Plain(&publisher), value)),
        ),
        ok(
            "store_request_recurse",
            "at the closest nodes of the whole network",
            None,
            storing(Flags::RECURSE, None, key_of_value(value), any, &immutable),
        ),
        Vector {
            is_stream: true,
            ..ok(
                "store_request_stream",
                "by TCP, an immutable value of 2000 bytes",
                None,
                storing(open, None, key_of_value(&long), any, &whole(Publisher::Immutable, &long)),
            )
        },
        ok("store_reply_memory", "survives as long as the process", None, stored(1, 1, None)),
        ok("store_reply_os", "survives the process; signed", Some(KEY), stored(2, 1, Some(&KEY))),
        ok("store_reply_disk", "survives the host, at seven nodes", None, stored(3, 7, None)),
    ]
}

pub(super) fn fault() -> Vec<Vector> {
    let each = Fault::ALL.into_iter().map(|fault| {
        let name = format!("fault_{}", fault.name());
        ok(&name, fault_meaning(fault), None, refusal(fault, None))
    });
    let keyed = ok("fault_keyed", "signed", Some(KEY), refusal(Fault::Cookie, Some(&KEY)));
    each.chain([keyed]).collect()
}

fn fault_meaning(fault: Fault) -> &'static str {
    match fault {
        Fault::Version => "the version is not spoken here",
        Fault::Kind => "the kind is unknown here",
        Fault::Malformed => "the head was sound, what follows was not",
        Fault::Cookie => "ask again with the cookie in this head",
        Fault::Busy => "ask again in 250 ms, or with the cookie",
        Fault::Draining => "the node is leaving",
        Fault::TooLong => "the value is longer than this node holds",
        Fault::Hash => "the key of an immutable value is not its hash",
        Fault::Signature => "the signature does not verify",
        Fault::Sequence => "a higher sequence is held, and here it is",
        Fault::Cas => "the sequence held is not the one named, and here it is",
        Fault::Plain => "plain values are not accepted here",
        Fault::KeyFull => "the key holds all that it may",
        Fault::SourceFull => "the source holds all that it may",
        Fault::Full => "the node is full",
        Fault::Expired => "remaining_s is 0",
        Fault::Recurse => "no lookup now, ask again in 250 ms",
    }
}
