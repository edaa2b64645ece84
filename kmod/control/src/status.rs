//! What the module tells of a node.

use kdht_wire::Id;
use neli::consts::genl::NlAttrType;
use neli::genl::Nlattr;
use neli::types::Buffer;

use crate::ControlError;
use crate::control::read_id;
use crate::message::Attributes;
use crate::numbers::{Attribute, FillAttribute, StatsAttribute};
use crate::routing::{Fill, JoinState};

/// One node of the module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeStatus {
    /// Its id.
    pub id: Id,
    /// Whether it answers, or passes all to the daemon.
    pub answers: bool,
    /// Contacts in a reply.
    pub k: u8,
    /// Sockets it is attached to.
    pub sockets: u32,
    /// Contacts that it tells others of: IPv4, IPv6.
    pub contacts: [u32; 2],
    /// Whether it answers FIND_VALUE for keys that are not held.
    pub filter: FilterState,
    /// Askers that nobody was told of, for want of room.
    pub sighted_lost: u64,
    /// Bytes that published values take.
    pub values_bytes: u32,
    /// Whether the routing table is the module's, or the daemon's.
    pub routes: bool,
    /// How far the module has come in joining.
    pub join: JoinState,
    /// How full the module's tables are: IPv4, IPv6.
    pub fill: [Fill; 2],
    /// What it counted.
    pub counts: Counts,
}

/// What the module tells absent keys by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FilterState {
    /// Nothing: no generation of the filter is complete.
    #[default]
    Incomplete,
    /// The filter: what is not in it is not held.
    Complete,
    /// Nothing: over half of the filter's bits are set.
    Full,
}

/// What a node counted since its first socket was attached.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Datagrams that came in, passed ones too.
    pub datagrams_in: u64,
    /// Their bytes of UDP payload.
    pub bytes_in: u64,
    /// Replies and forwarded requests handed to the network.
    pub datagrams_out: u64,
    /// Their bytes of UDP payload.
    pub bytes_out: u64,
    /// Datagrams left to the daemon.
    pub passed: u64,
    /// Requests that parsed and were allowed, in the order of [`kdht_wire::Kind::ALL`].
    pub requests_in: Vec<u64>,
    /// Replies, in the order of [`kdht_wire::Kind::ALL`].
    pub replies_out: Vec<u64>,
    /// Refusals, in the order of the engine's `Refusal::NAMED`.
    pub refused: Vec<u64>,
    /// Requests of the module's own, in the order of [`kdht_wire::Kind::ALL`].
    pub requests_out: Vec<u64>,
    /// Replies that matched one, in the order of [`kdht_wire::Kind::ALL`].
    pub replies_in: Vec<u64>,
    /// Requests of the module's that were never answered.
    pub timeouts: u64,
    /// Contacts in replies that cannot be sent to.
    pub contacts_unreachable: u64,
    /// Outages of the node's own network that ended.
    pub outages: u64,
    /// Failures of contacts not counted, since nothing at all came in.
    pub failures_forgiven: u64,
    /// Lookups of ranges in which nothing was looked up for long.
    pub refreshes: u64,
    /// Requests of others passed on to a node closer to their targets.
    pub forwarded: u64,
}

impl NodeStatus {
    pub(crate) fn read(attributes: &Attributes<Attribute>) -> Result<Self, ControlError> {
        let mut status = Self {
            id: Id::ZERO,
            answers: false,
            k: 0,
            sockets: 0,
            contacts: [0; 2],
            filter: FilterState::default(),
            sighted_lost: 0,
            values_bytes: 0,
            routes: false,
            join: JoinState::default(),
            fill: [Fill::default(); 2],
            counts: Counts::default(),
        };
        for attribute in attributes.iter() {
            let number = || number(attribute);
            match attribute.nla_type().nla_type() {
                Attribute::Id => status.id = read_id(attribute)?,
                Attribute::Answer => status.answers = number() == 1,
                Attribute::K => status.k = u8::try_from(number()).unwrap_or(u8::MAX),
                Attribute::Sockets => status.sockets = half(number()),
                Attribute::ContactsV4 => status.contacts[0] = half(number()),
                Attribute::ContactsV6 => status.contacts[1] = half(number()),
                Attribute::Filter => {
                    status.filter = match number() {
                        1 => FilterState::Complete,
                        2 => FilterState::Full,
                        _ => FilterState::Incomplete,
                    };
                }
                Attribute::ValuesBytes => status.values_bytes = half(number()),
                Attribute::Routing => status.routes = number() == 1,
                Attribute::Join => {
                    status.join = match number() {
                        0 => JoinState::Idle,
                        1 => JoinState::Waiting,
                        2 => JoinState::Contacting,
                        3 => JoinState::Finding,
                        4 => JoinState::Refreshing,
                        _ => JoinState::Joined,
                    };
                }
                Attribute::FillV4 => status.fill[0] = read_fill(attribute)?,
                Attribute::FillV6 => status.fill[1] = read_fill(attribute)?,
                Attribute::SightedLost => status.sighted_lost = number(),
                Attribute::Stats => status.counts = Counts::read(attribute)?,
                _ => {}
            }
        }
        Ok(status)
    }
}

impl Counts {
    fn read(attribute: &Nlattr<Attribute, Buffer>) -> Result<Self, ControlError> {
        let inner = attribute.get_attr_handle::<StatsAttribute>();
        let inner = inner.map_err(|_| ControlError::Answer("counters"))?;
        let mut counts = Self::default();
        for attribute in inner.iter() {
            match attribute.nla_type().nla_type() {
                StatsAttribute::DatagramsIn => counts.datagrams_in = number(attribute),
                StatsAttribute::BytesIn => counts.bytes_in = number(attribute),
                StatsAttribute::DatagramsOut => counts.datagrams_out = number(attribute),
                StatsAttribute::BytesOut => counts.bytes_out = number(attribute),
                StatsAttribute::Passed => counts.passed = number(attribute),
                StatsAttribute::RequestsIn => counts.requests_in = row(attribute),
                StatsAttribute::RepliesOut => counts.replies_out = row(attribute),
                StatsAttribute::Refused => counts.refused = row(attribute),
                StatsAttribute::RequestsOut => counts.requests_out = row(attribute),
                StatsAttribute::RepliesIn => counts.replies_in = row(attribute),
                StatsAttribute::Timeouts => counts.timeouts = number(attribute),
                StatsAttribute::ContactsUnreachable => {
                    counts.contacts_unreachable = number(attribute);
                }
                StatsAttribute::Outages => counts.outages = number(attribute),
                StatsAttribute::FailuresForgiven => counts.failures_forgiven = number(attribute),
                StatsAttribute::Refreshes => counts.refreshes = number(attribute),
                StatsAttribute::Forwarded => counts.forwarded = number(attribute),
                _ => {}
            }
        }
        Ok(counts)
    }
}

fn read_fill(attribute: &Nlattr<Attribute, Buffer>) -> Result<Fill, ControlError> {
    let inner = attribute.get_attr_handle::<FillAttribute>();
    let inner = inner.map_err(|_| ControlError::Answer("fill"))?;
    let mut fill = Fill::default();
    for attribute in inner.iter() {
        let number = number(attribute);
        match attribute.nla_type().nla_type() {
            FillAttribute::Buckets => fill.buckets = half(number),
            FillAttribute::Unverified => fill.unverified = half(number),
            FillAttribute::Good => fill.good = half(number),
            FillAttribute::Doubtful => fill.doubtful = half(number),
            FillAttribute::Stale => fill.stale = half(number),
            FillAttribute::Replacements => fill.replacements = half(number),
            FillAttribute::RefusedBucketGroup => fill.refused_bucket_group = number,
            FillAttribute::RefusedTableGroup => fill.refused_table_group = number,
            FillAttribute::RefusedFull => fill.refused_full = number,
            FillAttribute::Evicted => fill.evicted = number,
            _ => {}
        }
    }
    Ok(fill)
}

/// Counters that are numbered from 1 and stand in their order; 0 aligns them.
fn row<A: NlAttrType>(attribute: &Nlattr<A, Buffer>) -> Vec<u64> {
    let inner = attribute.get_attr_handle::<StatsAttribute>();
    let counts = inner.iter().flat_map(|inner| inner.iter());
    counts.filter(|attribute| u16::from(attribute.nla_type()) != 0).map(number).collect()
}

/// A number of up to eight bytes, as this host holds it.
pub(crate) fn number<A>(attribute: &Nlattr<A, Buffer>) -> u64 {
    let bytes: &[u8] = attribute.nla_payload().as_ref();
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

fn half(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
