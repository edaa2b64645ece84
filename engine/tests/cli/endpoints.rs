//! Where a node is, as it was told and as others see it.

use std::process::Stdio;

use crate::daemon::{Daemon, kdht, run, stderr, stdout};
use crate::network::small_network;

#[test]
fn a_node_shows_the_endpoint_that_others_see_and_the_one_that_it_was_told() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 4, &[]);
    let entry = nodes[0].addr.to_string();
    let args = ["--advertise", "192.0.2.1:4000", "--bootstrap", &entry];
    let told = Daemon::start(&home.path().join("told"), &args);
    told.wait_for("others see another endpoint");
    for node in nodes.iter().chain([&told]) {
        let seen = node.addr.to_string();
        node.wait_until("its endpoint", |stat| stat["observed"] == serde_json::json!([seen]));
    }
    assert_eq!(told.stat()["advertise"], serde_json::json!(["192.0.2.1:4000"]));
    let shown = stdout(&run(home.path(), &["stat", "--control", &told.control()]));
    let line = |name: &str, text: &str| {
        shown.lines().any(|line| line.starts_with(name) && line.ends_with(text))
    };
    assert!(line("advertise", "192.0.2.1:4000"), "{shown}");
    assert!(line("observed", &told.addr.to_string()), "{shown}");
}

#[test]
fn an_own_address_that_nobody_could_reach_is_refused_by_its_name() {
    for (addr, part) in [("0.0.0.0:4000", "can send to"), ("[2001:db8::1]:4000", "family")] {
        let mut command = kdht();
        command.args(["run", "--listen", "127.0.0.1:0", "--advertise", addr]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("advertise") && said.contains(part), "{said}");
    }
}
