//! What a profile wants, held against what a host has.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::registry::{Want, items};
use crate::{Change, Host, Plan, Profile, judge};

/// How one item stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What is wanted holds.
    Ok,
    /// It does not hold, and can be changed: by `apply`, by a restart, or by somebody.
    Change,
    /// It does not hold, and this host does not let it be changed.
    Cannot,
    /// It could not be read.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Change => "change",
            Self::Cannot => "cannot",
            Self::Unknown => "unknown",
        })
    }
}

/// One item of a host.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name in the registry.
    pub item: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub current: String,
    /// What the profile wants.
    pub wanted: String,
    /// What is gained.
    pub why: &'static str,
    /// What it costs, or may break.
    pub risk: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What `apply` would write.
    pub writes: Vec<Change>,
    /// What is to be added to the kernel's command line.
    pub reboot: Option<String>,
    /// What somebody has to do, or why it cannot be done.
    pub advice: Option<String>,
    /// Whether no file shows it on any host: then `unknown` does not count against the host.
    pub elsewhere: bool,
}

/// All that a profile wants of a host.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The profile.
    pub profile: &'static str,
    /// How many items are ok.
    pub ok: usize,
    /// How many are to be changed.
    pub change: usize,
    /// How many cannot be changed here.
    pub cannot: usize,
    /// How many could not be read.
    pub unknown: usize,
    /// Whether all that can be read holds.
    pub holds: bool,
    /// The items, in the registry's order.
    pub items: Vec<Finding>,
}

/// Looks at everything that `profile` wants. Writes nothing. Cost: some hundred small files,
/// at most one for each CPU, queue, interrupt and process.
#[must_use]
pub fn check(host: &Host, profile: Profile) -> Check {
    let mut findings = Vec::new();
    for item in items() {
        let want = item.want(profile);
        if want == Want::Nothing {
            continue;
        }
        let (reading, writes) = judge::read(item, host, want);
        findings.push(Finding {
            item: item.name,
            verdict: reading.verdict,
            current: reading.current,
            wanted: want.to_string(),
            why: item.why,
            risk: item.risk,
            source: item.source,
            writes,
            reboot: reading.reboot,
            advice: reading.advice,
            elsewhere: reading.is_elsewhere,
        });
    }
    let count = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    let stands = |found: &Finding| found.verdict == Verdict::Ok || found.elsewhere;
    Check {
        profile: profile.name(),
        ok: count(Verdict::Ok),
        change: count(Verdict::Change),
        cannot: count(Verdict::Cannot),
        unknown: count(Verdict::Unknown),
        holds: findings.iter().all(stands),
        items: findings,
    }
}

impl Check {
    /// The counts in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { profile, ok, change, cannot, unknown, .. } = self;
        format!("tune profile={profile} ok={ok} change={change} cannot={cannot} unknown={unknown}")
    }

    /// What follows from it.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let open = || self.items.iter().filter(|found| found.verdict != Verdict::Ok);
        let advice = |found: &Finding| Some(format!("{}: {}", found.item, found.advice.as_ref()?));
        Plan {
            writes: self.items.iter().flat_map(|found| found.writes.clone()).collect(),
            reboot: open().filter_map(|found| found.reboot.clone()).collect(),
            elsewhere: open().filter_map(advice).collect(),
        }
    }

    /// A line for each item, more for those that do not hold, and the counts at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for found in &self.items {
            let Finding { item, verdict, current, wanted, why, risk, source, .. } = found;
            let _ = writeln!(text, "{verdict:8} {item:16} {current} (wanted: {wanted})");
            if *verdict == Verdict::Ok {
                continue;
            }
            let _ = writeln!(text, "         why: {why}\n         risk: {risk}");
            if let Some(advice) = &found.advice {
                let _ = writeln!(text, "         how: {advice}");
            }
            if !found.writes.is_empty() {
                let _ = writeln!(text, "         how: apply writes {} files", found.writes.len());
            }
            if let Some(words) = &found.reboot {
                let _ = writeln!(text, "         how: restart with {words}");
            }
            let _ = writeln!(text, "         source: {source}");
        }
        text.push_str(&self.line());
        text
    }
}
