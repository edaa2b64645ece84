//! Socket addresses as the kernel writes them, read and written as plain bytes.

use std::mem::{offset_of, size_of};

use kdht_wire::Endpoint;

/// Bytes of the longest address: `sockaddr_in6`.
pub(super) const NAME_LEN: libc::socklen_t = 28;

/// Bytes of an IPv4 address: `sockaddr_in`.
const NAME_V4_LEN: libc::socklen_t = 16;

/// The families as an address holds them.
const INET: libc::sa_family_t = 2;
const INET6: libc::sa_family_t = 10;

// The numbers and offsets used here are those of the host's C library.
const _: () = {
    assert!(libc::AF_INET == INET as libc::c_int && libc::AF_INET6 == INET6 as libc::c_int);
    assert!(size_of::<libc::sockaddr_in>() == NAME_V4_LEN as usize);
    assert!(size_of::<libc::sockaddr_in6>() == NAME_LEN as usize);
    assert!(size_of::<Name>() == NAME_LEN as usize);
    assert!(offset_of!(libc::sockaddr_in, sin_family) == 0);
    assert!(offset_of!(libc::sockaddr_in, sin_port) == 2);
    assert!(offset_of!(libc::sockaddr_in, sin_addr) == 4);
    assert!(offset_of!(libc::sockaddr_in6, sin6_family) == 0);
    assert!(offset_of!(libc::sockaddr_in6, sin6_port) == 2);
    assert!(offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
};

/// A v4-mapped address, as a number whose lowest byte is the first: all but the IPv4 address.
const V4_MAPPED: u128 = 0xffff << 80;

/// A `sockaddr_in` or `sockaddr_in6`, told apart by its family.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(C, align(4))]
pub(super) struct Name([u8; NAME_LEN as usize]);

impl Name {
    /// No address.
    pub(super) const EMPTY: Self = Self([0; NAME_LEN as usize]);

    /// The address of `endpoint` and how many bytes of it count. Flow label and scope are
    /// zero.
    pub(super) fn of(endpoint: &Endpoint) -> (Self, libc::socklen_t) {
        let mut bytes = [0; NAME_LEN as usize];
        bytes[2..4].copy_from_slice(&endpoint.port.get().to_be_bytes());
        let (family, len) = if endpoint.is_v4() {
            bytes[4..8].copy_from_slice(&endpoint.ip[12..]);
            (INET, NAME_V4_LEN)
        } else {
            bytes[8..24].copy_from_slice(&endpoint.ip);
            (INET6, NAME_LEN)
        };
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        (Self(bytes), len)
    }

    /// The address that the kernel wrote as `bytes`.
    pub(super) fn of_bytes(bytes: &[u8; NAME_LEN as usize]) -> Self {
        Self(*bytes)
    }

    /// The endpoint that the first `len` bytes name, if they name one.
    pub(super) fn endpoint(&self, len: libc::socklen_t) -> Option<Endpoint> {
        let bytes = &self.0;
        let family = libc::sa_family_t::from_ne_bytes([bytes[0], bytes[1]]);
        let mut ip = [0; 16];
        if family == INET && len >= NAME_V4_LEN {
            ip = mapped([bytes[4], bytes[5], bytes[6], bytes[7]]);
        } else if family == INET6 && len >= NAME_LEN {
            ip.copy_from_slice(&bytes[8..24]);
        } else {
            return None;
        }
        Some(Endpoint { ip, port: u16::from_be_bytes([bytes[2], bytes[3]]).into() })
    }

    /// Where the kernel reads or writes the address.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Where the kernel reads the address.
    pub(super) fn as_ptr(&self) -> *const libc::c_void {
        self.0.as_ptr().cast()
    }
}

/// The v4-mapped form of an IPv4 address.
pub(super) fn mapped(v4: [u8; 4]) -> [u8; 16] {
    // As one number: what is put together of pieces is waited for until all are in memory.
    (V4_MAPPED | u128::from(u32::from_le_bytes(v4)) << 96).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn endpoints_pass_through_a_name_unchanged() {
        for text in ["192.0.2.7:4000", "127.0.0.1:1", "[2001:db8::7]:4000", "[::1]:65535"] {
            let endpoint = Endpoint::from(text.parse::<SocketAddr>().unwrap());
            let (name, len) = Name::of(&endpoint);
            assert_eq!(len, if endpoint.is_v4() { 16 } else { 28 }, "{text}");
            assert_eq!(name.endpoint(len), Some(endpoint), "{text}");
        }
    }

    #[test]
    fn a_short_or_foreign_name_names_nothing() {
        let (name, _) = Name::of(&Endpoint::from("[::1]:7".parse::<SocketAddr>().unwrap()));
        assert_eq!(name.endpoint(NAME_LEN - 1), None);
        assert_eq!(Name::EMPTY.endpoint(NAME_LEN), None);
    }
}
