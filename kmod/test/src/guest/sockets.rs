//! Sockets whose owner does more with them than bind them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use kdht_kmod::{Control, Settings};
use kdht_wire::{Id, Kind};

use crate::Case;
use crate::daemon::{COOKIE_SECRET, Client, Daemon, Request, V4};
use crate::lifetime::{under_traffic, unload};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("a socket that forgot its encapsulation is the daemon's, and may close", forgets),
    ("sockets that forgot their encapsulation close under traffic", forgets_under_traffic),
    ("what a socket's filter keeps out is not answered", is_filtered),
    ("what went to a group of hosts is not answered", ignores_groups),
];

/// Sets an option of a socket by the program that stands in `sockopt.c`.
fn set(socket: &UdpSocket, what: &str) {
    let stdin = OwnedFd::from(socket.try_clone().unwrap());
    let status = Command::new("sockopt").arg(what).stdin(Stdio::from(stdin)).status();
    assert!(status.unwrap().success(), "{what}");
}

fn forgets(module: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let (addr, id) = (daemon.addr(), daemon.id);
    let client = Client::of(addr);
    let ping = Request::of(Kind::Ping).bytes();
    client.ask(&ping);
    set(&daemon.socket, "forget");
    assert!(client.is_ignored(&ping));
    assert_eq!(daemon.receive().as_ref(), Some(&ping));
    drop(daemon);
    // Nobody told the module that it is closed: whoever comes next finds out.
    let socket = UdpSocket::bind(addr).unwrap();
    let control = Control::open().unwrap();
    control.attach(&id, socket.as_fd(), None).unwrap();
    assert_eq!(control.node(&id).unwrap().sockets, 1);
    let settings =
        Settings { answer: Some(true), cookie_secret: Some(COOKIE_SECRET), ..Settings::default() };
    control.set(&id, &settings).unwrap();
    client.ask(&ping);
    drop(socket);
    unload(module);
    module.load().unwrap();
}

fn forgets_under_traffic(module: &Module) {
    let port = UdpSocket::bind((V4, 0)).unwrap().local_addr().unwrap().port();
    under_traffic(port, || {
        let control = Control::open().unwrap();
        let id = Id([9; 20]);
        for _ in 0..10 {
            let socket = UdpSocket::bind((V4, port)).unwrap();
            control.attach(&id, socket.as_fd(), None).unwrap();
            let settings = Settings {
                answer: Some(true),
                cookie_secret: Some(COOKIE_SECRET),
                ..Settings::default()
            };
            control.set(&id, &settings).unwrap();
            thread::sleep(Duration::from_millis(20));
            set(&socket, "forget");
            drop(socket);
        }
        // The last one is found when the next one comes.
        let last = UdpSocket::bind((V4, port)).unwrap();
        control.attach(&id, last.as_fd(), None).unwrap();
    });
    unload(module);
    module.load().unwrap();
}

fn is_filtered(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let ping = Request::of(Kind::Ping).bytes();
    client.ask(&ping);
    set(&daemon.socket, "deafen");
    assert!(client.is_ignored(&ping));
    assert!(daemon.hears_nothing());
    set(&daemon.socket, "hear");
    client.ask(&ping);
}

fn ignores_groups(module: &Module) {
    let group = Ipv4Addr::new(224, 0, 0, 99);
    let here = Ipv4Addr::new(10, 99, 0, 1);
    module.load_veth().unwrap();
    // Loopback is no device for groups; of what leaves by another their members here get a copy.
    for words in [
        "link add near type veth",
        "addr add 10.99.0.1/24 dev near",
        "link set near up",
        "link set veth0 up",
        "route add 224.0.0.0/4 dev near",
    ] {
        let done = Command::new("ip").args(words.split(' ')).status();
        assert!(done.unwrap().success(), "{words}");
    }
    let daemon = Daemon::answering(Ipv4Addr::UNSPECIFIED.into(), Settings::default());
    daemon.socket.join_multicast_v4(&group, &here).unwrap();
    // Not connected, so that it would hear a reply from any address.
    let asker = UdpSocket::bind((here, 0)).unwrap();
    let ping = Request::of(Kind::Ping).bytes();
    asker.send_to(&ping, SocketAddr::from((group, daemon.port()))).unwrap();
    assert_eq!(daemon.receive().as_ref(), Some(&ping));
    let asker = Client { socket: asker };
    assert!(asker.hears_nothing());
    // The same is answered where it went to the daemon alone.
    let client = Client::of(SocketAddr::new(V4, daemon.port()));
    client.ask(&ping);
    let gone = Command::new("ip").args(["link", "del", "near"]).status();
    assert!(gone.unwrap().success());
}
