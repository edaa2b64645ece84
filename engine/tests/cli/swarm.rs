//! The swarm, and what it says of itself.

use std::process::Command;

use serde_json::Value as Json;

use crate::daemon::{run, stdout, without_settings};

#[test]
fn a_swarm_finds_every_value_and_refuses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let args = ["swarm", "--nodes", "32", "--values", "200", "--seed", "5", "--json"];
    let output = run(home.path(), &args);
    let report: Json = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(output.status.success(), "{output:?}");
    let whole = ("nodes", "values", "stored", "found", "killed", "refusals");
    let read = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((read(whole.0), read(whole.1), read(whole.2)), (32, 200, 200), "{report}");
    assert_eq!((read(whole.3), read(whole.4), read(whole.5)), (200, 0, 0), "{report}");
    let mut names: Vec<&String> = report.as_object().unwrap().keys().collect();
    names.sort();
    let mut wanted = vec![
        "nodes",
        "values",
        "stored",
        "found",
        "killed",
        "hops_mean",
        "hops_p99",
        "latency_us_p50",
        "latency_us_p99",
        "datagrams",
        "packets",
        "refusals",
        "elapsed_s",
    ];
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}

#[test]
fn a_swarm_survives_the_death_of_a_quarter() {
    let home = tempfile::tempdir().unwrap();
    let args = ["swarm", "--nodes", "64", "--values", "300", "--kill", "0.25", "--json"];
    let output = run(home.path(), &args);
    let report: Json = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["killed"], 16, "{report}");
    assert!(report["found"].as_u64().unwrap() >= 299, "{report}");
}

#[test]
fn a_swarm_restarted_node_by_node_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let args = ["swarm", "--nodes", "24", "--values", "60", "--roll", "--json"];
    let output = run(home.path(), &args);
    let report: Json = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["found"], 60, "{report}");
}

/// In a network namespace of its own, where nobody else sends; without the right to make
/// one, the host's counter may have grown by others' datagrams too.
#[test]
fn a_swarm_s_packets_are_those_that_the_host_counted() {
    let script = "ip link set lo up || exit 9; grep '^Udp:' /proc/net/snmp | tail -1 >&2; \
                  \"$0\" swarm --nodes 16 --values 50 --kill 0.25 --json; \
                  grep '^Udp:' /proc/net/snmp | tail -1 >&2";
    let binary = env!("CARGO_BIN_EXE_kdht");
    let mut alone = Command::new("unshare");
    without_settings(&mut alone);
    let alone = alone.args(["-n", "sh", "-c", script, binary]).output();
    let alone = alone.ok().filter(|output| !output.stdout.is_empty());
    let is_alone = alone.is_some();
    let output = alone.unwrap_or_else(|| {
        let script = script.replace("ip link set lo up || exit 9; ", "");
        Command::new("sh").args(["-c", &script, binary]).output().unwrap()
    });
    let report: Json = serde_json::from_str(&stdout(&output)).unwrap();
    let sent: Vec<u64> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| line.strip_prefix("Udp: ")?.split(' ').nth(3)?.parse().ok())
        .collect();
    let grown = sent[1] - sent[0];
    let packets = report["packets"].as_u64().unwrap();
    if is_alone {
        assert_eq!(grown, packets);
    } else {
        assert!(grown >= packets, "the host sent {grown}, the swarm says {packets}");
    }
    let datagrams = report["datagrams"].as_u64().unwrap();
    assert!((packets..2 * packets).contains(&datagrams), "{datagrams} as {packets}");
}
