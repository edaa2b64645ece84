//! How a publisher signs its values.

use core::fmt;

use ed25519_dalek::{Signer, SigningKey};
use kdht_wire::{Id, SALT_LEN, SignedTail, signing_input};

/// A publisher's ed25519 key pair. The secret is wiped from memory on drop and never
/// printed.
pub struct PublisherKey(SigningKey);

impl PublisherKey {
    /// The key pair of a secret seed, which must be 32 bytes of entropy.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What others know the publisher by; with a key it names a slot.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a value for `key`. The same arguments always give the same signature.
    ///
    /// Cost: one SHA-256 over the value and one ed25519 signature.
    #[must_use]
    pub fn sign(&self, key: &Id, sequence: u64, salt: &[u8; SALT_LEN], value: &[u8]) -> SignedTail {
        let signature = self.0.sign(&signing_input(key, sequence, salt, value));
        SignedTail {
            sequence: sequence.into(),
            public_key: self.public_key(),
            signature: signature.to_bytes(),
            salt: *salt,
        }
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherKey(")?;
        self.public_key().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use kdht_wire::{Publisher, Record, key_of_string, key_of_value};

    use super::*;
    use crate::verify::{Unproven, verify};

    const SALT: [u8; SALT_LEN] = [7; SALT_LEN];

    fn check(key: &Id, tail: &SignedTail, value: &[u8]) -> Result<(), Unproven> {
        verify(key, &Record::whole(Publisher::Signed(tail), 60, value).unwrap())
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        core::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn a_signature_is_the_one_that_rfc_8032_gives_for_the_documented_bytes() {
        // Seed and public key of RFC 8032 §7.1, test 1; the signature is what the RFC's
        // arithmetic gives over the 88 bytes that FORMAT.md §6 lists.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let signature = "49b411c5922a513efe7ad001149ebf4d78f1dc60aeffb486304b56946f9b4cd5\
                         22c1961f5f6031305d61854ab77762e8a7ee80c14eb69290c39911fc24b66a07";
        let publisher = PublisherKey::from_seed(&bytes(seed));
        assert_eq!(publisher.public_key(), bytes(public));
        let tail = publisher.sign(&key_of_string("name"), 0x0102_0304_0506_0708, &SALT, b"value");
        assert_eq!(tail.signature, bytes(signature));
    }

    #[test]
    fn what_was_signed_verifies() {
        let publisher = PublisherKey::from_seed(&[1; 32]);
        let key = key_of_string("name");
        for value in [&b""[..], b"v", &[0xa5; 1000]] {
            for sequence in [0, 1, u64::MAX] {
                let tail = publisher.sign(&key, sequence, &SALT, value);
                assert_eq!(check(&key, &tail, value), Ok(()));
            }
        }
    }

    #[test]
    fn one_bit_flipped_anywhere_breaks_the_signature() {
        let publisher = PublisherKey::from_seed(&[2; 32]);
        let key = key_of_string("name");
        let value = *b"some value";
        let tail = publisher.sign(&key, 0x0102_0304_0506_0708, &SALT, &value);
        let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
        let broken = Err(Unproven::Signature);
        for bit in 0..160 {
            let mut key = key;
            flip(&mut key.0, bit);
            assert_eq!(check(&key, &tail, &value), broken, "key bit {bit}");
        }
        for bit in 0..8 * value.len() {
            let mut value = value;
            flip(&mut value, bit);
            assert_eq!(check(&key, &tail, &value), broken, "value bit {bit}");
        }
        for bit in 0..64 {
            let sequence = (tail.sequence.get() ^ (1 << bit)).into();
            let tail = SignedTail { sequence, ..tail };
            assert_eq!(check(&key, &tail, &value), broken, "sequence bit {bit}");
        }
        for bit in 0..256 {
            let mut tail = tail;
            flip(&mut tail.public_key, bit);
            assert_eq!(check(&key, &tail, &value), broken, "public key bit {bit}");
        }
        for bit in 0..512 {
            let mut tail = tail;
            flip(&mut tail.signature, bit);
            assert_eq!(check(&key, &tail, &value), broken, "signature bit {bit}");
        }
        for bit in 0..128 {
            let mut tail = tail;
            flip(&mut tail.salt, bit);
            assert_eq!(check(&key, &tail, &value), broken, "salt bit {bit}");
        }
    }

    #[test]
    fn another_publishers_key_does_not_verify() {
        let key = key_of_string("name");
        let mut tail = PublisherKey::from_seed(&[3; 32]).sign(&key, 1, &SALT, b"v");
        tail.public_key = PublisherKey::from_seed(&[4; 32]).public_key();
        assert_eq!(check(&key, &tail, b"v"), Err(Unproven::Signature));
    }

    #[test]
    fn a_key_of_small_order_vouches_for_nothing() {
        // The neutral element as key and as R, and S = 0, satisfy the plain equation for
        // every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let tail = SignedTail { sequence: 1.into(), public_key: neutral, signature, salt: SALT };
        assert_eq!(check(&Id::ZERO, &tail, b"v"), Err(Unproven::Signature));
    }

    #[test]
    fn an_immutable_value_proves_itself_under_its_hash_only() {
        let record = Record::whole(Publisher::Immutable, 60, b"bytes").unwrap();
        let key = key_of_value(b"bytes");
        assert_eq!(verify(&key, &record), Ok(()));
        assert_eq!(verify(&key, &record.announced()), Err(Unproven::Hash));
        for bit in 0..160 {
            let other = key.with_bit(bit, !key.bit(bit));
            assert_eq!(verify(&other, &record), Err(Unproven::Hash), "bit {bit}");
        }
    }

    #[test]
    fn debug_shows_the_public_key_and_not_the_seed() {
        let publisher = PublisherKey::from_seed(&[0xd7; 32]);
        let shown = format!("{publisher:?}");
        assert!(!shown.to_lowercase().contains("d7d7"), "{shown}");
        assert!(!shown.contains("215, 215"), "{shown}");
        assert_eq!(shown.len(), "PublisherKey()".len() + 64);
    }
}
