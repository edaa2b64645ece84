//! What is refused, and what does not come from a member.

use kdht_wire::{
    EXT_FORWARD, Fault, Filter, FindValueBody, Flags, Kind, NetworkKey, Publisher, Record,
    SALT_LEN, StoreBody,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{U32, U64};

use super::{
    ASKER_V4, KEY, NEXT_KEY, TIME_S, at, contact, cut, forward, head, id, message, ok, refusal,
    refused, reply, reply_body, request, set, signed, whole,
};
use crate::support::vectors::Vector;

pub(super) fn refused_heads() -> Vec<Vector> {
    let sound = request(Kind::Ping, None, |_| {});
    let pong = reply(Kind::Ping, None, |emit| emit.body(&reply_body(ASKER_V4, 0)).unwrap());
    let mut longest = request(Kind::Ping, None, |emit| emit.pad_to(1232));
    // One byte of padding more, with every length right but the whole.
    longest.push(0);
    for (offset, add) in [(8, 1), (74, 1)] {
        longest[offset] += add;
    }
    let mut list = vec![
        refused("refused_empty", "no byte at all", "Short", vec![]),
        refused(
            "refused_short_outline",
            "one byte less than tells a version",
            "Short",
            sound[..23].to_vec(),
        ),
        refused("refused_short_head", "one byte less than a head", "Short", sound[..71].to_vec()),
        refused("refused_oversize", "1233 bytes, all else sound", "Oversize", longest),
        refused("refused_magic_first", "`kD`", "Magic", set(&sound, 0, b'k')),
        refused("refused_magic_second", "`Kd`", "Magic", set(&sound, 1, b'd')),
        refused("refused_version_0", "no such version", "Version", set(&sound, 2, 0)),
        refused("refused_version_2", "a version to come", "Version", set(&sound, 2, 2)),
        refused("refused_kind_0", "no such kind", "Kind", set(&sound, 3, 0)),
        refused("refused_kind_6", "a kind to come", "Kind", set(&sound, 3, 6)),
        refused(
            "refused_fault_request",
            "a FAULT without REPLY",
            "FaultRequest",
            set(&sound, 3, 5),
        ),
        refused("refused_length_less", "declares a byte less", "Length", set(&pong, 8, 19)),
        refused("refused_length_more", "declares a byte more", "Length", set(&pong, 8, 21)),
        refused("refused_length_wraps", "declares 2^32 - 1 bytes", "Length", {
            let mut bytes = pong.clone();
            bytes[8..12].fill(0xff);
            bytes
        }),
        refused(
            "refused_length_truncated",
            "the last byte is missing",
            "Length",
            pong[..91].to_vec(),
        ),
        refused("refused_body", "declares, and has, a byte less than a reply", "Body", {
            let mut bytes = pong[..91].to_vec();
            bytes[8] = 19;
            bytes
        }),
    ];
    for bit in 0..4 {
        let name = format!("refused_flag_{}", 8 + bit);
        list.push(refused(
            &name,
            "a flag bit that must be zero",
            "Reserved",
            set(&sound, 5, 1 << bit),
        ));
    }
    for code in [0, 18] {
        let bytes = set(&refusal(Fault::Busy, None), 7, code);
        let name = format!("refused_fault_code_{code}");
        list.push(refused(&name, "no such code", "FaultCode", bytes));
    }
    list
}

pub(super) fn refused_bodies() -> Vec<Vector> {
    let asking = request(Kind::FindValue, None, |emit| {
        emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
    });
    let listing = reply(Kind::FindNode, None, |emit| {
        emit.body(&reply_body(ASKER_V4, 2)).unwrap();
        emit.contact(&contact(1, "192.0.2.11:4001")).unwrap();
        emit.contact(&contact(2, "192.0.2.12:4002")).unwrap();
    });
    let values = reply(Kind::FindValue, None, |emit| {
        emit.body(&reply_body(ASKER_V4, 1)).unwrap();
        emit.record(&at(Publisher::Immutable, 0, b"value")).unwrap();
    });
    let slot = id(0x20);
    let tail = signed(&slot, 1, [0; SALT_LEN], b"value");
    let storing = |record: &Record<'_>| {
        request(Kind::Store, None, |emit| {
            emit.body(&StoreBody { cas: U64::new(StoreBody::UNCONDITIONAL) }).unwrap();
            emit.store_record(record).unwrap();
        })
    };
    let whole_store = storing(&whole(Publisher::Immutable, b"value"));
    let signed_store = storing(&whole(Publisher::Signed(&tail), b"value"));
    let mut stored = head(Kind::Store, Flags::REPLY);
    stored.arg = 1;
    let stored = message(stored, None, |emit| emit.body(&reply_body(ASKER_V4, 1)).unwrap());
    let mut long = values.clone();
    long[92..96].copy_from_slice(&1_048_577_u32.to_le_bytes());
    long[92 + 9] = 1;
    let mut announced_long = long.clone();
    announced_long[92..96].copy_from_slice(&u32::MAX.to_le_bytes());
    vec![
        refused("refused_find_value_body", "a byte less than find_value", "Body", cut(&asking, 1)),
        refused(
            "refused_find_value_reserved",
            "the reserved byte is 1",
            "Reserved",
            set(&asking, 75, 1),
        ),
        refused("refused_filter", "filter 4", "Filter", set(&asking, 74, 4)),
        refused(
            "refused_contacts_short",
            "the last contact lacks a byte",
            "Items",
            cut(&listing, 1),
        ),
        refused("refused_contacts_arg", "3 contacts told, 2 there", "Items", set(&listing, 7, 3)),
        refused(
            "refused_contact_flags",
            "a low flag bit of the second contact",
            "Reserved",
            set(&listing, 92 + 40 + 38, 0x80),
        ),
        refused("refused_records_arg", "2 records told, 1 there", "Items", set(&values, 7, 2)),
        refused("refused_record_head", "the record's head lacks a byte", "Items", cut(&values, 6)),
        refused("refused_record_value", "the value lacks a byte", "Items", cut(&values, 1)),
        refused("refused_record_flags", "record flag bit 1", "Reserved", set(&values, 92 + 9, 2)),
        refused(
            "refused_value_kind_0",
            "no such kind of value",
            "ValueKind",
            set(&values, 92 + 8, 0),
        ),
        refused(
            "refused_value_kind_4",
            "no such kind of value",
            "ValueKind",
            set(&values, 92 + 8, 4),
        ),
        refused(
            "refused_value_length",
            "announces one byte more than any value has",
            "ValueLength",
            cut(&long, 5),
        ),
        refused(
            "refused_value_length_wraps",
            "announces 2^32 - 1 bytes",
            "ValueLength",
            cut(&announced_long, 5),
        ),
        refused("refused_store_body", "a byte less than store", "Body", cut(&whole_store, 18)),
        refused("refused_store_no_record", "store, but no record", "Items", cut(&whole_store, 17)),
        refused("refused_store_signed_tail", "120 bytes less one", "Items", cut(&signed_store, 6)),
        refused("refused_store_announced", "a store of a value that is elsewhere", "Store", {
            storing(&whole(Publisher::Immutable, b"value").announced())
        }),
        refused("refused_store_reply_0", "no such durability", "Store", set(&stored, 7, 0)),
        refused("refused_store_reply_4", "no such durability", "Store", set(&stored, 7, 4)),
    ]
}

pub(super) fn refused_extensions() -> Vec<Vector> {
    let extended = |kind: u16, data: &[u8]| {
        request(Kind::FindNode, None, |emit| emit.extension(kind, data).unwrap())
    };
    let unknown = extended(0x1234, b"data");
    let mut hops = forward(ASKER_V4, 9);
    let too_many_hops = extended(EXT_FORWARD, hops.as_bytes());
    hops.hops = 8;
    let sound = extended(EXT_FORWARD, hops.as_bytes());
    vec![
        refused(
            "refused_extension_head",
            "3 bytes where a head has 4",
            "Extension",
            cut(&unknown, 5),
        ),
        refused(
            "refused_extension_overrun",
            "declares a byte more",
            "Extension",
            set(&unknown, 74, 5),
        ),
        refused(
            "refused_forward_short",
            "a forward of 39 bytes",
            "Extension",
            extended(EXT_FORWARD, &hops.as_bytes()[..39]),
        ),
        refused("refused_forward_long", "a forward of 41 bytes", "Extension", {
            extended(EXT_FORWARD, &[hops.as_bytes(), &[0]].concat())
        }),
        refused("refused_forward_hops", "9 hops left", "Reserved", too_many_hops),
        refused(
            "refused_forward_reserved",
            "its reserved byte is 1",
            "Reserved",
            set(&sound, 76 + 35, 1),
        ),
        refused("refused_nine_extensions", "one more than there may be", "ExtensionCount", {
            let eight = request(Kind::FindNode, None, |emit| {
                for kind in 2..10 {
                    emit.extension(kind, &[]).unwrap();
                }
            });
            // `Emit` writes no ninth: its head is laid behind, and body_len says so.
            [set(&eight, 8, 36), vec![10, 0, 0, 0]].concat()
        }),
        refused("refused_padding", "padding with a byte that is not zero", "Padding", {
            extended(0, &[0, 0, 0, 1])
        }),
    ]
}

pub(super) fn mac() -> Vec<Vector> {
    let sound = request(Kind::Ping, Some(&KEY), |_| {});
    let open = request(Kind::Ping, None, |_| {});
    let member = |name, meaning, verdict, bytes: &[u8], keys: &[NetworkKey], now_s| Vector {
        keys: keys.to_vec(),
        now_s: (!keys.is_empty()).then_some(now_s),
        verdict: String::from(verdict),
        ..ok(name, meaning, None, bytes.to_vec())
    };
    let ring = [KEY];
    let mut aged = head(Kind::Ping, Flags::default());
    aged.time_s = U32::new(u32::MAX - 59);
    let wrapped = message(aged, Some(&KEY), |_| {});
    let mut last = sound.clone();
    last[79] ^= 0x80;
    vec![
        member(
            "mac_second_key",
            "the ring's second key verifies too",
            "ok",
            &sound,
            &[NEXT_KEY, KEY],
            TIME_S,
        ),
        member("mac_clock_behind", "120 s behind is in time", "ok", &sound, &ring, TIME_S + 120),
        member("mac_clock_ahead", "120 s ahead is in time", "ok", &sound, &ring, TIME_S - 120),
        member(
            "mac_clock_wraps",
            "the clock wrapped between sender and receiver",
            "ok",
            &wrapped,
            &ring,
            60,
        ),
        member(
            "mac_missing",
            "a keyed network, a message without MAC",
            "mac Missing",
            &open,
            &ring,
            TIME_S,
        ),
        member(
            "mac_unexpected",
            "an open network, a message with a MAC",
            "mac Unexpected",
            &sound,
            &[],
            0,
        ),
        member(
            "mac_unknown_key",
            "made with a key that is not in the ring",
            "mac UnknownKey",
            &sound,
            &[NEXT_KEY],
            TIME_S,
        ),
        member(
            "mac_other_secret",
            "the key's id is known, its secret is another",
            "mac Wrong",
            &sound,
            &[NetworkKey { id: KEY.id, secret: NEXT_KEY.secret }],
            TIME_S,
        ),
        member("mac_wrong", "the last bit of the MAC differs", "mac Wrong", &last, &ring, TIME_S),
        member(
            "mac_tampered",
            "a bit of the target differs",
            "mac Wrong",
            &set(&sound, 32, 0xff),
            &ring,
            TIME_S,
        ),
        member(
            "mac_truncated",
            "the MAC's last byte is missing",
            "mac Short",
            &sound[..79],
            &ring,
            TIME_S,
        ),
        member(
            "mac_short",
            "a keyed network, a head without its last byte",
            "mac Short",
            &sound[..71],
            &ring,
            TIME_S,
        ),
        member(
            "mac_magic",
            "a keyed network, another format",
            "mac Short",
            &set(&sound, 0, b'd'),
            &ring,
            TIME_S,
        ),
        member("mac_stale_behind", "121 s behind", "mac Stale", &sound, &ring, TIME_S + 121),
        member("mac_stale_ahead", "121 s ahead", "mac Stale", &sound, &ring, TIME_S - 121),
        member(
            "mac_stale_far",
            "half of the clock's range away",
            "mac Stale",
            &sound,
            &ring,
            TIME_S ^ (1 << 31),
        ),
        member(
            "mac_then_version",
            "a member that speaks a version to come: the MAC holds",
            "parse Version",
            &{
                let mut head = head(Kind::Ping, Flags::default());
                head.version = 2;
                message(head, Some(&KEY), |_| {})
            },
            &ring,
            TIME_S,
        ),
    ]
}
