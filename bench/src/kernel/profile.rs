//! Whose instructions they are.

use std::collections::BTreeMap;

/// Modules whose instructions are the answer's own; all else of the kernel is network stack,
/// scheduler and what more lies between two sockets.
const ANSWERING: [&str; 2] = ["kdht", "kdht_floor"];

/// What the counting plugin calls programs, and the client; all else is an address.
const PROGRAMS: u64 = 0;
const CLIENT: u64 = 1;

/// Where functions of the kernel and its modules begin.
#[derive(Debug, Default)]
pub(super) struct Symbols(BTreeMap<u64, (String, Option<String>)>);

/// Instructions of one count, by whose they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Profile {
    /// The client's, outside the kernel.
    pub(super) client: u64,
    /// Other programs', outside the kernel.
    pub(super) user: u64,
    /// The kernel's.
    pub(super) stack: u64,
    /// The answering module's.
    pub(super) module: u64,
    /// Both of the kernel's by function.
    pub(super) functions: BTreeMap<String, u64>,
}

impl Symbols {
    /// Reads lines of an address, a name and a module in brackets, if it is one's.
    #[must_use]
    pub(super) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let name = words.next()?.to_owned();
            let module = words.next().map(|word| word.trim_matches(['[', ']']).to_owned());
            // Below are offsets into what each processor has of its own.
            (address >> 63 == 1).then_some((address, (name, module)))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The function that has an address, and its module.
    fn of(&self, address: u64) -> (&str, Option<&str>) {
        let found = self.0.range(..=address).next_back();
        found.map_or(("unknown", None), |(_, (name, module))| (name, module.as_deref()))
    }
}

/// Reads what the counting plugin wrote: a profile for each count.
///
/// # Errors
/// What is not as it writes.
pub(super) fn parse(text: &str, symbols: &Symbols) -> Result<Vec<Profile>, String> {
    let mut found: Vec<Profile> = Vec::new();
    for line in text.lines() {
        let (left, right) = line.split_once(' ').ok_or_else(|| format!("counts: `{line}`"))?;
        if left == "count" {
            found.push(Profile::default());
            continue;
        }
        let address = u64::from_str_radix(left, 16);
        let (Ok(address), Ok(count), Some(profile)) =
            (address, right.parse::<u64>(), found.last_mut())
        else {
            return Err(format!("counts: `{line}`"));
        };
        match address {
            PROGRAMS => profile.user += count,
            CLIENT => profile.client += count,
            _ => {
                let (name, module) = symbols.of(address);
                let label = module.map_or_else(|| name.to_owned(), |of| format!("{name} [{of}]"));
                *profile.functions.entry(label).or_default() += count;
                let is_answering = module.is_some_and(|of| ANSWERING.contains(&of));
                *if is_answering { &mut profile.module } else { &mut profile.stack } += count;
            }
        }
    }
    Ok(found)
}

impl Profile {
    /// All instructions.
    #[must_use]
    pub(super) fn total(&self) -> u64 {
        self.client + self.user + self.stack + self.module
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_told_apart_by_where_it_stands() {
        let symbols = Symbols::parse(
            "0000000000001000 a_cpus_own\nffffffff81000000 udp_rcv\nffffffff81000100 ip_rcv\n\
             ffffffffc0000000 kdht_answer [kdht]\nffffffffc0001000 veth_xmit [veth]\n",
        );
        let text = "count 0\n0 5\n1 7\nffffffff81000010 11\nffffffff810000f0 2\n\
                    ffffffffc0000020 13\nffffffffc0001020 17\ncount 1\n0 1\n";
        let found = parse(text, &symbols).unwrap();
        assert_eq!(found.len(), 2);
        let first = &found[0];
        assert_eq!((first.client, first.user, first.stack, first.module), (7, 5, 30, 13));
        assert_eq!(first.total(), 55);
        assert_eq!(first.functions["udp_rcv"], 13);
        assert_eq!(first.functions["kdht_answer [kdht]"], 13);
        assert_eq!(first.functions["veth_xmit [veth]"], 17);
        for wrong in ["count", "0 5", "count 0\nx 5", "count 0\n0 x"] {
            assert!(parse(wrong, &symbols).is_err(), "{wrong}");
        }
    }
}
