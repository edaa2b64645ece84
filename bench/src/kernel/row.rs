//! A cell with its figures, and the gates that they are held against.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::plan::{Ask, Link, Path, Question, ROUND_TRIPS, TABLES};
use super::profile::Profile;

/// One cell: instructions of one round trip, each figure rounded by itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Row {
    /// What was asked of whom.
    #[serde(flatten)]
    pub(super) ask: Ask,
    /// Whether the kernel of the guest guards against what its processor leaks.
    pub(super) mitigations: bool,
    /// All of them.
    pub(super) instructions: u64,
    /// The client's, outside the kernel.
    pub(super) client: u64,
    /// The server's, outside the kernel.
    pub(super) user: u64,
    /// The kernel's, on both sides.
    pub(super) stack: u64,
    /// The answering module's.
    pub(super) module: u64,
    /// The kernel's and the module's by function, the largest first; those below one
    /// instruction a round trip are left out.
    pub(super) functions: Vec<(String, u64)>,
}

impl Row {
    /// Divides what was counted by the round trips.
    #[must_use]
    pub(super) fn new(ask: Ask, mitigations: bool, profile: &Profile) -> Self {
        let each = |count: u64| {
            let trips = u64::from(ROUND_TRIPS);
            (count + trips / 2) / trips
        };
        let mut functions: Vec<(String, u64)> = profile
            .functions
            .iter()
            .map(|(name, count)| (name.clone(), each(*count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        // The names are in order, and stay so among equals.
        functions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            ask,
            mitigations,
            instructions: each(profile.total()),
            client: each(profile.client),
            user: each(profile.user),
            stack: each(profile.stack),
            module: each(profile.module),
            functions,
        }
    }

    /// What the row is of, in one line.
    #[must_use]
    pub(super) fn name(&self) -> String {
        name(&self.ask, self.mitigations)
    }
}

/// What a row is of, in one line: path, question, link and what else varies.
fn name(ask: &Ask, mitigations: bool) -> String {
    let mut name = format!("{} {}", ask.path.name(), ask.kind.name());
    if ask.table > 0 {
        // Writing to a string cannot fail.
        let _ = write!(name, " table={}", ask.table);
    }
    if ask.value_bytes > 0 {
        let _ = write!(name, " value={}", ask.value_bytes);
    }
    let _ = write!(name, " {} in_flight={}", ask.link.name(), ask.in_flight);
    if mitigations {
        name.push_str(" mitigations");
    }
    name
}

/// What a figure may be at most, and what it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Gate {
    /// What is claimed.
    pub(super) claim: String,
    /// At most.
    pub(super) most: u64,
    /// Is.
    pub(super) is: u64,
}

impl Gate {
    /// Whether it is kept.
    #[must_use]
    pub(super) fn is_met(&self) -> bool {
        self.is <= self.most
    }
}

/// Instructions that the module's answer to FIND_NODE may take beyond the bare echo's.
const KERNEL_EXTRA: u64 = 2_500;
/// Instructions that passing a datagram up may take.
const PASSING_EXTRA: u64 = 200;
/// The engine may take a tenth more than an echo by the same means, and these.
const ENGINE_EXTRA: u64 = 1_500;

/// Every gate that `rows` have the figures for: one request in flight, on loopback, without
/// mitigations.
#[must_use]
pub(super) fn gates(rows: &[Row]) -> Vec<Gate> {
    let by_name: BTreeMap<String, u64> =
        rows.iter().map(|row| (row.name(), row.instructions)).collect();
    let figure = |path, kind, table| {
        let ask = Ask { link: Link::Lo, path, table, kind, value_bytes: 0, in_flight: 1 };
        by_name.get(&name(&ask, false)).copied()
    };
    let find = |path, table| figure(path, Question::FindNode, table);
    let mut found = Vec::new();
    let mut hold = |claim: String, most: Option<u64>, is: Option<u64>| {
        if let Some((most, is)) = most.zip(is) {
            found.push(Gate { claim, most, is });
        }
    };
    for table in TABLES {
        hold(
            format!("FIND_NODE by kdht.ko, {table} contacts: echo-encap + {KERNEL_EXTRA}"),
            find(Path::EchoEncap, 0).map(|echo| echo + KERNEL_EXTRA),
            find(Path::Kernel, table),
        );
    }
    for kind in [Question::Ping, Question::FindNode] {
        hold(
            format!("passing up, {}: echo-recvfrom + {PASSING_EXTRA}", kind.name()),
            figure(Path::EchoRecvfrom, kind, 0).map(|echo| echo + PASSING_EXTRA),
            figure(Path::Passing, kind, 0),
        );
    }
    for (engine, echo) in [(Path::Mmsg, Path::EchoMmsg), (Path::Uring, Path::EchoUring)] {
        hold(
            format!("FIND_NODE by the engine: 1.10 x {} + {ENGINE_EXTRA}", echo.name()),
            find(echo, 0).map(|echo| echo + echo / 10 + ENGINE_EXTRA),
            find(engine, TABLES[0]),
        );
    }
    found
}

/// What the kernel path takes of each engine's instructions, for FIND_NODE with the smaller
/// table, one in flight, on loopback, without mitigations: the engine's path and the ratio.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "instructions of a round trip fit a double")]
pub(super) fn ratios(rows: &[Row]) -> Vec<(Path, f64)> {
    let of = |path: Path| {
        let is_it = |row: &&Row| {
            row.ask.path == path
                && row.ask.kind == Question::FindNode
                && row.ask.link == Link::Lo
                && row.ask.in_flight == 1
                && row.ask.table == TABLES[0]
                && !row.mitigations
        };
        rows.iter().find(is_it).map(|row| row.instructions as f64)
    };
    let ratio = |path| Some((path, of(Path::Kernel)? / of(path)?));
    [Path::Mmsg, Path::Uring].into_iter().filter_map(ratio).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(path: Path, kind: Question, table: u32, instructions: u64) -> Row {
        let ask = Ask { link: Link::Lo, path, table, kind, value_bytes: 0, in_flight: 1 };
        let profile =
            Profile { stack: instructions * u64::from(ROUND_TRIPS), ..Profile::default() };
        Row::new(ask, false, &profile)
    }

    #[test]
    fn a_gate_is_missed_by_one_instruction_and_one_without_figures_is_left_out() {
        let mut rows = vec![
            row(Path::EchoEncap, Question::FindNode, 0, 12_000),
            row(Path::Kernel, Question::FindNode, 200, 14_500),
            row(Path::EchoMmsg, Question::FindNode, 0, 20_000),
            row(Path::Mmsg, Question::FindNode, 200, 23_501),
        ];
        let found: Vec<bool> = gates(&rows).iter().map(Gate::is_met).collect();
        assert_eq!(found, [true, false]);
        rows[1].instructions += 1;
        assert!(!gates(&rows)[0].is_met());
        let (path, ratio) = ratios(&rows)[0];
        assert_eq!(path, Path::Mmsg);
        assert!((ratio - 14_501.0 / 23_501.0).abs() < 1e-9);
    }

    #[test]
    fn figures_are_those_of_one_round_trip_rounded() {
        let mut profile = Profile { user: 512 * 3 + 256, client: 255, ..Profile::default() };
        profile.functions.insert("small".to_owned(), 255);
        profile.functions.insert("large".to_owned(), 5_120);
        let row = Row::new(row(Path::Kernel, Question::Ping, 0, 0).ask, true, &profile);
        assert_eq!((row.user, row.client, row.instructions), (4, 0, 4));
        assert_eq!(row.functions, [("large".to_owned(), 10)]);
        assert_eq!(row.name(), "kernel ping lo in_flight=1 mitigations");
    }
}
