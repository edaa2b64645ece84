//! Interrupts and deferred work.

use super::{Reading, Writes, file};
use crate::registry::Want;
use crate::{Cpus, Host, Verdict};

/// Interrupts that are looked at.
const IRQS_MAX: usize = 4_096;
/// Parts of the names of interrupts that are no queue's.
const NO_QUEUE: [&str; 6] = ["async", "config", "ctrl", "misc", "admin", "mgmnt"];
const NO_CPU_LEFT: &str = "no CPU is left for it; name fewer with --cores";

pub(crate) fn irqbalance(host: &Host, _: Want) -> Reading {
    if !host.root.exists("/proc/self") && host.root.list("/proc").is_empty() {
        return Reading::of(Verdict::Unknown, "/proc does not exist here");
    }
    let is_it = |pid: &String| {
        pid.bytes().all(|byte| byte.is_ascii_digit())
            && host.root.read_trimmed(&format!("/proc/{pid}/comm")).as_deref() == Ok("irqbalance")
    };
    let Some(pid) = host.root.list("/proc").into_iter().find(is_it) else {
        return Reading::of(Verdict::Ok, "not running");
    };
    let environment = host.root.read(&format!("/proc/{pid}/environ")).unwrap_or_default();
    let banned = environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("IRQBALANCE_BANNED_CPULIST=")?.parse::<Cpus>().ok());
    let banned = banned.unwrap_or_default();
    if !host.cores.is_empty() && banned.covers(&host.cores) {
        return Reading::of(Verdict::Ok, format!("running, {banned} banned"));
    }
    Reading::of(Verdict::Change, format!("running as {pid}")).advise(format!(
        "systemctl stop irqbalance, or start it with IRQBALANCE_BANNED_CPULIST={}",
        host.cores
    ))
}

pub(crate) fn default_affinity(host: &Host, _: Want) -> Reading {
    mask_without_cores(host, "/proc/irq/default_smp_affinity")
}

pub(crate) fn workqueues(host: &Host, _: Want) -> Reading {
    mask_without_cores(host, "/sys/devices/virtual/workqueue/cpumask")
}

fn mask_without_cores(host: &Host, path: &str) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let text = match host.root.read(path) {
        Ok(text) => text,
        Err(error) => return Reading::unread(path, error),
    };
    let Ok(mask) = Cpus::from_mask(&text) else {
        return Reading::of(Verdict::Unknown, format!("{path} is no mask"));
    };
    // Bits of CPUs that are not there mean nothing.
    let current = if host.online.is_empty() { mask } else { mask.and(&host.online) };
    let mut writes = Writes::default();
    if !current.and(&host.cores).is_empty() {
        let left = current.without(&host.cores);
        let left = if left.is_empty() { host.housekeeping() } else { left };
        if left.is_empty() {
            return Reading::of(Verdict::Cannot, current).advise(NO_CPU_LEFT);
        }
        writes.add(host, path.to_owned(), text, left.to_mask());
    }
    writes.reading(current)
}

/// Everything that interrupts, but the queues of the interface.
pub(crate) fn others(host: &Host, _: Want) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let numbers = host.root.list("/proc/irq");
    if numbers.is_empty() {
        return Reading::of(Verdict::Unknown, "/proc/irq does not exist here");
    }
    let queues = queue_irqs(host);
    let mut writes = Writes::default();
    let mut on_cores = Vec::new();
    for number in numbers.iter().filter(|name| name.parse::<u32>().is_ok()).take(IRQS_MAX) {
        let is_queue = queues.iter().any(|(irq, _)| irq == number);
        if is_queue || action(host, number).is_none() {
            continue;
        }
        let cpus = |name: &str| {
            let text = host.root.read(&format!("/proc/irq/{number}/{name}")).ok()?;
            text.parse::<Cpus>().ok()
        };
        let Some(asked) = cpus("smp_affinity_list") else { continue };
        // Where it may come to matters less than where it does.
        let comes_to = cpus("effective_affinity_list").filter(|cpus| !cpus.is_empty());
        if comes_to.unwrap_or_else(|| asked.clone()).and(&host.cores).is_empty() {
            continue;
        }
        on_cores.push(number.clone());
        let left = asked.and(&host.online).without(&host.cores);
        let left = if left.is_empty() { host.housekeeping() } else { left };
        if left.is_empty() {
            return Reading::of(Verdict::Cannot, format!("{number} and more on the cores"))
                .advise(NO_CPU_LEFT);
        }
        let path = format!("/proc/irq/{number}/smp_affinity_list");
        let old = host.root.read(&path).unwrap_or_default();
        writes.add(host, path, old, left.to_string());
    }
    let current = match on_cores.len() {
        0 => "none on the cores".to_owned(),
        _ => format!("on the cores: {}", on_cores.join(", ")),
    };
    writes.reading(current)
}

/// The queues of the interface.
pub(crate) fn nic(host: &Host, _: Want) -> Reading {
    if host.cores.is_empty() {
        return Reading::no_cores();
    }
    let Some(nic) = &host.nic else { return Reading::no_nic() };
    let queues = queue_irqs(host);
    if queues.is_empty() {
        return Reading::of(Verdict::Unknown, format!("{nic} shows no interrupts of its queues"));
    }
    let cores: Vec<u16> = host.cores.iter().collect();
    let mut writes = Writes::default();
    let mut found = Vec::new();
    for (irq, queue) in queues {
        let path = format!("/proc/irq/{irq}/smp_affinity_list");
        let old = match host.root.read(&path) {
            Ok(old) => old,
            Err(error) => return Reading::unread(&path, error),
        };
        let wanted = cores[queue % cores.len()].to_string();
        found.push((format!("queue {queue}"), old.trim().to_owned()));
        if old.trim() != wanted {
            writes.add(host, path, old, wanted);
        }
    }
    writes.reading(file::summary(&found))
}

/// The interrupts of the interface's queues: their numbers, and those of their queues.
fn queue_irqs(host: &Host) -> Vec<(String, usize)> {
    let Some(nic) = &host.nic else { return Vec::new() };
    // A virtio device's interrupts are those of the PCI device above it.
    let device = format!("/sys/class/net/{nic}/device");
    let irqs = [format!("{device}/msi_irqs"), format!("{device}/../msi_irqs")]
        .into_iter()
        .map(|path| host.root.list(&path))
        .find(|irqs| !irqs.is_empty());
    let queue = |irq: String| {
        let name = action(host, &irq)?;
        let name = name.split('@').next()?;
        if NO_QUEUE.iter().any(|part| name.contains(part)) {
            return None;
        }
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let queue = name[name.len() - digits..].parse().ok()?;
        Some((irq, queue))
    };
    irqs.into_iter().flatten().take(IRQS_MAX).filter_map(queue).collect()
}

/// Who handles an interrupt: the kernel makes a directory of that name.
fn action(host: &Host, irq: &str) -> Option<String> {
    let directory = format!("/proc/irq/{irq}");
    let is_directory = |name: &String| host.root.path(&format!("{directory}/{name}")).is_dir();
    host.root.list(&directory).into_iter().find(is_directory)
}
