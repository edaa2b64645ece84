//! A value that another holds than who is asked: two nodes of a keyed network, of whom the
//! first passes on what the second answers.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kdht_bench::draw::Draw;
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Filter, FindValueBody, Flags, Head, Id, Kind, Message,
    NetworkKey, Publisher, Record, StoreBody, key_of_value,
};

/// The network's key.
pub(crate) const KEY: NetworkKey = NetworkKey { id: 1, secret: *b"measured in turn" };
/// What values follow from, and the asker's id.
const SEED: u64 = 11;
/// How often an engine is asked whether it knows the other, and the pause between.
const TRIES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(50);
/// Seconds that the value lives.
const REMAINING_S: u32 = 86_400;

/// The file that names the key to an engine.
pub(crate) fn key_file() -> String {
    let secret: String = KEY.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {secret}\n", KEY.id)
}

/// A value of `len` bytes whose key `is_right`.
pub(crate) fn value(len: u32, is_right: impl Fn(&Id) -> bool) -> Option<Vec<u8>> {
    let mut draw = Draw::new(SEED);
    let mut found = (0..1_000).map(|_| {
        let mut value = vec![0; len as usize];
        value.iter_mut().zip(draw.id().0).for_each(|(byte, drawn)| *byte = drawn);
        value
    });
    found.find(|value| is_right(&key_of_value(value)))
}

/// What asks for `target` so that it may be forwarded: 108 bytes and the MAC.
pub(crate) fn request(kind: Kind, target: Id, cookie: u64) -> Vec<u8> {
    laid_out(kind, target, cookie, |emit| {
        if kind == Kind::FindValue {
            let _ = emit.body(&FindValueBody::new(&Filter::Any, 0));
        }
    })
}

fn laid_out(kind: Kind, target: Id, cookie: u64, fill: impl FnOnce(&mut Emit<'_, '_>)) -> Vec<u8> {
    let mut head = Head::request(kind, 1, target, Draw::new(SEED ^ 1).id());
    head.flags = Flags::FORWARD.with(Flags::CLIENT).0.into();
    head.cookie = cookie.into();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    head.time_s = u32::try_from(since.as_secs()).unwrap_or_default().into();
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let Ok(mut emit) = Emit::datagram(&mut buf, head, Some(&KEY), DATAGRAM_LEN_MAX) else {
        return Vec::new();
    };
    fill(&mut emit);
    let len = emit.finish();
    buf[..len].to_vec()
}

/// The id of `node`, and the cookie that it gives to `socket`.
pub(crate) fn greet(socket: &UdpSocket, node: SocketAddr) -> Result<(Id, u64), String> {
    let (_, reply) = ask(socket, node, &request(Kind::Ping, Id::ZERO, 0))?;
    let message = Message::parse(&reply).map_err(|error| format!("a greeting: {error:?}"))?;
    Ok((message.head.sender, message.head.cookie.get()))
}

/// Stores a value of `len` bytes at `holder` that is nearer to it than to `first`, and waits
/// until `first` passes on what asks for it. Its key.
pub(crate) fn prepare(first: SocketAddr, holder: SocketAddr, len: u32) -> Result<Id, String> {
    let told = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind((first.ip(), 0)).map_err(told)?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(told)?;
    let ((first_id, first_cookie), (id, cookie)) =
        (greet(&socket, first)?, greet(&socket, holder)?);
    let value = value(len, |key| id.distance(key) < first_id.distance(key));
    let value = value.ok_or("no value is nearer to the second node")?;
    let key = key_of_value(&value);
    let record = Record::whole(Publisher::Immutable, REMAINING_S, &value);
    let record = record.map_err(|error| format!("{error:?}"))?;
    let store = laid_out(Kind::Store, key, cookie, |emit| {
        let _ = emit.body(&StoreBody { cas: StoreBody::UNCONDITIONAL.into() });
        let _ = emit.store_record(&record);
    });
    let (_, reply) = ask(&socket, holder, &store)?;
    if !matches!(Message::parse(&reply).map(|it| it.body), Ok(Body::StoreReply(_))) {
        return Err("the value was not stored".to_owned());
    }
    for _ in 0..TRIES {
        let (from, _) = ask(&socket, first, &request(Kind::FindValue, key, first_cookie))?;
        if from == holder {
            return Ok(key);
        }
        std::thread::sleep(PAUSE);
    }
    Err("the first node does not come to know the second".to_owned())
}

fn ask(
    socket: &UdpSocket,
    node: SocketAddr,
    request: &[u8],
) -> Result<(SocketAddr, Vec<u8>), String> {
    let mut buf = [0; DATAGRAM_LEN_MAX];
    socket.send_to(request, node).map_err(|error| error.to_string())?;
    let received = socket.recv_from(&mut buf);
    let (len, from) = received.map_err(|error| format!("no reply of {node}: {error}"))?;
    Ok((from, buf[..len].to_vec()))
}
