//! What the module leaves to the daemon.

use kdht_wire::{DATAGRAM_LEN_MAX, Flags, HEAD_LEN, Id, Kind, MAGIC, TARGET_OFFSET, VERSION};

/// Whether a datagram is one that only the daemon can answer: another format, a reply, about
/// a value, a lookup, or what may be forwarded where the network is not keyed; with a whole head
/// of a known version. Only of a key that `may_be_held` a FIND_VALUE is the daemon's.
pub fn is_passed(bytes: &[u8], is_keyed: bool, may_be_held: impl FnOnce(&Id) -> bool) -> bool {
    if bytes.first() != Some(&MAGIC[0]) {
        return true;
    }
    let is_sound = (HEAD_LEN..=DATAGRAM_LEN_MAX).contains(&bytes.len()) && bytes[2] == VERSION;
    let flags = Flags(bytes.get(4).copied().unwrap_or(0).into());
    let is_for_others = flags.has(Flags::RECURSE) || flags.has(Flags::FORWARD) && !is_keyed;
    let kind = bytes.get(3).copied().and_then(Kind::from_u8);
    let target = || bytes.get(TARGET_OFFSET..).and_then(|rest| rest.first_chunk());
    let may_be_held = || target().is_none_or(|target| may_be_held(&Id(*target)));
    is_sound
        && (flags.has(Flags::REPLY)
            || kind == Some(Kind::Store)
            || kind == Some(Kind::FindNode) && is_for_others
            || kind == Some(Kind::FindValue) && (is_for_others || may_be_held()))
}
