//! The counters of a running node.

use std::path::Path;

use kdht::control::{self, Reply, Request};
use kdht::status::{METRICS, Metric, MetricKind, Status, openmetrics};
use serde_json::Value as Json;

use super::Failure;
use super::args::StatArgs;
use super::operate::something_else;
use super::show;

/// Columns of a name.
const NAME_LEN: usize = 22;
/// Columns of a line that names several numbers.
const LINE_LEN: usize = 100;

pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    let status = status_of(&args.control.path)?;
    if args.openmetrics {
        show::bytes(openmetrics(&status).map_err(Failure::failed)?.as_bytes());
        return Ok(());
    }
    show_status(&status, args.control.json)
}

pub(crate) fn status_of(control: &Path) -> Result<Box<Status>, Failure> {
    match control::ask(control, &Request::Stat {}).map_err(Failure::failed)? {
        Reply::Stat(status) => Ok(status),
        _ => Err(something_else()),
    }
}

pub(crate) fn show_status(status: &Status, json: bool) -> Result<(), Failure> {
    if json {
        show::line(&serde_json::to_string(status).map_err(Failure::failed)?);
    } else {
        let status = serde_json::to_value(status).map_err(Failure::failed)?;
        lines_of(&status).iter().for_each(|text| show::line(text));
    }
    Ok(())
}

/// Every metric in its place: under a heading if its path has one.
fn lines_of(status: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heading = "";
    for metric in METRICS {
        // A label alone behind a dot is no name.
        let (group, name) = match metric.path.split_once('.') {
            Some((name, "*")) => ("", name),
            Some((group, name)) => (group, name.trim_matches(['*', '.'])),
            None => ("", metric.path),
        };
        if group != heading {
            heading = group;
            if !group.is_empty() {
                lines.push(group.to_owned());
            }
        }
        let indent = if group.is_empty() { "" } else { "  " };
        let name = format!("{indent}{}", name.replace('_', " "));
        lines.extend(metric_lines(metric, &name, status));
    }
    lines
}

/// A metric's number, or its total and what is not zero of it by label.
fn metric_lines(metric: &Metric, name: &str, status: &Json) -> Vec<String> {
    if metric.kind == MetricKind::Info {
        let text = metric.text(status);
        let text = if text.is_empty() { "-" } else { text.as_str() };
        return vec![format!("{name:NAME_LEN$}{text}")];
    }
    let samples = metric.samples(status);
    let total: u64 = samples.iter().map(|sample| sample.value).sum();
    let mut lines = vec![format!("{name:NAME_LEN$}{total:>12}")];
    if metric.labels.is_empty() {
        return lines;
    }
    for sample in samples.iter().filter(|sample| sample.value > 0) {
        let word = format!("{} {}", sample.labels.join(" "), sample.value);
        let line = lines.last_mut().map(|line| (line.chars().count(), line));
        match line {
            Some((len, line)) if len + word.len() + 2 <= LINE_LEN => {
                line.push_str("  ");
                line.push_str(&word);
            }
            _ => lines.push(format!("{:width$}{word}", "", width = NAME_LEN + 14)),
        }
    }
    lines
}
