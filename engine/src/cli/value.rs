//! put and get.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kdht_client::{
    Client, ClientError, Filter, Id, Options, PublisherKey, Request, Value, ValuePublisher,
    immutable_value, plain_value, signed_value,
};
use kdht_wire::{Body, Flags, Message, Record, VALUE_LEN_MAX, key_of_value};
use serde_json::json;

use super::Failure;
use super::args::{GetArgs, PutArgs, ReachVia, ValueArgs};
use super::asker::Asker;
use super::keep::keep;
use super::run::stop_signals;
use super::show;

/// First line of a publisher key file.
const PUBLISHER_HEAD: &str = "kdht-publisher-key 1";
/// Most values that `get --all` asks for.
const VALUES_MAX: u16 = 1_024;
/// From how many holders `get --all` collects them: all that a network keeps at most.
const HOLDERS_MAX: u8 = 20;

pub(crate) fn put(args: &PutArgs) -> Result<(), Failure> {
    let mut options = show::options(&args.via.reach)?;
    let (key, value) = value_of(&args.words, &args.value, &mut options)?;
    let mut asker = connect(&args.via, &options)?;
    let entry = args.recurse.then(|| entry_of(&args.via)).transpose()?;
    let json = args.via.reach.json;
    if !args.keep {
        return put_by(&mut asker, key, value, args.value.cas, entry, json);
    }
    let stop = stop_signals()?;
    put_by(&mut asker, key, value.clone(), None, None, json)?;
    keep(args, &options, key, &value, &stop)
}

/// The same value to be put once more; a signed one with a sequence of this moment.
pub(crate) fn renewed(key: &Id, value: &Value, args: &ValueArgs) -> Result<Value, Failure> {
    if !matches!(value.publisher, ValuePublisher::Signed(_)) {
        return Ok(value.clone());
    }
    let publisher = publisher_key(args.publisher_key.as_deref())?;
    Ok(signed_value(&publisher, key, micros_since_1970(), args.lifetime, &value.bytes))
}

/// Puts a value and shows what came of it. With an `entry`, that node does the lookup.
pub(crate) fn put_by(
    asker: &mut Asker,
    key: Id,
    value: Value,
    cas: Option<u64>,
    entry: Option<SocketAddr>,
    json: bool,
) -> Result<(), Failure> {
    let publisher = show::publisher(&value);
    let (asked, acknowledged, elapsed_us) = if let Some(entry) = entry {
        let request = Request::Store { key, value, cas };
        let (bytes, elapsed) = asker.ask(entry, &request, true).map_err(Failure::failed)?;
        let acknowledged = match Message::parse(&bytes).map(|message| message.body) {
            Ok(Body::StoreReply(reply)) => reply.total.get(),
            Ok(Body::Fault(fault, _)) => {
                return Err(Failure::Failed(format!("not stored: `{}`", fault.name())));
            }
            _ => return Err(Failure::failed("the node answered something else")),
        };
        (None, acknowledged, elapsed.as_micros())
    } else {
        let (stored, report) = asker.put(key, value, cas).map_err(Failure::failed)?;
        (Some(stored.asked), stored.acknowledged, u128::from(report.elapsed_ns / 1_000))
    };
    if json {
        let object = json!({
            "key": key.to_string(), "publisher": publisher, "asked": asked,
            "acknowledged": acknowledged, "elapsed_us": elapsed_us,
        });
        show::line(&object.to_string());
    } else {
        let of = asked.map_or_else(String::new, |asked| format!(" of {asked}"));
        show::line(&key.to_string());
        show::talk(&format!("stored at {acknowledged}{of} nodes, {publisher}"));
    }
    Ok(())
}

pub(crate) fn get(args: &GetArgs) -> Result<(), Failure> {
    let filter = show::filter(&args.wanted)?;
    let mut asker = connect(&args.via, &show::options(&args.via.reach)?)?;
    let entry = args.recurse.then(|| entry_of(&args.via)).transpose()?;
    let form = match args.via.reach.json {
        true => Form::Json,
        false if std::io::stdout().is_terminal() => Form::Lines,
        false => Form::Raw,
    };
    get_by(&mut asker, &args.key, filter, args.all, entry, form)
}

/// How found values are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// As one JSON object.
    Json,
    /// As they are, each ended by a line's end.
    Lines,
    /// As they are.
    Raw,
}

/// Gets values under the key that `word` names, and shows the first or all of them. With
/// an `entry`, that node does the lookup.
pub(crate) fn get_by(
    asker: &mut Asker,
    word: &str,
    filter: Filter,
    all: bool,
    entry: Option<SocketAddr>,
    form: Form,
) -> Result<(), Failure> {
    let key = show::key(word);
    let (values, talk) = if let Some(entry) = entry {
        let request = Request::FindValue { key, filter, cursor: 0 };
        let (bytes, elapsed) = asker.ask(entry, &request, true).map_err(Failure::failed)?;
        let values = recursed_values(&key, &filter, &bytes)?;
        (values, format!("by recursion, {} ms", elapsed.as_millis()))
    } else {
        let (values_max, holders) = if all { (VALUES_MAX, HOLDERS_MAX) } else { (1, 1) };
        match asker.get(key, filter, values_max, holders) {
            Ok((values, report)) => (values, show::talk_of(&report)),
            Err(error @ ClientError::NotFound(_)) => {
                return Err(Failure::Failed(format!("{word}: {error}")));
            }
            Err(error) => return Err(Failure::failed(error)),
        }
    };
    if form == Form::Json {
        let values: Vec<_> = values.iter().map(show::value_json).collect();
        show::line(&json!({ "key": key.to_string(), "values": values }).to_string());
    } else if all {
        for value in &values {
            show::line(&show::one_line(&value.bytes));
            show::talk(&format!("  {}, {} s left", show::publisher(value), value.remaining_s));
        }
    } else if let Some(value) = values.first() {
        show::value(&value.bytes, form == Form::Lines);
        show::talk(&format!("{}, {} s left; {talk}", show::publisher(value), value.remaining_s));
    }
    Ok(())
}

/// The values in the reply to a recursive FIND_VALUE, each verified and held against the
/// filter here: whoever did the lookup need not be trusted.
fn recursed_values(key: &Id, filter: &Filter, bytes: &[u8]) -> Result<Vec<Value>, Failure> {
    let message = Message::parse_stream(bytes);
    if message.is_ok_and(|message| message.head.flags().has(Flags::MORE)) {
        show::talk("there are more values than one answer holds; without --recurse all come");
    }
    match message.map(|message| message.body) {
        Ok(Body::Values { records, .. }) => {
            let believed = |record: &Record<'_>| {
                filter.passes(record) && kdht_store::verify(key, record).is_ok()
            };
            let values: Vec<Value> =
                records.iter().filter(believed).map(|record| Value::of(&record)).collect();
            if values.is_empty() {
                return Err(Failure::failed(
                    "no value in the answer proves itself and is one of those asked for",
                ));
            }
            Ok(values)
        }
        Ok(Body::Fault(fault, _)) => {
            Err(Failure::Failed(format!("the node refused: `{}`", fault.name())))
        }
        Ok(_) => Err(Failure::Failed(format!("{key}: not found"))),
        Err(_) => Err(Failure::failed("the node answered something else")),
    }
}

pub(crate) fn connect(via: &ReachVia, options: &Options) -> Result<Asker, Failure> {
    let client = Client::connect(&via.via, options).map_err(|error| match error {
        ClientError::MixedFamilies(..) => Failure::misuse(error),
        _ => Failure::failed(error),
    })?;
    Ok(Asker::Client(client.into()))
}

fn entry_of(via: &ReachVia) -> Result<SocketAddr, Failure> {
    via.via.first().copied().ok_or_else(|| Failure::misuse("no node given with --via"))
}

/// The value that the words of a command line and its options make, and its key.
pub(crate) fn value_of(
    words: &[String],
    args: &ValueArgs,
    options: &mut Options,
) -> Result<(Id, Value), Failure> {
    let wants_key = !args.immutable;
    let wants_value = args.file.is_none();
    let wanted = usize::from(wants_key) + usize::from(wants_value);
    if words.len() != wanted {
        let names = [(wants_key, "KEY"), (wants_value, "VALUE")];
        let names: Vec<_> = names.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let (names, count) = (names.join(" and "), words.len());
        return Err(Failure::Misuse(format!("wants {names} here, not {count} words")));
    }
    let bytes = match &args.file {
        Some(path) => read_value(path)?,
        None => words[words.len() - 1].clone().into_bytes(),
    };
    if bytes.len() > VALUE_LEN_MAX {
        return Err(Failure::Misuse(format!(
            "the value is longer than {VALUE_LEN_MAX} bytes (1 MiB), which is the most"
        )));
    }
    if args.immutable {
        let (_, value) = immutable_value(args.lifetime, &bytes);
        return Ok((key_of_value(&bytes), value));
    }
    let key = show::key(&words[0]);
    let publisher = publisher_key(args.publisher_key.as_deref())?;
    if args.plain {
        // The slot is the publisher's id: to replace its value, it must be the same again.
        let publisher = key_of_value(&publisher.public_key());
        options.id = Some(publisher);
        return Ok((key, plain_value(publisher, args.lifetime, &bytes)));
    }
    let sequence = args.sequence.unwrap_or_else(micros_since_1970);
    Ok((key, signed_value(&publisher, &key, sequence, args.lifetime, &bytes)))
}

fn read_value(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than fits tells that it does not.
    let limit = VALUE_LEN_MAX as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Misuse(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

fn micros_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX - 1)
}

/// Reads the key that signs, or makes one for its owner's eyes alone.
fn publisher_key(path: Option<&Path>) -> Result<PublisherKey, Failure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => default_publisher_path()?,
    };
    let fail = |why: String| Failure::Misuse(format!("publisher key {}: {why}", path.display()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return make_publisher_key(&path).map_err(|error| fail(error.to_string()));
        }
        Err(error) => return Err(fail(error.to_string())),
    };
    let digits = text.strip_prefix(PUBLISHER_HEAD).map(str::trim).unwrap_or_default();
    let seed = show::unhex(digits).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let wanted = format!("wants a line `{PUBLISHER_HEAD}` and one of 64 hexadecimal digits");
    Ok(PublisherKey::from_seed(&seed.ok_or_else(|| fail(wanted))?))
}

fn make_publisher_key(path: &Path) -> std::io::Result<PublisherKey> {
    let seed: [u8; 32] = kdht::entropy().map_err(std::io::Error::other)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{PUBLISHER_HEAD}\n{}", show::hex(&seed))?;
    file.sync_all()?;
    show::talk(&format!("made a publisher key in {}", path.display()));
    Ok(PublisherKey::from_seed(&seed))
}

fn default_publisher_path() -> Result<PathBuf, Failure> {
    config_dir().map(|folder| folder.join("publisher.key")).ok_or_else(|| {
        Failure::misuse("neither HOME nor XDG_CONFIG_HOME is set: name a key with --publisher-key")
    })
}

/// Where what belongs to the user is kept.
pub(crate) fn config_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("kdht"))
}
