//! A node, until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, never};
use kdht::control::Asked;
use kdht::routing::Router;
use kdht::settings::{InEffect, Settings, Source};
use kdht::state::StateDir;
use kdht::{Hosting, Launch, NodeHandle, Runner, VERIFIER_RUNNERS_MAX, Verifier, control};
use kdht_core::Config;
use kdht_wire::{Endpoint, Id};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use super::args::RunArgs;
use super::inherited;
use super::keeper::{Keeper, News};
use super::log::Log;
use super::notify::{READY, notify};
use super::shell::{self, Terminal};
use super::show;

/// Operators' tasks that wait at most; more are refused.
const TASKS_MAX: usize = 16;
/// How long the node's own shell waits for the node to join.
const JOIN_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    // First of all: what is inherited must not be mistaken for what is opened here.
    let inherited = inherited::take()?;
    let inherited_addrs = inherited.addrs();
    let read_settings = || {
        let mut settings = settings_of(args)?;
        settings.inherit(&inherited_addrs).map_err(Failure::misuse)?;
        Ok(settings)
    };
    let settings = read_settings()?;
    let log = Log::start(&settings.log);
    let in_effect = InEffect::new(settings).map_err(Failure::misuse)?;
    let settings = &in_effect.settings;
    let mut bootstrap: Vec<Endpoint> = settings
        .resolve_bootstrap()
        .map_err(Failure::misuse)?
        .into_iter()
        .map(Endpoint::from)
        .collect();
    let signals = signals(&[SIGINT, SIGTERM, SIGHUP])?;
    let state =
        settings.state.as_deref().map(StateDir::open).transpose().map_err(Failure::failed)?;
    let fresh = Id(kdht::entropy().map_err(Failure::failed)?);
    let id = state.as_ref().map_or(Ok(fresh), |s| s.identity(fresh)).map_err(Failure::failed)?;
    if let Some(state) = &state {
        bootstrap.extend(state.contacts().map_err(Failure::failed)?);
    }
    let seed = kdht::entropy().map_err(Failure::failed)?;
    let config = Config { verify_apart: true, ..in_effect.config.clone() };
    let hosting = hosting(settings, &config);
    let launch = if inherited.sockets.is_empty() {
        Launch::prepare(id, &config, seed, &settings.listen, settings.is_steered, &hosting)
    } else {
        let sockets = inherited::with_listeners(inherited)?;
        Launch::over(id, &config, seed, sockets, &hosting)
    };
    let launch = launch.map_err(Failure::failed)?.with_segments(settings.segments);
    let listening = launch.listening().to_vec();
    // A node does not enter the network through itself.
    let is_own = |addr: &SocketAddr| listening.contains(addr) || settings.advertise.contains(addr);
    bootstrap.retain(|entry| !is_own(&entry.socket_addr()));
    let runners = start_runners(settings)?;
    let verifiers = start_verifiers(&runners)?;
    let attachment = launch.attachment();
    let (node, streams) = launch.start(&runners).map_err(Failure::failed)?;
    let mut router = Router::new(attachment, node.clone(), bootstrap.clone());
    router.choose(settings.routing, &in_effect.tuning()).map_err(|error| {
        Failure::failed(format!("no kernel routing: {error}; or set `routing` to user or auto"))
    })?;
    let control_path = state.as_ref().map(StateDir::control_path);
    let tasks = match &control_path {
        Some(path) => serve_operators(path, &node)?,
        None => never(),
    };
    announce(args, &id, &listening, &settings.advertise);
    notify(READY);
    let (joined, has_joined) = bounded(1);
    let knows_somebody = !bootstrap.is_empty();
    let join = node.join(bootstrap).map_err(Failure::failed)?;
    let terminal = Terminal::remember();
    let shell = if args.shell {
        let history = settings.state.as_ref().map(|dir| dir.join(shell::HISTORY));
        start_shell(args, &node, history, knows_somebody.then_some(has_joined))?
    } else {
        never()
    };
    let read_settings = &read_settings;
    let mut keeper = Keeper { node, in_effect, read_settings, log, state, router, joined };
    let routed = keeper.router.news();
    let done = keeper.keep(&News { join, routed, signals, tasks, shell });
    terminal.restore();
    drop(keeper);
    drop(streams);
    drop(runners);
    drop(verifiers);
    if let Some(path) = &control_path {
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    done
}

/// What is done with the node beside running it, with a word on what is unusual.
fn hosting(settings: &Settings, config: &Config) -> Hosting {
    let record = settings.record_options();
    if let Some(record) = &record {
        tracing::warn!(file = %record.path.display(), "recording, with all secrets");
    }
    if settings.json_debug && config.keys.is_keyed() {
        tracing::warn!("json_debug: a keyed network takes no JSON, which bears no MAC");
    }
    Hosting { json_debug: settings.json_debug, record }
}

/// A thread for each core, or for each shard if there are fewer.
fn start_runners(settings: &Settings) -> Result<Vec<Runner>, Failure> {
    let here = [rustix::thread::sched_getcpu()];
    let cores =
        if settings.cores.as_slice().is_empty() { &here } else { settings.cores.as_slice() };
    let start = |core: &usize| Runner::start_with(Some(*core), settings.datapath, settings.poll);
    let wanted = cores.iter().take(settings.shards().into());
    wanted.map(start).collect::<Result<_, _>>().map_err(Failure::failed)
}

/// A thread for signatures for each few runners.
fn start_verifiers(runners: &[Runner]) -> Result<Vec<Verifier>, Failure> {
    let mut verifiers = Vec::new();
    for few in runners.chunks(VERIFIER_RUNNERS_MAX) {
        let verifier = Verifier::start().map_err(Failure::failed)?;
        for runner in few {
            runner.attach(&verifier).map_err(Failure::failed)?;
        }
        verifiers.push(verifier);
    }
    Ok(verifiers)
}

pub(super) fn settings_of(args: &RunArgs) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    if let Some(path) = &args.config {
        settings.apply_file(path).map_err(Failure::misuse)?;
    }
    settings.apply_environment(std::env::vars()).map_err(Failure::misuse)?;
    let mut flags: Vec<(&str, String)> = Vec::new();
    if !args.listen.is_empty() {
        flags.push(("listen", args.listen.join(",")));
    }
    if !args.advertise.is_empty() {
        flags.push(("advertise", args.advertise.join(",")));
    }
    if !args.bootstrap.is_empty() {
        flags.push(("bootstrap", args.bootstrap.join(",")));
    }
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    flags.extend(args.state.as_ref().map(|dir| ("state", path(dir))));
    flags.extend(args.network_key.as_ref().map(|file| ("network_key", path(file))));
    flags.extend(args.cores.clone().map(|cores| ("cores", cores)));
    flags.extend(args.shards.map(|shards| ("shards", shards.to_string())));
    flags.extend(args.table.clone().map(|kind| ("table", kind)));
    flags.extend(args.datapath.clone().map(|choice| ("datapath", choice)));
    flags.extend(args.poll.clone().map(|policy| ("poll", policy)));
    flags.extend(args.routing.clone().map(|choice| ("routing", choice)));
    flags.extend(args.record.as_ref().map(|file| ("record", path(file))));
    flags.extend(args.record_max.map(|bytes| ("record_max", bytes.to_string())));
    if args.json_debug {
        flags.push(("json_debug", true.to_string()));
    }
    for setting in &args.set {
        let pair = setting.split_once('=');
        let (key, value) =
            pair.ok_or_else(|| Failure::Misuse(format!("--set wants KEY=VALUE, not `{setting}`")))?;
        flags.push((key.trim(), value.trim().to_owned()));
    }
    for (key, value) in flags {
        settings.set(key, &value, &Source::Flag).map_err(Failure::misuse)?;
    }
    Ok(settings)
}

fn serve_operators(path: &Path, node: &NodeHandle) -> Result<Receiver<Asked>, Failure> {
    let listener = control::listen(path).map_err(Failure::failed)?;
    let (sender, tasks) = bounded(TASKS_MAX);
    let node = node.clone();
    let serve = move || control::serve(&listener, &node, &sender);
    let thread = std::thread::Builder::new().name("kdht-control".into()).spawn(serve);
    thread.map_err(Failure::failed)?;
    Ok(tasks)
}

/// A prompt on a thread of its own, once the node has `joined` if it can.
fn start_shell(
    args: &RunArgs,
    node: &NodeHandle,
    history: Option<PathBuf>,
    joined: Option<Receiver<()>>,
) -> Result<Receiver<Result<(), Failure>>, Failure> {
    let mut session = shell::Session::of_node(node.clone(), history, args.json);
    let (sender, ended) = bounded(1);
    let work = move || {
        if joined.is_some_and(|joined| joined.recv_timeout(JOIN_WAIT).is_err()) {
            tracing::warn!("not joined yet: only what this node holds can be found");
        }
        let _ = sender.send(session.run());
    };
    let thread = std::thread::Builder::new().name("kdht-shell-input".into()).spawn(work);
    thread.map_err(Failure::failed)?;
    Ok(ended)
}

fn announce(args: &RunArgs, id: &Id, listening: &[SocketAddr], own: &[SocketAddr]) {
    let text = |addrs: &[SocketAddr]| addrs.iter().map(ToString::to_string).collect();
    let (listening, own): (Vec<String>, Vec<String>) = (text(listening), text(own));
    if args.json {
        let mut line = json!({ "id": id.to_string(), "listen": listening });
        if !own.is_empty() {
            line["advertise"] = json!(own);
        }
        show::line(&line.to_string());
    } else {
        show::line(&format!("node {id} listening on {}", listening.join(" and ")));
    }
}

/// SIGINT and SIGTERM, from now on as messages.
pub(crate) fn stop_signals() -> Result<Receiver<i32>, Failure> {
    signals(&[SIGINT, SIGTERM])
}

fn signals(wanted: &[i32]) -> Result<Receiver<i32>, Failure> {
    let mut signals = Signals::new(wanted).map_err(Failure::failed)?;
    let (sender, receiver) = bounded(4);
    let forward = move || {
        for signal in &mut signals {
            if sender.send(signal).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("kdht-signals".into()).spawn(forward);
    thread.map_err(Failure::failed)?;
    Ok(receiver)
}
