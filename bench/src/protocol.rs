//! How a candidate is spoken to: one trait, and who implements it.

mod bare;
mod kdht;
mod krpc;
mod msgpack;
mod opendht;

use std::str::FromStr;

use kdht_wire::Id;

use crate::oracle::{Oracle, Wrong};

pub use bare::{BARE_LEN_MIN, Bare};
pub use kdht::{HELLO_LEN, Kdht};
pub use krpc::Krpc;
pub(crate) use msgpack::{Item, Reader};
pub use opendht::OpenDht;

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Kind {
    /// Are you there?
    Ping,
    /// Who is closest to the target?
    FindNode,
    /// What is held under the target, or who is closest to it?
    FindValue,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Ping, Self::FindNode, Self::FindValue];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode => "find_node",
            Self::FindValue => "find_value",
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is asked.
    pub kind: Kind,
    /// Comes back in the reply; of [`Protocol::tx_bits`] bits.
    pub tx_id: u64,
    /// What the peer last gave to prove our endpoint; zero: nothing yet.
    pub cookie: u64,
    /// What is asked about.
    pub target: &'a Id,
    /// Pad the request to this many bytes, where the protocol can.
    pub len_min: usize,
}

/// What a reply says before it is looked at closely.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The request that it answers.
    pub tx_id: u64,
    /// To be sent along with the next request; zero: keep the one before.
    pub cookie: u64,
    /// What kind of request it answers, where it says so.
    pub kind: Option<Kind>,
    /// What it says it was asked about, where it says so.
    pub target: Option<Id>,
    /// Contacts in it, where every reply is looked at for them: a FIND_NODE answered by
    /// nobody is wrong.
    pub contacts: Option<usize>,
    /// It is a refusal.
    pub is_refusal: bool,
}

/// Lays out requests and reads replies. One is used by one thread.
pub trait Protocol: Send {
    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Whether a request has to carry what an earlier reply brought.
    fn has_cookies(&self) -> bool {
        false
    }

    /// Bits of a transaction id, at most.
    fn tx_bits(&self) -> u32 {
        44
    }

    /// Whether this can be asked.
    fn can_ask(&self, kind: Kind) -> bool;

    /// Lays a request into `out`, which has room for the longest, and returns its length.
    fn request(&self, out: &mut [u8], ask: &Ask<'_>) -> usize;

    /// Reads a reply, as cheaply as can be. Nothing: it is none.
    fn reply(&self, bytes: &[u8]) -> Option<Reply>;

    /// Looks closely at a reply that is no refusal. May cost a sort of the whole table.
    ///
    /// # Errors
    /// [`Wrong`].
    fn check(
        &self,
        kind: Kind,
        target: &Id,
        bytes: &[u8],
        oracle: Option<&Oracle>,
    ) -> Result<(), Wrong>;
}

/// A protocol by its name.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Speech {
    /// `kdht`: this project's wire.
    #[default]
    Kdht,
    /// `krpc`: BitTorrent's Mainline (BEP 5).
    Krpc,
    /// `opendht`: OpenDHT's, in MessagePack.
    OpenDht,
    /// `bare`: any bytes; the reply begins with the request's first 24.
    Bare,
}

impl Speech {
    /// A speaker whose id and targets follow from `seed`.
    #[must_use]
    pub fn speaker(self, seed: u64) -> Box<dyn Protocol> {
        match self {
            Self::Kdht => Box::new(Kdht::new(seed)),
            Self::Krpc => Box::new(Krpc::new(seed)),
            Self::OpenDht => Box::new(OpenDht::new(seed)),
            Self::Bare => Box::new(Bare),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kdht => "kdht",
            Self::Krpc => "krpc",
            Self::OpenDht => "opendht",
            Self::Bare => "bare",
        }
    }
}

impl FromStr for Speech {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Kdht, Self::Krpc, Self::OpenDht, Self::Bare];
        let found = all.into_iter().find(|speech| speech.name() == text);
        found.ok_or_else(|| format!("a protocol is kdht, krpc, opendht or bare, not `{text}`"))
    }
}
