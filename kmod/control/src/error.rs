//! Why the module was not asked, or refused.

use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// No module that speaks this family is loaded.
    Missing,
    /// The module speaks an older version of the family.
    Version(u8),
    /// The module, or the kernel before it, refused.
    Refused {
        /// Which error, by its number.
        error: io::Error,
        /// What it says about it, if it does.
        message: Option<String>,
    },
    /// The netlink socket failed.
    Socket(String),
    /// The answer lacks what it should hold.
    Answer(&'static str),
}

impl ControlError {
    /// The kernel's number for the refusal, if it is one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Refused { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "kdht.ko is not loaded: modprobe kdht"),
            Self::Version(version) => write!(
                f,
                "the loaded kdht.ko speaks version {version} of its commands, not {}: install \
                 the one that belongs to this program, and reload it",
                crate::FAMILY_VERSION
            ),
            Self::Refused { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "the kernel path needs CAP_NET_ADMIN: {error}")
            }
            Self::Refused { error, message: Some(message) } => write!(f, "{message}: {error}"),
            Self::Refused { error, message: None } => write!(f, "kdht.ko refused: {error}"),
            Self::Socket(text) => write!(f, "netlink: {text}"),
            Self::Answer(what) => write!(f, "kdht.ko's answer has no {what}"),
        }
    }
}

impl std::error::Error for ControlError {}
