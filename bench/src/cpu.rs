//! Where CPU time went: a process's own, and each core's by what it was spent on.

use std::fs;

/// A tick, as the kernel counts for user space on every machine that this runs on (USER_HZ).
const TICK_NS: u64 = 10_000_000;

/// Time of one core since the host started, in nanoseconds. The kernel counts in ticks (10 ms
/// as a rule), so sums over many slices say more than one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CoreTimes {
    /// In user space, nice or not.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// In soft and hard interrupts.
    pub softirq_ns: u64,
    /// Idle, or waiting for a disk.
    pub idle_ns: u64,
    /// Taken by the hypervisor.
    pub steal_ns: u64,
}

impl CoreTimes {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            softirq_ns: self.softirq_ns.saturating_sub(earlier.softirq_ns),
            idle_ns: self.idle_ns.saturating_sub(earlier.idle_ns),
            steal_ns: self.steal_ns.saturating_sub(earlier.steal_ns),
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.softirq_ns += other.softirq_ns;
        self.idle_ns += other.idle_ns;
        self.steal_ns += other.steal_ns;
    }

    /// Time in which it did something.
    #[must_use]
    pub fn busy_ns(&self) -> u64 {
        self.user_ns + self.system_ns + self.softirq_ns
    }
}

/// Each core's times, by its number; cores that are offline have none.
#[must_use]
pub fn cores() -> Vec<CoreTimes> {
    parse_cores(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn parse_cores(text: &str) -> Vec<CoreTimes> {
    let mut cores = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let number = words.next().and_then(|word| word.strip_prefix("cpu")?.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < 4_096) else { continue };
        let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
            continue;
        };
        if cores.len() <= number {
            cores.resize(number + 1, CoreTimes::default());
        }
        cores[number] = CoreTimes {
            user_ns: (user + nice) * TICK_NS,
            system_ns: system * TICK_NS,
            softirq_ns: (irq + softirq) * TICK_NS,
            idle_ns: (idle + iowait) * TICK_NS,
            steal_ns: steal * TICK_NS,
        };
    }
    cores
}

/// CPU time of all threads that a process has, in nanoseconds; exact while it is stopped, and up to
/// a tick old while it runs. Nothing where the host does not tell.
#[must_use]
pub fn process_ns(pid: u32) -> Option<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let times = tasks.filter_map(|task| {
        // A thread may end between the listing and the reading.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.fold(None, |sum, time| Some(sum.unwrap_or(0) + time))
}

/// Memory that a process has resident, in KiB; zero if it has ended.
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let count = line.and_then(|rest| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Datagrams that the kernel has dropped at the UDP sockets of `port`, of either family, since
/// their buffers were full.
#[must_use]
pub fn udp_drops(port: u16) -> u64 {
    let of = |path| parse_udp_drops(&fs::read_to_string(path).unwrap_or_default(), port);
    of("/proc/net/udp") + of("/proc/net/udp6")
}

fn parse_udp_drops(text: &str, port: u16) -> u64 {
    let here = format!(":{port:04X}");
    let sockets = text.lines().map(str::split_whitespace);
    sockets
        .filter_map(|mut fields| {
            // Its number, its address and, at the end, what it dropped.
            fields.nth(1).filter(|local| local.ends_with(&here))?;
            fields.last()?.parse::<u64>().ok()
        })
        .sum()
}

/// Whether every thread of a process is stopped.
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let text = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The state follows the name, which may hold anything in its parentheses.
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('T' | 't'))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    #[test]
    fn cores_are_read_by_their_numbers() {
        let text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu2 1 0 0 0 0 0 0 0 0 0\n\
                    intr 5\n";
        let cores = parse_cores(text);
        let ms = 10_000_000;
        let first = CoreTimes {
            user_ns: 3 * ms,
            system_ns: 3 * ms,
            softirq_ns: 13 * ms,
            idle_ns: 9 * ms,
            steal_ns: 8 * ms,
        };
        assert_eq!(cores[0], first);
        assert_eq!((cores.len(), cores[1]), (3, CoreTimes::default()));
        assert_eq!(cores[2].since(&cores[0]).user_ns, 0);
        assert_eq!(first.busy_ns(), 19 * ms);
    }

    #[test]
    fn the_drops_of_a_port_are_those_of_its_sockets() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                    uid  timeout inode ref pointer drops\n\
                    11: 0100007F:0FA0 00000000:0000 07 0:0 00:0 0 0 0 77 2 0 5\n\
                    12: 0200007F:0FA0 00000000:0000 07 0:0 00:0 0 0 0 78 2 0 6\n\
                    13: 0100007F:10FA 00000000:0000 07 0:0 00:0 0 0 0 79 2 0 7\n";
        assert_eq!(parse_udp_drops(text, 4_000), 11);
        assert_eq!(parse_udp_drops(text, 0x10fa), 7);
        assert_eq!(parse_udp_drops(text, 1), 0);
    }

    #[test]
    fn a_process_has_memory_until_it_ends() {
        assert!(resident_kib(std::process::id()) > 100);
        assert_eq!(resident_kib(u32::MAX), 0);
    }

    #[test]
    fn a_process_takes_time_until_it_is_stopped() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pid = child.id();
        if process_ns(pid).is_some() {
            while process_ns(pid).unwrap() < 20_000_000 {
                std::thread::yield_now();
            }
        }
        assert!(!is_stopped(pid));
        let number = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(number, Signal::STOP).unwrap();
        while !is_stopped(pid) {
            std::thread::yield_now();
        }
        assert_eq!(process_ns(pid), process_ns(pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
