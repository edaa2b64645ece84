//! The 72 bytes that every message begins with (§2, §3).

use core::mem::offset_of;

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::Id;

/// First two bytes of every native message. The first is neither `{` (JSON) nor `d`
/// (BitTorrent KRPC), so that three formats can share a port.
pub const MAGIC: [u8; 2] = *b"KD";
/// The version that this crate speaks.
pub const VERSION: u8 = 1;
/// The oldest version that this crate speaks.
pub const VERSION_MIN: u8 = 1;
/// Bytes of the [`Head`].
pub const HEAD_LEN: usize = 72;
/// Offset of the kind-specific byte `arg`.
pub const ARG_OFFSET: usize = offset_of!(Head, arg);
/// Offset of the body's length; the same in every version.
pub const BODY_LEN_OFFSET: usize = offset_of!(Head, body_len);
/// Offset of the transaction id; the same in every version.
pub const TX_ID_OFFSET: usize = offset_of!(Head, tx_id);
/// Offset of the transaction id's top byte, which names the asking shard.
pub const SHARD_OFFSET: usize = TX_ID_OFFSET + 7;
/// Offset of the target id.
pub const TARGET_OFFSET: usize = offset_of!(Head, target);
/// The shard byte of transactions that the kernel module began.
pub const SHARD_KERNEL: u8 = 255;

/// Head of every message. `struct kdht_head` in the C header.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Head {
    /// [`MAGIC`]; invariant in every version.
    pub magic: [u8; 2],
    /// Version of all that follows; invariant in every version.
    pub version: u8,
    /// A [`Kind`], unchecked: an unknown kind is an error value, never a panic.
    pub kind: u8,
    /// [`Flags`]; REPLY's place is invariant in every version.
    pub flags: U16,
    /// Which network key made the MAC; zero without [`Flags::KEYED`].
    pub key_id: u8,
    /// By kind: items in a FIND reply, durability in a STORE reply, a code in a FAULT,
    /// zero in requests.
    pub arg: u8,
    /// Bytes between the head and the MAC (or the end); invariant in every version.
    pub body_len: U32,
    /// The sender's clock, seconds since 1970, modulo 2³².
    pub time_s: U32,
    /// Echoed by the replier; invariant in every version. Top byte: the asking shard.
    pub tx_id: U64,
    /// In a request the cookie last got from this peer, else zero; in a reply a fresh one.
    pub cookie: U64,
    /// What is asked about; in a PING the sender's own id; echoed in replies. In a FAULT
    /// these 20 bytes are a [`crate::FaultDetail`].
    pub target: Id,
    /// The sender's id.
    pub sender: Id,
}

const _: () = assert!(size_of::<Head>() == HEAD_LEN);
const _: () = assert!(BODY_LEN_OFFSET == 8 && TX_ID_OFFSET == 16 && TARGET_OFFSET == 32);

impl Head {
    /// A request's head; the caller sets what differs from the defaults.
    #[must_use]
    pub fn request(kind: Kind, tx_id: u64, target: Id, sender: Id) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            kind: kind as u8,
            flags: U16::ZERO,
            key_id: 0,
            arg: 0,
            body_len: U32::ZERO,
            time_s: U32::ZERO,
            tx_id: U64::new(tx_id),
            cookie: U64::ZERO,
            target,
            sender,
        }
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(self.flags.get())
    }

    /// Whether this is a reply.
    #[must_use]
    pub fn is_reply(&self) -> bool {
        self.flags().has(Flags::REPLY)
    }
}

/// The head's 16 flag bits (§3). A flag on a kind that gives it no meaning is ignored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(pub u16);

impl Flags {
    /// The message answers a request; invariant in every version.
    pub const REPLY: Self = Self(1 << 0);
    /// The sender is a client: serve it, never insert it into a table.
    pub const CLIENT: Self = Self(1 << 1);
    /// Do the whole lookup for the asker.
    pub const RECURSE: Self = Self(1 << 2);
    /// The request may be forwarded, or was.
    pub const FORWARD: Self = Self(1 << 3);
    /// The reply was cut: more contacts or values exist than it holds.
    pub const MORE: Self = Self(1 << 4);
    /// IPv4 contacts are wanted.
    pub const WANT4: Self = Self(1 << 5);
    /// IPv6 contacts are wanted.
    pub const WANT6: Self = Self(1 << 6);
    /// Eight bytes of MAC follow the body.
    pub const KEYED: Self = Self(1 << 7);
    /// Bits that must be zero: a message with one of them set is refused.
    pub const RESERVED_ZERO: Self = Self(0x0f00);
    /// Bits without meaning yet: sent as zero, ignored by receivers.
    pub const RESERVED_IGNORED: Self = Self(0xf000);

    /// Every named flag, with the name that the JSON form and the documents use.
    pub const NAMED: [(Self, &'static str); 8] = [
        (Self::REPLY, "reply"),
        (Self::CLIENT, "client"),
        (Self::RECURSE, "recurse"),
        (Self::FORWARD, "forward"),
        (Self::MORE, "more"),
        (Self::WANT4, "want4"),
        (Self::WANT6, "want6"),
        (Self::KEYED, "keyed"),
    ];

    /// Whether any bit of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and `other`'s.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a message asks or answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// Are you there?
    Ping = 1,
    /// Which contacts are closest to the target?
    FindNode = 2,
    /// Which values do you hold under the target, or which contacts are closest to it?
    FindValue = 3,
    /// Hold this value under the target.
    Store = 4,
    /// Your request was refused; always a reply.
    Fault = 5,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Ping, Self::FindNode, Self::FindValue, Self::Store, Self::Fault];

    /// The kind with this number.
    #[must_use]
    #[inline]
    pub fn from_u8(raw: u8) -> Option<Self> {
        // The numbers begin at 1 and have no gaps.
        Self::ALL.get(usize::from(raw).wrapping_sub(1)).copied()
    }

    /// The name that the JSON form, the counters and the documents use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode => "find_node",
            Self::FindValue => "find_value",
            Self::Store => "store",
            Self::Fault => "fault",
        }
    }
}
