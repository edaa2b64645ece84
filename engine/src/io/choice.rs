//! Which way of moving datagrams is asked for, and which is used.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use super::sizes::SizeError;
use super::uring::UringError;

/// Which datapath to use, as an operator says it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DatapathChoice {
    /// `auto`: the best that the host allows.
    #[default]
    Auto,
    /// `uring`: io_uring or nothing.
    Uring,
    /// `mmsg`: recvmmsg and sendmmsg.
    Mmsg,
}

/// A way of moving datagrams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DatapathKind {
    /// A [`Uring`](super::Uring).
    Uring,
    /// An [`Mmsg`](super::Mmsg).
    Mmsg,
}

/// A text that names no [`DatapathChoice`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownDatapath;

/// Why a datapath cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenError {
    /// No [`Mmsg`](super::Mmsg).
    Mmsg(SizeError),
    /// No [`Uring`](super::Uring).
    Uring(UringError),
}

impl FromStr for DatapathChoice {
    type Err = UnknownDatapath;

    fn from_str(text: &str) -> Result<Self, UnknownDatapath> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "mmsg" => Ok(Self::Mmsg),
            _ => Err(UnknownDatapath),
        }
    }
}

impl fmt::Display for DatapathChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
        })
    }
}

impl fmt::Display for DatapathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
        })
    }
}

impl fmt::Display for UnknownDatapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a datapath is auto, uring or mmsg")
    }
}

impl Error for UnknownDatapath {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mmsg(error) => error.fmt(f),
            Self::Uring(error) => error.fmt(f),
        }
    }
}

impl Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_as_it_is_written() {
        for choice in [DatapathChoice::Auto, DatapathChoice::Uring, DatapathChoice::Mmsg] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("sockets".parse::<DatapathChoice>(), Err(UnknownDatapath));
    }
}
