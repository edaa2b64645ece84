use std::collections::BTreeSet;

use kdht_kmod_test::Random;

use crate::compare;

/// What is known of each generation: the keys, whether it is complete, whether one is missing.
#[derive(Clone, Default)]
struct Generation {
    keys: BTreeSet<[u8; 20]>,
    is_complete: bool,
    is_doubtful: bool,
}

fn state(generations: &[Generation; 2]) -> u8 {
    u8::from(generations.iter().any(|of| of.is_complete && !of.is_doubtful))
}

#[test]
fn a_key_is_only_absent_where_no_generation_has_it_and_one_has_all() {
    let seed = 8;
    let mut random = Random::from_seed(seed);
    let mut records = vec![[&[0][..], &(1_u32 << 20).to_le_bytes()].concat()];
    let mut expected = vec!["0".to_owned()];
    // The newest is the first.
    let mut generations = [Generation::default(), Generation::default()];
    let mut counts = [0; 3];
    for _ in 0..20_000 {
        // Few keys in a large filter: in this run none is mistaken for another.
        let key = [[random.byte() & 31; 20], random.bytes()][random.below(2)];
        match random.below(200) {
            0 => {
                generations.swap(0, 1);
                generations[0] = Generation::default();
                records.push(vec![2]);
            }
            1..=3 => {
                generations[0].is_complete = true;
                records.push(vec![3]);
            }
            4 if random.below(2) == 0 => {
                generations.iter_mut().for_each(|of| of.is_doubtful = true);
                records.push(vec![4]);
            }
            4..=20 => {
                generations[0].keys.insert(key);
                records.push([&[1][..], &key].concat());
            }
            _ => {
                let is_absent = state(&generations) == 1
                    && generations.iter().all(|of| !of.keys.contains(&key));
                counts[usize::from(is_absent)] += 1;
                records.push([&[5][..], &key].concat());
                expected.push(u8::from(is_absent).to_string());
                continue;
            }
        }
        expected.push(state(&generations).to_string());
    }
    assert!(counts[0] > 2_000 && counts[1] > 2_000, "{counts:?}, seed {seed}");
    compare("filter", &records, &expected);
}

#[test]
fn a_filter_over_half_full_proves_nothing_until_two_more_were_begun() {
    let mut random = Random::from_seed(9);
    let mut records = vec![[&[0][..], &1_024_u32.to_le_bytes()].concat(), vec![3]];
    let mut expected = vec!["0".to_owned(), "1".to_owned()];
    // 1,024 bits, 4 a key: surely below half after 100 keys, and above after 1,000.
    for number in 0..1_000 {
        let key: [u8; 20] = random.bytes();
        records.push([&[1][..], &key].concat());
        if number < 100 {
            expected.push("1".to_owned());
        }
    }
    let lines = crate::harness().ask("filter", &records).unwrap();
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines.last().map(String::as_str), Some("2"));
    records.extend([vec![2], vec![3], vec![2], vec![3]]);
    records.push([&[5][..], &[9; 20]].concat());
    let lines = crate::harness().ask("filter", &records).unwrap();
    assert_eq!(lines[lines.len() - 5..], ["2", "2", "1", "1", "1"]);
}
