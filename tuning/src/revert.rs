//! Putting back what a journal tells of, last written first.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::journal::{Entry, Journal, JournalError};
use crate::{ReadError, Root, judge};

/// What became of one file.
#[derive(Debug)]
pub enum Outcome {
    /// It holds its old bytes again.
    Restored,
    /// It held them already.
    AlreadyOld,
    /// Somebody else wrote this since; it was left alone.
    Foreign(String),
    /// It cannot be read, or is gone.
    Unread(ReadError),
    /// The host refused the write.
    Refused(io::Error),
    /// It took the write but holds this.
    Differs(String),
}

/// What became of a journal.
#[derive(Debug)]
pub struct Reverted {
    /// Each file, in the order in which they were put back.
    pub files: Vec<(String, Outcome)>,
    /// Whether the host was restarted since, which put everything back already.
    pub was_restarted: bool,
}

/// Why nothing was put back.
#[derive(Debug)]
pub enum RevertError {
    /// The journal.
    Journal(JournalError),
    /// It tells of this other profile.
    Profile(String),
}

impl fmt::Display for RevertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
            Self::Profile(name) => write!(f, "the profile that is applied is {name}"),
        }
    }
}

impl Error for RevertError {}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restored => f.write_str("restored"),
            Self::AlreadyOld => f.write_str("held its old value already"),
            Self::Foreign(now) => write!(
                f,
                "left alone: somebody else changed it to `{}`; --force overwrites that",
                now.trim()
            ),
            Self::Unread(error) => write!(f, "left alone: it {error}"),
            Self::Refused(error) => write!(f, "not restored: {error}"),
            Self::Differs(now) => write!(f, "not restored: it now holds `{}`", now.trim()),
        }
    }
}

impl Outcome {
    /// Whether the file holds its old bytes.
    #[must_use]
    pub fn is_old(&self) -> bool {
        matches!(self, Self::Restored | Self::AlreadyOld)
    }
}

impl Reverted {
    /// Whether every file holds its old bytes, so that the journal is gone.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.was_restarted || self.files.iter().all(|(_, outcome)| outcome.is_old())
    }
}

/// Puts back what the journal in `state` tells of. A file that somebody else changed in
/// between is left alone, unless `force`. The journal goes when all is as it was; until then
/// `revert` can be repeated.
///
/// # Errors
/// [`RevertError`]; nothing was put back.
pub fn revert(
    root: &Root,
    state: &Path,
    profile: Option<&str>,
    force: bool,
) -> Result<Reverted, RevertError> {
    let journal = Journal::open(state).map_err(RevertError::Journal)?;
    if let (Some(applied), Some(asked)) = (journal.profile(), profile)
        && applied != asked
    {
        return Err(RevertError::Profile(applied.to_owned()));
    }
    let was_restarted = journal.is_of_an_earlier_boot(root);
    let mut files = Vec::new();
    if !was_restarted {
        for (path, old, ours) in writes_of(&journal.entries).into_iter().rev() {
            let outcome = restore(root, path, old, ours, force);
            files.push((path.to_owned(), outcome));
        }
    }
    let reverted = Reverted { files, was_restarted };
    if reverted.is_whole() {
        journal.remove().map_err(RevertError::Journal)?;
    }
    Ok(reverted)
}

/// Path, old bytes and what the file held after the write, of each write.
fn writes_of(entries: &[Entry]) -> Vec<(&str, &str, &str)> {
    let mut writes: Vec<(&str, &str, &str)> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Applied { .. } => {}
            Entry::Write { path, old, new } => writes.push((path, old, new)),
            Entry::Wrote { reads } => {
                if let Some(last) = writes.last_mut() {
                    last.2 = reads;
                }
            }
        }
    }
    writes
}

fn restore(root: &Root, path: &str, old: &str, ours: &str, force: bool) -> Outcome {
    let now = match root.read(path) {
        Ok(now) => now,
        Err(error) => return Outcome::Unread(error),
    };
    if now == old {
        return Outcome::AlreadyOld;
    }
    let value = judge::chosen;
    if value(&now) != value(ours) && !force {
        return Outcome::Foreign(now);
    }
    // A file that shows its choices takes one of them and shows the rest by itself; a plain
    // file holds just what was written.
    let choice = value(old);
    let spellings = if choice == old.trim() { vec![old] } else { vec![choice, old] };
    let mut outcome = Outcome::Differs(now);
    for spelling in spellings {
        if let Err(error) = root.write(path, spelling) {
            if matches!(outcome, Outcome::Differs(_)) {
                outcome = Outcome::Refused(error);
            }
            continue;
        }
        match root.read(path) {
            Ok(now) if now == old => return Outcome::Restored,
            Ok(now) => outcome = Outcome::Differs(now),
            Err(error) => outcome = Outcome::Unread(error),
        }
    }
    outcome
}
