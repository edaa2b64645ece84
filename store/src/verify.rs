//! Whether a record proves what it claims.

use ed25519_dalek::{Signature, VerifyingKey};
use kdht_wire::{Id, Publisher, Record, SignedTail, key_of_value, signing_input};

/// Why a record is not to be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unproven {
    /// The key of an immutable value is not its hash.
    Hash,
    /// The signature is not that of the public key over this key, sequence, salt and
    /// value; or the public key is none, or a weak one that vouches for anything.
    Signature,
}

/// Checks a whole record against its key: an immutable value's hash, a signed value's
/// ed25519 signature. Plain values prove nothing and always pass.
///
/// Signatures are verified strictly (no weak keys, no malleable signatures), so that all
/// nodes agree on what is valid.
///
/// Cost: one SHA-256 over the value, and for a signed value one ed25519 verification,
/// which is thousands of times a lookup: callers budget it.
///
/// # Errors
/// [`Unproven`]; also for an announced record that is not plain, unless its value is
/// empty, as the bytes that were hashed are not here.
pub fn verify(key: &Id, record: &Record<'_>) -> Result<(), Unproven> {
    match record.publisher {
        Publisher::Immutable if key_of_value(record.value) == *key => Ok(()),
        Publisher::Immutable => Err(Unproven::Hash),
        Publisher::Signed(tail) => verify_signed(key, tail, record.value),
        Publisher::Plain(_) => Ok(()),
    }
}

fn verify_signed(key: &Id, tail: &SignedTail, value: &[u8]) -> Result<(), Unproven> {
    let input = signing_input(key, tail.sequence.get(), &tail.salt, value);
    VerifyingKey::from_bytes(&tail.public_key)
        .and_then(|public| public.verify_strict(&input, &Signature::from_bytes(&tail.signature)))
        .map_err(|_| Unproven::Signature)
}
