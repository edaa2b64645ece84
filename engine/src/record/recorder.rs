//! Writing a recording beside a node at work.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use kdht_core::Nanos;

use super::digest::Digest;
use super::entry::{Begin, End, Entry, Frame};
use super::{MAGIC, VERSION};

/// Bytes that a recording has at most, unless told otherwise: 1 GiB.
pub const RECORD_LEN_MAX_DEFAULT: u64 = 1 << 30;
/// Bytes handed to the thread that writes at a time.
const CHUNK_LEN: usize = 32 << 10;
/// Chunks that wait for it at most; one more ends the recording.
const CHUNKS_MAX: usize = 128;
/// Fewer bytes are handed on after this time, in nanoseconds.
const FLUSH_NS: u64 = 200_000_000;
/// Entries between two whole digests.
const DIGEST_ENTRIES: u64 = 1_024;
/// Bytes set aside for the last digest and the end.
const TAIL_LEN: u64 = 128;

/// Where a node is recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordOptions {
    /// The file; there must be none yet.
    pub path: PathBuf,
    /// Bytes that it has at most; the recording ends there.
    pub len_max: u64,
}

impl RecordOptions {
    /// The same for one of several shards: each has a file of its own, with its number
    /// behind the name. With one shard the name stays as it is.
    #[must_use]
    pub fn of_shard(&self, shard: usize, shard_count: usize) -> Self {
        if shard_count <= 1 {
            return self.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{shard}"));
        Self { path: name.into(), len_max: self.len_max }
    }
}

/// Why a recording was not begun.
#[derive(Debug)]
pub struct RecordError {
    /// Its file.
    pub path: PathBuf,
    /// What the host said.
    pub error: std::io::Error,
}

/// A recording under way. Entries go to a thread of its own by a bounded queue, so that the
/// node never waits for the disk.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) digest: Digest,
    path: PathBuf,
    /// Nothing once the recording has ended.
    sender: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    /// Entries are missing: tells the thread to say so at the end.
    is_lost: Arc<AtomicBool>,
    chunk: Vec<u8>,
    flushed: Nanos,
    len: u64,
    len_max: u64,
    entry_count: u64,
}

impl Recorder {
    /// Begins a recording.
    pub(super) fn create(options: &RecordOptions, begin: Begin) -> Result<Self, RecordError> {
        let fail = |error| RecordError { path: options.path.clone(), error };
        let mut open = OpenOptions::new();
        open.write(true).create_new(true).mode(0o600);
        let file = open.open(&options.path).map_err(fail)?;
        let (mut recorder, writing) = Self::of_file(file, options, begin);
        let thread = std::thread::Builder::new().name("kdht-record".into());
        recorder.thread = Some(thread.spawn(move || writing.run()).map_err(fail)?);
        Ok(recorder)
    }

    /// A recording into `file`, and what is left to a thread.
    fn of_file(file: File, options: &RecordOptions, begin: Begin) -> (Self, Writing) {
        let path = options.path.clone();
        let (sender, chunks) = bounded(CHUNKS_MAX);
        let is_lost = Arc::new(AtomicBool::new(false));
        let writing = Writing { file, path: path.clone(), chunks, is_lost: is_lost.clone() };
        let mut chunk = Vec::with_capacity(2 * CHUNK_LEN);
        chunk.extend_from_slice(MAGIC);
        chunk.extend_from_slice(&VERSION.to_le_bytes());
        let len = chunk.len() as u64;
        let mut recorder = Self {
            digest: Digest::default(),
            path,
            sender: Some(sender),
            thread: None,
            is_lost,
            chunk,
            flushed: begin.now.map_or(Nanos(0), |now| now.mono),
            len,
            len_max: options.len_max,
            entry_count: 0,
        };
        let before = recorder.digest.short();
        recorder.write(before, Vec::new(), Entry::Begin(Box::new(begin)));
        (recorder, writing)
    }

    /// Writes one entry: a call before which the digest was `before`.
    pub(super) fn write(&mut self, before: [u8; 4], refused: Vec<u32>, entry: Entry) {
        if self.sender.is_none() {
            return;
        }
        let start = self.chunk.len();
        let now = match &entry {
            Entry::Timeout { now } => Some(now.mono),
            _ => None,
        };
        if (Frame { before, refused, entry }).write(&mut self.chunk).is_err() {
            return self.lose();
        }
        self.len += (self.chunk.len() - start) as u64;
        if self.len + TAIL_LEN > self.len_max {
            self.len -= (self.chunk.len() - start) as u64;
            self.chunk.truncate(start);
            tracing::warn!(path = %self.path.display(), bytes = self.len, "recording is full");
            if let Some(sender) = self.end(End::Limit, before) {
                self.sender = Some(sender);
                self.hand_on();
                self.sender = None;
            }
            return;
        }
        self.entry_count += 1;
        if self.entry_count.is_multiple_of(DIGEST_ENTRIES) {
            self.write_digest();
        }
        let is_time = now.is_some_and(|now| now.since(self.flushed) >= FLUSH_NS);
        if self.chunk.len() >= CHUNK_LEN || is_time && !self.chunk.is_empty() {
            self.flushed = now.unwrap_or(self.flushed);
            self.hand_on();
        }
    }

    fn write_digest(&mut self) {
        let (whole, before) = (self.digest.whole(), self.digest.short());
        let start = self.chunk.len();
        let entry = Entry::Digest { whole };
        let _ = Frame { before, refused: Vec::new(), entry }.write(&mut self.chunk);
        self.len += (self.chunk.len() - start) as u64;
    }

    /// Hands the chunk to the thread that writes, or ends the recording if it is behind.
    fn hand_on(&mut self) {
        let Some(sender) = &self.sender else { return };
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(2 * CHUNK_LEN));
        match sender.try_send(chunk) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lose(),
            // The thread has said why it ended.
            Err(TrySendError::Disconnected(_)) => self.sender = None,
        }
    }

    fn lose(&mut self) {
        tracing::error!(
            path = %self.path.display(),
            entries = self.entry_count,
            "recording ends: the file is not written as fast as the node works"
        );
        self.is_lost.store(true, Ordering::Release);
        self.sender = None;
    }

    /// Ends the recording where the digest is as it was `before` the entry left out; what
    /// is left of it is in the chunk, to be handed on by the sender returned.
    fn end(&mut self, end: End, before: [u8; 4]) -> Option<Sender<Vec<u8>>> {
        if before == self.digest.short() {
            self.write_digest();
        }
        let mut frame = Frame { before, refused: Vec::new(), entry: Entry::End(end) };
        let _ = frame.write(&mut self.chunk);
        self.sender.take()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.sender.is_some() {
            let before = self.digest.short();
            if let Some(sender) = self.end(End::Stopped, before) {
                // The node is no more, so that the last bytes may wait for the disk.
                let _ = sender.send(std::mem::take(&mut self.chunk));
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that writes.
struct Writing {
    file: File,
    path: PathBuf,
    chunks: Receiver<Vec<u8>>,
    is_lost: Arc<AtomicBool>,
}

impl Writing {
    fn run(mut self) {
        for chunk in &self.chunks {
            if let Err(error) = self.file.write_all(&chunk) {
                let path = self.path.display();
                tracing::error!(%path, %error, "recording ends: the file cannot be written");
                return;
            }
        }
        if self.is_lost.load(Ordering::Acquire) {
            let entry = Entry::End(End::Lost);
            let mut mark = Vec::new();
            let _ = Frame { before: [0; 4], refused: Vec::new(), entry }.write(&mut mark);
            let _ = self.file.write_all(&mark);
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if self.error.kind() == std::io::ErrorKind::AlreadyExists {
            return write!(f, "{path} is there already; name another file to record to");
        }
        write!(f, "cannot record to {path}: {}", self.error)
    }
}

impl Error for RecordError {}

#[cfg(test)]
mod tests {
    use kdht_core::{Config, NS_PER_S, Now, Route};
    use kdht_wire::{DATAGRAM_LEN_MAX, Id};

    use super::*;
    use crate::record::replay;

    #[test]
    fn a_disk_that_is_too_slow_ends_the_recording_and_not_the_node() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("recording");
        let options = RecordOptions { path: path.clone(), len_max: u64::MAX };
        let now = Now { mono: Nanos(NS_PER_S), unix_s: 1 };
        let (id, config) = (Id([1; 20]), Config::default());
        let begin = Begin { release: Vec::new(), id, seed: [2; 16], now: Some(now), config };
        let file = File::create(&path).unwrap();
        let (mut recorder, writing) = Recorder::of_file(file, &options, begin);
        // Nobody writes while these come: what does not parse draws nothing.
        let most = (CHUNKS_MAX + 2) * 2 * CHUNK_LEN;
        let bytes = vec![b'x'; DATAGRAM_LEN_MAX];
        for _ in 0..most / DATAGRAM_LEN_MAX {
            let before = recorder.digest.short();
            let entry = Entry::Datagram { now, route: Route::default(), bytes: bytes.clone() };
            recorder.write(before, Vec::new(), entry);
        }
        assert!(recorder.sender.is_none() && recorder.is_lost.load(Ordering::Acquire));
        drop(recorder);
        writing.run();
        let replay = replay(&path).unwrap();
        assert_eq!((replay.end, replay.same), ("lost", true));
        let (entries, kept) = (replay.entries, std::fs::metadata(&path).unwrap().len());
        assert!(entries > 1_000 && kept < most as u64, "{entries} entries, {kept} bytes");
    }

    #[test]
    fn each_of_several_shards_has_a_file_of_its_own() {
        let options = RecordOptions { path: "dir/recording".into(), len_max: 5_000 };
        assert_eq!(options.of_shard(0, 1), options);
        assert_eq!(options.of_shard(2, 4).path, PathBuf::from("dir/recording.2"));
    }
}
