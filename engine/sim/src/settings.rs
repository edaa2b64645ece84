//! How a scenario's keys reach the core's [`Config`]: one table, a line for each key.

use kdht_core::{Config, Families, Limits, ThrottleConfig};
use kdht_wire::{KeyRing, NetworkKey};
use toml::Value;

use crate::scenario::{Scenario, ScenarioError, within};

/// One key of `[node]`: its name, its range, and the field of the core that it sets. What is
/// set passed the range, so that nothing is cut off.
type Setting = (&'static str, u64, u64, fn(&mut Config, u64));

/// Every key of `[node]`.
const SETTINGS: &[Setting] = &[
    ("client", 0, 1, |c, v| c.client = v == 1),
    ("bucket_group_max", 1, 65_535, |c, v| c.bucket_group_max = u16_of(v)),
    ("table_group_max", 1, 65_535, |c, v| c.table_group_max = u16_of(v)),
    ("caps_private", 0, 1, |c, v| c.caps_private = v == 1),
    ("refresh_s", 0, 86_400, |c, v| c.refresh_s = u32_of(v)),
    ("paths", 1, 8, |c, v| c.paths = u8_of(v)),
    ("frequent_max", 0, 255, |c, v| c.frequent_max = u8_of(v)),
    ("frequent_s", 0, 86_400, |c, v| c.frequent_s = u32_of(v)),
    ("handovers_max", 0, 255, |c, v| c.handovers_max = u8_of(v)),
    ("republish_s", 0, 86_400, |c, v| c.republish_s = u32_of(v)),
    ("republishes_max", 1, 255, |c, v| c.republishes_max = u8_of(v)),
    ("contacts_max", 1, 65_535, |c, v| c.contacts_max = u16_of(v)),
    ("pending_max", 1, 65_535, |c, v| c.pending_max = u16_of(v)),
    ("operations_max", 1, 65_535, |c, v| c.operations_max = u16_of(v)),
    ("recursions_max", 0, 65_535, |c, v| c.recursions_max = u16_of(v)),
    ("signatures_per_s", 0, 1_000_000, |c, v| c.signatures_per_s = u32_of(v)),
    ("forward", 0, 1, |c, v| c.forward = v == 1),
    ("accept_plain", 0, 1, |c, v| c.accept_plain = v == 1),
    ("throttle_slots", 0, 1 << 20, |c, v| c.throttle.slots = u32_of(v)),
    ("throttle_rate_per_s", 1, 1_000_000, |c, v| c.throttle.rate_per_s = u32_of(v)),
    ("throttle_burst", 1, 10_000_000, |c, v| c.throttle.burst = u32_of(v)),
    ("store_bytes_max", 0, 1 << 40, |c, v| c.store.bytes_max = v),
    ("store_values_max", 0, 1 << 31, |c, v| c.store.values_max = u32_of(v)),
    ("store_key_values_max", 0, 65_535, |c, v| c.store.key_values_max = u16_of(v)),
    ("store_key_bytes_max", 0, 1 << 40, |c, v| c.store.key_bytes_max = v),
    ("store_source_bytes_max", 0, 1 << 40, |c, v| c.store.source_bytes_max = v),
    ("store_value_len_max", 0, 1_000, |c, v| c.store.value_len_max = u32_of(v)),
    ("store_lifetime_s_max", 1, 86_400, |c, v| c.store.lifetime_s_max = u32_of(v)),
    ("slow_ms_min", 1, 60_000, |c, v| c.timeouts.slow_ms_min = u32_of(v)),
    ("slow_ms_max", 1, 60_000, |c, v| c.timeouts.slow_ms_max = u32_of(v)),
    ("slow_ms_initial", 1, 60_000, |c, v| c.timeouts.slow_ms_initial = u32_of(v)),
    ("fail_factor", 1, 100, |c, v| c.timeouts.fail_factor = u32_of(v)),
    ("fail_ms_min", 1, 60_000, |c, v| c.timeouts.fail_ms_min = u32_of(v)),
    ("fail_ms_max", 1, 60_000, |c, v| c.timeouts.fail_ms_max = u32_of(v)),
];

/// The core's settings of one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
}

impl Settings {
    pub(crate) fn of(scenario: &Scenario) -> Result<Self, ScenarioError> {
        let mut config = Config {
            k: scenario.k,
            alpha: scenario.alpha,
            b: scenario.b,
            families: Families { v4: true, v6: false },
            // Small where a network of many nodes is quiet, enough for each to be busy.
            pending_max: 256,
            operations_max: 64,
            recursions_max: 8,
            throttle: ThrottleConfig { slots: 64, ..ThrottleConfig::default() },
            store: Limits { bytes_max: 4 << 20, source_bytes_max: 512 << 10, ..Limits::default() },
            ..Config::default()
        };
        if let Some(racks) = &scenario.zones {
            config.zones = crate::address::zones(racks);
        }
        if scenario.keyed {
            config.keys = KeyRing::new(NetworkKey { id: 1, secret: [0x5a; 16] }, None);
        }
        for (name, value) in &scenario.node {
            let key = format!("node.{name}");
            let Some((_, min, max, apply)) = SETTINGS.iter().find(|(known, ..)| known == name)
            else {
                let names: Vec<&str> = SETTINGS.iter().map(|(known, ..)| *known).collect();
                let names = names.join(", ");
                return Err(ScenarioError(format!("{key} is not known; there are {names}")));
            };
            let number = match value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::Boolean(flag) => Some(u64::from(*flag)),
                _ => None,
            };
            let number = number.ok_or_else(|| {
                ScenarioError(format!("{key} must be a number of {min} to {max}, not {value}"))
            })?;
            within(&key, number, *min, *max)?;
            apply(&mut config, number);
        }
        Ok(Self { config })
    }
}

fn u32_of(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn u16_of(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn u8_of(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
