//! How an item is read and held against what is wanted.

pub(crate) mod cores;
mod file;
pub(crate) mod interrupts;
pub(crate) mod isolation;
pub(crate) mod network;

use crate::registry::{Item, Want};
use crate::{Change, Cpus, Host, ReadError, Verdict};

pub(crate) use file::{Absent, File, chosen};

/// How an item is looked at.
#[derive(Debug)]
pub(crate) enum Probe {
    /// One file, or one for each core or for the interface.
    File(File),
    /// A line of `/proc/self/limits`.
    Limit { line: &'static str, advice: &'static str },
    /// Nothing that a file shows; these commands show it, and set it.
    Ethtool { shows: &'static str, sets: &'static str },
    /// Code of its own.
    Judge(fn(&Host, Want) -> Reading),
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) verdict: Verdict,
    pub(crate) current: String,
    /// Path, what it holds, what is to be written.
    pub(crate) writes: Vec<(String, String, String)>,
    /// What is to be added to the kernel's command line.
    pub(crate) reboot: Option<String>,
    /// What others have to do, or why it cannot be done.
    pub(crate) advice: Option<String>,
    /// Whether no file could have told, on any host.
    pub(crate) is_elsewhere: bool,
}

impl Reading {
    pub(crate) fn of(verdict: Verdict, current: impl ToString) -> Self {
        Self {
            verdict,
            current: current.to_string(),
            writes: Vec::new(),
            reboot: None,
            advice: None,
            is_elsewhere: false,
        }
    }

    /// Ok if `holds`, else to be changed.
    pub(crate) fn holds(holds: bool, current: impl ToString) -> Self {
        Self::of(if holds { Verdict::Ok } else { Verdict::Change }, current)
    }

    pub(crate) fn unread(path: &str, error: ReadError) -> Self {
        Self::of(Verdict::Unknown, format!("{path} {error}"))
    }

    pub(crate) fn advise(mut self, advice: impl ToString) -> Self {
        self.advice = Some(advice.to_string());
        self
    }

    pub(crate) fn reboot_with(mut self, words: String) -> Self {
        self.reboot = (self.verdict == Verdict::Change).then_some(words);
        self
    }

    /// The cores are not known, so nothing can be said.
    pub(crate) fn no_cores() -> Self {
        Self::of(Verdict::Unknown, "no cores named").advise("name the node's cores: --cores 2-5")
    }

    /// The interface is not known, so nothing can be said.
    pub(crate) fn no_nic() -> Self {
        Self::of(Verdict::Unknown, "no interface named")
            .advise("name the node's interface: --nic eth0")
    }
}

/// Writes of one item, of which some files cannot be written.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) writes: Vec<(String, String, String)>,
    pub(crate) read_only: Vec<String>,
}

impl Writes {
    pub(crate) fn add(&mut self, host: &Host, path: String, old: String, new: String) {
        if host.root.is_writable(&path) {
            self.writes.push((path, old, new));
        } else {
            self.read_only.push(path);
        }
    }

    /// Ok where nothing is to be written, `change` where something can be, else `cannot`.
    pub(crate) fn reading(self, current: impl ToString) -> Reading {
        let verdict = match (self.writes.is_empty(), self.read_only.first()) {
            (false, _) => Verdict::Change,
            (true, Some(_)) => Verdict::Cannot,
            (true, None) => Verdict::Ok,
        };
        let mut reading = Reading::of(verdict, current);
        reading.advice = self.read_only.first().map(|path| {
            let more = match self.read_only.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            format!("read-only here: {path}{more}")
        });
        reading.writes = self.writes;
        reading
    }
}

pub(crate) fn read(item: &'static Item, host: &Host, want: Want) -> (Reading, Vec<Change>) {
    let mut reading = match &item.probe {
        Probe::File(file) => file::judge(file, host, want),
        Probe::Limit { line, advice } => limit(host, line, advice, want),
        Probe::Ethtool { shows, sets } => ethtool(host, shows, sets),
        Probe::Judge(judge) => judge(host, want),
    };
    let of_write = |(path, old, new)| Change { item: item.name, path, old, new };
    let changes = std::mem::take(&mut reading.writes).into_iter().map(of_write).collect();
    (reading, changes)
}

fn ethtool(host: &Host, shows: &str, sets: &str) -> Reading {
    let Some(nic) = &host.nic else { return Reading::no_nic() };
    let run = shows.replace("{nic}", nic);
    let mut reading = Reading::of(Verdict::Unknown, format!("run {run}"));
    reading.is_elsewhere = true;
    reading.advise(format!("no file shows it; {run} does, {} sets it", sets.replace("{nic}", nic)))
}

fn limit(host: &Host, line: &str, advice: &str, want: Want) -> Reading {
    let path = "/proc/self/limits";
    let text = match host.root.read(path) {
        Ok(text) => text,
        Err(error) => return Reading::unread(path, error),
    };
    let soft = |found: &str| found.strip_prefix(line)?.split_whitespace().next().map(str::to_owned);
    let Some(soft) = text.lines().find_map(soft) else {
        return Reading::of(Verdict::Unknown, format!("{path} has no `{line}`"));
    };
    let holds = soft == "unlimited" || file::satisfies(&soft, want);
    let reading = Reading::holds(holds, soft);
    if holds { reading } else { reading.advise(advice) }
}

/// The CPUs that a word of the kernel's command line lists, such as `rcu_nocbs=2-5`; words
/// that are no CPUs, such as the flags of isolcpus, do not count.
pub(crate) fn cpus_of_command_line(text: &str, name: &str) -> Option<Cpus> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix(name))?;
    let list = word.strip_prefix('=').unwrap_or_default();
    let parts = list.split(',').filter_map(|part| part.parse::<Cpus>().ok());
    Some(parts.flat_map(|cpus| cpus.iter().collect::<Vec<_>>()).collect())
}
