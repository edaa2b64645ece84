//! Settings changed while the node runs.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kdht_wire::{Emit, Head, Id, Kind};
use rustix::process::Signal;
use serde_json::Value as Json;

use crate::daemon::{Daemon, PATIENCE, run, stderr, stdout};

const OLD: &str = "1 000102030405060708090a0b0c0d0e0f\n";
const NEW: &str = "2 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\n";

/// Replaces a file in one step, for it is being read.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(temporary, path).unwrap();
}

fn reload(home: &Path, node: &Daemon) -> Json {
    let output = run(home, &["reload", "--json", "--control", &node.control()]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_network_key_is_rotated_on_three_nodes_and_no_request_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let file = |number: usize| home.join(format!("key-{number}"));
    let mut nodes: Vec<Daemon> = Vec::new();
    for number in 0..3 {
        replace(&file(number), OLD);
        let key = file(number).to_str().unwrap().to_owned();
        let mut args = vec!["--network-key".to_owned(), key];
        if let Some(first) = nodes.first() {
            args.extend(["--bootstrap".to_owned(), first.addr.to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let node = Daemon::start(&home.join(format!("node-{number}")), &args);
        if number > 0 {
            node.wait_for("joined");
        }
        nodes.push(node);
    }
    let client_key = home.join("client");
    replace(&client_key, OLD);
    let vias: Vec<String> = nodes.iter().map(|node| node.addr.to_string()).collect();
    let member = |args: &[&str], via: &str| {
        let key = client_key.to_str().unwrap();
        run(home, &[args, &["--via", via, "--network-key", key]].concat())
    };
    assert!(member(&["put", "--plain", "k", "v"], &vias[0]).status.success());

    let (stop, got) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let gets = scope.spawn(|| {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let output = member(&["get", "k"], &vias[round % 3]);
                assert_eq!(stdout(&output), "v", "get {round}: {}", stderr(&output));
                got.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Two gets that end later have begun later, too.
        let some_gets = || {
            let (before, deadline) = (got.load(Ordering::Relaxed), Instant::now() + PATIENCE);
            while got.load(Ordering::Relaxed) < before + 6 && !gets.is_finished() {
                assert!(Instant::now() < deadline, "no gets");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let everywhere = |text: &str| {
            for (number, node) in nodes.iter().enumerate() {
                replace(&file(number), text);
                let said = reload(home, node);
                assert_eq!(said["applied"], serde_json::json!(["network_key"]), "{said}");
                some_gets();
            }
        };
        let both = |first: &str, second: &str| format!("{first}{second}");
        some_gets();
        replace(&client_key, &both(OLD, NEW));
        some_gets();
        everywhere(&both(OLD, NEW));
        replace(&client_key, &both(NEW, OLD));
        some_gets();
        everywhere(&both(NEW, OLD));
        replace(&client_key, NEW);
        some_gets();
        everywhere(NEW);
        stop.store(true, Ordering::Relaxed);
        gets.join().unwrap();
    });
    for node in &nodes {
        let stat = node.stat();
        let refused: u64 = ["mac_missing", "mac_unexpected", "mac_key", "mac_wrong", "stale"]
            .iter()
            .map(|reason| stat["refusals"][reason].as_u64().unwrap())
            .sum();
        assert_eq!((refused, &stat["timeouts"]), (0, &0.into()), "{stat}");
    }
    replace(&client_key, OLD);
    assert_eq!(member(&["get", "k"], &vias[0]).status.code(), Some(1), "the old key is gone");
    assert!(nodes[0].refused("mac_key") > 0);
}

/// A node with a settings file and a network key file.
fn configured(home: &Path) -> (Daemon, PathBuf, PathBuf) {
    let (config, key) = (home.join("kdht.toml"), home.join("key"));
    replace(&key, OLD);
    replace(&config, &toml(&key, ""));
    let node = Daemon::start(&home.join("state"), &["--config", config.to_str().unwrap()]);
    (node, config, key)
}

fn toml(key: &Path, rest: &str) -> String {
    format!("network_key = '{}'\n{rest}", key.display())
}

#[test]
fn a_wrong_reload_changes_nothing_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let (node, config, key) = configured(home.path());
    let burst = "[throttle]\nburst = 77\n";
    for (config_text, key_text, part) in [
        (toml(&key, &format!("{burst}rate_per_s = 0\n")), NEW, "throttle.rate_per_s"),
        (toml(&key, &format!("{burst}[node]\nbeta = 1\n")), NEW, "node.beta"),
        (toml(&key, &format!("log = 'loud'\n{burst}")), NEW, "log"),
        (toml(&key, "= ["), NEW, "kdht.toml"),
        (toml(&key, burst), "2 abc\n", "line 1"),
        (toml(&key, burst), "", "0 keys"),
        (toml(&home.path().join("gone"), burst), NEW, "gone"),
    ] {
        replace(&config, &config_text);
        replace(&key, key_text);
        let output = run(home.path(), &["reload", "--control", &node.control()]);
        assert_eq!(output.status.code(), Some(1), "{part}: {output:?}");
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
        node.signal(Signal::HUP);
        node.wait_for("nothing was changed");
    }
    let old = home.path().join("old");
    replace(&old, OLD);
    let ping = ["ping", &node.addr.to_string(), "--network-key", old.to_str().unwrap()];
    let pinged = run(home.path(), &ping);
    assert!(pinged.status.success(), "{}", stderr(&pinged));
    // What was not applied is still to be applied.
    replace(&config, &toml(&key, burst));
    replace(&key, OLD);
    assert_eq!(reload(home.path(), &node)["applied"], serde_json::json!(["throttle.burst"]));
    assert_eq!(reload(home.path(), &node)["applied"], serde_json::json!([]));
}

#[test]
fn a_reload_applies_what_is_live_and_names_what_wants_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("kdht.toml");
    replace(&config, "");
    let args = ["--config", config.to_str().unwrap()];
    let node = Daemon::start(&home.path().join("state"), &args);
    replace(
        &config,
        "drain_s = 1\n[node]\nk = 8\n[throttle]\nrate_per_s = 1\nburst = 3\nslots = 8\n",
    );
    node.signal(Signal::HUP);
    node.wait_for("reloaded");
    let again = reload(home.path(), &node);
    assert_eq!(again["applied"], serde_json::json!([]), "the signal has applied them");
    assert_eq!(again["restart"], serde_json::json!(["node.k", "throttle.slots"]));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buf = [0; 256];
    let head = Head::request(Kind::Ping, 7, Id([3; 20]), Id([4; 20]));
    let len = Emit::datagram(&mut buf, head, None, usize::MAX).unwrap().finish();
    for _ in 0..20 {
        stranger.send_to(&buf[..len], node.addr).unwrap();
    }
    node.wait_until("throttling", |stat| stat["refusals"]["throttled"].as_u64() >= Some(10));
    let shown = stdout(&run(home.path(), &["reload", "--control", &node.control()]));
    assert_eq!(shown, "wants a restart node.k\nwants a restart throttle.slots\n");
}

#[test]
fn the_log_level_is_changed_while_the_node_runs() {
    let home = tempfile::tempdir().unwrap();
    let node = Daemon::start(&home.path().join("state"), &["--set", "log=off"]);
    let log = |filter: &str| run(home.path(), &["log", filter, "--control", &node.control()]);
    assert_eq!(stdout(&log("warn,kdht=info")), "logs warn,kdht=info instead of off\n");
    let wrong = log("loud");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(stderr(&wrong).contains("loud"), "{}", stderr(&wrong));
    node.signal(Signal::TERM);
    node.wait_for("stopped");
}
