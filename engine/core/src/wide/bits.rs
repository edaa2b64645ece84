//! Ids as bits.

use kdht_wire::Id;

use crate::order::prefix;

/// How many leading bits both ids share, 0 to 160; quick where 64 bits tell.
pub(super) fn shared(a: &Id, b: &Id) -> u8 {
    let differing = prefix(a) ^ prefix(b);
    if differing == 0 {
        return a.shared_prefix(b);
    }
    // At most 63.
    u8::try_from(differing.leading_zeros()).unwrap_or(u8::MAX)
}

/// The first `bits` bits (at most 160) of `high`, and behind them what `low` has there.
pub(super) fn blend(high: &Id, low: &Id, bits: u8) -> Id {
    let whole = usize::from(bits / 8);
    let mut out = *low;
    out.0[..whole].copy_from_slice(&high.0[..whole]);
    if let Some(byte) = out.0.get_mut(whole) {
        let mask = 0xff_u8 >> (bits % 8);
        *byte = (high.0[whole] & !mask) | (*byte & mask);
    }
    out
}
