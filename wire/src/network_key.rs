//! The MAC of private networks (§8).

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::head::{Flags, HEAD_LEN, Head, MAGIC};

/// Bytes of the MAC behind the body.
pub const MAC_LEN: usize = 8;
/// How far a keyed message's clock may stand from the receiver's, in seconds.
pub const TIME_SKEW_S_MAX: u32 = 120;

/// One shared key of a private network.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct NetworkKey {
    /// Its number on the wire, 1 to 255.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 16],
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKey {{ id: {}, secret: .. }}", self.id)
    }
}

impl NetworkKey {
    /// SipHash-2-4 over `bytes`, in the order it stands on the wire.
    #[must_use]
    pub fn mac(&self, bytes: &[u8]) -> [u8; MAC_LEN] {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write(bytes);
        hasher.finish().to_le_bytes()
    }
}

/// Why a datagram does not belong to this network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MacError {
    /// Too short to hold a head and a MAC, or another format.
    Short,
    /// The network is keyed and the datagram carries no MAC.
    Missing,
    /// The network is open and the datagram carries a MAC.
    Unexpected,
    /// The MAC was made with a key that is not in the ring.
    UnknownKey(u8),
    /// The MAC is wrong.
    Wrong,
    /// The sender's clock stands more than [`TIME_SKEW_S_MAX`] from ours.
    Stale {
        /// The sender's clock less ours, in seconds.
        skew_s: i32,
    },
}

/// The keys of one node's network: none in an open one, else one or two, so that keys can
/// be changed while the network runs. The first signs, both verify.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeyRing {
    keys: [Option<NetworkKey>; 2],
}

impl KeyRing {
    /// The ring of an open network.
    pub const OPEN: Self = Self { keys: [None; 2] };

    /// A ring of one or two keys.
    #[must_use]
    pub fn new(signing: NetworkKey, verifying: Option<NetworkKey>) -> Self {
        Self { keys: [Some(signing), verifying] }
    }

    /// The key that signs, if the network is keyed.
    #[must_use]
    pub fn signing(&self) -> Option<&NetworkKey> {
        self.keys[0].as_ref()
    }

    /// The other key that verifies, if there is one.
    #[must_use]
    pub fn verifying(&self) -> Option<&NetworkKey> {
        self.keys[1].as_ref()
    }

    /// The key that a message names by its `key_id`, if it is in the ring.
    #[must_use]
    pub fn named(&self, id: u8) -> Option<&NetworkKey> {
        self.keys.iter().flatten().find(|key| key.id == id)
    }

    /// Whether the network is keyed.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.keys[0].is_some()
    }

    /// Checks that `bytes` come from a member of this network, at about `now_s` (seconds
    /// since 1970, modulo 2³²). In an open network: that they carry no MAC.
    ///
    /// One pass of SipHash over the datagram; nothing else of it is looked at before.
    ///
    /// # Errors
    /// [`MacError`], by which the datagram is dropped without an answer.
    #[inline]
    pub fn verify(&self, bytes: &[u8], now_s: u32) -> Result<(), MacError> {
        if self.is_keyed() {
            return self.verify_mac(bytes, now_s);
        }
        match parse_head(bytes) {
            Some((head, _)) if head.flags().has(Flags::KEYED) => Err(MacError::Unexpected),
            _ => Ok(()),
        }
    }

    fn verify_mac(&self, bytes: &[u8], now_s: u32) -> Result<(), MacError> {
        let Some((head, _)) = parse_head(bytes) else { return Err(MacError::Short) };
        if !head.flags().has(Flags::KEYED) {
            return Err(MacError::Missing);
        }
        if bytes.len() < HEAD_LEN + MAC_LEN {
            return Err(MacError::Short);
        }
        let key = self.named(head.key_id).ok_or(MacError::UnknownKey(head.key_id))?;
        let (signed, mac) = bytes.split_at(bytes.len() - MAC_LEN);
        if !equal_in_constant_time(&key.mac(signed), mac) {
            return Err(MacError::Wrong);
        }
        let skew_s = head.time_s.get().wrapping_sub(now_s).cast_signed();
        if skew_s.unsigned_abs() > TIME_SKEW_S_MAX {
            return Err(MacError::Stale { skew_s });
        }
        Ok(())
    }
}

#[inline]
fn parse_head(bytes: &[u8]) -> Option<(&Head, &[u8])> {
    use zerocopy::FromBytes;
    Head::ref_from_prefix(bytes).ok().filter(|(head, _)| head.magic == MAGIC)
}

/// Compares without telling by its time where the difference lies.
fn equal_in_constant_time(left: &[u8; MAC_LEN], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |diff, (l, r)| diff | (l ^ r)) == 0
}
