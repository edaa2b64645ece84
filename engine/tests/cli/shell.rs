//! The shell, with commands from a pipe.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value as Json;

use crate::daemon::{Daemon, kdht, run, stderr, stdout};
use crate::network::small_network;

fn piped(home: &Path, args: &[&str], lines: &str) -> Output {
    let mut child = kdht()
        .args(args)
        .env("XDG_CONFIG_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn shell(home: &Path, via: &Daemon, lines: &str) -> Output {
    piped(home, &["shell", "--via", &via.addr.to_string()], lines)
}

/// What one line says, which must succeed.
fn says(home: &Path, via: &Daemon, line: &str) -> String {
    let output = shell(home, via, &format!("{line}\n"));
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn every_command_works_from_a_pipe_on_two_nodes() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let nodes = small_network(home, 2, &[]);
    let (one, two) = (&nodes[0], &nodes[1]);
    let values = |node: &Daemon| node.stat()["store"]["values"].as_u64().unwrap();

    let key = says(home, one, "put greeting \"hello, world\"");
    assert_eq!(key.trim().len(), 40, "{key}");
    assert_eq!((values(one), values(two)), (1, 1));
    assert_eq!(says(home, two, "get greeting"), "hello, world\n");
    assert_eq!(says(home, two, &format!("get {}", key.trim())), "hello, world\n");

    let pinged = says(home, one, &format!("p {}", two.addr));
    assert!(pinged.starts_with(&format!("from {}", two.id)), "{pinged}");
    says(home, one, &format!("p {} {}", two.addr, two.id));
    let mistaken = shell(home, one, &format!("p {} {}\n", two.addr, one.id));
    assert_eq!(mistaken.status.code(), Some(1));
    assert!(stderr(&mistaken).contains(&two.id), "{}", stderr(&mistaken));

    let stored = says(home, one, &format!("s {} alone 'only here'", two.addr));
    assert!(stored.contains("stored at 1 nodes"), "{stored}");
    assert_eq!((values(one), values(two)), (1, 2));
    says(home, one, &format!("s {} alone", one.addr));
    assert_eq!((values(one), values(two)), (2, 2), "the value that the lookup found");

    let contacts = says(home, one, &format!("fn {} {}", two.addr, one.id));
    assert!(contacts.contains(&format!("{}  {}", one.id, one.addr)), "{contacts}");
    let contacts = says(home, one, &format!("fn {}", two.addr));
    assert!(contacts.contains(&one.id), "{contacts}");
    let found = says(home, one, &format!("fv {} alone", two.addr));
    assert!(found.contains("only here") && found.contains(", proven"), "{found}");

    for line in ["ln", "ln greeting", &format!("ln {}", one.id)] {
        let path = says(home, two, line);
        assert!(path.contains(&one.id) && path.contains(&two.id), "{line}: {path}");
    }
    let path = says(home, two, "lv alone");
    assert!(path.contains("answered") && path.ends_with(": only here\n"), "{path}");

    let table = says(home, one, "table");
    assert!(table.contains(&one.id) && table.lines().count() == 2, "{table}");
    let stat = says(home, one, &format!("p {}\nstat", two.addr));
    assert!(!stat.contains(&one.id) && stat.contains("ping 2"), "the shell's own: {stat}");
    let args = ["shell", "--via", &one.addr.to_string(), "--control", &two.control()];
    let told = stdout(&piped(home, &args, "stat\ntable\n"));
    assert!(told.contains(&two.id) && told.contains(&one.id), "{told}");

    let help = says(home, one, "help");
    for command in ["put", "get", "p", "s", "fn", "fv", "ln", "lv", "table", "stat", "quit"] {
        let is_named = |line: &str| line.split_whitespace().next() == Some(command);
        assert!(help.lines().any(is_named), "{command}: {help}");
    }
    assert_eq!(says(home, one, "quit\nget greeting"), "", "nothing after quit");
    assert_eq!(says(home, one, "\n  # a remark\n"), "");
}

#[test]
fn a_failed_command_is_told_and_the_others_are_carried_out() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 2, &[]);
    let lines = "put k v\nget nothing\nbogus\nput k\nput 'k v\np 127.0.0.1\nget k\n";
    let output = shell(home.path(), &nodes[0], lines);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("v\n"), "{}", stdout(&output));
    let said = stderr(&output);
    for part in ["nothing: not found", "bogus", "KEY and VALUE", "a ' is opened", "5 commands"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!stdout(&output).contains("kdht>"), "no prompt");
    let nobody = piped(home.path(), &["shell", "--via", "127.0.0.1:1"], "get k\n");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("127.0.0.1:1"), "{}", stderr(&nobody));
}

#[test]
fn a_shell_in_a_keyed_network_needs_its_key_and_prints_json_if_asked() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    std::fs::write(&key, "7 000102030405060708090a0b0c0d0e0f\n").unwrap();
    let key = key.to_str().unwrap();
    let nodes = small_network(home.path(), 2, &["--network-key", key]);
    let via = nodes[0].addr.to_string();
    let stranger = shell(home.path(), &nodes[0], "get k\n");
    assert_eq!(stranger.status.code(), Some(1), "{stranger:?}");
    let args = ["shell", "--json", "--via", &via, "--network-key", key];
    let member = piped(home.path(), &args, &format!("put k v\nget k\np {via}\nln\nlv k\nstat\n"));
    assert!(member.status.success(), "{}", stderr(&member));
    let said = stdout(&member);
    let lines: Vec<Json> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0]["acknowledged"], 2);
    assert_eq!(lines[1]["values"][0]["value"], "v");
    assert_eq!(lines[2]["reply"]["sender"], *nodes[0].id, "{}", lines[2]);
}

#[test]
fn a_node_with_a_shell_of_its_own_joins_first_and_hands_over_when_it_leaves() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 2, &[]);
    let put = run(home.path(), &["put", "before", "was here", "--via", &nodes[0].addr.to_string()]);
    assert!(put.status.success(), "{put:?}");
    let state = home.path().join("with-shell");
    let (entry, state) = (nodes[0].addr.to_string(), state.to_str().unwrap());
    let args =
        ["run", "--shell", "--listen", "127.0.0.1:0", "--bootstrap", &entry, "--state", state];
    let output = piped(home.path(), &args, "get before\nput after 'still here'\nstat\nquit\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.starts_with("node ") && said.contains("\nwas here\n"), "{said}");
    assert!(stderr(&output).contains("stored at 3 of 3"), "{}", stderr(&output));
    assert!(stderr(&output).contains("handing values over"), "{}", stderr(&output));
    let got = run(home.path(), &["get", "after", "--via", &nodes[1].addr.to_string()]);
    assert_eq!(stdout(&got), "still here");
    let failing = piped(home.path(), &args, "get nowhere\n");
    assert_eq!(failing.status.code(), Some(1), "{failing:?}");
}
