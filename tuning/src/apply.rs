//! Writing a plan.

use std::error::Error;
use std::fmt;
use std::path::Path;

use crate::journal::{Entry, Journal, JournalError};
use crate::{Change, ReadError, Root};

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was written.
    pub written: Vec<Change>,
    /// What the host refused; the rest was written all the same.
    pub refused: Vec<Refused>,
}

/// A write that the host refused.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: String,
    /// What the host said.
    pub why: String,
}

/// Why a plan was not written to its end.
#[derive(Debug)]
pub enum ApplyError {
    /// The journal cannot be kept. What it tells of so far can be reverted.
    Journal(JournalError),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(error) => error.fmt(f),
        }
    }
}

impl Error for ApplyError {}

/// Writes `changes` in their order, each after the journal in `state` tells of it. A write
/// that the host refuses does not keep the others from being done.
///
/// # Errors
/// [`ApplyError::Journal`]; nothing is written that the journal does not tell of.
pub fn apply(
    root: &Root,
    state: &Path,
    profile: &str,
    changes: &[Change],
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let mut journal = Journal::begin(state, root, profile).map_err(ApplyError::Journal)?;
    for change in changes {
        let Change { path, new, .. } = change;
        // Cores may share one file under several names, and it may have changed since it was
        // looked at, so what is kept is what it holds now.
        let old = match root.read(path) {
            Ok(old) => old,
            Err(error) => {
                applied.refused.push(Refused { path: path.clone(), why: said(error) });
                continue;
            }
        };
        if old.trim() == new.trim() {
            continue;
        }
        let (path, new) = (path.clone(), format!("{new}\n"));
        let entry = Entry::Write { path: path.clone(), old, new: new.clone() };
        journal.append(&entry).map_err(ApplyError::Journal)?;
        if let Err(error) = root.write(&path, &new) {
            applied.refused.push(Refused { path, why: error.to_string() });
            continue;
        }
        if let Ok(reads) = root.read(&path) {
            journal.append(&Entry::Wrote { reads }).map_err(ApplyError::Journal)?;
        }
        applied.written.push(change.clone());
    }
    if applied.written.is_empty() && applied.refused.is_empty() {
        // Nothing is left to revert, so nothing stands in the way of the next profile.
        journal.remove().map_err(ApplyError::Journal)?;
    }
    Ok(applied)
}

fn said(error: ReadError) -> String {
    error.to_string()
}
