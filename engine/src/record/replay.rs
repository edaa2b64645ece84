//! Running the core over a recording.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use kdht_core::{Config, Node, Outbox, Route, StreamCheck, StreamRequest, TableKind, VerifyJob};
use kdht_wire::DATAGRAM_LEN_MAX;
use serde::Serialize;

use super::digest::Digest;
use super::entry::{Begin, End, Entry, Frame, Polled};
use super::fields::Damaged;
use super::{ENTRY_LEN_MAX, MAGIC, VERSION};
use crate::settings::{KEYS, WIDE_MAX};

/// How a replay went. One JSON object, as `kdht replay --json` prints it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Replay {
    /// The id of the node recorded.
    pub id: String,
    /// The release that recorded it.
    pub release: String,
    /// Entries replayed, the first of which made the node.
    pub entries: u64,
    /// Datagrams handed in.
    pub datagrams_in: u64,
    /// Datagrams that came out.
    pub datagrams_out: u64,
    /// Events that came out.
    pub events: u64,
    /// SHA-256 of all that came out.
    pub digest: String,
    /// Whether all came out that had come out of the node recorded.
    pub same: bool,
    /// The first entry, from 1 on, after which something else came out.
    pub differs_after: Option<u64>,
    /// `stopped` with its node, at its `limit`, `lost` entries there, or `cut` off.
    pub end: &'static str,
}

/// Why nothing was replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// The file cannot be read.
    Host(PathBuf, std::io::Error),
    /// It is no recording.
    Foreign(PathBuf),
    /// It is a recording of another version.
    Version(PathBuf, u32),
    /// An entry, counted from 1, is not what any release wrote.
    Damaged(PathBuf, u64),
}

/// Replays the recording at `path` as far as it goes.
///
/// A recording that was cut off is replayed up to there. Ends at the first difference.
/// Memory: as the node recorded, and at most 2 MiB for an entry.
///
/// # Errors
/// [`ReplayError`] names the file.
pub fn replay(path: &Path) -> Result<Replay, ReplayError> {
    let host = |error| ReplayError::Host(path.to_owned(), error);
    let mut file = BufReader::new(File::open(path).map_err(host)?);
    let mut start = [0; MAGIC.len() + 4];
    if let Err(error) = file.read_exact(&mut start) {
        let is_short = error.kind() == ErrorKind::UnexpectedEof;
        return Err(if is_short { ReplayError::Foreign(path.to_owned()) } else { host(error) });
    }
    let (magic, version) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(ReplayError::Foreign(path.to_owned()));
    }
    match version.try_into().map(u32::from_le_bytes) {
        Ok(VERSION) => {}
        other => return Err(ReplayError::Version(path.to_owned(), other.unwrap_or(0))),
    }
    let mut replay = Replay { same: true, end: "cut", ..Replay::default() };
    let mut stage: Option<Stage> = None;
    let mut bytes = Vec::new();
    while read_entry(&mut file, &mut bytes).map_err(host)? {
        let damaged = |_| ReplayError::Damaged(path.to_owned(), replay.entries + 1);
        let frame = Frame::read(&bytes).map_err(damaged)?;
        if let Entry::End(end) = frame.entry {
            replay.end = name_of(end);
            let is_known = end != End::Lost;
            replay.same = stage.as_mut().is_some_and(|it| !is_known || it.is_at(frame.before));
            break;
        }
        match (&mut stage, frame.entry) {
            (None, Entry::Begin(begin)) => {
                replay.id = begin.id.to_string();
                replay.release = String::from_utf8_lossy(&begin.release).into_owned();
                stage = Some(Stage::of(*begin).map_err(damaged)?);
            }
            (Some(stage), entry) if !matches!(entry, Entry::Begin(_)) => {
                replay.same = stage.is_at(frame.before);
                if !replay.same {
                    break;
                }
                replay.same = stage.play(entry, frame.refused);
            }
            _ => return Err(damaged(Damaged)),
        }
        if !replay.same {
            break;
        }
        replay.entries += 1;
    }
    let Some(stage) = stage else { return Err(ReplayError::Damaged(path.to_owned(), 1)) };
    replay.differs_after = (!replay.same).then_some(replay.entries);
    replay.datagrams_in = stage.datagrams_in;
    replay.datagrams_out = stage.digest.datagrams_out;
    replay.events = stage.events;
    replay.digest = stage.digest.whole().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(replay)
}

/// Reads the next entry; false where the file ends, or ends within it.
fn read_entry(file: &mut impl Read, bytes: &mut Vec<u8>) -> Result<bool, std::io::Error> {
    let whole = |read: Result<(), std::io::Error>| match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    let mut len = [0; 4];
    if !whole(file.read_exact(&mut len))? {
        return Ok(false);
    }
    // One that is too long is read in part, and then is not what was written.
    let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX).min(ENTRY_LEN_MAX);
    bytes.resize(len, 0);
    whole(file.read_exact(bytes))
}

fn name_of(end: End) -> &'static str {
    match end {
        End::Stopped => "stopped",
        End::Limit => "limit",
        End::Lost => "lost",
    }
}

/// The node that is replayed, and what came out of it.
struct Stage {
    node: Node,
    digest: Digest,
    datagrams_in: u64,
    events: u64,
    /// Signatures whose verdict comes later in the recording.
    jobs: Vec<VerifyJob>,
}

impl Stage {
    fn of(begin: Begin) -> Result<Self, Damaged> {
        let Begin { id, seed, now, config, .. } = begin;
        if !is_sound(&config) {
            return Err(Damaged);
        }
        let node = Node::new(id, config, seed, now.ok_or(Damaged)?);
        Ok(Self { node, digest: Digest::default(), datagrams_in: 0, events: 0, jobs: Vec::new() })
    }

    fn is_at(&mut self, before: [u8; 4]) -> bool {
        self.digest.short() == before
    }

    /// Does again what was done. False if the digest is not the one recorded.
    fn play(&mut self, entry: Entry, refused: Vec<u32>) -> bool {
        let mut tray = Tray { refused, asked: 0, bytes: [0; DATAGRAM_LEN_MAX] };
        let out = &mut self.digest.outbox(&mut tray);
        let node = &mut self.node;
        match entry {
            Entry::Datagram { now, route, bytes } => {
                self.datagrams_in += 1;
                node.handle_datagram(now, &route, &bytes, out);
            }
            Entry::Malformed { now, route, tx_id, len } => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                node.answer_malformed(now, &route, tx_id, len, out);
            }
            Entry::Timeout { now } => node.handle_timeout(now, out),
            Entry::Command { now, command } => {
                // It was refused then if it is refused now.
                let _ = node.begin(now, *command, out);
            }
            Entry::Join { now, bootstrap } => node.join(now, &bootstrap, out),
            Entry::Drain { now } => node.drain(now, out),
            Entry::Keys(keys) => node.set_keys(keys),
            Entry::Allowance { rate_per_s, burst } => node.set_allowance(rate_per_s, burst),
            Entry::Note { now, from, note } => node.handle_note(now, from, note, out),
            Entry::Verdict { now, ticket, proven } => {
                let job = self.jobs.iter().position(|job| job.ticket() == ticket);
                let Some(job) = job else { return false };
                node.handle_verdict(now, self.jobs.swap_remove(job).found(proven), out);
            }
            Entry::StreamRequest { now, stream, route, keys, checked_s, bytes } => {
                let check = StreamCheck::of(&bytes, &keys, checked_s);
                let Route { peer, local } = route;
                let request = StreamRequest { stream, peer, local, bytes: &bytes, check: &check };
                let mut reply = Vec::new();
                let served = node.handle_stream_request(now, &request, &mut reply, out);
                self.digest.reply(served, &reply);
            }
            Entry::StreamEnd { now, endpoint, tx_id, keys, checked_s, bytes } => {
                let reply = bytes.map(|bytes| {
                    let check = StreamCheck::of(&bytes, &keys, checked_s);
                    (bytes, check)
                });
                let reply = reply.as_ref().map(|(bytes, check)| (bytes.as_slice(), check));
                node.handle_stream_end(now, &endpoint, tx_id, reply, out);
            }
            Entry::Lossy => return node.take_lossy(),
            Entry::Polled { what, count } => return (0..count).all(|_| self.poll(what)),
            Entry::Digest { whole } => return self.digest.whole() == whole,
            Entry::Begin(_) | Entry::End(_) => {}
        }
        true
    }
}

impl Stage {
    /// Takes out one thing; false if there is none.
    fn poll(&mut self, what: Polled) -> bool {
        match what {
            Polled::Events => match self.node.poll_event() {
                Some(event) => {
                    self.digest.event(&event);
                    self.events += 1;
                    true
                }
                None => false,
            },
            Polled::Notes => self.node.poll_note().map(|note| self.digest.note(&note)).is_some(),
            Polled::Jobs => self.node.poll_verify().map(|job| self.jobs.push(job)).is_some(),
        }
    }
}

/// Whether a node may be made with that: a damaged file must not take all memory.
fn is_sound(config: &Config) -> bool {
    let is_small = match config.table {
        TableKind::KBucket => true,
        TableKind::Wide(contacts) => (1..=WIDE_MAX).contains(&contacts),
    };
    is_small && KEYS.iter().all(|key| (key.min..=key.max).contains(&key.value(config)))
}

/// An outbox for what goes nowhere, that refuses what was refused.
struct Tray {
    refused: Vec<u32>,
    asked: u32,
    bytes: [u8; DATAGRAM_LEN_MAX],
}

impl Outbox for Tray {
    fn slot(&mut self, _: &Route) -> Option<&mut [u8]> {
        self.asked += 1;
        if self.refused.contains(&(self.asked - 1)) { None } else { Some(&mut self.bytes) }
    }

    fn commit(&mut self, _: usize) {}
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Foreign(path) => write!(f, "{} is no recording of a node", path.display()),
            Self::Version(path, version) => write!(
                f,
                "{} is a recording of version {version}; this release reads version {VERSION}",
                path.display()
            ),
            Self::Damaged(path, entry) => {
                write!(f, "{}: entry {entry} is damaged", path.display())
            }
        }
    }
}

impl Error for ReplayError {}
