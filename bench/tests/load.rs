//! A load against a node of this process: whatever its speed, nothing is wrong.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::SocketAddr;

use clap::Parser;
use kdht::io::DatapathChoice;
use kdht::stream::Streams;
use kdht::{Hosting, Launch, NodeHandle, PollPolicy, Runner};
use kdht_bench::feed::Feeder;
use kdht_bench::load::{LoadArgs, load};
use kdht_bench::protocol::Speech;
use kdht_core::{Config, Rng, TableKind};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    load: LoadArgs,
}

struct Fed {
    addr: SocketAddr,
    node: NodeHandle,
    ids: tempfile::NamedTempFile,
    _streams: Streams,
    _runner: Runner,
}

/// A node that knows 60 contacts, all of which its wide table keeps.
fn fed() -> Fed {
    let mut rng = Rng::from_seed([0x10; 16]);
    let mut config = Config { table: TableKind::Wide(100), ..Config::default() };
    (config.throttle.rate_per_s, config.throttle.burst) = (100_000_000, 100_000_000);
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let launch =
        Launch::prepare(rng.id(), &config, rng.secret(), &listen, true, &Hosting::default())
            .unwrap();
    let addr = launch.listening()[0];
    let runner = Runner::start_with(None, DatapathChoice::Mmsg, PollPolicy::Adaptive).unwrap();
    let (node, streams) = launch.start(std::slice::from_ref(&runner)).unwrap();
    let mut feeder = Feeder::new(addr, 60, 9, Speech::Kdht).unwrap();
    while !feeder.is_done() {
        feeder.turn().unwrap();
    }
    assert_eq!(feeder.known_count(), 60);
    let ids = tempfile::NamedTempFile::new().unwrap();
    // The last replies may still be under way.
    while node.contacts().unwrap().len() < 60 {
        feeder.turn().unwrap();
    }
    let contacts: Vec<_> = feeder.contacts().collect();
    let line = |contact: &kdht_wire::Contact| format!("{} {}\n", contact.id, contact.endpoint);
    std::fs::write(ids.path(), contacts.iter().map(line).collect::<String>()).unwrap();
    Fed { addr, node, ids, _streams: streams, _runner: runner }
}

fn words(fed: &Fed, more: &[&str]) -> LoadArgs {
    let addr = fed.addr.to_string();
    let ids = fed.ids.path().to_str().unwrap().to_owned();
    let common =
        ["load", "--target", &addr, "--ids", &ids, "--duration", "0.3", "--check-every", "1"];
    Words::parse_from(common.iter().chain(more)).load
}

#[test]
fn every_reply_of_a_loaded_node_is_what_a_full_sort_gives() {
    let fed = fed();
    for more in [
        &["--window", "64"][..],
        &["--window", "16", "--mix", "find_node", "--segment", "--keys", "zipf"],
        &["--rate", "2000", "--sources", "64", "--block"],
        &["--window", "8", "--mix", "find_value", "--values", "50", "--value-bytes", "300"],
    ] {
        let outcome = load(&words(&fed, more), |_| {}).unwrap();
        let tally = &outcome.tally;
        assert_eq!((tally.wrong, &tally.first_wrong), (0, &None), "{more:?}");
        assert_eq!(tally.refused, 0, "{more:?}");
        assert!(tally.answered > 0 && tally.checked == tally.answered, "{more:?}: {tally:?}");
        assert_eq!(tally.latency.len(), tally.answered);
    }
    let refusals = fed.node.status().unwrap().refusals;
    let refused: Vec<_> = refusals.iter().filter(|(_, count)| **count > 0).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn a_reply_that_differs_from_the_known_table_voids_the_run() {
    let fed = fed();
    let text = std::fs::read_to_string(fed.ids.path()).unwrap();
    let without_one: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(fed.ids.path(), without_one).unwrap();
    let args = words(&fed, &["--mix", "find_node"]);
    let outcome = load(&args, |_| {}).unwrap();
    assert!(outcome.tally.wrong > 0 && outcome.tally.first_wrong.is_some());
    assert!(kdht_bench::load::main(&args).unwrap_err().contains("void"));
}

#[test]
fn a_target_that_nobody_answers_at_is_named() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let args = Words::parse_from(["load", "--target", &addr, "--duration", "0"]).load;
    let why = load(&args, |_| {}).err().unwrap();
    assert!(why.contains(&addr), "{why}");
}
