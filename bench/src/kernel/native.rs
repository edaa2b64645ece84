//! The same cells by the clock of a host, where a module can be loaded.

use std::path::Path as FilePath;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::plan::{Ask, Timed};

/// One cell: what a round trip took on this host.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Row {
    /// What was asked of whom.
    #[serde(flatten)]
    pub(super) ask: Ask,
    /// What it took.
    #[serde(flatten)]
    pub(super) timed: Timed,
}

/// Times every cell of the plan, on one core for client and server.
///
/// # Errors
/// That the host cannot load a module, or what else kept it from timing; what to do is on
/// standard error.
pub(super) fn time(programs: &FilePath, words: &[&str]) -> Result<Vec<Row>, String> {
    let allowed = kdht::io::allowed_cpus();
    let core = allowed.as_slice().first().ok_or("no CPU is known")?;
    let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("kernel/native");
    let mut command = Command::new(&script);
    command.arg(programs).arg(core.to_string()).args(words);
    let ran = command.stderr(Stdio::inherit()).output();
    let ran = ran.map_err(|error| format!("{}: {error}", script.display()))?;
    let said = String::from_utf8_lossy(&ran.stdout);
    if !ran.status.success() {
        let why = said.lines().next_back().unwrap_or("see above");
        return Err(format!("nothing was timed: {why}"));
    }
    parse(&said)
}

fn parse(said: &str) -> Result<Vec<Row>, String> {
    let cells = said.lines().filter_map(|line| line.strip_prefix("timed "));
    cells.map(|cell| serde_json::from_str(cell).map_err(|e| format!("{cell}: {e}"))).collect()
}

/// The rows as lines of a table.
pub(super) fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let head =
        ["path", "kind", "link", "in flight", "table", "value", "ns", "p50", "p99", "cycles"];
    let line = |row: &Row| {
        let Row { ask, timed } = row;
        let words = [ask.path.name(), ask.kind.name(), ask.link.name()].map(str::to_owned);
        let counts = [ask.in_flight, ask.table, ask.value_bytes].map(|count| count.to_string());
        let times = [timed.ns, timed.p50_ns, timed.p99_ns].map(|time| format!("{time:.0}"));
        let cycles = timed.cycles.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
        words.into_iter().chain(counts).chain(times).chain([cycles]).collect()
    };
    let head = head.map(str::to_owned).to_vec();
    [head].into_iter().chain(rows.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::plan::plan;

    #[test]
    fn timed_cells_are_read_with_and_without_cycles() {
        for cycles in [None, Some(7.0)] {
            let timed = Timed { ns: 1.0, p50_ns: 2.0, p99_ns: 3.0, cycles };
            let row = Row { ask: plan(true)[0], timed };
            let line = format!("noise\ntimed {}\n", serde_json::to_string(&row).unwrap());
            assert_eq!(parse(&line), Ok(vec![row.clone()]));
            assert_eq!(table(&[row]).len(), 2);
        }
        assert!(parse("timed {}").is_err());
    }
}
