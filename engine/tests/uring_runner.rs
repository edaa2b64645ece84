//! Runners of every kind do the same, sleep when idle, and hold out beside a busy thread.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kdht::io::{
    DatapathChoice, DatapathKind, Moment, Socket, SocketOptions, allowed_cpus, bind, pin_to,
    uring_available,
};
use kdht::{JoinNews, NodeHandle, PollPolicy, Runner, now_of};
use kdht_core::{Config, Node};
use kdht_wire::Id;

/// These tests measure their process, so that one runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The choices that this host has.
fn choices() -> Vec<DatapathChoice> {
    match uring_available() {
        Ok(()) => vec![DatapathChoice::Mmsg, DatapathChoice::Uring, DatapathChoice::Auto],
        Err(reason) => {
            eprintln!("not tested on uring: {reason}");
            vec![DatapathChoice::Mmsg, DatapathChoice::Auto]
        }
    }
}

fn socket() -> Socket {
    bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap()
}

fn node(number: u8) -> Node {
    Node::new(Id([number; 20]), Config::default(), kdht::entropy().unwrap(), now_of(Moment::now()))
}

/// A node on `runner`, and where it listens.
fn open(runner: &Runner, number: u8) -> (NodeHandle, SocketAddr) {
    let socket = socket();
    let addr = socket.local_addr();
    (runner.open(node(number), vec![socket], None).unwrap().unwrap(), addr)
}

#[test]
fn nodes_find_each_other_on_every_datapath_by_every_policy() {
    let _alone = alone();
    for choice in choices() {
        for policy in [PollPolicy::Busy, PollPolicy::Adaptive, PollPolicy::Sleep] {
            let case = format!("{choice}, {policy}");
            let runner = Runner::start_with(None, choice, policy).unwrap();
            let (first, addr) = open(&runner, 1);
            let (second, _) = open(&runner, 2);
            let news = second.join(vec![addr.into()]).unwrap();
            let joined = news.recv_timeout(Duration::from_secs(10)).expect(&case);
            assert_eq!(joined, JoinNews::Joined { contacts: 1 }, "{case}");
            assert!(first.status().unwrap().datapath.datagrams_in > 0, "{case}");

            let last = first.remove().expect(&case);
            assert!(last.datapath.datagrams_out > 0, "{case}");
            assert!(UdpSocket::bind(addr).is_ok(), "{case}: the port of a removed node is free");
            assert!(first.status().is_err() && second.status().is_ok(), "{case}");
        }
    }
}

#[test]
fn auto_picks_uring_only_where_the_host_allows_it_and_says_why_not() {
    let _alone = alone();
    let runner = Runner::start_with(None, DatapathChoice::Auto, PollPolicy::Sleep).unwrap();
    let picked = runner.picked();
    assert_eq!(picked.kind == DatapathKind::Uring, picked.why_not_uring.is_none());
    assert!(picked.kind == DatapathKind::Mmsg || uring_available().is_ok());
    println!("auto picked {picked}");
    let only = Runner::start_with(None, DatapathChoice::Uring, PollPolicy::Sleep);
    assert_eq!(only.is_ok(), picked.kind == DatapathKind::Uring);
    let runner = Runner::start_with(None, DatapathChoice::Mmsg, PollPolicy::Sleep).unwrap();
    assert_eq!(runner.picked().to_string(), "mmsg");
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(ticks).sum();
    // A tick is 1/100 s wherever Linux tells this file.
    Duration::from_millis(ticks * 10)
}

fn ticks(text: &str) -> u64 {
    text.parse().unwrap()
}

#[test]
fn an_idle_node_takes_next_to_no_processor_time() {
    let _alone = alone();
    for choice in choices() {
        for policy in [PollPolicy::Adaptive, PollPolicy::Sleep] {
            let runner = Runner::start_with(None, choice, policy).unwrap();
            let (handle, _) = open(&runner, 1);
            handle.status().unwrap();
            let before = cpu_time();
            std::thread::sleep(Duration::from_secs(2));
            let taken = cpu_time() - before;
            println!("{choice}, {policy}: idle for 2 s took {taken:?}");
            assert!(taken < Duration::from_millis(100), "{choice}, {policy}: {taken:?}");
        }
    }
}

#[test]
fn beside_a_busy_thread_on_its_core_no_runner_hangs() {
    let _alone = alone();
    let cpus = allowed_cpus();
    let core = *cpus.as_slice().last().unwrap();
    // `KDHT_HOG_S=600` for a long look.
    let length = std::env::var("KDHT_HOG_S").map_or(5, |text| text.parse().unwrap());
    let length = Duration::from_secs(length);
    for choice in choices().into_iter().filter(|choice| *choice != DatapathChoice::Auto) {
        for policy in [PollPolicy::Adaptive, PollPolicy::Sleep] {
            let has_ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    pin_to(core).unwrap();
                    while !has_ended.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
                let runner = Runner::start_with(Some(core), choice, policy).unwrap();
                let worst = worst_answer(&runner, length);
                has_ended.store(true, Ordering::Relaxed);
                println!("{choice}, {policy}: beside a busy thread at most {worst:?}");
                // What a shared host does to the figure is not the runner's; a hang is.
                assert!(worst < Duration::from_secs(10), "{choice}, {policy}: {worst:?}");
            });
        }
    }
}

/// The longest that a node on `runner` took, for about `length`, to notice a datagram and
/// a message of another thread's; some come while it sleeps, some right after each other.
/// Pauses of up to 40 ms are part of it.
fn worst_answer(runner: &Runner, length: Duration) -> Duration {
    let (handle, addr) = open(runner, 1);
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(addr).unwrap();
    let (begin, mut worst) = (Instant::now(), Duration::ZERO);
    for round in 1_u64.. {
        if begin.elapsed() > length {
            break;
        }
        let start = Instant::now();
        asker.send(b"no message of ours").unwrap();
        if round % 2 == 0 {
            // Without a message, which would wake the node too.
            std::thread::sleep(Duration::from_millis(round % 40));
        }
        while handle.status().unwrap().datapath.datagrams_in < round {
            assert!(start.elapsed() < Duration::from_secs(30), "round {round}");
        }
        worst = worst.max(start.elapsed());
    }
    worst
}
