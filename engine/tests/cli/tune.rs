//! The host's settings, over a directory that stands for /.

use std::fs;

use crate::daemon::{run, stderr, stdout};

#[test]
fn tune_checks_plans_applies_and_reverts_below_its_root_with_exit_codes_that_say_so() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    let core = root.join("proc/sys/net/core");
    fs::create_dir_all(&core).unwrap();
    fs::write(core.join("rmem_max"), "212992\n").unwrap();
    let root = root.to_str().unwrap();
    let tune = |task: &str, more: &[&str]| {
        let args = [&["tune", task, "--root", root], more].concat();
        run(home.path(), &args)
    };
    let profile = ["--profile", "shared"];

    let check = tune("check", &["--profile", "shared", "--json"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let json: serde_json::Value = serde_json::from_str(&stdout(&check)).unwrap();
    assert_eq!((&json["profile"], &json["change"]), (&"shared".into(), &1.into()));
    let text = stdout(&tune("check", &profile));
    assert!(text.lines().last().unwrap().starts_with("tune profile=shared ok="), "{text}");

    let plan = tune("plan", &profile);
    assert_eq!(plan.status.code(), Some(0));
    let line = r#"write   /proc/sys/net/core/rmem_max "212992\n" -> "4194304""#;
    assert!(stdout(&plan).contains(line), "{}", stdout(&plan));
    assert_eq!(fs::read_to_string(core.join("rmem_max")).unwrap(), "212992\n");

    assert_eq!(tune("apply", &profile).status.code(), Some(0));
    assert_eq!(fs::read_to_string(core.join("rmem_max")).unwrap(), "4194304\n");
    assert_eq!(tune("apply", &profile).status.code(), Some(1));
    assert_eq!(tune("revert", &[]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(core.join("rmem_max")).unwrap(), "212992\n");
    let nothing = tune("revert", &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("nothing is applied"), "{}", stderr(&nothing));

    for (more, part) in [
        (&["--profile", "fast"][..], "latency, throughput, shared or vm"),
        (&[], "--profile"),
        (&["--profile", "vm", "--nic", "nowhere0"], "nowhere0"),
        (&["--profile", "vm", "--cores", "3-1"], "0-3,8"),
    ] {
        let misuse = tune("check", more);
        assert_eq!(misuse.status.code(), Some(2), "{misuse:?}");
        assert!(stderr(&misuse).contains(part), "{}", stderr(&misuse));
    }
}
