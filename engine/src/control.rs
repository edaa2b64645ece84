//! The control socket: operations on a running node, one JSON object a line.
//!
//! What only reads the node is answered here; what changes how it runs goes as a [`Task`]
//! to whoever runs it, so that signals and operators meet in one place.

use std::error::Error;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::node_handle::NodeHandle;
use crate::routing::Routing;
use crate::settings::DRAIN_S_MAX;
use crate::status::{Members, Status};

/// Longest request line, in bytes.
const LINE_LEN_MAX: u64 = 64 * 1024;
/// Connections served at a time; more are told so.
const CONNECTIONS_MAX: usize = 8;
/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an operator asks. Those without fields have braces, or serde would let unknown ones
/// pass.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Read every counter.
    Stat {},
    /// Read the routing tables.
    Table {},
    /// Store nothing more, hand every value over, and stop.
    Drain {
        /// Stop after so many seconds even if values are left, at most
        /// [`DRAIN_S_MAX`].
        timeout_s: u32,
    },
    /// Read the settings anew, and apply what can be applied.
    Reload {},
    /// Let the engine or the kernel module route from now on.
    Routing {
        /// Which of them.
        to: Routing,
    },
    /// Log by another filter until the next one is set.
    Log {
        /// As the setting `log`.
        filter: String,
    },
}

/// What the node answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Stat`].
    Stat(Box<Status>),
    /// To [`Request::Table`].
    Table(Box<Members>),
    /// To [`Request::Drain`]. The connection stays open until the process has ended.
    Drained {
        /// Values that at least one other node acknowledged.
        handed: u32,
        /// Values that no other node took, or that there was no time for.
        kept: u32,
        /// Whether there was time for all of them.
        finished: bool,
    },
    /// To [`Request::Reload`].
    Reloaded {
        /// Settings that were changed.
        applied: Vec<String>,
        /// Settings whose change waits for a restart.
        restart: Vec<String>,
    },
    /// To [`Request::Routing`].
    Routed {
        /// Who routed before.
        before: Routing,
    },
    /// To [`Request::Log`].
    Log {
        /// The filter before.
        before: String,
    },
    /// Why the request was not carried out.
    Error(String),
}

/// A request that whoever runs the node carries out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// [`Request::Drain`].
    Drain(Duration),
    /// [`Request::Reload`].
    Reload,
    /// [`Request::Routing`].
    Routing(Routing),
    /// [`Request::Log`].
    Log(String),
}

/// A [`Task`] and where its reply goes.
#[derive(Debug)]
pub struct Asked {
    /// What is to be done.
    pub task: Task,
    reply: Sender<Reply>,
    /// Closes when the reply was written.
    written: Receiver<()>,
}

impl Asked {
    /// Answers. An asker that is gone is no error.
    pub fn answer(self, reply: Reply) {
        let _ = self.reply.send(reply);
    }

    /// Answers, and waits up to 5 s until the reply was written: the process ends next.
    pub fn answer_last(self, reply: Reply) {
        let _ = self.reply.send(reply);
        let _ = self.written.recv_timeout(TIMEOUT);
    }
}

/// Why a running node could not be asked.
#[derive(Debug)]
pub enum ControlError {
    /// Nothing listens there.
    Connect(PathBuf, std::io::Error),
    /// The socket cannot be made.
    Listen(PathBuf, std::io::Error),
    /// The connection broke, or the other side is no kdht.
    Talk(String),
    /// The node refused.
    Refused(String),
}

/// Makes the socket, readable and writable for its owner alone. A socket that a dead
/// process left is replaced: the caller holds the state directory's lock.
///
/// # Errors
/// [`ControlError::Listen`].
pub fn listen(path: &Path) -> Result<UnixListener, ControlError> {
    let fail = |error| ControlError::Listen(path.to_owned(), error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(fail)?;
    Ok(listener)
}

/// Answers connections, each on a thread of its own, until the process ends.
pub fn serve(listener: &UnixListener, node: &NodeHandle, tasks: &Sender<Asked>) {
    // Each connection holds a clone, so the count is theirs and this one.
    let open = Arc::new(());
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| {
            if Arc::strong_count(&open) > CONNECTIONS_MAX {
                let why = format!("{CONNECTIONS_MAX} others talk to the node already");
                return write_reply(&stream, &Reply::Error(why));
            }
            let (node, tasks, place) = (node.clone(), tasks.clone(), open.clone());
            let work = move || {
                if let Err(error) = serve_one(&stream, &node, &tasks) {
                    tracing::debug!(%error, "control connection ended");
                }
                drop(place);
            };
            std::thread::Builder::new().name("kdht-operator".into()).spawn(work)?;
            Ok(())
        });
        if let Err(error) = served {
            tracing::warn!(%error, "control connection was not served");
            std::thread::sleep(ACCEPT_PAUSE);
        }
    }
}

fn serve_one(stream: &UnixStream, node: &NodeHandle, tasks: &Sender<Asked>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_LEN_MAX)).read_line(&mut line)?;
    let read = |read: Result<Reply, crate::CallError>| {
        read.unwrap_or_else(|error| Reply::Error(error.to_string()))
    };
    let task = match serde_json::from_str(&line) {
        Ok(Request::Stat {}) => return write_reply(stream, &read(node.status().map(Reply::Stat))),
        Ok(Request::Table {}) => {
            return write_reply(stream, &read(node.members().map(Reply::Table)));
        }
        Ok(Request::Drain { timeout_s }) if timeout_s <= DRAIN_S_MAX => {
            Task::Drain(Duration::from_secs(timeout_s.into()))
        }
        Ok(Request::Drain { timeout_s }) => {
            let why = format!("`timeout_s` must be 0 to {DRAIN_S_MAX}; it is {timeout_s}");
            return write_reply(stream, &Reply::Error(why));
        }
        Ok(Request::Reload {}) => Task::Reload,
        Ok(Request::Routing { to }) => Task::Routing(to),
        Ok(Request::Log { filter }) => Task::Log(filter),
        Err(error) => {
            return write_reply(stream, &Reply::Error(format!("not a request: {error}")));
        }
    };
    have_done(stream, task, tasks)
}

/// Lets whoever runs the node do `task`, and passes the reply on.
fn have_done(stream: &UnixStream, task: Task, tasks: &Sender<Asked>) -> std::io::Result<()> {
    let ends_process = matches!(task, Task::Drain(_));
    let (sender, reply) = bounded(1);
    let (writing, written) = bounded(0);
    let asked = Asked { task, reply: sender, written };
    let stopping = || Reply::Error("the node is stopping, or too much is asked of it".to_owned());
    let reply = match tasks.try_send(asked) {
        Ok(()) => reply.recv().unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    };
    let done = write_reply(stream, &reply);
    drop::<Sender<()>>(writing);
    if ends_process && matches!(reply, Reply::Drained { .. }) {
        // The asker reads until the process has ended, or hangs up.
        let _ = (&mut &*stream).read(&mut [0]);
    }
    done
}

fn write_reply(mut stream: &UnixStream, reply: &Reply) -> std::io::Result<()> {
    let mut text = serde_json::to_string(reply)?;
    text.push('\n');
    stream.write_all(text.as_bytes())
}

/// Asks the node whose control socket stands at `path`. A drain returns when the node's
/// process has ended.
///
/// # Errors
/// [`ControlError`].
pub fn ask(path: &Path, request: &Request) -> Result<Reply, ControlError> {
    let connected = UnixStream::connect(path);
    let stream = connected.map_err(|error| ControlError::Connect(path.to_owned(), error))?;
    match talk(&stream, request) {
        Ok(Reply::Error(why)) => Err(ControlError::Refused(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(ControlError::Talk(error.to_string())),
    }
}

fn talk(mut stream: &UnixStream, request: &Request) -> std::io::Result<Reply> {
    let patience = match request {
        Request::Drain { timeout_s } => TIMEOUT + Duration::from_secs((*timeout_s).into()),
        _ => TIMEOUT,
    };
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let reply = serde_json::from_str(&line)?;
    if matches!(reply, Reply::Drained { .. }) {
        stream.set_read_timeout(Some(TIMEOUT))?;
        // Ends with the process; one that lingers has said what was asked all the same.
        let _ = reader.read(&mut [0]);
    }
    Ok(reply)
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(path, error) => write!(
                f,
                "no node answers at {}: {error}; give the path of `control.sock` in the state \
                 directory of a running node",
                path.display()
            ),
            Self::Listen(path, error) => write!(f, "control socket {}: {error}", path.display()),
            Self::Talk(why) => write!(f, "the node's answer did not come whole: {why}"),
            Self::Refused(why) => write!(f, "the node refused: {why}"),
        }
    }
}

impl Error for ControlError {}
