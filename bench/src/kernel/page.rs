//! What a run leaves to be read: lines for a terminal and a page.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::plan::{Link, Path, Question, TABLES};
use super::row::{Gate, Row, ratios};
use crate::plot::{Series, svg};
use crate::report::{STYLE, escape};

/// What figures here are, and what they are not.
pub(super) const MEANING: &str = "Instructions of one round trip, on one emulated processor that client \
                           and server share: the client, both ways through the network stack, and \
                           the answer. Instructions are work, not latency.";

/// Functions of a cell that the page names.
const FUNCTIONS_SHOWN: usize = 25;

/// The rows as lines of a table.
#[must_use]
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| COLUMNS.iter().map(|(_, value)| value(row)).collect()));
    aligned(&lines, 2)
}

/// Lines of words in columns, the first `left` of which begin where they stand and the others end
/// there.
pub(super) fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let width = |at: usize| lines.iter().map(|line| line[at].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let words = line.iter().zip(&widths).enumerate().map(|(at, (word, width))| {
            if at < left { format!("{word:<width$}") } else { format!("{word:>width$}") }
        });
        out.push_str(words.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// The gates and ratios as lines.
#[must_use]
pub(super) fn verdicts(rows: &[Row], gates: &[Gate]) -> String {
    let mut out = String::new();
    for gate in gates {
        let verdict = if gate.is_met() { "met" } else { "missed" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{verdict:7} {} = {}: {}", gate.claim, gate.most, gate.is);
    }
    for (path, ratio) in ratios(rows) {
        let _ = writeln!(out, "kernel path / engine {}, FIND_NODE: {ratio:.3}", path.name());
    }
    out
}

/// The page, with everything in it.
///
/// # Errors
/// What cannot be plotted.
pub(super) fn html(
    rows: &[Row],
    gates: &[Gate],
    env: &Json,
    command: &str,
) -> Result<String, String> {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>kernel path and \
         engine</title><style>{STYLE}</style></head><body><h1>Kernel path and engine, by \
         instructions</h1><p>{}</p><p>Of a forwarded FIND_VALUE the figures are those \
         of both nodes, and of three ways instead of two.</p><pre>{}</pre><table><tr>",
        escape(MEANING),
        escape(&verdicts(rows, gates))
    );
    COLUMNS.iter().for_each(|(name, _)| {
        let _ = write!(out, "<th>{name}</th>");
    });
    out.push_str("</tr>");
    for row in rows {
        out.push_str("<tr>");
        for (_, value) in COLUMNS {
            let _ = write!(out, "<td>{}</td>", escape(&value(row)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
    for plot in plots(rows)? {
        out.push_str(&plot);
    }
    out.push_str("<h2>By function</h2>");
    for row in rows.iter().filter(|row| is_shown_by_function(row)) {
        let _ = write!(out, "<h3>{}</h3><pre>", escape(&row.name()));
        for (name, count) in row.functions.iter().take(FUNCTIONS_SHOWN) {
            let _ = writeln!(out, "{count:>7} {}", escape(name));
        }
        out.push_str("</pre>");
    }
    let _ = write!(
        out,
        "<h2>The same again</h2><pre>{}</pre><h2>What it was counted on</h2><pre>{}</pre></body>\
         </html>",
        escape(command),
        escape(&format!("{env:#}"))
    );
    Ok(out)
}

/// Of the whole, one cell for each path and question.
fn is_shown_by_function(row: &Row) -> bool {
    row.ask.link == Link::Lo && row.ask.in_flight == 1 && !row.mitigations
}

/// Instructions over requests in flight, and of values over their length: a curve for each path.
#[allow(clippy::cast_precision_loss, reason = "instructions of a round trip fit a double")]
fn plots(rows: &[Row]) -> Result<Vec<String>, String> {
    let curves = |is_in: &dyn Fn(&Row) -> bool, x: fn(&Row) -> u32| -> Vec<Series> {
        let curve = |path: Path| Series {
            name: path.name().to_owned(),
            points: rows
                .iter()
                .filter(|row| row.ask.path == path && is_in(row))
                .map(|row| (f64::from(x(row)), row.instructions as f64))
                .collect(),
        };
        Path::ALL.into_iter().map(curve).filter(|curve| !curve.points.is_empty()).collect()
    };
    let mut found = Vec::new();
    for link in [Link::Lo, Link::Veth] {
        for mitigations in [false, true] {
            let guard = if mitigations { "mitigations" } else { "no mitigations" };
            let is_of = |row: &Row| row.ask.link == link && row.mitigations == mitigations;
            let finds = |row: &Row| {
                let has_table = row.ask.table == TABLES[0] || row.ask.path.is_bare();
                is_of(row) && row.ask.kind == Question::FindNode && has_table
            };
            let title = format!("FIND_NODE, {}, {guard}", link.name());
            let finds = curves(&finds, |row| row.ask.in_flight);
            found.push(svg(&title, "in flight", "instructions", &finds)?);
            let hits = |row: &Row| {
                is_of(row) && row.ask.kind == Question::FindValueHit && row.ask.in_flight == 1
            };
            let title = format!("FIND_VALUE that hits, {}, {guard}", link.name());
            let hits = curves(&hits, |row| row.ask.value_bytes);
            found.push(svg(&title, "bytes of the value", "instructions", &hits)?);
        }
    }
    Ok(found)
}

type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 12] = [
    ("path", |row| row.ask.path.name().to_owned()),
    ("kind", |row| row.ask.kind.name().to_owned()),
    ("link", |row| row.ask.link.name().to_owned()),
    ("in flight", |row| row.ask.in_flight.to_string()),
    ("table", |row| or_none(row.ask.table)),
    ("value", |row| or_none(row.ask.value_bytes)),
    ("mitigations", |row| if row.mitigations { "on" } else { "off" }.to_owned()),
    ("instructions", |row| row.instructions.to_string()),
    ("client", |row| row.client.to_string()),
    ("user", |row| row.user.to_string()),
    ("stack", |row| row.stack.to_string()),
    ("module", |row| row.module.to_string()),
];

fn or_none(count: u32) -> String {
    if count == 0 { "-".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::row::{gates, tests::row};

    #[test]
    fn the_page_names_every_cell_its_gates_and_that_instructions_are_no_time() {
        let rows = [
            row(Path::EchoEncap, Question::FindNode, 0, 12_000),
            row(Path::Kernel, Question::FindNode, 200, 15_555),
        ];
        let gates = gates(&rows);
        let page = html(&rows, &gates, &Json::Null, "kdht-bench kernel").unwrap();
        for part in ["echo-encap", "15555", "missed", "not latency", "kdht-bench kernel"] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(table(&rows).lines().count(), 3);
    }
}
