//! The ring under load and out of memory, over loopback; each test is void, and says so,
//! where the host forbids io_uring.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::UdpSocket;
use std::time::Duration;

use kdht::io::{
    Datapath, DatapathCounters, Received, SocketOptions, Uring, UringOptions, Waiter, bind,
    uring_available,
};
use kdht_core::Outbox;

/// A datapath on one loopback socket, or none where the host forbids it.
fn uring(options: &UringOptions) -> Option<Uring> {
    if let Err(reason) = uring_available() {
        eprintln!("not tested: {reason}");
        return None;
    }
    let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
    Some(Uring::new(vec![socket], options).unwrap())
}

/// Echoes all that waits, batch by batch, and says how many datagrams that was.
fn echo(datapath: &mut Uring) -> u64 {
    let mut echoed = 0;
    loop {
        let received = datapath.receive();
        let (batch, outbox) = datapath.split();
        for datagram in batch {
            let slot = outbox.slot(datagram.route).unwrap();
            slot[..datagram.bytes.len()].copy_from_slice(datagram.bytes);
            outbox.commit(datagram.bytes.len());
            echoed += 1;
        }
        datapath.flush();
        if !received.more && datapath.announce() {
            return echoed;
        }
    }
}

#[test]
fn a_ring_out_of_buffers_serves_on_and_loses_nothing_that_the_socket_holds() {
    let options = UringOptions { batch_count: 2, slot_count: 2, buffer_count: 4 };
    let Some(mut datapath) = uring(&options) else { return };
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    for round in 0..3 {
        for number in 0..100_u32 {
            asker.send(&number.to_le_bytes()).unwrap();
        }
        assert_eq!(echo(&mut datapath), 100, "round {round}");
        for number in 0..100_u32 {
            let mut bytes = [0; 8];
            assert_eq!(asker.recv(&mut bytes).unwrap(), 4);
            assert_eq!(bytes[..4], number.to_le_bytes(), "round {round}");
        }
    }
    let counters = datapath.counters();
    assert!(counters.receive_starved > 0, "{counters:?}");
    assert_eq!((counters.datagrams_in, counters.datagrams_out), (300, 300));
    assert_eq!(counters.receive_errors, 0);
}

#[test]
fn what_a_full_socket_drops_is_counted_and_service_goes_on() {
    if uring_available().is_err() {
        return;
    }
    let small = SocketOptions { receive_buffer_len: 1, send_buffer_len: 1 << 20 };
    let socket = bind("127.0.0.1:0".parse().unwrap(), &small).unwrap();
    let options = UringOptions { batch_count: 2, slot_count: 2, buffer_count: 2 };
    let mut datapath = Uring::new(vec![socket], &options).unwrap();
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    assert_eq!(echo(&mut datapath), 0);
    for _ in 0..500 {
        asker.send(&[1; 1000]).unwrap();
    }
    let mut echoed = echo(&mut datapath);
    assert!(echoed > 0);
    asker.send(b"after").unwrap();
    echoed += echo(&mut datapath);
    let counters = datapath.counters();
    assert!(counters.receive_overflow > 0, "{counters:?}");
    assert_eq!(echoed + counters.receive_overflow, 501);
}

#[test]
fn a_lively_exchange_costs_at_most_three_system_calls_per_echo() {
    const IN_FLIGHT: usize = 64;
    const TOTAL: u64 = 50_000;
    let Some(mut datapath) = uring(&UringOptions::default()) else { return };
    let to = datapath.sockets()[0].local_addr();
    let counters: DatapathCounters = std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
            asker.connect(to).unwrap();
            asker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            (0..IN_FLIGHT).for_each(|_| assert_eq!(asker.send(&[7; 100]).unwrap(), 100));
            let mut bytes = [0; 200];
            for _ in 0..TOTAL {
                assert_eq!(asker.recv(&mut bytes).unwrap(), 100);
                asker.send(&bytes[..100]).unwrap();
            }
        });
        // Driven here, since a ring belongs to the thread that enters it first.
        let mut waiter = Waiter::new(datapath.fds());
        while !asker.is_finished() {
            echo(&mut datapath);
            waiter.wait(Some(Duration::from_millis(100))).unwrap();
        }
        asker.join().unwrap();
        datapath.counters()
    });
    assert!(counters.datagrams_in >= TOTAL);
    let each = syscalls_per_datagram(&counters);
    println!("{each:.4} syscalls per datagram, {IN_FLIGHT} in flight, free running: {counters:?}");
    // How many come together is the scheduler's to say; one by one, each costs an entry to
    // receive, one to send and, rarely, a stale signal's clearing.
    assert!(each <= 1.6, "{each}");
}

#[test]
fn sixty_four_in_flight_cost_few_system_calls() {
    let Some(mut datapath) = uring(&UringOptions::default()) else { return };
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    let mut bytes = [0; 200];
    for _ in 0..500 {
        for _ in 0..64 {
            asker.send(&[7; 100]).unwrap();
        }
        assert_eq!(echo(&mut datapath), 64);
        for _ in 0..64 {
            assert_eq!(asker.recv(&mut bytes).unwrap(), 100);
        }
    }
    let each = syscalls_per_datagram(&datapath.counters());
    println!("{each:.4} syscalls per datagram, 64 in flight, in step");
    assert!(each <= 0.1, "{each}");
}

/// System calls for each datagram, in either direction.
#[allow(clippy::cast_precision_loss)]
fn syscalls_per_datagram(counters: &DatapathCounters) -> f64 {
    let syscalls = counters.receive_syscalls + counters.send_syscalls;
    syscalls as f64 / (counters.datagrams_in + counters.datagrams_out) as f64
}

#[test]
fn a_sleeper_is_woken_by_each_datagram_and_by_nothing_else() {
    let Some(mut datapath) = uring(&UringOptions::default()) else { return };
    let mut waiter = Waiter::new(datapath.fds());
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    for round in 0..200 {
        echo(&mut datapath);
        let quiet = waiter.wait(Some(Duration::ZERO)).unwrap().len();
        assert_eq!(quiet, 0, "round {round}");
        asker.send(b"wake").unwrap();
        assert_eq!(waiter.wait(Some(Duration::from_secs(5))).unwrap().len(), 1, "round {round}");
        assert_eq!(echo(&mut datapath), 1, "round {round}");
    }
}

#[test]
fn a_dropped_ring_frees_its_port_at_once() {
    for round in 0..20 {
        let Some(mut datapath) = uring(&UringOptions::default()) else { return };
        let addr = datapath.sockets()[0].local_addr();
        echo(&mut datapath);
        drop(datapath);
        assert!(UdpSocket::bind(addr).is_ok(), "round {round}");
    }
}

#[test]
fn another_thread_may_drop_a_ring_that_receives() {
    let Some(mut datapath) = uring(&UringOptions::default()) else { return };
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    asker.send(b"came").unwrap();
    assert_eq!(echo(&mut datapath), 1);
    std::thread::spawn(move || drop(datapath)).join().unwrap();
}

/// Receives without sleeping until something came, and appends the payloads to `came`.
fn spin(datapath: &mut Uring, came: &mut Vec<Vec<u8>>) {
    let before = came.len();
    while came.len() == before {
        let _ = datapath.receive();
        let (batch, outbox) = datapath.split();
        for datagram in batch {
            came.push(datagram.bytes.to_vec());
            outbox.slot(datagram.route).unwrap()[..4].copy_from_slice(&datagram.bytes[..4]);
            outbox.commit(4);
        }
        datapath.flush();
    }
}

#[test]
fn a_spinner_gets_all_in_order_whether_they_come_alone_or_together_and_may_sleep_in_between() {
    let Some(mut datapath) = uring(&UringOptions::default()) else { return };
    let mut waiter = Waiter::new(datapath.fds());
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    asker.connect(datapath.sockets()[0].local_addr()).unwrap();
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    for round in 0..3_000_usize {
        // Mostly one by one; at times many, and at times after a sleep.
        let count = if round % 7 == 0 { 1 + round % 5 } else { 1 };
        if round % 11 == 0 {
            while !(datapath.receive() == Received::default() && datapath.announce()) {}
        }
        for _ in 0..count {
            let number = u32::try_from(sent.len()).unwrap().to_le_bytes();
            let bytes = [&number[..], &vec![7; sent.len() % 1_200]].concat();
            asker.send(&bytes).unwrap();
            sent.push(bytes);
        }
        if round % 11 == 0 {
            assert_eq!(waiter.wait(Some(Duration::from_secs(5))).unwrap().len(), 1, "{round}");
        }
        while came.len() < sent.len() {
            spin(&mut datapath, &mut came);
        }
        for number in sent.len() - count..sent.len() {
            let mut bytes = [0; 8];
            assert_eq!(asker.recv(&mut bytes).unwrap(), 4);
            assert_eq!(bytes[..4], u32::try_from(number).unwrap().to_le_bytes());
        }
        // An idle look, after which a lone one may be received without the ring.
        assert_eq!(datapath.receive(), Received::default());
    }
    assert_eq!(came, sent);
    let counters = datapath.counters();
    assert_eq!(
        (counters.datagrams_in, counters.datagrams_out),
        (sent.len() as u64, sent.len() as u64)
    );
    assert_eq!(counters.receive_errors + counters.truncated, 0);
}
