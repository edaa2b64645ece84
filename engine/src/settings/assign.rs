//! What the text of each setting means.

use std::net::SocketAddr;

use kdht_core::{TableKind, ZONE_RANGES_MAX};
use kdht_wire::Endpoint;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::keys::{ACCEPT_PLAIN, names};
use super::zones::contradiction;
use super::{
    DRAIN_S_MAX, FLAGS, KEYS, NamedRange, RECORD_LEN_MIN, Settings, SettingsError, Source,
};

/// Most contacts of a wide table: 1 GiB of them.
pub(crate) const WIDE_MAX: u32 = 16_000_000;

impl Settings {
    /// Sets one setting from text; lists are separated by commas.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and what it must be.
    pub fn set(&mut self, key: &str, text: &str, source: &Source) -> Result<(), SettingsError> {
        self.assign(key, text, source)?;
        self.sources.insert(key.to_owned(), source.clone());
        Ok(())
    }

    fn assign(&mut self, key: &str, text: &str, source: &Source) -> Result<(), SettingsError> {
        let wrong = |wanted: &str| SettingsError::value(key, source, wanted, text);
        match key {
            "listen" | "advertise" | "bootstrap" | "zones" => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                let items = items.filter(|item| !item.is_empty()).collect();
                self.assign_list(key, items, source)?;
            }
            "state" => self.state = Some(text.into()),
            "network_key" => self.network_key = Some(text.into()),
            "cores" => {
                let cores = text.parse();
                self.cores = cores.map_err(|_| wrong("1 to 255 numbers of CPUs, such as 0-3,8"))?;
            }
            "shards" => {
                let shards = text.parse().ok().filter(|shards| *shards > 0);
                self.shards = Some(shards.ok_or_else(|| wrong("1 to 255 shards"))?);
            }
            "table" => {
                let wanted = || format!("kbucket, or wide:N with N from 1 to {WIDE_MAX}");
                self.node.table = table_of(text).ok_or_else(|| wrong(&wanted()))?;
            }
            "steering" => self.is_steered = truth(text).map_err(wrong)?,
            "datapath" => {
                self.datapath = text.parse().map_err(|_| wrong("auto, uring or mmsg"))?;
            }
            "segment" => self.segments = truth(text).map_err(wrong)?,
            "poll" => self.poll = text.parse().map_err(|_| wrong("busy, adaptive or sleep"))?,
            "routing" => {
                self.routing = text.parse().map_err(|_| wrong("user, kernel or auto"))?;
            }
            "json_debug" => self.json_debug = truth(text).map_err(wrong)?,
            "record" => self.record = Some(text.into()),
            "record_max" => {
                let bytes = text.parse().ok().filter(|bytes| *bytes >= RECORD_LEN_MIN);
                let wanted = || format!("{RECORD_LEN_MIN} bytes or more");
                self.record_max = bytes.ok_or_else(|| wrong(&wanted()))?;
            }
            "log" => {
                let levels = "off, error, warn, info, debug, trace, or such as info,kdht=debug";
                log_filter(text).ok_or_else(|| wrong(levels))?;
                text.clone_into(&mut self.log);
            }
            "drain_s" => {
                let seconds = text.parse().ok().filter(|seconds| *seconds <= DRAIN_S_MAX);
                let wanted = || format!("0 to {DRAIN_S_MAX} s");
                self.drain_s = seconds.ok_or_else(|| wrong(&wanted()))?;
            }
            _ => self.assign_to_node(key, text, source)?,
        }
        Ok(())
    }

    /// Sets one of the flags or numbers that the node itself is made with.
    fn assign_to_node(
        &mut self,
        key: &str,
        text: &str,
        source: &Source,
    ) -> Result<(), SettingsError> {
        let wrong = |wanted: &str| SettingsError::value(key, source, wanted, text);
        if let Some(flag) = FLAGS.iter().find(|flag| flag.name == key) {
            (flag.write)(&mut self.node, truth(text).map_err(wrong)?);
            self.plain_was_set |= key == ACCEPT_PLAIN;
            return Ok(());
        }
        let Some(known) = KEYS.iter().find(|known| known.name == key) else {
            return Err(SettingsError::unknown(key, source));
        };
        let value = text.parse().ok().filter(|v| (known.min..=known.max).contains(v));
        let range = || format!("{} to {} {}", known.min, known.max, known.unit);
        (known.write)(&mut self.node, value.ok_or_else(|| wrong(&range()))?);
        Ok(())
    }

    /// Sets one of the settings that are lists.
    pub(super) fn assign_list(
        &mut self,
        key: &str,
        items: Vec<String>,
        source: &Source,
    ) -> Result<(), SettingsError> {
        let wrong = |wanted: &str, found: &str| SettingsError::value(key, source, wanted, found);
        match key {
            "listen" => {
                self.listen = addresses(key, &items, source)?;
                self.listen_was_set = true;
                if self.listen.is_empty() {
                    return Err(wrong("one or two addresses, one of each family at most", ""));
                }
            }
            "advertise" => {
                self.advertise = addresses(key, &items, source)?;
                let unfit = |addr: &&SocketAddr| !Endpoint::from(**addr).is_reachable();
                if let Some(unfit) = self.advertise.iter().find(unfit) {
                    let wanted = "an address and a port that others can send to";
                    return Err(wrong(wanted, &unfit.to_string()));
                }
            }
            "bootstrap" => self.bootstrap = items,
            "zones" => {
                let read = |item: &String| item.parse().map_err(|wanted| wrong(wanted, item));
                let ranges: Vec<NamedRange> = items.iter().map(read).collect::<Result<_, _>>()?;
                if ranges.len() > ZONE_RANGES_MAX {
                    let wanted = format!("{ZONE_RANGES_MAX} ranges at most");
                    return Err(wrong(&wanted, &format!("{} of them", ranges.len())));
                }
                if let Some(range) = contradiction(&ranges) {
                    return Err(wrong("one zone for each range", &range.to_string()));
                }
                self.zones = ranges;
            }
            _ if names().any(|name| name == key) => return Err(wrong("one value", "a list")),
            _ => return Err(SettingsError::unknown(key, source)),
        }
        Ok(())
    }
}

/// True or false; else what is wanted.
fn truth(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "true or false")
}

/// Addresses in a list, at most one of each family.
fn addresses(
    key: &str,
    items: &[String],
    source: &Source,
) -> Result<Vec<SocketAddr>, SettingsError> {
    let wrong = |found: &str, wanted: &str| SettingsError::value(key, source, wanted, found);
    let mut found: Vec<SocketAddr> = Vec::new();
    for item in items {
        found.push(item.parse().map_err(|_| wrong(item, "IP:PORT or [IPv6]:PORT"))?);
    }
    let v4 = found.iter().filter(|addr| addr.is_ipv4()).count();
    if v4 > 1 || found.len() - v4 > 1 {
        return Err(wrong(&items.join(", "), "one or two addresses, one of each family at most"));
    }
    Ok(found)
}

fn table_of(text: &str) -> Option<TableKind> {
    if text == "kbucket" {
        return Some(TableKind::KBucket);
    }
    let contacts = text.strip_prefix("wide:")?.parse().ok()?;
    (1..=WIDE_MAX).contains(&contacts).then_some(TableKind::Wide(contacts))
}

/// What is logged by `text`: a level, or levels by module, with commas between them.
/// Nothing if it is neither; a lone word must be a level, so that a slip of the pen does
/// not silence the log.
#[must_use]
pub fn log_filter(text: &str) -> Option<EnvFilter> {
    let is_level = |word: &str| word.contains('=') || word.parse::<LevelFilter>().is_ok();
    let words_fit = !text.is_empty() && text.split(',').all(|word| is_level(word.trim()));
    if words_fit { EnvFilter::try_new(text).ok() } else { None }
}
