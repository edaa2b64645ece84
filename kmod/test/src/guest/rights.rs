//! Who may control the module, and of which namespace.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use kdht_kmod::{Control, Settings};
use kdht_wire::{Id, Kind};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4};
use crate::module::Module;
use crate::probe::Child;

pub(crate) const CASES: &[Case] = &[
    ("a socket of another namespace is refused", refuses_foreign_sockets),
    ("a namespace does not see another's nodes", keeps_namespaces_apart),
    ("a user without CAP_NET_ADMIN is refused", refuses_users),
    ("root of a user namespace is refused unless allowed", refuses_user_namespaces),
];

const EPERM: &str = "1";
const EXDEV: i32 = 18;

/// A network namespace that a process of ours keeps.
fn other_namespace() -> (Child, File) {
    let mut keeper = Child::run(Command::new("unshare").args([
        "-n",
        "sh",
        "-c",
        "ip link set lo up; echo there; sleep 600",
    ]));
    assert_eq!(keeper.line(), "there");
    let file = File::open(format!("/proc/{}/ns/net", keeper.id())).unwrap();
    (keeper, file)
}

/// Runs `part` on a thread of its own in the other namespace.
fn within<T: Send>(namespace: &File, part: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let moved = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            part()
        });
        moved.join().unwrap()
    })
}

fn refuses_foreign_sockets(_: &Module) {
    let (_keeper, namespace) = other_namespace();
    let ours = UdpSocket::bind((V4, 0)).unwrap();
    let refused = within(&namespace, || {
        let attached = Control::open().unwrap().attach(&Id([4; 20]), ours.as_fd(), None);
        attached.unwrap_err().raw_os_error()
    });
    assert_eq!(refused, Some(EXDEV));
    let theirs = within(&namespace, || UdpSocket::bind((V4, 0)).unwrap());
    let attached = Control::open().unwrap().attach(&Id([4; 20]), theirs.as_fd(), None);
    assert_eq!(attached.unwrap_err().raw_os_error(), Some(EXDEV));
}

fn keeps_namespaces_apart(_: &Module) {
    let (_keeper, namespace) = other_namespace();
    let here = Daemon::answering(V4, Settings::default());
    within(&namespace, || {
        let there = Daemon::answering(V4, Settings::default());
        assert_eq!(there.control.nodes().unwrap().len(), 1);
        assert!(there.control.node(&here.id).is_err());
        Client::of(there.addr()).ask(&Request::of(Kind::Ping).bytes());
        assert_eq!(there.status().counts.datagrams_out, 1);
    });
    assert_eq!(here.control.nodes().unwrap().len(), 1);
    assert_eq!(here.status().counts.datagrams_in, 0);
}

fn refuses_users(_: &Module) {
    let mut nobody = Command::new("/proc/self/exe");
    let said = Child::run(nobody.arg("may-control").uid(65_534).gid(65_534)).line();
    assert_eq!(said, EPERM);
}

fn refuses_user_namespaces(_: &Module) {
    let ask = || {
        let script = "ip link set lo up; exec /proc/self/exe may-control";
        let own = std::env::current_exe().unwrap();
        let script = script.replace("/proc/self/exe", own.to_str().unwrap());
        let mut unshare = Command::new("unshare");
        Child::run(unshare.args(["-U", "-r", "-n", "sh", "-c", &script])).line()
    };
    let allow = "/sys/module/kdht/parameters/allow_userns";
    assert_eq!(ask(), EPERM);
    std::fs::write(allow, "1").unwrap();
    assert_eq!(ask(), "may");
    std::fs::write(allow, "0").unwrap();
    assert_eq!(ask(), EPERM);
}
