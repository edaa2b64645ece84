//! Recording all that goes into a node, and replaying it to the same output.
//!
//! The core reads no clock and draws no entropy, so that what it does follows from what it
//! was made with and called with. A recording holds just that, and digests of what came out.
//! **It holds the network's keys and the seed of all secrets**: its file is for its owner
//! alone (mode 0600).
//!
//! # The file
//!
//! Integers are little-endian. `KDHTREC` and a zero byte, then the version (4 bytes, 2), then
//! entries until the end of the file:
//!
//! | size | field |
//! |---:|---|
//! | 4 | bytes of the entry that follow this field, at most 2 MiB |
//! | 1 | tag, below |
//! | 4 | the first four bytes of the digest of all that had come out before this entry |
//! | 2 | how many slots the outbox refused during this call |
//! | 4 each | which ones, counted from 0 |
//! | rest | the fields of the entry, as `record/entry.rs` lists them |
//!
//! | tag | entry | what the node is told |
//! |---:|---|---|
//! | 1 | Begin | its making: release, id, seed, time, everything of its configuration. The first entry, once |
//! | 2 | Datagram | one datagram: time, route, bytes |
//! | 3 | Malformed | a request in another format that could not be read |
//! | 4 | Timeout | the time |
//! | 5 | Command | a command |
//! | 6 | Join | to enter the network |
//! | 7 | Drain | to leave it |
//! | 8 | Keys | the network's keys from now on |
//! | 9 | Allowance | what one source may ask from now on |
//! | 10 | Polled | how many events, notes for other shards, or signatures were taken from it |
//! | 11 | Note | what another shard told |
//! | 12 | Lossy | that it lost notes was heeded |
//! | 13 | Verdict | what came of signatures that were taken |
//! | 14 | `StreamRequest` | one message by TCP, and what it was checked with |
//! | 15 | `StreamEnd` | how a message sent by TCP ended |
//! | 32 | Digest | nothing: the whole digest of what came out so far, every 1024 entries and at the end |
//! | 33 | End | nothing: why the recording ends here |
//!
//! The digest is SHA-256 over each datagram sent (a byte 1, its route in 35 bytes, its length
//! in 4, its bytes), each event (a byte 2, its length in 4, its text) and each note for other
//! shards (a byte 3, and so on) and each answer by TCP (a byte 4, whether it is one in one
//! byte, its length in 4, its bytes), in their order.

mod digest;
mod entry;
mod fields;
mod recorded;
mod recorder;
mod replay;

pub(crate) use recorded::Recorded;
pub use recorder::{RECORD_LEN_MAX_DEFAULT, RecordError, RecordOptions};
pub use replay::{Replay, ReplayError, replay};

/// What a recording begins with.
const MAGIC: &[u8; 8] = b"KDHTREC\0";
/// The version of the format.
const VERSION: u32 = 2;
/// Bytes of an entry behind its length.
const ENTRY_LEN_MAX: usize = 2 << 20;
/// Refused slots that one entry names.
const REFUSED_MAX: usize = u16::MAX as usize;
