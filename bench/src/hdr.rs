//! Latencies as a histogram, and the text form that HdrHistogram's plotter reads.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Longest latency told apart, in nanoseconds: a minute.
const NS_MAX: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds, exact to three digits.
///
/// # Panics
/// Never: the bounds are constants that it takes.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, NS_MAX, 3) {
        Ok(empty) => empty,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}

/// Records one latency; what is longer than a minute counts as a minute.
pub fn record(latency: &mut Histogram<u64>, ns: u64) {
    latency.saturating_record(ns.min(NS_MAX));
}

/// A quantile in microseconds, or nothing of nothing.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a minute of nanoseconds fits")]
pub fn quantile_us(latency: &Histogram<u64>, part: f64) -> Option<f64> {
    (!latency.is_empty()).then(|| latency.value_at_quantile(part) as f64 / 1_000.0)
}

/// The distribution by percentile, values in microseconds: what HdrHistogram calls `.hgrm`.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a minute of nanoseconds fits")]
pub fn text(latency: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in latency.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let part = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64 / 1_000.0;
        let inverse =
            if part < 1.0 { format!("{:14.2}", 1.0 / (1.0 - part)) } else { "inf".into() };
        let _ = writeln!(out, "{value:12.3} {part:14.12} {total:10} {inverse}");
    }
    let (mean, deviation) = (latency.mean() / 1_000.0, latency.stdev() / 1_000.0);
    let max = if latency.is_empty() { 0 } else { latency.max() } as f64 / 1_000.0;
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", latency.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_ends_at_the_largest_value_and_counts_all() {
        let mut latency = histogram();
        (1..=1_000).for_each(|us| record(&mut latency, us * 1_000));
        let text = text(&latency);
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!((words[1], words[2], words[3]), ("1.000000000000", "1000", "inf"));
        assert!((words[0].parse::<f64>().unwrap() - 1_000.0).abs() < 1.0);
        let p50 = quantile_us(&latency, 0.5).unwrap();
        assert!((p50 - 500.0).abs() < 1.0, "{p50}");
        assert_eq!(quantile_us(&histogram(), 0.5), None);
    }
}
