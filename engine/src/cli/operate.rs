//! What an operator does with a running node, beside reading its counters.

use std::path::Path;

use kdht::control::{self, Reply, Request};
use kdht::status::Members;
use serde_json::json;

use super::Failure;
use super::args::{Control, DrainArgs, LogArgs, ReloadArgs, RoutingArgs, TableArgs};
use super::show;

pub(crate) fn table(args: &TableArgs) -> Result<(), Failure> {
    show_members(&*members_of(&args.control.path)?, args.control.json)
}

pub(crate) fn members_of(control: &Path) -> Result<Box<Members>, Failure> {
    match control::ask(control, &Request::Table {}).map_err(Failure::failed)? {
        Reply::Table(members) => Ok(members),
        _ => Err(something_else()),
    }
}

pub(crate) fn show_members(members: &Members, json: bool) -> Result<(), Failure> {
    if json {
        show::line(&serde_json::to_string(members).map_err(Failure::failed)?);
        return Ok(());
    }
    show::line(&format!(
        "{:40}  depth  {:10}  {:>10}  {:>8}  failures  endpoint",
        "id", "liveness", "rtt", "silent"
    ));
    for member in &members.members {
        let rtt = member.rtt_us.map_or_else(|| "-".to_owned(), |rtt_us| format!("{rtt_us} µs"));
        show::line(&format!(
            "{}  {:5}  {:10}  {rtt:>10}  {:>6} s  {:8}  {}",
            member.id,
            member.depth,
            member.liveness,
            member.silent_s,
            member.failures,
            member.endpoint
        ));
    }
    let (shown, total) = (members.members.len(), members.total);
    show::talk(&format!("{shown} of {total} contacts of {}", members.id));
    Ok(())
}

pub(crate) fn drain(args: &DrainArgs) -> Result<(), Failure> {
    let reply = ask(&args.control, &Request::Drain { timeout_s: args.timeout })?;
    let Reply::Drained { handed, kept, finished } = reply else { return Err(something_else()) };
    if args.control.json {
        let object = json!({ "handed": handed, "kept": kept, "finished": finished });
        show::line(&object.to_string());
    } else {
        show::line(&format!("{handed} values handed over, {kept} kept"));
    }
    if kept > 0 || !finished {
        return Err(Failure::Failed(format!("the node stopped with {kept} values of its own")));
    }
    Ok(())
}

pub(crate) fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let reply = ask(&args.control, &Request::Reload {})?;
    let Reply::Reloaded { applied, restart } = reply else { return Err(something_else()) };
    if args.control.json {
        show::line(&json!({ "applied": applied, "restart": restart }).to_string());
        return Ok(());
    }
    applied.iter().for_each(|name| show::line(&format!("applied {name}")));
    restart.iter().for_each(|name| show::line(&format!("wants a restart {name}")));
    if applied.is_empty() && restart.is_empty() {
        show::talk("nothing has changed");
    }
    Ok(())
}

pub(crate) fn routing(args: &RoutingArgs) -> Result<(), Failure> {
    let reply = ask(&args.control, &Request::Routing { to: args.to })?;
    let Reply::Routed { before } = reply else { return Err(something_else()) };
    if args.control.json {
        show::line(&json!({ "before": before, "now": args.to }).to_string());
    } else {
        show::line(&format!("{} routes, {before} did before", args.to));
    }
    Ok(())
}

pub(crate) fn log(args: &LogArgs) -> Result<(), Failure> {
    let reply = ask(&args.control, &Request::Log { filter: args.filter.clone() })?;
    let Reply::Log { before } = reply else { return Err(something_else()) };
    if args.control.json {
        show::line(&json!({ "before": before, "now": args.filter }).to_string());
    } else {
        show::line(&format!("logs {} instead of {before}", args.filter));
    }
    Ok(())
}

fn ask(node: &Control, request: &Request) -> Result<Reply, Failure> {
    control::ask(&node.path, request).map_err(Failure::failed)
}

pub(crate) fn something_else() -> Failure {
    Failure::failed("the node answered something else")
}
