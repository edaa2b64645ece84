//! The counts as `bench/counts.toml` has them, and when one differs from another.

use std::fmt::Write as _;

use crate::row::CALLS;

/// How much a count may differ from the one written down, in percent of that.
pub(crate) const TOLERANCE_PERCENT: u64 = 5;

/// Instructions of each row, and who compiled them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Counts {
    toolchain: String,
    rows: Vec<(String, u64)>,
}

impl Counts {
    pub(crate) fn new(toolchain: &str, rows: Vec<(&str, u64)>) -> Self {
        let rows = rows.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Self { toolchain: toolchain.to_owned(), rows }
    }

    /// Reads what [`Counts::text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{error}"))?;
        let toolchain = table.get("toolchain").and_then(toml::Value::as_str);
        let toolchain = toolchain.ok_or("no `toolchain`")?.to_owned();
        let rows = table.get("instructions").and_then(toml::Value::as_table);
        let row = |(name, count): (&String, &toml::Value)| {
            let count = count.as_integer().and_then(|count| u64::try_from(count).ok());
            Ok((name.clone(), count.ok_or_else(|| format!("`{name}` is no count"))?))
        };
        let rows = rows.ok_or("no table `instructions`")?.iter().map(row);
        Ok(Self { toolchain, rows: rows.collect::<Result<_, String>>()? })
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "# Instructions of {CALLS} calls of single operations, as callgrind counts them: the\n\
             # path of a CPU without AVX-512, which callgrind does not know. A test holds them\n\
             # to {TOLERANCE_PERCENT} %. Written by: cargo run --release -p kdht-count -- bless\n\
             toolchain = \"{}\"\n\n[instructions]\n",
            self.toolchain
        );
        for (name, count) in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} = {count}");
        }
        text
    }

    pub(crate) fn toolchain(&self) -> &str {
        &self.toolchain
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, u64)> {
        self.rows.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.rows().find(|(row, _)| *row == name).map(|(_, count)| count)
    }

    /// What in `found` is not as written down here: a line each.
    pub(crate) fn differences(&self, found: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, count) in found.rows() {
            match self.of(name) {
                Some(wanted) if count.abs_diff(wanted) * 100 <= wanted * TOLERANCE_PERCENT => {}
                Some(wanted) => lines.push(format!("  {name}: {wanted} written down, {count} now")),
                None => lines.push(format!("  {name}: not written down, {count} now")),
            }
        }
        let is_gone = |(name, _): &(&str, u64)| found.of(name).is_none();
        lines.extend(self.rows().filter(is_gone).map(|(name, _)| format!("  {name}: no such row")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&'static str, u64)]) -> Counts {
        Counts::new("rustc 1.0.0", rows.to_vec())
    }

    #[test]
    fn what_is_written_reads_back() {
        let written = counts(&[("a", 7), ("b", 1 << 40)]);
        assert_eq!(Counts::parse(&written.text()).unwrap(), written);
        for (text, why) in [
            ("", "toolchain"),
            ("toolchain = \"x\"", "instructions"),
            ("toolchain = \"x\"\n[instructions]\na = -1", "`a`"),
        ] {
            assert!(Counts::parse(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_count_five_percent_off_is_let_through_and_one_more_is_not() {
        let wanted = counts(&[("a", 1_000)]);
        for (count, is_right) in
            [(1_000, true), (950, true), (1_050, true), (949, false), (1_051, false)]
        {
            let found = counts(&[("a", count)]);
            assert_eq!(wanted.differences(&found).is_empty(), is_right, "{count}");
        }
    }

    #[test]
    fn a_row_that_only_one_side_has_is_named() {
        let (left, right) = (counts(&[("a", 1), ("b", 1)]), counts(&[("a", 1), ("c", 1)]));
        let lines = left.differences(&right).join("\n");
        assert!(
            lines.contains("c: not written down") && lines.contains("b: no such row"),
            "{lines}"
        );
    }
}
