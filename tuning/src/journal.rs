//! What was written, so that it can be put back: one JSON object a line, each on disk before
//! the write that it tells of.

use std::error::Error;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Root;

/// Where the journal stands if nobody says otherwise, below the root.
pub const STATE_DIR: &str = "/var/lib/kdht-tune";
/// The journal's name in its directory.
const NAME: &str = "journal.jsonl";
/// Bytes of a journal that is read: some ten thousand writes.
const JOURNAL_LEN_MAX: u64 = 64 << 20;
const FORMAT: u32 = 1;

/// A line of the journal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Entry {
    /// The first line: what was applied, and in which run of the kernel.
    Applied {
        /// The format of the lines; 1.
        format: u32,
        /// The profile's name.
        profile: String,
        /// `/proc/sys/kernel/random/boot_id`, empty where there is none.
        boot: String,
    },
    /// A write is about to be done.
    Write {
        /// The file.
        path: String,
        /// Its bytes.
        old: String,
        /// What is written.
        new: String,
    },
    /// The last write is done.
    Wrote {
        /// What the file holds since then, which a kernel may spell otherwise.
        reads: String,
    },
}

/// A journal that is open and locked.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// The lines that were there, without one that was cut short.
    pub entries: Vec<Entry>,
}

/// Why there is no journal.
#[derive(Debug)]
pub enum JournalError {
    /// There is one already: what it tells of has to be reverted first.
    Exists(PathBuf),
    /// There is none.
    Absent(PathBuf),
    /// Another process works with it.
    Locked(PathBuf),
    /// A line is none of ours.
    Line(PathBuf, usize),
    /// The host said so.
    Io(PathBuf, io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{}: a profile is applied already; revert it first", path.display())
            }
            Self::Absent(path) => write!(f, "{}: nothing is applied", path.display()),
            Self::Locked(path) => write!(f, "{}: another process uses it", path.display()),
            Self::Line(path, line) => {
                write!(f, "{}: line {line} is no journal's; nothing was written", path.display())
            }
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl Error for JournalError {}

impl Journal {
    /// Begins a journal of `profile` in `directory`, which is made if missing. One from before
    /// the host's restart, which undid what it tells of, is replaced.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn begin(directory: &Path, root: &Root, profile: &str) -> Result<Self, JournalError> {
        let path = directory.join(NAME);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| JournalError::Io(directory.to_owned(), error))?;
        if let Ok(earlier) = Self::open(directory) {
            if !earlier.is_of_an_earlier_boot(root) {
                return Err(JournalError::Exists(path));
            }
            earlier.remove()?;
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => JournalError::Exists(path.clone()),
            _ => JournalError::Io(path.clone(), error),
        })?;
        let mut journal = Self { file, path, entries: Vec::new() };
        journal.lock()?;
        let profile = profile.to_owned();
        journal.append(&Entry::Applied { format: FORMAT, profile, boot: boot(root) })?;
        sync_directory(directory).map_err(|error| journal.failed(error))?;
        Ok(journal)
    }

    /// Opens the journal in `directory`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(NAME);
        let file = OpenOptions::new().read(true).append(true).open(&path);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => JournalError::Absent(path.clone()),
            _ => JournalError::Io(path.clone(), error),
        })?;
        let mut journal = Self { file, path, entries: Vec::new() };
        journal.lock()?;
        let mut text = String::new();
        let read = (&journal.file).take(JOURNAL_LEN_MAX).read_to_string(&mut text);
        read.map_err(|error| journal.failed(error))?;
        // The last line was cut short if it does not end: its write was never begun.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (at, line) in whole.lines().enumerate() {
            let entry = serde_json::from_str(line);
            let is_ours = |entry: &Entry| match entry {
                Entry::Applied { format, .. } => at == 0 && *format == FORMAT,
                Entry::Write { path, .. } => at > 0 && is_a_setting(path),
                Entry::Wrote { .. } => at > 1,
            };
            let entry = entry.ok().filter(is_ours);
            journal.entries.push(entry.ok_or(JournalError::Line(journal.path.clone(), at + 1))?);
        }
        Ok(journal)
    }

    /// Writes a line and waits until it is on disk.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let line = serde_json::to_string(entry).map_err(|error| self.failed(error.into()))?;
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.and_then(|()| self.file.sync_data()).map_err(|error| self.failed(error))?;
        self.entries.push(entry.clone());
        Ok(())
    }

    /// Ends the journal: nothing of what it tells of is left.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(self) -> Result<(), JournalError> {
        let removed = fs::remove_file(&self.path);
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        removed.and_then(|()| sync_directory(directory)).map_err(|error| self.failed(error))
    }

    /// The profile that was applied, if the first line was written.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        match self.entries.first() {
            Some(Entry::Applied { profile, .. }) => Some(profile),
            _ => None,
        }
    }

    /// Whether the host was restarted since.
    #[must_use]
    pub fn is_of_an_earlier_boot(&self, root: &Root) -> bool {
        let now = boot(root);
        let Some(Entry::Applied { boot, .. }) = self.entries.first() else { return false };
        !now.is_empty() && !boot.is_empty() && now != *boot
    }

    fn lock(&self) -> Result<(), JournalError> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked(self.path.clone()),
            TryLockError::Error(error) => self.failed(error),
        })
    }

    fn failed(&self, error: io::Error) -> JournalError {
        JournalError::Io(self.path.clone(), error)
    }
}

/// Whether a path is one that items name: nothing else is ever written, whatever a journal
/// says.
fn is_a_setting(path: &str) -> bool {
    let roots = ["/proc/sys/", "/proc/irq/", "/sys/"];
    roots.iter().any(|root| path.starts_with(root)) && !path.split('/').any(|part| part == "..")
}

fn boot(root: &Root) -> String {
    root.read_trimmed("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
