use kdht_core::{Nanos, Throttle, ThrottleConfig};
use kdht_kmod_test::Random;
use zerocopy::IntoBytes;

use crate::{compare, endpoint};

#[test]
fn sources_are_allowed_what_rust_allows_them() {
    let seed = 3;
    let mut random = Random::from_seed(seed);
    let mut records = Vec::new();
    let mut expected = Vec::new();
    let mut allowed = 0;
    for (slots, rate_per_s, burst) in
        [(64, 100, 50), (4, 1, 40), (0, 5, 5), (5, 5_000, 10_000), (4_096, 0, 7), (8, 9, 0)]
    {
        let config = ThrottleConfig { slots, rate_per_s, burst };
        let mut throttle = Throttle::new(&config, [3; 16]);
        let mut record = vec![0];
        record.extend([slots, rate_per_s, burst].into_iter().flat_map(u32::to_le_bytes));
        records.push(record);
        expected.push("ok".to_owned());

        let sources: Vec<u64> = (0..40).map(|_| random.next_u64()).collect();
        let mut now_ns = random.next_u64() >> 12;
        for _ in 0..4_000 {
            now_ns = if random.below(50) == 0 { now_ns - 1_000_000 } else { now_ns + 3_000_000 };
            let source = *random.pick(&sources).unwrap();
            let weight = *random.pick(&[1, 1, 1, 2, 16, 32]).unwrap();
            let is_allowed = throttle.allow(source, weight, Nanos(now_ns));
            allowed += u32::from(is_allowed);

            let mut record = vec![1];
            record.extend_from_slice(&source.to_le_bytes());
            record.extend_from_slice(&weight.to_le_bytes());
            record.extend_from_slice(&now_ns.to_le_bytes());
            records.push(record);
            expected.push(u8::from(is_allowed).to_string());
        }
    }
    assert!((5_000..20_000).contains(&allowed), "{allowed} of 24,000, seed {seed}");
    compare("throttle", &records, &expected);
}

#[test]
fn endpoints_are_one_source_where_they_are_in_rust() {
    let seed = 4;
    let mut random = Random::from_seed(seed);
    let throttle = Throttle::new(&ThrottleConfig::default(), [3; 16]);
    let mut records = vec![[&[0][..], &[0; 12]].concat()];
    let mut expected = vec!["ok".to_owned()];
    for _ in 0..5_000 {
        let one = endpoint(&mut random);
        let mut other = one;
        match random.below(4) {
            0 => other.port.set(random.byte().into()),
            1 => other.ip[15] ^= random.byte(),
            2 => other.ip[7] ^= random.byte() & 1,
            _ => other.ip[random.below(16)] ^= 1,
        }
        let is_exempt = random.below(2) == 0;
        let mut record = vec![2, u8::from(is_exempt)];
        record.extend_from_slice(one.as_bytes());
        record.extend_from_slice(other.as_bytes());
        records.push(record);
        let is_one = throttle.source(&one, is_exempt) == throttle.source(&other, is_exempt);
        expected.push(u8::from(is_one).to_string());
    }
    compare("throttle", &records, &expected);
}
