//! The client that was written from FORMAT.md alone, in another language.

use std::process::Command;

use crate::network::small_network;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/tests/client.py");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/vectors");

#[test]
fn a_stranger_s_client_agrees_on_every_vector() {
    passes(&["vectors", VECTORS]);
}

#[test]
fn a_stranger_s_client_pings_stores_finds_and_recurses() {
    let home = tempfile::tempdir().unwrap();
    let nodes = small_network(home.path(), 6, &[]);
    let addrs: Vec<String> = nodes.iter().map(|node| node.addr.to_string()).collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    passes(&[&["check", "--tcp"], &addrs[..]].concat());
}

#[test]
fn a_stranger_s_client_does_so_in_a_keyed_network_too() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    std::fs::write(&key, "9 00112233445566778899aabbccddeeff\n").unwrap();
    let key = key.to_str().unwrap();
    let nodes = small_network(home.path(), 6, &["--network-key", key]);
    let addrs: Vec<String> = nodes.iter().map(|node| node.addr.to_string()).collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    passes(&[&["check", "--tcp"], &addrs[..], &["--network-key", key]].concat());
}

fn passes(args: &[&str]) {
    let output = Command::new("python3").arg(CLIENT).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = said.lines().last().unwrap_or_default();
    let passed: usize = last.split(' ').next().unwrap_or_default().parse().unwrap();
    assert!(passed > 10 && last.ends_with("passed, 0 failed"), "{last}");
}
