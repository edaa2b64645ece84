//! A value put again and again, so that it lives on: the publisher's part of republishing.
//! Holders store it anew for what remains of its life only.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use kdht_client::{Id, Options, Value, ValuePublisher};
use serde_json::json;

use super::Failure;
use super::args::PutArgs;
use super::show;
use super::value;

/// How long after a failed attempt the next one begins, unless the lifetime is shorter.
const RETRY: Duration = Duration::from_secs(60);
/// How long after the end of an immutable value's life it is put again: no holder has it
/// then. Its holders never prolong it.
const IMMUTABLE_PAUSE: Duration = Duration::from_secs(2);

/// Puts `first`, which was stored just now, again each time that its life is nearly over,
/// until `stop`. A signed value gets a higher sequence each time, which is what renews it.
pub(crate) fn keep(
    args: &PutArgs,
    options: &Options,
    key: Id,
    first: &Value,
    stop: &Receiver<i32>,
) -> Result<(), Failure> {
    let mut wait = pause(first, args.value.lifetime);
    loop {
        show::talk(&format!("stored again in {} s; stop with Ctrl-C", wait.as_secs()));
        if stop.recv_timeout(wait).is_ok() {
            return Ok(());
        }
        let begun = Instant::now();
        wait = match put_again(args, options, key, first) {
            Ok(()) => pause(first, args.value.lifetime).saturating_sub(begun.elapsed()),
            Err(failure) => {
                show::talk(&failure.into_text());
                RETRY.min(pause(first, args.value.lifetime))
            }
        };
    }
}

fn put_again(args: &PutArgs, options: &Options, key: Id, first: &Value) -> Result<(), Failure> {
    let again = value::renewed(&key, first, &args.value)?;
    let publisher = show::publisher(&again);
    // Whom it knew when it began may be gone by now.
    let mut asker = value::connect(&args.via, options)?;
    let (stored, _) = asker.put(key, again, None).map_err(Failure::failed)?;
    if args.via.reach.json {
        let object = json!({
            "key": key.to_string(), "publisher": publisher,
            "asked": stored.asked, "acknowledged": stored.acknowledged,
        });
        show::line(&object.to_string());
    } else {
        let (acknowledged, asked) = (stored.acknowledged, stored.asked);
        show::talk(&format!("stored again at {acknowledged} of {asked} nodes"));
    }
    Ok(())
}

/// How long after one put the next is due: an eighth of the life before its end, so that
/// there is time for more than one attempt; an immutable value after its end.
fn pause(value: &Value, lifetime_s: u32) -> Duration {
    let lifetime = Duration::from_secs(lifetime_s.into());
    match value.publisher {
        ValuePublisher::Immutable => lifetime + IMMUTABLE_PAUSE,
        ValuePublisher::Signed(_) | ValuePublisher::Plain(_) => lifetime / 8 * 7,
    }
}
