//! Binding a thread to one core.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Numbers of CPUs, lowest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// The numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Cpus {
    /// As the kernel lists them: `0-3,8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for run in self.0.chunk_by(|left, right| left + 1 == *right) {
            match run {
                [only] => write!(f, "{separator}{only}")?,
                [first, .., last] => write!(f, "{separator}{first}-{last}")?,
                [] => {}
            }
            separator = ",";
        }
        Ok(())
    }
}

/// Most CPUs of one list.
const CPUS_MAX: usize = 255;

/// A text that lists no CPUs, or too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoCpus;

impl FromStr for Cpus {
    type Err = NoCpus;

    /// Reads what the kernel writes: numbers and ranges, separated by commas, at most 255
    /// CPUs.
    fn from_str(text: &str) -> Result<Self, NoCpus> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| NoCpus);
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last - first >= CPUS_MAX {
                return Err(NoCpus);
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        if cpus.len() > CPUS_MAX { Err(NoCpus) } else { Ok(Self(cpus)) }
    }
}

/// The CPUs on which the calling thread may run, or none if the host does not tell.
#[must_use]
pub fn allowed_cpus() -> Cpus {
    let Ok(set) = sched_getaffinity(None) else { return Cpus::default() };
    Cpus((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Lets the calling thread, and threads it starts from now on, run on `cpu` alone.
///
/// # Errors
/// `PinError` names the CPU and those allowed; the thread then runs where it did.
pub fn pin_to(cpu: usize) -> Result<(), PinError> {
    let pinned = if cpu < CpuSet::MAX_CPU {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set)
    } else {
        Err(Errno::INVAL)
    };
    pinned.map_err(|errno| {
        let reason = match errno {
            Errno::INVAL => PinReason::NotAvailable,
            Errno::PERM | Errno::ACCESS => PinReason::Denied,
            errno => PinReason::Other(errno.raw_os_error()),
        };
        PinError { cpu, allowed: allowed_cpus(), reason }
    })
}

/// Why a thread could not be pinned, and to what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PinError {
    /// The CPU asked.
    pub cpu: usize,
    /// Those on which the thread may run.
    pub allowed: Cpus,
    /// What stands against it.
    pub reason: PinReason,
}

/// What stands against pinning a thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PinReason {
    /// The CPU does not exist, is offline, or lies outside this process's cpuset.
    NotAvailable,
    /// The host forbids threads to choose.
    Denied,
    /// Any other error number of the host's.
    Other(i32),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot pin to CPU {}: ", self.cpu)?;
        match self.reason {
            PinReason::NotAvailable => {
                f.write_str("it does not exist, is offline or is outside the cpuset")?;
            }
            PinReason::Denied => f.write_str("the host forbids threads to choose")?,
            PinReason::Other(errno) => {
                write!(f, "{}", std::io::Error::from_raw_os_error(errno))?;
            }
        }
        write!(f, "; allowed: {}", self.allowed)
    }
}

impl Error for PinError {}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pinned_thread_is_allowed_its_cpu_alone() {
        for &cpu in allowed_cpus().as_slice() {
            // On a thread of its own, since the pin stays.
            let after = thread::spawn(move || {
                pin_to(cpu).unwrap();
                allowed_cpus()
            });
            assert_eq!(after.join().unwrap(), Cpus(vec![cpu]));
        }
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_refused_with_those_that_do() {
        for cpu in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let error = pin_to(cpu).unwrap_err();
            assert_eq!(error.reason, PinReason::NotAvailable);
            assert_eq!(error.allowed, allowed_cpus());
            assert!(error.to_string().contains(&cpu.to_string()));
        }
    }

    #[test]
    fn cpus_are_listed_as_the_kernel_does() {
        for (cpus, text) in [(vec![], ""), (vec![0, 1, 2, 3, 8], "0-3,8"), (vec![1, 3, 4], "1,3-4")]
        {
            assert_eq!(Cpus(cpus).to_string(), text);
        }
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
        assert_eq!(line.split_whitespace().last(), Some(&*allowed_cpus().to_string()));
    }
}
