//! What adversaries ask: what everybody may, what nobody may, and too much of it; and how
//! much of each they got.

use std::collections::{BTreeMap, VecDeque};

/// Requests that wait for an answer, at most; the oldest is taken for refused.
const WAITING_MAX: usize = 65_536;

/// By what right an adversary asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Right {
    /// As anybody may. A scenario in which these are refused shows nothing of the others.
    Fair,
    /// As nobody may: it must be refused.
    Forbidden,
    /// As anybody may, but more than one source is allowed.
    Greedy,
}

/// How many requests of one right were sent, and served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) served: u64,
}

/// Requests by transaction.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    waiting: BTreeMap<u64, Right>,
    order: VecDeque<u64>,
    counts: [Count; 3],
}

impl Claims {
    /// A request leaves. Its transaction is this group's own.
    pub(crate) fn sent(&mut self, tx_id: u64, right: Right) {
        self.counts[right as usize].sent += 1;
        if self.order.len() >= WAITING_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        self.waiting.insert(tx_id, right);
        self.order.push_back(tx_id);
    }

    /// A reply came that is no refusal.
    pub(crate) fn served(&mut self, tx_id: u64) {
        if let Some(right) = self.waiting.remove(&tx_id) {
            self.counts[right as usize].served += 1;
        }
    }

    pub(crate) fn count(&self, right: Right) -> Count {
        self.counts[right as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_as_served_once_and_under_its_right() {
        let mut claims = Claims::default();
        claims.sent(1, Right::Fair);
        claims.sent(2, Right::Forbidden);
        claims.sent(3, Right::Fair);
        for tx_id in [3, 3, 9] {
            claims.served(tx_id);
        }
        let numbers = |right| (claims.count(right).sent, claims.count(right).served);
        assert_eq!(numbers(Right::Fair), (2, 1));
        assert_eq!(numbers(Right::Forbidden), (1, 0));
        assert_eq!(numbers(Right::Greedy), (0, 0));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut claims = Claims::default();
        (0..WAITING_MAX as u64 + 10).for_each(|tx_id| claims.sent(tx_id, Right::Fair));
        assert_eq!(claims.waiting.len(), WAITING_MAX);
        claims.served(0);
        assert_eq!(claims.count(Right::Fair).served, 0);
    }
}
