//! `put --keep`: the publisher's part of republishing.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::daemon::{Daemon, kdht, run, stderr, stdout};

#[test]
fn a_kept_value_is_stored_again_and_again_until_the_publisher_is_interrupted() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("node"), &[]);
    let via = node.addr.to_string();
    for (name, words) in [("signed", &["kept", "value"][..]), ("immutable", &["fixed"][..])] {
        let mut command = kdht();
        command.env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path());
        command.arg("put").args(words).args(["--json", "--keep", "--lifetime", "2", "--via", &via]);
        if name == "immutable" {
            command.arg("--immutable");
        }
        let mut keeper = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        // The first put, and two more that came by themselves.
        let said: Vec<Json> =
            lines.take(3).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        assert!(said.iter().all(|put| put["acknowledged"] == 1), "{name}: {said:?}");
        assert!(said.iter().all(|put| put["key"] == said[0]["key"]), "{name}: {said:?}");
        let pid = rustix::process::Pid::from_child(&keeper);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(keeper.wait().unwrap().code(), Some(0), "{name}");
    }
    let refused = node.refused("sequence");
    assert_eq!(refused, 0, "each put of the signed value has a higher sequence");
}

#[test]
fn what_would_be_the_same_each_time_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    for flag in [&["--sequence", "5"][..], &["--cas", "5"], &["--recurse"]] {
        let put = &["put", "a", "b", "--keep", "--via", "127.0.0.1:1"][..];
        let output = run(home.path(), &[put, flag].concat());
        assert_eq!(output.status.code(), Some(2), "{flag:?}: {output:?}");
        assert!(stderr(&output).contains("--keep"), "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}
