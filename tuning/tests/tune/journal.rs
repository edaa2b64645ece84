//! Writing, and putting back.

use std::fs;
use std::path::Path;

use kdht_tune::{
    ApplyError, Change, Journal, JournalError, Outcome, Profile, Reverted, Root, apply, revert,
};

use crate::trees::{changed, check, files, host, tree};

fn plan(directory: &Path, profile: Profile) -> Vec<Change> {
    check(directory, "4-7", profile).plan().writes
}

fn reverted(directory: &Path, force: bool) -> Reverted {
    revert(&Root::new(directory), &directory.join("var"), None, force).unwrap()
}

#[test]
fn apply_changes_the_planned_files_alone_and_revert_restores_every_byte() {
    for profile in Profile::ALL {
        let server = tree("server");
        let before = files(server.path());
        let writes = plan(server.path(), profile);
        let root = Root::new(server.path());
        let applied = apply(&root, &server.path().join("var"), profile.name(), &writes).unwrap();
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        let mut planned: Vec<String> = writes.iter().map(|write| write.path.clone()).collect();
        planned.sort();
        assert_eq!(changed(&before, &files(server.path())), planned, "{profile}");

        let reverted = reverted(server.path(), false);
        assert!(reverted.is_whole(), "{:?}", reverted.files);
        let order: Vec<&String> = reverted.files.iter().map(|(path, _)| path).collect();
        assert!(order.into_iter().eq(writes.iter().rev().map(|write| &write.path)));
        assert!(changed(&before, &files(server.path())).is_empty(), "{profile}");
        assert!(!server.path().join("var/journal.jsonl").exists());
    }
}

#[test]
fn what_somebody_else_changed_is_left_alone_until_forced() {
    let server = tree("server");
    let before = files(server.path());
    let writes = plan(server.path(), Profile::Latency);
    apply(&Root::new(server.path()), &server.path().join("var"), "latency", &writes).unwrap();
    let name = "proc/sys/net/core/rmem_max";
    fs::write(server.path().join(name), "777\n").unwrap();

    let first = reverted(server.path(), false);
    assert!(!first.is_whole());
    let foreign = first.files.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Foreign(_)));
    let foreign: Vec<&String> = foreign.map(|(path, _)| path).collect();
    assert_eq!(foreign, [&format!("/{name}")]);
    assert_eq!(changed(&before, &files(server.path())), [format!("/{name}")]);

    assert!(reverted(server.path(), true).is_whole());
    assert!(changed(&before, &files(server.path())).is_empty());
}

#[test]
fn a_run_that_ended_after_any_line_of_its_journal_can_be_reverted() {
    let whole = tree("vm");
    let writes = check(whole.path(), "1", Profile::Vm).plan().writes;
    let root = Root::new(whole.path());
    apply(&root, &whole.path().join("var"), "vm", &writes).unwrap();
    let text = fs::read_to_string(whole.path().join("var/journal.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(lines.len() > 10, "{text}");
    for kept in 1..=lines.len() {
        for is_last_written in [false, true] {
            let server = tree("vm");
            let before = files(server.path());
            let mut left = lines[..kept].concat();
            for (at, line) in lines[..kept].iter().enumerate() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let is_done = is_last_written || at + 1 < kept;
                let Some(write) = line.get("write").filter(|_| is_done) else { continue };
                let path = write["path"].as_str().unwrap().trim_start_matches('/');
                fs::write(server.path().join(path), write["new"].as_str().unwrap()).unwrap();
            }
            // The next line was cut short.
            left.push_str("{\"write\":{\"pa");
            fs::create_dir(server.path().join("var")).unwrap();
            fs::write(server.path().join("var/journal.jsonl"), left).unwrap();
            let reverted = reverted(server.path(), false);
            assert!(reverted.is_whole(), "{kept} {is_last_written}: {:?}", reverted.files);
            assert!(changed(&before, &files(server.path())).is_empty(), "{kept} {is_last_written}");
        }
    }
}

#[test]
fn a_refused_write_is_named_and_does_not_keep_the_others_from_being_done_and_undone() {
    let server = tree("server");
    let mut writes = plan(server.path(), Profile::Throughput);
    // A directory takes no write, whoever asks.
    let gone = server.path().join("proc/sys/vm/swappiness");
    fs::remove_file(&gone).unwrap();
    fs::create_dir(&gone).unwrap();
    let before = files(server.path());
    let root = Root::new(server.path());
    let applied = apply(&root, &server.path().join("var"), "throughput", &writes).unwrap();
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(applied.refused[0].path, "/proc/sys/vm/swappiness");
    writes.retain(|write| write.path != "/proc/sys/vm/swappiness");
    assert_eq!(applied.written, writes);
    assert!(reverted(server.path(), false).is_whole());
    assert!(changed(&before, &files(server.path())).is_empty());
}

#[test]
fn a_second_apply_is_refused_until_the_first_is_reverted_or_the_host_restarted() {
    let server = tree("server");
    let (root, state) = (Root::new(server.path()), server.path().join("var"));
    let writes = plan(server.path(), Profile::Shared);
    apply(&root, &state, "shared", &writes).unwrap();
    let again = apply(&root, &state, "shared", &[]).unwrap_err();
    assert!(matches!(again, ApplyError::Journal(JournalError::Exists(_))), "{again}");
    assert!(
        revert(&root, &state, Some("latency"), false).unwrap_err().to_string().contains("shared")
    );

    fs::write(server.path().join("proc/sys/kernel/random/boot_id"), "another\n").unwrap();
    let before = files(server.path());
    assert!(reverted(server.path(), false).was_restarted);
    assert!(changed(&before, &files(server.path())).is_empty());
    assert!(matches!(Journal::open(&state), Err(JournalError::Absent(_))));
}

#[test]
fn a_journal_that_names_other_files_or_is_none_writes_nothing() {
    let server = tree("server");
    let before = files(server.path());
    let state = server.path().join("var");
    fs::create_dir(&state).unwrap();
    let head = r#"{"applied":{"format":1,"profile":"vm","boot":""}}"#;
    for line in [
        r#"{"write":{"path":"/etc/passwd","old":"x","new":"y"}}"#,
        r#"{"write":{"path":"/proc/sys/../../etc/passwd","old":"x","new":"y"}}"#,
        r#"{"write":{"path":"/proc/sys/vm/swappiness","old":"1"}}"#,
        r#"{"wrote":{"reads":"1"}}"#,
        r#"{"applied":{"format":1,"profile":"vm","boot":""}}"#,
        "nonsense",
        "",
    ] {
        fs::write(state.join("journal.jsonl"), format!("{head}\n{line}\n")).unwrap();
        let error = Journal::open(&state).unwrap_err();
        assert!(matches!(error, JournalError::Line(_, 2)), "{line}: {error}");
        assert!(revert(&Root::new(server.path()), &state, None, true).is_err());
    }
    assert!(changed(&before, &files(server.path())).is_empty());
}

#[test]
fn cores_that_share_a_policy_file_keep_its_first_bytes() {
    let server = tree("server");
    let cpus = server.path().join("sys/devices/system/cpu");
    fs::remove_dir_all(cpus.join("cpu5/cpufreq")).unwrap();
    std::os::unix::fs::symlink("../cpu4/cpufreq", cpus.join("cpu5/cpufreq")).unwrap();
    let before = files(server.path());
    let host = host(server.path(), "4-7");
    let writes = kdht_tune::check(&host, Profile::Latency).plan().writes;
    let state = server.path().join("var");
    apply(&host.root, &state, "latency", &writes).unwrap();
    assert!(reverted(server.path(), false).is_whole());
    assert!(changed(&before, &files(server.path())).is_empty());
}
