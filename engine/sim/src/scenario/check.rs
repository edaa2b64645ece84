//! What each key of a scenario may be.

use std::fmt;

use super::{
    DURATION_S_MAX, Latency, NODES_MAX, PLANS_MAX, Proof, Scenario, ScenarioError, WORK_MAX,
};
use crate::address::HOSTS_MAX;
use crate::settings::Settings;

impl Scenario {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let Latency { min_ms, mean_ms, .. } = self.latency;
        within("nodes", self.nodes, 2, NODES_MAX)?;
        within("k", self.k, 1, 20)?;
        within("alpha", self.alpha, 1, 20)?;
        within("b", self.b, 1, 5)?;
        within("nodes_per_subnet", self.nodes_per_subnet, 1, HOSTS_MAX)?;
        within("duration_s", self.duration_s, 1, DURATION_S_MAX)?;
        within("latency.min_ms", min_ms, 0.01, 10_000.0)?;
        within("latency.mean_ms", mean_ms, min_ms, 10_000.0)?;
        within("join.through", self.join.through, 1, 16)?;
        within("join.at_once", self.join.at_once, 1, 64)?;
        within("join.rest_s", self.join.rest_s, 0, DURATION_S_MAX)?;
        within("lookups.count", self.lookups.count, 0, WORK_MAX)?;
        within("lookups.near_bits", self.lookups.near_bits, 1, 159)?;
        within("lookups.zipf_targets", self.lookups.zipf_targets, 1, 65_536)?;
        within("values.count", self.values.count, 0, WORK_MAX)?;
        within("values.size", self.values.size, 8, 1_000)?;
        within("values.lifetime_s", self.values.lifetime_s, 1, 86_400)?;
        within("values.gets", self.values.gets, 0, 64)?;
        within("values.updates", self.values.updates, 0, 1_000)?;
        if self.values.updates > 0 && self.values.proof != Proof::Signed {
            let why = "values.updates must be 0 unless values.proof is \"signed\"";
            return Err(ScenarioError(why.to_owned()));
        }
        within("values.census_s", self.values.census_s, 0, DURATION_S_MAX)?;
        within("values.republish_s", self.values.republish_s, 0, DURATION_S_MAX)?;
        let shares =
            [("loss", self.loss), ("duplication", self.duplication), ("stale", self.stale)];
        for (key, share) in shares.into_iter().chain([("reordering", self.reordering)]) {
            within(key, share, 0.0, 0.95)?;
        }
        within("nat", self.nat, 0.0, 1.0)?;
        let (lookups, values) = (&self.lookups, &self.values);
        let work = [
            ("lookups", "", lookups.count, lookups.from_s, lookups.until_s),
            ("values", "put_", values.count, values.put_from_s, values.put_until_s),
            ("values", "get_", values.count, values.get_from_s, values.get_until_s),
        ];
        for (table, what, count, from_s, until_s) in work {
            let key = |name: &str| format!("{table}.{what}{name}");
            if count > 0 {
                within(&key("from_s"), from_s, 0, self.duration_s - 1)?;
                if until_s > 0 || what == "put_" {
                    within(&key("until_s"), until_s, from_s, self.duration_s)?;
                }
            }
        }
        within("wide", self.wide, 0, 16.min(self.nodes))?;
        let racks = self.zones.map_or(0, |racks| racks.count);
        if let Some(zones) = &self.zones {
            within("zones.count", zones.count, 1, 100)?;
            within("zones.replicas_max", zones.replicas_max, 1, 20)?;
        }
        if let Some(churn) = &self.churn {
            within("churn.mean_s", churn.mean_s, 1.0, 1e9)?;
            within("churn.shape", churn.shape, 0.2, 10.0)?;
            within("churn.pause_s", churn.pause_s, 0.0, 1e9)?;
            within("churn.leave", churn.leave, 0.0, 1.0)?;
            within("churn.from_s", churn.from_s, 0, self.duration_s)?;
            if churn.until_s > 0 {
                within("churn.until_s", churn.until_s, churn.from_s, DURATION_S_MAX)?;
            }
        }
        for (at, one) in self.adversary.iter().enumerate() {
            let key = |name: &str| format!("adversary.{at}.{name}");
            within(&key("count"), one.count, 0, 100_000)?;
            within(&key("share"), one.share, 0.0, 10.0)?;
            within(&key("per_subnet"), one.per_subnet, 1, HOSTS_MAX)?;
            within(&key("rate_per_s"), one.rate_per_s, 0, 100_000)?;
            within(&key("from_s"), one.from_s, 0, self.duration_s)?;
            if one.until_s > 0 {
                within(&key("until_s"), one.until_s, one.from_s, DURATION_S_MAX)?;
            }
            if one.count == 0 && one.share == 0.0 {
                return Err(ScenarioError(format!("{} or share must be given", key("count"))));
            }
        }
        for (at, one) in self.partition.iter().enumerate() {
            within(&format!("partition.{at}.share"), one.share, 0.0, 1.0)?;
            within(&format!("partition.{at}.until_s"), one.until_s, one.from_s, DURATION_S_MAX)?;
        }
        for (at, one) in self.outage.iter().enumerate() {
            within(&format!("outage.{at}.until_s"), one.until_s, one.from_s, DURATION_S_MAX)?;
            let Some(rack) = one.rack else {
                within(&format!("outage.{at}.nodes"), one.nodes, 1, self.nodes)?;
                continue;
            };
            if rack >= racks {
                let why = format!("outage.{at}.rack is {rack}, and zones.count {racks}");
                return Err(ScenarioError(why));
            }
        }
        // One is in force at a time, so that the end of one ends no other.
        apart("partition", self.partition.iter().map(|one| (one.from_s, one.until_s)))?;
        apart("outage", self.outage.iter().map(|one| (one.from_s, one.until_s)))?;
        for (at, one) in self.clock_step.iter().enumerate() {
            within(&format!("clock_step.{at}.share"), one.share, 0.0, 1.0)?;
            within(&format!("clock_step.{at}.by_s"), one.by_s, -86_400, 86_400)?;
            within(&format!("clock_step.{at}.at_s"), one.at_s, 0, self.duration_s)?;
        }
        let plans = [
            ("adversary", self.adversary.len()),
            ("partition", self.partition.len()),
            ("outage", self.outage.len()),
            ("clock_step", self.clock_step.len()),
        ];
        for (key, len) in plans {
            within(&format!("how many {key}"), len, 0, PLANS_MAX)?;
        }
        Settings::of(self)?;
        self.expectations().map(|_| ())
    }
}

pub(crate) fn within<T: PartialOrd + fmt::Display>(
    key: &str,
    value: T,
    min: T,
    max: T,
) -> Result<(), ScenarioError> {
    if value >= min && value <= max {
        return Ok(());
    }
    Err(ScenarioError(format!("{key} must be {min} to {max}, not {value}")))
}

/// Refuses plans that overlap.
fn apart(key: &str, times: impl Iterator<Item = (u64, u64)>) -> Result<(), ScenarioError> {
    let mut times: Vec<(u64, u64)> = times.collect();
    times.sort_unstable();
    if let Some(pair) = times.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        let ((from_s, until_s), (next_s, _)) = (pair[0], pair[1]);
        let why =
            format!("{key}: one from {from_s} to {until_s} s and one from {next_s} s overlap");
        return Err(ScenarioError(why));
    }
    Ok(())
}
