//! The file that the members of a private network share.

use std::error::Error;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kdht_wire::{KeyRing, NetworkKey};

/// Why a network key file cannot be used.
#[derive(Debug)]
pub struct NetworkKeyError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Read(std::io::Error),
    Line { number: usize, why: &'static str },
    Count(usize),
    SameId(u8),
}

/// Reads one or two keys, a line each: its number (1 to 255), a space, and 32 hexadecimal
/// digits. The first signs, both verify. Empty lines and those that begin with `#` do not
/// count.
///
/// # Errors
/// [`NetworkKeyError`] names the file, the line and what was wrong with it.
pub fn load(path: &Path) -> Result<KeyRing, NetworkKeyError> {
    let fail = |reason| NetworkKeyError { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| fail(Reason::Read(error)))?;
    if path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "others than its owner may read the network key");
    }
    parse(&text).map_err(fail)
}

fn parse(text: &str) -> Result<KeyRing, Reason> {
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let key = parse_line(line);
            keys.push(key.map_err(|why| Reason::Line { number: at + 1, why })?);
        }
    }
    match keys[..] {
        [key] => Ok(KeyRing::new(key, None)),
        [first, second] if first.id == second.id => Err(Reason::SameId(first.id)),
        [first, second] => Ok(KeyRing::new(first, Some(second))),
        _ => Err(Reason::Count(keys.len())),
    }
}

fn parse_line(line: &str) -> Result<NetworkKey, &'static str> {
    let (id, secret) =
        line.split_once(char::is_whitespace).ok_or("wants a number, a space and a key")?;
    let id = id.parse().ok().filter(|id| *id != 0).ok_or("its number is not 1 to 255")?;
    let digits = secret.trim().as_bytes();
    let mut secret = [0; 16];
    if digits.len() != 2 * secret.len() {
        return Err("its key is not 32 hexadecimal digits");
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err("its key is not 32 hexadecimal digits");
        };
        *byte = u8::try_from(high << 4 | low).unwrap_or(0);
    }
    Ok(NetworkKey { id, secret })
}

impl fmt::Display for NetworkKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network key file {}: ", self.path.display())?;
        match &self.reason {
            Reason::Read(error) => error.fmt(f),
            Reason::Line { number, why } => write!(f, "line {number}: {why}"),
            Reason::Count(count) => write!(f, "holds {count} keys, must be one or two"),
            Reason::SameId(id) => write!(f, "both keys have number {id}"),
        }
    }
}

impl Error for NetworkKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_keys_are_read_and_the_first_signs() {
        let one = parse("# ours\n7 000102030405060708090a0b0c0d0e0f\n").unwrap();
        assert_eq!(one.signing().unwrap().id, 7);
        assert_eq!(one.signing().unwrap().secret[15], 15);
        let two = parse(&format!("8 {0}\n\n7\t{0}", "ab".repeat(16))).unwrap();
        assert_eq!(two.signing().unwrap().id, 8);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, part) in [
            ("", "0 keys"),
            ("0 00", "line 1: its number"),
            ("\n300 00", "line 2: its number"),
            ("1 abcd", "32 hexadecimal digits"),
            ("1", "a number, a space"),
            ("1 zz0102030405060708090a0b0c0d0e0f", "32 hexadecimal digits"),
        ] {
            let error = parse(text).map_err(|reason| NetworkKeyError { path: "k".into(), reason });
            let text = error.unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
        let key = "ab".repeat(16);
        assert!(matches!(parse(&format!("1 {key}\n1 {key}")), Err(Reason::SameId(1))));
        let three = format!("1 {key}\n2 {key}\n3 {key}");
        assert!(matches!(parse(&three), Err(Reason::Count(3))));
    }
}
