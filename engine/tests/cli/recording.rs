//! Nodes that are recorded, and what was recorded replayed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value as Json;

use crate::daemon::{Daemon, run, stderr, stdout};

/// Replays a recording: the exit code, what was said of it, and what was complained of.
fn replayed(home: &Path, file: &Path) -> (Option<i32>, Json, String) {
    let output = run(home, &["replay", "--json", file.to_str().unwrap()]);
    let said = serde_json::from_str(&stdout(&output)).unwrap_or(Json::Null);
    (output.status.code(), said, stderr(&output))
}

/// A node with two others that was asked all kinds of things while it was recorded.
fn recorded(home: &Path, file: &Path, args: &[&str]) {
    let record = ["--record", file.to_str().unwrap()];
    let node = Daemon::start(&home.join("one"), &[&record, args].concat());
    let entry = node.addr.to_string();
    let mut others = Vec::new();
    for name in ["two", "three"] {
        let other = Daemon::start(&home.join(name), &["--bootstrap", &entry]);
        other.wait_for("joined");
        for (key, value) in [("a", "first"), ("b", "second"), ("a", "third")] {
            assert!(run(home, &["put", key, value, "--via", &entry]).status.success());
            assert!(run(home, &["get", key, "--via", &entry, "--recurse"]).status.success());
        }
        others.push(other);
    }
    // A contact that has gone.
    others.remove(0).kill();
    assert!(run(home, &["drain", "--control", &node.control()]).status.success());
    assert_eq!(node.ended(), Some(0));
}

#[test]
fn what_a_swarm_s_nodes_were_told_replays_to_the_same_output() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("recordings");
    let record = dir.to_str().unwrap();
    let args = ["swarm", "--nodes", "8", "--values", "50", "--roll", "--json", "--record", record];
    let output = run(home.path(), &args);
    assert!(output.status.success(), "{output:?}");
    let mut files = 0;
    let mut datagrams_out = 0;
    for file in std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()) {
        let (code, said, complaint) = replayed(home.path(), &file);
        assert_eq!((code, &said["same"]), (Some(0), &Json::Bool(true)), "{said} {complaint}");
        assert_eq!(said["end"], "stopped", "{said}");
        assert!(said["datagrams_in"].as_u64().unwrap() > 10, "{said}");
        assert!(said["events"].as_u64().unwrap() > 0, "{said}");
        datagrams_out += said["datagrams_out"].as_u64().unwrap();
        files += 1;
    }
    let report: Json = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(files, 16, "each node twice");
    assert_eq!(report["datagrams"], datagrams_out, "what was replayed is all that was sent");
}

#[test]
fn a_daemon_s_recording_replays_and_is_for_its_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("recording");
    recorded(home.path(), &file, &["--json-debug"]);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, said, complaint) = replayed(home.path(), &file);
    assert_eq!((code, &said["same"]), (Some(0), &Json::Bool(true)), "{said} {complaint}");
    assert_eq!(said["end"], "stopped");
    let shown = stdout(&run(home.path(), &["replay", file.to_str().unwrap()]));
    assert!(shown.ends_with("same\n") && shown.contains(said["digest"].as_str().unwrap()));

    // Never over what is there.
    let again =
        run(home.path(), &["run", "--listen", "127.0.0.1:0", "--record", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("there already"), "{}", stderr(&again));
}

#[test]
fn each_shard_of_a_node_has_a_recording_that_replays() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("recording");
    recorded(home.path(), &file, &["--shards", "3"]);
    for shard in 0..3 {
        let file = home.path().join(format!("recording.{shard}"));
        let (code, said, complaint) = replayed(home.path(), &file);
        assert_eq!((code, &said["same"]), (Some(0), &Json::Bool(true)), "{said} {complaint}");
        assert_eq!(said["end"], "stopped", "{said}");
    }
}

#[test]
fn a_recording_that_was_cut_or_is_full_replays_as_far_as_it_goes() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("recording");
    recorded(home.path(), &file, &["--record-max", "8000"]);
    let whole = std::fs::read(&file).unwrap();
    assert!(whole.len() <= 8_000, "{}", whole.len());
    let (code, said, _) = replayed(home.path(), &file);
    assert_eq!((code, &said["end"]), (Some(0), &"limit".into()), "{said}");
    let entries = said["entries"].as_u64().unwrap();
    for len in [whole.len() - 1, whole.len() / 2, whole.len() / 3] {
        std::fs::write(&file, &whole[..len]).unwrap();
        let (code, said, _) = replayed(home.path(), &file);
        assert_eq!((code, &said["end"]), (Some(0), &"cut".into()), "{said}");
        assert!(said["entries"].as_u64().unwrap() < entries + 2, "{said}");
    }
}

#[test]
fn a_recording_that_was_changed_differs_or_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("recording");
    recorded(home.path(), &file, &[]);
    let whole = std::fs::read(&file).unwrap();
    let (_, said, _) = replayed(home.path(), &file);
    let entries = said["entries"].as_u64().unwrap();
    let mut told = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        std::fs::write(&file, &changed).unwrap();
        let (code, said, complaint) = replayed(home.path(), &file);
        assert!(matches!(code, Some(0 | 1)), "byte {at}: {said} {complaint}");
        if let Some(entry) = said["differs_after"].as_u64() {
            assert!(entry <= entries, "byte {at}: {said}");
            told += 1;
        }
    }
    assert!(told > 20, "{told} of 60 changes were seen to change the output");
    for (bytes, part) in
        [(&b"hello"[..], "no recording"), (&b"KDHTREC\0\x07\0\0\0"[..], "version 7")]
    {
        std::fs::write(&file, bytes).unwrap();
        let (code, _, complaint) = replayed(home.path(), &file);
        assert_eq!(code, Some(1));
        assert!(complaint.contains(part), "{complaint}");
    }
}
