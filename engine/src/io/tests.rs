//! What every datapath of sockets claims, checked on each over loopback.

use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kdht_core::{Local, Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

use super::messages::set_flag;
use super::*;

/// A datapath that these tests can make.
trait Make: Datapath + Send + Sized + 'static {
    fn make(sockets: Vec<Socket>, batch_count: usize, slot_count: usize) -> Self;

    fn sockets(&self) -> &[Socket];
}

impl Make for Mmsg {
    fn make(sockets: Vec<Socket>, batch_count: usize, slot_count: usize) -> Self {
        Self::new(sockets, &MmsgOptions { batch_count, slot_count }).unwrap()
    }

    fn sockets(&self) -> &[Socket] {
        self.sockets()
    }
}

impl Make for Uring {
    fn make(sockets: Vec<Socket>, batch_count: usize, slot_count: usize) -> Self {
        // Fewer buffers than two batches, so that running out of them is part of the tests.
        let buffer_count = u16::try_from(batch_count.next_power_of_two()).unwrap();
        let options = UringOptions { batch_count, slot_count, buffer_count };
        Self::new(sockets, &options).unwrap()
    }

    fn sockets(&self) -> &[Socket] {
        self.sockets()
    }
}

/// Each claim as a test of each datapath that the host allows.
macro_rules! of_each_datapath {
    ($($claim:ident;)*) => {
        mod mmsg {
            $(#[test] fn $claim() { super::$claim::<super::Mmsg>(); })*
        }
        mod uring {
            $(#[test] fn $claim() {
                match super::uring_available() {
                    Ok(()) => super::$claim::<super::Uring>(),
                    Err(reason) => eprintln!("not tested: {reason}"),
                }
            })*
        }
    };
}

of_each_datapath! {
    a_batch_comes_in_order_and_intact_and_tells_when_it_is_full;
    every_length_shows_as_it_is_or_as_too_long;
    replies_leave_from_the_address_asked_while_the_batch_is_walked;
    a_socket_of_one_address_names_it_and_replies_from_it;
    datagrams_that_come_one_by_one_are_told_as_those_of_a_batch_are;
    queries_leave_by_the_first_socket_of_the_peers_family;
    a_datagram_that_cannot_leave_does_not_keep_the_others;
    errors_told_late_lose_no_datagram_in_either_direction;
    the_outbox_never_lacks_a_slot_and_accounts_for_every_datagram;
    neighbours_to_one_peer_leave_as_one_and_arrive_as_they_were_laid;
    a_run_is_no_longer_than_every_kernel_cuts;
    a_run_that_the_host_refuses_leaves_one_by_one_and_is_the_last_that_is_tried;
    a_run_to_nowhere_does_not_keep_others_from_leaving_as_one;
    what_is_not_to_leave_together_does_not;
    a_slot_asked_for_again_begins_the_same_datagram_anew;
    a_commit_without_a_slot_is_a_fault_of_the_caller;
    what_the_kernel_dropped_is_told_with_the_next_datagram;
    a_busy_socket_does_not_starve_the_others;
    a_datapath_moves_to_another_thread;
}

fn datapath_of<D: Make>(addrs: &[&str], batch_count: usize, slot_count: usize) -> D {
    let socket = |addr: &&str| bind(addr.parse().unwrap(), &SocketOptions::default()).unwrap();
    D::make(addrs.iter().map(socket).collect(), batch_count, slot_count)
}

fn port_of(datapath: &impl Make, idx: usize) -> u16 {
    datapath.sockets()[idx].local_addr().port()
}

/// A plain socket of the standard library's, the oracle on the other side.
fn peer(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn endpoint(socket: &UdpSocket) -> Endpoint {
    Endpoint::from(socket.local_addr().unwrap())
}

/// A loopback port on which nobody listens.
fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn read(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 10_000];
    let (len, from) = socket.recv_from(&mut bytes).unwrap();
    (bytes[..len].to_vec(), from)
}

fn send(outbox: &mut impl Outbox, route: &Route, bytes: &[u8]) {
    outbox.slot(route).unwrap()[..bytes.len()].copy_from_slice(bytes);
    outbox.commit(bytes.len());
}

/// Receives until `count` datagrams came, waiting up to five seconds whenever none do.
fn receive(datapath: &mut impl Datapath, count: usize) -> Vec<(Vec<u8>, Route)> {
    let mut waiter = Waiter::new(datapath.fds());
    let mut all = Vec::new();
    while all.len() < count {
        let received = datapath.receive();
        all.extend(datapath.split().0.map(|datagram| (datagram.bytes.to_vec(), *datagram.route)));
        if !received.more && all.len() < count && datapath.announce() {
            let ready = waiter.wait(Some(Duration::from_secs(5))).unwrap();
            assert!(ready.len() > 0, "{} of {count} datagrams came", all.len());
        }
    }
    all
}

/// Receives until a batch is not empty, and leaves it in place.
fn receive_batch(datapath: &mut impl Datapath) -> usize {
    let mut waiter = Waiter::new(datapath.fds());
    loop {
        let received = datapath.receive();
        if received.datagram_count > 0 {
            return received.datagram_count;
        }
        if !received.more && datapath.announce() {
            assert_eq!(waiter.wait(Some(Duration::from_secs(5))).unwrap().len(), 1);
        }
    }
}

/// Bytes that differ from place to place and from datagram to datagram.
fn pattern(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + salt * 7 + at / 251) % 256).try_into().unwrap()).collect()
}

fn dropped(counters: &DatapathCounters) -> u64 {
    counters.send_errors_would_block
        + counters.send_errors_unreachable
        + counters.send_errors_denied
        + counters.send_errors_other
}

fn a_batch_comes_in_order_and_intact_and_tells_when_it_is_full<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 8, 1);
    let asker = peer("127.0.0.1:0");
    let sent: Vec<Vec<u8>> = (0..20).map(|salt| pattern(salt * 60, salt)).collect();
    for bytes in &sent {
        asker.send_to(bytes, datapath.sockets()[0].local_addr()).unwrap();
    }
    let mut came = Vec::new();
    while came.len() < sent.len() {
        let Received { datagram_count, more } = datapath.receive();
        assert!(more || datagram_count < 8, "a full batch tells nothing of what waits");
        let (batch, _) = datapath.split();
        assert_eq!(batch.len(), datagram_count);
        for Datagram { bytes, route } in batch {
            assert_eq!(route.peer, endpoint(&asker));
            came.push(bytes.to_vec());
        }
        assert_eq!(datapath.split().0.len(), datagram_count, "the batch stays");
    }
    assert_eq!(datapath.receive(), Received { datagram_count: 0, more: false });
    assert_eq!(came, sent);
    let counters = datapath.counters();
    assert_eq!(counters.datagrams_in, 20);
    assert_eq!(counters.bytes_in, sent.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert!((3..=8).contains(&counters.receive_syscalls), "{counters:?}");
}

fn every_length_shows_as_it_is_or_as_too_long<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0", "[::1]:0"], 64, 128);
    let lens = [0, 1, 1232, 1233, 2000, 2048, 2049, 9000];
    for (idx, from) in [(0, "127.0.0.1:0"), (1, "[::1]:0")] {
        let asker = peer(from);
        for len in lens {
            let to = datapath.sockets()[idx].local_addr();
            asker.send_to(&pattern(len, len), to).unwrap();
        }
        let came = receive(&mut datapath, lens.len());
        for (len, (bytes, route)) in lens.into_iter().zip(came) {
            assert_eq!(bytes, pattern(len, len)[..len.min(RECEIVE_LEN_MAX)]);
            assert_eq!(bytes.len() > DATAGRAM_LEN_MAX, len > DATAGRAM_LEN_MAX);
            assert_eq!(usize::from(route.local.socket), idx);
        }
    }
    assert_eq!(datapath.counters().truncated, 4);
}

fn replies_leave_from_the_address_asked_while_the_batch_is_walked<D: Make>() {
    let mut datapath: D = datapath_of(&["0.0.0.0:0", "[::]:0"], 64, 128);
    for (idx, asked, from) in [
        (0, "127.0.0.1", "127.0.0.1:0"),
        (0, "127.0.0.2", "127.0.0.1:0"),
        (0, "127.0.0.3", "127.0.0.9:0"),
        (1, "::1", "[::1]:0"),
    ] {
        let asker = peer(from);
        let to = SocketAddr::new(asked.parse().unwrap(), port_of(&datapath, idx));
        asker.send_to(asked.as_bytes(), to).unwrap();
        assert_eq!(receive_batch(&mut datapath), 1);
        let (batch, outbox) = datapath.split();
        for datagram in batch {
            let local = Local { ip: Endpoint::from(to).ip, socket: idx.try_into().unwrap() };
            assert_eq!(*datagram.route, Route { peer: endpoint(&asker), local });
            send(outbox, datagram.route, datagram.bytes);
        }
        datapath.flush();
        assert_eq!(read(&asker), (asked.as_bytes().to_vec(), to));
    }
    assert_eq!(datapath.counters().datagrams_out, 4);
    assert_eq!(dropped(&datapath.counters()), 0);
}

fn a_socket_of_one_address_names_it_and_replies_from_it<D: Make>() {
    for (bound, from) in [("127.0.0.7:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
        let mut datapath: D = datapath_of(&[bound], 64, 128);
        let to = datapath.sockets()[0].local_addr();
        let asker = peer(from);
        asker.send_to(b"asked", to).unwrap();
        assert_eq!(receive_batch(&mut datapath), 1);
        let local = Local { ip: Endpoint::from(to).ip, socket: 0 };
        let (batch, outbox) = datapath.split();
        for Datagram { route, .. } in batch {
            assert_eq!(*route, Route { peer: endpoint(&asker), local });
            send(outbox, route, b"answered");
            send(outbox, &Route::to(route.peer), b"asked back");
        }
        datapath.flush();
        assert_eq!(read(&asker), (b"answered".to_vec(), to));
        assert_eq!(read(&asker), (b"asked back".to_vec(), to));
    }
}

fn datagrams_that_come_one_by_one_are_told_as_those_of_a_batch_are<D: Make>() {
    let mut datapath: D = datapath_of(&["0.0.0.0:0"], 64, 128);
    let to = SocketAddr::from(([127, 0, 0, 3], port_of(&datapath, 0)));
    let asker = peer("127.0.0.1:0");
    let lens = [0, 1, 892, RECEIVE_LEN_MAX, RECEIVE_LEN_MAX + 1, 5_000];
    let mut singly = Vec::new();
    for len in lens {
        asker.send_to(&pattern(len, len), to).unwrap();
        singly.extend(receive(&mut datapath, 1));
        // Nothing is left, so that the next comes alone, too.
        assert_eq!(datapath.receive().datagram_count, 0);
    }
    let truncated = datapath.counters().truncated;
    for len in lens {
        asker.send_to(&pattern(len, len), to).unwrap();
    }
    assert_eq!(receive(&mut datapath, lens.len()), singly);
    assert_eq!((truncated, datapath.counters().truncated), (2, 4));
    let lone = singly[2].clone();
    send(datapath.outbox(), &lone.1, &lone.0);
    datapath.flush();
    assert_eq!(read(&asker), (lone.0, to));
    assert_eq!(datapath.counters().bytes_out, 892);
}

fn queries_leave_by_the_first_socket_of_the_peers_family<D: Make>() {
    for addrs in [["127.0.0.1:0", "[::1]:0"], ["[::1]:0", "127.0.0.1:0"]] {
        let mut datapath: D = datapath_of(&addrs, 64, 128);
        let asked = [peer("127.0.0.1:0"), peer("[::1]:0")];
        for round in 0..10 {
            for socket in &asked {
                let route = Route::to(endpoint(socket));
                send(datapath.outbox(), &route, &pattern(700 + round, round));
            }
        }
        datapath.flush();
        for socket in &asked {
            let v4 = socket.local_addr().unwrap().is_ipv4();
            let idx = addrs.iter().position(|addr| addr.starts_with("127") == v4).unwrap();
            for round in 0..10 {
                let from = datapath.sockets()[idx].local_addr();
                assert_eq!(read(socket), (pattern(700 + round, round), from));
            }
        }
        let counters = datapath.counters();
        assert_eq!(counters.datagrams_out, 20);
        assert!((1..=2).contains(&counters.send_syscalls), "{counters:?}");
    }
}

fn a_datagram_that_cannot_leave_does_not_keep_the_others<D: Make>() {
    let good = peer("127.0.0.1:0");
    let to = |addr: &str| Route::to(Endpoint::from(addr.parse::<SocketAddr>().unwrap()));
    let foreign_source = Route {
        peer: endpoint(&good),
        local: Local { ip: name::mapped([203, 0, 113, 1]), socket: 0 },
    };
    let crossed = Route { peer: endpoint(&good), local: Local { ip: [7; 16], socket: 0 } };
    let bad = [to("[::1]:9"), to("255.255.255.255:9"), to("127.0.0.1:0"), foreign_source, crossed];
    for (place, route) in bad.iter().enumerate() {
        let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 128);
        for salt in 0..10_u8 {
            if usize::from(salt) == 2 * place {
                send(datapath.outbox(), route, b"bad");
            }
            send(datapath.outbox(), &Route::to(endpoint(&good)), &[salt]);
        }
        datapath.flush();
        for salt in 0..10 {
            assert_eq!(read(&good).0, [salt], "{route:?}");
        }
        let counters = datapath.counters();
        assert_eq!((counters.datagrams_out, dropped(&counters)), (10, 1), "{route:?}");
        // The other reasons are the host's to choose.
        let no_exit = *route == bad[0] || *route == crossed;
        assert!(counters.send_errors_unreachable == 1 || !no_exit, "{route:?}");
    }
}

fn errors_told_late_lose_no_datagram_in_either_direction<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 128);
    // Plain unconnected sockets are not told of a closed port; this option makes them.
    set_flag(datapath.sockets()[0].fd(), libc::IPPROTO_IP, libc::IP_RECVERR).unwrap();
    let good = peer("127.0.0.1:0");
    let closed = Route::to(Endpoint::from(closed_port()));

    for salt in 0..20_u8 {
        send(datapath.outbox(), &closed, b"nobody");
        send(datapath.outbox(), &Route::to(endpoint(&good)), &[salt]);
    }
    datapath.flush();
    for salt in 0..20 {
        assert_eq!(read(&good).0, [salt]);
    }
    // What a closed port refuses has left all the same, and is told of only later.
    assert_eq!((datapath.counters().datagrams_out, dropped(&datapath.counters())), (40, 0));

    send(datapath.outbox(), &closed, b"nobody");
    datapath.flush();
    good.send_to(b"still heard", datapath.sockets()[0].local_addr()).unwrap();
    assert_eq!(receive(&mut datapath, 1)[0].0, b"still heard");
    assert_eq!(datapath.counters().receive_errors, 1);
}

fn the_outbox_never_lacks_a_slot_and_accounts_for_every_datagram<D: Make>() {
    let options = SocketOptions { receive_buffer_len: 0, send_buffer_len: 0 };
    let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let mut datapath = D::make(vec![socket], 1, 4);
    // It never reads: what its buffer cannot hold is lost, as the network may lose it.
    let idle = peer("127.0.0.1:0");
    for salt in 0..4001 {
        send(datapath.outbox(), &Route::to(endpoint(&idle)), &pattern(DATAGRAM_LEN_MAX, salt));
    }
    let counters = datapath.counters();
    assert_eq!(counters.outbox_full, 1000);
    assert_eq!(counters.datagrams_out + dropped(&counters), 4000);
    datapath.flush();
    let counters = datapath.counters();
    assert_eq!(counters.datagrams_out + dropped(&counters), 4001);
    assert_eq!(counters.bytes_out, counters.datagrams_out * DATAGRAM_LEN_MAX as u64);
}

/// How many packets datagrams of `lens` to `peers` are, by the rule itself: one is joined to
/// those before if it goes where they go, none of them is shorter than the first, it is not
/// longer, and they are at most 64 and 65,000 bytes.
fn packet_count(datagrams: &[(usize, usize)]) -> u64 {
    let mut runs: Vec<Vec<(usize, usize)>> = Vec::new();
    for &(peer, len) in datagrams {
        if let Some(run) = runs.last_mut() {
            let all_as_first = run.iter().all(|(_, before)| *before == run[0].1);
            let sum: usize = run.iter().map(|(_, before)| before).sum();
            let fits = run.len() < 64 && sum + len <= 65_000;
            if run[0].0 == peer && all_as_first && len > 0 && len <= run[0].1 && fits {
                run.push((peer, len));
                continue;
            }
        }
        runs.push(vec![(peer, len)]);
    }
    runs.len() as u64
}

fn neighbours_to_one_peer_leave_as_one_and_arrive_as_they_were_laid<D: Make>() {
    const COUNT: usize = 80;
    let addrs = ["127.0.0.1:0", "127.0.0.1:0", "0.0.0.0:0", "[::1]:0"];
    let mut datapath: D = datapath_of(&addrs, COUNT, COUNT);
    let peers = [peer("127.0.0.1:0"), peer("127.0.0.1:0"), peer("[::1]:0")];
    // One peer is written to by three sockets, of which one has several addresses.
    let ip_of = |last: u8| Endpoint::from(SocketAddr::from(([127, 0, 0, last], 0))).ip;
    let ways = [(0, 0, [0; 16]), (0, 1, [0; 16]), (0, 2, ip_of(1)), (0, 2, ip_of(2))];
    let ways = [&ways[..], &[(1, 0, [0; 16]), (2, 3, [0; 16])]].concat();
    for seed in 0..80_u64 {
        let mut draws = seed;
        let mut below = |bound: usize| {
            draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
            usize::try_from(draws >> 33).unwrap() % bound
        };
        let before = datapath.counters();
        let mut laid: Vec<(usize, Vec<u8>)> = Vec::new();
        let (mut way, mut len) = (0, 1);
        for salt in 0..COUNT {
            // Mostly as the one before, so that there are runs, and long ones.
            if below(8) == 0 {
                way = below(ways.len());
            }
            if below(6) == 0 {
                len = [0, 1, 72, 898, DATAGRAM_LEN_MAX][below(5)];
            }
            laid.push((way, pattern(len, salt)));
        }
        for (way, bytes) in &laid {
            let (to, socket, ip) = ways[*way];
            let route = Route { peer: endpoint(&peers[to]), local: Local { ip, socket } };
            send(datapath.outbox(), &route, bytes);
        }
        datapath.flush();

        let counters = datapath.counters();
        assert_eq!(counters.datagrams_out - before.datagrams_out, COUNT as u64, "seed {seed}");
        assert_eq!(dropped(&counters) + counters.runs_refused, 0, "seed {seed}");
        // Either all leave in the order in which they were laid, or each socket's by itself.
        let lens = |of: &[u8]| {
            let of = laid.iter().filter(|(way, _)| of.contains(&ways[*way].1));
            packet_count(&of.map(|(way, bytes)| (*way, bytes.len())).collect::<Vec<_>>())
        };
        let apart: u64 = (0..4).map(|socket| lens(&[socket])).sum();
        let packets = counters.packets_out - before.packets_out;
        assert!([lens(&[0, 1, 2, 3]), apart].contains(&packets), "seed {seed}: {packets}");
        for (number, peer) in peers.iter().enumerate() {
            let mut wanted: Vec<(Vec<u8>, SocketAddr)> = Vec::new();
            for (way, bytes) in &laid {
                let (to, socket, ip) = ways[*way];
                let mut from = datapath.sockets()[usize::from(socket)].local_addr();
                if socket == 2 {
                    from.set_ip(std::net::Ipv4Addr::from([ip[12], ip[13], ip[14], ip[15]]).into());
                }
                if to == number {
                    wanted.push((bytes.clone(), from));
                }
            }
            let mut came: Vec<_> = wanted.iter().map(|_| read(peer)).collect();
            // Sockets need not keep step with each other.
            wanted.sort_by_key(|(_, from)| *from);
            came.sort_by_key(|(_, from)| *from);
            assert!(came == wanted, "seed {seed}, peer {number}");
        }
    }
}

fn a_run_is_no_longer_than_every_kernel_cuts<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 150, 150);
    let asker = peer("127.0.0.1:0");
    for (len, count, packets) in [(1, 130, 3), (DATAGRAM_LEN_MAX, 60, 2), (1000, 65, 2)] {
        let before = datapath.counters().packets_out;
        for salt in 0..count {
            send(datapath.outbox(), &Route::to(endpoint(&asker)), &pattern(len, salt));
        }
        datapath.flush();
        (0..count).for_each(|salt| assert_eq!(read(&asker).0, pattern(len, salt)));
        let counters = datapath.counters();
        assert_eq!((counters.packets_out - before, counters.runs_refused), (packets, 0), "{len}");
    }
}

fn a_run_that_the_host_refuses_leaves_one_by_one_and_is_the_last_that_is_tried<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 64);
    // Without checksums the kernel cuts nothing.
    set_flag(datapath.sockets()[0].fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK).unwrap();
    let asker = peer("127.0.0.1:0");
    for round in 1..=3 {
        for salt in 0..20 {
            send(datapath.outbox(), &Route::to(endpoint(&asker)), &pattern(100, salt));
        }
        datapath.flush();
        for salt in 0..20 {
            assert_eq!(read(&asker).0, pattern(100, salt));
        }
        let counters = datapath.counters();
        assert_eq!((counters.datagrams_out, counters.packets_out), (20 * round, 20 * round));
        assert_eq!((counters.runs_refused, dropped(&counters)), (1, 0));
    }
}

fn a_run_to_nowhere_does_not_keep_others_from_leaving_as_one<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 64);
    let asker = peer("127.0.0.1:0");
    // Anybody can ask from port 0, where nothing can be sent to.
    let nowhere = Route::to(Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 0))));
    for round in 1..=3_u64 {
        for _ in 0..2 {
            send(datapath.outbox(), &nowhere, b"a peer's fault");
        }
        datapath.flush();
        for salt in 0..20 {
            send(datapath.outbox(), &Route::to(endpoint(&asker)), &pattern(100, salt));
        }
        datapath.flush();
        (0..20).for_each(|salt| assert_eq!(read(&asker).0, pattern(100, salt)));
        let counters = datapath.counters();
        assert_eq!((counters.datagrams_out, counters.packets_out), (20 * round, round));
        assert_eq!((counters.runs_refused, dropped(&counters)), (round, 2 * round));
    }
}

fn what_is_not_to_leave_together_does_not<D: Make>() {
    let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
    let mut datapath = D::make(vec![socket.with_segments(false)], 64, 64);
    let asker = peer("127.0.0.1:0");
    for salt in 0..20 {
        send(datapath.outbox(), &Route::to(endpoint(&asker)), &pattern(100, salt));
    }
    datapath.flush();
    (0..20).for_each(|salt| assert_eq!(read(&asker).0, pattern(100, salt)));
    assert_eq!(datapath.counters().packets_out, 20);
}

fn a_slot_asked_for_again_begins_the_same_datagram_anew<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 128);
    let (left, taken) = (peer("127.0.0.1:0"), peer("127.0.0.1:0"));
    let outbox = datapath.outbox();
    assert!(outbox.slot(&Route::to(endpoint(&left))).unwrap().len() >= DATAGRAM_LEN_MAX);
    send(outbox, &Route::to(endpoint(&taken)), b"");
    datapath.flush();
    assert_eq!(read(&taken).0, b"");
    assert_eq!(datapath.counters().datagrams_out, 1);
}

fn a_commit_without_a_slot_is_a_fault_of_the_caller<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 128);
    let commit = AssertUnwindSafe(|| datapath.outbox().commit(1));
    let fault = catch_unwind(commit).unwrap_err();
    assert_eq!(fault.downcast_ref::<&str>(), Some(&"no slot was handed out"));
}

fn what_the_kernel_dropped_is_told_with_the_next_datagram<D: Make>() {
    let options = SocketOptions { receive_buffer_len: 1, send_buffer_len: 1 << 20 };
    let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let mut datapath = D::make(vec![socket], 64, 128);
    let asker = peer("127.0.0.1:0");
    let to = datapath.sockets()[0].local_addr();
    let mut sent = 0;
    for _ in 0..3 {
        for _ in 0..50 {
            asker.send_to(&[1; 1000], to).unwrap();
            sent += 1;
        }
        while datapath.receive().more {}
    }
    asker.send_to(b"last", to).unwrap();
    assert_eq!(receive(&mut datapath, 1)[0].0, b"last");
    let counters = datapath.counters();
    assert!(counters.receive_overflow > 0);
    assert_eq!(counters.datagrams_in + counters.receive_overflow, sent + 1);
}

fn a_busy_socket_does_not_starve_the_others<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"], 4, 1);
    let (v4, v6) = (peer("127.0.0.1:0"), peer("[::1]:0"));
    for _ in 0..100 {
        v4.send_to(b"busy", datapath.sockets()[0].local_addr()).unwrap();
    }
    v4.send_to(b"one", datapath.sockets()[1].local_addr()).unwrap();
    v6.send_to(b"one", datapath.sockets()[2].local_addr()).unwrap();
    let mut heard = [false; 3];
    for _ in 0..3 {
        assert!(datapath.receive().datagram_count > 0);
        datapath.split().0.for_each(|it| heard[usize::from(it.route.local.socket)] = true);
    }
    assert_eq!(heard, [true; 3]);
}

#[test]
fn numbers_out_of_range_are_named() {
    let socket = bind("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
    let refused = |sockets: usize, batch_count, slot_count| {
        let sizes = MmsgOptions { batch_count, slot_count };
        Mmsg::new(vec![socket.clone(); sockets], &sizes).err()
    };
    assert_eq!(refused(0, 1, 1), Some(SizeError::SocketCount(0)));
    assert_eq!(refused(17, 1, 1), Some(SizeError::SocketCount(17)));
    assert_eq!(refused(1, 0, 1), Some(SizeError::BatchCount(0)));
    assert_eq!(refused(1, 1, 1025), Some(SizeError::SlotCount(1025)));
    assert_eq!(refused(16, 1024, 1024), None);

    if let Err(reason) = uring_available() {
        eprintln!("not tested: {reason}");
        return;
    }
    let refused = |sockets: usize, batch_count, slot_count, buffer_count| {
        let sizes = UringOptions { batch_count, slot_count, buffer_count };
        Uring::new(vec![socket.clone(); sockets], &sizes).err()
    };
    assert_eq!(refused(0, 1, 1, 1), Some(UringError::Size(SizeError::SocketCount(0))));
    assert_eq!(refused(17, 1, 1, 1), Some(UringError::Size(SizeError::SocketCount(17))));
    assert_eq!(refused(1, 0, 1, 1), Some(UringError::Size(SizeError::BatchCount(0))));
    assert_eq!(refused(1, 1, 1025, 1), Some(UringError::Size(SizeError::SlotCount(1025))));
    assert_eq!(refused(1, 1, 1, 0), Some(UringError::BufferCount(0)));
    assert_eq!(refused(1, 1, 1, 3), Some(UringError::BufferCount(3)));
    assert_eq!(refused(1, 1, 1, 4096), Some(UringError::BufferCount(4096)));
    assert_eq!(refused(16, 1024, 1024, 2048), None);
}

fn a_datapath_moves_to_another_thread<D: Make>() {
    let mut datapath: D = datapath_of(&["127.0.0.1:0"], 64, 128);
    let asker = peer("127.0.0.1:0");
    let to = datapath.sockets()[0].local_addr();
    asker.send_to(b"before", to).unwrap();
    assert_eq!(receive_batch(&mut datapath), 1);
    let mut datapath = std::thread::spawn(move || {
        let (batch, outbox) = datapath.split();
        batch.for_each(|datagram| send(outbox, datagram.route, datagram.bytes));
        datapath
    })
    .join()
    .unwrap();
    datapath.flush();
    assert_eq!(read(&asker), (b"before".to_vec(), to));
}
