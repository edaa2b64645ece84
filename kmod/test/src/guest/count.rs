//! What a round trip costs, in a guest whose clock counts instructions: there a nanosecond is
//! one instruction, and whatever runs on its one processor is counted.

use std::net::UdpSocket;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use kdht_kmod::Settings;
use kdht_kmod_test::Random;
use kdht_wire::{Id, Kind};

use crate::daemon::{Client, Daemon, Request, V4, contacts};
use crate::module::Module;
use crate::values;

/// Round trips before those that count.
const WARM_UP: u32 = 200;
/// Round trips that count.
const ROUNDS: u32 = 1_000;

/// Prints each cell: instructions of one round trip, one in flight, on loopback.
pub(crate) fn count(module: &Module) -> ExitCode {
    module.load().unwrap();
    let ping = Request::of(Kind::Ping).bytes();
    // As long as a node that wants the whole reply sends it (FORMAT.md §9).
    let find = Request { total: 300, ..Request::of(Kind::FindNode) }.bytes();
    let value = values::find_value(Id([7; 20]));

    cell("recvfrom_echo ping", UdpSocket::bind((V4, 0)).unwrap(), &ping, 92);
    cell("recvfrom_echo find_node", UdpSocket::bind((V4, 0)).unwrap(), &find, 892);
    let passing = Daemon::silent(V4);
    cell("passed_recvfrom_echo ping", passing.socket.try_clone().unwrap(), &ping, 92);

    for table in [0, 200, 2_000] {
        let allowance = Some((1_000_000_000, 1_000_000_000));
        let daemon = Daemon::answering(V4, Settings { allowance, ..Settings::default() });
        let known = contacts(table, true, &mut Random::from_seed(1));
        daemon.control.add_contacts(&daemon.id, &known).unwrap();
        if table == 0 {
            print("kernel ping", &Client::of(daemon.addr()), &ping, 92);
        } else {
            let label = format!("kernel find_node table {table}");
            print(&label, &Client::of(daemon.addr()), &find, 892);
            daemon.control.begin_filter(&daemon.id, None).unwrap();
            daemon.control.complete_filter(&daemon.id).unwrap();
            let label = format!("kernel find_value absent table {table}");
            print(&label, &Client::of(daemon.addr()), &value, 892);
        }
    }
    ExitCode::SUCCESS
}

/// A thread that answers each datagram by one of `reply_len` bytes, as plainly as it goes.
fn cell(label: &str, socket: UdpSocket, request: &[u8], reply_len: usize) {
    let client = Client::of(socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buf = [0; 2_048];
        while let Ok((_, asker)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..reply_len], asker);
        }
    });
    print(label, &client, request, reply_len);
}

fn print(label: &str, client: &Client, request: &[u8], reply_len: usize) {
    let mut buf = [0; 2_048];
    let mut trip = || {
        client.send(request);
        assert_eq!(client.socket.recv(&mut buf).unwrap(), reply_len, "{label}");
    };
    (0..WARM_UP).for_each(|_| trip());
    let begun = Instant::now();
    (0..ROUNDS).for_each(|_| trip());
    let instructions = begun.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("instructions {instructions:>6}  {label}");
}
