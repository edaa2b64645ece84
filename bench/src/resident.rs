//! A server that stays while others are measured: started on its core, stopped while it is
//! not its turn.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use kdht::control::{self, Reply, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::cpu;
use crate::echo::COUNTERS_REQUEST;
use crate::now_ns;

/// How long a server may take to say where it listens.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long a signal may take to stop it.
const STOP_PATIENCE_NS: u64 = 1_000_000_000;

/// How a server's system calls are counted.
#[derive(Clone, Debug)]
pub enum Counted {
    /// By its control socket.
    Control(PathBuf),
    /// By asking an echo.
    Echo,
    /// Not at all.
    Not,
}

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub struct Resident {
    child: Child,
    addr: SocketAddr,
    counted: Counted,
}

impl Resident {
    /// Starts `command` on `core`. Without an `addr` its first line on standard output is JSON
    /// that names it, as `kdht run --json` prints. What it says goes to the file `log`.
    ///
    /// # Errors
    /// Why it did not start, with where to read what it said.
    pub fn start(
        command: &[String],
        core: usize,
        addr: Option<SocketAddr>,
        counted: Counted,
        log: &Path,
    ) -> Result<Self, String> {
        let said = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(own)
            .args(["session", "--core", &core.to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut resident = Self { child, addr: SocketAddr::from(([0; 4], 0)), counted };
        let first_line = resident.read_first_line();
        resident.addr = match addr {
            Some(addr) => addr,
            None => {
                let listening = first_line.recv_timeout(START_PATIENCE).ok();
                let listening = listening.and_then(|line| listen_of(&line));
                listening.ok_or_else(|| format!("did not start; see {}", log.display()))?
            }
        };
        Ok(resident)
    }

    /// Reads on after the first line, so that the server never waits for us.
    fn read_first_line(&mut self) -> mpsc::Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        if let Some(out) = self.child.stdout.take() {
            std::thread::spawn(move || {
                BufReader::new(out).lines().map_while(Result::ok).for_each(|line| {
                    // Only the first is waited for.
                    let _ = sender.send(line);
                });
            });
        }
        receiver
    }

    /// Where it answers.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its CPU time; exact while it is paused.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        cpu::process_ns(self.pid())
    }

    /// Stops it where it is, and waits until it has.
    ///
    /// # Errors
    /// It has ended, or does not stop.
    pub fn pause(&self) -> Result<(), String> {
        self.signal(Signal::STOP)?;
        let deadline_ns = now_ns() + STOP_PATIENCE_NS;
        while !cpu::is_stopped(self.pid()) {
            if now_ns() > deadline_ns {
                return Err(format!("process {} does not stop", self.pid()));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<(), String> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("a process without a number")?;
        kill_process(pid, signal).map_err(|error| format!("process {}: {error}", self.pid()))
    }

    /// System calls and datagrams (in and out) so far, where they are counted. It must not be
    /// paused.
    #[must_use]
    pub fn calls(&self) -> Option<(u64, u64)> {
        match &self.counted {
            Counted::Control(path) => {
                let Ok(Reply::Stat(status)) = control::ask(path, &Request::Stat {}) else {
                    return None;
                };
                let datapath = &status.datapath;
                Some((
                    datapath.receive_syscalls + datapath.send_syscalls,
                    datapath.datagrams_in + datapath.datagrams_out,
                ))
            }
            Counted::Echo => {
                let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
                socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
                socket.send_to(COUNTERS_REQUEST, self.addr).ok()?;
                let mut buf = [0; 2_048];
                let len = socket.recv(&mut buf).ok()?;
                let told: Json = serde_json::from_slice(&buf[..len]).ok()?;
                Some((told["syscalls"].as_u64()?, told["datagrams"].as_u64()?))
            }
            Counted::Not => None,
        }
    }

    /// Where its operators talk to it, if it has such a place.
    #[must_use]
    pub fn control(&self) -> Option<&Path> {
        match &self.counted {
            Counted::Control(path) => Some(path),
            _ => None,
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first address in a line such as `{"listen":["127.0.0.1:4000"]}`.
fn listen_of(line: &str) -> Option<SocketAddr> {
    let told: Json = serde_json::from_str(line).ok()?;
    told["listen"][0].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_first_line() {
        let line = r#"{"id":"00","listen":["127.0.0.1:4000","[::1]:4000"]}"#;
        assert_eq!(listen_of(line), Some("127.0.0.1:4000".parse().unwrap()));
        assert_eq!(listen_of("node 00 listening"), None);
    }
}
