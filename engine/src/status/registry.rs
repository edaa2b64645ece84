//! The one table of what a node counts: `kdht stat`, its OpenMetrics text and METRICS.md
//! are all made from [`METRICS`] and a [`Status`].

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value as Json;

use super::Status;

/// One thing that is counted or measured.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Where it stands in a [`Status`] as JSON, names joined by dots. At each `*` stands
    /// the value of a label.
    pub path: &'static str,
    /// Its OpenMetrics name; a counter's samples have `_total` behind it.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// What one of it is; the name ends with it. Empty for [`MetricKind::Info`].
    pub unit: &'static str,
    /// A label for each `*` of the path.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// How a metric moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows, from the node's start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A text, or several with commas between them, that hardly ever changes; it is the
    /// value of a label of the path's name.
    Info,
}

/// One number of a metric.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sample {
    /// A value for each of the metric's labels.
    pub labels: Vec<String>,
    /// The number.
    pub value: u64,
}

/// Lists metrics, one a line: path, name, kind, unit, labels, help.
macro_rules! metrics {
    ($($path:literal, $name:literal, $kind:ident, $unit:literal, $labels:expr, $help:literal;)*) => {
        &[$(Metric {
            path: $path,
            name: $name,
            kind: MetricKind::$kind,
            unit: $unit,
            labels: &$labels,
            help: $help,
        }),*]
    };
}

/// Every metric, in the order of [`Status`].
#[rustfmt::skip]
pub const METRICS: &[Metric] = metrics![
    "id", "kdht_node", Info, "", [], "The node's id";
    "unix_s", "kdht_clock_seconds", Gauge, "seconds", [], "When this was read: seconds since 1970, modulo 2^32";
    "advertise", "kdht_advertise", Info, "", [], "The node's own endpoints, as it was told";
    "observed", "kdht_observed", Info, "", [], "Where others see the node";
    "routing", "kdht_routing", Info, "", [], "Who routes: user or kernel";
    "messages.requests_in.*", "kdht_request_in_messages", Counter, "messages", ["kind"], "Requests got that were served or refused by name";
    "messages.requests_out.*", "kdht_request_out_messages", Counter, "messages", ["kind"], "Requests sent";
    "messages.replies_in.*", "kdht_reply_in_messages", Counter, "messages", ["kind"], "Replies got that matched a request";
    "messages.replies_out.*", "kdht_reply_out_messages", Counter, "messages", ["kind"], "Replies sent";
    "refusals.*", "kdht_refused_messages", Counter, "messages", ["reason"], "Datagrams and requests that were not served";
    "forwarded", "kdht_forwarded_messages", Counter, "messages", [], "Requests of others passed on to a node closer to their targets";
    "faults_in.*", "kdht_fault_in_messages", Counter, "messages", ["code"], "FAULTs got in answer to requests";
    "timeouts", "kdht_timeout_requests", Counter, "requests", [], "Requests sent that were never answered";
    "values_unproven", "kdht_unproven_values", Counter, "values", [], "Values in replies that did not prove themselves";
    "contacts_unreachable", "kdht_unreachable_contacts", Counter, "contacts", [], "Contacts in replies that cannot be sent to";
    "signatures.verified", "kdht_verified_signatures", Counter, "signatures", [], "Signatures of values verified, whatever came of it";
    "signatures.refused", "kdht_unverified_messages", Counter, "messages", [], "STOREs and replies whose signatures were not verified apart, as too many waited or it took too long";
    "signatures.parked", "kdht_parked_messages", Gauge, "messages", [], "STOREs and replies that wait for their signatures to be verified";
    "signatures.parked_max", "kdht_most_parked_messages", Gauge, "messages", [], "The most STOREs and replies that ever waited for it";
    "outages", "kdht_own_outages", Counter, "outages", [], "Outages of the node's own network that ended";
    "failures_forgiven", "kdht_forgiven_failures", Counter, "failures", [], "Failures of contacts not counted, since nothing at all came in";
    "maintenance.refreshes", "kdht_refresh_lookups", Counter, "lookups", [], "Lookups of ranges in which nothing was looked up for long";
    "maintenance.republishes", "kdht_republished_values", Counter, "values", [], "Values stored anew at the closest nodes, for what remained of their lives";
    "maintenance.handovers", "kdht_handed_over_values", Counter, "values", [], "Values handed to newcomers that are closer to their keys";
    "maintenance.newcomers_missed", "kdht_missed_newcomers", Counter, "newcomers", [], "Newcomers too many at once to be handed anything before the republish";
    "table.*.buckets", "kdht_table_buckets", Gauge, "buckets", ["family"], "Buckets of the routing table";
    "table.*.good", "kdht_table_good_contacts", Gauge, "contacts", ["family"], "Contacts that are told to others";
    "table.*.unverified", "kdht_table_unverified_contacts", Gauge, "contacts", ["family"], "Contacts that never answered";
    "table.*.doubtful", "kdht_table_doubtful_contacts", Gauge, "contacts", ["family"], "Contacts that failed 1 to 4 times in a row";
    "table.*.stale", "kdht_table_stale_contacts", Gauge, "contacts", ["family"], "Contacts that failed 5 times in a row or more";
    "table.*.replacements", "kdht_table_replacement_contacts", Gauge, "contacts", ["family"], "Contacts in replacement caches";
    "table.*.refused.*", "kdht_table_refused_contacts", Counter, "contacts", ["family", "limit"], "Contacts that the table did not keep";
    "store.keys", "kdht_store_keys", Gauge, "keys", [], "Keys that values are held under";
    "store.values", "kdht_store_values", Gauge, "values", [], "Values held";
    "store.bytes", "kdht_store_bytes", Gauge, "bytes", [], "Bytes held, each value charged its overhead too";
    "store.bytes_max", "kdht_store_capacity_bytes", Gauge, "bytes", [], "Bytes that may be held";
    "store.expired", "kdht_store_expired_values", Counter, "values", [], "Values dropped because they expired";
    "store.evicted", "kdht_store_evicted_values", Counter, "values", [], "Values dropped to make room for closer ones";
    "drain.handed", "kdht_drain_handed_values", Counter, "values", [], "Values handed to others by a node that leaves";
    "drain.kept", "kdht_drain_kept_values", Counter, "values", [], "Values that nobody took from a node that leaves";
    "datapath.datagrams_in", "kdht_datapath_in_datagrams", Counter, "datagrams", [], "Datagrams received";
    "datapath.datagrams_out", "kdht_datapath_out_datagrams", Counter, "datagrams", [], "Datagrams that the kernel accepted for sending";
    "datapath.packets_out", "kdht_datapath_out_packets", Counter, "packets", [], "What datagrams were sent as: several to one peer may leave as one";
    "datapath.runs_refused", "kdht_datapath_refused_runs", Counter, "runs", [], "Times that several datagrams could not leave as one";
    "datapath.bytes_in", "kdht_datapath_in_bytes", Counter, "bytes", [], "Bytes of UDP payload received";
    "datapath.bytes_out", "kdht_datapath_out_bytes", Counter, "bytes", [], "Bytes of UDP payload sent";
    "datapath.receive_syscalls", "kdht_datapath_receive_syscalls", Counter, "syscalls", [], "System calls to receive";
    "datapath.send_syscalls", "kdht_datapath_send_syscalls", Counter, "syscalls", [], "System calls to send";
    "datapath.receive_overflow", "kdht_datapath_overflow_datagrams", Counter, "datagrams", [], "Datagrams that the kernel dropped since the receive buffer was full";
    "datapath.receive_starved", "kdht_datapath_starved_receives", Counter, "receives", [], "Times that io_uring had no buffer left to receive into";
    "datapath.send_errors", "kdht_datapath_unsent_datagrams", Counter, "datagrams", [], "Datagrams that could not be sent";
    "streams.accepted", "kdht_stream_accepted_connections", Counter, "connections", [], "TCP connections accepted";
    "streams.connections", "kdht_stream_open_connections", Gauge, "connections", [], "TCP connections of others that are open";
    "streams.asks", "kdht_stream_out_requests", Counter, "requests", [], "Requests sent by TCP";
    "streams.asks_failed", "kdht_stream_failed_requests", Counter, "requests", [], "Requests sent by TCP that brought no reply";
    "streams.messages_in", "kdht_stream_in_messages", Counter, "messages", [], "Whole messages received by TCP";
    "streams.messages_out", "kdht_stream_out_messages", Counter, "messages", [], "Whole messages sent by TCP";
    "streams.bytes_in", "kdht_stream_in_bytes", Counter, "bytes", [], "Bytes received by TCP";
    "streams.bytes_out", "kdht_stream_out_bytes", Counter, "bytes", [], "Bytes sent by TCP";
    "streams.buffers", "kdht_stream_used_buffers", Gauge, "buffers", [], "Large buffers in use";
    "streams.accept_errors", "kdht_stream_unaccepted_connections", Counter, "connections", [], "TCP connections that the host could not hand over";
    "streams.cut.*", "kdht_stream_cut_connections", Counter, "connections", ["cause"], "TCP connections cut or not taken";
    "operations", "kdht_running_operations", Gauge, "operations", [], "Commands and recursions under way";
    "mesh.handed_over", "kdht_mesh_handed_datagrams", Counter, "datagrams", [], "Datagrams that came to one shard and were handed to another";
    "mesh.lost", "kdht_mesh_lost_datagrams", Counter, "datagrams", [], "Datagrams lost between shards since too many were under way";
    "mesh.retold", "kdht_mesh_retold_shards", Counter, "shards", [], "Times that a shard lost notes of another and was told anew";
    "shards.*", "kdht_shard_in_datagrams", Counter, "datagrams", ["shard"], "Datagrams handled by a shard";
    "kernel.datagrams_in", "kdht_kernel_in_datagrams", Counter, "datagrams", [], "Datagrams that came to the kernel module, passed ones too";
    "kernel.datagrams_out", "kdht_kernel_out_datagrams", Counter, "datagrams", [], "Datagrams that the kernel module sent";
    "kernel.bytes_in", "kdht_kernel_in_bytes", Counter, "bytes", [], "Bytes of UDP payload that came to the kernel module";
    "kernel.bytes_out", "kdht_kernel_out_bytes", Counter, "bytes", [], "Bytes of UDP payload that the kernel module sent";
    "kernel.passed", "kdht_kernel_passed_datagrams", Counter, "datagrams", [], "Datagrams that the kernel module passed to the engine";
    "kernel.sockets", "kdht_kernel_attached_sockets", Gauge, "sockets", [], "Sockets that the kernel module is attached to";
    "kernel.values_bytes", "kdht_kernel_values_bytes", Gauge, "bytes", [], "Bytes of values that the kernel module may answer with";
    "kernel.filters_complete", "kdht_kernel_complete_filters", Gauge, "filters", [], "One while the kernel module answers for keys that nothing is held under";
];

impl Metric {
    /// The name of its samples.
    #[must_use]
    pub fn sample_name(&self) -> String {
        let end = match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Gauge => "",
            MetricKind::Info => "_info",
        };
        format!("{}{end}", self.name)
    }

    /// An info's text in a [`Status`] as JSON; empty where there is none.
    #[must_use]
    pub fn text(&self, status: &Json) -> String {
        match &status[self.path] {
            Json::String(text) => text.clone(),
            Json::Array(texts) => {
                let texts: Vec<&str> = texts.iter().filter_map(Json::as_str).collect();
                texts.join(", ")
            }
            _ => String::new(),
        }
    }

    /// Its numbers in a [`Status`] as JSON, in the order of their labels; none of an info.
    #[must_use]
    pub fn samples(&self, status: &Json) -> Vec<Sample> {
        let mut found = Vec::new();
        let steps: Vec<&str> = self.path.split('.').collect();
        walk(status, &steps, &mut Vec::new(), &mut found);
        found
    }
}

fn walk(at: &Json, steps: &[&str], labels: &mut Vec<String>, found: &mut Vec<Sample>) {
    match steps {
        [] => {
            let sample = |value| Sample { labels: labels.clone(), value };
            found.extend(at.as_u64().map(sample));
        }
        ["*", rest @ ..] => {
            for (label, inner) in at.as_object().into_iter().flatten() {
                labels.push(label.clone());
                walk(inner, rest, labels, found);
                labels.pop();
            }
        }
        [name, rest @ ..] => walk(&at[*name], rest, labels, found),
    }
}

/// A status as OpenMetrics 1.0 text.
///
/// # Errors
/// None in practice: a [`Status`] is always JSON.
pub fn openmetrics(status: &Status) -> Result<String, serde_json::Error> {
    let status = serde_json::to_value(status)?;
    let mut text = String::new();
    for metric in METRICS {
        let (name, sample_name) = (metric.name, metric.sample_name());
        let kind = metric.kind.name();
        let _ = writeln!(text, "# TYPE {name} {kind}");
        if !metric.unit.is_empty() {
            let _ = writeln!(text, "# UNIT {name} {}", metric.unit);
        }
        let _ = writeln!(text, "# HELP {name} {}", metric.help);
        if metric.kind == MetricKind::Info {
            let value = escaped(&metric.text(&status));
            let _ = writeln!(text, "{sample_name}{{{}=\"{value}\"}} 1", metric.path);
        }
        for sample in metric.samples(&status) {
            let pair = |(name, value): (&&str, &String)| format!("{name}=\"{}\"", escaped(value));
            let pairs: Vec<String> = metric.labels.iter().zip(&sample.labels).map(pair).collect();
            let labels =
                if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
            let _ = writeln!(text, "{sample_name}{labels} {}", sample.value);
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// METRICS.md: the table, with the values that labels have in `status`.
///
/// # Errors
/// None in practice: a [`Status`] is always JSON.
pub fn markdown(status: &Status) -> Result<String, serde_json::Error> {
    let status = serde_json::to_value(status)?;
    let mut text = String::from(
        "# What a node counts\n\n\
         Made from `METRICS` in `src/status/registry.rs`; `BLESS=1 cargo test -p kdht metrics`\n\
         writes it anew. `kdht stat --openmetrics` prints all of it, `kdht stat --json` under\n\
         the names of the last column. Counters grow from the node's start.\n\n\
         | name | kind | unit | tells | in JSON |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let (name, kind, unit) = (metric.sample_name(), metric.kind.name(), metric.unit);
        let labels = match metric.labels {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let (help, path) = (metric.help, metric.path);
        let _ = writeln!(text, "| `{name}{labels}` | {kind} | {unit} | {help} | `{path}` |");
    }
    text.push_str("\n## Values of the labels\n\n");
    let mut told: Vec<&str> = Vec::new();
    for metric in METRICS.iter().filter(|metric| !metric.labels.is_empty()) {
        for (at, label) in metric.labels.iter().enumerate() {
            if !told.contains(label) {
                told.push(label);
                let samples = metric.samples(&status);
                let values: BTreeSet<_> =
                    samples.iter().map(|s| format!("`{}`", s.labels[at])).collect();
                let values: Vec<_> = values.into_iter().collect();
                let _ = writeln!(text, "- `{label}`: {}", values.join(", "));
            }
        }
    }
    Ok(text)
}

impl MetricKind {
    /// Its name in OpenMetrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// A label's value as OpenMetrics quotes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosted::Hosted;
    use crate::io::DatapathCounters;
    use crate::mesh::MeshCounters;
    use kdht_core::{Config, Nanos, Node, Now};
    use kdht_wire::Id;

    fn fresh() -> Status {
        let now = Now { mono: Nanos(0), unix_s: 7 };
        let node = Node::new(Id([0xab; 20]), Config::default(), [1; 16], now);
        let node = Hosted::from(node);
        let (datapath, mesh) = (DatapathCounters::default(), MeshCounters::default());
        Status::of(&node, &datapath, mesh, now).with_host(&node)
    }

    /// The path of every number in a JSON tree.
    fn numbers(at: &Json, path: &str, found: &mut Vec<String>) {
        match at {
            Json::Object(object) => {
                for (name, inner) in object {
                    numbers(inner, &format!("{path}.{name}"), found);
                }
            }
            Json::Number(_) => found.push(path.trim_start_matches('.').to_owned()),
            _ => {}
        }
    }

    #[test]
    fn each_number_of_a_status_has_one_metric() {
        let status = serde_json::to_value(fresh()).unwrap();
        let mut wanted = Vec::new();
        numbers(&status, "", &mut wanted);
        wanted.sort();
        let mut covered = Vec::new();
        for metric in METRICS {
            for sample in metric.samples(&status) {
                let mut labels = sample.labels.into_iter();
                let steps = metric.path.split('.').map(|step| match step {
                    "*" => labels.next().unwrap(),
                    name => name.to_owned(),
                });
                covered.push(steps.collect::<Vec<_>>().join("."));
            }
        }
        covered.sort();
        assert_eq!(covered, wanted);
    }

    #[test]
    fn names_are_lowercase_end_with_their_unit_and_stand_once() {
        for metric in METRICS {
            let name = metric.name;
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.starts_with("kdht_") && name.chars().all(legal), "{name}");
            assert!(name.ends_with(metric.unit) && !metric.help.is_empty(), "{name}");
            assert_eq!(METRICS.iter().filter(|other| other.name == name).count(), 1, "{name}");
            assert_eq!(metric.path.matches('*').count(), metric.labels.len(), "{name}");
        }
    }

    #[test]
    fn metrics_md_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        let made = markdown(&fresh()).unwrap();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(kept, made, "run this test with BLESS=1 to write METRICS.md anew");
    }

    #[test]
    fn label_values_are_quoted() {
        let mut status = fresh();
        status.refusals = [("a\"b\\c\nd".to_owned(), 3)].into();
        let text = openmetrics(&status).unwrap();
        let line = r#"kdht_refused_messages_total{reason="a\"b\\c\nd"} 3"#;
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}
