//! Overload as it is called, with as few slices as there can be.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::process::Command;

use serde_json::Value as Json;

/// An echo stands in the candidate's place: the command `kdht` is another package's, and need
/// not be built.
#[test]
fn each_result_is_void_or_offered_twice_the_best_and_names_what_was_dropped() {
    if kdht::io::allowed_cpus().as_slice().len() < 2 {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("report");
    let bench = env!("CARGO_BIN_EXE_kdht-bench");
    let ran = Command::new(bench)
        .args(["overload", "--pairs", "2", "--slice-ms", "20", "--own", "none", "--json"])
        .args(["--kdht", bench, "--out"])
        .arg(&out)
        .arg("--candidate")
        .arg(format!("other:bare='{bench}' echo --reply-bytes 892 --core {{core}}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let told: Json = serde_json::from_slice(&ran.stdout).unwrap();
    let results = told["overloaded"].as_array().unwrap();
    assert!(results.iter().any(|result| result["candidate"] == "other"), "{said}");
    let mut has_void = false;
    for result in results {
        let number = |name: &str| result[name].as_u64().unwrap();
        let is_void = result["offered_ratio"].as_f64().unwrap() < 2.0;
        assert_eq!(result["is_void"], is_void, "{result}");
        has_void |= is_void;
        assert_ne!(result["verdict"], "met", "two slices decide nothing");
        assert!(number("answered") > 0 && number("resident_before_kib") > 0, "{result}");
        let dropped: u64 = result["drops"]
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum();
        assert!(number("answered") + dropped + number("unnamed") >= number("sent"), "{result}");
    }
    assert_eq!(ran.status.success(), !has_void, "{said}");
    for name in ["overload.json", "env.json", "repeat.sh"] {
        assert!(out.join(name).exists(), "{name}");
    }
}
