//! Why a client's call brought nothing.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use kdht_core::{CommandError, Report, Stored};
use kdht_wire::Fault;

/// Why a client's call brought nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The host gives no socket or no entropy.
    Host(std::io::Error),
    /// No entry node was named.
    NoVia,
    /// The entry nodes are of different address families.
    MixedFamilies(SocketAddr, SocketAddr),
    /// No node answers there.
    NoEntry {
        /// Who was asked.
        via: Vec<SocketAddr>,
        /// How often each.
        attempts: u8,
        /// For how long.
        elapsed: Duration,
    },
    /// The command cannot be carried out.
    Refused(CommandError),
    /// The entry node answered, but none of the requests that followed was; so many were
    /// sent.
    Unanswered(u32),
    /// No node that was asked holds such a value.
    NotFound(Box<Report>),
    /// A value that travels by TCP could not be exchanged with anybody; so it was with the
    /// last who was asked.
    Stream {
        /// Who that was.
        addr: SocketAddr,
        /// What stood against it.
        why: std::io::Error,
    },
    /// No node acknowledged the value.
    NotStored(Stored),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::NoVia => write!(f, "no node to enter the network through"),
            Self::MixedFamilies(one, other) => {
                write!(f, "{one} and {other} are of different address families; name one kind")
            }
            Self::NoEntry { via, attempts, elapsed } => {
                let via: Vec<String> = via.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "no answer from {}: asked {attempts} times in {:.1} s by UDP; is a node \
                     running there, in the same network (key), and not behind a firewall?",
                    via.join(", "),
                    elapsed.as_secs_f64(),
                )
            }
            Self::Refused(CommandError::ValueTooLong { len, max }) => {
                write!(f, "the value is {len} bytes long; {max} bytes is the most")
            }
            Self::Refused(CommandError::Unproven) => {
                write!(f, "the value does not prove itself: its hash or signature is wrong")
            }
            Self::Stream { addr, why } => write!(
                f,
                "values of more than 1000 bytes travel by TCP, and {addr} did not exchange one: \
                 {why}"
            ),
            Self::Refused(_) => write!(f, "too many operations at once"),
            Self::Unanswered(messages) => {
                write!(f, "nobody answered {messages} requests after the first")
            }
            Self::NotFound(report) => {
                let asked = report.messages;
                write!(f, "not found: none of the {asked} nodes asked holds such a value")
            }
            Self::NotStored(stored) => {
                let (asked, refused) = (stored.asked, stored.refused);
                write!(f, "not stored: of {asked} nodes asked {refused} refused")?;
                match stored.fault {
                    Some(Fault::Sequence | Fault::Cas) => {
                        write!(f, ": sequence {} is held; put a higher one", stored.sequence)
                    }
                    Some(Fault::Plain) => {
                        write!(
                            f,
                            ": plain values are not accepted; sign it, or store it as immutable"
                        )
                    }
                    Some(fault) => write!(f, ", the last with `{}`", fault.name()),
                    None => write!(f, ", the others did not answer"),
                }
            }
        }
    }
}

impl Error for ClientError {}
