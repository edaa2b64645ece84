//! A kernel's own files: a network namespace of the test's own, on its loopback.

use std::fs;
use std::process::Command;

use kdht_tune::{Host, Profile, Root, apply, check, revert};

/// Set in the process that runs within the namespace, to a directory of the test's.
const INSIDE: &str = "KDHT_TUNE_NAMESPACE";

#[test]
fn a_kernel_takes_what_is_applied_and_gives_its_old_bytes_back() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        inside(directory.as_ref());
        return;
    }
    let may = Command::new("unshare").args(["--net", "--mount", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace can be made here (it takes root)");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "namespace::a_kernel_takes_what_is_applied_and_gives_its_old_bytes_back";
    let script = "mount -t sysfs none \"$1/sysfs\" && exec \"$2\" --exact \"$3\" --nocapture";
    fs::create_dir(directory.path().join("sysfs")).unwrap();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

/// The root holds the namespace's files and no others, so that nothing of the host's is
/// written.
fn inside(directory: &std::path::Path) {
    let root_path = directory.join("root");
    for part in ["proc/sys", "sys/class", "sys/devices/system/cpu"] {
        fs::create_dir_all(root_path.join(part)).unwrap();
    }
    std::os::unix::fs::symlink("/proc/sys/net", root_path.join("proc/sys/net")).unwrap();
    let net = directory.join("sysfs/class/net");
    std::os::unix::fs::symlink(net, root_path.join("sys/class/net")).unwrap();
    fs::write(root_path.join("sys/devices/system/cpu/online"), "0-1\n").unwrap();

    let root = Root::new(&root_path);
    let cores = Some("0-1".parse().unwrap());
    let host = Host::new(root.clone(), cores, Some("lo".to_owned())).unwrap();
    let names = [
        "/proc/sys/net/ipv4/udp_early_demux",
        "/proc/sys/net/ipv4/udp_rmem_min",
        "/sys/class/net/lo/gro_flush_timeout",
        "/sys/class/net/lo/napi_defer_hard_irqs",
        "/sys/class/net/lo/queues/rx-0/rps_cpus",
    ];
    let read = || names.map(|name| root.read(name).unwrap());
    let before = read();
    let planned = check(&host, Profile::Throughput).plan().writes;
    let mut paths: Vec<&str> = planned.iter().map(|write| write.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, names);
    let state = directory.join("state");
    let applied = apply(&root, &state, "throughput", &planned).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    let after = read();
    for (at, name) in names.iter().enumerate() {
        assert_ne!(before[at], after[at], "{name}");
    }
    assert!(check(&host, Profile::Throughput).plan().writes.is_empty());
    let reverted = revert(&root, &state, None, false).unwrap();
    assert!(reverted.is_whole(), "{:?}", reverted.files);
    assert_eq!(read(), before);
}
