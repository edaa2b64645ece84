//! Who asks the network: a client of its own, or a node of this process. Both run the same
//! lookups, so commands need not know which it is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kdht::{CallError, NodeHandle};
use kdht_client::{Client, ClientError, Filter, Id, Report, Request, Stored, Value};
use kdht_core::{Command, Outcome};
use kdht_wire::Endpoint;

/// How long one command of a node may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a node sends a request that is not answered.
const ATTEMPTS: u8 = 3;

/// Who asks the network.
pub(crate) enum Asker {
    /// A blocking client.
    Client(Box<Client>),
    /// A node of this process.
    Node(NodeHandle),
}

impl Asker {
    /// As [`Client::put`].
    pub(crate) fn put(
        &mut self,
        key: Id,
        value: Value,
        cas: Option<u64>,
    ) -> Result<(Stored, Report), ClientError> {
        let node = match self {
            Self::Client(client) => return client.put(key, value, cas),
            Self::Node(node) => node,
        };
        let report = call(node, Command::Put { key, value, cas })?;
        match report.outcome {
            Outcome::Stored(stored) if stored.acknowledged > 0 => Ok((stored, report)),
            Outcome::Stored(stored) => Err(ClientError::NotStored(stored)),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// As [`Client::collect`].
    pub(crate) fn get(
        &mut self,
        key: Id,
        filter: Filter,
        values_max: u16,
        holders: u8,
    ) -> Result<(Vec<Value>, Report), ClientError> {
        let node = match self {
            Self::Client(client) => return client.collect(key, filter, values_max, holders),
            Self::Node(node) => node,
        };
        let mut report = call(node, Command::FindValue { key, filter, values_max, holders })?;
        match &mut report.outcome {
            Outcome::Values { values, .. } => Ok((std::mem::take(values), report)),
            Outcome::NotFound => Err(ClientError::NotFound(Box::new(report))),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// As [`Client::find_node`].
    pub(crate) fn find_node(&mut self, target: Id) -> Result<Report, ClientError> {
        let node = match self {
            Self::Client(client) => return client.find_node(target),
            Self::Node(node) => node,
        };
        let report = call(node, Command::FindNode { target })?;
        match report.outcome {
            Outcome::Nodes => Ok(report),
            _ => Err(ClientError::Unanswered(report.messages)),
        }
    }

    /// As [`Client::ask`].
    pub(crate) fn ask(
        &mut self,
        endpoint: SocketAddr,
        request: &Request,
        recurse: bool,
    ) -> Result<(Vec<u8>, Duration), ClientError> {
        let node = match self {
            Self::Client(client) => return client.ask(endpoint, request, recurse),
            Self::Node(node) => node,
        };
        let started = Instant::now();
        // A recursion that was begun is not begun again.
        let attempts = if recurse { 1 } else { ATTEMPTS };
        for _ in 0..attempts {
            let (endpoint, request) = (Endpoint::from(endpoint), request.clone());
            let report = call(node, Command::Ask { endpoint, id: None, request, recurse })?;
            if let Outcome::Reply { bytes, rtt_us } = report.outcome {
                return Ok((bytes, Duration::from_micros(rtt_us.into())));
            }
        }
        Err(ClientError::NoEntry { via: vec![endpoint], attempts, elapsed: started.elapsed() })
    }
}

fn call(node: &NodeHandle, command: Command) -> Result<Report, ClientError> {
    node.call(command, CALL_TIMEOUT).map_err(|error| match error {
        CallError::Refused(why) => ClientError::Refused(why),
        other => ClientError::Host(std::io::Error::other(other)),
    })
}
