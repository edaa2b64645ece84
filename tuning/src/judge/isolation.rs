//! Cores that the kernel leaves alone, by its command line.

use super::{Reading, cpus_of_command_line};
use crate::registry::Want;
use crate::{Cpus, Host, Verdict};

/// Isolated at the start, or by a partition of cpusets.
pub(crate) fn isolcpus(host: &Host, _: Want) -> Reading {
    let boot = "/sys/devices/system/cpu/isolated";
    let partition = "/sys/fs/cgroup/cpuset.cpus.isolated";
    let by_partition = host.root.read(partition).ok().and_then(|text| text.parse().ok());
    let by_partition: Cpus = by_partition.unwrap_or_default();
    match listed(host, boot) {
        Ok(at_boot) => {
            let isolated = at_boot.iter().chain(by_partition.iter()).collect();
            covers(host, &isolated, "isolcpus=managed_irq,domain,")
        }
        Err(reading) => reading,
    }
}

/// Without a timer tick.
pub(crate) fn nohz_full(host: &Host, _: Want) -> Reading {
    let path = "/sys/devices/system/cpu/nohz_full";
    if host.root.exists("/sys/devices/system/cpu/online") && !host.root.exists(path) {
        return Reading::of(Verdict::Cannot, "none")
            .advise("the kernel was built without CONFIG_NO_HZ_FULL");
    }
    match listed(host, path) {
        Ok(found) => covers(host, &found, "nohz_full="),
        Err(reading) => reading,
    }
}

/// Without callbacks of RCU, which nohz_full implies.
pub(crate) fn rcu_nocbs(host: &Host, _: Want) -> Reading {
    let path = "/proc/cmdline";
    let text = match host.root.read(path) {
        Ok(text) => text,
        Err(error) => return Reading::unread(path, error),
    };
    if text.split_whitespace().any(|word| word == "rcu_nocbs" || word == "rcu_nocbs=all") {
        return Reading::of(Verdict::Ok, "all");
    }
    let named = ["rcu_nocbs", "nohz_full"].map(|name| cpus_of_command_line(&text, name));
    let found = named.into_iter().flatten().flat_map(|cpus| cpus.iter().collect::<Vec<_>>());
    covers(host, &found.collect(), "rcu_nocbs=")
}

fn listed(host: &Host, path: &str) -> Result<Cpus, Reading> {
    let text = host.root.read(path).map_err(|error| Reading::unread(path, error))?;
    text.parse().map_err(|_| Reading::of(Verdict::Unknown, format!("{path} lists no CPUs")))
}

fn covers(host: &Host, found: &Cpus, parameter: &str) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let current = if found.is_empty() { "none".to_owned() } else { found.to_string() };
    let all: Cpus = found.iter().chain(host.cores.iter()).collect();
    if !host.online.is_empty() && all.covers(&host.online) && !found.covers(&host.cores) {
        return Reading::of(Verdict::Cannot, current)
            .advise("no CPU would be left for everything else; name fewer with --cores");
    }
    Reading::holds(found.covers(&host.cores), current).reboot_with(format!("{parameter}{all}"))
}
