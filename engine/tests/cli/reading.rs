//! What a running node tells of itself.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value as Json;

use crate::daemon::{Daemon, run, stderr, stdout};
use crate::network::small_network;

#[test]
fn the_table_names_every_contact_with_its_standing() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 3, &[]);
    nodes[0].wait_until("two contacts", |stat| stat["table"]["v4"]["good"] == 2);
    let control = nodes[0].control();
    let table = run(home.path(), &["table", "--control", &control, "--json"]);
    let table: Json = serde_json::from_str(&stdout(&table)).unwrap();
    assert_eq!(table["id"], *nodes[0].id);
    assert_eq!(table["total"], 2);
    let members = table["members"].as_array().unwrap();
    let known: HashMap<&str, &Json> =
        members.iter().map(|member| (member["id"].as_str().unwrap(), member)).collect();
    for node in &nodes[1..] {
        let member = known[&*node.id];
        assert_eq!(member["endpoint"], node.addr.to_string());
        assert_eq!(member["liveness"], "good");
        assert_eq!(member["failures"], 0);
        assert_eq!(member["depth"], 0, "two contacts split no bucket");
        assert!(member["rtt_us"].as_u64().unwrap() > 0, "{member}");
        assert!(member["silent_s"].as_u64().unwrap() < 60, "{member}");
    }
    let shown = stdout(&run(home.path(), &["table", "--control", &control]));
    assert_eq!(shown.lines().count(), 3, "{shown}");
    for node in &nodes[1..] {
        let line = shown.lines().find(|line| line.starts_with(&node.id)).unwrap();
        assert!(line.contains("good") && line.ends_with(&node.addr.to_string()), "{line}");
    }
}

/// One line of samples: its name, its labels as written, its number.
fn sample(line: &str) -> (&str, &str, u64) {
    let (left, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match left.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
        None => (left, ""),
    };
    (name, labels, value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
}

#[test]
fn openmetrics_text_parses_line_by_line_and_says_what_the_json_says() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    for _ in 0..3 {
        assert!(run(home.path(), &["ping", &node.addr.to_string()]).status.success());
    }
    let control = node.control();
    let output = run(home.path(), &["stat", "--openmetrics", "--control", &control]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    let mut types: HashMap<&str, &str> = HashMap::new();
    let mut current = "";
    let mut seen: HashMap<(String, String), u64> = HashMap::new();
    for line in &lines[..lines.len() - 1] {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (what, name, rest) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match what {
                "TYPE" => {
                    assert!(types.insert(name, rest).is_none(), "twice: {line}");
                    assert!(["counter", "gauge", "info"].contains(&rest), "{line}");
                    current = name;
                }
                "UNIT" => assert!(name == current && name.ends_with(rest), "{line}"),
                "HELP" => assert!(name == current && !rest.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let suffix = match types[current] {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert_eq!(name, format!("{current}{suffix}"), "{line}");
        for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
            let (label, quoted) = pair.split_once('=').unwrap();
            assert!(label.chars().all(|c| c.is_ascii_lowercase()), "{line}");
            assert!(quoted.starts_with('"') && quoted.ends_with('"'), "{line}");
        }
        assert!(seen.insert((name.to_owned(), labels.to_owned()), value).is_none(), "{line}");
    }
    let stat = node.stat();
    let pings = seen[&("kdht_request_in_messages_total".into(), "kind=\"ping\"".into())];
    assert_eq!((pings, &stat["messages"]["requests_in"]["ping"]), (3, &Json::from(3)));
    let refused = seen.keys().filter(|(name, _)| name == "kdht_refused_messages_total");
    let reasons: HashSet<String> = refused.map(|(_, labels)| labels.clone()).collect();
    let wanted = stat["refusals"].as_object().unwrap().keys();
    assert_eq!(reasons, wanted.map(|reason| format!("reason=\"{reason}\"")).collect());
    let shown = stdout(&run(home.path(), &["stat", "--control", &control]));
    let line = shown.lines().find(|line| line.trim_start().starts_with("requests in")).unwrap();
    assert!(line.contains("ping 3"), "{line}");
}

#[test]
fn a_control_socket_refuses_what_it_does_not_know_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &[]);
    for (line, part) in [
        ("", "not a request"),
        ("{}", "not a request"),
        ("{\"command\":\"dance\"}", "not a request"),
        ("{\"command\":\"stat\",\"fast\":true}", "not a request"),
        ("{\"command\":\"drain\",\"timeout_s\":4294967295}", "0 to 3600"),
        ("{\"command\":\"log\",\"filter\":\"loud\"}", "loud"),
        ("\u{0}\u{1}", "not a request"),
    ] {
        let mut stream = UnixStream::connect(node.control()).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        let reply: Json = serde_json::from_str(&reply).unwrap();
        assert!(reply["error"].as_str().unwrap().contains(part), "{line}: {reply}");
    }
    let idle: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(node.control()).unwrap()).collect();
    drop(idle);
    node.wait_until("an answer", |stat| stat["id"] == *node.id);
}
