//! Every structure of the format as the compiler lays it out: what FORMAT.md's tables and
//! the C header are held against.

use std::mem::{offset_of, size_of};

use kdht_wire::{
    Contact, Endpoint, ExtensionHead, FaultDetail, FindValueBody, Forward, Head, RecordHead,
    ReplyBody, SignedTail, StoreBody,
};

/// One structure.
pub(crate) struct Struct {
    /// Its name in C, without `struct`.
    pub(crate) c_name: &'static str,
    /// The comment above it in C.
    pub(crate) meaning: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: Vec<Field>,
}

/// One field.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
    /// Its type in C; of an array, that of its elements.
    pub(crate) c_type: &'static str,
    /// Elements, where it is an array.
    pub(crate) count: Option<usize>,
}

/// The size of what `_field` selects.
fn field_size<T, F>(_field: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($rust:ty, $c_name:literal, $meaning:literal,
     { $($field:ident: $c_type:literal $([$count:literal])?),* $(,)? }) => {
        Struct {
            c_name: $c_name,
            meaning: $meaning,
            size: size_of::<$rust>(),
            fields: vec![$(Field {
                name: stringify!($field),
                offset: offset_of!($rust, $field),
                size: field_size(|whole: &$rust| &whole.$field),
                c_type: $c_type,
                count: [$($count,)?].first().copied(),
            }),*],
        }
    };
}

/// All of them, those that others hold first.
pub(crate) fn all() -> Vec<Struct> {
    vec![
        layout!(Head, "kdht_head", "first bytes of every message (section 3)", {
            magic: "__u8" [2],
            version: "__u8",
            kind: "__u8",
            flags: "__le16",
            key_id: "__u8",
            arg: "__u8",
            body_len: "__le32",
            time_s: "__le32",
            tx_id: "__le64",
            cookie: "__le64",
            target: "struct kdht_id",
            sender: "struct kdht_id",
        }),
        layout!(Endpoint, "kdht_endpoint", "where a node answers (section 4)", {
            ip: "__u8" [16],
            port: "__be16",
        }),
        layout!(Contact, "kdht_contact", "one node as others are told of it (section 4)", {
            id: "struct kdht_id",
            endpoint: "struct kdht_endpoint",
            flags: "__le16",
        }),
        layout!(ReplyBody, "kdht_reply", "what every reply but a FAULT begins with (section 5)", {
            observed: "struct kdht_endpoint",
            total: "__le16",
        }),
        layout!(FindValueBody, "kdht_find_value", "body of a FIND_VALUE request (section 5.3)", {
            cursor: "__le16",
            filter: "__u8",
            reserved: "__u8",
            publisher: "__u8" [32],
        }),
        layout!(StoreBody, "kdht_store", "body of a STORE request, before its record (5.4)", {
            cas: "__le64",
        }),
        layout!(ExtensionHead, "kdht_ext", "first bytes of every extension (section 5.6)", {
            kind: "__le16",
            len: "__le16",
        }),
        layout!(RecordHead, "kdht_record", "first bytes of every value record (section 6)", {
            value_len: "__le32",
            remaining_s: "__le32",
            kind: "__u8",
            flags: "__u8",
            cursor: "__le16",
        }),
        layout!(SignedTail, "kdht_signed", "what follows the head of a signed record (6)", {
            sequence: "__le64",
            public_key: "__u8" [32],
            signature: "__u8" [64],
            salt: "__u8" [16],
        }),
        layout!(FaultDetail, "kdht_fault_detail", "a FAULT's target field (section 7)", {
            version_min: "__u8",
            version_max: "__u8",
            kinds: "__le16",
            value_len_max: "__le32",
            sequence: "__le64",
            retry_ms: "__le32",
        }),
        layout!(Forward, "kdht_forward", "data of the forward extension (section 8.3)", {
            tx_id: "__le64",
            stamp: "__le64",
            origin: "struct kdht_endpoint",
            hops: "__u8",
            reserved: "__u8",
            epoch_s: "__le32",
        }),
    ]
}
