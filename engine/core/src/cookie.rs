//! Proof that an endpoint receives what is sent to it (FORMAT.md §9).

use core::hash::Hasher;

use kdht_wire::Endpoint;
use siphasher::sip::SipHasher24;

use crate::time::Nanos;

/// Seconds that one secret makes cookies; it verifies them for as long again.
pub const EPOCH_S: u32 = 300;

/// Bytes that a cookie is the MAC of.
const INPUT_LEN: usize = 22;

/// Makes and verifies cookies without remembering anybody: a cookie is a keyed MAC over
/// (IP, port, epoch), its lowest bit naming one of two secrets.
#[derive(Debug)]
pub struct Cookies {
    master: [u8; 16],
    epoch: u32,
    /// Of the current epoch and the one before, each at the place of its lowest bit.
    secrets: [[u8; 16]; 2],
}

/// What a request's cookie was found to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checked {
    /// Whether it proves the endpoint.
    pub proven: bool,
    /// A fresh one for the reply; never zero.
    pub fresh: u64,
}

impl Cookies {
    /// Cookies by secrets that follow from `master`.
    #[must_use]
    pub fn new(master: [u8; 16], now: Nanos) -> Self {
        let mut cookies = Self { master, epoch: 0, secrets: [[0; 16]; 2] };
        cookies.enter(epoch_of(now));
        cookies
    }

    pub(crate) fn master(&self) -> [u8; 16] {
        self.master
    }

    /// Verifies `presented` (zero: none) and makes a fresh cookie for `peer`.
    ///
    /// One SipHash where the cookie is of this epoch, else two. O(1), no allocation.
    #[inline]
    pub fn check(&mut self, peer: &Endpoint, presented: u64, now: Nanos) -> Checked {
        let epoch = epoch_of(now);
        if epoch != self.epoch {
            self.enter(epoch);
        }
        let fresh = self.make(peer, epoch);
        let proven = presented != 0
            && (presented == fresh
                || (presented ^ fresh) & 1 == 1
                    && epoch > 0
                    && presented == self.make(peer, epoch - 1));
        Checked { proven, fresh }
    }

    fn make(&self, peer: &Endpoint, epoch: u32) -> u64 {
        let mut input = [0; 24];
        input[..16].copy_from_slice(&peer.ip);
        // Written at once, port and then epoch: in two pieces it would be read before both are
        // where they can be read from together.
        let port = u16::from_le_bytes(peer.port.to_bytes());
        input[16..].copy_from_slice(&(u64::from(port) | u64::from(epoch) << 16).to_le_bytes());
        let hasher = SipHasher24::new_with_key(&self.secrets[(epoch & 1) as usize]);
        let made = hasher.hash(&input[..INPUT_LEN]) & !1 | u64::from(epoch & 1);
        // Zero means "no cookie" on the wire; one hash in 2⁶³ has to step aside.
        if made == 0 { 2 } else { made }
    }

    fn enter(&mut self, epoch: u32) {
        self.epoch = epoch;
        for of in [epoch.saturating_sub(1), epoch] {
            let mut secret = [0; 16];
            for (half, out) in secret.chunks_mut(8).enumerate() {
                let mut hasher = SipHasher24::new_with_key(&self.master);
                hasher.write_u32(of);
                hasher.write_u8(if half == 0 { 0 } else { 1 });
                out.copy_from_slice(&hasher.finish().to_le_bytes());
            }
            self.secrets[(of & 1) as usize] = secret;
        }
    }
}

fn epoch_of(now: Nanos) -> u32 {
    now.seconds() / EPOCH_S
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NS_PER_S;

    fn at(seconds: u64) -> Nanos {
        Nanos(seconds * NS_PER_S)
    }

    fn peer(text: &str) -> Endpoint {
        Endpoint::from(text.parse::<core::net::SocketAddr>().unwrap())
    }

    #[test]
    fn a_cookie_is_good_for_at_least_five_and_less_than_ten_minutes() {
        let who = peer("192.0.2.1:4000");
        for made_at in [0, 1, 299, 300, 301, 599, 12_345] {
            let mut cookies = Cookies::new([7; 16], at(made_at));
            let cookie = cookies.check(&who, 0, at(made_at)).fresh;
            for age in [0, 1, 299, 300] {
                let checked = cookies.check(&who, cookie, at(made_at + age));
                assert!(checked.proven, "made at {made_at}, {age} s old");
            }
            for age in [600, 601, 900, 1_200, 86_400] {
                let checked = cookies.check(&who, cookie, at(made_at + age));
                assert!(!checked.proven, "made at {made_at}, {age} s old");
            }
        }
    }

    #[test]
    fn a_cookie_is_worth_nothing_from_another_address_port_or_node() {
        let mut cookies = Cookies::new([7; 16], at(1_000));
        let cookie = cookies.check(&peer("192.0.2.1:4000"), 0, at(1_000)).fresh;
        assert!(!cookies.check(&peer("192.0.2.2:4000"), cookie, at(1_000)).proven);
        assert!(!cookies.check(&peer("192.0.2.1:4001"), cookie, at(1_000)).proven);
        assert!(!cookies.check(&peer("192.0.2.1:4000"), 0, at(1_000)).proven);
        for bit in 0..64 {
            let flipped = cookie ^ 1 << bit;
            assert!(!cookies.check(&peer("192.0.2.1:4000"), flipped, at(1_000)).proven);
        }
        let mut other = Cookies::new([8; 16], at(1_000));
        assert!(!other.check(&peer("192.0.2.1:4000"), cookie, at(1_000)).proven);
    }
}
