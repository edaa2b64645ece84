//! 160-bit identifiers and their XOR metric.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an [`Id`].
pub const ID_LEN: usize = 20;

/// A node's id or a value's key: 160 bits, most significant byte first.
#[derive(Clone, Copy, Default, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Id(pub [u8; ID_LEN]);

/// XOR of two ids. Orders as the 160-bit integer that it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distance(pub [u8; ID_LEN]);

/// Three numbers that order as the bytes do: they are compared in registers, where derived
/// comparisons of bytes call memcmp.
fn words(bytes: &[u8; ID_LEN]) -> (u64, u64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *bytes;
    (
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        u32::from_be_bytes([q, r, s, t]),
    )
}

/// Comparisons by [`words`].
macro_rules! compare_by_words {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                words(&self.0) == words(&other.0)
            }
        }

        impl Eq for $name {}

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                words(&self.0).cmp(&words(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }
    };
}

compare_by_words!(Id);
compare_by_words!(Distance);

impl Id {
    /// The id of all zero bits; used on the wire where a sender has none to give.
    pub const ZERO: Self = Self([0; ID_LEN]);
    /// Bits of an id.
    pub const BITS: u8 = 160;

    /// The first 64 bits, as a number that orders as they do.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        words(&self.0).0
    }

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
        let (high, middle, low) = words(&self.0);
        let zeros = match (high, middle) {
            (0, 0) => 128 + low.leading_zeros(),
            (0, _) => 64 + middle.leading_zeros(),
            _ => high.leading_zeros(),
        };
        // At most 160.
        u8::try_from(zeros).unwrap_or(Id::BITS)
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
    fn ids_and_distances_compare_as_their_bytes_do() {
        let base: [u8; ID_LEN] = core::array::from_fn(|at| u8::try_from(at * 29 % 256).unwrap());
        for bit in 0..Id::BITS {
            let id = Id(base);
            let other = id.with_bit(bit, !id.bit(bit));
            assert_eq!(id.cmp(&other), id.0.cmp(&other.0), "bit {bit}");
            assert!(id != other && id == Id(base), "bit {bit}");
            let (near, far) = (id.distance(&other), id.distance(&Id(base.map(|byte| !byte))));
            assert_eq!(near.cmp(&far), near.0.cmp(&far.0), "bit {bit}");
            assert_eq!((near.leading_zeros(), far.leading_zeros()), (bit, 0));
        }
        assert_eq!(Id(base).shared_prefix(&Id(base)), Id::BITS);
    }

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
