//! Small versions of every scenario, each with its own pass lines; and what the simulator
//! itself promises.

use std::io::Write;

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
    ("colluder", &["nodes=200", "lookups.count=50", "values.count=20"]),
    (
        "cookie_replay",
        &["nodes=30", "duration_s=1000", "adversary.0.rate_per_s=10", "adversary.0.count=10"],
    ),
    (
        "day",
        &[
            "nodes=200",
            "duration_s=7300",
            "values.count=100",
            "values.census_s=1200",
            "node.republish_s=1200",
            "churn.mean_s=1200",
            "lookups.count=200",
            "lookups.until_s=7200",
        ],
    ),
    ("dropper", &["nodes=300", "lookups.count=100", "duration_s=60"]),
    ("eclipse", &["nodes=400", "duration_s=40", "lookups.count=50"]),
    ("fault_loop", &["nodes=50", "duration_s=30", "lookups.count=50"]),
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
    ("forwarded", &["nodes=300", "duration_s=120", "values.count=300"]),
    ("forwarding", &["nodes=60", "duration_s=30"]),
    ("garbage", &["duration_s=20", "lookups.count=50"]),
    ("hash_flood", &["nodes=30", "duration_s=30"]),
    ("join", &["nodes=100", "lookups.count=200", "duration_s=60"]),
    ("latency", &["nodes=500", "lookups.count=300"]),
    ("limiter", &["duration_s=20", "adversary.0.rate_per_s=2000", "lookups.count=50"]),
    ("outage", &["nodes=200", "lookups.count=100"]),
    ("partition", &["nodes=80", "lookups.count=100", "values.count=20"]),
    (
        "partition_hour",
        &[
            "nodes=100",
            "duration_s=1500",
            "node.republish_s=600",
            "partition.0.until_s=660",
            "values.count=60",
            "values.put_until_s=600",
            "values.get_from_s=1260",
            "values.get_until_s=1480",
            "lookups.count=100",
            "lookups.from_s=1260",
            "lookups.until_s=1480",
        ],
    ),
    ("perfect", &["nodes=1000", "lookups.count=300"]),
    ("poisoner", &["nodes=300", "lookups.count=60"]),
    ("recursion", &["nodes=50", "duration_s=20"]),
    ("reflection", &["nodes=50", "duration_s=30"]),
    ("replay", &["nodes=50", "duration_s=200", "lookups.count=200"]),
    ("rollback", &["nodes=50", "duration_s=150", "values.count=15"]),
    ("signatures", &["duration_s=20", "lookups.count=50"]),
    ("splitter", &["nodes=100", "duration_s=60", "adversary.0.count=1000", "lookups.count=100"]),
    ("spoofing", &["nodes=80", "duration_s=30", "lookups.count=50"]),
    ("stale", &["nodes=1000", "lookups.count=200"]),
    (
        "storage",
        &[
            "nodes=50",
            "duration_s=100",
            "adversary.0.rate_per_s=2500",
            "values.count=30",
            "values.get_from_s=80",
            "node.store_bytes_max=600000",
            "node.store_source_bytes_max=75000",
        ],
    ),
    ("stranger", &["nodes=60", "duration_s=30", "lookups.count=50"]),
    ("subnet", &["nodes=200", "adversary.0.count=20", "lookups.count=60", "values.count=20"]),
    ("sybil", &["nodes=100", "duration_s=60", "lookups.from_s=20", "lookups.count=50"]),
    ("wide", &["nodes=200", "lookups.count=300"]),
    ("zones", &["nodes=300", "values.count=300", "lookups.count=20"]),
];

/// What takes the defence away that an attack's scenario is about.
enum Off {
    /// These settings.
    Set(&'static [&'static str]),
    /// No setting: mutants/attacks/NAME.patch takes it out of the code, and mutants.sh shows
    /// that the scenario fails.
    Patch,
}

const NO_CAPS: Off = Off::Set(&["node.bucket_group_max=1000", "node.table_group_max=1000"]);
const NO_KEY: Off = Off::Set(&["keyed=false"]);
const TOLD: Off = Off::Set(&["adversary.0.informed=true"]);
/// Whoever does not answer is waited for, a minute each time.
const PATIENT: Off = Off::Set(&[
    "node.slow_ms_min=60000",
    "node.slow_ms_max=60000",
    "node.slow_ms_initial=60000",
    "node.fail_ms_min=60000",
    "node.fail_ms_max=60000",
]);

/// Each scenario with adversaries, in the order of their names, what takes its defence away,
/// and the figure that then is not as the scenario expects.
const DEFENCES: &[(&str, Off, &str)] = &[
    ("accuser", Off::Patch, "victim_datagrams"),
    ("cookie_replay", Off::Patch, "forbidden_served"),
    ("dropper", PATIENT, "lookups_unfinished"),
    ("eclipse", NO_CAPS, "target_honest"),
    ("fault_loop", Off::Patch, "replies_to_replies"),
    ("flush", Off::Patch, "live_evicted"),
    ("forwarding", Off::Patch, "victim_datagrams"),
    ("garbage", Off::Patch, "forbidden_served"),
    ("hash_flood", TOLD, "slot_keys_max"),
    ("limiter", Off::Set(&["node.throttle_slots=0"]), "greedy_per_s"),
    ("poisoner", PATIENT, "closest_found"),
    ("recursion", TOLD, "operations_max"),
    ("reflection", TOLD, "amplification_once"),
    ("replay", NO_KEY, "forbidden_served"),
    ("rollback", Off::Patch, "values_old"),
    ("signatures", Off::Set(&["node.signatures_per_s=1000000"]), "signatures_per_s"),
    ("splitter", Off::Patch, "buckets_max"),
    ("spoofing", Off::Patch, "invented_asked"),
    (
        "storage",
        Off::Set(&["node.store_bytes_max=1000000000", "node.store_source_bytes_max=1000000000"]),
        "store_bytes_max",
    ),
    ("stranger", NO_KEY, "victim_datagrams"),
    ("subnet", NO_CAPS, "values_lost"),
    ("sybil", NO_CAPS, "per_subnet_in_table"),
];

/// Attacks against which a lookup pays as much as is asked of it: their scenarios have a line for
/// each price.
const PRICED: &[&str] = &["colluder"];

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// The names of all scenarios, sorted.
fn scenarios() -> Vec<String> {
    let files = std::fs::read_dir(format!("{FOLDER}/scenarios")).expect(FOLDER);
    let stem = |file: std::fs::DirEntry| {
        file.path().file_stem().map(|stem| stem.to_string_lossy().into_owned())
    };
    let mut names: Vec<String> =
        files.filter_map(|file| stem(file.expect("a file of the folder"))).collect();
    names.sort();
    names
}

fn scenario(name: &str, overrides: &[&str]) -> Scenario {
    let path = format!("{FOLDER}/scenarios/{name}.toml");
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
        Err(error) => {
            // What the figures are although an invariant is broken.
            let mut unchecked = small(name);
            unchecked.checks = false;
            let failures = outcome(&unchecked, seed).map(|outcome| outcome.failures);
            panic!("{error}\n{failures:?}\nagain with: {again}");
        }
    }
}

/// With KDHT_SCENARIO only the scenario that it names: mutants.sh asks for one at a time.
#[test]
fn every_scenario_has_a_small_version_that_passes() {
    for name in scenarios() {
        assert!(SMALL.iter().any(|(known, _)| *known == name), "{name} has no small version");
    }
    let wanted = std::env::var("KDHT_SCENARIO").ok();
    assert!(wanted.as_ref().is_none_or(|name| scenarios().contains(name)), "{wanted:?}");
    for (name, _) in SMALL.iter().filter(|(name, _)| wanted.as_deref().is_none_or(|w| w == *name)) {
        passes(name, 1);
    }
}

#[test]
fn racks_share_replicas_however_far_these_have_to_be_looked_for() {
    // Twenty replicas in ten racks of two: the twenty nearest nodes never stand like that.
    let words =
        ["nodes=300", "values.count=200", "k=20", "zones.replicas_max=2", "lookups.count=20"];
    let outcome = outcome(&scenario("zones", &words), 1).unwrap();
    let Outcome { figures, failures, .. } = outcome;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(figures.rack_replicas_most, 2);
    assert!(figures.replicas_mean > 19.9, "{}", figures.replicas_mean);
}

#[test]
fn colluders_hide_a_node_that_there_is_no_more_often_than_the_arithmetic_says() {
    // S/Kademlia's for one and four paths among 10,000 nodes, of which a fifth lies; fewer
    // nodes have shorter ways. Less three standard errors of 300 lookups.
    for (paths, share) in [("node.paths=1", 0.62), ("node.paths=4", 0.967)] {
        let target = "lookups.targets=\"node\"";
        let words = ["nodes=1000", paths, target, "lookups.count=300", "values.count=0"];
        let figures = outcome(&scenario("colluder", &words), 1).unwrap().figures;
        assert!(figures.closest_found >= share, "{paths}: {}", figures.closest_found);
    }
}

#[test]
fn caps_keep_colluders_of_one_network_from_hiding_nodes() {
    let words = [
        "nodes=1000",
        "node.paths=1",
        "lookups.targets=\"node\"",
        "adversary.0.per_subnet=250",
        "lookups.count=300",
        "values.count=0",
    ];
    let found =
        |words: &[&str]| outcome(&scenario("colluder", words), 1).unwrap().figures.closest_found;
    let uncapped = ["node.bucket_group_max=1000", "node.table_group_max=1000"];
    let without = found(&[&words[..], &uncapped].concat());
    assert!(found(&words) >= 0.99);
    assert!(without <= 0.97, "caps make the difference: {without}");
}

#[test]
fn chaos_breaks_no_invariant_whatever_the_seed() {
    let mut random = [0; 4];
    getrandom::fill(&mut random).unwrap();
    let random = u64::from(u32::from_le_bytes(random));
    // Straight to the terminal, since what a test that passes prints is not shown.
    let _ = writeln!(std::io::stderr(), "chaos: seeds 100 to 123 and, at random, {random}");
    for seed in (100..124).chain([random]) {
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
fn every_attack_has_a_row_that_takes_its_defence_away() {
    let is_attack = |name: &String| !small(name).adversary.is_empty();
    let is_stopped = |name: &String| !PRICED.contains(&name.as_str());
    let attacks = scenarios().into_iter().filter(is_attack).filter(is_stopped);
    let attacks: Vec<String> = attacks.collect();
    let rows: Vec<&str> = DEFENCES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(attacks, rows, "scenarios with adversaries, and rows");
    for (name, off, figure) in DEFENCES {
        let about = |line: &String| line.split(' ').next() == Some(figure);
        assert!(small(name).expect.iter().any(about), "{name} expects nothing of {figure}");
        let patch = format!("{FOLDER}/mutants/attacks/{name}.patch");
        let first = std::fs::read_to_string(&patch).ok();
        let first = first.and_then(|text| text.lines().next().map(str::to_owned));
        let wanted = matches!(off, Off::Patch).then(|| format!("figure: {figure}"));
        assert_eq!(first, wanted, "{patch}");
    }
}

/// mutants.sh shows that the figure is not as expected, and asks for nothing else.
#[test]
fn every_patch_tells_a_figure_that_its_scenario_expects() {
    for file in std::fs::read_dir(format!("{FOLDER}/mutants/attacks")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap();
        let figure = text.lines().next().and_then(|line| line.strip_prefix("figure: "));
        let figure = figure.unwrap_or_else(|| panic!("{}: names no figure", path.display()));
        let about = |line: &String| line.split(' ').next() == Some(figure);
        assert!(small(name).expect.iter().any(about), "{}: {figure}", path.display());
    }
}

#[test]
fn without_the_defence_the_attack_shows() {
    for (name, off, figure) in DEFENCES {
        let Off::Set(off) = off else { continue };
        let words = SMALL.iter().find(|(known, _)| known == name).unwrap().1;
        // What an invariant forbids is not to end the run before it is measured.
        let words: Vec<&str> = words.iter().chain(*off).chain(&["checks=false"]).copied().collect();
        let outcome = outcome(&scenario(name, &words), 1).unwrap();
        println!("{name}: {figure} {:?}", outcome.figures.by_name(figure));
        let failures = outcome.failures;
        let is_about = |line: &String| line.starts_with(&format!("{figure} is "));
        assert!(failures.iter().any(is_about), "{name} without its defence: {failures:?}");
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
