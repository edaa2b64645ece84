//! As much of MessagePack as OpenDHT's messages need, read without memory of its own.

/// Reads one item after another; containers announce how many follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// What stands at one place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item<'a> {
    /// A number from zero up.
    Uint(u64),
    /// Text or bytes.
    Bytes(&'a [u8]),
    /// So many keys, each with its value.
    Map(u32),
    /// So many items.
    Array(u32),
    /// Nil, a boolean, a float, a negative number.
    Other,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next item; nothing at the end, or where it is torn.
    pub(crate) fn item(&mut self) -> Option<Item<'a>> {
        let first = self.take(1)?[0];
        Some(match first {
            0x00..=0x7f => Item::Uint(first.into()),
            0x80..=0x8f => Item::Map(u32::from(first & 0x0f)),
            0x90..=0x9f => Item::Array(u32::from(first & 0x0f)),
            0xa0..=0xbf => Item::Bytes(self.take(usize::from(first & 0x1f))?),
            // Binary, then text, with lengths of 1, 2 and 4 bytes.
            0xc4 | 0xd9 => self.bytes(1)?,
            0xc5 | 0xda => self.bytes(2)?,
            0xc6 | 0xdb => self.bytes(4)?,
            0xcc => Item::Uint(self.number(1)?),
            0xcd => Item::Uint(self.number(2)?),
            0xce => Item::Uint(self.number(4)?),
            0xcf => Item::Uint(self.number(8)?),
            0xdc => Item::Array(self.count(2)?),
            0xdd => Item::Array(self.count(4)?),
            0xde => Item::Map(self.count(2)?),
            0xdf => Item::Map(self.count(4)?),
            // Nil, booleans and negative numbers of one byte.
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Item::Other,
            0xd0 => self.other(1)?,
            0xd1 => self.other(2)?,
            0xca | 0xd2 => self.other(4)?,
            0xcb | 0xd3 => self.other(8)?,
            // Extensions, and what means nothing.
            _ => return None,
        })
    }

    /// Goes past the next item and all within it. Each takes a byte at least, so that no
    /// announced number makes it long.
    pub(crate) fn skip(&mut self) -> Option<()> {
        let mut left = 1_u64;
        while left > 0 {
            left = match self.item()? {
                Item::Map(count) => left - 1 + 2 * u64::from(count),
                Item::Array(count) => left - 1 + u64::from(count),
                _ => left - 1,
            };
        }
        Some(())
    }

    /// What stands under `key` in the map that comes next. What it holds twice counts once.
    pub(crate) fn find(mut self, key: &[u8]) -> Option<Self> {
        let Item::Map(count) = self.item()? else { return None };
        for _ in 0..count {
            if self.item()? == Item::Bytes(key) {
                return Some(self);
            }
            self.skip()?;
        }
        None
    }

    /// The text or bytes under `key` in the map that comes next.
    pub(crate) fn bytes_of(self, key: &[u8]) -> Option<&'a [u8]> {
        match self.find(key)?.item()? {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    /// A number of `len` bytes, most significant first.
    fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn count(&mut self, len: usize) -> Option<u32> {
        u32::try_from(self.number(len)?).ok()
    }

    fn bytes(&mut self, len_len: usize) -> Option<Item<'a>> {
        let len = usize::try_from(self.number(len_len)?).ok()?;
        Some(Item::Bytes(self.take(len)?))
    }

    fn other(&mut self, len: usize) -> Option<Item<'a>> {
        self.take(len)?;
        Some(Item::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    #[test]
    fn items_of_every_length_are_read() {
        let long = [7; 300];
        let mut bytes = vec![0x05, 0xcc, 200, 0xcd, 1, 0, 0xce, 0, 1, 0, 0, 0xa2, b'h', b'i'];
        bytes.extend([0xc0, 0xe0, 0xd1, 1, 2, 0x92, 1, 2, 0xdc, 0, 0, 0x80, 0xde, 0, 0]);
        bytes.extend([0xc5, 1, 44]);
        bytes.extend(long);
        let mut reader = Reader::new(&bytes);
        for item in [
            Item::Uint(5),
            Item::Uint(200),
            Item::Uint(256),
            Item::Uint(65_536),
            Item::Bytes(b"hi"),
            Item::Other,
            Item::Other,
            Item::Other,
            Item::Array(2),
            Item::Uint(1),
            Item::Uint(2),
            Item::Array(0),
            Item::Map(0),
            Item::Map(0),
            Item::Bytes(&long),
        ] {
            assert_eq!(reader.item(), Some(item));
        }
        assert_eq!(reader.item(), None);
    }

    #[test]
    fn a_key_is_found_behind_whatever_stands_before_it() {
        // {"a": {"b": [1, {"c": 2}]}, "c": "found"}
        let bytes = b"\x82\xa1a\x81\xa1b\x92\x01\x81\xa1c\x02\xa1c\xa5found";
        let reader = Reader::new(bytes);
        assert_eq!(reader.bytes_of(b"c"), Some(&b"found"[..]));
        assert!(reader.find(b"a").unwrap().find(b"b").is_some());
        assert!(reader.find(b"d").is_none() && reader.bytes_of(b"a").is_none());
        for len in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..len]).bytes_of(b"c"), None, "{len}");
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end() {
        for seed in 0..2_000 {
            let mut draw = Draw::new(seed);
            let bytes: Vec<u8> = (0..64).map(|_| draw.next_u64().to_le_bytes()[0]).collect();
            let mut reader = Reader::new(&bytes);
            while reader.skip().is_some() {}
            assert!(Reader::new(&bytes).find(b"none").is_none(), "seed {seed}");
        }
        // Four thousand million items announced, none there.
        assert_eq!(Reader::new(b"\xdf\xff\xff\xff\xff").skip(), None);
    }
}
