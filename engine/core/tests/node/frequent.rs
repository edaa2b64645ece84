//! A repeated lookup begins where the last one ended.

use kdht_core::{Command, Config, Report};

use crate::common::{Conditions, Net};

/// How often the second of two lookups `pause_ms` apart knew the closest from the start,
/// of 40, and the requests of all first and all second lookups.
fn repeated(config: &Config, pause_ms: u64) -> (usize, u32, u32) {
    let mut net = Net::joined(1, Conditions::CALM, 200, config);
    let (mut at_once, mut first, mut second) = (0, 0, 0);
    for round in 0..40 {
        let target = net.rng.id();
        let look_up = |net: &mut Net| -> Report { net.run(round, Command::FindNode { target }) };
        let report = look_up(&mut net);
        if report.hops < 2 {
            continue;
        }
        first += report.messages;
        net.run_for(pause_ms);
        let report = look_up(&mut net);
        at_once += usize::from(report.hops == 1);
        second += report.messages;
    }
    (at_once, first, second)
}

#[test]
fn a_lookup_repeated_soon_knows_the_closest_from_the_start() {
    let config = Config { k: 3, ..Config::default() };
    let (at_once, first, second) = repeated(&config, 10_000);
    assert!(at_once >= 10, "{at_once}");
    assert!(second < first, "{second} requests after {first}");
    let never = Config { frequent_max: 0, ..config.clone() };
    assert!(repeated(&never, 10_000).0 < at_once / 2, "the cache makes the difference");
    assert!(repeated(&config, 130_000).0 < at_once / 2, "it is forgotten after two minutes");
}

#[test]
fn what_is_remembered_is_bounded_and_forgotten_by_itself() {
    let config = Config { frequent_max: 3, ..Config::default() };
    let mut net = Net::joined(2, Conditions::CALM, 30, &config);
    net.run_for(600_000);
    for _ in 0..50 {
        let target = net.rng.id();
        net.run(0, Command::FindNode { target });
    }
    let now = net.now().mono;
    let forgets_at = net.node(0).poll_timeout().expect("it is to forget");
    assert!(forgets_at <= now.plus_ms(121_000), "nothing is forgotten");
    net.run_for(130_000);
    let quiet_until = net.node(0).poll_timeout().expect("refreshes");
    assert!(quiet_until > net.now().mono.plus_ms(60_000), "all is forgotten");
}
