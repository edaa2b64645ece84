//! How a node ends: by drain, by signal, and what becomes of its values.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::daemon::{Daemon, PATIENCE, kdht, run, stderr, stdout};
use crate::network::small_network;

/// Puts values into one node's store alone.
fn store_at(home: &Path, node: &Daemon, count: usize) {
    let addr = node.addr.to_string();
    for number in 0..count {
        let (key, value) = (format!("key {number}"), format!("value {number}"));
        let stored = run(home, &["store", &addr, &key, &value]);
        assert!(stored.status.success(), "{}", stderr(&stored));
    }
}

fn found(home: &Path, via: &Daemon, count: usize) -> usize {
    let via = via.addr.to_string();
    let is_found = |number: &usize| {
        let got = run(home, &["get", &format!("key {number}"), "--via", &via]);
        stdout(&got) == format!("value {number}")
    };
    (0..count).filter(is_found).count()
}

#[test]
fn a_drained_node_s_values_are_found_after_it_has_ended() {
    let home = tempfile::tempdir().unwrap();
    let mut nodes = small_network(home.path(), 3, &[]);
    let leaver = nodes.pop().unwrap();
    store_at(home.path(), &leaver, 10);
    for node in &nodes {
        assert_eq!(node.stat()["store"]["values"], 0, "only the leaver holds them");
    }
    let drained = run(home.path(), &["drain", "--control", &leaver.control(), "--json"]);
    assert!(drained.status.success(), "{}", stderr(&drained));
    let said: Json = serde_json::from_str(&stdout(&drained)).unwrap();
    assert_eq!(said, serde_json::json!({ "handed": 10, "kept": 0, "finished": true }));
    assert!(!Path::new(&leaver.control()).exists(), "the process has ended when drain returns");
    assert_eq!(leaver.ended(), Some(0));
    assert_eq!(found(home.path(), &nodes[0], 10), 10);
}

#[test]
fn sigterm_hands_over_and_no_time_for_that_means_none() {
    let home = tempfile::tempdir().unwrap();
    for (drain_s, wanted) in [("drain_s=20", 5), ("drain_s=0", 0)] {
        let folder = home.path().join(drain_s);
        let mut nodes = small_network(&folder, 2, &["--set", drain_s]);
        let leaver = nodes.pop().unwrap();
        store_at(home.path(), &leaver, 5);
        assert_eq!(leaver.terminate(), Some(0));
        assert_eq!(found(home.path(), &nodes[0], 5), wanted, "{drain_s}");
    }
}

/// A node whose only peer was killed: nobody takes its values, which takes it a while.
fn forsaken(home: &Path) -> Daemon {
    let mut nodes = small_network(home, 2, &["--set", "drain_s=60"]);
    let left = nodes.pop().unwrap();
    store_at(home, &left, 3);
    nodes.remove(0).kill();
    left
}

#[test]
fn a_second_signal_and_an_interrupt_stop_at_once() {
    for signals in [&[Signal::TERM, Signal::TERM][..], &[Signal::TERM, Signal::INT], &[Signal::INT]]
    {
        let home = tempfile::tempdir().unwrap();
        let node = forsaken(home.path());
        for signal in signals {
            node.signal(*signal);
            if *signal == Signal::TERM && signals[0] == Signal::TERM {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        node.wait_for("stopping at once");
        assert_eq!(node.ended(), Some(0));
    }
}

#[test]
fn a_drain_without_time_ends_the_node_and_tells_what_was_kept() {
    let home = tempfile::tempdir().unwrap();
    let node = forsaken(home.path());
    let started = Instant::now();
    let args = ["drain", "--control", &node.control(), "--timeout", "1", "--json"];
    let drained = run(home.path(), &args);
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(drained.status.code(), Some(1), "{drained:?}");
    let said: Json = serde_json::from_str(&stdout(&drained)).unwrap();
    assert_eq!((&said["handed"], &said["kept"]), (&0.into(), &3.into()), "{said}");
    assert_eq!(node.ended(), Some(0));
}

#[test]
fn a_service_manager_is_told_of_the_beginning_and_the_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let abstract_name = format!("kdht-test-{}", std::process::id());
    let by_path = SocketAddr::from_pathname(&path).unwrap();
    let by_name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
    let names = [path.to_str().unwrap().to_owned(), format!("@{abstract_name}")];
    for (addr, name) in [by_path, by_name].iter().zip(names) {
        let manager = UnixDatagram::bind_addr(addr).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let told = || {
            let mut buf = [0; 256];
            let len = manager.recv(&mut buf).unwrap();
            String::from_utf8_lossy(&buf[..len]).into_owned()
        };
        let mut child = kdht()
            .args(["run", "--listen", "127.0.0.1:0", "--json"])
            .env("NOTIFY_SOCKET", name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(told(), "READY=1");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(told(), "STOPPING=1");
        assert!(child.wait().unwrap().success());
    }
}
