//! Requests that may be forwarded: the module passes on, answers and drops them as the engine
//! does.

use kdht_core::ThrottleConfig;
use kdht_kmod_test::{Random, mutate, vectors};
use kdht_wire::{
    DATAGRAM_LEN_MAX, EXT_FORWARD, EXT_PADDING, Emit, Endpoint, Filter, FindValueBody, Flags,
    Forward, Head, Id, KeyRing, Kind, NetworkKey,
};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::U16 as Port;
use zerocopy::byteorder::little_endian::{U16, U32, U64};

use crate::answer::{Pair, THROTTLE, UNLIMITED};
use crate::{compare, endpoint};

impl Pair {
    /// What a hop before would send, or something near it.
    fn forward(
        &self,
        origin: Endpoint,
        tx_id: u64,
        key: &NetworkKey,
        random: &mut Random,
    ) -> Forward {
        let skew_s = *random.pick(&[0, 0, 0, 119, 120, 121, 400]).unwrap();
        let epoch_s = match random.below(2) {
            0 => self.now.unix_s.wrapping_add(skew_s),
            _ => self.now.unix_s.wrapping_sub(skew_s),
        };
        let (tx_id, epoch_s) = (U64::new(tx_id), U32::new(epoch_s));
        let stamp = U64::new(Forward::stamp(tx_id, &origin, epoch_s, key));
        let hops = u8::try_from(random.below(9)).unwrap();
        let mut forward = Forward { tx_id, stamp, origin, hops, reserved: 0, epoch_s };
        match random.below(24) {
            0 => forward.stamp = U64::new(random.next_u64()),
            1 => forward.origin.port = Port::new(forward.origin.port.get() ^ 1),
            2 => forward.tx_id = U64::new(forward.tx_id.get() ^ 1),
            3 => forward.epoch_s = U32::new(forward.epoch_s.get() ^ 1),
            4 => forward.hops = 9,
            _ => {}
        }
        forward
    }

    fn origin(&self, peer: &Endpoint, target: &Id, random: &mut Random) -> Endpoint {
        let members: Vec<Endpoint> = self.node.members().map(|member| member.endpoint).collect();
        let mut origin = match random.below(8) {
            0 => *peer,
            1 => *random.pick(&members).unwrap(),
            // Whom the request would go to.
            2 => {
                let nearest = self.node.members().min_by_key(|member| member.id.distance(target));
                nearest.unwrap().endpoint
            }
            _ => endpoint(random),
        };
        match random.below(16) {
            0 => origin.port = Port::new(0),
            1 => origin.ip[12..].copy_from_slice(&[224, 0, 0, 1]),
            2 => origin.ip[..2].copy_from_slice(&[0xfe, 0x80]),
            3 => origin.ip[10..].copy_from_slice(&[0xff, 0xff, 255, 255, 255, 255]),
            _ => {}
        }
        origin
    }

    /// A FIND with FORWARD: from its origin, or from another hop.
    fn forwarded(&mut self, peer: &Endpoint, keys: &[Id], random: &mut Random) -> Vec<u8> {
        let kind = *random.pick(&[Kind::FindNode, Kind::FindValue]).unwrap();
        let members: Vec<Id> = self.node.members().map(|member| member.id).collect();
        let near = self.node.id().with_bit(150, random.below(2) == 0);
        let target = match random.below(6) {
            0 => *random.pick(&members).unwrap(),
            1 => near,
            2 => *random.pick(keys).unwrap(),
            // Of who asks itself, if it is known.
            3 => {
                let asker = self.node.members().find(|member| member.endpoint == *peer);
                asker.map_or(near, |asker| asker.id)
            }
            _ => Id(random.bytes()),
        };
        let sender = match random.below(40) {
            0 => self.node.id(),
            1..10 => *random.pick(&members).unwrap(),
            _ => Id(random.bytes()),
        };
        let tx_id = random.next_u64();
        let mut head = Head::request(kind, tx_id, target, sender);
        let mut flags = Flags::FORWARD;
        for flag in [Flags::CLIENT, Flags::WANT4, Flags::WANT6] {
            flags = if random.below(2) == 0 { flags.with(flag) } else { flags };
        }
        flags = if random.below(30) == 0 { flags.with(Flags::RECURSE) } else { flags };
        head.flags = U16::new(flags.0);
        head.time_s = U32::new(self.now.unix_s);
        head.cookie = U64::new(match random.below(4) {
            0 => 0,
            1 => random.next_u64(),
            _ => self.node.cookie_for(peer, self.now),
        });
        let ring = self.ring;
        let key = match random.below(4) {
            0 => ring.verifying().or(ring.signing()).unwrap(),
            _ => ring.signing().unwrap(),
        };
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut emit = Emit::datagram(&mut buf, head, Some(key), DATAGRAM_LEN_MAX).unwrap();
        if kind == Kind::FindValue {
            let filter = match random.below(4) {
                0 => Filter::Immutable,
                _ => Filter::Any,
            };
            emit.body(&FindValueBody::new(&filter, u16::from(random.byte()) % 4)).unwrap();
        }
        for _ in 0..[0, 0, 1, 6][random.below(4)] {
            let _ = emit.extension(*random.pick(&[EXT_PADDING, 7]).unwrap(), &[0; 5]);
        }
        for _ in 0..[0, 1, 1, 1, 2][random.below(5)] {
            let origin = self.origin(peer, &target, random);
            let forward = self.forward(origin, tx_id ^ u64::from(random.byte() & 1), key, random);
            let _ = emit.extension(EXT_FORWARD, forward.as_bytes());
        }
        for _ in 0..[0, 0, 1, 2][random.below(4)] {
            let _ = emit.extension(EXT_PADDING, &[0; 3]);
        }
        emit.pad_to(*random.pick(&[0, 0, 200, 1_187, 1_188, 1_189, 1_232]).unwrap());
        let len = emit.finish();
        buf[..len].to_vec()
    }
}

#[test]
fn ten_thousand_forwarded_requests_meet_byte_for_byte_what_the_engine_does() {
    let seed = 51;
    let mut random = Random::from_seed(seed);
    let bases: Vec<Vec<u8>> = vectors().unwrap().into_iter().map(|vector| vector.bytes).collect();
    let first = NetworkKey { id: 3, secret: random.bytes() };
    let second = NetworkKey { id: 4, secret: random.bytes() };
    let both = KeyRing::new(first, Some(second));
    let mut lines = Vec::new();
    let rounds: [(KeyRing, usize, ThrottleConfig, bool); 5] = [
        (KeyRing::new(first, None), 3, UNLIMITED, true),
        (KeyRing::new(first, None), 30, THROTTLE, true),
        (both, 400, UNLIMITED, true),
        (both, 400, UNLIMITED, false),
        (both, 1_000, THROTTLE, true),
    ];
    for (ring, contacts, throttle, is_filtered) in rounds {
        let mut pair = Pair::new(random.bytes(), ring, throttle, contacts, &mut random);
        if is_filtered {
            pair.complete_filter();
        }
        let mut peers: Vec<Endpoint> = (0..60).map(|_| endpoint(&mut random)).collect();
        peers.extend(pair.node.members().map(|member| member.endpoint).take(10));
        // One that names no host.
        peers.push(std::net::SocketAddr::from(([169, 254, 1, 1], 4_000)).into());
        let keys: Vec<Id> = (0..20).map(|_| Id(random.bytes())).collect();
        if throttle == UNLIMITED {
            for key in &keys[..10] {
                let value: Vec<u8> = (0..random.below(500)).map(|_| random.byte()).collect();
                pair.store(&peers[0], *key, Id(random.bytes()), &value, 5_000);
            }
            for key in &keys[..5] {
                pair.publish(&peers[0], *key);
            }
        }
        for _ in 0..2_500 {
            let pause_s = if random.below(100) == 0 { 150 } else { 0 };
            pair.now.mono.0 += u64::from(pause_s) * kdht_core::NS_PER_S;
            // Mostly too soon for the throttle, if there is one.
            pair.now.mono.0 += 100_000 * (1 + u64::from(random.byte()));
            pair.now.unix_s += pause_s;
            let peer = *random.pick(&peers).unwrap();
            let mut bytes = pair.forwarded(&peer, &keys, &mut random);
            if random.below(12) == 0 {
                bytes = mutate(&bytes, random.pick(&bases).unwrap(), &mut random);
            }
            pair.hand(&peer, &bytes);
        }
        compare("answer", &pair.records, &pair.expected);
        lines.append(&mut pair.expected);
    }
    let of = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    let to = |start: &str| {
        lines.iter().filter(|line| line.starts_with(start) && line.contains(" to ")).count()
    };
    for (what, count, wanted) in [
        ("forward - 2", to("forward - 2"), 300),
        ("forward - 3", to("forward - 3"), 300),
        ("reply - 2", to("reply - 2"), 100),
        ("reply - 3", to("reply - 3"), 100),
        ("reply - 2 to the sender", of("reply - 2") - to("reply - 2"), 100),
        ("reply - 3 to the sender", of("reply - 3") - to("reply - 3"), 100),
        ("drop forward 2", of("drop forward 2"), 300),
        ("drop forward 3", of("drop forward 3"), 100),
        ("drop throttled 0", of("drop throttled 0"), 100),
        ("drop own_id 0", of("drop own_id 0"), 10),
        ("drop mac_wrong 0", of("drop mac_wrong 0"), 10),
        ("reply reserved 0", of("reply reserved 0"), 10),
        ("pass", of("pass"), 300),
    ] {
        assert!(count >= wanted, "{what}: {count} of {wanted} (seed {seed})");
    }
}
