//! Which keys are answered as absent.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use kdht_kmod::{Control, FilterState, Settings};
use kdht_kmod_test::{Random, vectors};
use kdht_wire::{
    Body, DATAGRAM_LEN_MAX, Emit, Filter, FindValueBody, HEAD_LEN, Head, Id, Kind, Message,
    TARGET_OFFSET,
};

use crate::Case;
use crate::daemon::{Client, Daemon, V4, contacts, nearest};
use crate::module::Module;

pub(crate) const CASES: &[Case] = &[
    ("a key is answered as absent once the filter is complete", answers_absent_keys),
    ("a key whose STORE was acknowledged is never absent, whatever begins", never_loses_a_key),
    ("a filter that is flooded passes everything", passes_when_flooded),
    ("published values are answered, and no others", answers_published_values),
    ("published values are bounded, and only records are taken", bounds_published_values),
];

/// A FIND_VALUE padded as far as any reply needs (FORMAT.md §9).
pub(crate) fn find_value(key: Id) -> Vec<u8> {
    padded_find_value(key, Id([9; 20]), 411)
}

/// The same by `sender`, of at least `total` bytes.
pub(crate) fn padded_find_value(key: Id, sender: Id, total: usize) -> Vec<u8> {
    let head = Head::request(Kind::FindValue, 77, key, sender);
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let mut emit = Emit::datagram(&mut buf, head, None, DATAGRAM_LEN_MAX).unwrap();
    emit.body(&FindValueBody::new(&Filter::Any, 0)).unwrap();
    emit.pad_to(total);
    let len = emit.finish();
    buf[..len].to_vec()
}

/// A sound STORE under `key`; what it stores is of no matter here.
fn store(key: Id) -> Vec<u8> {
    let vectors = vectors().unwrap();
    let is_store = |bytes: &[u8]| {
        Message::parse(bytes).is_ok_and(|message| matches!(message.body, Body::Store { .. }))
    };
    let mut bytes = vectors.into_iter().map(|v| v.bytes).find(|bytes| is_store(bytes)).unwrap();
    bytes[TARGET_OFFSET..TARGET_OFFSET + 20].copy_from_slice(&key.0);
    bytes
}

fn answers_absent_keys(_: &Module) {
    let mut random = Random::from_seed(31);
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let known = contacts(60, true, &mut random);
    daemon.control.add_contacts(&daemon.id, &known).unwrap();
    let key = Id(random.bytes());
    let ask = find_value(key);
    let is_passed = || {
        client.send(&ask);
        let is_passed = daemon.receive().as_ref() == Some(&ask);
        is_passed && client.hears_nothing()
    };
    assert!(is_passed() && daemon.status().filter == FilterState::Incomplete);
    daemon.control.begin_filter(&daemon.id, None).unwrap();
    assert!(is_passed());
    daemon.control.complete_filter(&daemon.id).unwrap();
    assert_eq!(daemon.status().filter, FilterState::Complete);
    let reply = client.ask(&ask);
    let reply = Message::parse(&reply).unwrap();
    let Body::Contacts { reply: body, contacts } = reply.body else { panic!("{reply:?}") };
    assert_eq!((reply.kind, body.total.get()), (Kind::FindValue, 0));
    assert_eq!(contacts, nearest(&known, &key, 20));
    daemon.control.add_keys(&daemon.id, &[key]).unwrap();
    assert!(is_passed());
    // It stays until a second generation was begun after it.
    for _ in 0..2 {
        assert!(is_passed());
        daemon.control.begin_filter(&daemon.id, None).unwrap();
        daemon.control.complete_filter(&daemon.id).unwrap();
    }
    client.ask(&ask);
    // A node that does not answer notes what is stored all the same.
    daemon.set(Settings { answer: Some(false), ..Settings::default() });
    let stored = store(key);
    client.send(&stored);
    assert_eq!(daemon.receive(), Some(stored));
    daemon.set(Settings { answer: Some(true), ..Settings::default() });
    assert!(is_passed());
}

/// Holds the keys of STOREs, says so, answers who asks for one, and begins a generation of
/// the filter now and then, as a daemon must. Ends when it is asked nothing for a while.
fn serve(control: &Control, id: &Id, socket: &UdpSocket) {
    let mut held = BTreeSet::new();
    let mut buf = [0; DATAGRAM_LEN_MAX];
    let mut served = 0_u32;
    let mut serve_one = |held: &mut BTreeSet<Id>, wait: Duration| -> Result<(), ErrorKind> {
        socket.set_read_timeout(Some(wait)).unwrap();
        let (_, asker) = socket.recv_from(&mut buf).map_err(|error| error.kind())?;
        let key = Id(buf[TARGET_OFFSET..TARGET_OFFSET + 20].try_into().unwrap());
        if buf[3] == Kind::Store as u8 {
            held.insert(key);
        }
        // Not a reply of the wire: whether it is held is all that is told.
        let _ = socket.send_to(&[u8::from(held.contains(&key))], asker);
        Ok(())
    };
    while serve_one(&mut held, Duration::from_secs(2)).is_ok() {
        served += 1;
        if served.is_multiple_of(40) {
            control.begin_filter(id, None).unwrap();
            // What had arrived by then is served first.
            while serve_one(&mut held, Duration::from_millis(1)).is_ok() {}
            let keys: Vec<Id> = held.iter().copied().collect();
            control.add_keys(id, &keys).unwrap();
            control.complete_filter(id).unwrap();
        }
    }
}

fn never_loses_a_key(_: &Module) {
    let daemon = Daemon::answering(V4, Settings::default());
    let addr = daemon.addr();
    daemon.control.begin_filter(&daemon.id, None).unwrap();
    daemon.control.complete_filter(&daemon.id).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serve(&daemon.control, &daemon.id, &daemon.socket));
        for seed in 0..3 {
            scope.spawn(move || {
                let mut random = Random::from_seed(40 + seed);
                let client = Client::of(addr);
                for round in 0..700 {
                    let key = Id(random.bytes());
                    assert_eq!(client.ask(&store(key)), [1]);
                    let found = client.ask(&find_value(key));
                    assert_eq!(found, [1], "seed {seed}, round {round}");
                }
            });
        }
    });
    assert!(daemon.status().counts.passed >= 3 * 2 * 700);
}

fn passes_when_flooded(_: &Module) {
    let mut random = Random::from_seed(50);
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    daemon.control.begin_filter(&daemon.id, Some(1_024)).unwrap();
    daemon.control.complete_filter(&daemon.id).unwrap();
    let ask = find_value(Id(random.bytes()));
    client.ask(&ask);
    for _ in 0..1_000 {
        // A head is enough, as nothing is looked at but the key.
        client.send(&store(Id(random.bytes()))[..HEAD_LEN]);
        assert!(daemon.receive().is_some());
    }
    assert_eq!(daemon.status().filter, FilterState::Full);
    client.send(&ask);
    assert_eq!(daemon.receive(), Some(ask));
}

/// A plain record of `value`, as on the wire.
pub(crate) fn record(publisher: u8, cursor: u16, remaining_s: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&remaining_s.to_le_bytes());
    bytes.extend_from_slice(&[3, 0]);
    bytes.extend_from_slice(&cursor.to_le_bytes());
    bytes.extend_from_slice(&[publisher; 20]);
    bytes.extend_from_slice(value);
    bytes
}

pub(crate) fn monotonic_s() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u32::try_from(now.tv_sec).unwrap()
}

fn answers_published_values(_: &Module) {
    let mut random = Random::from_seed(51);
    let daemon = Daemon::answering(V4, Settings::default());
    let client = Client::of(daemon.addr());
    let key = Id(random.bytes());
    let ask = find_value(key);
    let values = [b"one".to_vec(), vec![2; 700], b"three".to_vec()];
    let records = [
        record(1, 0, 600, &values[0]),
        record(2, 1, 500, &values[1]),
        record(3, 4, 600, &values[2]),
    ]
    .concat();
    let publish = || daemon.control.publish(&daemon.id, &key, &records, monotonic_s()).unwrap();
    let is_passed = || {
        client.send(&ask);
        daemon.receive().as_ref() == Some(&ask)
    };
    assert!(is_passed());
    publish();
    let reply = client.ask(&ask);
    let reply = Message::parse(&reply).unwrap();
    let Body::Values { reply: body, records: told } = reply.body else { panic!("{reply:?}") };
    assert_eq!(body.total.get(), 3);
    let told: Vec<_> = told.iter().map(|record| record.value.to_vec()).collect();
    assert_eq!(told, values);
    // What was published before is gone with it, too.
    daemon.control.unpublish(&daemon.id, &[key]).unwrap();
    assert!(is_passed());
    publish();
    client.ask(&ask);
    let newer = store(key);
    client.send(&newer);
    assert_eq!(daemon.receive(), Some(newer));
    assert!(is_passed());
    assert_eq!(daemon.status().values_bytes, 0);
    // A life that is over.
    let short = record(1, 0, 3, b"short");
    daemon.control.publish(&daemon.id, &key, &short, monotonic_s() - 2).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(is_passed());
}

fn bounds_published_values(_: &Module) {
    let mut random = Random::from_seed(52);
    let daemon = Daemon::answering(V4, Settings::default());
    let now_s = monotonic_s();
    let publish = |key: Id, records: &[u8]| {
        let published = daemon.control.publish(&daemon.id, &key, records, now_s);
        published.err().and_then(|error| error.raw_os_error())
    };
    let sound = record(1, 0, 60, &[7; 1_000]);
    let backwards = [sound.clone(), sound.clone()].concat();
    let dead = record(1, 0, 0, b"x");
    for wrong in [&sound[..sound.len() - 1], &backwards, &dead, &[]] {
        assert_eq!(publish(Id([1; 20]), wrong), Some(22));
    }
    let large: Vec<u8> = (0..15).flat_map(|n| record(1, n, 60, &[7; 1_000])).collect();
    let mut count = 0;
    let refused = loop {
        if let Some(error) = publish(Id(random.bytes()), &large) {
            break error;
        }
        count += 1;
    };
    // Each takes somewhat more than its records.
    let most = (4 << 20) / large.len();
    assert!(refused == 28 && (most - 5..=most).contains(&count), "{refused}, {count} of {most}");
    assert!(daemon.status().values_bytes <= 4 << 20);
}
