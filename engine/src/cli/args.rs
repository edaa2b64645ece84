//! What can be asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::show::addr;
use super::tune::TuneArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use kdht::routing::Routing;
use kdht::settings::DRAIN_S_MAX;

/// A Kademlia node, and the tools to use and inspect one.
#[derive(Parser)]
#[command(name = "kdht", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a node until SIGINT or SIGTERM
    Run(RunArgs),
    /// Store a value at the nodes closest to its key
    Put(PutArgs),
    /// Find values under a key and print the first
    Get(GetArgs),
    /// Send one PING
    Ping(PingArgs),
    /// Send one FIND_NODE
    FindNode(FindNodeArgs),
    /// Send one FIND_VALUE
    FindValue(FindValueArgs),
    /// Send one STORE
    Store(StoreArgs),
    /// Find the nodes closest to an id, step by step, and print the path
    LookupNode(LookupNodeArgs),
    /// Find a value step by step, and print the path
    LookupValue(LookupValueArgs),
    /// Run a network of real nodes on loopback, put values and find them again
    Swarm(SwarmArgs),
    /// Run a whole network in virtual time, as a scenario says
    Sim(SimArgs),
    /// Read the counters of a running node
    Stat(StatArgs),
    /// Read the routing tables of a running node
    Table(TableArgs),
    /// Let a running node hand over its values and stop
    Drain(DrainArgs),
    /// Let a running node read its settings and network key anew
    Reload(ReloadArgs),
    /// Let a running node or the kernel module kdht.ko route from now on
    Routing(RoutingArgs),
    /// Change what a running node logs
    Log(LogArgs),
    /// Look at the settings
    Config(ConfigArgs),
    /// A prompt for puts, gets and single requests
    Shell(ShellArgs),
    /// Run a node over what was recorded of one, and compare what comes out
    Replay(ReplayArgs),
    /// Hold the host's settings against a profile; apply it, put the old ones back
    Tune(TuneArgs),
    /// Turn a message's bytes (hexadecimal) into JSON
    Decode(DecodeArgs),
    /// Turn JSON into a message's bytes (hexadecimal)
    Encode(EncodeArgs),
    /// Make shell completions or manual pages
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// Each setting can also stand in the file or the environment (`KDHT_LISTEN`, …); a flag
/// wins over the environment, and that over the file.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Addresses to answer on: one IPv4, one IPv6 or both [default: 0.0.0.0:4000]
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub(crate) listen: Vec<String>,
    /// The node's own address, one of a family at most [default: learned from what others see]
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub(crate) advertise: Vec<String>,
    /// HOST:PORT of nodes to enter the network through
    #[arg(long, value_name = "ADDR", num_args = 1..)]
    pub(crate) bootstrap: Vec<String>,
    /// Directory for identity, contacts and control socket; without it the node forgets
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Keys of a private network: one or two lines of a number and 32 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub(crate) network_key: Option<PathBuf>,
    /// TOML file of settings
    #[arg(long, value_name = "FILE", env = "KDHT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// CPUs to pin the node's threads to, such as 0-3,8 [default: the one it starts on]
    #[arg(long, value_name = "CPUS")]
    pub(crate) cores: Option<String>,
    /// Parts that the node is divided into, 1 to 255, each turned by one thread [default: as
    /// many as CPUs]
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<u8>,
    /// Contacts to keep: kbucket (k for each bucket), or wide:N (all that answer, up to N)
    /// [default: kbucket]
    #[arg(long, value_name = "KIND")]
    pub(crate) table: Option<String>,
    /// What to move datagrams with: uring (io_uring), mmsg (recvmmsg and sendmmsg), or auto:
    /// uring where the host allows it [default: auto]
    #[arg(long, value_name = "DATAPATH")]
    pub(crate) datapath: Option<String>,
    /// How to wait for datagrams: busy takes a whole core, adaptive looks for 20 µs before
    /// it sleeps, sleep sleeps at once [default: adaptive]
    #[arg(long, value_name = "POLICY")]
    pub(crate) poll: Option<String>,
    /// Who answers first and keeps the contacts: user (the node itself), kernel (kdht.ko,
    /// which needs CAP_NET_ADMIN), or auto: kernel where it can be had [default: user]
    #[arg(long, value_name = "ROUTING")]
    pub(crate) routing: Option<String>,
    /// Serve requests in JSON, too, for people: never needed by other nodes
    #[arg(long)]
    pub(crate) json_debug: bool,
    /// Record all that goes into the node, for `kdht replay`; the file holds its secrets
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Bytes that the recording has at most [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    pub(crate) record_max: Option<u64>,
    /// Any other setting, such as node.k=8
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the line about the node as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Read commands from standard input, as `kdht shell` does, and stop at their end
    #[arg(long)]
    pub(crate) shell: bool,
}

/// How to reach a network.
#[derive(Args)]
pub(crate) struct Reach {
    /// Keys of a private network
    #[arg(long, value_name = "FILE", env = "KDHT_NETWORK_KEY")]
    pub(crate) network_key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to reach a network through one of its nodes.
#[derive(Args)]
pub(crate) struct ReachVia {
    /// Node to enter the network through; more than one may be given
    #[arg(long, value_name = "ADDR", required = true, num_args = 1.., value_parser = addr)]
    pub(crate) via: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// What is to be stored.
#[derive(Args)]
pub(crate) struct ValueArgs {
    /// Read the value from this file; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Store under the hash of the value, unsigned; KEY is left out
    #[arg(long, conflicts_with_all = ["plain", "cas", "sequence"])]
    pub(crate) immutable: bool,
    /// Store without proof, where the network accepts that
    #[arg(long, conflicts_with_all = ["cas", "sequence"])]
    pub(crate) plain: bool,
    /// Seconds to live
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) lifetime: u32,
    /// Sequence of a signed value [default: microseconds since 1970]
    #[arg(long, value_name = "N")]
    pub(crate) sequence: Option<u64>,
    /// Store only where the signed value held has this sequence
    #[arg(long, value_name = "N")]
    pub(crate) cas: Option<u64>,
    /// Key that signs, made if missing [default: kdht/publisher.key in the user's
    /// configuration directory]
    #[arg(long, value_name = "FILE", env = "KDHT_PUBLISHER_KEY")]
    pub(crate) publisher_key: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct PutArgs {
    /// KEY VALUE, or KEY with --file, or VALUE with --immutable. A key is a name, or 40
    /// hexadecimal digits
    #[arg(value_name = "KEY VALUE", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// Send one datagram and let the node do the lookup
    #[arg(long)]
    pub(crate) recurse: bool,
    /// Stay, and store it again before its lifetime ends, until SIGINT or SIGTERM
    #[arg(long, conflicts_with_all = ["recurse", "cas", "sequence"])]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) via: ReachVia,
}

/// Which values are wanted.
#[derive(Args)]
pub(crate) struct WantedArgs {
    /// Only the signed value of this public key, 64 hexadecimal digits
    #[arg(long, value_name = "KEY", conflicts_with_all = ["immutable", "plain_of"])]
    pub(crate) publisher: Option<String>,
    /// Only immutable values
    #[arg(long, conflicts_with = "plain_of")]
    pub(crate) immutable: bool,
    /// Only the plain value of this publisher's id
    #[arg(long, value_name = "ID")]
    pub(crate) plain_of: Option<String>,
}

#[derive(Args)]
pub(crate) struct GetArgs {
    /// A name, or 40 hexadecimal digits
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    /// All values that the closest holders have, a line each
    #[arg(long)]
    pub(crate) all: bool,
    /// Send one datagram and let the node do the lookup
    #[arg(long)]
    pub(crate) recurse: bool,
    #[command(flatten)]
    pub(crate) via: ReachVia,
}

#[derive(Args)]
pub(crate) struct PingArgs {
    /// Whom to ask
    #[arg(value_parser = addr)]
    pub(crate) addr: SocketAddr,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Args)]
pub(crate) struct FindNodeArgs {
    /// Whom to ask
    #[arg(value_parser = addr)]
    pub(crate) addr: SocketAddr,
    /// Target: 40 hexadecimal digits, or a name
    pub(crate) target: String,
    /// Let the node do the whole lookup
    #[arg(long)]
    pub(crate) recurse: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Args)]
pub(crate) struct FindValueArgs {
    /// Whom to ask
    #[arg(value_parser = addr)]
    pub(crate) addr: SocketAddr,
    /// A name, or 40 hexadecimal digits
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    /// First position wanted
    #[arg(long, default_value_t = 0)]
    pub(crate) cursor: u16,
    /// Let the node do the whole lookup
    #[arg(long)]
    pub(crate) recurse: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Args)]
pub(crate) struct StoreArgs {
    /// Whom to ask
    #[arg(value_parser = addr)]
    pub(crate) addr: SocketAddr,
    /// KEY VALUE, or KEY with --file, or VALUE with --immutable
    #[arg(value_name = "KEY VALUE", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// Let the node do the whole lookup
    #[arg(long)]
    pub(crate) recurse: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Args)]
pub(crate) struct LookupNodeArgs {
    /// Target: 40 hexadecimal digits, or a name
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) via: ReachVia,
}

#[derive(Args)]
pub(crate) struct LookupValueArgs {
    /// A name, or 40 hexadecimal digits
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) wanted: WantedArgs,
    #[command(flatten)]
    pub(crate) via: ReachVia,
}

#[derive(Args)]
pub(crate) struct SwarmArgs {
    /// Nodes
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub(crate) nodes: u16,
    /// Values
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) values: u32,
    /// Share of the nodes, 0 to 0.9, whose sockets are closed after the puts
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) kill: f64,
    /// Restart every node, one after another, between the puts and the gets
    #[arg(long)]
    pub(crate) roll: bool,
    /// Go on running when done, until SIGINT or SIGTERM
    #[arg(long)]
    pub(crate) keep: bool,
    /// What the nodes move datagrams with: auto, uring or mmsg
    #[arg(long, value_name = "DATAPATH", default_value = "auto", env = "KDHT_DATAPATH")]
    pub(crate) datapath: String,
    /// Record each node into a file of this directory, which is made
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Seed of ids, values and choices [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct SimArgs {
    /// TOML file of the scenario
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: PathBuf,
    /// Seed of everything [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Run so many seeds, from that of --seed on, each in one thread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
          conflicts_with_all = ["trace", "report"])]
    pub(crate) seeds: Option<u64>,
    /// Seeds that run at a time, 1 to 1024 [default: as many as there are CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024),
          requires = "seeds")]
    pub(crate) jobs: Option<u16>,
    /// Set any key of the scenario, such as nodes=10000 or latency.mean_ms=20
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print one JSON object (a line for each seed with --seeds)
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the figures and a row for each lookup to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Tell the story of the first lookup on stderr
    #[arg(long)]
    pub(crate) trace: bool,
}

/// How to reach the operator's side of a running node.
#[derive(Args)]
pub(crate) struct Control {
    /// `control.sock` in the state directory of a running node
    #[arg(long = "control", value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct StatArgs {
    #[command(flatten)]
    pub(crate) control: Control,
    /// Print OpenMetrics text
    #[arg(long, conflicts_with = "json")]
    pub(crate) openmetrics: bool,
}

#[derive(Args)]
pub(crate) struct TableArgs {
    #[command(flatten)]
    pub(crate) control: Control,
}

#[derive(Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) control: Control,
    /// Seconds after which the node stops even if values are left
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(..=i64::from(DRAIN_S_MAX)))]
    pub(crate) timeout: u32,
}

#[derive(Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) control: Control,
}

#[derive(Args)]
pub(crate) struct RoutingArgs {
    /// user (the node itself) or kernel (kdht.ko)
    #[arg(value_parser = routing)]
    pub(crate) to: Routing,
    #[command(flatten)]
    pub(crate) control: Control,
}

fn routing(text: &str) -> Result<Routing, &'static str> {
    text.parse().map_err(|_| "user or kernel")
}

#[derive(Args)]
pub(crate) struct LogArgs {
    /// off, error, warn, info, debug or trace, or levels by module: info,kdht=debug
    pub(crate) filter: String,
    #[command(flatten)]
    pub(crate) control: Control,
}

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting: its value, range, default, who set it, and why one would change
    /// it. Takes what `kdht run` takes
    Show(ConfigShowArgs),
}

#[derive(Args)]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub(crate) settings: RunArgs,
}

#[derive(Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) via: ReachVia,
    /// Let `stat` and `table` tell of the node whose `control.sock` this is
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
}

/// What is generated.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Generated {
    /// For bash, fish and zsh.
    Completions,
    /// One manual page a command.
    Man,
}

#[derive(Args)]
pub(crate) struct GenerateArgs {
    /// What to make
    pub(crate) what: Generated,
    /// Where to put it; made if missing
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// What `run --record` or `swarm --record` wrote
    pub(crate) file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DecodeArgs {
    /// The bytes; standard input if left out
    pub(crate) hex: Option<String>,
    /// One line instead of indented
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct EncodeArgs {
    /// The JSON; standard input if left out
    pub(crate) json_text: Option<String>,
    /// Sign with the first key of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) network_key: Option<PathBuf>,
}
