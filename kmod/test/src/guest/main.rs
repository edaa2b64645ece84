//! What is tried with the module itself, in a guest: run as root on a kernel that may be
//! lost, with `udp_tunnel.ko`, `ip6_udp_tunnel.ko` and `kdht.ko` in the directory that the
//! command line names. Every case begins with the module loaded and ends with
//! it at rest.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod answering;
mod daemon;
mod forwarding;
mod hostile;
mod kdht;
mod lifetime;
mod module;
mod network;
mod peer;
mod probe;
mod rights;
mod routed;
mod routing;
mod sighting;
mod sockets;
mod values;

use std::panic::catch_unwind;
use std::process::ExitCode;

use module::Module;

/// One case: what it claims, and the check.
type Case = (&'static str, fn(&Module));

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(first) = words.next() else {
        eprintln!("usage: kdht-guest MODULES");
        return ExitCode::from(2);
    };
    // Parts of cases that need a process of their own.
    match first.as_str() {
        "attach-and-wait" => return probe::attach_and_wait(),
        "may-control" => return probe::may_control(),
        _ => {}
    }
    let module = Module::at(&first);
    module.load().unwrap();
    // Where `engine=absent` is said, the command `kdht` is not there to be tried.
    let engine: &[&[Case]] = match std::env::var("engine").as_deref() {
        Ok("absent") => &[],
        _ => &[routed::CASES, forwarding::ENGINE_CASES],
    };
    let cases: Vec<Case> = [
        answering::CASES,
        values::CASES,
        sighting::CASES,
        routing::CASES,
        network::CASES,
        hostile::CASES,
        lifetime::CASES,
        sockets::CASES,
        rights::CASES,
        forwarding::CASES,
        &engine.concat(),
        routing::LATE_CASES,
    ]
    .concat();
    let (mut passed, mut failed) = (0, 0);
    // What stands as `only=WORD` on the guest's command line picks the claims that have it.
    let only = std::env::var("only").unwrap_or_default();
    for (claim, check) in cases.into_iter().filter(|(claim, _)| claim.contains(&only)) {
        // A case that fails must not keep the others from being tried.
        if catch_unwind(|| check(&module)).is_ok() {
            passed += 1;
            println!("ok      {claim}");
        } else {
            failed += 1;
            println!("FAILED  {claim}");
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
