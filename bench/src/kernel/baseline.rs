//! The counts that are written down, what they belong to, and when others differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::row::Row;

/// How much a count may differ from the one written down, in percent of that: twice what another
/// initrd of the same sources makes.
pub(super) const TOLERANCE_PERCENT: u64 = 1;

/// Instructions of each cell, and what they were counted on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Baseline {
    /// Kernel package, compilers and whatever else decides beside the sources.
    pub(super) key: BTreeMap<String, String>,
    /// Instructions of a round trip, by cell.
    pub(super) instructions: BTreeMap<String, u64>,
}

/// What a count says of the baseline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// All of it is as written down.
    Same,
    /// It was counted on something else, so that nothing can be said: a line for each difference.
    AnotherKey(Vec<String>),
    /// Cells differ: a line each.
    Differs(Vec<String>),
}

impl Baseline {
    /// What rows say.
    #[must_use]
    pub(super) fn of(key: &BTreeMap<String, String>, rows: &[Row]) -> Self {
        let instructions = rows.iter().map(|row| (row.name(), row.instructions)).collect();
        Self { key: key.clone(), instructions }
    }

    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernel/baseline.json")
    }

    /// The one written down.
    ///
    /// # Errors
    /// That there is none, or that it cannot be read.
    pub(super) fn read() -> Result<Self, String> {
        let path = Self::path();
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| told(&error))?;
        serde_json::from_str(&text).map_err(|error| told(&error))
    }

    /// Writes it down, and says where.
    ///
    /// # Errors
    /// That it cannot be written.
    pub(super) fn write(&self) -> Result<PathBuf, String> {
        let path = Self::path();
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        let written = fs::write(&path, text + "\n");
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Holds `found` to this. Cells that `found` does not have are nothing to it: they may
    /// not have been asked for.
    #[must_use]
    pub(super) fn hold(&self, found: &Self) -> Held {
        let mut lines = Vec::new();
        for name in self.key.keys().chain(found.key.keys()) {
            let of = |key: &BTreeMap<String, String>| {
                key.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
            };
            let line = format!("{name}: {} written down, {} here", of(&self.key), of(&found.key));
            if of(&self.key) != of(&found.key) && !lines.contains(&line) {
                lines.push(line);
            }
        }
        if !lines.is_empty() {
            return Held::AnotherKey(lines);
        }
        for (name, count) in &found.instructions {
            match self.instructions.get(name) {
                Some(wanted) if count.abs_diff(*wanted) * 100 <= wanted * TOLERANCE_PERCENT => {}
                Some(wanted) => lines.push(format!("{name}: {wanted} written down, {count} now")),
                None => lines.push(format!("{name}: not written down, {count} now")),
            }
        }
        if lines.is_empty() { Held::Same } else { Held::Differs(lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(kernel: &str, cells: &[(&str, u64)]) -> Baseline {
        let pair = |(name, count): &(&str, u64)| ((*name).to_owned(), *count);
        Baseline {
            key: [("kernel".to_owned(), kernel.to_owned())].into(),
            instructions: cells.iter().map(pair).collect(),
        }
    }

    #[test]
    fn a_cell_one_percent_off_is_let_through_and_one_more_is_not() {
        let written = baseline("6.1", &[("a", 10_000), ("b", 5)]);
        for (count, is_right) in [(10_000, true), (9_900, true), (10_100, true), (10_101, false)] {
            let held = written.hold(&baseline("6.1", &[("a", count)]));
            assert_eq!(held == Held::Same, is_right, "{held:?}");
        }
        assert!(matches!(written.hold(&baseline("6.1", &[("c", 1)])), Held::Differs(_)));
    }

    #[test]
    fn counts_of_another_kernel_are_not_compared() {
        let written = baseline("6.1", &[("a", 10_000)]);
        let Held::AnotherKey(lines) = written.hold(&baseline("6.12", &[("a", 1)])) else {
            panic!("they were");
        };
        assert_eq!(lines, ["kernel: 6.1 written down, 6.12 here"]);
    }
}
