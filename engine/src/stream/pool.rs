//! Buffers for large messages: a fixed number, each grown to what it was needed for and
//! kept.

use std::sync::Arc;

use super::counters::StreamCounters;

/// At most so many buffers are lent at a time.
#[derive(Debug)]
pub(super) struct Pool {
    free: Vec<Vec<u8>>,
    lent: usize,
    count_max: usize,
    counters: Arc<StreamCounters>,
}

impl Pool {
    pub(super) fn new(count_max: usize, counters: Arc<StreamCounters>) -> Self {
        Self { free: Vec::with_capacity(count_max), lent: 0, count_max, counters }
    }

    /// An empty buffer, or nothing if all are lent.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        if self.lent >= self.count_max {
            return None;
        }
        self.lent += 1;
        let buffer = self.free.pop().unwrap_or_default();
        self.count();
        Some(buffer)
    }

    /// Takes a buffer back; one that was lost comes back as an empty one.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.lent = self.lent.saturating_sub(1);
        if buffer.capacity() > 0 && self.free.len() < self.count_max {
            self.free.push(buffer);
        }
        self.count();
    }

    fn count(&self) {
        self.counters.buffers.set(self.lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_lent_than_there_are_and_their_memory_is_kept() {
        let mut pool = Pool::new(2, Arc::default());
        let mut one = pool.take().unwrap();
        one.resize(1_000, 7);
        let two = pool.take().unwrap();
        assert!(pool.take().is_none());
        pool.give(one);
        let again = pool.take().unwrap();
        assert!(again.is_empty() && again.capacity() >= 1_000);
        assert!(pool.take().is_none());
        pool.give(two);
        pool.give(again);
        assert!(pool.free.len() <= 2);
    }
}
