//! `config show`: what is set, by whom, and what it means.

use serde_json::Value as Json;

use crate::daemon::{kdht, run, stderr, stdout};

#[test]
fn config_show_tells_each_setting_and_who_set_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("node.toml");
    std::fs::write(&file, "[node]\nk = 8\nalpha = 5\n[lookup]\npaths = 2\n").unwrap();
    let output = kdht()
        .env("KDHT_NODE_ALPHA", "6")
        .args(["config", "show", "--json", "--set", "node.b=3", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let all: Vec<Json> = serde_json::from_str(&stdout(&output)).unwrap();
    let of = |key: &str| all.iter().find(|setting| setting["key"] == key).expect("shown");
    let parts = |key: &str| {
        let set = of(key)["set"].as_str().unwrap().to_owned();
        (of(key)["value"].as_str().unwrap().to_owned(), set)
    };
    assert_eq!(parts("node.k").0, "8");
    assert!(parts("node.k").1.contains("node.toml"));
    assert_eq!(parts("node.alpha"), ("6".to_owned(), "in the environment".to_owned()));
    assert_eq!(parts("node.b"), ("3".to_owned(), "in a flag".to_owned()));
    assert_eq!(parts("lookup.paths").0, "2");
    assert_eq!(parts("caps.table"), ("10".to_owned(), "default".to_owned()));
    for setting in &all {
        for part in ["range", "reason"] {
            assert!(!setting[part].as_str().unwrap().is_empty(), "{setting}");
        }
    }
    let text = stdout(&run(home.path(), &["config", "show"]));
    assert_eq!(text.lines().count(), all.len());
    assert!(text.lines().any(|line| line.contains("node.k") && line.contains("1 to 20 contacts")));
}

#[test]
fn config_show_refuses_what_run_would_refuse() {
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["config", "show", "--set", "node.b=6"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("1 to 5"), "{}", stderr(&output));
}
