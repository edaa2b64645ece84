//! What a node keeps across restarts: who it is and whom it knew.

use std::error::Error;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kdht_wire::{Contact, Endpoint, Id};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of every file in the directory.
const FORMAT: u32 = 1;
const LOCK: &str = "lock";
const IDENTITY: &str = "identity.json";
const CONTACTS: &str = "contacts.json";
const CONTROL: &str = "control.sock";

/// A node's state directory, locked as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
    saved: Vec<SavedContact>,
}

/// What is wrong with a state directory.
#[derive(Debug)]
pub struct StateError {
    path: PathBuf,
    reason: StateReason,
}

/// Why a state directory, or a file in it, cannot be used.
#[derive(Debug)]
pub enum StateReason {
    /// The host refuses.
    Host(std::io::Error),
    /// Another process uses the directory.
    InUse,
    /// The file is of another format.
    Format(u32),
    /// The file does not hold what it should.
    Damaged(String),
}

#[derive(Deserialize, Serialize)]
struct SavedIdentity {
    format: u32,
    id: String,
}

#[derive(Deserialize, Serialize)]
struct SavedContacts {
    format: u32,
    contacts: Vec<SavedContact>,
}

#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct SavedContact {
    id: String,
    endpoint: SocketAddr,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl StateDir {
    /// Opens the directory, made if need be for its owner alone, and locks it.
    ///
    /// # Errors
    /// [`StateError`] names the directory, and another process if that uses it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let fail = |reason| StateError { path: path.to_owned(), reason };
        let host = |error| fail(StateReason::Host(error));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(host)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK)).map_err(host)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            if errno == rustix::io::Errno::WOULDBLOCK {
                fail(StateReason::InUse)
            } else {
                host(errno.into())
            }
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock, saved: Vec::new() })
    }

    /// The node's id; `fresh` becomes it, and is kept, where there is none yet.
    ///
    /// # Errors
    /// [`StateError`] names the file. A damaged file is left as it is.
    pub fn identity(&self, fresh: Id) -> Result<Id, StateError> {
        let path = self.path.join(IDENTITY);
        match load::<SavedIdentity>(&path)? {
            Some(saved) => Id::from_hex(&saved.id).ok_or_else(|| StateError {
                path,
                reason: StateReason::Damaged("`id` is not 40 hexadecimal digits".to_owned()),
            }),
            None => {
                store(&path, &SavedIdentity { format: FORMAT, id: fresh.to_string() })?;
                Ok(fresh)
            }
        }
    }

    /// Where the contacts of the last run answered. They are only where to begin: whether
    /// they are still alive is for the node to find out.
    ///
    /// # Errors
    /// [`StateError`] names the file. A damaged file is left as it is.
    pub fn contacts(&self) -> Result<Vec<Endpoint>, StateError> {
        let saved: Option<SavedContacts> = load(&self.path.join(CONTACTS))?;
        let contacts = saved.map(|saved| saved.contacts).unwrap_or_default();
        Ok(contacts.into_iter().map(|contact| contact.endpoint.into()).collect())
    }

    /// Keeps `contacts`, if they are others than were kept last. An empty list is not
    /// kept: a node that lost everybody still wants to know where to begin.
    ///
    /// # Errors
    /// [`StateError`] names the file; what was kept before is still there.
    pub fn save_contacts(&mut self, contacts: &[Contact]) -> Result<bool, StateError> {
        let saved = |contact: &Contact| SavedContact {
            id: contact.id.to_string(),
            endpoint: contact.endpoint.socket_addr(),
        };
        let mut contacts: Vec<SavedContact> = contacts.iter().map(saved).collect();
        contacts.sort();
        if contacts.is_empty() || contacts == self.saved {
            return Ok(false);
        }
        let file = SavedContacts { format: FORMAT, contacts };
        store(&self.path.join(CONTACTS), &file)?;
        self.saved = file.contacts;
        Ok(true)
    }

    /// Where the control socket stands.
    #[must_use]
    pub fn control_path(&self) -> PathBuf {
        self.path.join(CONTROL)
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let fail = |reason| StateError { path: path.to_owned(), reason };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(StateReason::Host(error))),
    };
    let damaged = |error: serde_json::Error| fail(StateReason::Damaged(error.to_string()));
    let FormatOnly { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format != FORMAT {
        return Err(fail(StateReason::Format(format)));
    }
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// Writes a file so that a crash leaves the old one or the new one, never a part.
fn store<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let write = || -> std::io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| StateError { path: path.to_owned(), reason: StateReason::Host(error) })
}

impl StateError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &StateReason {
        &self.reason
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.reason {
            StateReason::Host(error) => write!(f, "{path}: {error}"),
            StateReason::InUse => {
                write!(f, "{path}: another kdht process uses this state directory")
            }
            StateReason::Format(format) => {
                write!(f, "{path}: is of format {format}, this kdht knows {FORMAT}")
            }
            StateReason::Damaged(why) => {
                write!(f, "{path}: damaged ({why}); move it away to start without it")
            }
        }
    }
}

impl Error for StateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Id {
        Id([byte; 20])
    }

    fn contact(port: u16) -> Contact {
        let addr = SocketAddr::from(([192, 0, 2, 1], port));
        Contact::new(id(port.to_le_bytes()[0]), addr.into())
    }

    #[test]
    fn identity_and_contacts_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/state");
        let mut state = StateDir::open(&path).unwrap();
        assert_eq!(state.identity(id(1)).unwrap(), id(1));
        assert!(state.contacts().unwrap().is_empty());
        assert!(state.save_contacts(&[contact(5), contact(4)]).unwrap());
        assert!(!state.save_contacts(&[contact(4), contact(5)]).unwrap(), "the same set");
        assert!(!state.save_contacts(&[]).unwrap(), "nobody is not kept");
        drop(state);
        let state = StateDir::open(&path).unwrap();
        assert_eq!(state.identity(id(2)).unwrap(), id(1));
        let kept = state.contacts().unwrap();
        assert_eq!(kept, vec![contact(4).endpoint, contact(5).endpoint]);
    }

    #[test]
    fn a_second_process_is_told_that_the_directory_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = StateDir::open(dir.path()).unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(matches!(error.reason(), StateReason::InUse), "{error}");
    }

    #[test]
    fn damaged_and_foreign_files_are_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let path = dir.path().join(IDENTITY);
        for (text, part) in [
            ("{\"format\": 2, \"colour\": 1}", "format 2"),
            ("{\"format\": 1, \"id\": \"abc\"}", "40 hexadecimal digits"),
            ("{\"format\": 1, \"id\"", "damaged"),
            ("", "damaged"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = state.identity(id(1)).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(IDENTITY), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
