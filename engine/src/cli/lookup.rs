//! Iterative lookups, and the paths they took.

use kdht_client::{ClientError, Report};
use serde_json::json;

use super::Failure;
use super::args::{LookupNodeArgs, LookupValueArgs};
use super::show;
use super::value::connect;

pub(crate) fn node(args: &LookupNodeArgs) -> Result<(), Failure> {
    let target = show::key(&args.target);
    let mut client = connect(&args.via, &show::options(&args.via.reach)?)?;
    let report = client.find_node(target).map_err(Failure::failed)?;
    if args.via.reach.json {
        show::line(&report_json(&report).to_string());
    } else {
        show_path(&report);
    }
    Ok(())
}

pub(crate) fn value(args: &LookupValueArgs) -> Result<(), Failure> {
    let key = show::key(&args.key);
    let filter = show::filter(&args.wanted)?;
    let mut client = connect(&args.via, &show::options(&args.via.reach)?)?;
    let (values, report) = match client.get(key, filter, 1) {
        Ok(found) => found,
        Err(ClientError::NotFound(report)) => (Vec::new(), *report),
        Err(error) => return Err(Failure::failed(error)),
    };
    if args.via.reach.json {
        let mut object = report_json(&report);
        object["values"] = values.iter().map(show::value_json).collect();
        show::line(&object.to_string());
    } else {
        show_path(&report);
        for value in &values {
            show::line(&format!("{}: {}", show::publisher(value), text_of(&value.bytes)));
        }
    }
    if values.is_empty() {
        return Err(Failure::Failed(format!("{}: not found", args.key)));
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
    eprintln!("{}: {}", report.target, show::talk_of(report));
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
