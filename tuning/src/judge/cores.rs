//! The cores themselves: cpusets, siblings, nodes, sleep, and time lost to others.

use super::{Reading, Writes};
use crate::registry::Want;
use crate::{Cpus, Host, ReadError, Verdict};

/// Whether threads may be pinned to the cores.
pub(crate) fn allowed(host: &Host, _: Want) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let cgroups = host.root.read("/proc/self/cgroup").unwrap_or_default();
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let file = format!("/sys/fs/cgroup{}/cpuset.cpus.effective", own.trim_end_matches('/'));
    // A group without the controller has its parents' CPUs; the root's are all that are online.
    let effective = [file.as_str(), "/sys/fs/cgroup/cpuset.cpus.effective"]
        .into_iter()
        .find_map(|path| host.root.read(path).ok()?.parse::<Cpus>().ok());
    let effective = effective.unwrap_or_else(|| host.online.clone());
    if effective.is_empty() {
        return Reading::unread("/sys/devices/system/cpu/online", ReadError::Absent);
    }
    let reading = Reading::holds(effective.covers(&host.cores), &effective);
    if reading.verdict == Verdict::Ok {
        return reading;
    }
    reading.advise(format!("widen the cpuset to {} (AllowedCPUs= of a unit)", host.cores))
}

/// Whether other threads of the cores' hardware are kept quiet. Taking a CPU offline moves
/// interrupts and threads that would not come back, so no write does it.
pub(crate) fn siblings(host: &Host, want: Want) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let isolated = host.root.read("/sys/devices/system/cpu/isolated").unwrap_or_default();
    let isolated: Cpus = isolated.parse().unwrap_or_default();
    let mut others = Cpus::default();
    for cpu in host.cores.iter() {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let threads: Cpus = match host.root.read(&path).map(|text| text.parse()) {
            Ok(Ok(threads)) => threads,
            Ok(Err(_)) => return Reading::of(Verdict::Unknown, format!("{path} lists no CPUs")),
            Err(error) => return Reading::unread(&path, error),
        };
        let twins = threads.and(&host.cores);
        if twins.count() > 1 {
            return Reading::of(Verdict::Change, format!("{twins} are threads of one core"))
                .advise("name one thread of each core with --cores");
        }
        others = others.iter().chain(threads.without(&host.cores).iter()).collect();
    }
    let busy = others.and(&host.online).without(&isolated);
    if busy.is_empty() || want == Want::Holds("no core of the node is the sibling of another") {
        return Reading::of(
            Verdict::Ok,
            if others.is_empty() { "none".into() } else { others.to_string() },
        );
    }
    let commands: Vec<String> = busy.iter().map(|cpu| format!("chcpu -d {cpu}")).collect();
    Reading::of(Verdict::Change, format!("{busy} are online and not isolated")).advise(format!(
        "{}; or isolate them too; or nosmt on the kernel's command line",
        commands.join("; ")
    ))
}

/// Whether the cores and the interface are on one node.
pub(crate) fn numa_node(host: &Host, _: Want) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let node_of = |name: &String| name.strip_prefix("node")?.parse::<u32>().ok();
    let nodes = host.root.list("/sys/devices/system/node");
    let nodes: Vec<u32> = nodes.iter().filter_map(node_of).collect();
    if nodes.len() < 2 {
        return Reading::of(Verdict::Ok, "one node");
    }
    let Some(nic) = &host.nic else { return Reading::no_nic() };
    let path = format!("/sys/class/net/{nic}/device/numa_node");
    let of_nic = host.root.read_trimmed(&path).ok().and_then(|text| text.parse::<u32>().ok());
    let Some(of_nic) = of_nic else {
        return Reading::of(Verdict::Unknown, format!("{nic} is on no node"));
    };
    let list = format!("/sys/devices/system/node/node{of_nic}/cpulist");
    let near: Cpus = match host.root.read(&list).map(|text| text.parse()) {
        Ok(Ok(cpus)) => cpus,
        _ => return Reading::of(Verdict::Unknown, format!("{list} lists no CPUs")),
    };
    let far = host.cores.without(&near);
    if far.is_empty() {
        return Reading::of(Verdict::Ok, format!("node {of_nic}"));
    }
    Reading::of(Verdict::Change, format!("{nic} on node {of_nic}, cores {far} elsewhere"))
        .advise(format!("name cores among {near} with --cores"))
}

/// Whether the deepest sleep that the cores are allowed ends soon enough, in µs.
pub(crate) fn idle_states(host: &Host, want: Want) -> Reading {
    let Want::AtMost(limit_us) = want else { return Reading::of(Verdict::Ok, "any") };
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let command_line = host.root.read("/proc/cmdline").unwrap_or_default();
    if command_line.split_whitespace().any(|word| word == "idle=poll") {
        return Reading::of(Verdict::Ok, "idle=poll");
    }
    // The device gives the latency that all programs together allow, as 32 bits.
    let constraint = host.root.read_bytes("/dev/cpu_dma_latency").ok();
    let constraint: Option<[u8; 4]> = constraint.and_then(|bytes| bytes.try_into().ok());
    let constraint_us = constraint.map(i32::from_le_bytes).and_then(|us| u64::try_from(us).ok());
    if let Some(us) = constraint_us.filter(|us| *us <= limit_us) {
        return Reading::of(Verdict::Ok, format!("a program keeps /dev/cpu_dma_latency at {us}"));
    }
    let mut writes = Writes::default();
    let mut deepest = (0, String::new());
    let mut state_count = 0;
    for cpu in host.cores.iter() {
        let directory = format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle");
        for state in host.root.list(&directory) {
            let read = |name: &str| host.root.read(&format!("{directory}/{state}/{name}"));
            let (Ok(latency), Ok(disable)) = (read("latency"), read("disable")) else { continue };
            state_count += 1;
            let Ok(us) = latency.trim().parse::<u64>() else { continue };
            if disable.trim() != "0" {
                continue;
            }
            if us >= deepest.0 {
                let name = read("name").unwrap_or_default();
                deepest = (us, format!("{} {us}", name.trim()));
            }
            if us > limit_us {
                writes.add(host, format!("{directory}/{state}/disable"), disable, "1".to_owned());
            }
        }
    }
    if state_count == 0 {
        return Reading::of(Verdict::Cannot, "none")
            .advise("the kernel manages no idle states here");
    }
    writes.reading(deepest.1)
}

/// Whether the hypervisor gave the cores their time.
pub(crate) fn steal(host: &Host, _: Want) -> Reading {
    let path = "/proc/stat";
    let text = match host.root.read(path) {
        Ok(text) => text,
        Err(error) => return Reading::unread(path, error),
    };
    let Some(line) = text.lines().find(|line| line.starts_with("cpu ")) else {
        return Reading::of(Verdict::Unknown, format!("{path} has no `cpu`"));
    };
    // user nice system idle iowait irq softirq steal; what follows is in user already.
    let ticks = line.split_whitespace().skip(1).take(8).map(|word| word.parse::<u64>());
    let Ok(ticks) = ticks.collect::<Result<Vec<u64>, _>>() else {
        return Reading::of(Verdict::Unknown, format!("{path} has no ticks"));
    };
    let all = ticks.iter().fold(0u64, |all, some| all.saturating_add(*some)).max(1);
    let stolen = ticks.get(7).copied().unwrap_or(0);
    let per_mille = stolen.saturating_mul(1_000) / all;
    let current = format!("{}.{} %", per_mille / 10, per_mille % 10);
    if per_mille <= 10 {
        return Reading::of(Verdict::Ok, current);
    }
    Reading::of(Verdict::Cannot, current).advise("only the hypervisor's owner can: pinned vCPUs")
}
