//! 160-bit identifiers and their XOR metric.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an [`Id`].
pub const ID_LEN: usize = 20;

/// A node's id or a value's key: 160 bits, most significant byte first.
#[derive(
    Clone,
    Copy,
    Default,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct Id(pub [u8; ID_LEN]);

/// XOR of two ids. Orders as the 160-bit integer that it is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Distance(pub [u8; ID_LEN]);

impl Id {
    /// The id of all zero bits; used on the wire where a sender has none to give.
    pub const ZERO: Self = Self([0; ID_LEN]);
    /// Bits of an id.
    pub const BITS: u8 = 160;

    /// The XOR distance (Kademlia §2.1).
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut out = [0; ID_LEN];
        for (at, byte) in out.iter_mut().enumerate() {
            *byte = self.0[at] ^ other.0[at];
        }
        Distance(out)
    }

    /// Bit `index`, 0 being the most significant.
    ///
    /// # Panics
    /// If `index` is 160 or more.
    #[must_use]
    pub fn bit(&self, index: u8) -> bool {
        self.0[usize::from(index / 8)] & (0x80 >> (index % 8)) != 0
    }

    /// The same id with bit `index` set to `value`.
    ///
    /// # Panics
    /// If `index` is 160 or more.
    #[must_use]
    pub fn with_bit(mut self, index: u8, value: bool) -> Self {
        let mask = 0x80 >> (index % 8);
        let byte = &mut self.0[usize::from(index / 8)];
        *byte = if value { *byte | mask } else { *byte & !mask };
        self
    }

    /// How many leading bits both ids share, 0 to 160.
    #[must_use]
    pub fn shared_prefix(&self, other: &Self) -> u8 {
        self.distance(other).leading_zeros()
    }

    /// Reads 40 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * ID_LEN {
            return None;
        }
        let mut out = [0; ID_LEN];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(Self(out))
    }
}

impl Distance {
    /// Leading zero bits: the length of the prefix that the two ids share, 0 to 160.
    #[must_use]
    pub fn leading_zeros(&self) -> u8 {
        let mut bits = 0;
        for byte in self.0 {
            if byte != 0 {
                // At most 152 + 7: a non-zero byte has at most 7 leading zeros.
                return bits + u8::try_from(byte.leading_zeros()).unwrap_or(8);
            }
            bits += 8;
        }
        bits
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_reads_back_what_display_wrote() {
        let id = Id(core::array::from_fn(|at| u8::try_from(at * 13 % 256).unwrap()));
        assert_eq!(Id::from_hex(&id.to_string()), Some(id));
        assert_eq!(Id::from_hex("ab"), None);
        assert_eq!(Id::from_hex(&"g".repeat(40)), None);
        assert_eq!(Id::from_hex(&"é".repeat(20)), None);
    }

    #[test]
    fn shared_prefix_counts_bits_one_by_one() {
        let zero = Id::ZERO;
        for index in 0..Id::BITS {
            let other = zero.with_bit(index, true);
            assert_eq!(zero.shared_prefix(&other), index);
            assert!(other.bit(index) && !zero.bit(index));
            assert_eq!(other.with_bit(index, false), zero);
        }
        assert_eq!(zero.shared_prefix(&zero), Id::BITS);
    }
}
