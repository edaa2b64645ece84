//! What is simulated: one TOML file, every key with its unit and default; `check.rs` has the
//! ranges. Keys below `node` are in `settings.rs`.

mod check;
mod overrides;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use kdht_wire::Kind;
use serde::Deserialize;
use toml::{Table, Value};

use crate::expect::Expectation;

pub(crate) use check::within;

/// Nodes of one run, at most.
pub const NODES_MAX: u32 = 1_000_000;
/// Lookups, puts and gets of one run, at most, each.
pub const WORK_MAX: u32 = 1_000_000;
/// Simulated seconds of one run, at most: 30 days.
pub const DURATION_S_MAX: u64 = 30 * 86_400;
/// Adversary groups, partitions, outages and clock steps, at most, each.
pub const PLANS_MAX: usize = 16;

/// Everything that one run is made from, apart from its seed. Times are seconds after the
/// network stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What the scenario shows, in a sentence.
    pub claim: String,
    /// Honest nodes at the start: 2 to 1,000,000.
    pub nodes: u32,
    /// How the network comes to be.
    pub network: Network,
    /// Contacts in a bucket, a reply and a STORE set: 1 to 20.
    pub k: u8,
    /// Requests of a lookup in flight: 1 to 20.
    pub alpha: u8,
    /// Bits that a bucket away from the own id is split by: 1 to 5.
    pub b: u8,
    /// Honest nodes in one /24: 1 to 250.
    pub nodes_per_subnet: u32,
    /// Seconds that are simulated after the network stands: 1 to 2,592,000.
    pub duration_s: u64,
    /// Whether the network shares a key, so that clocks matter.
    pub keyed: bool,
    /// Share of the nodes that is dead from the start, in a perfect network.
    pub stale: f64,
    /// Share of the honest nodes that is reached only by those it sent to within 60 s.
    pub nat: f64,
    /// Whether invariants are checked at every step; by default in debug builds.
    pub checks: bool,
    /// Share of the datagrams that is lost.
    pub loss: f64,
    /// Share that arrives twice.
    pub duplication: f64,
    /// Share that is held up by up to four mean delays, so that others overtake it.
    pub reordering: f64,
    /// How long a datagram is on its way.
    pub latency: Latency,
    /// Settings of every node's core, by name.
    pub node: BTreeMap<String, Value>,
    /// How nodes enter, where the network is built by joining.
    pub join: Joining,
    /// Racks that hosts stand in; none if left out.
    pub zones: Option<Racks>,
    /// Nodes that keep all others in a wide table, look things up, and do not die: 0 to 16.
    pub wide: u32,
    /// How nodes come and go; not at all if left out.
    pub churn: Option<Churn>,
    /// What is looked for among nodes.
    pub lookups: Lookups,
    /// What is stored and looked for again.
    pub values: Values,
    /// Who means harm.
    pub adversary: Vec<Adversary>,
    /// When the network falls apart and heals.
    pub partition: Vec<Partition>,
    /// When nodes lose their own connection.
    pub outage: Vec<Outage>,
    /// When clocks jump.
    pub clock_step: Vec<ClockStep>,
    /// Pass lines.
    pub expect: Vec<String>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            claim: String::new(),
            nodes: 1_000,
            network: Network::Perfect,
            k: 20,
            alpha: 3,
            b: 1,
            nodes_per_subnet: 1,
            duration_s: 60,
            keyed: false,
            stale: 0.0,
            nat: 0.0,
            checks: cfg!(debug_assertions),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            latency: Latency::default(),
            node: BTreeMap::new(),
            join: Joining::default(),
            zones: None,
            wide: 0,
            churn: None,
            lookups: Lookups::default(),
            values: Values::default(),
            adversary: Vec::new(),
            partition: Vec::new(),
            outage: Vec::new(),
            clock_step: Vec::new(),
            expect: Vec::new(),
        }
    }
}

/// How the network comes to be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Every table holds min(k, all) random contacts of each range that it has a bucket for.
    Perfect,
    /// One node after another enters through random earlier ones.
    Join,
}

/// One way of a datagram between two hosts, the same both ways.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// The shortest, in milliseconds.
    pub min_ms: f64,
    /// The mean over all pairs, in milliseconds.
    pub mean_ms: f64,
    /// How pairs differ.
    pub distribution: Distribution,
}

impl Default for Latency {
    fn default() -> Self {
        Self { min_ms: 5.0, mean_ms: 40.0, distribution: Distribution::Exponential }
    }
}

/// How the latencies of pairs differ.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Each pair has the mean.
    Constant,
    /// Between the minimum and as far above the mean.
    Uniform,
    /// The minimum and an exponentially distributed rest, cut at ten means.
    Exponential,
}

/// How nodes enter.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Joining {
    /// Earlier nodes that a newcomer is told of: 1 to 16.
    pub through: u32,
    /// Nodes that enter at the same time: 1 to 64.
    pub at_once: u32,
    /// Seconds of rest after the last one has entered: 0 to 2,592,000.
    pub rest_s: u64,
}

impl Default for Joining {
    fn default() -> Self {
        Self { through: 3, at_once: 1, rest_s: 10 }
    }
}

/// Racks, each of as many /8 networks as any other: what nodes are told of as zones.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Racks {
    /// How many: 1 to 100.
    pub count: u16,
    /// Replicas of a value that a rack is given at most: 1 to 20.
    pub replicas_max: u8,
}

/// How nodes come and go. Each dead one is followed by a new one, so that the number stays.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Churn {
    /// Mean session, in seconds.
    pub mean_s: f64,
    /// Weibull shape of sessions; 1: exponential.
    pub shape: f64,
    /// Mean time from an end to the next begin, in seconds.
    pub pause_s: f64,
    /// Share of ends that is a leave, with hand-over, instead of a crash.
    pub leave: f64,
    /// Whether the next one is the same node, with the same id and address and an empty
    /// memory, or a new one.
    pub same: bool,
    /// When it begins, in seconds.
    pub from_s: u64,
    /// When it ends; 0: with the run.
    pub until_s: u64,
}

impl Default for Churn {
    fn default() -> Self {
        Self {
            mean_s: 3_600.0,
            shape: 1.0,
            pause_s: 10.0,
            leave: 0.0,
            same: false,
            from_s: 0,
            until_s: 0,
        }
    }
}

/// What is looked for among nodes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lookups {
    /// How many; each by a random live node.
    pub count: u32,
    /// The first begins then.
    pub from_s: u64,
    /// The last begins then; 0: five seconds before the run ends.
    pub until_s: u64,
    /// Which targets.
    pub targets: Targets,
    /// Leading bits that a `near` target shares with a random node's id: 1 to 159.
    pub near_bits: u8,
    /// Different targets of `zipf`: 1 to 65,536.
    pub zipf_targets: u32,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            count: 0,
            from_s: 0,
            until_s: 0,
            targets: Targets::Uniform,
            near_bits: 32,
            zipf_targets: 256,
        }
    }
}

/// Which targets.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// Random ids.
    Uniform,
    /// Ids near those of random nodes.
    Near,
    /// Ids of random nodes.
    Node,
    /// A fixed set of random ids, the n-th with a share of 1/n.
    Zipf,
}

/// What is stored and looked for again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Values {
    /// How many.
    pub count: u32,
    /// Bytes of each: 8 to 1000.
    pub size: u32,
    /// How they prove themselves.
    pub proof: Proof,
    /// Seconds that each has to live: 1 to 86,400.
    pub lifetime_s: u32,
    /// The first is put then.
    pub put_from_s: u64,
    /// And the last then.
    pub put_until_s: u64,
    /// Publishers put their values again after so many seconds; 0: never.
    pub republish_s: u64,
    /// How often each is put again as a newer version: 0 to 1000; later ones are as the last.
    /// Needs `signed`.
    pub updates: u32,
    /// Times that each is looked for, by random live nodes: 0 to 64.
    pub gets: u32,
    /// The first is looked for then.
    pub get_from_s: u64,
    /// The last is looked for then; 0: five seconds before the run ends.
    pub get_until_s: u64,
    /// Once in so many seconds after the last put it is counted which values no node holds
    /// any more; 0: never. What is lost from one count to the next is lost in a republish
    /// gap, if both are as long.
    pub census_s: u64,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            count: 0,
            size: 100,
            proof: Proof::Immutable,
            lifetime_s: 86_400,
            put_from_s: 0,
            put_until_s: 10,
            republish_s: 0,
            updates: 0,
            gets: 1,
            get_from_s: 20,
            get_until_s: 0,
            census_s: 0,
        }
    }
}

/// How values prove themselves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The key is the hash.
    Immutable,
    /// Each has a publisher's signature.
    Signed,
}

/// Who means harm: a group of hosts that follow one script.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversary {
    /// Which script.
    pub kind: Script,
    /// Hosts, each with an id and an address of its own: 1 to 100,000.
    #[serde(default)]
    pub count: u32,
    /// Or how many, as a share of the honest nodes.
    #[serde(default)]
    pub share: f64,
    /// Hosts in one /24: 1 to 250.
    #[serde(default = "one")]
    pub per_subnet: u32,
    /// Whether they stand in the tables that a perfect network begins with.
    #[serde(default)]
    pub known: bool,
    /// Datagrams that the group sends by itself, a second, up to 100,000; 0: none.
    #[serde(default)]
    pub rate_per_s: u32,
    /// It begins then.
    #[serde(default)]
    pub from_s: u64,
    /// It ends then; 0: with the run.
    #[serde(default)]
    pub until_s: u64,
    /// Whether all of it goes to one node, instead of to random ones.
    #[serde(default)]
    pub one_target: bool,
    /// Whether it is given what a node keeps secret: the cookies that it would give anybody,
    /// its transactions, the hashes of its store. Shows what the secret is worth.
    #[serde(default)]
    pub informed: bool,
}

fn one() -> u32 {
    1
}

/// What an adversary does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// Answers PING, and nothing else.
    Dropper,
    /// Names hosts that do not exist, nearer to the target than any.
    Poisoner,
    /// Names the victim, an address that asked for nothing, under ids near the target.
    Accuser,
    /// Answers as any id: names itself under invented ids next to the target.
    Colluder,
    /// Pings honest nodes, to be inserted; names its own kind.
    Sybil,
    /// Pings one node from ids near its own, and names its own kind.
    Eclipse,
    /// As `eclipse`, from ids that share 150 bits with the node's.
    Splitter,
    /// Pings honest nodes from ever new ids, to displace what is in their tables.
    Flusher,
    /// Requests of every kind and length in the victim's name.
    Reflector,
    /// Replies to honest nodes with guessed transactions, endpoints and ids; informed, with
    /// all as it should be but for port, address, id or a bit of the transaction.
    Spoofer,
    /// Stores random values wherever it gets a cookie.
    StorageFlood,
    /// Asks for lookups in the name of addresses that never asked.
    Recurser,
    /// Sends requests that look forwarded on the victim's behalf.
    Forwarder,
    /// Sends FAULTs, and what draws them, in other nodes' names.
    FaultLoop,
    /// Sends what is no message: of every length, cut, drawn out, flipped and random.
    Garbage,
    /// Presents cookies from other addresses, ports and to other nodes, and too late.
    CookieReplay,
    /// Sends what it overheard in a private network, as it was and as a reply, and what has
    /// the MAC of another network.
    Replay,
    /// Stores signed values as it overheard them, however old, at their holders.
    Rollback,
    /// One host that asks too much, and ever new addresses to make its limiter forget it.
    Limiter,
    /// Stores values with wrong signatures wherever it gets a cookie.
    SignatureFlood,
    /// Stores values whose keys collide in the node's hash table, as far as it knows it.
    HashFlood,
}

impl Script {
    /// Which requests of honest nodes it overhears.
    pub(crate) fn overhears(self) -> Option<Kind> {
        match self {
            Self::Replay | Self::Spoofer => Some(Kind::FindNode),
            Self::Rollback => Some(Kind::Store),
            _ => None,
        }
    }
}

/// The network in two parts that do not hear each other.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// It falls apart then.
    pub from_s: u64,
    /// It heals then.
    pub until_s: u64,
    /// Share of the hosts in the smaller part.
    pub share: f64,
}

/// Nodes that hear and reach nobody for a while.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// It begins then.
    pub from_s: u64,
    /// It ends then.
    pub until_s: u64,
    /// How many random nodes.
    #[serde(default)]
    pub nodes: u32,
    /// Or all of this rack, counted from 0.
    #[serde(default)]
    pub rack: Option<u16>,
}

/// Clocks of the day that jump; intervals are not touched.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// It happens then.
    pub at_s: u64,
    /// By how many seconds: -86,400 to 86,400.
    pub by_s: i64,
    /// Share of the nodes whose clock jumps.
    pub share: f64,
}

/// Why a scenario cannot be run: which key, and what is allowed.
#[derive(Clone, Debug)]
pub struct ScenarioError(pub String);

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a scenario, then sets each of `overrides` (`key=value`, dotted keys reach into
    /// tables: `latency.mean_ms=20`; `adversary.0.share=0.1` into a list).
    ///
    /// # Errors
    /// [`ScenarioError`]: the line and key of the file, or the override, and what is allowed.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self, ScenarioError> {
        let error = |error: toml::de::Error| ScenarioError(error.to_string().trim_end().into());
        let mut scenario: Self = toml::from_str(text).map_err(error)?;
        if !overrides.is_empty() {
            let mut table: Table = toml::from_str(text).map_err(error)?;
            for word in overrides {
                overrides::set(&mut table, word)?;
                scenario = table.clone().try_into().map_err(|error: toml::de::Error| {
                    let why = error.to_string();
                    ScenarioError(format!("--set {word}: {}", why.trim_end()))
                })?;
            }
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// The pass lines, read.
    pub(crate) fn expectations(&self) -> Result<Vec<Expectation>, ScenarioError> {
        self.expect.iter().map(|line| Expectation::parse(line)).collect()
    }
}
