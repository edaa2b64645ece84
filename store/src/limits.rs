//! How much a store may hold.

use kdht_wire::VALUE_LEN_MAX;

/// Bytes that one held value is charged for beside its own.
///
/// It covers, in the worst case of each structure, the value's entry in the table of keys
/// (240 bytes where the table has just doubled), its entries by distance and by expiry
/// (160, B-tree nodes at their emptiest), its source's account (40), the longest tail of
/// a record (120), and what an allocator rounds up (80). So what is in use at rest stays
/// below what is accounted.
pub const VALUE_OVERHEAD: u64 = 640;

/// What a [`crate::Memory`] holds at most.
///
/// Zero in any field means that nothing can be held. Heap memory stays below
/// `bytes_max` and 352 bytes for each of `values_max`: a hash table keeps the room of its
/// fullest time, and exists twice while it grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of all values, each charged its length and [`VALUE_OVERHEAD`].
    pub bytes_max: u64,
    /// Values in all, and so entries in every index.
    pub values_max: u32,
    /// Values under one key.
    pub key_values_max: u16,
    /// Bytes of the values under one key, without overhead.
    pub key_bytes_max: u64,
    /// Bytes of the values that one source group put, each charged its length and
    /// [`VALUE_OVERHEAD`].
    pub source_bytes_max: u64,
    /// Bytes of one value, without overhead; above [`VALUE_LEN_MAX`] it means nothing,
    /// since no record carries more.
    pub value_len_max: u32,
    /// Seconds that a value is held at most, whatever it asks for.
    pub lifetime_s_max: u32,
}

impl Limits {
    /// Room for nothing.
    pub const NONE: Self = Self {
        bytes_max: 0,
        values_max: 0,
        key_values_max: 0,
        key_bytes_max: 0,
        source_bytes_max: 0,
        value_len_max: 0,
        lifetime_s_max: 0,
    };

    /// What a value of `len` bytes is charged.
    #[must_use]
    pub const fn cost(len: usize) -> u64 {
        len as u64 + VALUE_OVERHEAD
    }
}

impl Default for Limits {
    /// 64 MiB in at most 65,536 values; 64 values and 1 MiB a key (so one value of the
    /// longest kind fits); an eighth of the bytes a source; 86,400 s; values of
    /// any length that travels.
    fn default() -> Self {
        const BYTES_MAX: u64 = 64 << 20;
        const _: () = assert!(VALUE_LEN_MAX == 1 << 20);
        const _: () = assert!(Limits::cost(VALUE_LEN_MAX) <= BYTES_MAX / 8);
        Self {
            bytes_max: BYTES_MAX,
            values_max: 65_536,
            key_values_max: 64,
            key_bytes_max: VALUE_LEN_MAX as u64,
            source_bytes_max: BYTES_MAX / 8,
            value_len_max: 1 << 20,
            lifetime_s_max: 86_400,
        }
    }
}
