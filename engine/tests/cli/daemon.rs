//! Nodes as processes of their own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// How long anything that a node does by itself may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running `kdht run`; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) id: String,
    state: PathBuf,
    log: Receiver<String>,
}

impl Daemon {
    /// Starts a node on a loopback address, port chosen by the host, with `args` besides.
    pub(crate) fn start(state: &Path, args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", state, args)
    }

    pub(crate) fn start_at(listen: &str, state: &Path, args: &[&str]) -> Self {
        Self::spawn(listen, Stdio::piped(), state, args)
    }

    /// As [`Daemon::start`], with its log in `log` instead of here.
    pub(crate) fn start_logging_to(log: Stdio, state: &Path, args: &[&str]) -> Self {
        Self::spawn("127.0.0.1:0", log, state, args)
    }

    fn spawn(listen: &str, log: Stdio, state: &Path, args: &[&str]) -> Self {
        let mut child = kdht()
            .args(["run", "--json", "--listen", listen, "--state"])
            .arg(state)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Json = serde_json::from_str(&line).unwrap_or_else(|error| {
            let log: Vec<String> = log.try_iter().collect();
            panic!("no line about the node ({error}): {line:?}, log {log:?}")
        });
        let addr = said["listen"][0].as_str().unwrap().parse().unwrap();
        let id = said["id"].as_str().unwrap().to_owned();
        Self { child, addr, id, state: state.to_owned(), log }
    }

    /// Waits for a line of the log that has `part` in it.
    pub(crate) fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(part) => return,
                Ok(line) => seen.push(line),
                Err(_) => break,
            }
        }
        panic!("no `{part}` in the log: {seen:?}");
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and returns its exit code.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end and returns its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The path of its control socket.
    pub(crate) fn control(&self) -> String {
        self.state.join("control.sock").to_str().unwrap().to_owned()
    }

    /// Its counters, through the control socket.
    pub(crate) fn stat(&self) -> Json {
        let control = self.control();
        let output = kdht().args(["stat", "--json", "--control"]).arg(control).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.stat()["refusals"][reason].as_u64().unwrap_or_else(|| panic!("no `{reason}`"))
    }

    /// Waits until `wanted` holds of its counters.
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&Json) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stat = self.stat();
            if wanted(&stat) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} did not come: {stat}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command under test, with nothing of the tester's own settings.
pub(crate) fn kdht() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kdht"));
    without_settings(&mut command);
    command
}

/// Takes the tester's own settings from a command's environment. What `KDHT_TEST_DATAPATH`
/// names is its datapath, so that the same tests run on each.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KDHT_")) {
        command.env_remove(name);
    }
    if let Ok(datapath) = std::env::var("KDHT_TEST_DATAPATH") {
        command.env("KDHT_DATAPATH", datapath);
    }
}

/// Runs `kdht` with a publisher key below `home`.
pub(crate) fn run(home: &Path, args: &[&str]) -> Output {
    kdht().args(args).env("XDG_CONFIG_HOME", home).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
