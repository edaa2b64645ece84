//! Type-length extensions: how the format grows without a flag day (§5.6).

use core::mem::offset_of;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::endpoint::Endpoint;
use crate::network_key::NetworkKey;
use crate::parse::ParseError;

/// Most extensions in one message.
pub const EXTENSIONS_MAX: usize = 8;
/// Extension type: padding, all zeros.
pub const EXT_PADDING: u16 = 0;
/// Extension type: a [`Forward`].
pub const EXT_FORWARD: u16 = 1;
/// Bytes of an [`ExtensionHead`].
pub const EXT_HEAD_LEN: usize = 4;

/// First bytes of every extension. `struct kdht_ext` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct ExtensionHead {
    /// Which extension; unknown ones are skipped.
    pub kind: U16,
    /// Bytes that follow this head.
    pub len: U16,
}

const _: () = assert!(size_of::<ExtensionHead>() == EXT_HEAD_LEN);

/// What the first hop adds to a request that it forwards in a keyed network (§8.3).
/// `struct kdht_forward` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Forward {
    /// The transaction id that the origin waits for.
    pub tx_id: U64,
    /// [`Forward::stamp`] by the first hop's network key.
    pub stamp: U64,
    /// Who waits for the reply.
    pub origin: Endpoint,
    /// Hops that the request may still take, 0 to [`Forward::HOPS_MAX`].
    pub hops: u8,
    /// Must be zero.
    pub reserved: u8,
    /// The first hop's clock when it stamped, seconds since 1970 modulo 2³².
    pub epoch_s: U32,
}

const _: () = assert!(size_of::<Forward>() == 40);
const _: () = assert!(offset_of!(Forward, epoch_s) == 36);

impl Forward {
    /// Most hops of a forwarded request.
    pub const HOPS_MAX: u8 = 8;

    /// What vouches that the first hop checked the origin's cookie: SipHash-2-4 over
    /// `tx_id`, `origin` and `epoch_s`, in this order, as they stand on the wire.
    #[must_use]
    pub fn stamp(tx_id: U64, origin: &Endpoint, epoch_s: U32, key: &NetworkKey) -> u64 {
        let mut input = [0; 30];
        input[..8].copy_from_slice(tx_id.as_bytes());
        input[8..26].copy_from_slice(origin.as_bytes());
        input[26..].copy_from_slice(epoch_s.as_bytes());
        u64::from_le_bytes(key.mac(&input))
    }
}

/// One extension.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extension<'a> {
    /// Which extension.
    pub kind: u16,
    /// Its bytes, without its head.
    pub data: &'a [u8],
}

/// A message's extensions, checked: at most [`EXTENSIONS_MAX`], padding all zeros, each
/// within the body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Checks what follows a body's items.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        // Most messages have none.
        if bytes.is_empty() { Ok(Self { bytes }) } else { Self::parse_some(bytes) }
    }

    fn parse_some(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut rest = bytes;
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            if count > EXTENSIONS_MAX {
                return Err(ParseError::ExtensionCount);
            }
            let (extension, after) = split(rest).ok_or(ParseError::Extension)?;
            match extension.kind {
                EXT_PADDING if extension.data.iter().any(|byte| *byte != 0) => {
                    return Err(ParseError::Padding);
                }
                EXT_FORWARD => {
                    let forward = Forward::ref_from_bytes(extension.data)
                        .map_err(|_| ParseError::Extension)?;
                    if forward.reserved != 0 || forward.hops > Forward::HOPS_MAX {
                        return Err(ParseError::Reserved);
                    }
                }
                _ => {}
            }
            rest = after;
        }
        Ok(Self { bytes })
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Extension<'a>> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (extension, after) = split(rest)?;
            rest = after;
            Some(extension)
        })
    }

    /// The forwarding extension, if there is one.
    #[must_use]
    pub fn forward(&self) -> Option<&'a Forward> {
        let found = self.iter().find(|extension| extension.kind == EXT_FORWARD)?;
        Forward::ref_from_bytes(found.data).ok()
    }
}

fn split(bytes: &[u8]) -> Option<(Extension<'_>, &[u8])> {
    let (head, rest) = ExtensionHead::ref_from_prefix(bytes).ok()?;
    let (data, rest) = rest.split_at_checked(usize::from(head.len.get()))?;
    Some((Extension { kind: head.kind.get(), data }, rest))
}
