//! The commands' numbers: header, specification and Rust name the same in the same order.

use kdht_core::Refusal;
use kdht_kmod::{
    Attribute, Command, EntryAttribute, FillAttribute, KeyAttribute, KeysAttribute, StatsAttribute,
};
use kdht_kmod_test::repository_file;
use kdht_wire::Kind;

fn text(path: &str) -> String {
    std::fs::read_to_string(repository_file(path)).unwrap()
}

/// The header's enumerators with `prefix`, in their order, as the specification writes them.
fn of_header(prefix: &str) -> Vec<String> {
    let header = text("kmod/kdht_netlink.h");
    let words = header.lines().filter_map(|line| line.trim().strip_prefix(prefix));
    // The last of each enum is its maximum, by an expression.
    let names = words.filter(|word| !word.contains('(') && word.ends_with([',', '1']));
    names
        .map(|word| word.trim_end_matches(" = 1,").trim_end_matches(','))
        .map(|word| word.to_lowercase().replace('_', "-"))
        .collect()
}

/// The names that the specification lists under `heading`, in their order.
fn of_specification(heading: &str) -> Vec<String> {
    let specification = text("kmod/kdht.yaml");
    let after = specification.split_once(heading).unwrap().1;
    let indent = after.lines().find(|line| line.trim_start().starts_with("name: ")).unwrap();
    let indent = indent.len() - indent.trim_start().len();
    after
        .lines()
        .skip(1)
        .take_while(|line| line.len() - line.trim_start().len() + 2 >= indent)
        .filter_map(|line| line.trim_start().strip_prefix("name: "))
        .map(str::to_owned)
        .collect()
}

/// A variant's name as the specification writes it.
fn kebab(variant: impl std::fmt::Debug) -> String {
    let mut out = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn compare<T: std::fmt::Debug>(prefix: &str, heading: &str, of_number: impl Fn(u16) -> T) {
    let header = of_header(prefix);
    assert!(!header.is_empty(), "{prefix}");
    assert_eq!(header, of_specification(heading), "{prefix}");
    let rust: Vec<String> =
        (1..).map(|number| kebab(of_number(number))).take(header.len()).collect();
    assert_eq!(header, rust, "{prefix}");
    let next = u16::try_from(header.len() + 1).unwrap();
    assert!(kebab(of_number(next)).starts_with("unrecognized"), "{prefix}");
}

#[test]
fn commands_and_attributes_have_one_number_each() {
    let set = |name: &str| format!("    name: {name}\n    attributes:");
    compare("KDHT_CMD_", "  list:", |number| Command::from(u8::try_from(number).unwrap()));
    compare("KDHT_A_NODE_", &set("node"), Attribute::from);
    compare("KDHT_A_KEYS_", &set("keys"), KeysAttribute::from);
    compare("KDHT_A_KEY_", &set("key"), KeyAttribute::from);
    compare("KDHT_A_STATS_", &set("stats"), StatsAttribute::from);
    compare("KDHT_A_ENTRY_", &set("entry"), EntryAttribute::from);
    compare("KDHT_A_FILL_", &set("fill"), FillAttribute::from);
}

#[test]
fn counters_are_named_as_kinds_and_refusals_are() {
    let kebab = |name: &str| name.replace('_', "-");
    let kinds: Vec<String> = Kind::ALL.iter().map(|kind| kebab(kind.name())).collect();
    assert_eq!(of_specification("    name: by-kind\n    attributes:"), kinds);
    let reasons: Vec<String> = Refusal::NAMED.iter().map(|(_, name)| kebab(name)).collect();
    assert_eq!(of_specification("    name: by-reason\n    attributes:"), reasons);
}
