//! The core over a recording of a node.

use kdht::record::replay as run;

use super::Failure;
use super::args::ReplayArgs;
use super::show;

pub(crate) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let replay = run(&args.file).map_err(Failure::failed)?;
    if replay.release != env!("CARGO_PKG_VERSION") {
        show::talk(&format!("kdht: recorded by release {}", replay.release));
    }
    if args.json {
        show::line(&serde_json::to_string(&replay).map_err(Failure::failed)?);
    } else {
        show::line(&format!("node           {}", replay.id));
        show::line(&format!("entries        {}", replay.entries));
        show::line(&format!("datagrams in   {}", replay.datagrams_in));
        show::line(&format!("datagrams out  {}", replay.datagrams_out));
        show::line(&format!("events         {}", replay.events));
        show::line(&format!("digest         {}", replay.digest));
        show::line(&format!("end            {}", replay.end));
        if replay.same {
            show::line("same");
        }
    }
    match replay.differs_after {
        None => Ok(()),
        Some(entry) => Err(Failure::Failed(format!(
            "something else came out than had come out of the node, after entry {entry}"
        ))),
    }
}
