//! The lossless JSON form of a message (§12): what `kdht decode` writes and `kdht encode`
//! reads. For people and tools, never on a node's hot path.

mod read;
mod tree;
mod write;

pub use read::{JsonError, from_json, from_json_keyed};
pub use write::{to_json, to_json_pretty};

use crate::body::FilterKind;

const FILTER_NAMES: [(FilterKind, &str); 4] = [
    (FilterKind::Any, "any"),
    (FilterKind::Immutable, "immutable"),
    (FilterKind::Signed, "signed"),
    (FilterKind::Plain, "plain"),
];
