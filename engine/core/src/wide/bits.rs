//! Ids as bits.

use kdht_wire::Id;

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
