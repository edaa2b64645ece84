//! The control socket: operations on a running node, one JSON object a line.

use std::error::Error;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::runner::NodeHandle;
use crate::status::Status;

/// Longest request line, in bytes.
const LINE_LEN_MAX: u64 = 64 * 1024;
/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What an operator asks.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Read every counter.
    Stat,
}

/// What the node answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Stat`].
    Stat(Box<Status>),
    /// Why the request was not carried out.
    Error(String),
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

/// Answers connections one after another until the listener fails.
pub fn serve(listener: &UnixListener, node: &NodeHandle) {
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| serve_one(&stream, node));
        if let Err(error) = served {
            tracing::debug!(%error, "control connection ended");
        }
    }
}

fn serve_one(stream: &UnixStream, node: &NodeHandle) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_LEN_MAX)).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Stat) => match node.status() {
            Ok(status) => Reply::Stat(status),
            Err(error) => Reply::Error(error.to_string()),
        },
        Err(error) => Reply::Error(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    (&mut &*stream).write_all(text.as_bytes())
}

/// Asks the node whose control socket stands at `path`.
///
/// # Errors
/// [`ControlError`].
pub fn ask(path: &Path, request: &Request) -> Result<Reply, ControlError> {
    let connected = UnixStream::connect(path);
    let mut stream = connected.map_err(|error| ControlError::Connect(path.to_owned(), error))?;
    let mut talk = || -> std::io::Result<Reply> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut text = serde_json::to_string(request)?;
        text.push('\n');
        stream.write_all(text.as_bytes())?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    match talk() {
        Ok(Reply::Error(why)) => Err(ControlError::Refused(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(ControlError::Talk(error.to_string())),
    }
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
