//! The page of what the simulator showed: every run's figures and the curves through them,
//! from the JSON that `make sim` leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value as Json;

use crate::plot::{Series, svg};
use crate::report::{STYLE, escape};

/// Files of one page, at most.
const FILES_MAX: usize = 1_000;

/// Draw one page from what simulator runs left
#[derive(Args)]
pub struct SimArgs {
    /// Figures of runs, a JSON object in each: `kdht sim --json`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "target/sim/report.html")]
    out: PathBuf,
}

/// One run: the name of its file, and its figures.
struct Run {
    name: String,
    figures: Json,
}

impl Run {
    fn number(&self, figure: &str) -> Option<f64> {
        self.figures.get(figure).and_then(Json::as_f64)
    }
}

/// Curves over runs of one scenario: those whose names begin with its name, apart by what else
/// was set.
struct Curves {
    title: &'static str,
    scenario: &'static str,
    x: &'static str,
    y: &'static str,
    by: &'static [&'static str],
}

/// Every plot of the page.
const CURVES: &[Curves] = &[
    Curves {
        title: "Perfect tables: hops",
        scenario: "perfect",
        x: "nodes",
        y: "hops_mean",
        by: &["k", "b"],
    },
    Curves {
        title: "Perfect tables: requests of a lookup",
        scenario: "perfect",
        x: "nodes",
        y: "messages_mean",
        by: &["k", "b"],
    },
    Curves {
        title: "Memory of a node, values and traffic included",
        scenario: "perfect",
        x: "nodes",
        y: "bytes_per_node",
        by: &["k", "b"],
    },
    Curves {
        title: "Networks that built themselves: hops",
        scenario: "join",
        x: "nodes",
        y: "hops_mean",
        by: &["k"],
    },
    Curves {
        title: "Dead contacts: share of the true k that is found",
        scenario: "stale",
        x: "stale",
        y: "overlap_k",
        by: &["nodes", "k"],
    },
    Curves {
        title: "Dead contacts: requests of a lookup",
        scenario: "stale",
        x: "stale",
        y: "messages_mean",
        by: &["nodes", "k"],
    },
    Curves {
        title: "Colluders: lookups that succeed",
        scenario: "colluder",
        x: "paths",
        y: "closest_found",
        by: &["nodes", "adversaries_share", "targets_are_nodes"],
    },
    Curves {
        title: "Churn: datagrams of a node in an hour",
        scenario: "day",
        x: "sessions_mean_s",
        y: "datagrams_per_node_hour",
        by: &["nodes", "k", "sessions_shape"],
    },
    Curves {
        title: "Racks: requests of a put",
        scenario: "zones",
        x: "replicas_max",
        y: "puts_messages_mean",
        by: &["nodes", "k"],
    },
    Curves {
        title: "Wide tables: hops",
        scenario: "wide",
        x: "nodes",
        y: "hops_mean",
        by: &["sessions_mean_s"],
    },
    Curves {
        title: "The simulator: events a second of processor time",
        scenario: "speed",
        x: "nodes",
        y: "events_per_s",
        by: &["k"],
    },
];

/// Figures that the table of all runs has.
const COLUMNS: &[&str] = &[
    "nodes",
    "k",
    "hops_mean",
    "messages_mean",
    "closest_found",
    "overlap_k",
    "values_lost",
    "gap_lost",
    "gap_formula",
    "datagrams_per_node_hour",
    "bytes_per_node",
    "events_per_s",
    "cpu_s",
];

/// Reads the files and writes the page.
///
/// # Errors
/// The file that cannot be read, is no run's, or cannot be written.
pub fn main(args: &SimArgs) -> Result<(), String> {
    if args.files.len() > FILES_MAX {
        return Err(format!("{} files: {FILES_MAX} at most", args.files.len()));
    }
    let runs: Vec<Run> = args.files.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let page = html(&runs)?;
    fs::write(&args.out, page).map_err(|error| format!("{}: {error}", args.out.display()))?;
    eprintln!("report: {}", args.out.display());
    Ok(())
}

fn read(path: &Path) -> Result<Run, String> {
    let fail = |why: String| format!("{}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let figures: Json = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    if figures.get("digest").is_none() {
        return Err(fail("no figures of a run: `kdht sim --json` writes them".to_owned()));
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(Run { name: name.unwrap_or_default(), figures })
}

fn html(runs: &[Run]) -> Result<String, String> {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>kdht simulated</title><style>{STYLE}</style></head><body>\
         <h1>What the simulator showed</h1><p>Each run's figures, by the name of its file. \
         Axes are logarithmic.</p>"
    );
    for curves in CURVES {
        out.push_str(&svg(curves.title, curves.x, curves.y, &series(runs, curves))?);
    }
    table(&mut out, runs);
    out.push_str("</body></html>\n");
    Ok(out)
}

fn series(runs: &[Run], curves: &Curves) -> Vec<Series> {
    let mut all: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let is_of = |run: &&Run| {
        run.name.split_once('-').map_or(run.name.as_str(), |(first, _)| first) == curves.scenario
    };
    for run in runs.iter().filter(is_of) {
        let (Some(x), Some(y)) = (run.number(curves.x), run.number(curves.y)) else { continue };
        let set = curves.by.iter().filter_map(|name| Some((name, run.number(name)?)));
        let words: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
        all.entry(words.join(" ")).or_default().push((x, y));
    }
    for points in all.values_mut() {
        points.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    }
    all.into_iter().map(|(name, points)| Series { name, points }).collect()
}

fn table(out: &mut String, runs: &[Run]) {
    let is_there = |figure: &&&str| runs.iter().any(|run| run.number(figure).is_some());
    let columns: Vec<&&str> = COLUMNS.iter().filter(is_there).collect();
    out.push_str("<h2>Runs</h2><table><tr><th>run</th>");
    for column in &columns {
        // Writing to a string cannot fail.
        let _ = write!(out, "<th>{column}</th>");
    }
    out.push_str("</tr>");
    let by_name: BTreeSet<(&str, usize)> =
        runs.iter().enumerate().map(|(at, run)| (run.name.as_str(), at)).collect();
    for (name, at) in by_name {
        let _ = write!(out, "<tr><td>{}</td>", escape(name));
        for column in &columns {
            let _ = match runs[at].number(column) {
                Some(number) if number.fract() == 0.0 => write!(out, "<td>{number}</td>"),
                Some(number) => write!(out, "<td>{number:.4}</td>"),
                None => write!(out, "<td></td>"),
            };
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_a_row_for_each_run_and_a_curve_for_each_setting() {
        let run = |name: &str, nodes: u32, k: u32, hops: f64| Run {
            name: name.to_owned(),
            figures: json!({"digest": "", "nodes": nodes, "k": k, "b": 1, "hops_mean": hops}),
        };
        let runs = [
            run("perfect-1000-8", 1_000, 8, 2.25),
            run("perfect-10000-8", 10_000, 8, 2.9),
            run("perfect-1000-20", 1_000, 20, 1.875),
            run("perfectly-other", 1_000, 9, 1.0),
        ];
        let page = html(&runs).unwrap();
        for part in ["perfect-1000-20", "1.8750", "k=8 b=1", "k=20 b=1", "Perfect tables: hops"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("k=9") && !page.contains("Colluders"), "no points, no plot");
        let lines = series(&runs, &CURVES[0]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].points, [(1_000.0, 2.25), (10_000.0, 2.9)]);
    }

    #[test]
    fn what_is_no_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        fs::write(&path, "{}").unwrap();
        let out = folder.path().join("page.html");
        let args = SimArgs { files: vec![path], out };
        let why = main(&args).unwrap_err();
        assert!(why.contains("note.json") && why.contains("kdht sim --json"), "{why}");
    }
}
