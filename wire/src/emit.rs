//! From parts to bytes, in the caller's buffer.

use core::mem::offset_of;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::body::{Contact, ReplyBody};
use crate::extension::{EXT_HEAD_LEN, EXT_PADDING, EXTENSIONS_MAX, ExtensionHead};
use crate::head::{Flags, HEAD_LEN, Head};
use crate::network_key::{MAC_LEN, NetworkKey};
use crate::record::{Publisher, Record};
use crate::{DATAGRAM_LEN_MAX, STREAM_LEN_MAX};

/// The buffer, or the limit, has no room for what was to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EmitError {
    /// Bytes that it takes.
    pub need: usize,
    /// Bytes that are left.
    pub have: usize,
}

/// Writes one message front to back: head, fixed body, items, extensions, MAC.
///
/// Each step either fits whole or leaves the message as it was and says so, so a reply
/// can be filled until it is full. [`Emit::finish`] sets the lengths, the count of items
/// and the MAC.
#[derive(Debug)]
pub struct Emit<'b, 'k> {
    buf: &'b mut [u8],
    head: Head,
    key: Option<&'k NetworkKey>,
    /// Bytes written so far.
    len: usize,
    /// Where the body must end.
    limit: usize,
    extensions: usize,
}

impl<'b, 'k> Emit<'b, 'k> {
    /// Begins a datagram of at most `len_max` bytes, and never over
    /// [`DATAGRAM_LEN_MAX`] or the buffer. With a `key` the MAC's bytes are set aside.
    ///
    /// # Errors
    /// [`EmitError`] if not even the head fits.
    pub fn datagram(
        buf: &'b mut [u8],
        head: Head,
        key: Option<&'k NetworkKey>,
        len_max: usize,
    ) -> Result<Self, EmitError> {
        Self::begin(buf, head, key, len_max.min(DATAGRAM_LEN_MAX))
    }

    /// Begins a message for a TCP stream, of at most [`STREAM_LEN_MAX`] bytes.
    ///
    /// # Errors
    /// [`EmitError`] if not even the head fits.
    pub fn stream(
        buf: &'b mut [u8],
        head: Head,
        key: Option<&'k NetworkKey>,
    ) -> Result<Self, EmitError> {
        Self::begin(buf, head, key, STREAM_LEN_MAX)
    }

    fn begin(
        buf: &'b mut [u8],
        mut head: Head,
        key: Option<&'k NetworkKey>,
        len_max: usize,
    ) -> Result<Self, EmitError> {
        let mac_len = if key.is_some() { MAC_LEN } else { 0 };
        let have = len_max.min(buf.len());
        let need = HEAD_LEN + mac_len;
        if have < need {
            return Err(EmitError { need, have });
        }
        let keyed = Flags::KEYED.0;
        let flags = head.flags.get() & !keyed;
        head.flags = U16::new(if key.is_some() { flags | keyed } else { flags });
        head.key_id = key.map_or(0, |key| key.id);
        Ok(Self { buf, head, key, len: HEAD_LEN, limit: have - mac_len, extensions: 0 })
    }

    /// The head, to be changed until [`Emit::finish`] writes it.
    pub fn head(&mut self) -> &mut Head {
        &mut self.head
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit - self.len
    }

    /// Adds a kind's fixed part.
    ///
    /// # Errors
    /// [`EmitError`] if it does not fit.
    pub fn body<T: IntoBytes + Immutable>(&mut self, body: &T) -> Result<(), EmitError> {
        self.reserve(size_of::<T>())?;
        self.put(body.as_bytes());
        Ok(())
    }

    /// Sets the total of the [`ReplyBody`] that was added first.
    pub fn total(&mut self, total: u16) {
        const AT: usize = HEAD_LEN + offset_of!(ReplyBody, total);
        if self.len >= HEAD_LEN + size_of::<ReplyBody>() {
            self.buf[AT..AT + 2].copy_from_slice(U16::new(total).as_bytes());
        }
    }

    /// Adds a contact and counts it in the head.
    ///
    /// # Errors
    /// [`EmitError`] if it does not fit, or 255 are there.
    pub fn contact(&mut self, contact: &Contact) -> Result<(), EmitError> {
        if self.head.arg == u8::MAX {
            return Err(EmitError { need: size_of::<Contact>(), have: 0 });
        }
        self.body(contact)?;
        self.head.arg += 1;
        Ok(())
    }

    /// Adds contacts that `write` writes into their places in the message, and counts them in
    /// the head. It is given as many places as there is room for, up to 255 contacts in all, and
    /// returns how many it wrote to, from the first.
    #[inline]
    pub fn contacts(&mut self, write: impl FnOnce(&mut [Contact]) -> usize) {
        let free = self.room() / size_of::<Contact>();
        let free = free.min(usize::from(u8::MAX - self.head.arg));
        let end = self.len + free * size_of::<Contact>();
        let places = <[Contact]>::mut_from_bytes(&mut self.buf[self.len..end]).unwrap_or_default();
        // At most 255.
        let written = write(places).min(free);
        self.len += written * size_of::<Contact>();
        self.head.arg += u8::try_from(written).unwrap_or(u8::MAX);
    }

    /// Adds a value's record to a reply and counts it in the head.
    ///
    /// # Errors
    /// [`EmitError`] if it does not fit, or 255 are there.
    pub fn record(&mut self, record: &Record<'_>) -> Result<(), EmitError> {
        if self.head.arg == u8::MAX {
            return Err(EmitError { need: record.wire_len(), have: 0 });
        }
        self.store_record(record)?;
        self.head.arg += 1;
        Ok(())
    }

    /// Adds a STORE request's one record, which no head counts.
    ///
    /// # Errors
    /// [`EmitError`] if it does not fit.
    pub fn store_record(&mut self, record: &Record<'_>) -> Result<(), EmitError> {
        self.reserve(record.wire_len())?;
        self.put(record.head().as_bytes());
        match record.publisher {
            Publisher::Immutable => {}
            Publisher::Signed(tail) => self.put(tail.as_bytes()),
            Publisher::Plain(id) => self.put(id.as_bytes()),
        }
        self.put(record.value);
        Ok(())
    }

    /// Adds an extension.
    ///
    /// # Errors
    /// [`EmitError`] if it does not fit, or [`EXTENSIONS_MAX`] are there.
    pub fn extension(&mut self, kind: u16, data: &[u8]) -> Result<(), EmitError> {
        let need = EXT_HEAD_LEN + data.len();
        if self.extensions == EXTENSIONS_MAX {
            return Err(EmitError { need, have: 0 });
        }
        self.reserve(need)?;
        let Ok(len) = u16::try_from(data.len()) else {
            return Err(EmitError { need: data.len(), have: usize::from(u16::MAX) });
        };
        self.put(ExtensionHead { kind: U16::new(kind), len: U16::new(len) }.as_bytes());
        self.put(data);
        self.extensions += 1;
        Ok(())
    }

    /// Adds padding so that the whole message, MAC included, is at least `total` bytes,
    /// or as long as the limit allows. A message that is long enough stays as it is.
    pub fn pad_to(&mut self, total: usize) {
        let mac_len = if self.key.is_some() { MAC_LEN } else { 0 };
        let missing = total.saturating_sub(mac_len).saturating_sub(self.len);
        if missing == 0 || self.room() < EXT_HEAD_LEN || self.extensions == EXTENSIONS_MAX {
            return;
        }
        let zeros = missing.clamp(EXT_HEAD_LEN, self.room()) - EXT_HEAD_LEN;
        // A datagram's room is below 64 KiB, and nothing else is padded.
        let len = u16::try_from(zeros).unwrap_or(u16::MAX);
        self.put(ExtensionHead { kind: U16::new(EXT_PADDING), len: U16::new(len) }.as_bytes());
        self.buf[self.len..self.len + usize::from(len)].fill(0);
        self.len += usize::from(len);
        self.extensions += 1;
    }

    /// Writes the head and the MAC, and returns the message's length in bytes.
    #[must_use]
    pub fn finish(mut self) -> usize {
        // The limit is at most STREAM_LEN_MAX, far below 2³².
        let body_len = u32::try_from(self.len - HEAD_LEN).unwrap_or(u32::MAX);
        self.head.body_len = U32::new(body_len);
        self.buf[..HEAD_LEN].copy_from_slice(self.head.as_bytes());
        if let Some(key) = self.key {
            let mac = key.mac(&self.buf[..self.len]);
            self.put(&mac);
        }
        self.len
    }

    fn reserve(&self, need: usize) -> Result<(), EmitError> {
        let have = self.room();
        if need > have { Err(EmitError { need, have }) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}
