use std::collections::BTreeMap;
use std::fmt::Write;

use kdht_kmod_test::Random;
use kdht_wire::{Contact, Id};
use zerocopy::IntoBytes;

use crate::{compare, endpoint};

/// An id that shares many bits with `own`, a few, or none.
fn id_near(own: &Id, random: &mut Random) -> Id {
    let mut id = Id(random.bytes());
    let shared = if random.below(3) == 0 { 0 } else { random.below(18) };
    id.0[..shared].copy_from_slice(&own.0[..shared]);
    if let Some(byte) = id.0.get_mut(shared) {
        *byte = own.0[shared] ^ random.byte() >> random.below(8);
    }
    id
}

#[test]
fn the_closest_are_those_of_a_full_sort() {
    let seed = 12;
    let mut random = Random::from_seed(seed);
    let mut records = Vec::new();
    let mut expected = Vec::new();
    for contacts in [0, 1, 19, 20, 21, 200, 2_000] {
        let own = Id(random.bytes());
        let mut model: BTreeMap<[u8; 20], Contact> = BTreeMap::new();
        records.push([&[0][..], &own.0].concat());
        expected.push("ok".to_owned());
        for _ in 0..contacts {
            let id =
                if random.below(4) == 0 { Id(random.bytes()) } else { id_near(&own, &mut random) };
            let contact = Contact::new(id, endpoint(&mut random));
            records.push([&[1][..], contact.as_bytes()].concat());
            let is_own = id == own;
            expected.push(if is_own { "-22" } else { "0" }.to_owned());
            if !is_own {
                model.insert(id.0, contact);
            }
            if random.below(10) == 0 {
                let any = model.keys().nth(random.below(model.len())).copied();
                let gone = any.filter(|_| random.below(4) > 0).unwrap_or(random.bytes());
                records.push([&[2][..], &gone].concat());
                expected.push(if model.remove(&gone).is_some() { "0" } else { "-2" }.to_owned());
            }
        }
        for _ in 0..400 {
            let known: Vec<Id> = model.keys().map(|id| Id(*id)).collect();
            let target = match random.below(3) {
                0 => Id(random.bytes()),
                1 => id_near(&own, &mut random),
                _ => random.pick(&known).copied().unwrap_or(own),
            };
            let asker = random.pick(&known).copied().filter(|_| random.below(2) == 0);
            let asker = asker.unwrap_or(Id(random.bytes()));
            let k = 1 + random.below(20);
            let fits = random.below(22);
            let mut sorted: Vec<Id> = known.into_iter().filter(|id| *id != asker).collect();
            sorted.sort_by_key(|id| id.distance(&target));
            sorted.truncate(k);
            let all = sorted.len();
            sorted.truncate(fits);
            sorted.sort();
            let numbers = [u8::try_from(k).unwrap(), u8::try_from(fits).unwrap()];
            records.push([&[3][..], &target.0, &numbers, &asker.0].concat());
            expected.push(format!("{all} {}", spaced(&sorted)));
        }
    }
    compare("closest", &records, &expected);
}

#[test]
fn a_table_takes_no_more_than_its_bound() {
    let mut random = Random::from_seed(1);
    let own = Id(random.bytes());
    let mut records = vec![[&[0][..], &own.0].concat()];
    let mut expected = vec!["ok".to_owned()];
    for number in 0..2_060 {
        let contact = Contact::new(Id(random.bytes()), endpoint(&mut random));
        records.push([&[1][..], contact.as_bytes()].concat());
        expected.push(if number < 2_048 { "0" } else { "-28" }.to_owned());
    }
    compare("closest", &records, &expected);
}

fn spaced(ids: &[Id]) -> String {
    let mut line = String::new();
    for id in ids {
        id.0.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
        line.push(' ');
    }
    line
}
