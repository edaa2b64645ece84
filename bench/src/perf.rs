//! Hardware counters of one process, where the machine has them.

use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value as Json, json};

/// What is counted.
const EVENTS: &str = "instructions,cycles,branch-misses,cache-misses,context-switches";

/// Begins to count what a process does; read by [`finish`] once it was loaded.
///
/// # Errors
/// There is no `perf`, or it does not start.
pub fn begin(pid: u32, seconds: f64) -> Result<Child, String> {
    let seconds = seconds.to_string();
    Command::new("perf")
        .args(["stat", "-x", ",", "-e", EVENTS, "-p", &pid.to_string(), "--", "sleep", &seconds])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("perf: {error}"))
}

/// What was counted, by event; an event that the machine has not says so.
#[must_use]
pub fn finish(counting: Child) -> Json {
    match counting.wait_with_output() {
        Ok(output) => parse(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn parse(text: &str) -> Json {
    let mut found = Map::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(',').collect();
        let [count, _, event, ..] = words[..] else { continue };
        let value = match count.parse::<u64>() {
            Ok(count) => count.into(),
            Err(_) => count.trim_matches(['<', '>']).into(),
        };
        found.insert(event.to_owned(), value);
    }
    if found.is_empty() {
        return json!({ "error": text.trim() });
    }
    Json::Object(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_what_the_machine_has_not_are_both_told() {
        let text = "1234,,instructions,100,100.00,,\n<not supported>,,cycles,0,100.00,,\n";
        assert_eq!(parse(text), json!({ "instructions": 1234, "cycles": "not supported" }));
        assert_eq!(parse("No permission\n"), json!({ "error": "No permission" }));
    }
}
