//! What a service manager is told (sd_notify(3)): one datagram to the socket that it named.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The node serves.
pub(crate) const READY: &str = "READY=1";
/// The node is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells `state` to the service manager, if there is one. What cannot be told is logged,
/// and no reason to stop.
pub(crate) fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    let bytes = name.as_encoded_bytes();
    let addr = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let told = addr.and_then(|addr| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &addr));
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager was not told {state}");
    }
}
