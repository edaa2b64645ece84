//! Bytes without meaning, for servers that only echo.

use kdht_wire::Id;

use super::{Ask, Kind, Protocol, Reply};
use crate::oracle::{Oracle, Wrong};

/// Where the transaction id lies, so that a native head has it there too.
const TX_AT: usize = 16;
/// The shortest request: what an echo must send back.
pub const BARE_LEN_MIN: usize = TX_AT + 8;

/// Asks for an echo.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Protocol for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn can_ask(&self, _: Kind) -> bool {
        true
    }

    fn request(&self, out: &mut [u8], ask: &Ask<'_>) -> usize {
        let len = ask.len_min.max(BARE_LEN_MIN).min(out.len());
        out[..len].fill(0);
        out[TX_AT..BARE_LEN_MIN].copy_from_slice(&ask.tx_id.to_le_bytes());
        len
    }

    fn reply(&self, bytes: &[u8]) -> Option<Reply> {
        let tx_id = u64::from_le_bytes(*bytes.get(TX_AT..)?.first_chunk()?);
        let (kind, target, contacts) = (None, None, None);
        Some(Reply { tx_id, cookie: 0, kind, target, contacts, is_refusal: false })
    }

    fn check(&self, _: Kind, _: &Id, bytes: &[u8], _: Option<&Oracle>) -> Result<(), Wrong> {
        // What follows the request is whatever the server's memory held.
        let head = bytes.get(..TX_AT).ok_or(Wrong::Message)?;
        if head.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Wrong::Message) }
    }
}
