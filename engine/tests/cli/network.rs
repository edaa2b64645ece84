//! Nodes started by hand, and values put and got through them.

use serde_json::Value as Json;

use crate::daemon::{Daemon, run, stderr, stdout};

#[test]
fn two_nodes_by_hand_share_a_value_and_find_each_other_again_after_kill_9() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("one"), home.path().join("two"));
    let first = Daemon::start(&one, &[]);
    let second = Daemon::start(&two, &["--bootstrap", &first.addr.to_string()]);
    second.wait_for("joined");

    let via_first = first.addr.to_string();
    let via_second = second.addr.to_string();
    let put = run(home.path(), &["put", "greeting", "hello", "--via", &via_first]);
    assert!(put.status.success(), "{put:?}");
    let got = run(home.path(), &["get", "greeting", "--via", &via_second]);
    assert_eq!(stdout(&got), "hello", "{}", stderr(&got));

    first_knows_second(&first, &second);
    wait_for_file(&one.join("contacts.json"), &via_second);
    wait_for_file(&two.join("contacts.json"), &via_first);
    first.kill();
    let first = Daemon::start_at(&via_first, &one, &[]);
    first.wait_for("joined");
    second.kill();
    let second = Daemon::start_at(&via_second, &two, &[]);
    second.wait_for("joined");
    first_knows_second(&first, &second);

    let put = run(home.path(), &["put", "again", "still here", "--via", &via_second]);
    assert!(put.status.success(), "{put:?}");
    let got = run(home.path(), &["get", "again", "--via", &via_first]);
    assert_eq!(stdout(&got), "still here", "{}", stderr(&got));
    assert_eq!(first.terminate(), Some(0));
    assert_eq!(second.terminate(), Some(0));
}

fn first_knows_second(first: &Daemon, second: &Daemon) {
    for node in [first, second] {
        node.wait_until("a good contact", |stat| stat["table"]["v4"]["good"] == 1);
    }
}

fn wait_for_file(path: &std::path::Path, part: &str) {
    let deadline = std::time::Instant::now() + crate::daemon::PATIENCE;
    while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(part)) {
        assert!(std::time::Instant::now() < deadline, "{} lacks {part}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn an_identity_survives_and_a_directory_in_use_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let node = Daemon::start(&state, &[]);
    let id = node.id.clone();
    let second =
        run(home.path(), &["run", "--listen", "127.0.0.1:0", "--state", state.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another kdht process"), "{second:?}");
    assert_eq!(node.terminate(), Some(0));
    assert_eq!(Daemon::start(&state, &[]).id, id);
}

#[test]
fn every_kind_of_value_is_put_and_got_alone_by_lookup_and_by_recursion() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 5, &["--set", "node.accept_plain=true"]);
    let via = nodes[4].addr.to_string();
    let other = nodes[2].addr.to_string();
    for recurse in [&[][..], &["--recurse"][..]] {
        let name = format!("name {}", recurse.len());
        let say = |words: &[&str]| {
            let output = run(home.path(), &[words, recurse].concat());
            assert!(output.status.success(), "{words:?} {recurse:?}: {}", stderr(&output));
            stdout(&output)
        };
        say(&["put", &name, "signed one", "--via", &via]);
        say(&["put", &name, "signed two", "--via", &via]);
        assert_eq!(say(&["get", &name, "--via", &other]), "signed two");
        say(&["put", "--plain", &name, "plain one", "--via", &via]);
        let key = say(&["put", "--immutable", "fixed", "--via", &via]);
        let got = say(&["get", key.trim(), "--via", &other, "--immutable"]);
        assert_eq!(got, "fixed");
        let all = say(&["get", &name, "--all", "--via", &other]);
        let mut lines: Vec<&str> = all.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["plain one", "signed two"]);
    }
    let path = run(home.path(), &["lookup-value", "name 0", "--via", &via, "--json"]);
    let path: Json = serde_json::from_str(&stdout(&path)).unwrap();
    assert!(path["hops"].as_u64().unwrap() >= 1, "{path}");
    assert!(!path["path"].as_array().unwrap().is_empty(), "{path}");
    let nodes_found = run(home.path(), &["lookup-node", "name 0", "--via", &via, "--json"]);
    let nodes_found: Json = serde_json::from_str(&stdout(&nodes_found)).unwrap();
    let answered = nodes_found["path"].as_array().unwrap().iter();
    assert_eq!(answered.filter(|step| step["standing"] == "answered").count(), 5);
}

#[test]
fn a_keyed_network_serves_its_members_and_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    let wrong = home.path().join("wrong");
    std::fs::write(&key, "7 000102030405060708090a0b0c0d0e0f\n").unwrap();
    std::fs::write(&wrong, "7 ff0102030405060708090a0b0c0d0e0f\n").unwrap();
    let (key, wrong) = (key.to_str().unwrap(), wrong.to_str().unwrap());
    let nodes = small_network(home.path(), 3, &["--network-key", key]);
    let via = nodes[2].addr.to_string();
    let member = ["--via", &via, "--network-key", key];
    let put = run(home.path(), &[&["put", "--plain", "k", "v"], &member[..]].concat());
    assert!(put.status.success(), "{put:?}");
    let got = run(home.path(), &[&["get", "k"], &member[..]].concat());
    assert_eq!(stdout(&got), "v");
    for (stranger, reason) in [
        (&["ping", &via][..], "mac_missing"),
        (&["ping", &via, "--network-key", wrong], "mac_wrong"),
    ] {
        let before = nodes[2].refused(reason);
        let pinged = run(home.path(), stranger);
        assert_eq!(pinged.status.code(), Some(1), "{pinged:?}");
        assert!(nodes[2].refused(reason) > before);
    }
}

#[test]
fn a_v6_network_and_a_dual_stack_one_serve() {
    let home = tempfile::tempdir().unwrap();
    let first = Daemon::start_at("[::1]:0", &home.path().join("a"), &[]);
    let entry = first.addr.to_string();
    let second = Daemon::start_at("[::1]:0", &home.path().join("b"), &["--bootstrap", &entry]);
    second.wait_for("joined");
    let dual = Daemon::start_at(
        "[::1]:0",
        &home.path().join("c"),
        &["--listen", "127.0.0.1:0", "--bootstrap", &entry],
    );
    dual.wait_for("joined");
    let put = run(home.path(), &["put", "six", "v6", "--via", &second.addr.to_string()]);
    assert!(put.status.success(), "{put:?}");
    let got = run(home.path(), &["get", "six", "--via", &dual.addr.to_string()]);
    assert_eq!(stdout(&got), "v6", "{}", stderr(&got));
}

#[test]
fn a_plain_value_is_replaced_by_its_publisher() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 3, &["--set", "node.accept_plain=true"]);
    let via = nodes[1].addr.to_string();
    for value in ["one", "two", "three"] {
        let put = run(home.path(), &["put", "--plain", "k", value, "--via", &via]);
        assert!(put.status.success(), "{put:?}");
    }
    let all = run(home.path(), &["get", "k", "--all", "--via", &via]);
    assert_eq!(stdout(&all), "three\n", "{}", stderr(&all));
}

#[test]
fn a_value_of_any_bytes_comes_back_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 2, &[]);
    let via = nodes[0].addr.to_string();
    let bytes: Vec<u8> =
        (0..1_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let file = home.path().join("value");
    std::fs::write(&file, &bytes).unwrap();
    let put = run(home.path(), &["put", "k", "--file", file.to_str().unwrap(), "--via", &via]);
    assert!(put.status.success(), "{put:?}");
    assert_eq!(run(home.path(), &["get", "k", "--via", &via]).stdout, bytes);
}

#[test]
fn a_file_of_a_mebibyte_is_put_and_got_alone_by_lookup_and_by_recursion() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 3, &[]);
    let (via, other) = (nodes[0].addr.to_string(), nodes[2].addr.to_string());
    let file = home.path().join("value");
    let path = file.to_str().unwrap();
    for (number, recurse) in [&[][..], &["--recurse"][..]].into_iter().enumerate() {
        let byte = |at: u32| at.wrapping_mul(2_654_435_761 + 2 * u32::from(number > 0));
        let bytes: Vec<u8> = (0..1 << 20).map(|at| byte(at).to_be_bytes()[0]).collect();
        std::fs::write(&file, &bytes).unwrap();
        let name = format!("name {number}");
        let put = [&["put", &name, "--file", path, "--via", &via], recurse].concat();
        let put = run(home.path(), &put);
        assert!(put.status.success(), "{recurse:?}: {}", stderr(&put));
        let got = run(home.path(), &[&["get", &name, "--via", &other], recurse].concat());
        assert!(got.stdout == bytes, "{recurse:?}: {}", stderr(&got));
    }
    let stored = run(home.path(), &["store", &via, "one", "--file", path]);
    assert!(stored.status.success(), "{}", stderr(&stored));
    let found = run(home.path(), &["find-value", &via, "one", "--json"]);
    let found: Json = serde_json::from_str(&stdout(&found)).unwrap();
    let value = found["reply"]["records"][0]["value"].as_str().unwrap();
    assert_eq!(value.len(), 2 << 20);
    std::fs::write(&file, vec![0; (1 << 20) + 1]).unwrap();
    let refused = run(home.path(), &["put", "k", "--file", path, "--via", &via]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("1048576 bytes"), "{}", stderr(&refused));
}

#[test]
fn a_node_that_holds_less_says_so_and_a_port_taken_by_tcp_is_named() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("node"), &["--set", "store.value_len_max=2000"]);
    let via = node.addr.to_string();
    let file = home.path().join("value");
    let path = file.to_str().unwrap();
    std::fs::write(&file, [7; 2_000]).unwrap();
    let put = run(home.path(), &["put", "k", "--file", path, "--via", &via]);
    assert!(put.status.success(), "{}", stderr(&put));
    std::fs::write(&file, [7; 2_001]).unwrap();
    let put = run(home.path(), &["put", "k", "--file", path, "--via", &via]);
    assert_eq!(put.status.code(), Some(1));
    assert!(stderr(&put).contains("too_long"), "{}", stderr(&put));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let second = run(home.path(), &["run", "--listen", &addr]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&format!("TCP {addr}")), "{}", stderr(&second));
    let conflict = ["run", "--listen", "127.0.0.1:0", "--set", "store.key_bytes_max=5000"];
    let conflict = run(home.path(), &conflict);
    assert_eq!(conflict.status.code(), Some(2));
    assert!(stderr(&conflict).contains("store.value_len_max"), "{}", stderr(&conflict));
}

#[test]
fn the_io_uring_datapath_serves_as_the_other_does() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 4, &["--datapath", "auto", "--poll", "sleep"]);
    let via = nodes[3].addr.to_string();
    for number in 0..20 {
        let key = format!("key {number}");
        let put = run(home.path(), &["put", &key, &key, "--via", &via]);
        assert!(put.status.success(), "{put:?}");
        let got = run(home.path(), &["get", &key, "--via", &nodes[1].addr.to_string()]);
        assert_eq!(stdout(&got), key, "{}", stderr(&got));
    }
    for node in nodes {
        assert_eq!(node.terminate(), Some(0));
    }
}

/// Nodes that have all joined through the first.
pub(crate) fn small_network(home: &std::path::Path, count: usize, args: &[&str]) -> Vec<Daemon> {
    let first = Daemon::start(&home.join("node-0"), args);
    let entry = first.addr.to_string();
    let mut nodes = vec![first];
    for number in 1..count {
        let args = [args, &["--bootstrap", &entry]].concat();
        let node = Daemon::start(&home.join(format!("node-{number}")), &args);
        node.wait_for("joined");
        nodes.push(node);
    }
    nodes
}
