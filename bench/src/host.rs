//! What the figures were measured on.

use std::fs;
use std::process::Command;

use serde_json::{Map, Value as Json, json};

/// What is known of the host, the build and the command: what `env.json` holds.
#[must_use]
pub fn describe() -> Json {
    let first = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_cpu = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpu0 = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    json!({
        "cpu": of_cpu("model name"),
        "cpu_flags": of_cpu("flags"),
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "memory": meminfo.lines().next(),
        "hypervisor": of_cpu("flags").map(|flags| flags.contains("hypervisor")),
        "kernel": first("/proc/sys/kernel/osrelease"),
        "kernel_build": first("/proc/version"),
        "kernel_command_line": first("/proc/cmdline"),
        "mitigations": mitigations(),
        "governor": first(cpu0),
        "clocksource": first("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "autogroup": first("/proc/sys/kernel/sched_autogroup_enabled"),
        "io_uring_disabled": first("/proc/sys/kernel/io_uring_disabled"),
        "rmem_max": first("/proc/sys/net/core/rmem_max"),
        "loadavg": first("/proc/loadavg"),
        "rustc": output("rustc", &["--version"]),
        "commit": output("git", &["rev-parse", "HEAD"]),
        "tree_is_clean": output("git", &["status", "--porcelain"]).map(|text| text.is_empty()),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "command": std::env::args().collect::<Vec<_>>(),
    })
}

fn mitigations() -> Json {
    let mut found = Map::new();
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    for entry in entries.into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        found.insert(entry.file_name().to_string_lossy().into_owned(), text.trim().into());
    }
    Json::Object(found)
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// What `kdht tune check` says of the host for a server on `core`: its last word, and all of it.
/// Or why it says nothing.
#[must_use]
pub fn tuning(kdht: &std::path::Path, core: usize) -> (String, String) {
    let core = core.to_string();
    let args = ["tune", "check", "--profile", "latency", "--cores", &core];
    match Command::new(kdht).args(args).output() {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            let said = text(&output.stderr);
            let last = said.lines().next_back().unwrap_or("the host is as profile latency wants");
            (last.to_owned(), text(&output.stdout))
        }
        Err(error) => (format!("{}: {error}", kdht.display()), String::new()),
    }
}
