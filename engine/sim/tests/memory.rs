//! What a node costs in memory: alone in its process, so that nothing else counts.

use kdht_sim::{Scenario, run};

/// A node with k = 8 among 5,000 has 81 contacts of 68 bytes, some buckets, its own state, and
/// what the allocator rounds up. In networks of a million 16.8 kB were measured with all of it
/// (RESULTS.md "Perfect tables"); more than this would not fit into 20 GiB there.
const BYTES_MAX: f64 = 18_000.0;

#[test]
fn a_million_nodes_fit_into_20_gib() {
    let text = "nodes = 5000\nk = 8\nduration_s = 60\n[lookups]\ncount = 50";
    let scenario = Scenario::parse(text, &[]).unwrap();
    let figures = run(&scenario, 1, false, &mut |_, _, _| {}).unwrap().figures;
    assert!(figures.bytes_per_node.is_nan() || figures.bytes_per_node <= BYTES_MAX, "{figures:?}");
}
