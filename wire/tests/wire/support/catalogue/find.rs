//! FIND_NODE and FIND_VALUE.

use kdht_wire::{
    Contact, EXT_FORWARD, Filter, FindValueBody, Flags, Id, Kind, NetworkKey, Publisher, Record,
    SALT_LEN, key_of_string, key_of_value,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U16;

use super::{
    ASKER_V4, ASKER_V6, KEY, SALT, at, contact, forward, head, id, long_value, message, ok,
    reply_body, signed, signing_key, stream, with_cookie,
};
use crate::support::vectors::Vector;

pub(super) fn find_node_requests() -> Vec<Vector> {
    let want = |flags: Flags| message(head(Kind::FindNode, flags), None, |_| {});
    let both = Flags::WANT4.with(Flags::WANT6);
    vec![
        ok(
            "find_node_request",
            "contacts of the request's own family",
            None,
            want(Flags::default()),
        ),
        ok("find_node_request_want4", "IPv4 contacts", None, want(Flags::WANT4)),
        ok("find_node_request_want6", "IPv6 contacts", None, want(Flags::WANT6)),
        ok(
            "find_node_request_padded",
            "both families, and padded to the 300 bytes that draw a whole reply",
            None,
            message(head(Kind::FindNode, both), None, |emit| emit.pad_to(300)),
        ),
        ok(
            "find_node_request_recurse",
            "asks for the whole lookup, with the cookie that it takes",
            None,
            message(with_cookie(head(Kind::FindNode, Flags::RECURSE)), None, |_| {}),
        ),
        ok(
            "find_node_request_forward",
            "may be forwarded; the first hop has not seen it yet",
            Some(KEY),
            message(with_cookie(head(Kind::FindNode, Flags::FORWARD)), Some(&KEY), |_| {}),
        ),
        ok(
            "find_node_request_forwarded",
            "on its way: 8 hops left, the reply goes to an IPv4 origin; the stamp is real",
            Some(KEY),
            message(head(Kind::FindNode, Flags::FORWARD), Some(&KEY), |emit| {
                emit.extension(EXT_FORWARD, forward(ASKER_V4, 8).as_bytes()).unwrap();
            }),
        ),
    ]
}

pub(super) fn find_node_replies() -> Vec<Vector> {
    let listing = |flags: Flags, key: Option<&NetworkKey>, total: u16, contacts: &[Contact]| {
        message(head(Kind::FindNode, Flags::REPLY.with(flags)), key, |emit| {
            emit.body(&reply_body(ASKER_V4, total)).unwrap();
            for contact in contacts {
                emit.contact(contact).unwrap();
            }
        })
    };
    let open = Flags::default();
    let mut undefined = contact(1, "192.0.2.11:4001");
    undefined.flags = U16::new(0xff00);
    let v4: Vec<Contact> = (1..=3)
        .map(|n| contact(n, &format!("192.0.2.{}:{}", 10 + n, 4000 + u16::from(n))))
        .collect();
    let v6: Vec<Contact> = (1..=3).map(|n| contact(n, &format!("[2001:db8::{n}]:4000"))).collect();
    let twenty: Vec<Contact> =
        (1..=20).map(|n| contact(n, &format!("198.51.100.{n}:4000"))).collect();
    let special = [
        contact(1, "[::ffff:192.0.2.1]:1"),
        contact(2, "[::192.0.2.1]:65535"),
        contact(3, "[2001:db8:0:0:1:0:0:1]:4000"),
        contact(4, "[::]:0"),
        contact(5, "0.0.0.0:0"),
    ];
    vec![
        ok("find_node_reply_empty", "knows nobody", None, listing(open, None, 0, &[])),
        ok("find_node_reply_v4", "three IPv4 contacts", None, listing(open, None, 3, &v4)),
        ok("find_node_reply_v6", "three IPv6 contacts", None, listing(open, None, 3, &v6)),
        ok(
            "find_node_reply_both_keyed",
            "contacts of both families, signed",
            Some(KEY),
            listing(open, Some(&KEY), 4, &[v4[0], v6[1], v4[2], v6[2]]),
        ),
        ok(
            "find_node_reply_twenty",
            "as many as there are",
            None,
            listing(open, None, 20, &twenty),
        ),
        ok(
            "find_node_reply_more",
            "cut to the 3 times of a request without a cookie: 3 of 20",
            None,
            listing(Flags::MORE, None, 20, &twenty[..3]),
        ),
        ok(
            "find_node_reply_undefined",
            "contact flag bits 8 to 15 are ignored",
            None,
            listing(open, None, 1, &[undefined]),
        ),
        ok(
            "find_node_reply_odd_endpoints",
            "endpoints whose text form has more than one spelling, or none that can be sent to",
            None,
            listing(open, None, 5, &special),
        ),
    ]
}

pub(super) fn find_value_requests() -> Vec<Vector> {
    let asking = |flags: Flags, key: Option<&NetworkKey>, filter: Filter, cursor: u16| {
        message(head(Kind::FindValue, flags), key, |emit| {
            emit.body(&FindValueBody::new(&filter, cursor)).unwrap();
        })
    };
    let open = Flags::default();
    let public_key = signing_key().verifying_key().to_bytes();
    let mut body = FindValueBody::new(&Filter::Immutable, 0);
    body.publisher = [0x5a; 32];
    vec![
        ok("find_value_request", "any value", None, asking(open, None, Filter::Any, 0)),
        ok(
            "find_value_request_immutable",
            "immutable values, padded to the 411 bytes that draw any reply",
            None,
            message(head(Kind::FindValue, open), None, |emit| {
                emit.body(&FindValueBody::new(&Filter::Immutable, 0)).unwrap();
                emit.pad_to(411);
            }),
        ),
        ok(
            "find_value_request_signed",
            "the signed value of one public key",
            None,
            asking(open, None, Filter::Signed(public_key), 0),
        ),
        ok(
            "find_value_request_plain",
            "the plain value of one publisher, in a private network",
            Some(KEY),
            asking(open, Some(&KEY), Filter::Plain(id(0x77)), 0),
        ),
        ok(
            "find_value_request_cursor",
            "the next page, from position 513, by both families",
            None,
            asking(Flags::WANT4.with(Flags::WANT6), None, Filter::Any, 513),
        ),
        ok(
            "find_value_request_recurse",
            "asks for the whole lookup",
            None,
            message(with_cookie(head(Kind::FindValue, Flags::RECURSE)), None, |emit| {
                emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
            }),
        ),
        ok(
            "find_value_request_forwarded",
            "on its last hop to the origin's answer; the origin is IPv6",
            Some(KEY),
            message(head(Kind::FindValue, Flags::FORWARD), Some(&KEY), |emit| {
                emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
                emit.extension(EXT_FORWARD, forward(ASKER_V6, 0).as_bytes()).unwrap();
            }),
        ),
        ok(
            "find_value_request_publisher_ignored",
            "the filter does not look at the publisher, which is not zeros",
            None,
            message(head(Kind::FindValue, open), None, |emit| emit.body(&body).unwrap()),
        ),
    ]
}

pub(super) fn find_value_replies() -> Vec<Vector> {
    let answering =
        |flags: Flags, key: Option<&NetworkKey>, target: Id, total: u16, records: &[Record<'_>]| {
            let mut head = head(Kind::FindValue, Flags::REPLY.with(flags));
            head.target = target;
            stream(head, key, |emit| {
                emit.body(&reply_body(ASKER_V4, total)).unwrap();
                for record in records {
                    emit.record(record).unwrap();
                }
            })
        };
    let open = Flags::default();
    let hello = b"hello, world";
    let long = long_value(1000);
    let too_long = long_value(1001);
    let slot = key_of_string("example");
    let tail = signed(&slot, 1, [0; SALT_LEN], hello);
    let salted = signed(&slot, u64::MAX, SALT, &long);
    let announced_tail = signed(&slot, 2, SALT, &too_long);
    let publisher = id(0x77);
    let immutable = at(Publisher::Immutable, 0, hello);
    let mut undefined = immutable;
    undefined.flags = 0xf0;
    let mut nodes = head(Kind::FindValue, Flags::REPLY);
    nodes.target = slot;
    let nodes = message(nodes, None, |emit| {
        emit.body(&reply_body(ASKER_V6, 0)).unwrap();
        emit.contact(&contact(1, "192.0.2.11:4001")).unwrap();
        emit.contact(&contact(2, "[2001:db8::2]:4002")).unwrap();
    });
    vec![
        ok("find_value_reply_contacts", "holds no value, knows two closer nodes", None, nodes),
        ok(
            "find_value_reply_immutable",
            "one immutable value under the hash of its bytes",
            None,
            answering(open, None, key_of_value(hello), 1, &[immutable]),
        ),
        ok(
            "find_value_reply_signed",
            "one signed value; the signature verifies",
            None,
            answering(open, None, slot, 1, &[at(Publisher::Signed(&tail), 0, hello)]),
        ),
        ok(
            "find_value_reply_plain",
            "one plain value, in a private network",
            Some(KEY),
            answering(open, Some(&KEY), slot, 1, &[at(Publisher::Plain(&publisher), 0, hello)]),
        ),
        ok(
            "find_value_reply_empty_value",
            "a value of no bytes is a value",
            None,
            answering(open, None, key_of_value(b""), 1, &[at(Publisher::Immutable, 0, b"")]),
        ),
        ok(
            "find_value_reply_more",
            "three kinds of values of nine held, with gaps between their cursors",
            None,
            answering(
                Flags::MORE,
                None,
                slot,
                9,
                &[
                    at(Publisher::Immutable, 0, hello),
                    at(Publisher::Signed(&tail), 3, hello),
                    at(Publisher::Plain(&publisher), 4, b"a plain one"),
                ],
            ),
        ),
        ok(
            "find_value_reply_announced",
            "a signed value of 1001 bytes, to be fetched by TCP",
            None,
            answering(
                open,
                None,
                slot,
                1,
                &[at(Publisher::Signed(&announced_tail), 0, &too_long).announced()],
            ),
        ),
        ok(
            "find_value_reply_none_fit",
            "two values held, none fits what the asker may draw: ask again with the cookie",
            None,
            answering(Flags::MORE, None, slot, 2, &[]),
        ),
        ok(
            "find_value_reply_undefined",
            "record flag bits 4 to 7 are ignored",
            None,
            answering(open, None, key_of_value(hello), 1, &[undefined]),
        ),
        ok(
            "find_value_reply_longest",
            "the longest datagram, 1232 bytes: keyed, a signed and salted value of 1000 bytes",
            Some(KEY),
            answering(open, Some(&KEY), slot, 1, &[at(Publisher::Signed(&salted), 0, &long)]),
        ),
        Vector {
            is_stream: true,
            ..ok(
                "find_value_reply_stream",
                "by TCP, the signed value of 1001 bytes that was announced",
                None,
                answering(
                    open,
                    None,
                    slot,
                    1,
                    &[at(Publisher::Signed(&announced_tail), 0, &too_long)],
                ),
            )
        },
    ]
}
