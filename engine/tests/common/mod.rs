//! What the tests of real sockets share.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use kdht::io::DatapathChoice;
use kdht::{PollPolicy, Runner};

/// A thread for nodes on what `KDHT_TEST_DATAPATH` names (auto, uring or mmsg), so that the
/// same tests run on each; without it on the best that the host allows.
pub(crate) fn runner() -> Runner {
    let asked = std::env::var("KDHT_TEST_DATAPATH").unwrap_or_default();
    let choice = if asked.is_empty() { DatapathChoice::Auto } else { asked.parse().unwrap() };
    Runner::start_with(None, choice, PollPolicy::Adaptive).unwrap()
}
