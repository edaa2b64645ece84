use kdht_core::{Cookies, Nanos};
use kdht_kmod_test::Random;
use kdht_wire::Endpoint;
use zerocopy::IntoBytes;

use crate::{compare, endpoint};

#[test]
fn a_cookie_is_to_the_bit_that_of_rust_and_worth_the_same() {
    let seed = 9;
    let mut random = Random::from_seed(seed);
    let mut records = Vec::new();
    let mut expected = Vec::new();
    let mut proven = 0;
    for _ in 0..20 {
        let master = random.bytes();
        let mut now_s = random.next_u64() % 2_000;
        let mut cookies = Cookies::new(master, seconds(now_s));
        let mut record = vec![0];
        record.extend_from_slice(&master);
        record.extend_from_slice(&seconds(now_s).0.to_le_bytes());
        records.push(record);
        expected.push("ok".to_owned());

        let peers: Vec<Endpoint> = (0..4).map(|_| endpoint(&mut random)).collect();
        let mut held = vec![0];
        for _ in 0..500 {
            // Mostly onwards, at times by epochs, at times a little back.
            now_s = match random.below(20) {
                0 => now_s + 300 * (random.next_u64() % 4),
                1 => now_s.saturating_sub(random.next_u64() % 20),
                _ => now_s + random.next_u64() % 30,
            };
            let peer = random.pick(&peers).unwrap();
            let presented = random.pick(&held).unwrap() ^ u64::from(random.below(10) == 0);
            let checked = cookies.check(peer, presented, seconds(now_s));
            held.push(checked.fresh);
            held.drain(..held.len().saturating_sub(12));
            proven += u32::from(checked.proven);

            let mut record = vec![1];
            record.extend_from_slice(peer.as_bytes());
            record.extend_from_slice(&presented.to_le_bytes());
            record.extend_from_slice(&seconds(now_s).0.to_le_bytes());
            records.push(record);
            expected.push(format!("{} {:016x}", u8::from(checked.proven), checked.fresh));
        }
    }
    assert!((1_000..9_000).contains(&proven), "{proven} of 10,000, seed {seed}");
    compare("cookie", &records, &expected);
}

fn seconds(seconds: u64) -> Nanos {
    Nanos(seconds * kdht_core::NS_PER_S)
}
