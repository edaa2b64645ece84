//! Queues of the interface, and memory of all sockets.

use super::{Reading, Writes, file};
use crate::registry::Want;
use crate::{Cpus, Host, Verdict};

/// Pages that the sockets of one core may fill: a v4 and a v6 one, 4 MiB each way, in pages of
/// 4 KiB, the least that a kernel has.
const PAGES_PER_CORE: u64 = 4 * (4 << 20) / 4_096;
/// Queues of one kind that are looked at.
const QUEUES_MAX: usize = 1_024;

fn queues(host: &Host, kind: &str) -> Vec<String> {
    let Some(nic) = &host.nic else { return Vec::new() };
    let names = host.root.list(&format!("/sys/class/net/{nic}/queues"));
    names.into_iter().filter(|name| name.starts_with(kind)).take(QUEUES_MAX).collect()
}

/// The interface and the cores, where both are known.
fn known(host: &Host) -> Result<(&str, Vec<u16>), Reading> {
    if host.cores.is_empty() {
        return Err(Reading::no_cores());
    }
    let nic = host.nic.as_deref().ok_or_else(Reading::no_nic)?;
    Ok((nic, host.cores.iter().collect()))
}

pub(crate) fn rss_queues(host: &Host, _: Want) -> Reading {
    let (nic, cores) = match known(host) {
        Ok(known) => known,
        Err(reading) => return reading,
    };
    let have = queues(host, "rx-").len();
    if have == 0 {
        return Reading::of(Verdict::Unknown, format!("{nic} shows no queues"));
    }
    let reading = Reading::holds(have >= cores.len(), have);
    if reading.verdict == Verdict::Ok {
        return reading;
    }
    let (count, loopback) = (cores.len(), nic == "lo");
    let mut reading = reading.advise(format!("ethtool -L {nic} combined {count}, if it has them"));
    if loopback {
        reading.verdict = Verdict::Cannot;
        reading.advice = Some("loopback has one queue".to_owned());
    }
    reading
}

pub(crate) fn rps(host: &Host, _: Want) -> Reading {
    let (nic, cores) = match known(host) {
        Ok(known) => known,
        Err(reading) => return reading,
    };
    let names = queues(host, "rx-");
    let wanted = if names.len() < cores.len() { host.cores.clone() } else { Cpus::default() };
    masks(host, names.into_iter().map(|name| (name, wanted.clone())), nic, "rps_cpus")
}

pub(crate) fn xps(host: &Host, _: Want) -> Reading {
    let (nic, cores) = match known(host) {
        Ok(known) => known,
        Err(reading) => return reading,
    };
    let names = queues(host, "tx-");
    if names.len() == 1 {
        return Reading::of(Verdict::Ok, "one queue");
    }
    let count = names.len().max(1);
    let of_queue = |queue: usize| cores.iter().copied().skip(queue).step_by(count).collect();
    // A queue beyond the cores is left to the other CPUs, as it is.
    let wanted = names.into_iter().enumerate().take(cores.len());
    masks(host, wanted.map(|(queue, name)| (name, of_queue(queue))), nic, "xps_cpus")
}

fn masks(
    host: &Host,
    wanted: impl Iterator<Item = (String, Cpus)>,
    nic: &str,
    name: &str,
) -> Reading {
    let mut writes = Writes::default();
    let mut found = Vec::new();
    for (queue, wanted) in wanted {
        let path = format!("/sys/class/net/{nic}/queues/{queue}/{name}");
        let old = match host.root.read(&path) {
            Ok(old) => old,
            Err(error) => return Reading::unread(&path, error),
        };
        let Ok(mask) = Cpus::from_mask(&old) else {
            return Reading::of(Verdict::Unknown, format!("{path} is no mask"));
        };
        let shown = if mask.is_empty() { "off".to_owned() } else { mask.to_string() };
        found.push((queue, shown));
        if mask != wanted {
            writes.add(host, path, old, wanted.to_mask());
        }
    }
    if found.is_empty() {
        return Reading::of(Verdict::Unknown, format!("{nic} shows no queues"));
    }
    writes.reading(file::summary(&found))
}

/// Three numbers of pages: where it eases, where it presses, where it ends.
pub(crate) fn udp_mem(host: &Host, _: Want) -> Reading {
    let path = "/proc/sys/net/ipv4/udp_mem";
    let old = match host.root.read(path) {
        Ok(old) => old,
        Err(error) => return Reading::unread(path, error),
    };
    let pages: Vec<u64> = old.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [ease, press, end] = pages[..] else {
        return Reading::of(Verdict::Unknown, format!("{path} has not three numbers"));
    };
    let cores = u64::try_from(host.cores.count()).unwrap_or(u64::MAX).max(1);
    let need = PAGES_PER_CORE.saturating_mul(cores);
    let current = format!("{ease} {press} {end}");
    let mut writes = Writes::default();
    if press < need {
        let new = format!("{ease}\t{need}\t{}", end.max(need.saturating_add(need / 2)));
        writes.add(host, path.to_owned(), old, new);
    }
    writes.reading(current)
}
