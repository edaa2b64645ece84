//! A node, until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select, tick};
use kdht::io::{Mmsg, MmsgOptions, Socket, SocketOptions, bind};
use kdht::settings::{Settings, Source};
use kdht::state::StateDir;
use kdht::{JoinNews, NodeHandle, Runner, Shard, control, now_of};
use kdht_core::Node;
use kdht_wire::{Endpoint, Id};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use super::args::RunArgs;
use super::show;

/// How often contacts are kept, if they changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    start_log();
    let settings = settings_of(args)?;
    let config = settings.node_config().map_err(Failure::misuse)?;
    let mut bootstrap: Vec<Endpoint> = settings
        .resolve_bootstrap()
        .map_err(Failure::misuse)?
        .into_iter()
        .map(Endpoint::from)
        .collect();
    let stop = stop_signals()?;
    let mut state =
        settings.state.as_deref().map(StateDir::open).transpose().map_err(Failure::failed)?;
    let fresh = Id(kdht::entropy().map_err(Failure::failed)?);
    let id = state.as_ref().map_or(Ok(fresh), |s| s.identity(fresh)).map_err(Failure::failed)?;
    if let Some(state) = &state {
        bootstrap.extend(state.contacts().map_err(Failure::failed)?);
    }
    let mut sockets = Vec::new();
    for addr in &settings.listen {
        sockets.push(bind(*addr, &SocketOptions::default()).map_err(Failure::failed)?);
    }
    let listening: Vec<SocketAddr> = sockets.iter().map(Socket::local_addr).collect();
    // A node does not enter the network through itself.
    bootstrap.retain(|entry| !listening.contains(&entry.socket_addr()));
    let datapath = Mmsg::new(sockets, &MmsgOptions::default()).map_err(Failure::failed)?;
    let seed = kdht::entropy().map_err(Failure::failed)?;
    let node = Node::new(id, config, seed, now_of(kdht::io::Moment::now()));
    let core = settings.core.or_else(|| Some(rustix::thread::sched_getcpu()));
    let runner = Runner::start(core).map_err(Failure::failed)?;
    let node = runner.add(Shard::new(node, datapath)).map_err(Failure::failed)?;
    let control_path = state.as_ref().map(StateDir::control_path);
    if let Some(path) = &control_path {
        let listener = control::listen(path).map_err(Failure::failed)?;
        let node = node.clone();
        let serve = move || control::serve(&listener, &node);
        let thread = std::thread::Builder::new().name("kdht-control".into()).spawn(serve);
        thread.map_err(Failure::failed)?;
    }
    announce(args, &id, &listening);
    let news = node.join(bootstrap).map_err(Failure::failed)?;
    let done = until_stopped(&node, &news, &stop, state.as_mut());
    drop(runner);
    if let Some(path) = &control_path {
        let _ = std::fs::remove_file(path);
    }
    tracing::info!("stopped");
    done
}

fn settings_of(args: &RunArgs) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    if let Some(path) = &args.config {
        settings.apply_file(path).map_err(Failure::misuse)?;
    }
    settings.apply_environment(std::env::vars()).map_err(Failure::misuse)?;
    let mut flags: Vec<(&str, String)> = Vec::new();
    if !args.listen.is_empty() {
        flags.push(("listen", args.listen.join(",")));
    }
    if !args.bootstrap.is_empty() {
        flags.push(("bootstrap", args.bootstrap.join(",")));
    }
    let path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    flags.extend(args.state.as_ref().map(|dir| ("state", path(dir))));
    flags.extend(args.network_key.as_ref().map(|file| ("network_key", path(file))));
    flags.extend(args.core.map(|core| ("core", core.to_string())));
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

fn announce(args: &RunArgs, id: &Id, listening: &[SocketAddr]) {
    let listening: Vec<String> = listening.iter().map(ToString::to_string).collect();
    if args.json {
        show::line(&json!({ "id": id.to_string(), "listen": listening }).to_string());
    } else {
        show::line(&format!("node {id} listening on {}", listening.join(" and ")));
    }
}

/// Keeps contacts and tells of the join, until a signal comes.
fn until_stopped(
    node: &NodeHandle,
    news: &Receiver<JoinNews>,
    stop: &Receiver<i32>,
    mut state: Option<&mut StateDir>,
) -> Result<(), Failure> {
    let save = tick(SAVE_INTERVAL);
    loop {
        select! {
            recv(stop) -> signal => {
                tracing::info!(signal = signal.unwrap_or_default(), "stopping");
                save_contacts(node, &mut state);
                return Ok(());
            }
            recv(news) -> news => match news {
                Ok(JoinNews::Joined { contacts }) => {
                    tracing::info!(contacts, "joined");
                    save_contacts(node, &mut state);
                }
                Ok(JoinNews::Failed { tried, retry_ms }) => {
                    tracing::warn!(tried, retry_ms, "nobody answered; trying again");
                }
                Err(_) => return Err(Failure::failed("the node's thread has ended")),
            },
            recv(save) -> _ => save_contacts(node, &mut state),
        }
    }
}

fn save_contacts(node: &NodeHandle, state: &mut Option<&mut StateDir>) {
    let Some(state) = state else { return };
    match node.contacts() {
        Ok(contacts) => {
            if let Err(error) = state.save_contacts(&contacts) {
                tracing::error!(%error, "contacts were not kept");
            }
        }
        Err(error) => tracing::error!(%error, "contacts were not read"),
    }
}

/// SIGINT and SIGTERM, from now on as messages.
pub(crate) fn stop_signals() -> Result<Receiver<i32>, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Failure::failed)?;
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

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KDHT_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process keeps the first's log.
    let _ = log.try_init();
}
