//! The module's C and the Rust crates say the same of the same bytes.

#![allow(clippy::unwrap_used)]

mod parse;

use std::path::Path;
use std::sync::OnceLock;

use kdht_kmod_test::Harness;

/// The harness, compiled once for all tests.
fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| {
        Harness::build(Path::new(env!("CARGO_TARGET_TMPDIR")), "harness")
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Hands `records` to the C, and fails where a line is not the one of `expected`.
fn compare<R: AsRef<[u8]>>(operation: &str, records: &[R], expected: &[String]) {
    let lines = harness().ask(operation, records).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines.len(), records.len());
    for (at, (line, expected)) in lines.iter().zip(expected).enumerate() {
        assert_eq!(line, expected, "record {at}: {:02x?}", records[at].as_ref());
    }
}
