//! Items that are one file, one for each core, or one for the interface.

use super::{Reading, Writes};
use crate::registry::Want;
use crate::{Host, ReadError, Verdict};

/// Files that are shown by name; of more only the number is.
const SHOWN_MAX: usize = 8;

/// A file with one value. `{cpu}` and `{nic}` in its path stand for each core and for the
/// interface.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: &'static str,
    /// A file that lists what may be written.
    pub(crate) options: Option<&'static str>,
    pub(crate) absent: Absent,
}

/// What it means that there is no such file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// What is wanted holds, for this reason.
    Ok(&'static str),
    /// It cannot be had, for this reason.
    Cannot(&'static str),
    /// Nothing can be said.
    Unknown,
}

pub(super) fn judge(file: &File, host: &Host, want: Want) -> Reading {
    let nic = host.nic.as_deref().unwrap_or_default();
    if file.path.contains("{nic}") && nic.is_empty() {
        return Reading::no_nic();
    }
    let is_per_core = file.path.contains("{cpu}");
    if is_per_core && host.cores.is_empty() {
        return Reading::no_cores();
    }
    let cpus: Vec<String> = if is_per_core {
        host.cores.iter().map(|cpu| cpu.to_string()).collect()
    } else {
        vec![String::new()]
    };
    let mut found: Vec<(String, String)> = Vec::new();
    let mut writes = Writes::default();
    for cpu in &cpus {
        let filled = |pattern: &str| pattern.replace("{cpu}", cpu).replace("{nic}", nic);
        let path = filled(file.path);
        let text = match host.root.read(&path) {
            Ok(text) => text,
            Err(ReadError::Absent) => return missing(file.absent, &path),
            Err(error) => return Reading::unread(&path, error),
        };
        let value = chosen(&text).to_owned();
        if !satisfies(&value, want) {
            let offered = file.options.and_then(|options| host.root.read(&filled(options)).ok());
            // A file in brackets lists its own choices.
            let offered = offered.or_else(|| text.contains('[').then(|| text.clone()));
            let Some(new) = to_write(want, offered.as_deref()) else {
                let offered = offered.unwrap_or_default();
                return Reading::of(Verdict::Cannot, value)
                    .advise(format!("{path} offers only: {}", offered.trim()));
            };
            writes.add(host, path, text, new);
        }
        found.push((cpu.clone(), value));
    }
    writes.reading(summary(&found))
}

fn missing(absent: Absent, path: &str) -> Reading {
    match absent {
        Absent::Ok(why) => Reading::of(Verdict::Ok, "none").advise(why),
        Absent::Cannot(why) => Reading::of(Verdict::Cannot, "none").advise(why),
        Absent::Unknown => Reading::unread(path, ReadError::Absent),
    }
}

/// One value if all have the same, else each with its name.
pub(super) fn summary(found: &[(String, String)]) -> String {
    let Some((_, first)) = found.first() else { return "none".to_owned() };
    if found.iter().all(|(_, value)| value == first) {
        return first.clone();
    }
    let mut shown: Vec<String> =
        found.iter().take(SHOWN_MAX).map(|(name, value)| format!("{name}: {value}")).collect();
    if found.len() > SHOWN_MAX {
        shown.push(format!("{} more", found.len() - SHOWN_MAX));
    }
    shown.join("; ")
}

/// The value of a file: the word in brackets where it has some, else all of it.
pub(crate) fn chosen(text: &str) -> &str {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or(text.trim(), |(inner, _)| inner)
}

pub(super) fn satisfies(value: &str, want: Want) -> bool {
    let number = || value.parse::<u64>().ok();
    match want {
        Want::Nothing | Want::Holds(_) => true,
        Want::Is(text) => value == text,
        Want::OneOf(texts) => texts.contains(&value),
        Want::AtLeast(least) => number().is_some_and(|number| number >= least),
        Want::AtMost(most) => number().is_some_and(|number| number <= most),
    }
}

/// What makes `want` hold, if the host offers it.
fn to_write(want: Want, offered: Option<&str>) -> Option<String> {
    let is_offered = |text: &&str| {
        let is_it = |word: &str| word.trim_matches(['[', ']']) == *text;
        offered.is_none_or(|offered| offered.split_whitespace().any(is_it))
    };
    match want {
        Want::Nothing | Want::Holds(_) => None,
        Want::Is(text) => Some(text).filter(is_offered).map(str::to_owned),
        Want::OneOf(texts) => texts.iter().copied().find(is_offered).map(str::to_owned),
        Want::AtLeast(number) | Want::AtMost(number) => Some(number.to_string()),
    }
}
