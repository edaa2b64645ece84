//! The page that a comparison leaves, and its table for a terminal.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::compare::{Cell, CompareArgs, Findings, Metric, PAIRS, Role};
use crate::gate::Verdict;
use crate::plot::{Series, svg};

/// What the page tells.
pub struct Page<'a> {
    /// The host.
    pub env: &'a Json,
    /// Cells, notes, latencies.
    pub findings: &'a Findings,
    /// Every control let its window count.
    pub is_valid: bool,
    /// What was asked for.
    pub args: &'a CompareArgs,
    /// How to measure it again.
    pub command: &'a str,
}

pub(crate) const STYLE: &str = "body{font:14px/1.5 sans-serif;max-width:1200px;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #bbb;padding:2px 6px;\
text-align:right}td:first-child,th:first-child{text-align:left}.met{background:#cfc}\
.missed{background:#fcc}.void{background:#fcc;padding:.5em}pre{overflow:auto;background:#eee;\
padding:.5em}svg{max-width:100%;height:auto}";

impl Page<'_> {
    /// The page, with everything in it.
    ///
    /// # Errors
    /// What cannot be plotted.
    pub fn html(&self) -> Result<String, String> {
        let mut out = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>kdht compared</title><style>{STYLE}</style></head><body>\
             <h1>Floors and candidates, in turn on one core</h1>"
        );
        self.warn(&mut out);
        self.rows(&mut out);
        for plot in self.plots()? {
            out.push_str(&plot);
        }
        let (command, env) = (escape(self.command), escape(&format!("{:#}", self.env)));
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<h2>The same again</h2><pre>{command}</pre><h2>The host</h2><pre>{env}</pre>\
             </body></html>"
        );
        Ok(out)
    }

    fn warn(&self, out: &mut String) {
        let mut say = |text: &str| {
            let _ = write!(out, "<p class=\"void\">{}</p>", escape(text));
        };
        if !self.is_valid {
            say("INVALID: a floor held against itself left 0.97 to 1.03, so that no difference \
                 here means anything.");
        }
        if self.args.quick {
            say(&format!(
                "Quick: fewer than {PAIRS} rounds, so that no gate is decided. A hint, no result."
            ));
        }
        if self.findings.cells.iter().any(|cell| cell.wrong > 0) {
            say("VOID: there were wrong replies.");
        }
        if self.env["profile"] == "debug" {
            say("Built without optimisation.");
        }
        self.findings.notes.iter().for_each(|note| say(note));
        let _ = write!(out, "<p>Tuning: {}</p>", escape(&self.findings.tuning.0));
    }

    fn rows(&self, out: &mut String) {
        out.push_str("<table><tr>");
        COLUMNS.iter().for_each(|(name, _)| {
            let _ = write!(out, "<th>{name}</th>");
        });
        out.push_str("</tr>");
        for cell in &self.findings.cells {
            let class = match cell.verdict {
                Some(Verdict::Met) => "met",
                Some(Verdict::Missed) => "missed",
                _ => "",
            };
            let _ = write!(out, "<tr class=\"{class}\">");
            for (_, value) in COLUMNS {
                let _ = write!(out, "<td>{}</td>", escape(&value(cell)));
            }
            out.push_str("</tr>");
        }
        out.push_str("</table>");
    }

    #[allow(clippy::cast_precision_loss, reason = "windows are small")]
    fn plots(&self) -> Result<Vec<String>, String> {
        let cells = &self.findings.cells;
        let mut windows: Vec<usize> = cells.iter().map(|cell| cell.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let mut names: Vec<&str> = Vec::new();
        for cell in cells.iter().filter(|cell| cell.role != Role::Control) {
            if !names.contains(&&*cell.candidate) {
                names.push(&cell.candidate);
            }
        }
        let by_window = |value: fn(&Cell) -> f64| -> Vec<Series> {
            let series = |name: &&str| Series {
                name: (*name).to_owned(),
                points: cells
                    .iter()
                    .filter(|cell| cell.candidate == *name)
                    .map(|cell| (cell.window as f64, value(cell)))
                    .collect(),
            };
            names.iter().map(series).collect()
        };
        let cpu = |cell: &Cell| cell.cpu_ns_per_reply.unwrap_or(0.0);
        let mut plots = vec![
            svg("throughput", "in flight", "replies/s", &by_window(|cell| cell.rate))?,
            svg("CPU of the server per reply", "in flight", "ns", &by_window(cpu))?,
        ];
        for window in windows {
            let of_window = self.findings.latencies.iter().filter(|(_, of, _)| *of == window);
            let series: Vec<Series> = of_window
                .filter(|(name, ..)| names.contains(&&**name))
                .map(|(name, _, latency)| Series { name: name.clone(), points: tail(latency) })
                .collect();
            let title = format!("latency by percentile, {window} in flight");
            plots.push(svg(&title, "1 / (1 - percentile)", "µs", &series)?);
        }
        Ok(plots)
    }
}

/// Latency in microseconds over one in how many requests took longer.
#[allow(clippy::cast_precision_loss, reason = "a minute of nanoseconds fits")]
fn tail(latency: &hdrhistogram::Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = [1.0, 2.0, 4.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 1e5];
    let is_seen = |one_in: &f64| *one_in <= latency.len() as f64;
    let value = |one_in: f64| latency.value_at_quantile(1.0 - 1.0 / one_in) as f64 / 1_000.0;
    steps.into_iter().filter(is_seen).map(|one_in| (one_in, value(one_in))).collect()
}

type Column = (&'static str, fn(&Cell) -> String);

const COLUMNS: [Column; 19] = [
    ("candidate", |cell| cell.candidate.clone()),
    ("in flight", |cell| cell.window.to_string()),
    ("contacts", |cell| cell.table.map_or_else(|| "-".to_owned(), |count| count.to_string())),
    ("bytes", |cell| format!("{}/{}", cell.request_bytes, cell.reply_bytes)),
    ("replies/s", |cell| format!("{:.0}", cell.rate)),
    ("against", |cell| cell.base.clone()),
    ("ratio of", |cell| metric(cell.metric).to_owned()),
    ("ratio", |cell| number(cell.ratio_median, 3)),
    ("95 %", |cell| format!("{} to {}", number(cell.ci_low, 3), number(cell.ci_high, 3))),
    ("verdict", |cell| cell.verdict.map_or("", verdict).to_owned()),
    ("p50 µs", |cell| number(cell.p50_us, 1)),
    ("p99 µs", |cell| number(cell.p99_us, 1)),
    ("p99.9 µs", |cell| number(cell.p999_us, 1)),
    ("CPU ns", |cell| number(cell.cpu_ns_per_reply, 0)),
    ("over floor", |cell| {
        let said = cell.cpu_verdict.map_or("", verdict);
        format!("{} {said}", number(cell.cpu_extra_ns, 0))
    }),
    ("user/sys/softirq", |cell| {
        let (user, system) = (cell.user_ns_per_reply, cell.system_ns_per_reply);
        format!("{user:.0}/{system:.0}/{:.0}", cell.softirq_ns_per_reply)
    }),
    ("machine ns", |cell| format!("{:.0}", cell.machine_ns_per_reply)),
    ("syscalls", |cell| number(cell.syscalls_per_datagram, 3)),
    ("server/generator busy", |cell| {
        format!("{:.0} % / {:.0} %", 100.0 * cell.server_busy, 100.0 * cell.generator_busy)
    }),
];

fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "throughput",
        Metric::Cpu => "CPU (generator bound)",
        Metric::Latency => "p50",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Undecided => "undecided",
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The cells as lines of a table.
#[must_use]
pub fn table(cells: &[Cell]) -> String {
    const SHOWN: [&str; 9] = [
        "candidate",
        "in flight",
        "replies/s",
        "against",
        "ratio of",
        "ratio",
        "95 %",
        "verdict",
        "CPU ns",
    ];
    let shown: Vec<&Column> = COLUMNS.iter().filter(|(name, _)| SHOWN.contains(name)).collect();
    let mut rows: Vec<Vec<String>> =
        vec![shown.iter().map(|(name, _)| (*name).to_owned()).collect()];
    rows.extend(cells.iter().map(|cell| shown.iter().map(|(_, value)| value(cell)).collect()));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let words = row.iter().zip(&widths).map(|(word, width)| format!("{word:<width$}"));
        let line = words.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
