//! Parts of cases that need a process of their own: this program, started by another name.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use kdht_kmod::Control;
use kdht_wire::Id;

use crate::daemon::V4;

/// Attaches a socket, says so, and waits to be killed.
pub(crate) fn attach_and_wait() -> ExitCode {
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    Control::open().unwrap().attach(&Id([8; 20]), socket.as_fd(), None).unwrap();
    println!("attached");
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::FAILURE
}

/// Says whether this process may attach a socket, and by which number not.
pub(crate) fn may_control() -> ExitCode {
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    let attached = Control::open().and_then(|c| c.attach(&Id([8; 20]), socket.as_fd(), None));
    match attached {
        Ok(()) => println!("may"),
        Err(error) => println!("{}", error.raw_os_error().unwrap_or(0)),
    }
    ExitCode::SUCCESS
}

/// This program in a process of its own.
pub(crate) struct Child {
    child: std::process::Child,
    said: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(part: &str) -> Self {
        Self::run(Command::new("/proc/self/exe").arg(part))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
