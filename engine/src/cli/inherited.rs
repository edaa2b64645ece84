//! Sockets from a service manager instead of those that the settings name.

use std::net::TcpListener;

use kdht::io::{Inherited, Socket, SocketOptions, inherited, listen};

use super::Failure;

/// Takes what the service manager opened, if it did.
pub(crate) fn take() -> Result<Inherited, Failure> {
    inherited(&SocketOptions::default()).map_err(Failure::misuse)
}

/// The sockets, and a TCP listener at each of their addresses: the manager's, or our own.
pub(crate) fn with_listeners(
    inherited: Inherited,
) -> Result<(Vec<Socket>, Vec<TcpListener>), Failure> {
    let Inherited { sockets, listeners: mut handed } = inherited;
    let mut listeners = Vec::new();
    for addr in sockets.iter().map(Socket::local_addr) {
        listeners.push(match handed.iter().position(|(at, _)| *at == addr) {
            Some(at) => {
                let listener = TcpListener::from(handed.swap_remove(at).1);
                listener.set_nonblocking(true).map_err(Failure::failed)?;
                listener
            }
            None => listen(addr).map_err(Failure::failed)?,
        });
    }
    match handed.first() {
        None => Ok((sockets, listeners)),
        Some((addr, _)) => Err(Failure::Misuse(format!(
            "LISTEN_FDS holds a TCP listener on {addr} and no UDP socket there; set \
             ListenDatagram={addr} beside ListenStream= in the unit"
        ))),
    }
}
