//! The units are units: systemd's own tool finds nothing wrong with them.

use std::fs;
use std::process::Command;

fn has_systemd_analyze() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !found {
        println!("skipped: systemd-analyze is not installed");
    }
    found
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !has_systemd_analyze() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["kdht.service", "kdht-tune.service"] {
        let text = fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        // The command need not be installed here.
        fs::write(directory.path().join(name), text.replace("/usr/bin/kdht ", "/bin/true "))
            .unwrap();
    }
    for name in ["kdht.service", "kdht-tune.service"] {
        let path = directory.path().join(name);
        let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("kdht")).collect();
        assert!(ours.is_empty(), "{said}");
    }
}

#[test]
fn the_nodes_unit_exposes_little_by_systemds_own_count() {
    if !has_systemd_analyze() {
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kdht.service");
    // Tenths of points of 10: what is left is the network, which a node is for.
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager", path])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
