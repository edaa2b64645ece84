//! The counters of a running node.

use kdht::control::{self, Reply, Request};
use kdht::status::{Status, TableFill};

use super::Failure;
use super::args::StatArgs;
use super::show;

pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    let reply = control::ask(&args.control, &Request::Stat).map_err(Failure::failed)?;
    let Reply::Stat(status) = reply else {
        return Err(Failure::failed("the node answered something else"));
    };
    if args.json {
        let text = serde_json::to_string(&status).map_err(Failure::failed)?;
        show::line(&text);
    } else {
        lines_of(&status).iter().for_each(|text| show::line(text));
    }
    Ok(())
}

fn lines_of(status: &Status) -> Vec<String> {
    let mut lines = vec![format!("id {}", status.id), String::new()];
    lines.push(format!(
        "{:12}{:>14}{:>14}{:>14}{:>14}",
        "messages", "requests in", "replies out", "requests out", "replies in"
    ));
    let messages = &status.messages;
    for (kind, requests_in) in &messages.requests_in {
        let of = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.get(kind).copied().unwrap_or_default()
        };
        lines.push(format!(
            "{kind:12}{requests_in:>14}{:>14}{:>14}{:>14}",
            of(&messages.replies_out),
            of(&messages.requests_out),
            of(&messages.replies_in),
        ));
    }
    lines.push(String::new());
    lines.push(format!("refusals {}", status.refused_total()));
    for (reason, count) in status.refusals.iter().filter(|(_, count)| **count > 0) {
        lines.push(format!("  {reason:18}{count:>12}"));
    }
    for (code, count) in status.faults_in.iter().filter(|(_, count)| **count > 0) {
        lines.push(format!("  fault got: {code:7}{count:>12}"));
    }
    lines.push(format!("timeouts {}", status.timeouts));
    lines.push(String::new());
    lines.push(table_line("table v4", &status.table.v4));
    lines.push(table_line("table v6", &status.table.v6));
    let store = &status.store;
    lines.push(format!(
        "store     {} values under {} keys, {} of {} bytes; {} expired, {} evicted",
        store.values, store.keys, store.bytes, store.bytes_max, store.expired, store.evicted
    ));
    let datapath = &status.datapath;
    lines.push(format!(
        "datagrams {} in, {} out; {} + {} system calls; {} lost at the socket, {} not sent",
        datapath.datagrams_in,
        datapath.datagrams_out,
        datapath.receive_syscalls,
        datapath.send_syscalls,
        datapath.receive_overflow,
        datapath.send_errors
    ));
    lines
}

fn table_line(name: &str, fill: &TableFill) -> String {
    format!(
        "{name}  {} good, {} unverified, {} doubtful, {} stale in {} buckets; {} in reserve",
        fill.good, fill.unverified, fill.doubtful, fill.stale, fill.buckets, fill.replacements
    )
}
