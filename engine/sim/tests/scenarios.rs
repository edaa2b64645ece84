//! Small versions of every scenario, each with its own pass lines; and what the simulator
//! itself promises.

use kdht_sim::{Outcome, RunError, Scenario, run};

/// Each scenario, and what makes it small. A file that is missing here fails a test.
const SMALL: &[(&str, &[&str])] = &[
    ("accuser", &["nodes=200", "lookups.count=100", "duration_s=60"]),
    (
        "chaos",
        &[
            "nodes=60",
            "duration_s=420",
            "lookups.count=40",
            "lookups.until_s=410",
            "values.count=10",
            "values.get_until_s=410",
        ],
    ),
    (
        "churn",
        &[
            "nodes=60",
            "duration_s=7200",
            "values.count=20",
            "values.get_from_s=6000",
            "values.get_until_s=7100",
            "lookups.count=50",
        ],
    ),
    ("colluder", &["nodes=200", "lookups.count=50"]),
    ("dropper", &["nodes=300", "lookups.count=100", "duration_s=60"]),
    ("eclipse", &["nodes=300", "duration_s=40", "lookups.count=50"]),
    (
        "flush",
        &[
            "nodes=100",
            "duration_s=90",
            "adversary.0.rate_per_s=500",
            "adversary.0.until_s=30",
            "lookups.from_s=10",
            "lookups.until_s=30",
            "lookups.count=30",
        ],
    ),
    ("forwarding", &["duration_s=20"]),
    ("join", &["nodes=100", "lookups.count=200", "duration_s=60"]),
    ("latency", &["nodes=500", "lookups.count=300"]),
    ("outage", &["nodes=200", "lookups.count=100"]),
    ("partition", &["nodes=80", "lookups.count=100", "values.count=20"]),
    ("perfect", &["nodes=1000", "lookups.count=300"]),
    ("poisoner", &["nodes=300", "lookups.count=60"]),
    ("recursion", &["nodes=50", "duration_s=20"]),
    ("reflection", &["nodes=50", "duration_s=30"]),
    ("splitter", &["nodes=100", "duration_s=60", "adversary.0.count=500", "lookups.count=50"]),
    ("spoofing", &["nodes=80", "duration_s=30", "lookups.count=50"]),
    ("stale", &["nodes=1000", "lookups.count=200"]),
    (
        "storage",
        &[
            "nodes=50",
            "duration_s=100",
            "adversary.0.rate_per_s=1000",
            "values.count=30",
            "values.get_from_s=80",
            "node.store_bytes_max=600000",
            "node.store_source_bytes_max=75000",
        ],
    ),
    ("stranger", &["nodes=60", "duration_s=30", "lookups.count=50"]),
    ("sybil", &["nodes=100", "duration_s=60", "lookups.from_s=20", "lookups.count=50"]),
];

fn scenario(name: &str, overrides: &[&str]) -> Scenario {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let overrides: Vec<String> = overrides.iter().map(|word| (*word).to_owned()).collect();
    Scenario::parse(&text, &overrides).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn outcome(scenario: &Scenario, seed: u64) -> Result<Outcome, RunError> {
    run(scenario, seed, false, &mut |_, _, _| {})
}

fn small(name: &str) -> Scenario {
    let (_, overrides) = SMALL.iter().find(|(known, _)| *known == name).expect(name);
    scenario(name, overrides)
}

/// Runs one small scenario and compares it with its pass lines.
fn passes(name: &str, seed: u64) {
    let words = SMALL.iter().find(|(known, _)| *known == name).expect(name).1;
    let again: String = words.iter().map(|word| format!(" --set '{word}'")).collect();
    let again = format!("kdht sim engine/sim/scenarios/{name}.toml --seed {seed}{again}");
    match outcome(&small(name), seed) {
        Ok(outcome) => {
            assert!(outcome.failures.is_empty(), "{:?}\nagain with: {again}", outcome.failures);
        }
        Err(error) => panic!("{error}\nagain with: {again}"),
    }
}

#[test]
fn every_scenario_has_a_small_version_that_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(SMALL.iter().any(|(known, _)| *known == name), "{name} has no small version");
    }
    for (name, _) in SMALL {
        passes(name, 1);
    }
}

#[test]
fn chaos_breaks_no_invariant_whatever_the_seed() {
    let mut random = [0; 4];
    getrandom::fill(&mut random).unwrap();
    let random = u64::from(u32::from_le_bytes(random));
    println!("random seed {random}");
    for seed in (100..112).chain([random]) {
        passes("chaos", seed);
    }
}

#[test]
fn a_seed_gives_the_same_datagrams_alone_and_beside_others() {
    let chaos = small("chaos");
    let alone = outcome(&chaos, 7).unwrap().figures;
    let digests: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = [7, 8, 7]
            .into_iter()
            .map(|seed| scope.spawn(move || outcome(&small("chaos"), seed).unwrap().figures.digest))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!([&digests[0], &digests[2]], [&alone.digest; 2]);
    assert_ne!(digests[1], alone.digest, "another seed is another run");
}

#[test]
fn a_line_that_fails_is_named_with_its_figure() {
    let mut perfect = scenario("perfect", &["nodes=100", "lookups.count=20"]);
    perfect.expect = vec!["hops_mean >= 50".to_owned()];
    let failures = outcome(&perfect, 3).unwrap().failures;
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("hops_mean is") && failures[0].contains(">= 50"));
}

#[test]
fn without_the_defence_the_attack_shows() {
    for (name, off, figure) in [
        ("sybil", &["node.bucket_group_max=1000", "node.table_group_max=1000"], "per_subnet"),
        ("eclipse", &["node.bucket_group_max=1000", "node.table_group_max=1000"], "target_honest"),
    ] {
        let words = SMALL.iter().find(|(known, _)| *known == name).unwrap().1;
        let words: Vec<&str> = words.iter().chain(off).copied().collect();
        let failures = outcome(&scenario(name, &words), 1).unwrap().failures;
        assert!(failures.iter().any(|line| line.contains(figure)), "{name}: {failures:?}");
    }
}

#[test]
fn a_trace_tells_whom_the_first_lookup_asked() {
    let perfect = scenario("perfect", &["nodes=200", "lookups.count=2"]);
    let lines = run(&perfect, 3, true, &mut |_, _, _| {}).unwrap().trace;
    assert!(lines.iter().any(|line| line.contains("asks ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("names 20 contacts")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("truly closest  1:")), "{lines:?}");
}
