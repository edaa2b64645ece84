//! What the tests share.

pub(crate) mod catalogue;
pub(crate) mod reference;
pub(crate) mod structs;
pub(crate) mod vectors;

use std::path::{Path, PathBuf};

use proptest::prelude::ProptestConfig;

/// A file of this repository, by its path from the top.
pub(crate) fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// FORMAT.md's text.
pub(crate) fn format_text() -> String {
    std::fs::read_to_string(repository_file("wire/FORMAT.md")).unwrap()
}

/// Fails if `path` does not hold `expected`, or writes it there with `BLESS=1`.
pub(crate) fn compare_or_bless(path: &str, expected: &str) {
    let file = repository_file(path);
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let lines = found.lines().chain(std::iter::repeat("")).zip(expected.lines());
    if let Some((at, (found, expected))) = lines.enumerate().find(|(_, (f, e))| f != e) {
        panic!(
            "{path}:{}: differs from what the types say (BLESS=1 rewrites it)\n\
             found:    {found}\nexpected: {expected}",
            at + 1
        );
    }
    assert_eq!(found.len(), expected.len(), "{path}: something follows the expected text");
}

/// As many cases as asked; a failing case is printed whole, with its seed.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// An error's name without its fields.
pub(crate) fn variant(error: impl std::fmt::Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// SplitMix64: small, and the same on every host.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
