//! What would be written, and what no write can do.

use serde::Serialize;

/// One file to be written.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Change {
    /// The item of the registry that wants it.
    pub item: &'static str,
    /// The file.
    pub path: String,
    /// What it holds.
    pub old: String,
    /// What is to be written.
    pub new: String,
}

/// All that a profile wants and does not find.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Plan {
    /// What `apply` writes, in this order.
    pub writes: Vec<Change>,
    /// What has to be added to the kernel's command line; it takes a restart.
    pub reboot: Vec<String>,
    /// What other programs, or people, have to do.
    pub elsewhere: Vec<String>,
}
