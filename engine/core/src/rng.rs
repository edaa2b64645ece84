//! Seeded randomness.

use core::hash::Hasher;

use kdht_wire::Id;
use siphasher::sip::SipHasher24;

/// A keyed generator: SipHash-2-4 over a counter. Transaction ids and cookie secrets come
/// from it, so strangers who see some of its output must not be able to tell the rest.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u8; 16],
    drawn: u64,
}

impl Rng {
    /// A generator whose whole output follows from `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 16]) -> Self {
        Self { key: seed, drawn: 0 }
    }

    /// Sixty-four bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&self.drawn.to_le_bytes());
        self.drawn = self.drawn.wrapping_add(1);
        hasher.finish()
    }

    /// Thirty-two bits.
    pub fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next_u64().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `bound`, or zero if `bound` is zero. Its bias is below `bound` / 2⁶⁴.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The product of two 64-bit numbers has its high half below 2⁶⁴.
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A uniform id.
    pub fn id(&mut self) -> Id {
        let mut out = Id::ZERO;
        for chunk in out.0.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        out
    }

    /// Sixteen bytes.
    pub fn secret(&mut self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.next_u64().to_le_bytes());
        out[8..].copy_from_slice(&self.next_u64().to_le_bytes());
        out
    }
}
