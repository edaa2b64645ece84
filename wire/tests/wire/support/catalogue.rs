//! What the datagrams in `vectors/` are and what each is there to show.
//!
//! Sound ones are laid out by [`Emit`]; most refused ones are a sound one with one thing
//! wrong, so that a receiver which misses that check accepts them.

mod find;
mod other;
mod refused;

use ed25519_dalek::{Signer, SigningKey};
use kdht_wire::{
    Contact, Emit, Endpoint, Fault, FaultDetail, Flags, Forward, Head, Id, Kind, NetworkKey,
    Publisher, Record, ReplyBody, SALT_LEN, SignedTail, signing_input,
};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use super::vectors::{FILES, Vector};

/// The clock of every sender, 2023-11-14 22:13:20 UTC.
const TIME_S: u32 = 1_700_000_000;
const TX_ID: u64 = 0x0301_0203_0405_0607;
const COOKIE: u64 = 0xc00c_1e00_0000_0001;
const KEY: NetworkKey =
    NetworkKey { id: 7, secret: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] };
const NEXT_KEY: NetworkKey = NetworkKey { id: 8, secret: [0xa5; 16] };
const SALT: [u8; SALT_LEN] = *b"salt of the slot";
const ASKER_V4: &str = "192.0.2.1:4000";
const ASKER_V6: &str = "[2001:db8::1]:4000";

/// The vectors of one of [`FILES`], without their JSON form.
pub(crate) fn vectors(file: &str) -> Vec<Vector> {
    match file {
        "ping" => other::ping(),
        "find_node" => [find::find_node_requests(), find::find_node_replies()].concat(),
        "find_value" => [find::find_value_requests(), find::find_value_replies()].concat(),
        "store" => other::store(),
        "fault" => other::fault(),
        "refused" => {
            [refused::refused_heads(), refused::refused_bodies(), refused::refused_extensions()]
                .concat()
        }
        "mac" => refused::mac(),
        _ => panic!("{file} is not among {FILES:?}"),
    }
}

fn ok(name: &str, meaning: &str, key: Option<NetworkKey>, bytes: Vec<u8>) -> Vector {
    Vector {
        name: name.to_owned(),
        meaning: meaning.to_owned(),
        is_stream: false,
        keys: key.into_iter().collect(),
        now_s: key.map(|_| TIME_S + 1),
        verdict: "ok".to_owned(),
        bytes,
        json: None,
    }
}

fn refused(name: &str, meaning: &str, error: &str, bytes: Vec<u8>) -> Vector {
    Vector { verdict: format!("parse {error}"), ..ok(name, meaning, None, bytes) }
}

fn request(kind: Kind, key: Option<&NetworkKey>, build: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    message(head(kind, Flags::default()), key, build)
}

fn reply(kind: Kind, key: Option<&NetworkKey>, build: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    message(with_cookie(head(kind, Flags::REPLY)), key, build)
}

fn message(head: Head, key: Option<&NetworkKey>, build: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    let bytes = stream(head, key, build);
    assert!(bytes.len() <= kdht_wire::DATAGRAM_LEN_MAX);
    bytes
}

fn stream(head: Head, key: Option<&NetworkKey>, build: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    let mut buf = vec![0xaa; 4096];
    let mut emit = Emit::stream(&mut buf, head, key).unwrap();
    build(&mut emit);
    let len = emit.finish();
    buf.truncate(len);
    buf
}

fn refusal(fault: Fault, key: Option<&NetworkKey>) -> Vec<u8> {
    let tells_sequence = matches!(fault, Fault::Sequence | Fault::Cas);
    let tells_retry = matches!(fault, Fault::Busy | Fault::Recurse);
    let detail = FaultDetail {
        version_min: 1,
        version_max: 1,
        kinds: U16::new(0b11_1110),
        value_len_max: U32::new(65_536),
        sequence: U64::new(if tells_sequence { 0x1122_3344_5566_7788 } else { 0 }),
        retry_ms: U32::new(if tells_retry { 250 } else { 0 }),
    };
    let mut head = with_cookie(head(Kind::Fault, Flags::REPLY));
    head.arg = fault as u8;
    head.target = detail.to_target();
    message(head, key, |_| {})
}

fn head(kind: Kind, flags: Flags) -> Head {
    let mut head = Head::request(kind, TX_ID, id(0x20), id(0x40));
    head.flags = U16::new(flags.0);
    head.time_s = U32::new(TIME_S);
    head
}

fn with_cookie(mut head: Head) -> Head {
    head.cookie = U64::new(COOKIE);
    head
}

/// The id of 20 bytes that count up from `first`.
fn id(first: u8) -> Id {
    Id(std::array::from_fn(|at| first + u8::try_from(at).unwrap()))
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap())
}

fn contact(n: u8, text: &str) -> Contact {
    Contact::new(id(0x80 + n), endpoint(text))
}

fn reply_body(observed: &str, total: u16) -> ReplyBody {
    ReplyBody { observed: endpoint(observed), total: U16::new(total) }
}

fn forward(origin: &str, hops: u8) -> Forward {
    let (tx_id, origin) = (U64::new(0x0901_0203_0405_0607), endpoint(origin));
    let epoch_s = U32::new(TIME_S - 1);
    let stamp = U64::new(Forward::stamp(tx_id, &origin, epoch_s, &KEY));
    Forward { tx_id, stamp, origin, hops, reserved: 0, epoch_s }
}

fn whole<'a>(publisher: Publisher<'a>, value: &'a [u8]) -> Record<'a> {
    Record::whole(publisher, 3600, value).unwrap()
}

fn at<'a>(publisher: Publisher<'a>, cursor: u16, value: &'a [u8]) -> Record<'a> {
    Record { cursor, ..whole(publisher, value) }
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[0x42; 32])
}

fn signed(key: &Id, sequence: u64, salt: [u8; SALT_LEN], value: &[u8]) -> SignedTail {
    let signer = signing_key();
    SignedTail {
        sequence: U64::new(sequence),
        public_key: signer.verifying_key().to_bytes(),
        signature: signer.sign(&signing_input(key, sequence, &salt, value)).to_bytes(),
        salt,
    }
}

/// Bytes that repeat only after 251, so that a shifted copy shows.
fn long_value(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// The same bytes with the one at `offset` set.
fn set(bytes: &[u8], offset: usize, value: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    assert_ne!(out[offset], value);
    out[offset] = value;
    out
}

/// The same message without its last `count` bytes, and its body's length told so.
fn cut(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut out = bytes[..bytes.len() - count].to_vec();
    let body_len = u32::try_from(out.len() - 72).unwrap();
    out[8..12].copy_from_slice(&body_len.to_le_bytes());
    out
}
