//! Sockets that a service manager opened.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

use crate::daemon::{kdht, run, without_settings};

/// Opens the sockets that its first argument names, hands them over as descriptors from 3
/// on, and becomes the command that follows. `%` in the command is the first one's address.
const MANAGER: &str = r#"
import os, socket, sys
made = []
for word in sys.argv[1].split():
    kind, host, port = word.split('=')
    if kind == 'unix':
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    else:
        v6 = ':' in host
        family = socket.AF_INET6 if v6 else socket.AF_INET
        stream = socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM
        one = socket.socket(family, stream)
        if v6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if kind == 'dual' else 1)
        if kind != 'unbound':
            one.bind((host, int(port)))
        if kind == 'tcp':
            one.listen()
    made.append(one)
# Out of the way of the numbers from 3 on.
held = [os.dup2(one.fileno(), 100 + at) for at, one in enumerate(made)]
name = made[0].getsockname()
for at, fd in enumerate(held):
    os.dup2(fd, 3 + at, inheritable=True)
os.environ['LISTEN_FDS'] = os.environ.get('COUNT', str(len(made)))
os.environ['LISTEN_PID'] = os.environ.get('FOR', str(os.getpid()))
os.closerange(100, 120)
args = [word if word != '%' else '%s:%d' % name for word in sys.argv[2:]]
os.execv(args[0], args)
"#;

fn manager(sockets: &str, args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    let node = kdht();
    command.arg("-c").arg(MANAGER).arg(sockets).arg(node.get_program());
    command.args(["run", "--json"]).args(args).stdin(Stdio::null());
    without_settings(&mut command);
    command
}

/// A node that is killed when dropped, and where it says that it listens.
struct Node(Child, Vec<SocketAddr>);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> Node {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Json = serde_json::from_str(&line).unwrap();
    let listen = said["listen"].as_array().unwrap();
    Node(child, listen.iter().map(|addr| addr.as_str().unwrap().parse().unwrap()).collect())
}

#[test]
fn a_node_serves_on_the_sockets_that_it_was_handed() {
    let home = tempfile::tempdir().unwrap();
    let node = start(manager("udp=127.0.0.1=0 udp=::1=0", &[]));
    assert_eq!(node.1.len(), 2);
    assert!(node.1[0].is_ipv4() && node.1[1].is_ipv6() && node.1.iter().all(|a| a.port() != 0));
    for addr in &node.1 {
        let ping = run(home.path(), &["ping", &addr.to_string()]);
        assert!(ping.status.success(), "{addr}: {ping:?}");
    }
}

#[test]
fn what_listen_says_may_be_the_same_and_nothing_else() {
    let node = start(manager("udp=127.0.0.1=0", &["--listen", "%"]));
    assert_eq!(node.1.len(), 1);
    let output = manager("udp=127.0.0.1=0", &["--listen", "127.0.0.1:1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`listen` is 127.0.0.1:1") && said.contains("127.0.0.1:"), "{said}");
}

#[test]
fn what_is_no_udp_socket_of_its_own_family_is_refused_by_its_number() {
    for (sockets, parts) in [
        ("dual=::=0", ["descriptor 3", "ipv6-only"]),
        ("unix=x=0", ["descriptor 3", "ListenDatagram"]),
        ("udp=127.0.0.1=0 tcp=127.0.0.1=0", ["ListenDatagram=127.0.0.1:", "TCP"]),
        ("udp=127.0.0.1=0 udp=127.0.0.1=0", ["descriptor 4", "second"]),
        ("unbound=127.0.0.1=0", ["descriptor 3", "no port"]),
    ] {
        let output = manager(sockets, &[]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{sockets}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{sockets}: {said}");
    }
    for (count, part) in [("many", "LISTEN_FDS"), ("17", "0 to 16"), ("2", "descriptor 4")] {
        let output = manager("udp=127.0.0.1=0", &[]).env("COUNT", count).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{count}: {said}");
        assert!(said.contains(part), "{count}: {said}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let mut command = manager("udp=127.0.0.1=0", &["--listen", "127.0.0.1:0"]);
    command.env("FOR", "1");
    assert_eq!(start(command).1.len(), 1);
}
