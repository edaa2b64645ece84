//! Single requests, and their replies as they are.

use std::net::SocketAddr;
use std::time::Duration;

use kdht_client::{Client, Id, Options, Request};
use kdht_wire::{Body, Message, json};
use serde_json::{Value as Json, json};

use super::Failure;
use super::args::{FindNodeArgs, FindValueArgs, PingArgs, Reach, StoreArgs};
use super::asker::Asker;
use super::show;
use super::value::value_of;

pub(crate) fn ping(args: &PingArgs) -> Result<(), Failure> {
    ask(args.addr, &args.reach, &Request::Ping, false)
}

pub(crate) fn find_node(args: &FindNodeArgs) -> Result<(), Failure> {
    let request = Request::FindNode { target: show::key(&args.target) };
    ask(args.addr, &args.reach, &request, args.recurse)
}

pub(crate) fn find_value(args: &FindValueArgs) -> Result<(), Failure> {
    let (key, filter) = (show::key(&args.key), show::filter(&args.wanted)?);
    let request = Request::FindValue { key, filter, cursor: args.cursor };
    ask(args.addr, &args.reach, &request, args.recurse)
}

pub(crate) fn store(args: &StoreArgs) -> Result<(), Failure> {
    let mut options = show::options(&args.reach)?;
    let (key, value) = value_of(&args.words, &args.value, &mut options)?;
    let request = Request::Store { key, value, cas: args.value.cas };
    ask_as(&options, args.addr, &args.reach, &request, args.recurse)
}

fn ask(addr: SocketAddr, reach: &Reach, request: &Request, recurse: bool) -> Result<(), Failure> {
    ask_as(&show::options(reach)?, addr, reach, request, recurse)
}

fn ask_as(
    options: &Options,
    addr: SocketAddr,
    reach: &Reach,
    request: &Request,
    recurse: bool,
) -> Result<(), Failure> {
    let client = Client::open(addr, options).map_err(Failure::failed)?;
    exchange(&mut Asker::Client(client.into()), addr, request, recurse, reach.json)?;
    Ok(())
}

/// Sends one request, shows its reply, and returns the id of who answered.
pub(crate) fn exchange(
    asker: &mut Asker,
    addr: SocketAddr,
    request: &Request,
    recurse: bool,
    json: bool,
) -> Result<Id, Failure> {
    let (bytes, rtt) = asker.ask(addr, request, recurse).map_err(Failure::failed)?;
    let message = Message::parse_stream(&bytes)
        .map_err(|error| Failure::Failed(format!("{addr} answered no message: {error}")))?;
    if json {
        let text = json::to_json(&bytes).map_err(|error| Failure::Failed(error.to_string()))?;
        let reply: Json = serde_json::from_str(&text).map_err(Failure::failed)?;
        show::line(&json!({ "rtt_us": rtt.as_micros(), "reply": reply }).to_string());
    } else {
        print(&message, rtt);
    }
    match message.body {
        Body::Fault(fault, _) => {
            Err(Failure::Failed(format!("{addr} refused: `{}`", fault.name())))
        }
        _ => Ok(message.head.sender),
    }
}

fn print(message: &Message<'_>, rtt: Duration) {
    let head = message.head;
    let more = if head.flags().has(kdht_wire::Flags::MORE) { ", more there" } else { "" };
    show::line(&format!("from {} in {} µs", head.sender, rtt.as_micros()));
    match &message.body {
        Body::PingReply(reply) => show::line(&format!("sees us at {}", reply.observed)),
        Body::Contacts { contacts, .. } => {
            show::line(&format!("{} contacts{more}", contacts.len()));
            let mut contacts = contacts.to_vec();
            contacts.sort_by_key(|contact| contact.id.distance(&head.target));
            for contact in contacts {
                show::line(&format!("{}  {}", contact.id, contact.endpoint));
            }
        }
        Body::Values { reply, records } => {
            let (here, total) = (records.count(), reply.total.get());
            show::line(&format!("{here} of {total} values{more}"));
            for record in records.iter() {
                let proven = kdht_store::verify(&head.target, &record);
                let proof = if proven.is_ok() { "proven" } else { "NOT PROVEN" };
                show::line(&format!(
                    "{}  {} s left, {} bytes, {proof}: {}",
                    record.cursor,
                    record.remaining_s,
                    record.value_len,
                    show::one_line(record.value),
                ));
            }
        }
        Body::StoreReply(reply) => {
            let durability = kdht_wire::Durability::from_u8(head.arg).map_or("?", |d| d.name());
            show::line(&format!("stored at {} nodes, {durability}", reply.total.get()));
        }
        _ => {}
    }
}
