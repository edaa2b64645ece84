//! Requests in flight: found by their transaction id in one step, given up in the order in
//! which they were sent.

/// No slot: the end of a list.
const NONE: u32 = u32::MAX;

/// What is known of one request in flight.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flight {
    /// When it was meant to be sent, which its latency counts from.
    pub intended_ns: u64,
    /// When it was sent, which its timeout counts from.
    pub sent_ns: u64,
    /// The asker's own number of its target.
    pub target: u32,
    /// The source that it left from.
    pub source: u16,
    /// What was asked, by the asker's own number.
    pub kind: u8,
}

/// A fixed number of slots. A transaction id is a slot's index and the number of times that
/// the slot was taken, so that a late reply to an earlier request is told from one to the
/// request in flight.
#[derive(Debug)]
pub struct Slots {
    entries: Vec<Entry>,
    /// Low bits of a transaction id, which the index takes.
    index_bits: u32,
    /// What of the turns fits above them.
    turn_mask: u32,
    free: u32,
    oldest: u32,
    newest: u32,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    flight: Flight,
    /// Times that it was taken, as far as transaction ids tell.
    turn: u32,
    is_used: bool,
    /// The next free slot, or the one sent next after this.
    next: u32,
    /// The one sent just before this.
    previous: u32,
}

/// Most slots: so many indexes fit a transaction id.
pub const SLOTS_MAX: usize = 1 << 20;
/// Turns are told apart modulo two to this at most.
const TURN_BITS_MAX: u32 = 24;

impl Slots {
    /// `count` free slots, at most [`SLOTS_MAX`], with transaction ids of `tx_bits` (21 to 44)
    /// bits.
    #[must_use]
    pub fn new(count: usize, tx_bits: u32) -> Self {
        // At most 2^20, so every index fits.
        let count = u32::try_from(count.min(SLOTS_MAX)).unwrap_or(0);
        let entry = |at: u32| Entry {
            flight: Flight::default(),
            turn: 0,
            is_used: false,
            next: if at + 1 == count { NONE } else { at + 1 },
            previous: NONE,
        };
        let index_bits = count.next_power_of_two().trailing_zeros();
        let turn_bits = tx_bits.saturating_sub(index_bits).clamp(1, TURN_BITS_MAX);
        Self {
            entries: (0..count).map(entry).collect(),
            index_bits,
            turn_mask: (1 << turn_bits) - 1,
            free: if count == 0 { NONE } else { 0 },
            oldest: NONE,
            newest: NONE,
            used: 0,
        }
    }

    /// Requests in flight.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes a slot for a request and returns its transaction id, or nothing if all are
    /// taken. O(1).
    pub fn take(&mut self, flight: Flight) -> Option<u64> {
        let at = self.free;
        let newest = self.newest;
        let entry = self.entries.get_mut(at as usize)?;
        self.free = entry.next;
        let turn = entry.turn.wrapping_add(1) & self.turn_mask;
        *entry = Entry { flight, turn, is_used: true, next: NONE, previous: newest };
        match self.entries.get_mut(newest as usize) {
            Some(before) => before.next = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.used += 1;
        Some(u64::from(turn) << self.index_bits | u64::from(at))
    }

    /// The request with this transaction id, whose slot is free from then on; nothing if it
    /// is not in flight (any more). O(1).
    pub fn settle(&mut self, tx_id: u64) -> Option<Flight> {
        let at = u32::try_from(tx_id & ((1 << self.index_bits) - 1)).ok()?;
        let entry = self.entries.get(at as usize)?;
        if !entry.is_used || u64::from(entry.turn) != tx_id >> self.index_bits {
            return None;
        }
        Some(self.release(at))
    }

    /// A request sent before `before_ns`, whose slot is free from then on. O(1).
    pub fn expire(&mut self, before_ns: u64) -> Option<Flight> {
        let entry = self.entries.get(self.oldest as usize)?;
        (entry.flight.sent_ns < before_ns).then(|| self.release(self.oldest))
    }

    fn release(&mut self, at: u32) -> Flight {
        let Entry { flight, next, previous, .. } = self.entries[at as usize];
        match self.entries.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.oldest = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.newest = previous,
        }
        let entry = &mut self.entries[at as usize];
        (entry.is_used, entry.next, entry.previous) = (false, self.free, NONE);
        self.free = at;
        self.used -= 1;
        flight
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::draw::Draw;

    fn flight(sent_ns: u64) -> Flight {
        Flight { sent_ns, ..Flight::default() }
    }

    #[test]
    fn slots_do_what_a_map_and_a_queue_would() {
        for seed in 0..50 {
            let mut draw = Draw::new(seed);
            let mut slots = Slots::new(17, 44);
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            let mut settled = vec![99, u64::MAX, 1 << 20];
            for now in 0..2_000 {
                match draw.below(4) {
                    0 | 1 => match slots.take(flight(now)) {
                        Some(tx_id) => assert!(model.insert(tx_id, now).is_none(), "seed {seed}"),
                        None => assert_eq!(model.len(), 17, "seed {seed}"),
                    },
                    2 if !model.is_empty() => {
                        let tx_id = *model.keys().nth(draw.index(model.len())).unwrap();
                        assert_eq!(slots.settle(tx_id), model.remove(&tx_id).map(flight));
                        settled.push(tx_id);
                    }
                    _ => {
                        let before = now.saturating_sub(draw.below(40));
                        let oldest = model.iter().min_by_key(|(_, sent)| **sent);
                        let oldest = oldest.map(|(tx_id, sent)| (*tx_id, *sent));
                        let due = oldest.filter(|(_, sent)| *sent < before);
                        assert_eq!(slots.expire(before), due.map(|(_, sent)| flight(sent)));
                        if let Some((tx_id, _)) = due {
                            model.remove(&tx_id);
                            settled.push(tx_id);
                        }
                    }
                }
                let late = settled[draw.index(settled.len())];
                if !model.contains_key(&late) {
                    assert_eq!(slots.settle(late), None, "seed {seed}");
                }
                assert_eq!(slots.used(), model.len(), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_transaction_id_has_no_more_bits_than_the_protocol_carries() {
        for (count, tx_bits) in [(1, 44), (SLOTS_MAX, 44), (4_096, 32), (SLOTS_MAX, 32)] {
            let mut slots = Slots::new(count, tx_bits);
            for _ in 0..100_000 {
                let tx_id = slots.take(Flight::default()).unwrap();
                assert_eq!(tx_id >> tx_bits, 0);
                assert!(slots.settle(tx_id).is_some());
            }
        }
    }
}
