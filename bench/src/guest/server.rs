//! Who is asked.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};

use kdht_bench::draw::Draw;
use kdht_bench::feed::Feeder;
use kdht_bench::kernel::plan::{Ask, Link, Path, VALUES};
use kdht_bench::load::store_values;
use kdht_bench::protocol::Speech;
use kdht_kmod::{Control, Settings};
use kdht_wire::{
    Contact, Emit, Head, Id, KeyRing, Kind, Publisher, Record, ReplyBody, key_of_value,
};
use serde_json::Value as Json;
use zerocopy::FromZeros;

use crate::asker::reply_len;
use crate::far::NEAR;
use crate::forwarded;

/// What cookies of the module's node follow from.
const COOKIE_SECRET: [u8; 16] = *b"0123456789abcdef";
/// What one source may ask: more than anybody here does.
const ALLOWANCE: u32 = 1_000_000_000;
/// Seconds that values live.
const REMAINING_S: u32 = 86_400;
/// Contacts that each of two nodes may know, at least one.
const CONTACTS_OF_TWO: u32 = 16;
/// What contacts and values follow from.
const SEED: u64 = 1;

/// How engines are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engines {
    /// Where they are pinned to.
    pub(crate) core: usize,
    /// Their replies to one asker leave as one.
    pub(crate) segment: bool,
}

/// A server that answers until it is dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    keys: Vec<(u32, Id)>,
    known: Vec<Id>,
    /// Where a forwarded request ends.
    holder: Option<SocketAddr>,
    /// What answers as long as it is there.
    running: Vec<Running>,
}

enum Running {
    Process {
        child: Child,
        /// What it leaves, to be removed.
        state: Option<PathBuf>,
    },
    /// A socket that a module answers on.
    Attached(#[allow(dead_code, reason = "it is kept open")] UdpSocket),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Process { child, state } = self {
            // It may have ended by itself, and left nothing.
            let _ = child.kill();
            let _ = child.wait();
            let _ = state.take().map(std::fs::remove_dir_all);
        }
    }
}

impl Server {
    /// Starts who answers `ask` and all cells of the same path, link and table.
    pub(crate) fn start(ask: &Ask, modules: &FilePath, engines: Engines) -> Result<Self, String> {
        let ip = match ask.link {
            Link::Lo => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Link::Veth => NEAR,
        };
        let len = reply_len(ask).to_string();
        let listen = SocketAddr::new(ip, 0).to_string();
        let echo = |datapath| {
            let mut command = Command::new("kdht-bench");
            command.args(["echo", "--listen", &listen, "--datapath", datapath]);
            command.args(["--reply-bytes", &len]);
            command
        };
        match ask.path {
            Path::EchoRecvfrom => Self::process(echo("recvfrom")),
            Path::EchoMmsg => Self::process(echo("mmsg")),
            Path::EchoUring => Self::process(echo("uring")),
            Path::Mmsg | Path::Uring if ask.kind.is_forwarded() => {
                Self::engines(ask, &listen, engines)
            }
            Path::Mmsg | Path::Uring => Self::engine(ask, &listen, engines),
            Path::EchoEncap => {
                let socket = bind(ip)?;
                let path = "/sys/module/kdht_floor/parameters/echo";
                let written = std::fs::write(path, format!("{} {len}", socket.as_raw_fd()));
                written.map_err(|error| format!("{path}: {error}"))?;
                Self::attached(socket)
            }
            Path::Kernel if ask.kind.is_forwarded() => Self::modules(ask, ip, modules),
            Path::Kernel => Self::module(ask, ip, modules),
            Path::Passing => {
                let socket = attach(ip, modules, own_id())?.1;
                let addr = socket.local_addr().map_err(|error| error.to_string())?;
                let mut command = echo("recvfrom");
                command.arg("--inherit").stdin(Stdio::from(OwnedFd::from(socket)));
                Ok(Self { addr, ..Self::process(command)? })
            }
        }
    }

    /// Where it answers.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who answers in its stead what it passes on; nothing: it answers itself.
    pub(crate) fn holder(&self) -> Option<SocketAddr> {
        self.holder
    }

    /// Whom it tells others of.
    pub(crate) fn known(&self) -> &[Id] {
        &self.known
    }

    /// Under what it holds a value of so many bytes.
    pub(crate) fn key(&self, value_bytes: u32) -> Id {
        let found = self.keys.iter().find(|(bytes, _)| *bytes == value_bytes);
        found.map_or(Id::ZERO, |(_, key)| *key)
    }

    fn attached(socket: UdpSocket) -> Result<Self, String> {
        let addr = socket.local_addr().map_err(|error| error.to_string())?;
        Ok(Self::of(addr, Running::Attached(socket)))
    }

    fn of(addr: SocketAddr, running: Running) -> Self {
        let (keys, known, holder) = (Vec::new(), Vec::new(), None);
        Self { addr, keys, known, holder, running: vec![running] }
    }

    /// The same, which passes to `holder` what asks for the value of `bytes` bytes under `key`.
    fn passing_to(mut self, holder: Self, bytes: u32, key: Id) -> Self {
        self.keys.push((bytes, key));
        self.holder = Some(holder.addr);
        self.running.extend(holder.running);
        self
    }

    /// A program whose first line tells where it answers.
    fn process(mut command: Command) -> Result<Self, String> {
        let started = command.stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("{command:?}: {error}"))?;
        let out = child.stdout.take().ok_or("no output")?;
        let running = Running::Process { child, state: None };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        let told: Option<Json> = serde_json::from_str(&line).ok();
        let addr = told.as_ref().and_then(|told| told["listen"][0].as_str()?.parse().ok());
        let addr = addr.ok_or_else(|| format!("{command:?} says `{line}`"))?;
        Ok(Self::of(addr, running))
    }

    /// An engine with a state folder of its own, named by `part`.
    fn node(
        ask: &Ask,
        listen: &str,
        engines: Engines,
        part: &str,
        contacts_max: u32,
        more: &[&str],
    ) -> Result<Self, String> {
        let part = [ask.path.name(), ask.link.name(), part].join("-");
        let state = std::env::temp_dir().join(format!("kdht-bench-{}-{part}", std::process::id()));
        let mut command = Command::new("kdht");
        command.args(["run", "--json", "--listen", listen, "--state"]).arg(&state);
        command.args(["--datapath", ask.path.name(), "--poll", "sleep"]);
        command.args(["--cores", &engines.core.to_string()]);
        command.args(["--set", &format!("segment={}", engines.segment)]);
        command.args(["--table", &format!("wide:{contacts_max}")]);
        command.args(["--set", &format!("throttle.rate_per_s={ALLOWANCE}")]);
        command.args(["--set", &format!("throttle.burst={ALLOWANCE}")]);
        command.args(more);
        let mut server = Self::process(command)?;
        for running in &mut server.running {
            if let Running::Process { state: kept, .. } = running {
                *kept = Some(state.clone());
            }
        }
        Ok(server)
    }

    /// Two engines of a keyed network.
    fn engines(ask: &Ask, listen: &str, engines: Engines) -> Result<Self, String> {
        let file = std::env::temp_dir().join(format!("kdht-bench-{}.key", std::process::id()));
        let told = |error: std::io::Error| format!("{}: {error}", file.display());
        std::fs::write(&file, forwarded::key_file()).map_err(told)?;
        let file = file.to_string_lossy();
        let keyed = ["--network-key", &*file];
        let first = Self::node(ask, listen, engines, "first", CONTACTS_OF_TWO, &keyed)?;
        let by = first.addr.to_string();
        let more = [&keyed[..], &["--bootstrap", &by]].concat();
        let holder = Self::node(ask, listen, engines, "holder", CONTACTS_OF_TWO, &more)?;
        let key = forwarded::prepare(first.addr, holder.addr, ask.value_bytes)?;
        Ok(first.passing_to(holder, ask.value_bytes, key))
    }

    fn engine(ask: &Ask, listen: &str, engines: Engines) -> Result<Self, String> {
        let part = ask.table.to_string();
        let mut server = Self::node(ask, listen, engines, &part, ask.table.max(1), &[])?;
        if ask.table > 0 {
            let count = ask.table as usize;
            let mut feeder = Feeder::new(server.addr, count, SEED, Speech::Kdht)?;
            while !feeder.is_done() {
                feeder.turn()?;
            }
            if feeder.known_count() < count {
                return Err(format!("{} of {count} contacts are known", feeder.known_count()));
            }
            server.known = feeder.contacts().map(|contact| contact.id).collect();
            return Ok(server);
        }
        for bytes in VALUES {
            let keys = store_values(server.addr, 1, bytes as usize, SEED)?;
            server.keys.extend(keys.first().map(|key| (bytes, *key)));
        }
        Ok(server)
    }

    fn module(ask: &Ask, ip: IpAddr, modules: &FilePath) -> Result<Self, String> {
        let known = contacts(ask.table);
        let values = VALUES.map(|bytes| vec![7; bytes as usize]);
        let mut server = Self::answering(ip, modules, own_id(), &known, &values, KeyRing::OPEN)?;
        let key = |value: &Vec<u8>| (u32::try_from(value.len()).unwrap_or(0), key_of_value(value));
        server.keys = values.iter().map(key).collect();
        server.known = known.iter().map(|contact| contact.id).collect();
        Ok(server)
    }

    /// Two nodes of the module, in a keyed network.
    fn modules(ask: &Ask, ip: IpAddr, modules: &FilePath) -> Result<Self, String> {
        let ring = KeyRing::new(forwarded::KEY, None);
        let value = forwarded::value(ask.value_bytes, |_| true).ok_or("no value")?;
        let key = key_of_value(&value);
        let id = key.with_bit(159, !key.bit(159));
        let holder = Self::answering(ip, modules, id, &[], &[value], ring)?;
        let known = [Contact::new(id, holder.addr.into())];
        let first = Self::answering(ip, modules, own_id(), &known, &[], ring)?;
        Ok(first.passing_to(holder, ask.value_bytes, key))
    }

    /// A node of the module's that tells of `known` and holds `values`, and nothing else.
    fn answering(
        ip: IpAddr,
        modules: &FilePath,
        id: Id,
        known: &[Contact],
        values: &[Vec<u8>],
        ring: KeyRing,
    ) -> Result<Self, String> {
        let (control, socket) = attach(ip, modules, id)?;
        let told = |error: kdht_kmod::ControlError| error.to_string();
        let settings = Settings {
            answer: Some(true),
            cookie_secret: Some(COOKIE_SECRET),
            allowance: Some((ALLOWANCE, ALLOWANCE)),
            keys: ring.is_keyed().then_some(ring),
            ..Settings::default()
        };
        control.set(&id, &settings).map_err(told)?;
        control.add_contacts(&id, known).map_err(told)?;
        control.begin_filter(&id, None).map_err(told)?;
        control.complete_filter(&id).map_err(told)?;
        for value in values {
            let key = key_of_value(value);
            control.add_keys(&id, &[key]).map_err(told)?;
            control.publish(&id, &key, &record(value)?, now_s()).map_err(told)?;
        }
        Self::attached(socket)
    }
}

fn bind(ip: IpAddr) -> Result<UdpSocket, String> {
    UdpSocket::bind((ip, 0)).map_err(|error| format!("{ip}: {error}"))
}

/// The id of who is asked.
fn own_id() -> Id {
    Draw::new(SEED ^ 0x6e6f_6465).id()
}

/// A socket that `kdht.ko` has under `id`, and passes everything from.
fn attach(ip: IpAddr, modules: &FilePath, id: Id) -> Result<(Control, UdpSocket), String> {
    if !std::fs::exists("/sys/module/kdht").unwrap_or(false) {
        let loaded = Command::new("insmod").arg(modules.join("kdht.ko")).status();
        if !loaded.is_ok_and(|status| status.success()) {
            return Err("kdht.ko was not loaded".to_owned());
        }
    }
    let control = Control::open().map_err(|error| error.to_string())?;
    let socket = bind(ip)?;
    control.attach(&id, socket.as_fd(), None).map_err(|error| error.to_string())?;
    Ok((control, socket))
}

/// Contacts that a node may tell of.
fn contacts(count: u32) -> Vec<Contact> {
    let mut draw = Draw::new(SEED);
    let contact = |at: u32| {
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(20, 0, 0, 1)) + (at << 8));
        Contact::new(draw.id(), SocketAddr::from((ip, 4_000)).into())
    };
    (0..count).map(contact).collect()
}

/// A value's record as on the wire.
fn record(value: &[u8]) -> Result<Vec<u8>, String> {
    let told = |error| format!("{error:?}");
    let mut buf = [0; 2_048];
    let head = Head::request(Kind::FindValue, 0, Id::ZERO, Id::ZERO);
    let mut emit = Emit::stream(&mut buf, head, None).map_err(told)?;
    emit.body(&ReplyBody::new_zeroed()).map_err(told)?;
    let record = Record::whole(Publisher::Immutable, REMAINING_S, value);
    let record = record.map_err(|error| format!("{error:?}"))?;
    emit.record(&record).map_err(told)?;
    let len = emit.finish();
    Ok(buf[len - record.wire_len()..len].to_vec())
}

/// The module counts lives by the monotonic clock.
fn now_s() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u32::try_from(now.tv_sec).unwrap_or(u32::MAX)
}
