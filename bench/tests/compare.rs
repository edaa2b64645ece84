//! A comparison as it is called, with as few slices as there can be: what it leaves is whole.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;

use serde_json::Value as Json;

/// Echoes alone, one of them in the candidate's place: the command `kdht` is another package's,
/// and need not be built.
#[test]
fn a_short_comparison_leaves_a_whole_report() {
    if kdht::io::allowed_cpus().as_slice().len() < 2 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("report");
    let bench = env!("CARGO_BIN_EXE_kdht-bench");
    let candidate = format!("other:bare='{bench}' echo --reply-bytes 892 --core {{core}}");
    let ran = Command::new(bench)
        .args(["compare", "--quick", "--pairs", "2", "--slice-ms", "20", "--window", "1,4"])
        .args(["--own", "none", "--json", "--kdht", bench])
        .arg("--out")
        .arg(&out)
        .arg("--candidate")
        .arg(&candidate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    // So few slices may well differ between two of the same.
    assert!(ran.status.success() || said.contains("invalid:"), "{said}");
    let told: Json = serde_json::from_slice(&ran.stdout).unwrap();
    let cells = told["cells"].as_array().unwrap();
    for (window, name) in [(1, "other"), (4, "other"), (1, "echo-mmsg-block")] {
        let cell = cells.iter().find(|c| c["candidate"] == name && c["window"] == window);
        let cell = cell.unwrap_or_else(|| panic!("no {name} at {window}: {said}"));
        assert_eq!((&cell["slices"], &cell["wrong"]), (&Json::from(2), &Json::from(0)));
        assert_eq!(cell["reply_bytes"], 892);
        assert!(cell["rate"].as_f64().unwrap() > 0.0 && cell["p50_us"].is_f64());
        assert_ne!(cell["verdict"], "met", "two slices decide nothing");
    }
    let raw = std::fs::read_to_string(out.join("raw.jsonl")).unwrap();
    assert_eq!(raw.lines().count(), 2 * cells.len());
    for line in raw.lines() {
        let slice: Json = serde_json::from_str(line).unwrap();
        assert!(slice["turn_ns"].as_u64().unwrap() >= 20_000_000, "{line}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for part in ["<svg", "throughput", "CPU of the server", "percentile", "other", "Quick"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs another file");
    for name in ["env.json", "cells.json", "repeat.sh", "hdr/other-w4.hgrm"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let repeat = std::fs::read_to_string(out.join("repeat.sh")).unwrap();
    assert!(repeat.contains("--pairs 2") && repeat.contains("{core}"), "{repeat}");
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_to_do() {
    let bench = env!("CARGO_BIN_EXE_kdht-bench");
    for (words, why) in [
        (&["--server-core", "0", "--generator-core", "0"][..], "--server-core"),
        (&["--kdht", "/nowhere/kdht"], "cargo build --release"),
        (&["--window", "0", "--kdht", bench], "--window"),
        (&["--table", "round", "--kdht", bench], "wide or kbucket"),
    ] {
        let ran = Command::new(bench).arg("compare").args(words).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(why), "{words:?}: {said}");
    }
}
