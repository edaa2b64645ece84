//! A daemon's part and a client's, as small as they go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kdht_kmod::{Control, NodeStatus, Settings};
use kdht_kmod_test::Random;
use kdht_wire::{Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Flags, Head, Id, KeyRing, Kind};
use zerocopy::byteorder::little_endian::{U16, U32, U64};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What the cookies of every case follow from.
pub(crate) const COOKIE_SECRET: [u8; 16] = *b"0123456789abcdef";

/// How long a reply may take: the guest is emulated, and may share its host.
const REPLY_WAIT: Duration = Duration::from_secs(5);
/// How long silence is listened to.
const SILENCE_WAIT: Duration = Duration::from_millis(30);

/// One node of the module, on one socket.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) control: Control,
    pub(crate) id: Id,
    pub(crate) socket: UdpSocket,
}

impl Daemon {
    /// Attached, and passing all.
    pub(crate) fn silent(ip: IpAddr) -> Self {
        let daemon = Self {
            control: Control::open().unwrap(),
            id: Id(Random::from_seed(next_seed()).bytes()),
            socket: UdpSocket::bind((ip, 0)).unwrap(),
        };
        daemon.control.attach(&daemon.id, daemon.socket.as_fd(), None).unwrap();
        daemon
    }

    /// Attached, and answering.
    pub(crate) fn answering(ip: IpAddr, settings: Settings) -> Self {
        let daemon = Self::silent(ip);
        daemon.set(Settings { answer: Some(true), cookie_secret: Some(COOKIE_SECRET), ..settings });
        daemon
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.control.set(&self.id, &settings).unwrap();
    }

    pub(crate) fn status(&self) -> NodeStatus {
        self.control.node(&self.id).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// What reached the daemon within a reply's time.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        receive(&self.socket, REPLY_WAIT)
    }

    pub(crate) fn hears_nothing(&self) -> bool {
        receive(&self.socket, SILENCE_WAIT).is_none()
    }
}

/// A seed of its own for each node of this run.
fn next_seed() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEED: AtomicU64 = AtomicU64::new(100);
    SEED.fetch_add(1, Ordering::Relaxed)
}

/// Somebody who asks.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
}

impl Client {
    /// One that asks `server` and hears nobody else.
    pub(crate) fn of(server: SocketAddr) -> Self {
        let ip = if server.is_ipv4() { V4 } else { V6 };
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(server).unwrap();
        Self { socket }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.socket.local_addr().unwrap().into()
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.socket.send(bytes).unwrap();
    }

    /// Asks, and waits for the reply.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        receive(&self.socket, REPLY_WAIT).expect("no reply")
    }

    pub(crate) fn hears_nothing(&self) -> bool {
        receive(&self.socket, SILENCE_WAIT).is_none()
    }

    /// Hears all that was answered so far.
    pub(crate) fn drain(&self) {
        while receive(&self.socket, SILENCE_WAIT).is_some() {}
    }

    /// Asks, and hears nothing.
    pub(crate) fn is_ignored(&self, bytes: &[u8]) -> bool {
        self.send(bytes);
        receive(&self.socket, SILENCE_WAIT).is_none()
    }
}

fn receive(socket: &UdpSocket, wait: Duration) -> Option<Vec<u8>> {
    let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
    socket.set_read_timeout(Some(wait)).unwrap();
    let len = socket.recv(&mut buf).ok()?;
    Some(buf[..len].to_vec())
}

pub(crate) fn now_s() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u32::try_from(since.as_secs() & u64::from(u32::MAX)).unwrap()
}

/// What varies in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) target: Id,
    pub(crate) sender: Id,
    pub(crate) flags: Flags,
    pub(crate) cookie: u64,
    /// Bytes that it is padded to.
    pub(crate) total: usize,
    pub(crate) time_s: u32,
    pub(crate) ring: KeyRing,
}

impl Request {
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            target: Id([7; 20]),
            sender: Id([9; 20]),
            flags: Flags::CLIENT,
            cookie: 0,
            total: 0,
            time_s: now_s(),
            ring: KeyRing::OPEN,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = Head::request(self.kind, 0x1122_3344_5566_7788, self.target, self.sender);
        head.flags = U16::new(self.flags.0);
        head.cookie = U64::new(self.cookie);
        head.time_s = U32::new(self.time_s);
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit =
            Emit::datagram(&mut buf, head, self.ring.signing(), DATAGRAM_LEN_MAX).unwrap();
        emit.pad_to(self.total);
        let len = emit.finish();
        buf[..len].to_vec()
    }
}

/// Contacts of one family with ids from `random`.
pub(crate) fn contacts(count: usize, is_v4: bool, random: &mut Random) -> Vec<Contact> {
    let contact = |_| {
        let ip = if is_v4 {
            IpAddr::V4(Ipv4Addr::from(u32::from_be_bytes([20, random.byte(), random.byte(), 1])))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, random.byte().into()))
        };
        Contact::new(Id(random.bytes()), SocketAddr::new(ip, 4_000).into())
    };
    (0..count).map(contact).collect()
}

/// The nearest of `contacts` to `target`, as a full sort has them, in the order of their ids.
pub(crate) fn nearest(contacts: &[Contact], target: &Id, k: usize) -> Vec<Contact> {
    let mut sorted = contacts.to_vec();
    sorted.sort_by_key(|contact| contact.id.distance(target));
    sorted.truncate(k);
    sorted.sort_by_key(|contact| contact.id);
    sorted
}
