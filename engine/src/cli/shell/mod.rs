//! A prompt, or commands from a pipe: puts, gets, single requests and lookups, on a node of
//! this process.

mod line;
mod prompt;
mod words;

use std::fs::File;
use std::io::{BufRead, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Parser;
use kdht::io::{Mmsg, MmsgOptions, SocketOptions, bind};
use kdht::{NodeHandle, Runner, Shard, now_of};
use kdht_client::{Filter, Id, Options, Request};
use kdht_core::{Config, Families, Limits, Node, ThrottleConfig};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failure;
use super::args::{ReachVia, ShellArgs, ValueArgs};
use super::asker::Asker;
use super::{lookup, operate, rpc, show, stat, value};

use line::{Line, Order};
use prompt::Prompt;
use words::words;

/// Name of the file of lines written before.
pub(crate) const HISTORY: &str = "history";

/// What a shell works on.
pub(crate) struct Session {
    node: NodeHandle,
    asker: Asker,
    /// Whose counters and table are told; nothing: the node's.
    control: Option<PathBuf>,
    options: Options,
    history: Option<PathBuf>,
    json: bool,
}

pub(crate) fn shell(args: &ShellArgs) -> Result<(), Failure> {
    let options = show::options(&args.via.reach)?;
    let (runner, node) = start_client(&args.via, &options)?;
    let mut session = Session {
        asker: Asker::Node(node.clone()),
        node,
        control: args.control.clone(),
        options,
        history: value::config_dir().map(|folder| folder.join(HISTORY)),
        json: args.via.reach.json,
    };
    enter(&mut session.asker, &args.via.via)?;
    let done = session.run();
    drop(runner);
    done
}

/// A node that serves nobody, on a port that the host chooses.
fn start_client(via: &ReachVia, options: &Options) -> Result<(Runner, NodeHandle), Failure> {
    let v4 = via.via.iter().any(SocketAddr::is_ipv4);
    let v6 = via.via.iter().any(SocketAddr::is_ipv6);
    let any = |ip: IpAddr| bind((ip, 0).into(), &SocketOptions::default());
    let mut sockets = Vec::new();
    if v4 {
        sockets.push(any(Ipv4Addr::UNSPECIFIED.into()).map_err(Failure::failed)?);
    }
    if v6 {
        sockets.push(any(Ipv6Addr::UNSPECIFIED.into()).map_err(Failure::failed)?);
    }
    let datapath = Mmsg::new(sockets, &MmsgOptions::default()).map_err(Failure::failed)?;
    let config = Config {
        k: options.k,
        client: true,
        families: Families { v4, v6 },
        throttle: ThrottleConfig { slots: 0, ..ThrottleConfig::default() },
        store: Limits::NONE,
        keys: options.keys,
        ..Config::default()
    };
    let seed = kdht::entropy().map_err(Failure::failed)?;
    let id = options.id.unwrap_or_default();
    let node = Node::new(id, config, seed, now_of(kdht::io::Moment::now()));
    let runner = Runner::start(None).map_err(Failure::failed)?;
    let node = runner.add(Shard::new(node, datapath)).map_err(Failure::failed)?;
    Ok((runner, node))
}

/// Gets to know the network through the first of `via` that answers.
fn enter(asker: &mut Asker, via: &[SocketAddr]) -> Result<(), Failure> {
    let mut last = Failure::misuse("no node given with --via");
    for addr in via {
        match asker.ask(*addr, &Request::Ping, false) {
            Ok(_) => return Ok(()),
            Err(error) => last = Failure::failed(error),
        }
    }
    Err(last)
}

impl Session {
    /// A shell on a node of this process that serves.
    pub(crate) fn of_node(node: NodeHandle, history: Option<PathBuf>, json: bool) -> Self {
        let asker = Asker::Node(node.clone());
        let history = history.or_else(|| value::config_dir().map(|folder| folder.join(HISTORY)));
        let id = node.status().ok().and_then(|status| Id::from_hex(&status.id));
        let options = Options { id, ..Options::default() };
        Self { node, asker, control: None, options, history, json }
    }

    /// Carries out lines until they end or one says `quit`; from a terminal with a prompt.
    ///
    /// # Errors
    /// [`Failure::Failed`] if lines came from elsewhere and any of them failed.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let history = self.history.clone();
            let mut prompt = Prompt::new(history.as_deref())?;
            while let Some(line) = prompt.next()? {
                match self.carry_out(&line) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(failure) => tell(failure),
                }
            }
            prompt.end(history.as_deref());
            return Ok(());
        }
        let mut failed = 0_u64;
        for line in stdin.lock().lines() {
            match self.carry_out(&line.map_err(Failure::failed)?) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    tell(failure);
                    failed += 1;
                }
            }
        }
        match failed {
            0 => Ok(()),
            count => Err(Failure::Failed(format!("{count} commands failed"))),
        }
    }

    /// Carries out one line. False: it said `quit`.
    fn carry_out(&mut self, line: &str) -> Result<bool, Failure> {
        let words = words(line).map_err(Failure::misuse)?;
        if words.is_empty() {
            return Ok(true);
        }
        let order = match Line::try_parse_from(&words) {
            Ok(line) => line.order,
            Err(error) if error.use_stderr() => {
                let text = error.to_string();
                let why = text.trim_start_matches("error: ").split("\n\nUsage").next();
                return Err(Failure::misuse(why.unwrap_or_default()));
            }
            // Help was asked for.
            Err(error) => {
                show::line(error.to_string().trim_end());
                return Ok(true);
            }
        };
        if matches!(order, Order::Quit) {
            return Ok(false);
        }
        self.obey(order).map(|()| true)
    }

    fn obey(&mut self, order: Order) -> Result<(), Failure> {
        let json = self.json;
        match order {
            Order::Put { words, value } => {
                let (key, made) = value::value_of(&words, &value, &mut self.options.clone())?;
                value::put_by(&mut self.asker, key, made, value.cas, None, json)
            }
            Order::Get { key, wanted, all } => {
                let form = if json { value::Form::Json } else { value::Form::Lines };
                value::get_by(&mut self.asker, &key, show::filter(&wanted)?, all, None, form)
            }
            Order::P { addr, id } => self.ping(addr, id.as_deref()),
            Order::S { addr, words, value } => self.store(addr, &words, &value),
            Order::Fn { addr, id } => {
                let target = match id {
                    Some(word) => show::key(&word),
                    None => self.id_of(addr)?,
                };
                self.exchange(addr, &Request::FindNode { target }).map(drop)
            }
            Order::Fv { addr, key, wanted } => {
                let (key, filter) = (show::key(&key), show::filter(&wanted)?);
                self.exchange(addr, &Request::FindValue { key, filter, cursor: 0 }).map(drop)
            }
            Order::Ln { id } => {
                let own = || self.options.id.unwrap_or_default().to_string();
                let word = id.unwrap_or_else(own);
                lookup::node_by(&mut self.asker, &word, json)
            }
            Order::Lv { key, wanted } => {
                lookup::value_by(&mut self.asker, &key, show::filter(&wanted)?, json)
            }
            Order::Table => self.table(),
            Order::Stat => self.stat(),
            Order::Quit => Ok(()),
        }
    }

    fn exchange(&mut self, addr: SocketAddr, request: &Request) -> Result<Id, Failure> {
        rpc::exchange(&mut self.asker, addr, request, false, self.json)
    }

    fn ping(&mut self, addr: SocketAddr, id: Option<&str>) -> Result<(), Failure> {
        let not_an_id = || Failure::misuse("an id is 40 hexadecimal digits");
        let wanted = id.map(|text| Id::from_hex(text).ok_or_else(not_an_id)).transpose()?;
        let found = self.exchange(addr, &Request::Ping)?;
        match wanted.filter(|wanted| *wanted != found) {
            Some(wanted) => Err(Failure::Failed(format!("{addr} is {found}, not {wanted}"))),
            None => Ok(()),
        }
    }

    fn store(
        &mut self,
        addr: SocketAddr,
        words: &[String],
        args: &ValueArgs,
    ) -> Result<(), Failure> {
        let (key, value) = match words {
            [word] if !args.immutable && args.file.is_none() => {
                let key = show::key(word);
                let found = self.asker.get(key, Filter::Any, 1, 1);
                let (values, _) = found.map_err(|e| Failure::Failed(format!("{word}: {e}")))?;
                let value = values.into_iter().next();
                (key, value.ok_or_else(|| Failure::Failed(format!("{word}: not found")))?)
            }
            _ => value::value_of(words, args, &mut self.options.clone())?,
        };
        self.exchange(addr, &Request::Store { key, value, cas: args.cas }).map(drop)
    }

    /// The id of whoever answers at `addr`.
    fn id_of(&mut self, addr: SocketAddr) -> Result<Id, Failure> {
        let (bytes, _) = self.asker.ask(addr, &Request::Ping, false).map_err(Failure::failed)?;
        let message = kdht_wire::Message::parse(&bytes);
        let message = message.map_err(|_| Failure::failed("the node answered something else"))?;
        Ok(message.head.sender)
    }

    fn table(&self) -> Result<(), Failure> {
        let members = match &self.control {
            Some(path) => operate::members_of(path)?,
            None => self.node.members().map_err(Failure::failed)?,
        };
        operate::show_members(&members, self.json)
    }

    fn stat(&self) -> Result<(), Failure> {
        let status = match &self.control {
            Some(path) => stat::status_of(path)?,
            None => self.node.status().map_err(Failure::failed)?,
        };
        stat::show_status(&status, self.json)
    }
}

fn tell(failure: Failure) {
    show::talk(&format!("kdht: {}", failure.into_text().trim_end()));
}

/// The terminal's settings, to be put back when a signal ends the process in the middle of
/// a line.
pub(crate) struct Terminal(Option<(File, Termios)>);

impl Terminal {
    /// Remembers how the terminal is now, if there is one.
    pub(crate) fn remember() -> Self {
        let terminal = std::io::stdin().is_terminal().then(|| File::open(Path::new("/dev/tty")));
        let terminal = terminal.and_then(Result::ok);
        Self(terminal.and_then(|file| tcgetattr(&file).ok().map(|settings| (file, settings))))
    }

    /// Makes it as it was.
    pub(crate) fn restore(&self) {
        if let Some((file, settings)) = &self.0 {
            let _ = tcsetattr(file, OptionalActions::Now, settings);
        }
    }
}
