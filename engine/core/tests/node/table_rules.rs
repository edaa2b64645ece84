//! What a table keeps: finer buckets, the whole neighbourhood, few of one network.

use std::collections::HashSet;

use kdht_core::{Advice, Answer, Caps, Config, Fill, NS_PER_S, Nanos, Peer, Rng, Table};
use kdht_wire::{Endpoint, Id, KeyRing, NetworkKey};

use crate::common::{Request, Solo, address, endpoint, rng};

const CAPS: Caps = Caps { bucket_max: 2, table_max: 10, exempt_private: true };

fn at(seconds: u64) -> Nanos {
    Nanos((1_000 + seconds) * NS_PER_S)
}

fn answer(table: &mut Table, id: &Id, endpoint: &Endpoint) {
    table.answered(id, endpoint, &Answer { rtt_us: 20_000, cookie: 7 }, at(0));
}

/// A table of `count` random nodes of a network, and the network.
fn filled(rng: &mut Rng, k: usize, b: u8, count: usize) -> (Table, Id, Vec<Id>) {
    let own = rng.id();
    let mut table = Table::new(own, k, 2_048).with_rules(b, Caps::NONE);
    let all: Vec<Id> = (0..count).map(|_| rng.id()).collect();
    for (place, id) in all.iter().enumerate() {
        answer(&mut table, id, &address(place % 60_000));
    }
    (table, own, all)
}

/// The address of node `host` in network `net`.
fn in_net(net: u8, host: u8) -> Endpoint {
    endpoint(&format!("30.0.{net}.{host}:4000"))
}

#[test]
fn each_far_range_of_b_bits_has_k_contacts_of_its_own() {
    for b in 1..=5_u8 {
        let (table, own, _) = filled(&mut rng(u64::from(b)), 8, b, 40_000);
        for range in 0..1_u16 << b {
            let id = (0..b).fold(Id::ZERO, |id, bit| id.with_bit(bit, range >> bit & 1 == 1));
            if id.shared_prefix(&own) >= b {
                continue;
            }
            assert!(table.bucket_depth(&id) >= b, "b {b}, range {range:b}");
            let inside = table.members().filter(|peer| peer.id.shared_prefix(&id) >= b).count();
            // More where the range was all that was known of the network.
            assert!((8..=24).contains(&inside), "b {b}, range {range:b}: {inside}");
        }
    }
}

#[test]
fn table_sizes_grow_with_b_as_kademlia_says() {
    // (2^b − 1) · k contacts for each b bits of log2 of the network, and the own
    // neighbourhood.
    let sizes = [1, 5].map(|b| filled(&mut rng(9), 8, b, 40_000).0.members().count());
    assert!((80..=170).contains(&sizes[0]), "{sizes:?}");
    assert!((400..=700).contains(&sizes[1]), "{sizes:?}");
}

#[test]
fn all_of_the_smallest_subtree_around_the_own_id_with_k_nodes_are_kept() {
    for seed in 0..300 {
        let mut rng = rng(seed);
        let k = [8, 20][usize::try_from(seed % 2).unwrap()];
        let (table, own, all) = filled(&mut rng, k, 1, 2_000);
        let within = |depth: u8| all.iter().filter(move |id| id.shared_prefix(&own) >= depth);
        let depth = (0..160).rev().find(|depth| within(*depth).count() >= k).unwrap();
        let kept: HashSet<Id> = table.members().map(|peer| peer.id).collect();
        let missing = within(depth).filter(|id| !kept.contains(*id)).count();
        assert_eq!(missing, 0, "seed {seed}, k {k}, depth {depth}");
    }
}

#[test]
fn a_crowd_of_chosen_ids_next_to_the_own_id_takes_bounded_room() {
    let mut rng = rng(4);
    let own = rng.id();
    let mut table = Table::new(own, 20, 2_048);
    for place in 0..50_000 {
        let near = (0..8).fold(rng.id(), |id, bit| id.with_bit(bit, own.bit(bit)));
        answer(&mut table, &near.with_bit(8, !own.bit(8)), &address(place));
    }
    let fill = table.fill();
    assert!(fill.good <= 8 * 20, "{fill:?}");
}

#[test]
fn of_ten_thousand_ids_in_one_network_two_stand_in_a_bucket_and_ten_in_the_table() {
    for answers in [false, true] {
        let mut rng = rng(5);
        let own = rng.id();
        let mut table = Table::new(own, 20, 2_048).with_rules(1, CAPS);
        for place in 0..300 {
            answer(&mut table, &rng.id(), &address(place));
        }
        let honest: Vec<Id> = table.members().map(|peer| peer.id).collect();
        for host in 0..10_000_u32 {
            let shared = u8::try_from(host % 12).unwrap();
            let id = (0..shared).fold(rng.id(), |id, bit| id.with_bit(bit, own.bit(bit)));
            let from = in_net(7, u8::try_from(host % 250).unwrap());
            let advice = table.sighted(&id, &from, at(1));
            assert!(advice == Advice::Rest || matches!(advice, Advice::Probe(_)));
            if answers {
                answer(&mut table, &id, &from);
            }
        }
        let is_theirs = |peer: &&Peer| peer.endpoint.ip[12..15] == in_net(7, 0).ip[12..15];
        let theirs: Vec<&Peer> = table.members().filter(is_theirs).collect();
        assert!((1..=10).contains(&theirs.len()), "{} of one network", theirs.len());
        for peer in &theirs {
            let shared = peer.id.shared_prefix(&own);
            let near = theirs.iter().filter(|other| other.id.shared_prefix(&own) == shared);
            assert!(near.count() <= 2, "more than two share {shared} bits with the own id");
        }
        let Fill { refused_bucket_group, refused_table_group, .. } = table.fill();
        assert!(!answers || refused_bucket_group > 0 && refused_table_group > 0);
        let after: HashSet<Id> = table.members().map(|peer| peer.id).collect();
        assert!(honest.iter().all(|id| after.contains(id)), "an honest contact lost its place");
    }
}

#[test]
fn a_network_has_its_share_of_replacements_and_not_more() {
    let mut rng = rng(6);
    let own = Id::ZERO.with_bit(159, true);
    let far = |rng: &mut Rng| rng.id().with_bit(0, true);
    let mut table = Table::new(own, 4, 2_048).with_rules(1, CAPS);
    for place in 0..4 {
        answer(&mut table, &own.with_bit(4 + place, true), &address(usize::from(place)));
    }
    for place in 10..14 {
        let id = far(&mut rng);
        answer(&mut table, &id, &address(place));
    }
    for host in 0..100 {
        let id = far(&mut rng);
        answer(&mut table, &id, &in_net(1, host));
    }
    assert_eq!(table.fill().replacements, 2);
}

#[test]
fn a_node_that_answers_takes_the_place_of_forged_ones_of_its_network() {
    let mut rng = rng(7);
    let own = Id::ZERO.with_bit(159, true);
    let mut table = Table::new(own, 20, 2_048).with_rules(1, CAPS);
    for host in 0..9 {
        table.sighted(&rng.id(), &in_net(3, host), at(0));
    }
    let nodes: Vec<Id> = (0..2).map(|_| rng.id().with_bit(0, true)).collect();
    for (host, id) in nodes.iter().enumerate() {
        answer(&mut table, id, &in_net(3, 100 + u8::try_from(host).unwrap()));
        assert!(table.peer(id).is_some_and(Peer::is_good));
    }
    let third = rng.id().with_bit(0, true);
    answer(&mut table, &third, &in_net(3, 200));
    assert!(table.peer(&third).is_none(), "those who answered stay");
}

#[test]
fn a_contact_does_not_move_into_a_network_that_has_its_share() {
    let mut rng = rng(8);
    let own = Id::ZERO.with_bit(159, true);
    let far = |rng: &mut Rng| rng.id().with_bit(0, true);
    let mut table = Table::new(own, 20, 2_048).with_rules(1, CAPS);
    for host in 0..2 {
        let id = far(&mut rng);
        answer(&mut table, &id, &in_net(4, host));
    }
    let (mover, old) = (far(&mut rng), in_net(5, 1));
    answer(&mut table, &mover, &old);
    for failure_s in [10, 20] {
        table.failed(&mover, &old, at(failure_s - 3), at(failure_s));
    }
    answer(&mut table, &mover, &in_net(4, 9));
    assert_eq!(table.peer(&mover).map(|peer| peer.endpoint), Some(old));
    answer(&mut table, &mover, &in_net(6, 9));
    assert_eq!(table.peer(&mover).map(|peer| peer.endpoint), Some(in_net(6, 9)));
}

#[test]
fn loopback_is_exempt_from_caps_and_private_addresses_are_in_a_keyed_network() {
    let keys = KeyRing::new(NetworkKey { id: 1, secret: [5; 16] }, None);
    let open = Config::default();
    let keyed = Config { keys, ..Config::default() };
    let counted = Config { caps_private: true, ..keyed.clone() };
    for (config, net, kept_wanted) in [
        (&open, "127.0.0", 20),
        (&open, "10.0.0", 2),
        (&open, "30.0.0", 2),
        (&keyed, "127.0.0", 20),
        (&keyed, "10.0.0", 20),
        (&keyed, "30.0.0", 2),
        (&counted, "10.0.0", 2),
    ] {
        let mut solo = Solo::new(1, config.clone());
        // All of one class: one bucket's worth, as far as caps go.
        let own = solo.node.id();
        let mut rng = rng(2);
        for host in 1..=20 {
            let id = rng.id().with_bit(0, !own.bit(0));
            let from = endpoint(&format!("{net}.{host}:{}", 4_000 + host));
            let key = config.keys.signing().copied();
            let hello = Request { key, ..Request::hello(id) };
            solo.hand(&from, &hello.bytes());
        }
        assert_eq!(solo.node.members().count(), kept_wanted, "{net} in {:?}", config.keys);
        let refused = solo.node.fill()[0].refused_bucket_group;
        assert_eq!(refused, 20 - kept_wanted as u64);
    }
}
