//! Control messages beside a datagram: which address of ours it was sent to or shall leave
//! from, how many datagrams the kernel dropped, and how long those are that it is to be cut
//! into. Read and written as plain bytes in the kernel's layout (`struct cmsghdr`, each message
//! padded to a word).

use std::mem::size_of;

use super::name::mapped;

/// A word of the kernel's, to which control messages are padded.
const WORD: usize = size_of::<usize>();

/// Bytes before a control message's data: length, level, type.
const HEAD_LEN: usize = WORD + 8;

/// Bytes of `struct in_pktinfo`: interface, our address for replies, address in the head.
const PKTINFO_V4_LEN: usize = size_of::<libc::in_pktinfo>();

/// Bytes of `struct in6_pktinfo`: address, interface.
const PKTINFO_V6_LEN: usize = size_of::<libc::in6_pktinfo>();

/// Bytes of a segment's length.
const SEGMENT_LEN: usize = size_of::<u16>();

/// Room for the longest address message and the count of drops, or a segment's length.
pub(super) const CONTROL_LEN: usize = padded(HEAD_LEN + PKTINFO_V6_LEN) + padded(HEAD_LEN + 4);

const _: () = {
    assert!(HEAD_LEN.is_multiple_of(WORD) && HEAD_LEN == size_of::<libc::cmsghdr>());
    assert!(PKTINFO_V4_LEN == 12 && PKTINFO_V6_LEN == 20 && SEGMENT_LEN <= 4);
};

/// The control messages of one datagram.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(C, align(8))]
pub(super) struct Control([u8; CONTROL_LEN]);

/// What the kernel told beside one datagram.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Ancillary {
    /// Our address that was asked, IPv6 or v4-mapped; zeros if it was not told or is not
    /// one to reply from.
    pub(super) local_ip: [u8; 16],
    /// Datagrams the kernel had dropped on this socket when this one came, modulo 2^32.
    pub(super) drop_count: Option<u32>,
}

impl Control {
    /// No control message.
    pub(super) const EMPTY: Self = Self([0; CONTROL_LEN]);

    /// The messages that the kernel wrote as `bytes`.
    pub(super) fn of_bytes(bytes: &[u8; CONTROL_LEN]) -> Self {
        Self(*bytes)
    }

    /// Asks that the datagram leave from `ip` (IPv6, or v4-mapped on a v4 socket), by
    /// whatever interface the kernel chooses; also how many bytes of it count.
    pub(super) fn source(ip: &[u8; 16], v4: bool) -> (Self, usize) {
        let mut control = Self::EMPTY;
        if v4 {
            let mut data = [0; PKTINFO_V4_LEN];
            data[4..8].copy_from_slice(&ip[12..]);
            control.write(0, (libc::IPPROTO_IP, libc::IP_PKTINFO), &data);
            return (control, padded(HEAD_LEN + PKTINFO_V4_LEN));
        }
        let mut data = [0; PKTINFO_V6_LEN];
        data[..16].copy_from_slice(ip);
        control.write(0, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), &data);
        (control, padded(HEAD_LEN + PKTINFO_V6_LEN))
    }

    /// The first `len` bytes, which [`Control::source`] wrote, and behind them that the kernel
    /// cut what leaves into datagrams of `segment_len` bytes; also how many bytes of it count.
    pub(super) fn with_segment(&self, len: usize, segment_len: u16) -> (Self, usize) {
        let mut control = *self;
        control.write(len, (libc::SOL_UDP, libc::UDP_SEGMENT), &segment_len.to_ne_bytes());
        (control, len + padded(HEAD_LEN + SEGMENT_LEN))
    }

    /// Writes a message of `kind`, level and type, at `at`.
    fn write(&mut self, at: usize, kind: (libc::c_int, libc::c_int), data: &[u8]) {
        let message = &mut self.0[at..][..HEAD_LEN + data.len()];
        let len = message.len();
        message[..WORD].copy_from_slice(&len.to_ne_bytes());
        message[WORD..WORD + 4].copy_from_slice(&kind.0.to_ne_bytes());
        message[WORD + 4..HEAD_LEN].copy_from_slice(&kind.1.to_ne_bytes());
        message[HEAD_LEN..].copy_from_slice(data);
    }

    /// Reads the first `len` bytes, as far as they make sense.
    pub(super) fn parse(&self, len: usize) -> Ancillary {
        let mut rest = &self.0[..len.min(CONTROL_LEN)];
        let mut told = Ancillary::default();
        while let Some((len_bytes, tail)) = rest.split_first_chunk::<WORD>() {
            let len = usize::from_ne_bytes(*len_bytes);
            let Some((level, tail)) = tail.split_first_chunk::<4>() else { break };
            let Some((kind, _)) = tail.split_first_chunk::<4>() else { break };
            // A length below the head's own would never advance.
            let Some(data) = rest.get(HEAD_LEN..len) else { break };
            match (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => told.note_v4(data),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => told.note_v6(data),
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    told.drop_count = data.first_chunk().map(|count| u32::from_ne_bytes(*count));
                }
                _ => {}
            }
            rest = rest.get(padded(len)..).unwrap_or_default();
        }
        told
    }

    /// Where the kernel reads or writes the messages.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Where the kernel reads the messages.
    pub(super) fn as_ptr(&self) -> *const libc::c_void {
        self.0.as_ptr().cast()
    }
}

impl Ancillary {
    /// Our address that was asked of a socket bound to `bound_ip`, which is told only where
    /// that is zeros.
    pub(super) fn asked_ip(&self, bound_ip: &[u8; 16]) -> [u8; 16] {
        if self.local_ip == [0; 16] { *bound_ip } else { self.local_ip }
    }

    /// The kernel gives two addresses: the head's, and ours to reply from, which is zero
    /// where it knows none and differs where the head's was a broadcast.
    fn note_v4(&mut self, data: &[u8]) {
        if let Some(ip) = data.get(4..).and_then(|tail| tail.first_chunk::<4>())
            && *ip != [0; 4]
        {
            self.local_ip = mapped(*ip);
        }
    }

    /// A multicast address is none of ours to reply from.
    fn note_v6(&mut self, data: &[u8]) {
        if let Some(ip) = data.first_chunk::<16>()
            && ip[0] != 0xff
        {
            self.local_ip = *ip;
        }
    }
}

/// `len` raised to a whole number of words. At most `CONTROL_LEN` where it matters; a
/// longer one cannot wrap since [`Control::parse`] has held it against the bytes there are.
const fn padded(len: usize) -> usize {
    len.next_multiple_of(WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asked_source_reads_back_as_the_local_address() {
        let v6 = *b"\x20\x01\x0d\xb8unchanged bb";
        let (control, len) = Control::source(&v6, false);
        assert_eq!(control.parse(len).local_ip, v6);
        let v4 = mapped([127, 0, 0, 3]);
        let (control, len) = Control::source(&v4, true);
        assert_eq!(control.parse(len).local_ip, v4);
    }

    #[test]
    fn a_segments_length_stands_behind_the_source_and_hides_nothing() {
        let ip = *b"\x20\x01\x0d\xb8unchanged bb";
        for (control, len) in [(Control::EMPTY, 0), Control::source(&ip, false)] {
            let (cut, cut_len) = control.with_segment(len, 0x1234);
            assert_eq!(cut.parse(cut_len), control.parse(len));
            assert_eq!(cut.0[len + HEAD_LEN..][..SEGMENT_LEN], 0x1234_u16.to_ne_bytes());
            assert!((len + HEAD_LEN + SEGMENT_LEN..=CONTROL_LEN).contains(&cut_len));
        }
    }

    #[test]
    fn multicast_and_zero_are_no_local_addresses() {
        let mut multicast = [0; 16];
        multicast[0] = 0xff;
        let (control, len) = Control::source(&multicast, false);
        assert_eq!(control.parse(len), Ancillary::default());
        let (control, len) = Control::source(&mapped([0; 4]), true);
        assert_eq!(control.parse(len), Ancillary::default());
    }

    #[test]
    fn every_cut_and_every_length_field_is_read_without_a_panic() {
        let (whole, whole_len) = Control::source(&[7; 16], false);
        for len in 0..=CONTROL_LEN + 9 {
            let told = whole.parse(len);
            assert_eq!(told.local_ip == [7; 16], len >= HEAD_LEN + PKTINFO_V6_LEN, "{len}");
        }
        for declared in (0..200).chain([usize::MAX, usize::MAX - 7, usize::MAX / 2]) {
            let mut control = whole;
            control.0[..WORD].copy_from_slice(&declared.to_ne_bytes());
            let told = control.parse(whole_len);
            let fits = (HEAD_LEN + 16..=whole_len).contains(&declared);
            assert_eq!(told.local_ip == [7; 16], fits, "{declared}");
        }
    }
}
