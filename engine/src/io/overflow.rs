//! Counting what the kernel dropped, from what it tells beside the datagrams that fit.

use super::control::Ancillary;
use super::datapath::DatapathCounters;

/// What each socket told last of its drops, modulo 2^32.
pub(super) struct Overflow {
    told_last: Box<[u32]>,
}

impl Overflow {
    /// Nothing told yet.
    pub(super) fn new(socket_count: usize) -> Self {
        Self { told_last: vec![0; socket_count].into() }
    }

    /// Takes note of what came beside a datagram of socket `socket_idx`.
    pub(super) fn note(
        &mut self,
        socket_idx: u8,
        told: &Ancillary,
        counters: &mut DatapathCounters,
    ) {
        let Some(drop_count) = told.drop_count else { return };
        // The kernel's count wraps; one that seems to go back by less than half its range
        // was only told out of order.
        let last = &mut self.told_last[usize::from(socket_idx)];
        let since = drop_count.wrapping_sub(*last);
        if since <= u32::MAX / 2 {
            *last = drop_count;
            counters.receive_overflow += u64::from(since);
        }
    }
}
