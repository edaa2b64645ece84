//! A lookup of the module asks whom the engine's would, and ends when it would.

use std::fmt::Write;

use kdht_core::{Answered, Caps, Lookup, Standing};
use kdht_kmod_test::Random;
use kdht_wire::{Contact, Id};
use zerocopy::IntoBytes;

use crate::{compare, endpoint};

/// Where a lookup stands, as the harness prints it.
fn line(lookup: &Lookup) -> String {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |byte: u8| digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    for candidate in lookup.candidates() {
        candidate.id.0.iter().for_each(|byte| take(*byte));
        candidate.endpoint.as_bytes().iter().for_each(|byte| take(*byte));
        take(match candidate.standing {
            Standing::Known => 0,
            Standing::Asked => 1,
            Standing::Slow => 2,
            Standing::Answered => 3,
            Standing::Failed => 4,
        });
    }
    let (count, done) = (lookup.candidates().len(), u8::from(lookup.is_done()));
    format!(" {count} {} {digest:016x} {done}", lookup.asked)
}

/// Somebody, the nearer to `target` the more bits are shared; some more than once.
fn somebody(target: &Id, random: &mut Random, known: &mut Vec<Contact>) -> Contact {
    if random.below(5) == 0
        && let Some(contact) = random.pick(known).copied()
    {
        let moved = Contact::new(contact.id, endpoint(random));
        return if random.below(2) == 0 { contact } else { moved };
    }
    let mut id = Id(random.bytes());
    for bit in 0..random.below(24) {
        let bit = u8::try_from(bit).unwrap();
        id = id.with_bit(bit, target.bit(bit));
    }
    let contact = Contact::new(id, endpoint(random));
    known.push(contact);
    contact
}

fn run(seed: u64, alpha: u8, k: u8, caps: Caps) {
    let mut random = Random::from_seed(seed);
    let (target, own) = (Id(random.bytes()), Id(random.bytes()));
    let mut lookup = Lookup::new(target, own, usize::from(alpha), usize::from(k)).with_caps(caps);
    let mut records = vec![
        [
            &[0][..],
            &target.0,
            &own.0,
            &[alpha, k],
            &u32::from(caps.bucket_max).to_le_bytes(),
            &u32::from(caps.table_max).to_le_bytes(),
            &[u8::from(caps.exempt_private)],
        ]
        .concat(),
    ];
    let mut expected = vec![line(&lookup)];
    let (mut known, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..3_000 {
        let about = |operation: u8, contact: &Contact| [&[operation], contact.as_bytes()].concat();
        let one = random.pick(&asked).copied().filter(|_| random.below(4) > 0);
        let one = one.unwrap_or_else(|| somebody(&target, &mut random, &mut known));
        let mut said = String::new();
        match random.below(10) {
            0 => {
                let contact = somebody(&target, &mut random, &mut known);
                records.push(about(1, &contact));
                said = u8::from(lookup.learn(&contact, 1)).to_string();
            }
            1..6 => {
                records.push(vec![2]);
                if let Some(next) = lookup.next_to_ask() {
                    let bytes = next.id.0.iter().chain(next.endpoint.as_bytes());
                    bytes.for_each(|byte| write!(said, "{byte:02x}").unwrap());
                    asked.push(Contact::new(next.id, next.endpoint));
                }
            }
            6..8 => {
                let named: Vec<Contact> = (0..random.below(21))
                    .map(|_| somebody(&target, &mut random, &mut known))
                    .collect();
                records.push([about(3, &one), named.as_bytes().to_vec()].concat());
                lookup.answered(&one.id, &one.endpoint, &named, Answered::default());
            }
            8 => {
                records.push(about(4, &one));
                lookup.slow(&one.id, &one.endpoint);
            }
            _ => {
                records.push(about(5, &one));
                lookup.failed(&one.id, &one.endpoint);
            }
        }
        expected.push(said + &line(&lookup));
    }
    println!("seed {seed}: {} candidates, {} asked", lookup.candidates().len(), lookup.asked);
    compare("lookup", &records, &expected);
}

#[test]
fn a_lookup_asks_whom_the_engines_would() {
    let caps = Caps { bucket_max: 2, table_max: 10, exempt_private: true };
    for (seed, alpha, k, caps) in [
        (110, 3, 20, Caps::NONE),
        (111, 3, 20, caps),
        (112, 1, 5, Caps::NONE),
        (113, 20, 3, Caps { exempt_private: false, ..caps }),
    ] {
        run(seed, alpha, k, caps);
    }
}
