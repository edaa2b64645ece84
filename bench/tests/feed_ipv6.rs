//! Contacts of an IPv6 node, in a network namespace of the test's own.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::SocketAddr;
use std::process::Command;

use kdht::io::DatapathChoice;
use kdht::{Hosting, Launch, PollPolicy, Runner};
use kdht_bench::feed::Feeder;
use kdht_bench::protocol::Speech;
use kdht_core::{Config, Families, Rng, TableKind};

/// Set in the process that runs within the namespace: whether the host has the addresses.
const INSIDE: &str = "KDHT_BENCH_NAMESPACE";

/// Runs the test `name` within a namespace after `before`, where there can be one.
fn in_namespace(name: &str, before: &str) {
    let script = format!("ip link set lo up && {before} && exec \"$0\" --exact {name} --nocapture");
    let may = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace can be made here (it takes root and iproute2)");
        return;
    }
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[test]
fn contacts_of_an_ipv6_node_have_addresses_that_it_asks_them_at() {
    if std::env::var_os(INSIDE).is_none() {
        let route = "ip -6 route add local fd6b:6468:7400::/48 dev lo";
        in_namespace("contacts_of_an_ipv6_node_have_addresses_that_it_asks_them_at", route);
        return;
    }
    const CONTACTS: usize = 500;
    let mut rng = Rng::from_seed([0x11; 16]);
    let families = Families { v4: false, v6: true };
    let table = TableKind::Wide(u32::try_from(CONTACTS).unwrap());
    let mut config = Config { table, families, ..Config::default() };
    (config.throttle.rate_per_s, config.throttle.burst) = (100_000_000, 100_000_000);
    let listen: SocketAddr = "[::1]:0".parse().unwrap();
    let hosting = Hosting::default();
    let launch =
        Launch::prepare(rng.id(), &config, rng.secret(), &[listen], true, &hosting).unwrap();
    let addr = launch.listening()[0];
    let runner = Runner::start_with(None, DatapathChoice::Mmsg, PollPolicy::Adaptive).unwrap();
    let (node, _streams) = launch.start(std::slice::from_ref(&runner)).unwrap();
    let mut feeder = Feeder::new(addr, CONTACTS, 9, Speech::Kdht).unwrap();
    // The last replies may still be under way when all were asked.
    while !feeder.is_done() || node.contacts().unwrap().len() < CONTACTS {
        feeder.turn().unwrap();
    }
    let mut wanted: Vec<_> = feeder.contacts().map(|c| (c.id, c.endpoint)).collect();
    let mut known: Vec<_> = node.contacts().unwrap().iter().map(|c| (c.id, c.endpoint)).collect();
    wanted.sort_unstable_by_key(|(id, _)| id.0);
    known.sort_unstable_by_key(|(id, _)| id.0);
    assert_eq!(known, wanted);
}

#[test]
fn a_host_without_the_addresses_is_told_how_to_have_them() {
    if std::env::var_os(INSIDE).is_none() {
        in_namespace("a_host_without_the_addresses_is_told_how_to_have_them", "true");
        return;
    }
    let target = "[::1]:4000".parse().unwrap();
    let why = Feeder::new(target, 10, 9, Speech::Kdht).err().unwrap();
    assert!(why.contains("ip -6 route add local fd6b:6468:7400::/48 dev lo"), "{why}");
}
