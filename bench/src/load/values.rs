//! Values that a node holds before it is asked for them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use kdht_wire::{Body, DATAGRAM_LEN_MAX, Id, Message, key_of_value};

use crate::draw::Draw;
use crate::protocol::{Ask, Kdht, Kind, Protocol};

/// STOREs in flight: no more than the smallest receive buffer holds.
const IN_FLIGHT: usize = 32;
/// How long replies are waited for before what is missing is sent again.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often what is missing is sent.
const TRIES: usize = 20;
/// Seconds that the values live.
const REMAINING_S: u32 = 86_400;

/// Stores `count` immutable values of `len` bytes, which follow from `seed`, at the node at
/// `target` alone, and returns their keys.
///
/// # Errors
/// That the node does not answer, or by what it refuses.
pub fn store_values(
    target: SocketAddr,
    count: usize,
    len: usize,
    seed: u64,
) -> Result<Vec<Id>, String> {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let host = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(any).map_err(host)?;
    socket.connect(target).map_err(host)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(host)?;
    let mut asker = Asker { socket, speaker: Kdht::new(seed), cookie: 0 };
    asker.greet()?;
    let mut draw = Draw::new(seed ^ 0x7661_6c75_6573);
    let value = |draw: &mut Draw| -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| draw.next_u64().to_le_bytes()).take(len).collect()
    };
    let values: Vec<Vec<u8>> = (0..count).map(|_| value(&mut draw)).collect();
    for few in values.chunks(IN_FLIGHT) {
        asker.store(few)?;
    }
    Ok(values.iter().map(|value| key_of_value(value)).collect())
}

struct Asker {
    socket: UdpSocket,
    speaker: Kdht,
    cookie: u64,
}

impl Asker {
    fn greet(&mut self) -> Result<(), String> {
        let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
        for _ in 0..TRIES {
            let ask = Ask { kind: Kind::Ping, tx_id: 0, cookie: 0, target: &Id::ZERO, len_min: 0 };
            let len = self.speaker.request(&mut buf, &ask);
            self.socket.send(&buf[..len]).map_err(|error| error.to_string())?;
            let received = self.socket.recv(&mut buf).ok();
            if let Some(reply) = received.and_then(|len| self.speaker.reply(&buf[..len])) {
                self.cookie = reply.cookie;
                return Ok(());
            }
        }
        Err("the node does not answer".to_owned())
    }

    fn store(&mut self, values: &[Vec<u8>]) -> Result<(), String> {
        let mut missing: Vec<usize> = (0..values.len()).collect();
        let mut buf = [0; 2 * DATAGRAM_LEN_MAX];
        for _ in 0..TRIES {
            for at in &missing {
                let ask = Ask {
                    kind: Kind::Ping,
                    tx_id: *at as u64,
                    cookie: self.cookie,
                    target: &Id::ZERO,
                    len_min: 0,
                };
                let laid = self.speaker.store(&mut buf, &ask, &values[*at], REMAINING_S);
                let len = laid.ok_or("a value is longer than a datagram")?;
                self.socket.send(&buf[..len]).map_err(|error| error.to_string())?;
            }
            while !missing.is_empty() {
                let Ok(len) = self.socket.recv(&mut buf) else { break };
                let Ok(message) = Message::parse(&buf[..len]) else { continue };
                match message.body {
                    Body::StoreReply(_) => {
                        let tx_id = message.head.tx_id.get();
                        missing.retain(|at| *at as u64 != tx_id);
                    }
                    Body::Fault(fault, _) => {
                        return Err(format!("the node refuses values: {}", fault.name()));
                    }
                    _ => {}
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
        }
        Err(format!("the node acknowledged all but {} values", missing.len()))
    }
}
