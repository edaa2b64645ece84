//! The k-buckets of the module and of the engine hold the same after the same steps.

use std::collections::BTreeSet;
use std::fmt::Write;

use kdht_core::{Advice, Answer, Caps, Liveness, Nanos, Peer, Table};
use kdht_kmod_test::Random;
use kdht_wire::{Contact, Endpoint, Id};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U16;

use crate::compare;

/// What one run is made with.
#[derive(Clone, Copy)]
struct Shape {
    k: u8,
    b: u8,
    contacts_max: u16,
    caps: Caps,
    /// How many ids there are, and how many bits most of them share with the own one at most.
    ids: usize,
    shared_max: usize,
    steps: usize,
}

/// FNV-1a over what the table holds.
struct Digest(u64);

impl Digest {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn number(&mut self, number: impl TryInto<u64>) {
        let number = number.try_into().ok().unwrap();
        self.take(&number.to_le_bytes());
    }

    fn peer(&mut self, peer: &Peer, now: Nanos) {
        self.take(&peer.id.0);
        self.take(peer.endpoint.as_bytes());
        self.number(peer.failures);
        self.number(u64::from(peer.verified));
        self.number(match peer.liveness() {
            Liveness::Unverified => 0_u64,
            Liveness::Good => 1,
            Liveness::Doubtful => 2,
            Liveness::Stale => 3,
        });
        self.number(peer.seen_s);
        self.number(peer.probe_after_s);
        self.number(peer.rtt_us);
        self.number(peer.rtt_deviation_us);
        self.number(peer.cookie(now));
    }
}

/// All that `table` holds of contacts with these ids, which are sorted.
fn digest(table: &Table, ids: &[Id], now: Nanos) -> String {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    for peer in table.members() {
        digest.number(table.bucket_depth(&peer.id));
        digest.peer(peer, now);
    }
    let members: BTreeSet<Id> = table.members().map(|peer| peer.id).collect();
    for id in ids.iter().filter(|id| !members.contains(id)) {
        if let Some(waiting) = table.peer(id) {
            digest.peer(waiting, now);
        }
    }
    let fill = table.fill();
    let members = [fill.unverified, fill.good, fill.doubtful, fill.stale];
    digest.number(fill.buckets);
    members.into_iter().for_each(|count| digest.number(count));
    digest.number(fill.replacements);
    digest.number(fill.refused_bucket_group);
    digest.number(fill.refused_table_group);
    digest.number(fill.refused_full);
    let idlest_s = table.idlest_s();
    digest.number(u64::from(idlest_s.is_some()));
    digest.number(idlest_s.unwrap_or(0));
    format!("{:016x}", digest.0)
}

fn line(probes: &[Contact], digest: &str) -> String {
    let mut line = String::new();
    for byte in probes.iter().flat_map(|contact| contact.as_bytes()) {
        write!(line, "{byte:02x}").unwrap();
    }
    line + " " + digest
}

fn advised(advice: Advice) -> Vec<Contact> {
    match advice {
        Advice::Rest => Vec::new(),
        Advice::Probe(contact) => vec![contact],
        Advice::Contest(oldest, newcomer) => vec![oldest, newcomer],
    }
}

fn endpoint(group: usize, host: usize) -> Endpoint {
    let mut ip = [0; 16];
    ip[10..12].fill(0xff);
    ip[12..15].copy_from_slice(match group % 8 {
        0 => &[127, 0, 0],
        1 => &[10, 0, 0],
        _ => &[20, 0, 0],
    });
    ip[14] = u8::try_from(group % 256).unwrap();
    ip[15] = u8::try_from(host % 250).unwrap();
    Endpoint { ip, port: U16::new(4_000) }
}

/// What happens next, as the harness reads it and as the engine's table does it.
fn step(
    random: &mut Random,
    shape: &Shape,
    ids: &[Id],
    now: Nanos,
    table: &mut Table,
) -> (Vec<u8>, Vec<Contact>) {
    let at = random.below(ids.len());
    let id = ids[at];
    // Mostly where it always was; some moved, some lie.
    let group = if random.below(12) == 0 { random.below(40) } else { at % 40 };
    let endpoint = endpoint(group, at);
    let mut record = vec![0];
    record.extend_from_slice(&now.0.to_le_bytes());
    let about = |record: &mut Vec<u8>| {
        record.extend_from_slice(&id.0);
        record.extend_from_slice(endpoint.as_bytes());
    };
    let mut probes = Vec::new();
    match random.below(20) {
        0..7 => {
            record[0] = 1;
            about(&mut record);
            probes = advised(table.sighted(&id, &endpoint, now));
        }
        7..13 => {
            record[0] = 2;
            about(&mut record);
            let rtt_us = u32::try_from(random.below(2_000_000)).unwrap();
            let cookie = random.next_u64();
            record.extend_from_slice(&rtt_us.to_le_bytes());
            record.extend_from_slice(&cookie.to_le_bytes());
            table.answered(&id, &endpoint, &Answer { rtt_us, cookie }, now);
        }
        13..17 => {
            record[0] = 3;
            about(&mut record);
            let sent = Nanos(now.0.saturating_sub(random.next_u64() % 5_000_000_000));
            record.extend_from_slice(&sent.0.to_le_bytes());
            probes = advised(table.failed(&id, &endpoint, sent, now));
        }
        17 => {
            record[0] = 4;
            record.extend_from_slice(&id.0);
            table.touch(&id, now);
        }
        18 if random.below(2) == 0 => {
            record[0] = 5;
            table.unsettled(now, |contact| probes.push(contact));
            probes.truncate(64);
        }
        18 => {
            record[0] = 6;
            let before_s = now.seconds().saturating_sub(200);
            record.extend_from_slice(&before_s.to_le_bytes());
            table.silent_since(before_s, |contact| probes.push(contact));
            probes.truncate(64);
        }
        _ => {
            record[0] = 7;
            let target = if random.below(2) == 0 { id } else { Id(random.bytes()) };
            let k = 1 + random.below(usize::from(shape.k));
            record.extend_from_slice(&target.0);
            record.push(u8::try_from(k).unwrap());
            probes = table.candidates(&target, k).as_slice().to_vec();
        }
    }
    (record, probes)
}

fn run(seed: u64, shape: Shape) {
    let mut random = Random::from_seed(seed);
    let own = Id(random.bytes());
    let mut ids: Vec<Id> = (0..shape.ids)
        .map(|_| {
            let mut id = Id(random.bytes());
            let shared = random.below(shape.shared_max + 1);
            for bit in 0..shared {
                let bit = u8::try_from(bit).unwrap();
                id = id.with_bit(bit, own.bit(bit));
            }
            id
        })
        .chain([own, Id::ZERO])
        .collect();
    ids.sort();
    ids.dedup();
    let table = Table::new(own, usize::from(shape.k), usize::from(shape.contacts_max));
    let mut table = table.with_rules(shape.b, shape.caps);
    let mut records = vec![
        [
            &[0][..],
            &own.0,
            &[shape.k, shape.b],
            &u32::from(shape.contacts_max).to_le_bytes(),
            &u32::from(shape.caps.bucket_max).to_le_bytes(),
            &u32::from(shape.caps.table_max).to_le_bytes(),
            &[u8::from(shape.caps.exempt_private)],
        ]
        .concat(),
    ];
    let mut expected = vec!["ok".to_owned()];
    let mut now = Nanos(5_000_000_000);
    for _ in 0..shape.steps {
        let pause =
            [1_000_000, 1_000_000_000, 100_000_000_000][random.below(20).saturating_sub(17)];
        now = Nanos(now.0 + random.next_u64() % pause);
        let (record, probes) = step(&mut random, &shape, &ids, now, &mut table);
        records.push(record);
        expected.push(line(&probes, &digest(&table, &ids, now)));
    }
    let fill = table.fill();
    println!("seed {seed}: {fill:?}");
    compare("buckets", &records, &expected);
}

const CAPS: Caps = Caps { bucket_max: 2, table_max: 10, exempt_private: true };
const SHAPE: Shape = Shape {
    k: 20,
    b: 1,
    contacts_max: 2_048,
    caps: Caps::NONE,
    ids: 600,
    shared_max: 12,
    steps: 6_000,
};

#[test]
fn buckets_hold_what_the_engines_do() {
    run(70, SHAPE);
}

#[test]
fn small_buckets_with_many_splits_hold_what_the_engines_do() {
    for b in 1..=5 {
        run(80 + u64::from(b), Shape { k: 3, b, shared_max: 20, steps: 3_000, ..SHAPE });
    }
    run(90, Shape { k: 1, shared_max: 158, steps: 3_000, ..SHAPE });
    run(91, Shape { k: 8, shared_max: 2, steps: 3_000, ..SHAPE });
}

#[test]
fn caps_and_a_full_table_keep_what_the_engines_do() {
    run(100, Shape { caps: CAPS, steps: 4_000, ..SHAPE });
    let counted = Caps { exempt_private: false, bucket_max: 3, table_max: 5 };
    run(101, Shape { caps: counted, k: 8, steps: 4_000, ..SHAPE });
    run(102, Shape { contacts_max: 60, k: 8, steps: 4_000, ..SHAPE });
    run(103, Shape { contacts_max: 40, k: 4, b: 3, caps: CAPS, steps: 4_000, ..SHAPE });
}
