//! What a node counts: plain numbers, read by whoever owns the node.

use kdht_wire::{Fault, Kind, MacError, ParseError};

/// Why a datagram, or the request in it, was not served. The names are those of
/// `kdht stat`; each datagram is refused for at most one reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Refusal {
    /// Fewer bytes than a head.
    Short,
    /// More than 1232 bytes.
    Oversize,
    /// Not the native format.
    Magic,
    /// A version not spoken here.
    Version,
    /// A bit or byte that must be zero is not.
    Reserved,
    /// The declared length is wrong.
    Length,
    /// A kind not known here.
    Kind,
    /// A FAULT that is not a reply, or whose code is unknown.
    FaultForm,
    /// A body shorter than its fixed part.
    Body,
    /// Contacts or records past the body's end.
    Items,
    /// An unknown filter.
    Filter,
    /// An unknown value kind, a value too long, or a STORE without its value.
    Value,
    /// A malformed extension, too many of them, or padding that is not zeros.
    Extension,
    /// The network is keyed, the datagram is not.
    MacMissing,
    /// The datagram is keyed, the network is not.
    MacUnexpected,
    /// Keyed by a key that this node does not have.
    MacKey,
    /// The MAC is wrong.
    MacWrong,
    /// The sender's clock is more than 120 s off.
    Stale,
    /// The source asked more than its allowance.
    Throttled,
    /// The request needs a valid cookie.
    Cookie,
    /// A reply to no request of ours, or from another endpoint or id than asked.
    Unmatched,
    /// It bears our own id.
    OwnId,
    /// We are a client and serve nobody.
    Client,
    /// A forwarded request whose stamp, time or origin is not sound, or in an open network.
    Forward,
    /// No signature can be verified at the moment.
    Busy,
    /// No lookup for others at the moment.
    Recurse,
    /// The transmit memory was full.
    Outbox,
    /// The node is leaving and stores nothing more.
    Draining,
    /// The value is longer than the store takes.
    TooLong,
    /// An immutable value's key is not its hash.
    Hash,
    /// A signature does not verify.
    Signature,
    /// An older sequence than the one held.
    Sequence,
    /// Compare-and-swap failed.
    Cas,
    /// Plain values are not stored here.
    Plain,
    /// The key's quota is used up.
    KeyFull,
    /// The source's quota is used up.
    SourceFull,
    /// The store is full of values kept before this one.
    Full,
    /// No lifetime was left.
    Expired,
}

impl Refusal {
    /// Every reason with its name, in the order of their numbers.
    pub const NAMED: [(Self, &'static str); 38] = [
        (Self::Short, "short"),
        (Self::Oversize, "oversize"),
        (Self::Magic, "magic"),
        (Self::Version, "version"),
        (Self::Reserved, "reserved"),
        (Self::Length, "length"),
        (Self::Kind, "kind"),
        (Self::FaultForm, "fault_form"),
        (Self::Body, "body"),
        (Self::Items, "items"),
        (Self::Filter, "filter"),
        (Self::Value, "value"),
        (Self::Extension, "extension"),
        (Self::MacMissing, "mac_missing"),
        (Self::MacUnexpected, "mac_unexpected"),
        (Self::MacKey, "mac_key"),
        (Self::MacWrong, "mac_wrong"),
        (Self::Stale, "stale"),
        (Self::Throttled, "throttled"),
        (Self::Cookie, "cookie"),
        (Self::Unmatched, "unmatched"),
        (Self::OwnId, "own_id"),
        (Self::Client, "client"),
        (Self::Forward, "forward"),
        (Self::Busy, "busy"),
        (Self::Recurse, "recurse"),
        (Self::Outbox, "outbox"),
        (Self::Draining, "draining"),
        (Self::TooLong, "too_long"),
        (Self::Hash, "hash"),
        (Self::Signature, "signature"),
        (Self::Sequence, "sequence"),
        (Self::Cas, "cas"),
        (Self::Plain, "plain"),
        (Self::KeyFull, "key_full"),
        (Self::SourceFull, "source_full"),
        (Self::Full, "full"),
        (Self::Expired, "expired"),
    ];
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Short { .. } => Self::Short,
            ParseError::Oversize => Self::Oversize,
            ParseError::Magic => Self::Magic,
            ParseError::Version(_) => Self::Version,
            ParseError::Reserved => Self::Reserved,
            ParseError::Length { .. } => Self::Length,
            ParseError::Kind(_) => Self::Kind,
            ParseError::FaultRequest | ParseError::FaultCode(_) => Self::FaultForm,
            ParseError::Items => Self::Items,
            ParseError::Filter(_) => Self::Filter,
            ParseError::ValueKind(_) | ParseError::ValueLength(_) | ParseError::Store => {
                Self::Value
            }
            ParseError::Extension | ParseError::ExtensionCount | ParseError::Padding => {
                Self::Extension
            }
            // Body, and whatever a later version of the wire adds to its errors.
            _ => Self::Body,
        }
    }
}

impl From<MacError> for Refusal {
    fn from(error: MacError) -> Self {
        match error {
            MacError::Short => Self::Short,
            MacError::Missing => Self::MacMissing,
            MacError::Unexpected => Self::MacUnexpected,
            MacError::UnknownKey(_) => Self::MacKey,
            MacError::Stale { .. } => Self::Stale,
            // Wrong, and whatever a later version of the wire adds to its errors.
            _ => Self::MacWrong,
        }
    }
}

/// A count for each kind of message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByKind([u64; Kind::ALL.len()]);

impl ByKind {
    /// The count of `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize - 1]
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        self.0[kind as usize - 1] += 1;
    }
}

/// What one node counted since it was made. Counts only grow; at a datagram a nanosecond
/// they would last 584 years.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Datagrams laid into the outbox.
    pub datagrams_out: u64,
    /// Bytes of UDP payload handed in.
    pub bytes_in: u64,
    /// Bytes of UDP payload laid into the outbox.
    pub bytes_out: u64,
    /// Requests that parsed.
    pub requests_in: ByKind,
    /// Requests sent.
    pub requests_out: ByKind,
    /// Replies that matched a request of ours.
    pub replies_in: ByKind,
    /// Replies sent.
    pub replies_out: ByKind,
    /// Requests of others passed on to a node closer to their targets.
    pub forwarded: u64,
    /// FAULTs got, by code.
    faults_in: [u64; Fault::ALL.len() + 1],
    /// Requests of ours that were never answered.
    pub timeouts: u64,
    /// Values in replies that did not prove themselves.
    pub values_unproven: u64,
    /// Signatures verified, whatever came of it.
    pub signatures_verified: u64,
    /// STOREs and replies whose signatures were not verified apart, as too much waited for
    /// that or it took too long.
    pub signatures_refused: u64,
    /// Contacts in replies that cannot be sent to.
    pub contacts_unreachable: u64,
    /// Outages of our own that ended.
    pub outages: u64,
    /// Failures of contacts that were not counted, since nothing at all came in.
    pub failures_forgiven: u64,
    /// Lookups of idle ranges.
    pub refreshes: u64,
    /// Values stored anew at the k closest, for what remained of their lives.
    pub republishes: u64,
    /// Values handed to newcomers.
    pub handovers: u64,
    /// Newcomers that came too many at once to be handed anything before the republish.
    pub newcomers_missed: u64,
    refusals: [u64; Refusal::NAMED.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            datagrams_in: 0,
            datagrams_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            requests_in: ByKind::default(),
            requests_out: ByKind::default(),
            replies_in: ByKind::default(),
            replies_out: ByKind::default(),
            forwarded: 0,
            faults_in: [0; Fault::ALL.len() + 1],
            timeouts: 0,
            values_unproven: 0,
            signatures_verified: 0,
            signatures_refused: 0,
            contacts_unreachable: 0,
            outages: 0,
            failures_forgiven: 0,
            refreshes: 0,
            republishes: 0,
            handovers: 0,
            newcomers_missed: 0,
            refusals: [0; Refusal::NAMED.len()],
        }
    }
}

impl Counters {
    /// How often a datagram was refused for `reason`.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refusals[reason as usize]
    }

    /// How many datagrams were refused, whatever the reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refusals.iter().sum()
    }

    /// FAULTs got with this code.
    #[must_use]
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults_in[fault as usize]
    }

    pub(crate) fn refuse(&mut self, reason: Refusal) {
        self.refusals[reason as usize] += 1;
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.faults_in[fault as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_own_number_under_a_name_of_its_own() {
        for (at, (reason, name)) in Refusal::NAMED.iter().enumerate() {
            assert_eq!(*reason as usize, at, "{name}");
            assert_eq!(Refusal::NAMED.iter().filter(|(_, other)| other == name).count(), 1);
        }
    }
}
