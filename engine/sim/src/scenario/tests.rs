//! Scenarios as they are read.

use super::*;
use crate::settings::Settings;

fn error(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|word| (*word).to_owned()).collect();
    Scenario::parse(text, &overrides).expect_err(text).to_string()
}

#[test]
fn mistakes_are_refused_with_key_line_and_what_is_allowed() {
    let unknown = error("nodes = 10\nnodez = 3\n", &[]);
    assert!(unknown.contains("line 2") && unknown.contains("nodez"), "{unknown}");
    assert!(unknown.contains("`nodes`"), "{unknown}");
    let range = error("k = 21\n", &[]);
    assert_eq!(range, "k must be 1 to 20, not 21");
    let setting = error("[node]\nspeed = 3\n", &[]);
    assert!(setting.contains("node.speed") && setting.contains("contacts_max"), "{setting}");
    let late = error("[lookups]\ncount = 1\nfrom_s = 100000\n", &[]);
    assert!(late.starts_with("lookups.from_s must be 0 to "), "{late}");
    let plan = |from_s, until_s| {
        format!("[[partition]]\nfrom_s = {from_s}\nuntil_s = {until_s}\nshare = 0.5\n")
    };
    let both = error(&format!("{}{}", plan(10, 60), plan(20, 90)), &[]);
    assert_eq!(both, "partition: one from 10 to 60 s and one from 20 s overlap");
    let outage = "nodes = 10\n[[outage]]\nfrom_s = 1\nuntil_s = 9\nnodes = 11\n";
    assert_eq!(error(outage, &[]), "outage.0.nodes must be 1 to 10, not 11");
    let updates = error("[values]\nupdates = 2\n", &[]);
    assert!(updates.contains("values.updates") && updates.contains("signed"), "{updates}");
    let set = error("k = 8\n", &["latency.mean=3"]);
    assert!(set.contains("--set latency.mean=3") && set.contains("mean_ms"), "{set}");
    let line = error("expect = [\"hops_mean about 3\"]\n", &[]);
    assert!(line.contains("hops_mean about 3") && line.contains("within"), "{line}");
}

#[test]
fn an_override_reaches_tables_and_lists() {
    let text = "nodes = 5\n[[adversary]]\nkind = \"dropper\"\nshare = 0.5\n";
    let words = ["nodes=7", "adversary.0.share=0.25", "node.contacts_max=99", "network=join"];
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let read = Scenario::parse(text, &words).unwrap();
    assert_eq!((read.nodes, read.network), (7, Network::Join));
    assert!((read.adversary[0].share - 0.25).abs() < 1e-12);
    assert_eq!(Settings::of(&read).unwrap().config.contacts_max, 99);
}
