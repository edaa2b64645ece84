//! Who takes part: how each is named, started, fed and asked.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use kdht_wire::{DATAGRAM_LEN_MAX, Id};

use super::{CompareArgs, Role, SegmentReplies, default_out};
use crate::draw::Draw;
use crate::echo::{Mover, Waiting};
use crate::generator::{Generator, Pace, Plan, Wait};
use crate::link::Link;
use crate::oracle::Oracle;
use crate::protocol::{BARE_LEN_MIN, Speech};
use crate::resident::{Counted, Resident};
use crate::workload::{Keys, Targets};

/// How long a server may take to answer at all.
const GREET_PATIENCE: Duration = Duration::from_secs(20);
/// How long a node may take to know its contacts, and more for each.
const FEED_PATIENCE: Duration = Duration::from_secs(20);
const FEED_PATIENCE_PER_CONTACT: Duration = Duration::from_micros(500);
/// How long others are told of contacts, of which their tables may keep few.
const FEED_OTHERS_S: u64 = 15;
/// A request without a reply is lost. Longer than a slice's pause never is.
const TIMEOUT_NS: u64 = 200_000_000;
/// Every so many replies are checked.
const CHECK_EVERY: u64 = 1_000;
/// Requests in flight at most.
const WINDOW_MAX: usize = 4_096;

/// Somebody to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named {
    /// Its name in reports.
    pub name: String,
    /// How it is spoken to.
    pub protocol: Speech,
    /// Where it answers, if it does not say so itself.
    pub addr: Option<SocketAddr>,
    /// What the shell runs.
    pub command: String,
    /// How it polls, where that is known.
    pub poll: String,
    /// One of our own nodes.
    pub is_own: bool,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (head, command) = text.split_once('=').ok_or("want NAME[:PROTOCOL[:ADDR]]=COMMAND")?;
        let mut parts = head.splitn(3, ':');
        let name = parts.next().unwrap_or_default().to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("a name has letters, digits, - _ and . only, not `{name}`"));
        }
        let protocol = parts.next().map_or(Ok(Speech::Kdht), str::parse)?;
        let addr = parts.next().map(|addr| addr.parse::<SocketAddr>());
        let addr = addr.transpose().map_err(|_| format!("{head}: want IP:PORT at the end"))?;
        if command.trim().is_empty() {
            return Err(format!("{name} has no command"));
        }
        let (command, poll) = (command.to_owned(), String::new());
        Ok(Self { name, protocol, addr, command, poll, is_own: false })
    }
}

impl Named {
    /// The same with what stands in braces filled in.
    #[must_use]
    pub fn filled(&self, stage: &Stage, reply_len: usize) -> Self {
        let command = self
            .command
            .replace("{core}", &stage.server_core.to_string())
            .replace("{contacts}", &stage.args.contacts.to_string())
            .replace("{reply_bytes}", &reply_len.to_string());
        Self { command, ..self.clone() }
    }

    /// The same once more, as the control.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { name: format!("{}-again", self.name), ..self.clone() }
    }
}

/// What all of a run share.
#[derive(Debug)]
pub struct Stage {
    /// What was asked for.
    pub args: CompareArgs,
    /// CPU of the servers.
    pub server_core: usize,
    /// CPU of the generator.
    pub generator_core: usize,
    /// The command `kdht`.
    pub kdht: PathBuf,
    /// This command.
    pub own: PathBuf,
    /// Where the report goes.
    pub out: PathBuf,
    /// What the generator does in between, with more than a few requests in flight.
    pub wait: Wait,
    /// Requests that each generator may have in flight.
    pub in_flight_max: usize,
}

/// A server, and who asks it.
pub struct Entry {
    /// What it is.
    pub named: Named,
    /// Whether it is a floor.
    pub role: Role,
    /// Its process.
    pub resident: Resident,
    /// Who asks it.
    pub generator: Generator,
    /// Contacts that it tells others of, where that is known.
    pub contacts: Option<usize>,
    /// Bytes of a request and of a reply.
    pub lens: (usize, usize),
    /// System calls for each datagram over the last rounds.
    pub syscalls_per_datagram: Option<f64>,
    /// Its contacts' process.
    _feeder: Option<Feeding>,
}

/// A process of contacts, which ends with this.
struct Feeding(Child);

impl Drop for Feeding {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    /// Takes the cores and makes the folder.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn set(args: &CompareArgs) -> Result<Self, String> {
        let allowed = kdht::io::allowed_cpus();
        let first = allowed.as_slice().first().copied();
        let last = allowed.as_slice().last().copied();
        let server_core = args.server_core.or(last).ok_or("no CPU is known")?;
        let generator_core = args.generator_core.or(first).ok_or("no CPU is known")?;
        if server_core == generator_core {
            return Err(format!(
                "server and generator need a CPU each; allowed: {allowed}. Name them by \
                 --server-core and --generator-core"
            ));
        }
        if !matches!(&*args.table, "wide" | "kbucket") {
            return Err(format!("--table is wide or kbucket, not `{}`", args.table));
        }
        let too_wide = args.window.iter().find(|window| !(1..=WINDOW_MAX).contains(*window));
        if let Some(window) = too_wide {
            return Err(format!("--window is 1 to {WINDOW_MAX}, not {window}"));
        }
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let beside = own.with_file_name("kdht");
        let kdht = args.kdht.clone().unwrap_or(beside);
        if !kdht.exists() {
            let build = "build it by `cargo build --release`, or name it by --kdht";
            return Err(format!("{} does not exist; {build}", kdht.display()));
        }
        let out =
            args.out.clone().unwrap_or_else(|| default_out("target/bench".as_ref(), "compare"));
        let made = fs::create_dir_all(&out).and_then(|()| fs::create_dir(out.join("log")));
        made.map_err(|error| format!("{}: {error}", out.display()))?;
        kdht::io::pin_to(generator_core).map_err(|error| error.to_string())?;
        let args = args.clone();
        let (wait, in_flight_max) = (Wait::Busy, WINDOW_MAX);
        Ok(Self { args, server_core, generator_core, kdht, own, out, wait, in_flight_max })
    }

    /// Candidates by their protocol.
    #[must_use]
    pub fn groups(&self, args: &CompareArgs) -> BTreeMap<Speech, Vec<Named>> {
        let mut groups: BTreeMap<Speech, Vec<Named>> = BTreeMap::new();
        let own = self.own_candidates();
        let others = args.candidate.iter().map(|named| named.filled(self, 0));
        for named in own.into_iter().chain(others) {
            groups.entry(named.protocol).or_default().push(named);
        }
        groups
    }

    /// Requests leave many as one.
    fn requests_segment(&self) -> bool {
        self.args.sources == 1 && !self.args.no_segment
    }

    fn own_candidates(&self) -> Vec<Named> {
        let mut found = Vec::new();
        for datapath in ["uring", "mmsg"] {
            for poll in ["adaptive", "sleep", "busy"] {
                let name = format!("{datapath}-{poll}");
                let is_wanted = self.args.own.is_empty() || self.args.own.contains(&name);
                if !is_wanted {
                    continue;
                }
                let table = match &*self.args.table {
                    "wide" => format!("wide:{}", self.args.contacts),
                    other => other.to_owned(),
                };
                let state = self.out.join("state").join(&name);
                let command = format!(
                    "'{}' run --listen 127.0.0.1:0 --json --datapath {datapath} --poll {poll} \
                     --cores {} --table {table} --state '{}' \
                     --set throttle.rate_per_s=1000000000 --set throttle.burst=1000000000 \
                     --set segment={}",
                    self.kdht.display(),
                    self.server_core,
                    state.display(),
                    self.args.segment_replies != SegmentReplies::None
                );
                let (protocol, poll) = (Speech::Kdht, poll.to_owned());
                found.push(Named { name, protocol, addr: None, command, poll, is_own: true });
            }
        }
        found
    }

    /// One of our echoes.
    #[must_use]
    pub fn own_floor(&self, mover: Mover, waiting: Waiting, reply_len: usize) -> Named {
        let mover = if mover == Mover::Uring { "uring" } else { "mmsg" };
        let waiting = if waiting == Waiting::Busy { "busy" } else { "block" };
        let command = format!(
            "'{}' echo --datapath {mover} --wait {waiting} --reply-bytes {reply_len} --core {}{}",
            self.own.display(),
            self.server_core,
            if self.args.segment_replies == SegmentReplies::Both { " --segment" } else { "" }
        );
        Named {
            name: format!("echo-{mover}-{waiting}"),
            protocol: Speech::Bare,
            addr: None,
            command,
            poll: waiting.to_owned(),
            is_own: true,
        }
    }

    /// Starts a floor that is asked with `request_len` bytes, and pauses it.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn start_floor(
        &self,
        named: &Named,
        role: Role,
        request_len: usize,
    ) -> Result<Entry, String> {
        let counted = if named.is_own { Counted::Echo } else { Counted::Not };
        let resident = self.resident(named, counted)?;
        let mut generator =
            self.generator(Speech::Bare, resident.addr(), request_len.max(BARE_LEN_MIN))?;
        generator.greet(GREET_PATIENCE)?;
        self.finish(named, role, resident, generator, None, None)
    }

    /// Starts a candidate, fills its table, learns its sizes and pauses it.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn start_candidate(&self, named: &Named) -> Result<Entry, String> {
        let counted = if named.is_own {
            Counted::Control(self.out.join("state").join(&named.name).join("control.sock"))
        } else {
            Counted::Not
        };
        if named.is_own {
            let state = self.out.join("state");
            fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
        }
        let resident = self.resident(named, counted)?;
        let mut generator = self.generator(named.protocol, resident.addr(), 0)?;
        generator.greet(GREET_PATIENCE)?;
        let ids = self.out.join("log").join(format!("{}.ids", named.name));
        let feeder = match self.feed(named, resident.addr(), &ids) {
            Ok(feeder) => Some(feeder),
            // A stranger's table is what it is.
            Err(_) if !named.is_own => None,
            Err(why) => return Err(why),
        };
        let oracle = match (resident.control(), named.protocol) {
            (Some(path), _) => match Oracle::of_node(path, 20)? {
                Some(oracle) => Some(oracle),
                None => Some(Oracle::of_list(&ids, 20)?),
            },
            // They have to name contacts that they were told of, whichever those are.
            (None, Speech::Krpc | Speech::OpenDht) if feeder.is_some() => {
                Some(Oracle::of_list(&ids, 20)?)
            }
            (None, _) => None,
        };
        let contacts = oracle.as_ref().map(Oracle::len).filter(|_| named.is_own);
        generator.set_oracle(oracle);
        self.finish(named, Role::Candidate, resident, generator, contacts, feeder)
    }

    fn resident(&self, named: &Named, counted: Counted) -> Result<Resident, String> {
        let log = self.out.join("log").join(format!("{}.txt", named.name));
        let command = ["sh".to_owned(), "-c".to_owned(), format!("exec {}", named.command)];
        Resident::start(&command, self.server_core, named.addr, counted, &log)
    }

    fn generator(
        &self,
        protocol: Speech,
        peer: SocketAddr,
        request_len_min: usize,
    ) -> Result<Generator, String> {
        let seed = self.args.seed;
        let plan = Plan {
            mix: self.args.kind,
            targets: Targets::new(Keys::Uniform, &Id::ZERO, &mut Draw::new(seed)),
            values: Targets::of(Vec::new(), Keys::Uniform),
            request_len_min,
            timeout_ns: TIMEOUT_NS,
            check_every: CHECK_EVERY,
            seed,
            wait: Wait::Busy,
        };
        let link = Link::new(peer, self.args.sources, self.requests_segment())?;
        Ok(Generator::new(peer, link, protocol.speaker(seed), plan, self.in_flight_max))
    }

    /// Starts contacts and waits until the node knows them.
    fn feed(&self, named: &Named, addr: SocketAddr, ids: &PathBuf) -> Result<Feeding, String> {
        let log = fs::File::create(self.out.join("log").join(format!("{}.feed", named.name)));
        let log = log.map_err(|error| error.to_string())?;
        let others = ["--patience".to_owned(), FEED_OTHERS_S.to_string()];
        let patience = if named.is_own { &others[..0] } else { &others[..] };
        let mut feeding = Feeding(
            // Ends when we do, however that is.
            Command::new(&self.own)
                .args(["session", "--core", &self.generator_core.to_string(), "--"])
                .arg(&self.own)
                .args(["feed", "--target", &addr.to_string()])
                .args(["--contacts", &self.args.contacts.to_string()])
                .args(["--protocol", named.protocol.name()])
                .arg("--ids-out")
                .arg(ids)
                .args(patience)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log)
                .spawn()
                .map_err(|error| error.to_string())?,
        );
        let out = feeding.0.stdout.take().ok_or("no output")?;
        let (sender, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line);
            // Nobody listens any more once the wait is over.
            let _ = sender.send(read.is_ok() && !line.is_empty());
        });
        let contacts = u32::try_from(self.args.contacts).unwrap_or(u32::MAX);
        let patience = FEED_PATIENCE + FEED_PATIENCE_PER_CONTACT * contacts;
        match done.recv_timeout(patience) {
            Ok(true) => Ok(feeding),
            _ => Err(format!("{} did not get to know its contacts", named.name)),
        }
    }

    fn finish(
        &self,
        named: &Named,
        role: Role,
        resident: Resident,
        mut generator: Generator,
        contacts: Option<usize>,
        feeder: Option<Feeding>,
    ) -> Result<Entry, String> {
        if self.requests_segment() {
            generator.pad();
        }
        let mut tally = generator.run(Pace::Window(1), Duration::from_millis(50), |_| false);
        generator.check_due(&mut tally);
        if tally.answered == 0 {
            return Err(format!("{} does not answer what is asked", named.name));
        }
        if let Some(wrong) = tally.first_wrong {
            return Err(format!("{} gives wrong replies: {wrong:?}", named.name));
        }
        let mean = usize::try_from(tally.bytes_in / tally.answered).unwrap_or(0);
        let lens = (generator.padded_len(), mean.min(DATAGRAM_LEN_MAX));
        resident.pause()?;
        Ok(Entry {
            named: named.clone(),
            role,
            resident,
            generator,
            contacts,
            lens,
            syscalls_per_datagram: None,
            _feeder: feeder,
        })
    }
}

impl Entry {
    /// Bytes of a request and of a reply.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        self.lens
    }

    /// System calls and datagrams so far; the process is paused before and after.
    ///
    /// # Errors
    /// It has ended.
    pub fn calls(&self) -> Result<Option<(u64, u64)>, String> {
        self.resident.resume()?;
        let calls = self.resident.calls();
        self.resident.pause()?;
        Ok(calls)
    }

    /// Takes note of the system calls for each datagram since `before`.
    ///
    /// # Errors
    /// It has ended.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run fit a double")]
    pub fn note_calls(&mut self, before: Option<(u64, u64)>) -> Result<(), String> {
        let pair = before.zip(self.calls()?);
        self.syscalls_per_datagram = pair.and_then(|((calls, datagrams), after)| {
            let datagrams = after.1.saturating_sub(datagrams);
            let calls = after.0.saturating_sub(calls);
            (datagrams > 0).then(|| calls as f64 / datagrams as f64)
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_read_by_its_parts() {
        let named: Named = "lt:krpc:127.0.0.1:6881=python3 lt.py a=b".parse().unwrap();
        assert_eq!((named.name.as_str(), named.protocol), ("lt", Speech::Krpc));
        assert_eq!(named.addr, Some("127.0.0.1:6881".parse().unwrap()));
        assert_eq!(named.command, "python3 lt.py a=b");
        let named: Named = "mine=./kdht run".parse().unwrap();
        assert_eq!((named.protocol, named.addr), (Speech::Kdht, None));
        for (text, why) in
            [("x", "NAME"), ("a b=c", "letters"), ("x:soap=c", "soap"), ("x= ", "command")]
        {
            assert!(text.parse::<Named>().unwrap_err().contains(why), "{text}");
        }
    }
}
