//! JSON as it was read, and the taking of members out of it.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::JsonError;
use crate::endpoint::Endpoint;

/// JSON as it stands, but for what no member may be. Unlike `serde_json::Value` it knows
/// of members that stand twice.
pub(super) enum Tree {
    Number(u64),
    Text(String),
    List(Vec<Tree>),
    Object {
        members: BTreeMap<String, Tree>,
        duplicate: Option<String>,
    },
    /// Null, a truth value, a negative number or a fraction.
    Other,
}

impl Tree {
    pub(super) fn is_text(&self, expected: &str) -> bool {
        matches!(self, Self::Text(text) if text == expected)
    }
}

/// An object's members; each read takes its member out, so that what is left is unknown.
/// A member that is absent reads as zero or empty.
pub(super) struct Object {
    path: String,
    members: BTreeMap<String, Tree>,
}

impl Object {
    pub(super) fn open(path: String, tree: Tree) -> Result<Self, JsonError> {
        let Tree::Object { members, duplicate } = tree else {
            return Err(wrong(path, "an object"));
        };
        let object = Self { path, members };
        match duplicate {
            Some(name) => Err(JsonError::Duplicate { member: object.path_of(&name) }),
            None => Ok(object),
        }
    }

    pub(super) fn close(self) -> Result<(), JsonError> {
        match self.members.keys().next() {
            Some(name) => Err(JsonError::Unknown { member: self.path_of(name) }),
            None => Ok(()),
        }
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn wrong(&self, name: &str, expected: &'static str) -> JsonError {
        wrong(self.path_of(name), expected)
    }

    /// What `read` reads, or nothing where the member is absent.
    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, JsonError>,
        name: &str,
    ) -> Result<Option<T>, JsonError> {
        if self.members.contains_key(name) { read(self).map(Some) } else { Ok(None) }
    }

    /// The one of `known` that the member names; nothing where it is absent or another.
    pub(super) fn name<T: Copy>(
        &mut self,
        name: &str,
        known: &[(T, &str)],
    ) -> Result<Option<T>, JsonError> {
        let Some(tree) = self.members.remove(name) else { return Ok(None) };
        Ok(known.iter().find(|(_, known)| tree.is_text(known)).map(|(one, _)| *one))
    }

    pub(super) fn number<T: TryFrom<u64> + Default>(
        &mut self,
        name: &str,
        expected: &'static str,
    ) -> Result<T, JsonError> {
        match self.members.remove(name) {
            None => Ok(T::default()),
            Some(Tree::Number(number)) => {
                T::try_from(number).map_err(|_| self.wrong(name, expected))
            }
            Some(_) => Err(self.wrong(name, expected)),
        }
    }

    pub(super) fn u8(&mut self, name: &str) -> Result<u8, JsonError> {
        self.number(name, "a number from 0 to 255")
    }

    pub(super) fn u16(&mut self, name: &str) -> Result<u16, JsonError> {
        self.number(name, "a number from 0 to 65535")
    }

    pub(super) fn u32(&mut self, name: &str) -> Result<u32, JsonError> {
        self.number(name, "a number from 0 to 4294967295")
    }

    pub(super) fn word(&mut self, name: &str) -> Result<u64, JsonError> {
        self.fixed(name).map(u64::from_be_bytes)
    }

    pub(super) fn fixed<const N: usize>(&mut self, name: &str) -> Result<[u8; N], JsonError> {
        let Some(tree) = self.members.remove(name) else { return Ok([0; N]) };
        let mut out = [0; N];
        let filled = matches!(&tree, Tree::Text(text) if fill_from_hex(text, &mut out));
        if filled { Ok(out) } else { Err(self.wrong(name, digits_expected(N))) }
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, JsonError> {
        let Some(tree) = self.members.remove(name) else { return Ok(Vec::new()) };
        if let Tree::Text(text) = tree {
            let mut out = alloc::vec![0; text.len() / 2];
            if fill_from_hex(&text, &mut out) {
                return Ok(out);
            }
        }
        Err(self.wrong(name, "hexadecimal digits, two a byte"))
    }

    pub(super) fn endpoint(&mut self, name: &str) -> Result<Endpoint, JsonError> {
        let Some(tree) = self.members.remove(name) else { return Ok(Endpoint::NONE) };
        if let Tree::Text(text) = tree
            // A scope (`%2`) would be lost.
            && !text.contains('%')
            && let Ok(addr) = text.parse::<SocketAddr>()
        {
            return Ok(addr.into());
        }
        Err(self.wrong(name, "an endpoint, 192.0.2.1:4000 or [2001:db8::1]:4000"))
    }

    /// The object that the member is.
    pub(super) fn inner(&mut self, name: &str) -> Result<Self, JsonError> {
        let path = self.path_of(name);
        match self.members.remove(name) {
            Some(tree) => Self::open(path, tree),
            None => Err(wrong(path, "an object")),
        }
    }

    /// The list's items, each with its name; empty where the member is absent.
    pub(super) fn list(
        &mut self,
        name: &str,
        count_max: usize,
    ) -> Result<Vec<(String, Tree)>, JsonError> {
        let path = self.path_of(name);
        let items = match self.members.remove(name) {
            None => Vec::new(),
            Some(Tree::List(items)) => items,
            Some(_) => return Err(wrong(path, "a list")),
        };
        if items.len() > count_max {
            return Err(wrong(path, list_expected(count_max)));
        }
        let numbered = items.into_iter().enumerate();
        Ok(numbered.map(|(at, item)| (format!("{path}[{at}]"), item)).collect())
    }
}

/// `member` is not what it must be.
pub(super) fn wrong(member: String, expected: &'static str) -> JsonError {
    JsonError::Member { member, expected }
}

const fn digits_expected(len: usize) -> &'static str {
    match len {
        8 => "16 hexadecimal digits",
        16 => "32 hexadecimal digits",
        20 => "40 hexadecimal digits",
        32 => "64 hexadecimal digits",
        64 => "128 hexadecimal digits",
        _ => "hexadecimal digits, two a byte",
    }
}

const fn list_expected(count_max: usize) -> &'static str {
    match count_max {
        8 => "a list of at most 8",
        _ => "a list of at most 255",
    }
}

/// Fills `out` from exactly two digits a byte.
fn fill_from_hex(text: &str, out: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.len() == 2 * out.len()
        && digits.chunks_exact(2).zip(out).all(|(pair, byte)| {
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return false };
            *byte = high << 4 | low;
            true
        })
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = BTreeMap::new();
        let mut duplicate = None;
        while let Some((name, tree)) = map.next_entry::<String, Tree>()? {
            match members.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(tree)),
                Entry::Occupied(entry) => duplicate = Some(entry.key().clone()),
            }
        }
        Ok(Tree::Object { members, duplicate })
    }
}
