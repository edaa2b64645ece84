//! Ids as bits.

use kdht_wire::Id;

/// The highest id.
pub(super) const HIGHEST: Id = Id([0xff; 20]);

/// The id before `id`, which is not the lowest.
pub(super) fn before(id: &Id) -> Id {
    let mut out = *id;
    for byte in out.0.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    out
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
