//! Sockets come and go, and so does the module.

use std::net::{TcpListener, UdpSocket};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kdht_kmod::{Control, ControlError, Settings};
use kdht_kmod_test::Random;
use kdht_wire::{Id, Kind};

use crate::Case;
use crate::daemon::{Client, Daemon, Request, V4, contacts};
use crate::module::Module;
use crate::probe::Child;

pub(crate) const CASES: &[Case] = &[
    ("the module stays while a socket is attached, and goes when none is", stays_while_attached),
    ("a detached socket's datagrams are the daemon's, and it can be attached anew", detaches),
    ("a node ends with the daemon that is killed", ends_with_its_daemon),
    ("the module comes and goes under traffic", goes_under_traffic),
    ("contacts come and go under traffic", changes_contacts_under_traffic),
    ("only one node has a socket, and only UDP is taken", refuses_other_sockets),
    ("nothing grows past its bound", keeps_its_bounds),
    ("settings that make no sense change nothing", refuses_nonsense),
];

const EINVAL: i32 = 22;
const EBUSY: i32 = 16;
const ENOENT: i32 = 2;
const ENOSPC: i32 = 28;
const ERANGE: i32 = 34;
const EPROTONOSUPPORT: i32 = 93;

/// How long what has to come may take: a grace period is long where all processors are flooded,
/// and sanitized.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests between two pauses of one who floods.
const BURST: usize = 8;

fn number(result: Result<(), ControlError>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Waits until the module has let go of sockets that were closed.
pub(crate) fn unload(module: &Module) {
    let begun = Instant::now();
    while let Err(error) = module.unload() {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn stays_while_attached(module: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    assert!(module.unload().is_err());
    client.ask(&Request::of(Kind::Ping).bytes());
    drop(daemon);
    unload(module);
    assert!(matches!(Control::open(), Err(ControlError::Missing)));
    module.load().unwrap();
    assert_eq!(Control::open().unwrap().nodes().unwrap(), []);
}

fn detaches(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let ping = Request::of(Kind::Ping).bytes();
    for fd in [None, Some(daemon.socket.as_fd())] {
        client.ask(&ping);
        daemon.control.detach(&daemon.id, fd).unwrap();
        assert_eq!(number(daemon.control.node(&daemon.id).map(drop)), Some(ENOENT));
        assert!(client.is_ignored(&ping));
        assert_eq!(daemon.receive().as_ref(), Some(&ping));
        daemon.control.attach(&daemon.id, daemon.socket.as_fd(), None).unwrap();
        daemon.set(Settings {
            answer: Some(true),
            cookie_secret: Some([1; 16]),
            ..Settings::default()
        });
    }
    client.ask(&ping);
}

fn ends_with_its_daemon(_: &Module) {
    let control = Control::open().unwrap();
    let mut child = Child::start("attach-and-wait");
    assert_eq!(child.line(), "attached");
    assert_eq!(control.nodes().unwrap().len(), 1);
    child.kill();
    assert_eq!(control.nodes().unwrap(), []);
}

/// Asks at `port` from several threads while `change` runs.
pub(crate) fn under_traffic(port: u16, change: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        // More than there are processors, but few enough that `change` has its turns.
        for _ in 0..processors + 1 {
            scope.spawn(|| {
                let socket = UdpSocket::bind((V4, 0)).unwrap();
                let find = Request { total: 300, ..Request::of(Kind::FindNode) }.bytes();
                while !is_done.load(Ordering::Relaxed) {
                    for _ in 0..BURST {
                        // Refused where nobody listens at the moment.
                        let _ = socket.send_to(&find, (V4, port));
                    }
                    // What is freed waits for its grace period, and must not come without end.
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        // Or those who ask would go on for ever where the check fails.
        let changed = catch_unwind(AssertUnwindSafe(change));
        is_done.store(true, Ordering::Relaxed);
        changed.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn goes_under_traffic(module: &Module) {
    let port = UdpSocket::bind((V4, 0)).unwrap().local_addr().unwrap().port();
    under_traffic(port, || {
        for round in 0..10 {
            let socket = UdpSocket::bind((V4, port)).unwrap();
            let control = Control::open().unwrap();
            let id = Id([round + 1; 20]);
            control.attach(&id, socket.as_fd(), None).unwrap();
            let settings = Settings {
                answer: Some(true),
                cookie_secret: Some([2; 16]),
                ..Settings::default()
            };
            control.set(&id, &settings).unwrap();
            let begun = Instant::now();
            while control.node(&id).unwrap().counts.datagrams_in == 0 {
                // Those who ask take turns with this on one processor.
                assert!(begun.elapsed() < PATIENCE, "nothing came");
                thread::sleep(Duration::from_millis(5));
            }
            if round % 2 == 0 {
                control.detach(&id, None).unwrap();
            }
            drop(socket);
            unload(module);
            module.load().unwrap();
        }
    });
}

fn changes_contacts_under_traffic(_: &Module) {
    let mut random = Random::from_seed(6);
    let daemon = Daemon::answering(V4, Settings::default());
    let known = contacts(200, true, &mut random);
    under_traffic(daemon.port(), || {
        for _ in 0..5 {
            daemon.control.add_contacts(&daemon.id, &known).unwrap();
            for contact in &known {
                daemon.control.remove_contact(&daemon.id, contact).unwrap();
            }
        }
    });
    assert_eq!(daemon.status().contacts, [0, 0]);
}

fn refuses_other_sockets(_: &Module) {
    let one = Daemon::silent(V4);
    let other = Id([3; 20]);
    let control = &one.control;
    assert_eq!(number(control.attach(&other, one.socket.as_fd(), None)), Some(EBUSY));
    assert_eq!(number(control.attach(&one.id, one.socket.as_fd(), None)), Some(EBUSY));
    let tcp = TcpListener::bind((V4, 0)).unwrap();
    assert_eq!(number(control.attach(&other, tcp.as_fd(), None)), Some(EPROTONOSUPPORT));
    let free = UdpSocket::bind((V4, 0)).unwrap();
    assert_eq!(number(control.detach(&one.id, Some(free.as_fd()))), Some(ENOENT));
    assert_eq!(number(control.detach(&other, None)), Some(ENOENT));
    assert_eq!(control.nodes().unwrap().len(), 1);
}

fn keeps_its_bounds(_: &Module) {
    let mut random = Random::from_seed(7);
    let daemon = Daemon::silent(V4);
    let many = contacts(2_049, true, &mut random);
    let added = daemon.control.add_contacts(&daemon.id, &many);
    assert_eq!(number(added), Some(ENOSPC));
    assert_eq!(daemon.status().contacts, [2_048, 0]);
    let own = kdht_wire::Contact { id: daemon.id, ..many[0] };
    assert_eq!(number(daemon.control.add_contacts(&daemon.id, &[own])), Some(EINVAL));
    let mut nodes = Vec::new();
    let refused = loop {
        let socket = UdpSocket::bind((V4, 0)).unwrap();
        let id = Id(random.bytes());
        if let Err(error) = daemon.control.attach(&id, socket.as_fd(), Some(4)) {
            break error.raw_os_error();
        }
        nodes.push(socket);
    };
    assert_eq!((refused, nodes.len()), (Some(ENOSPC), 255));
    assert_eq!(daemon.control.nodes().unwrap().len(), 256);
}

fn refuses_nonsense(_: &Module) {
    let daemon = Daemon::silent(V4);
    let set = |settings| number(daemon.control.set(&daemon.id, &settings));
    let nothing = Settings::default;
    assert_eq!(set(Settings { answer: Some(true), ..nothing() }), Some(EINVAL), "no secret");
    assert_eq!(set(Settings { k: Some(21), ..nothing() }), Some(ERANGE));
    assert_eq!(set(Settings { k: Some(0), ..nothing() }), Some(ERANGE));
    assert_eq!(set(Settings { value_len_max: Some(1 << 21), ..nothing() }), Some(ERANGE));
    assert_eq!(set(Settings { cookie_secret: Some([1; 16]), ..nothing() }), None);
    assert_eq!(set(Settings { cookie_secret: Some([2; 16]), ..nothing() }), Some(EBUSY));
    let unknown = daemon.control.set(&Id([1; 20]), &nothing());
    assert_eq!(number(unknown), Some(ENOENT));
    let status = daemon.status();
    assert_eq!((status.answers, status.k), (false, 20));
}
