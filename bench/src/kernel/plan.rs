//! What is counted: who answers what, over which link, how many at a time.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who answers.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Bare: a thread with recvfrom and sendto; `kdht.ko` is not loaded
    EchoRecvfrom,
    /// Bare: recvmmsg and sendmmsg, asleep in ppoll
    EchoMmsg,
    /// Bare: `io_uring`, multishot receives
    EchoUring,
    /// The engine over recvmmsg and sendmmsg, `--poll sleep`
    Mmsg,
    /// The engine over `io_uring`, `--poll sleep`
    Uring,
    /// Bare: in softirq, by another module
    EchoEncap,
    /// `kdht.ko`
    Kernel,
    /// Bare as `echo-recvfrom`, on a socket that `kdht.ko` has and passes everything from
    Passing,
}

impl Path {
    /// Every path, in the order in which they are counted: `kdht.ko` is not loaded before the
    /// first that needs it.
    pub const ALL: [Self; 8] = [
        Self::EchoRecvfrom,
        Self::EchoMmsg,
        Self::EchoUring,
        Self::Mmsg,
        Self::Uring,
        Self::EchoEncap,
        Self::Kernel,
        Self::Passing,
    ];

    /// Whether it only sends back bytes.
    #[must_use]
    pub fn is_bare(self) -> bool {
        !matches!(self, Self::Mmsg | Self::Uring | Self::Kernel)
    }

    /// Its name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EchoRecvfrom => "echo-recvfrom",
            Self::EchoMmsg => "echo-mmsg",
            Self::EchoUring => "echo-uring",
            Self::Mmsg => "mmsg",
            Self::Uring => "uring",
            Self::EchoEncap => "echo-encap",
            Self::Kernel => "kernel",
            Self::Passing => "passing",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Are you there?
    Ping,
    /// Who is closest?
    FindNode,
    /// A value that is held.
    FindValueHit,
    /// One that is not: who is closest?
    FindValueMiss,
    /// A value that is held by another, who answers: two nodes of a keyed network.
    FindValueForwarded,
}

impl Question {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode => "find_node",
            Self::FindValueHit => "find_value_hit",
            Self::FindValueMiss => "find_value_miss",
            Self::FindValueForwarded => "find_value_forwarded",
        }
    }

    /// Whether it takes two servers.
    #[must_use]
    pub fn is_forwarded(self) -> bool {
        self == Self::FindValueForwarded
    }
}

/// What lies between client and server, which share one processor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Loopback.
    Lo,
    /// A pair of virtual devices, the client's in a namespace of its own.
    Veth,
}

impl Link {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lo => "lo",
            Self::Veth => "veth",
        }
    }
}

/// One cell of the table, but for whether mitigations are on, which a guest is booted with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Ask {
    /// Over which link.
    pub link: Link,
    /// Who answers.
    pub path: Path,
    /// Contacts of the answering table; 0 where none is looked at.
    pub table: u32,
    /// What is asked.
    pub kind: Question,
    /// Bytes of the value that is found; 0 where none is.
    pub value_bytes: u32,
    /// Requests that are under way at once.
    pub in_flight: u32,
}

/// What a cell took by a clock: of each round trip, or for the quantiles of each batch, which is
/// as many round trips as are in flight.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Timed {
    /// Nanoseconds of a round trip.
    pub ns: f64,
    /// The median batch, in nanoseconds.
    pub p50_ns: f64,
    /// The slowest batch but one in a hundred, in nanoseconds.
    pub p99_ns: f64,
    /// Cycles of all processors for a round trip; nothing where they are not counted.
    pub cycles: Option<f64>,
}

/// Round trips of a cell that are counted: a multiple of all that may be in flight.
pub const ROUND_TRIPS: u32 = 512;
/// Sizes of tables.
pub const TABLES: [u32; 2] = [200, 2_000];
/// Sizes of values, in bytes.
pub const VALUES: [u32; 3] = [1, 100, 1_000];
/// Bytes of the value that a forwarded request finds.
const FORWARDED: u32 = 100;
/// Requests in flight.
pub const IN_FLIGHT: [u32; 2] = [1, 32];

/// Every cell of a guest, grouped by servers; of a quick one those that the gates and the
/// baseline look at.
#[must_use]
pub fn plan(is_quick: bool) -> Vec<Ask> {
    let links: &[Link] = if is_quick { &[Link::Lo] } else { &[Link::Lo, Link::Veth] };
    let in_flight = if is_quick { &IN_FLIGHT[..1] } else { &IN_FLIGHT };
    let mut found = Vec::new();
    for path in Path::ALL {
        for &link in links {
            for (table, kind, value_bytes) in questions(path, is_quick) {
                found.extend(in_flight.iter().map(|&in_flight| Ask {
                    path,
                    kind,
                    link,
                    in_flight,
                    table,
                    value_bytes,
                }));
            }
        }
    }
    found
}

/// Table, question and value of each cell of a path, those of one table side by side.
fn questions(path: Path, is_quick: bool) -> Vec<(u32, Question, u32)> {
    let hits = VALUES.map(|bytes| (0, Question::FindValueHit, bytes));
    let forwarded = (!path.is_bare()).then_some((0, Question::FindValueForwarded, FORWARDED));
    let mut found = vec![(0, Question::Ping, 0)];
    if is_quick {
        found.push((if path.is_bare() { 0 } else { TABLES[0] }, Question::FindNode, 0));
        if path == Path::Kernel {
            found.insert(1, (0, Question::FindValueHit, 100));
            found.push((TABLES[0], Question::FindValueMiss, 0));
            found.push((TABLES[1], Question::FindNode, 0));
        }
        found.extend(forwarded);
        return found;
    }
    if path == Path::Passing {
        found.push((0, Question::FindNode, 0));
        return found;
    }
    found.extend(hits);
    // A bare echo has no table: its replies are as long whatever the others' tables hold.
    let tables: &[u32] = if path.is_bare() { &[0] } else { &TABLES };
    for &table in tables {
        found.extend([(table, Question::FindNode, 0), (table, Question::FindValueMiss, 0)]);
    }
    found.extend(forwarded);
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_cell_is_counted_twice_and_a_quick_plan_is_part_of_the_whole() {
        let all: BTreeSet<Ask> = plan(false).into_iter().collect();
        assert_eq!(all.len(), plan(false).len());
        let quick = plan(true);
        assert!(quick.iter().all(|ask| all.contains(ask)), "{quick:?}");
        assert!(quick.len() < all.len() / 4);
    }

    #[test]
    fn every_answer_has_a_bare_echo_of_the_same_sizes_beside_it() {
        let all = plan(false);
        // Two nodes' work has no echo.
        let has_echo = |ask: &&Ask| !ask.path.is_bare() && !ask.kind.is_forwarded();
        for ask in all.iter().filter(has_echo) {
            let bare = Ask { path: Path::EchoEncap, table: 0, ..*ask };
            assert!(all.contains(&bare), "{ask:?}");
        }
    }
}
