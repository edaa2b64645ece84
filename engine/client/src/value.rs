//! Values ready to be put.

use kdht_core::{Value, ValuePublisher};
use kdht_store::PublisherKey;
use kdht_wire::{Id, SALT_LEN, key_of_value};

/// A value that its publisher signs, to live `lifetime_s` seconds (at most 86,400). A
/// higher `sequence` replaces what the publisher put under `key` before.
#[must_use]
pub fn signed_value(
    publisher: &PublisherKey,
    key: &Id,
    sequence: u64,
    lifetime_s: u32,
    bytes: &[u8],
) -> Value {
    let tail = publisher.sign(key, sequence, &[0; SALT_LEN], bytes);
    Value {
        publisher: ValuePublisher::Signed(tail),
        remaining_s: lifetime_s,
        bytes: bytes.to_vec(),
    }
}

/// A value that its bytes name, and the key that is their hash.
#[must_use]
pub fn immutable_value(lifetime_s: u32, bytes: &[u8]) -> (Id, Value) {
    let value = Value {
        publisher: ValuePublisher::Immutable,
        remaining_s: lifetime_s,
        bytes: bytes.to_vec(),
    };
    (key_of_value(bytes), value)
}

/// A value that nothing proves, for networks whose members trust each other.
#[must_use]
pub fn plain_value(publisher: Id, lifetime_s: u32, bytes: &[u8]) -> Value {
    Value {
        publisher: ValuePublisher::Plain(publisher),
        remaining_s: lifetime_s,
        bytes: bytes.to_vec(),
    }
}
