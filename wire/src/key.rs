//! Which key a name or a value has, and what a publisher signs (§6).

use sha2::{Digest, Sha256};

use crate::id::{ID_LEN, Id};
use crate::record::SALT_LEN;

/// Set before a name's bytes, so that no value hashes to the key of a name.
const NAME_DOMAIN: &[u8] = b"kdht-name\0";
/// Set before what is signed, so that no other protocol's signature can be passed off.
const SIGNING_DOMAIN: &[u8; 12] = b"kdht-value\x01\0";

/// The key of a string: the first 20 bytes of SHA-256 over `kdht-name\0` and the string.
#[must_use]
pub fn key_of_string(name: &str) -> Id {
    prefix_of(Sha256::new_with_prefix(NAME_DOMAIN).chain_update(name.as_bytes()))
}

/// The key of an immutable value: the first 20 bytes of SHA-256 over the value.
#[must_use]
pub fn key_of_value(value: &[u8]) -> Id {
    prefix_of(Sha256::new_with_prefix(value))
}

/// The 88 bytes that a publisher signs: `kdht-value`, 1, 0, the key, the sequence
/// (little-endian), the salt, and SHA-256 of the value.
#[must_use]
pub fn signing_input(key: &Id, sequence: u64, salt: &[u8; SALT_LEN], value: &[u8]) -> [u8; 88] {
    let mut out = [0; 88];
    out[..12].copy_from_slice(SIGNING_DOMAIN);
    out[12..32].copy_from_slice(&key.0);
    out[32..40].copy_from_slice(&sequence.to_le_bytes());
    out[40..56].copy_from_slice(salt);
    out[56..].copy_from_slice(&Sha256::digest(value));
    out
}

fn prefix_of(hash: Sha256) -> Id {
    let mut out = [0; ID_LEN];
    out.copy_from_slice(&hash.finalize()[..ID_LEN]);
    Id(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_documented_hashes() {
        // printf 'hello' | sha256sum; printf 'kdht-name\0hello' | sha256sum
        assert_eq!(key_of_value(b"hello").to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c");
        assert_ne!(key_of_string("hello"), key_of_value(b"hello"));
        assert_eq!(key_of_string("hello"), key_of_value(b"kdht-name\0hello"));
    }
}
