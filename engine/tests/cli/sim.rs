//! `kdht sim`: figures, replays and mistakes.

use std::process::Output;

use serde_json::Value as Json;

use crate::daemon::{run, stderr, stdout};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sim/scenarios");

fn sim(home: &std::path::Path, scenario: &str, words: &[&str]) -> Output {
    let path = format!("{SCENARIOS}/{scenario}.toml");
    let words: Vec<&str> = ["sim", &path].into_iter().chain(words.iter().copied()).collect();
    run(home, &words)
}

#[test]
fn a_run_prints_its_figures_and_gives_the_same_ones_again() {
    let home = tempfile::tempdir().unwrap();
    let report = home.path().join("report.json");
    let report = report.to_str().unwrap();
    let small = ["--seed", "4", "--set", "nodes=60", "--set", "lookups.count=10", "--json"];
    let with_report: Vec<&str> = small.iter().copied().chain(["--report", report]).collect();
    let first = sim(home.path(), "perfect", &with_report);
    assert!(first.status.success(), "{}", stderr(&first));
    let figures: Json = serde_json::from_str(&stdout(&first)).unwrap();
    for name in [
        "seed",
        "nodes",
        "k",
        "alpha",
        "b",
        "lookups",
        "hops_mean",
        "hops_p99",
        "rounds_mean",
        "messages_mean",
        "closest_found",
        "overlap_k",
        "values_lost",
        "bytes_per_node",
        "digest",
        "elapsed_s",
    ] {
        assert!(figures.get(name).is_some(), "{name} is missing");
    }
    assert_eq!((figures["seed"].as_u64(), figures["nodes"].as_u64()), (Some(4), Some(60)));
    let again: Json = serde_json::from_str(&stdout(&sim(home.path(), "perfect", &small))).unwrap();
    assert_eq!(again["digest"], figures["digest"]);
    let report: Json = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(10));
    assert_eq!(report["figures"]["digest"], figures["digest"]);
}

#[test]
fn a_seed_has_the_same_digest_alone_and_among_many_however_many_run_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let small = ["--set", "nodes=60", "--set", "lookups.count=10", "--json"];
    let digests = |words: &[&str]| -> Vec<String> {
        let run = sim(home.path(), "perfect", &[&small[..], words].concat());
        assert!(run.status.success(), "{}", stderr(&run));
        let figures = stdout(&run);
        let lines = figures.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let mut seeds: Vec<(u64, String)> = lines
            .map(|line| (line["seed"].as_u64().unwrap(), line["digest"].to_string()))
            .collect();
        seeds.sort();
        seeds.into_iter().map(|(_, digest)| digest).collect()
    };
    let alone: Vec<String> =
        ["5", "6", "7", "8"].into_iter().flat_map(|seed| digests(&["--seed", seed])).collect();
    for jobs in ["1", "2", "4"] {
        let many = digests(&["--seed", "5", "--seeds", "4", "--jobs", jobs]);
        assert_eq!(many, alone, "{jobs} at a time");
    }
    let refused = sim(home.path(), "perfect", &["--jobs", "2"]);
    assert_eq!(refused.status.code(), Some(2), "--jobs means nothing without --seeds");
    assert!(stderr(&refused).contains("--seeds"), "{}", stderr(&refused));
}

#[test]
fn a_line_that_fails_exits_with_1_and_the_command_that_shows_it_again() {
    let home = tempfile::tempdir().unwrap();
    let expect = "expect=[\"hops_mean > 40\"]";
    let words = ["--seed", "9", "--set", "nodes=40", "--set", expect];
    let failed = sim(home.path(), "perfect", &words);
    assert_eq!(failed.status.code(), Some(1));
    let said = stderr(&failed);
    assert!(said.contains("hops_mean > 40") && said.contains("--seed 9"), "{said}");
    assert!(said.contains(&format!("--set '{expect}'")), "{said}");
    let many = sim(home.path(), "perfect", &[&words[..], &["--seeds", "3"]].concat());
    assert_eq!(many.status.code(), Some(1));
    let said = stderr(&many);
    assert!((9..12).all(|seed| said.contains(&format!("--seed {seed}"))), "{said}");
}

#[test]
fn a_wrong_scenario_exits_with_2_and_names_the_key() {
    let home = tempfile::tempdir().unwrap();
    for (word, part) in [
        ("nodes=1", "nodes must be 2 to 1000000, not 1"),
        ("node.speed=1", "node.speed"),
        ("latency.mean=1", "mean_ms"),
        ("loss=2", "loss must be 0 to 0.95"),
        ("nodes", "KEY=VALUE"),
    ] {
        let refused = sim(home.path(), "perfect", &["--set", word]);
        assert_eq!(refused.status.code(), Some(2), "{word}");
        assert!(stderr(&refused).contains(part), "{word}: {}", stderr(&refused));
    }
    let missing = sim(home.path(), "nothing", &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("nothing.toml"));
}
