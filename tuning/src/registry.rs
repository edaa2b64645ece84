//! The one table of what is looked at: `kdht tune` in all its forms and the tables of
//! README.md are made from it.

mod cores;
mod interrupts;
mod memory;
mod network;

use std::fmt::{self, Write};

use crate::Profile;
use crate::judge::Probe;

/// One thing that a host is looked at for.
#[derive(Debug)]
pub struct Item {
    /// Its name, unique.
    pub name: &'static str,
    /// Where it is read.
    pub reads: &'static str,
    /// What each profile wants, in the order of [`Profile::ALL`].
    pub wants: [Want; 4],
    /// What is gained.
    pub why: &'static str,
    /// What it costs, or may break.
    pub risk: &'static str,
    /// Where the kernel or a manual page describes it.
    pub source: &'static str,
    pub(crate) probe: Probe,
}

/// What a profile wants of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Want {
    /// Nothing: the item is not looked at.
    Nothing,
    /// Just this.
    Is(&'static str),
    /// One of these; the first that the host offers is what is written.
    OneOf(&'static [&'static str]),
    /// A number not below this.
    AtLeast(u64),
    /// A number not above this.
    AtMost(u64),
    /// What these words say; the item's own code judges it.
    Holds(&'static str),
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Is(text) | Self::Holds(text) => f.write_str(text),
            Self::OneOf(texts) => write!(f, "one of {}", texts.join(", ")),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl Item {
    /// What `profile` wants of it.
    #[must_use]
    pub fn want(&self, profile: Profile) -> Want {
        let mut pairs = Profile::ALL.into_iter().zip(self.wants);
        pairs.find(|(of, _)| *of == profile).map_or(Want::Nothing, |(_, want)| want)
    }
}

/// Every item, in the order in which they are applied.
pub fn items() -> impl Iterator<Item = &'static Item> {
    [cores::ITEMS, interrupts::ITEMS, network::ITEMS, memory::ITEMS].into_iter().flatten()
}

/// What a profile wants, as a section of README.md.
#[must_use]
pub fn markdown(profile: Profile) -> String {
    let mut text = format!(
        "### {profile}\n\n{}\n\n| item | read from | wanted | why | risk | source |\n\
         |---|---|---|---|---|---|\n",
        profile.purpose()
    );
    for item in items() {
        let want = item.want(profile);
        if want != Want::Nothing {
            let Item { name, reads, why, risk, source, .. } = item;
            let _ = writeln!(text, "| `{name}` | `{reads}` | {want} | {why} | {risk} | {source} |");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_a_name_of_its_own_a_why_a_risk_and_a_source() {
        for item in items() {
            let name = item.name;
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert_eq!(items().filter(|other| other.name == name).count(), 1, "{name}");
            for text in [item.reads, item.why, item.risk, item.source] {
                assert!(!text.is_empty() && !text.contains(['|', '\n']), "{name}: {text}");
            }
            let is_named = item.source.starts_with("Documentation/") || item.source.ends_with(')');
            assert!(is_named, "{name}: {}", item.source);
            assert!(item.wants.iter().any(|want| *want != Want::Nothing), "{name}");
        }
    }

    #[test]
    fn the_shared_profile_writes_nothing_that_takes_power_or_cores_from_others() {
        let kept = ["governor", "epp", "idle-states", "irq-nic", "irq-others", "busy-poll", "thp"];
        for name in kept {
            let item = items().find(|item| item.name == name).unwrap();
            assert_eq!(item.want(Profile::Shared), Want::Nothing, "{name}");
        }
    }
}
