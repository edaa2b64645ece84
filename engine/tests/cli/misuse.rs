//! Users' mistakes: named, with an exit code, and nothing lost.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::daemon::{kdht, run, stderr, stdout};

#[test]
fn a_put_to_nobody_names_the_address_and_what_was_tried_within_five_seconds() {
    let home = tempfile::tempdir().unwrap();
    // A socket that never answers, and a port that nobody has.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for addr in [silent.local_addr().unwrap(), closed] {
        let started = Instant::now();
        let put = run(home.path(), &["put", "key", "value", "--via", &addr.to_string()]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(put.status.code(), Some(1), "{put:?}");
        let said = stderr(&put);
        assert!(said.contains(&addr.to_string()) && said.contains("3 times"), "{said}");
        assert!(stdout(&put).is_empty());
    }
}

#[test]
fn what_cannot_be_tried_as_asked_exits_with_2_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("kdht.toml");
    std::fs::write(&config, "[node]\nk = 8\nbeta = 1\n").unwrap();
    let config = config.to_str().unwrap();
    for (args, part) in [
        (&["run", "--config", config][..], "node.beta"),
        (&["run", "--set", "node.k=0"], "1 to 20 contacts"),
        (&["run", "--set", "node.k"], "KEY=VALUE"),
        (&["run", "--listen", "nowhere"], "IP:PORT"),
        (&["run", "--listen", "127.0.0.1:1", "127.0.0.1:2"], "one of each family"),
        (&["run", "--listen", "127.0.0.1:0", "--network-key", "/nonexistent"], "/nonexistent"),
        (&["put", "key", "--via", "127.0.0.1:1"], "KEY and VALUE"),
        (&["swarm", "--kill", "1.5"], "0 to 0.9"),
        (&["swarm", "--nodes", "1"], "2..=4096"),
        (&["decode", "4b4"], "odd number"),
        (&["decode", "xy"], "`x`"),
        (&["frobnicate"], "frobnicate"),
        (&["get", "key"], "--via"),
    ] {
        let output = run(home.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn what_was_tried_and_failed_exits_with_1_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("control.sock");
    let missing = missing.to_str().unwrap();
    for (args, part) in [
        (&["stat", "--control", missing][..], "no node answers at"),
        (&["run", "--listen", "192.0.2.1:4000"], "192.0.2.1:4000"),
        (&["decode", "4b44"], "no message"),
        (&["encode", "{\"kind\":\"pong\"}"], "kind"),
    ] {
        let output = run(home.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut decode = kdht();
    decode.args(["encode", "{\"kind\":\"ping\"}"]);
    let said = decode.stdout(full()).output().unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(stderr(&said).contains("standard output"), "{said:?}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(decode.stdout(writer).status().unwrap().code(), Some(0));
}

#[test]
fn decode_and_encode_undo_each_other() {
    let home = tempfile::tempdir().unwrap();
    let hex = concat!(
        "4b440102000000000000000000f15365070605040302010300000000000000002021222324252627",
        "28292a2b2c2d2e2f30313233404142434445464748494a4b4c4d4e4f50515253",
    );
    for flags in [&["decode", hex][..], &["decode", hex, "--json"]] {
        let decoded = stdout(&run(home.path(), flags));
        assert!(decoded.contains("find_node"), "{decoded}");
        let encoded = stdout(&run(home.path(), &["encode", &decoded]));
        assert_eq!(encoded.trim(), hex);
    }
}
