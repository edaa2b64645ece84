//! The module's C and the Rust crates say the same of the same bytes.

#![allow(clippy::unwrap_used)]

mod answer;
mod buckets;
mod closest;
mod cookie;
mod endpoint;
mod filter;
mod forward;
mod lookup;
mod mac;
mod numbers;
mod parse;
mod throttle;

use std::path::Path;
use std::sync::OnceLock;

use kdht_kmod_test::{Harness, Random};
use kdht_wire::{Endpoint, KeyRing};
use zerocopy::byteorder::big_endian::U16;

/// The harness, compiled once for all tests.
fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| {
        Harness::build(Path::new(env!("CARGO_TARGET_TMPDIR")), "harness")
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Hands `records` to the C, and fails where a line is not the one of `expected`.
fn compare<R: AsRef<[u8]>>(operation: &str, records: &[R], expected: &[String]) {
    let lines = harness().ask(operation, records).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines.len(), records.len());
    for (at, (line, expected)) in lines.iter().zip(expected).enumerate() {
        assert_eq!(line, expected, "record {at}: {:02x?}", records[at].as_ref());
    }
}

/// An error's name without its fields.
fn variant(error: impl std::fmt::Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// A ring as the harness reads it.
fn ring_bytes(ring: &KeyRing) -> Vec<u8> {
    let keys: Vec<_> = [ring.signing(), ring.verifying()].into_iter().flatten().collect();
    let mut bytes = vec![u8::try_from(keys.len()).unwrap()];
    for key in keys {
        bytes.push(key.id);
        bytes.extend_from_slice(&key.secret);
    }
    bytes
}

/// An endpoint of either family; some loopback or private.
fn endpoint(random: &mut Random) -> Endpoint {
    let mut ip = [0; 16];
    if random.below(2) == 0 {
        ip[10..12].fill(0xff);
        ip[12..].copy_from_slice(&random.bytes::<4>());
        // Not one of those that name no host.
        ip[12] = *random.pick(&[10, 20, 127, 192, 198]).unwrap();
        ip[13] = *random.pick(&[1, 16, 168]).unwrap();
    } else {
        ip = random.bytes();
        ip[0] = *random.pick(&[0x20, 0x2a, 0xfc, 0xfd]).unwrap();
        if random.below(10) == 0 {
            ip = std::net::Ipv6Addr::LOCALHOST.octets();
        }
    }
    Endpoint { ip, port: U16::new(1_024 + u16::from(random.byte())) }
}
