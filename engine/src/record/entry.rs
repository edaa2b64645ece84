//! What a recording is made of. A new call of the node's is a new entry here, with its tag,
//! its fields, and what replaying it means.

use kdht_core::{Command, Config, Note, Now, Route};
use kdht_wire::{Endpoint, Id, KeyRing};

use super::digest::DIGEST_LEN;
use super::fields::{self, Damaged, Fields, NO_TIME, Reader, Writer};
use super::{ENTRY_LEN_MAX, REFUSED_MAX};

/// One entry of a recording.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Begin(Box<Begin>),
    Datagram {
        now: Now,
        route: Route,
        bytes: Vec<u8>,
    },
    Malformed {
        now: Now,
        route: Route,
        tx_id: u64,
        len: u32,
    },
    Timeout {
        now: Now,
    },
    Command {
        now: Now,
        command: Box<Command>,
    },
    Join {
        now: Now,
        bootstrap: Vec<Endpoint>,
    },
    Drain {
        now: Now,
    },
    Keys(KeyRing),
    Allowance {
        rate_per_s: u32,
        burst: u32,
    },
    Polled {
        what: Polled,
        count: u32,
    },
    Note {
        now: Now,
        from: u8,
        note: Note,
    },
    Lossy,
    Verdict {
        now: Now,
        ticket: u64,
        proven: Option<Vec<bool>>,
    },
    StreamRequest {
        now: Now,
        stream: u64,
        route: Route,
        /// What it was checked with, and when.
        keys: KeyRing,
        checked_s: u32,
        bytes: Vec<u8>,
    },
    StreamEnd {
        now: Now,
        endpoint: Endpoint,
        tx_id: u64,
        keys: KeyRing,
        checked_s: u32,
        bytes: Option<Vec<u8>>,
    },
    Digest {
        whole: [u8; DIGEST_LEN],
    },
    End(End),
}

/// What a node is made with.
#[derive(Clone, Debug, Default)]
pub(super) struct Begin {
    /// The release that recorded it.
    pub(super) release: Vec<u8>,
    pub(super) id: Id,
    pub(super) seed: [u8; 16],
    pub(super) now: Option<Now>,
    pub(super) config: Config,
}

/// What a node is asked for that it has to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Polled {
    Events,
    /// For other shards.
    Notes,
    /// Signatures to verify.
    Jobs,
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The node ended.
    Stopped,
    /// It was as long as it may be.
    Limit,
    /// The file could not be written as fast as the node worked.
    Lost,
}

/// An entry with what stands before its fields.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The digest of what came out before.
    pub(super) before: [u8; 4],
    /// Slots that the outbox refused.
    pub(super) refused: Vec<u32>,
    pub(super) entry: Entry,
}

impl Entry {
    fn tag(&self) -> u8 {
        match self {
            Self::Begin(_) => 1,
            Self::Datagram { .. } => 2,
            Self::Malformed { .. } => 3,
            Self::Timeout { .. } => 4,
            Self::Command { .. } => 5,
            Self::Join { .. } => 6,
            Self::Drain { .. } => 7,
            Self::Keys(_) => 8,
            Self::Allowance { .. } => 9,
            Self::Polled { .. } => 10,
            Self::Note { .. } => 11,
            Self::Lossy => 12,
            Self::Verdict { .. } => 13,
            Self::StreamRequest { .. } => 14,
            Self::StreamEnd { .. } => 15,
            Self::Digest { .. } => 32,
            Self::End(_) => 33,
        }
    }

    /// The entry with this tag, to be read into.
    fn blank(tag: u8) -> Result<Self, Damaged> {
        let (now, route) = (NO_TIME, Route::default());
        Ok(match tag {
            1 => Self::Begin(Box::default()),
            2 => Self::Datagram { now, route, bytes: Vec::new() },
            3 => Self::Malformed { now, route, tx_id: 0, len: 0 },
            4 => Self::Timeout { now },
            5 => Self::Command { now, command: Box::new(fields::blank_command()) },
            6 => Self::Join { now, bootstrap: Vec::new() },
            7 => Self::Drain { now },
            8 => Self::Keys(KeyRing::OPEN),
            9 => Self::Allowance { rate_per_s: 0, burst: 0 },
            10 => Self::Polled { what: Polled::Events, count: 0 },
            11 => Self::Note { now, from: 0, note: Note::Anew },
            12 => Self::Lossy,
            13 => Self::Verdict { now, ticket: 0, proven: None },
            14 => {
                let (keys, bytes) = (KeyRing::OPEN, Vec::new());
                Self::StreamRequest { now, stream: 0, route, keys, checked_s: 0, bytes }
            }
            15 => {
                let (endpoint, keys) = (Endpoint::NONE, KeyRing::OPEN);
                Self::StreamEnd { now, endpoint, tx_id: 0, keys, checked_s: 0, bytes: None }
            }
            32 => Self::Digest { whole: [0; DIGEST_LEN] },
            33 => Self::End(End::Stopped),
            _ => return Err(Damaged),
        })
    }

    fn fields(&mut self, to: &mut impl Fields) -> Result<(), Damaged> {
        match self {
            Self::Begin(begin) => {
                let Begin { release, id, seed, now, config } = &mut **begin;
                to.bytes(release)?;
                fields::id(to, id)?;
                to.raw(seed)?;
                to.optional(now, NO_TIME, fields::now)?;
                fields::config(to, config)
            }
            Self::Datagram { now, route, bytes } => {
                fields::now(to, now)?;
                fields::route(to, route)?;
                to.bytes(bytes)
            }
            Self::Malformed { now, route, tx_id, len } => {
                fields::now(to, now)?;
                fields::route(to, route)?;
                to.u64(tx_id)?;
                to.u32(len)
            }
            Self::Timeout { now } | Self::Drain { now } => fields::now(to, now),
            Self::Command { now, command } => {
                fields::now(to, now)?;
                fields::command(to, command)
            }
            Self::Join { now, bootstrap } => {
                fields::now(to, now)?;
                fields::endpoints(to, bootstrap)
            }
            Self::Keys(keys) => fields::keys(to, keys),
            Self::Allowance { rate_per_s, burst } => {
                to.u32(rate_per_s)?;
                to.u32(burst)
            }
            Self::Polled { what, count } => {
                let mut number = *what as u8;
                to.u8(&mut number)?;
                let known = [Polled::Events, Polled::Notes, Polled::Jobs];
                *what = known.into_iter().find(|it| *it as u8 == number).ok_or(Damaged)?;
                to.u32(count)
            }
            Self::Note { now, from, note } => {
                fields::now(to, now)?;
                to.u8(from)?;
                fields::note(to, note)
            }
            Self::Lossy => Ok(()),
            Self::Verdict { now, ticket, proven } => {
                fields::now(to, now)?;
                to.u64(ticket)?;
                fields::proven(to, proven)
            }
            Self::StreamRequest { now, stream, route, keys, checked_s, bytes } => {
                fields::now(to, now)?;
                to.u64(stream)?;
                fields::route(to, route)?;
                fields::keys(to, keys)?;
                to.u32(checked_s)?;
                to.bytes(bytes)
            }
            Self::StreamEnd { now, endpoint, tx_id, keys, checked_s, bytes } => {
                fields::now(to, now)?;
                fields::endpoint(to, endpoint)?;
                to.u64(tx_id)?;
                fields::keys(to, keys)?;
                to.u32(checked_s)?;
                to.optional(bytes, Vec::new(), |to, bytes| to.bytes(bytes))
            }
            Self::Digest { whole } => to.raw(whole),
            Self::End(end) => {
                let mut number = *end as u8;
                to.u8(&mut number)?;
                let known = [End::Stopped, End::Limit, End::Lost];
                *end = known.into_iter().find(|end| *end as u8 == number).ok_or(Damaged)?;
                Ok(())
            }
        }
    }
}

impl Frame {
    /// Writes it behind `bytes`. One that is too long is left out.
    pub(super) fn write(&mut self, bytes: &mut Vec<u8>) -> Result<(), Damaged> {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        let mut to = Writer(bytes);
        let written = to
            .u8(&mut self.entry.tag())
            .and_then(|()| self.prefix(&mut to))
            .and_then(|()| self.entry.fields(&mut to));
        let len = bytes.len() - start - 4;
        match u32::try_from(len) {
            Ok(declared) if written.is_ok() && len <= ENTRY_LEN_MAX => {
                bytes[start..start + 4].copy_from_slice(&declared.to_le_bytes());
                Ok(())
            }
            _ => {
                bytes.truncate(start);
                Err(Damaged)
            }
        }
    }

    /// Reads the bytes behind an entry's length.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Reader(bytes);
        let mut tag = 0;
        from.u8(&mut tag)?;
        let mut frame = Self { before: [0; 4], refused: Vec::new(), entry: Entry::blank(tag)? };
        frame.prefix(&mut from)?;
        frame.entry.fields(&mut from)?;
        if from.0.is_empty() { Ok(frame) } else { Err(Damaged) }
    }

    fn prefix(&mut self, fields: &mut impl Fields) -> Result<(), Damaged> {
        fields.raw(&mut self.before)?;
        let mut count = u16::try_from(self.refused.len().min(REFUSED_MAX)).map_err(|_| Damaged)?;
        fields.u16(&mut count)?;
        self.refused.resize(count.into(), 0);
        self.refused.iter_mut().try_for_each(|slot| fields.u32(slot))
    }
}

#[cfg(test)]
mod tests {
    use kdht_core::{
        Answer, Families, Liveness, Nanos, Request, TableKind, Value, ValuePublisher, ZoneRange,
        Zones,
    };
    use kdht_store::PublisherKey;
    use kdht_wire::{Contact, Filter, NetworkKey, SALT_LEN};

    use super::*;

    /// A configuration in which every field differs from what a reader begins with.
    fn odd_config() -> Config {
        let mut config = Config {
            k: 7,
            alpha: 5,
            paths: 2,
            b: 3,
            bucket_group_max: 4,
            table_group_max: 5,
            caps_private: true,
            frequent_max: 6,
            frequent_s: 7,
            refresh_s: 8,
            republish_s: 9,
            republishes_max: 10,
            handovers_max: 11,
            client: true,
            families: Families { v4: false, v6: true },
            table: TableKind::Wide(1_000),
            contacts_max: 77,
            pending_max: 78,
            operations_max: 79,
            recursions_max: 80,
            signatures_per_s: 81,
            accept_plain: true,
            forward: true,
            keys: ring(),
            shards: 12,
            shard: 9,
            verify_apart: true,
            advertise: [Some(endpoint(1)), None],
            zones: Zones::new(&[ZoneRange { ip: 1 << 100, bits: 30, zone: 31 }], 5),
            ..Config::default()
        };
        (config.throttle.slots, config.throttle.rate_per_s, config.throttle.burst) = (1, 2, 3);
        config.store.bytes_max += 1;
        config.store.values_max += 2;
        config.store.key_values_max += 3;
        config.store.key_bytes_max += 4;
        config.store.source_bytes_max += 5;
        config.store.value_len_max -= 6;
        config.store.lifetime_s_max -= 7;
        config.timeouts.slow_ms_min += 1;
        config.timeouts.slow_ms_max += 2;
        config.timeouts.slow_ms_initial += 3;
        config.timeouts.fail_factor += 4;
        config.timeouts.fail_ms_min += 5;
        config.timeouts.fail_ms_max += 6;
        config
    }

    fn ring() -> KeyRing {
        let key = |id: u8| NetworkKey { id, secret: [id; 16] };
        KeyRing::new(key(3), Some(key(4)))
    }

    fn endpoint(last: u8) -> Endpoint {
        std::net::SocketAddr::from(([192, 0, 2, last], 4_000)).into()
    }

    fn entries() -> Vec<Entry> {
        let now = Now { mono: Nanos(u64::MAX / 3), unix_s: 0xfeed_beef };
        let (key, peer) = (Id([5; 20]), endpoint(2));
        let route = Route { local: kdht_core::Local { ip: [6; 16], socket: 1 }, peer };
        let tail = PublisherKey::from_seed(&[8; 32]).sign(&key, 11, &[9; SALT_LEN], b"value");
        let value = |publisher| Value { publisher, remaining_s: 60, bytes: b"value".to_vec() };
        let ask = |request, id| Command::Ask { endpoint: peer, id, request, recurse: true };
        let commands = [
            Command::FindNode { target: key },
            Command::FindValue { key, filter: Filter::Any, values_max: 3, holders: 2 },
            Command::FindValue { key, filter: Filter::Immutable, values_max: 3, holders: 2 },
            Command::FindValue { key, filter: Filter::Signed([1; 32]), values_max: 3, holders: 2 },
            Command::FindValue { key, filter: Filter::Plain(key), values_max: 3, holders: 2 },
            Command::Put { key, value: value(ValuePublisher::Immutable), cas: None },
            Command::Put { key, value: value(ValuePublisher::Signed(tail)), cas: Some(7) },
            Command::Put { key, value: value(ValuePublisher::Plain(key)), cas: None },
            ask(Request::Ping, None),
            ask(Request::FindNode { target: key }, Some(key)),
            ask(Request::FindValue { key, filter: Filter::Any, cursor: 4 }, None),
            ask(Request::Store { key, value: value(ValuePublisher::Immutable), cas: None }, None),
        ];
        let (id, seed, config) = (key, [7; 16], odd_config());
        let begin = Begin { release: b"1.2.3".to_vec(), id, seed, now: Some(now), config };
        let mut entries = vec![
            Entry::Begin(Box::new(begin)),
            Entry::Datagram { now, route, bytes: b"bytes".to_vec() },
            Entry::Malformed { now, route, tx_id: 1 << 60, len: 300 },
            Entry::Timeout { now },
            Entry::Join { now, bootstrap: vec![endpoint(3), endpoint(4)] },
            Entry::Drain { now },
            Entry::Keys(KeyRing::OPEN),
            Entry::Keys(ring()),
            Entry::Allowance { rate_per_s: 5, burst: 6 },
            Entry::Polled { what: Polled::Jobs, count: 9 },
            Entry::Lossy,
            Entry::Verdict { now, ticket: 5, proven: None },
            Entry::Verdict { now, ticket: 5, proven: Some(vec![true, false]) },
            Entry::StreamRequest {
                now,
                stream: 9,
                route,
                keys: ring(),
                checked_s: 6,
                bytes: b"message".to_vec(),
            },
            Entry::StreamEnd {
                now,
                endpoint: peer,
                tx_id: 8,
                keys: ring(),
                checked_s: 7,
                bytes: Some(b"reply".to_vec()),
            },
            Entry::StreamEnd {
                now,
                endpoint: peer,
                tx_id: 8,
                keys: KeyRing::OPEN,
                checked_s: 0,
                bytes: None,
            },
            Entry::Digest { whole: [0x5a; DIGEST_LEN] },
            Entry::End(End::Limit),
            Entry::End(End::Lost),
        ];
        let command = |command| Entry::Command { now, command: Box::new(command) };
        entries.extend(commands.map(command));
        let contact = Contact::new(key, peer);
        let notes = [
            Note::Sighted(contact),
            Note::Answered(contact, Answer { rtt_us: 5, cookie: 6 }),
            Note::Failed(contact, Nanos(7)),
            Note::Standing(contact, Liveness::Unverified),
            Note::Standing(contact, Liveness::Good),
            Note::Standing(contact, Liveness::Doubtful),
            Note::Standing(contact, Liveness::Stale),
            Note::Gone(contact),
            Note::Anew,
            Note::Heard(contact),
            Note::Cell { is_v4: true, cell: 200, is_private: true },
            Note::Neighbourhood { is_v4: true, depth: 9, is_crowded: true },
            Note::Held { is_v4: true, count: 70_000 },
        ];
        entries.extend(notes.map(|note| Entry::Note { now, from: 3, note }));
        entries
    }

    /// What an entry says, keys included, which do not show themselves.
    fn text(frame: &Frame) -> String {
        let keys = match &frame.entry {
            Entry::Begin(begin) => begin.config.keys,
            Entry::Keys(keys) => *keys,
            _ => KeyRing::OPEN,
        };
        let secrets = [keys.signing(), keys.verifying()].map(|key| key.map(|key| key.secret));
        format!("{frame:?} {secrets:?}")
    }

    #[test]
    fn each_entry_is_read_as_it_was_written_and_no_part_of_it_is() {
        for (at, entry) in entries().into_iter().enumerate() {
            let refused = (0..u32::try_from(at).unwrap()).collect();
            let mut frame = Frame { before: [1, 2, 3, 4], refused, entry };
            let mut bytes = Vec::new();
            frame.write(&mut bytes).unwrap();
            let (len, bytes) = bytes.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_le_bytes(*len) as usize, bytes.len());
            assert_eq!(text(&Frame::read(bytes).unwrap()), text(&frame));
            for len in 0..bytes.len() {
                assert_eq!(Frame::read(&bytes[..len]).err(), Some(Damaged), "{len} of {frame:?}");
            }
            let longer = [bytes, &[0]].concat();
            assert_eq!(Frame::read(&longer).err(), Some(Damaged), "{frame:?}");
        }
    }

    #[test]
    fn an_entry_that_is_too_long_is_not_written_at_all() {
        let bytes = vec![0; ENTRY_LEN_MAX];
        let entry = Entry::Datagram { now: NO_TIME, route: Route::default(), bytes };
        let mut out = b"before".to_vec();
        let mut frame = Frame { before: [0; 4], refused: Vec::new(), entry };
        assert_eq!(frame.write(&mut out), Err(Damaged));
        assert_eq!(out, b"before");
    }
}
