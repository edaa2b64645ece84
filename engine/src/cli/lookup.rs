//! Iterative lookups, and the paths they took.

use kdht_client::{ClientError, Filter, Report};
use serde_json::json;

use super::Failure;
use super::args::{LookupNodeArgs, LookupValueArgs};
use super::asker::Asker;
use super::show;
use super::value::connect;

pub(crate) fn node(args: &LookupNodeArgs) -> Result<(), Failure> {
    let mut asker = connect(&args.via, &show::options(&args.via.reach)?)?;
    node_by(&mut asker, &args.target, args.via.reach.json)
}

/// Looks up the nodes closest to what `word` names, and shows the path.
pub(crate) fn node_by(asker: &mut Asker, word: &str, json: bool) -> Result<(), Failure> {
    let report = asker.find_node(show::key(word)).map_err(Failure::failed)?;
    if json {
        show::line(&report_json(&report).to_string());
    } else {
        show_path(&report);
    }
    Ok(())
}

pub(crate) fn value(args: &LookupValueArgs) -> Result<(), Failure> {
    let filter = show::filter(&args.wanted)?;
    let mut asker = connect(&args.via, &show::options(&args.via.reach)?)?;
    value_by(&mut asker, &args.key, filter, args.via.reach.json)
}

/// Looks up a value under the key that `word` names, and shows the path and the value.
pub(crate) fn value_by(
    asker: &mut Asker,
    word: &str,
    filter: Filter,
    json: bool,
) -> Result<(), Failure> {
    let (values, report) = match asker.get(show::key(word), filter, 1, 1) {
        Ok(found) => found,
        Err(ClientError::NotFound(report)) => (Vec::new(), *report),
        Err(error) => return Err(Failure::failed(error)),
    };
    if json {
        let mut object = report_json(&report);
        object["values"] = values.iter().map(show::value_json).collect();
        show::line(&object.to_string());
    } else {
        show_path(&report);
        for value in &values {
            show::line(&format!("{}: {}", show::publisher(value), show::one_line(&value.bytes)));
        }
    }
    if values.is_empty() {
        return Err(Failure::Failed(format!("{word}: not found")));
    }
    Ok(())
}

fn report_json(report: &Report) -> serde_json::Value {
    json!({
        "target": report.target.to_string(),
        "hops": report.hops,
        "messages": report.messages,
        "elapsed_us": report.elapsed_ns / 1_000,
        "path": show::path_json(report),
    })
}

fn show_path(report: &Report) {
    show::path_lines(report).iter().for_each(|text| show::line(text));
    show::talk(&format!("{}: {}", report.target, show::talk_of(report)));
}
