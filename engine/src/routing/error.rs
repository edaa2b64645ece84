//! Why the kernel does not route.

use std::error::Error;
use std::fmt;

use kdht_kmod::ControlError;

use crate::runner::CallError;

/// Why the kernel does not route.
#[derive(Debug)]
pub enum RoutingError {
    /// The module is missing, too old, may not be used, or refuses.
    Module(ControlError),
    /// The node does not answer.
    Call(CallError),
    /// The host gives no thread, or does not tell of a socket.
    Host(std::io::Error),
    /// The node has a wide table, which stays in the engine.
    Wide,
    /// The node is recorded.
    Recorded,
    /// The node serves nobody.
    Client,
}

impl From<ControlError> for RoutingError {
    fn from(error: ControlError) -> Self {
        Self::Module(error)
    }
}

impl From<CallError> for RoutingError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl fmt::Display for RoutingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
            Self::Host(error) => write!(f, "the host refuses: {error}"),
            Self::Wide => f.write_str("a wide table stays in the engine; set `table` to kbucket"),
            Self::Recorded => {
                f.write_str("what the kernel answers cannot be recorded; leave `record` out")
            }
            Self::Client => f.write_str("the node serves nobody"),
        }
    }
}

impl Error for RoutingError {}
