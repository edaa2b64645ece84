//! What the shards of one node send each other: datagrams that came to the wrong one, and
//! notes.
//!
//! Between each two shards there is a lane for each direction, with one writer and one
//! reader. What travels are parcels, filled over a turn and recycled when they were read, so
//! that nothing is allocated once a lane is warm. Everything is bounded: a lane that is full
//! loses what was for it, and counts that; who lost notes is told anew.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;
use kdht_core::{Note, Route};
use kdht_wire::DATAGRAM_LEN_MAX;

use crate::io::Waker;

/// Parcels on their way in one lane at most: with a datagram in each, what comes at 100,000 a
/// second while the reader's thread is put aside for two milliseconds.
const LANE_MAX: usize = 256;
/// Notes in a parcel at most: a lane then holds more than a shard ever has to tell anew.
const NOTES_MAX: usize = 64;
/// Datagrams in a parcel at most.
const DATAGRAMS_MAX: usize = 8;
/// Parcels of one shard at most, besides one for each other shard.
const PARCELS_MAX: usize = 2 * LANE_MAX;
/// Parcels read in one turn at most.
const READ_MAX: usize = 64;

/// What one shard sends another at once.
#[derive(Debug)]
pub struct Parcel {
    from: u8,
    notes: Vec<Note>,
    datagrams: Vec<(Route, usize)>,
    /// The datagrams' bytes, one after another.
    bytes: Vec<u8>,
}

impl Parcel {
    fn new(from: u8) -> Self {
        let notes = Vec::with_capacity(NOTES_MAX);
        Self { from, notes, datagrams: Vec::new(), bytes: Vec::new() }
    }

    /// The shard that sent it.
    pub fn from(&self) -> u8 {
        self.from
    }

    /// Its notes, in their order.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Its datagrams, in their order.
    pub fn datagrams(&self) -> impl Iterator<Item = (&Route, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.datagrams.iter().map(move |(route, len)| {
            let (bytes, behind) = rest.split_at(*len);
            rest = behind;
            (route, bytes)
        })
    }

    fn clear(&mut self) {
        self.notes.clear();
        self.datagrams.clear();
        self.bytes.clear();
    }
}

/// Where parcels for one shard are announced.
#[derive(Debug, Default)]
struct Inbox {
    /// A bit for each shard that has sent something.
    senders: [AtomicU64; 4],
    /// Whether its thread sleeps, or is about to.
    is_asleep: AtomicBool,
    waker: OnceLock<Waker>,
}

/// All lanes of one node.
#[derive(Debug)]
struct Lanes {
    shards: usize,
    /// From each shard to each, made when first used.
    lanes: Vec<OnceLock<ArrayQueue<Parcel>>>,
    /// Parcels that were read, by the shard that they belong to.
    read: Vec<ArrayQueue<Parcel>>,
    inboxes: Vec<Inbox>,
}

impl Lanes {
    fn lane(&self, from: u8, to: u8) -> &ArrayQueue<Parcel> {
        let at = usize::from(from) * self.shards + usize::from(to);
        self.lanes[at].get_or_init(|| ArrayQueue::new(LANE_MAX))
    }
}

/// What a shard's end of the mesh has counted; all fields only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct MeshCounters {
    /// Datagrams handed to the shard that they are for.
    pub(crate) handed_over: u64,
    /// Datagrams taken from other shards.
    pub(crate) taken: u64,
    /// Datagrams lost since too many were on their way.
    pub(crate) lost: u64,
    /// Times that a shard had to be told anew, since notes for it were lost.
    pub(crate) retold: u64,
}

/// One shard's end of the mesh.
#[derive(Debug)]
pub struct Port {
    lanes: Arc<Lanes>,
    shard: u8,
    /// Being filled, by the shard that they are for.
    filling: Vec<Option<Parcel>>,
    /// Shards in whose parcels there is something.
    touched: VecDeque<u8>,
    /// Empty parcels at hand.
    spare: Vec<Parcel>,
    /// Parcels made so far.
    made: usize,
    made_max: usize,
    /// Shards that lost notes of this one's.
    is_owed: Vec<bool>,
    any_owed: bool,
    counters: MeshCounters,
}

/// The ends of a new mesh between `shards` shards, in their order.
#[must_use]
pub fn mesh(shards: u8) -> Vec<Port> {
    let count = usize::from(shards);
    let made_max = PARCELS_MAX + count;
    let lanes = Arc::new(Lanes {
        shards: count,
        lanes: (0..count * count).map(|_| OnceLock::new()).collect(),
        read: (0..count).map(|_| ArrayQueue::new(made_max)).collect(),
        inboxes: (0..count).map(|_| Inbox::default()).collect(),
    });
    let port = |shard| Port {
        lanes: lanes.clone(),
        shard,
        filling: (0..count).map(|_| None).collect(),
        touched: VecDeque::with_capacity(count),
        spare: Vec::with_capacity(made_max),
        made: 0,
        made_max,
        is_owed: vec![false; count],
        any_owed: false,
        counters: MeshCounters::default(),
    };
    (0..shards).map(port).collect()
}

impl Port {
    /// The shard that this end belongs to.
    pub(crate) fn shard(&self) -> u8 {
        self.shard
    }

    /// Shards of the node.
    pub(crate) fn shards(&self) -> u8 {
        u8::try_from(self.lanes.shards).unwrap_or(u8::MAX)
    }

    pub(crate) fn counters(&self) -> MeshCounters {
        self.counters
    }

    /// Whom others wake when they sent something and this shard's thread sleeps.
    pub fn wake_by(&self, waker: Waker) {
        let _ = self.inbox().waker.set(waker);
    }

    /// Whether anything has come. O(1).
    pub fn has_mail(&self) -> bool {
        self.inbox().senders.iter().any(|bits| bits.load(Ordering::Acquire) != 0)
    }

    /// Announces that this shard's thread is about to sleep. False: something has come, and
    /// it must not.
    pub fn fall_asleep(&self) -> bool {
        // Of this store and the look behind it, and a sender's mark and its look at this
        // flag, one side sees the other's, since all four are in one order.
        self.inbox().is_asleep.store(true, Ordering::SeqCst);
        let inbox = self.inbox();
        if inbox.senders.iter().any(|bits| bits.load(Ordering::SeqCst) != 0) {
            inbox.is_asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// This shard's thread is awake.
    pub fn wake_up(&self) {
        if self.inbox().is_asleep.load(Ordering::Relaxed) {
            self.inbox().is_asleep.store(false, Ordering::SeqCst);
        }
    }

    /// Reads what has come, a bounded number of parcels. Whether there may be more.
    pub fn receive(&mut self, mut read: impl FnMut(&Parcel)) -> bool {
        let mut left = READ_MAX;
        for (word, base) in [0_u8, 64, 128, 192].into_iter().enumerate() {
            let mut senders =
                self.lanes.inboxes[usize::from(self.shard)].senders[word].swap(0, Ordering::SeqCst);
            while senders != 0 {
                let bit = senders.trailing_zeros();
                senders &= senders - 1;
                // A bit of a word is below 64.
                let from = base + u8::try_from(bit).unwrap_or(0);
                let lane = self.lanes.lane(from, self.shard);
                while let Some(mut parcel) = lane.pop() {
                    self.counters.taken += parcel.datagrams.len() as u64;
                    read(&parcel);
                    parcel.clear();
                    // It has room for as many as its owner makes.
                    let _ = self.lanes.read[usize::from(from)].push(parcel);
                    left -= 1;
                    if left == 0 {
                        let rest = senders | 1 << bit;
                        let inbox = &self.lanes.inboxes[usize::from(self.shard)];
                        inbox.senders[word].fetch_or(rest, Ordering::SeqCst);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Hands a datagram to shard `to`; it leaves with the next [`Port::flush`] at the latest.
    pub fn hand_over(&mut self, to: u8, route: &Route, bytes: &[u8]) {
        let is_full = |parcel: &Parcel| parcel.datagrams.len() >= DATAGRAMS_MAX;
        let Some(parcel) = self.parcel_for(to, is_full) else {
            self.counters.lost += 1;
            return;
        };
        if parcel.datagrams.capacity() == 0 {
            parcel.datagrams.reserve_exact(DATAGRAMS_MAX);
            parcel.bytes.reserve_exact(DATAGRAMS_MAX * DATAGRAM_LEN_MAX);
        }
        // What is too long is so for the other shard as well, and is not longer for that.
        let bytes = &bytes[..bytes.len().min(DATAGRAM_LEN_MAX + 1)];
        parcel.datagrams.push((*route, bytes.len()));
        parcel.bytes.extend_from_slice(bytes);
        self.counters.handed_over += 1;
    }

    /// Tells shard `to` something; it leaves with the next [`Port::flush`] at the latest.
    /// False: it is lost, and the shard is owed all that this one can tell.
    pub fn tell(&mut self, to: u8, note: Note) -> bool {
        match self.parcel_for(to, |parcel| parcel.notes.len() >= NOTES_MAX) {
            Some(parcel) => {
                parcel.notes.push(note);
                true
            }
            None => {
                self.owe(to);
                false
            }
        }
    }

    /// Tells all other shards something.
    pub(crate) fn tell_others(&mut self, note: Note) {
        for to in 0..self.shards() {
            if to != self.shard {
                self.tell(to, note);
            }
        }
    }

    /// All other shards have missed something.
    pub(crate) fn owe_others(&mut self) {
        for to in 0..self.shards() {
            if to != self.shard {
                self.owe(to);
            }
        }
    }

    /// A shard that is to be told anew and can be: its lane is empty.
    pub(crate) fn take_owed(&mut self) -> Option<u8> {
        if !self.any_owed {
            return None;
        }
        let can_be =
            |to: &u8| self.is_owed[usize::from(*to)] && self.lanes.lane(self.shard, *to).is_empty();
        let to = (0..self.shards()).find(can_be)?;
        self.is_owed[usize::from(to)] = false;
        self.any_owed = self.is_owed.contains(&true);
        self.counters.retold += 1;
        Some(to)
    }

    /// Whether some shard is to be told anew as soon as it has read what it was sent.
    pub(crate) fn owes(&self) -> bool {
        self.any_owed
    }

    /// Sends what was filled, and wakes those who sleep.
    pub fn flush(&mut self) {
        while let Some(to) = self.touched.pop_front() {
            self.send(to);
        }
    }

    fn inbox(&self) -> &Inbox {
        &self.lanes.inboxes[usize::from(self.shard)]
    }

    fn owe(&mut self, to: u8) {
        self.is_owed[usize::from(to)] = true;
        self.any_owed = true;
    }

    /// A parcel for `to` with room in it.
    fn parcel_for(&mut self, to: u8, is_full: impl Fn(&Parcel) -> bool) -> Option<&mut Parcel> {
        if self.filling[usize::from(to)].as_ref().is_some_and(is_full) {
            self.send(to);
        }
        if self.filling[usize::from(to)].is_none() {
            let parcel = self.spare_parcel()?;
            self.filling[usize::from(to)] = Some(parcel);
        }
        if !self.touched.contains(&to) {
            self.touched.push_back(to);
        }
        self.filling[usize::from(to)].as_mut()
    }

    fn spare_parcel(&mut self) -> Option<Parcel> {
        let back = || self.lanes.read[usize::from(self.shard)].pop();
        if let Some(parcel) = self.spare.pop().or_else(back) {
            return Some(parcel);
        }
        if self.made >= self.made_max {
            return None;
        }
        self.made += 1;
        Some(Parcel::new(self.shard))
    }

    fn send(&mut self, to: u8) {
        let Some(parcel) = self.filling[usize::from(to)].take() else { return };
        if parcel.notes.is_empty() && parcel.datagrams.is_empty() {
            self.spare.push(parcel);
            return;
        }
        if let Err(mut parcel) = self.lanes.lane(self.shard, to).push(parcel) {
            self.counters.lost += parcel.datagrams.len() as u64;
            self.counters.handed_over -= parcel.datagrams.len() as u64;
            if !parcel.notes.is_empty() {
                self.owe(to);
            }
            parcel.clear();
            self.spare.push(parcel);
            return;
        }
        let inbox = &self.lanes.inboxes[usize::from(to)];
        let (word, bit) = (usize::from(self.shard / 64), self.shard % 64);
        inbox.senders[word].fetch_or(1 << bit, Ordering::SeqCst);
        if inbox.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = inbox.waker.get()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kdht_core::Rng;
    use kdht_wire::{Contact, Endpoint};

    use super::*;
    use crate::io::{Waiter, Wakeup};

    fn note(rng: &mut Rng) -> Note {
        Note::Sighted(Contact::new(rng.id(), Endpoint::NONE))
    }

    #[test]
    fn what_is_sent_arrives_whole_and_in_order_while_the_lane_has_room() {
        for seed in 0..20_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let mut ports = mesh(3);
            let mut sent: Vec<Vec<u8>> = Vec::new();
            let mut came: Vec<Vec<u8>> = Vec::new();
            for _ in 0..400 {
                let len = usize::try_from(rng.below(1_233)).unwrap();
                let bytes = vec![u8::try_from(rng.below(256)).unwrap(); len];
                ports[0].hand_over(2, &Route::default(), &bytes);
                sent.push(bytes);
                if rng.below(5) == 0 {
                    ports[0].flush();
                }
                if rng.below(20) == 0 {
                    let more = ports[2].receive(|parcel| {
                        assert_eq!(parcel.from(), 0);
                        came.extend(parcel.datagrams().map(|(_, bytes)| bytes.to_vec()));
                    });
                    assert!(!more);
                }
            }
            ports[0].flush();
            ports[2].receive(|parcel| {
                came.extend(parcel.datagrams().map(|(_, bytes)| bytes.to_vec()));
            });
            assert!(!ports[2].has_mail() && !ports[1].has_mail());
            let counters = ports[0].counters();
            assert_eq!(counters.handed_over + counters.lost, 400, "seed {seed}");
            assert_eq!(came.len() as u64, counters.handed_over, "seed {seed}");
            let mut rest = sent.iter();
            assert!(came.iter().all(|bytes| rest.any(|s| s == bytes)), "seed {seed}");
        }
    }

    #[test]
    fn a_full_lane_loses_and_counts_and_who_lost_notes_is_owed_them() {
        let mut rng = Rng::from_seed([1; 16]);
        let mut ports = mesh(2);
        for _ in 0..100_000 {
            ports[0].tell(1, note(&mut rng));
            ports[0].hand_over(1, &Route::default(), &[7; 1_232]);
        }
        ports[0].flush();
        assert!(ports[0].made <= PARCELS_MAX + 2, "memory is bounded");
        assert!(ports[0].owes() && ports[0].take_owed().is_none(), "its lane is not empty yet");
        assert!(ports[0].counters().lost > 90_000);
        let mut parcels = 0;
        while ports[1].receive(|_| parcels += 1) {}
        assert_eq!(parcels, LANE_MAX);
        assert_eq!(ports[0].take_owed(), Some(1));
        assert_eq!(ports[0].take_owed(), None);
    }

    #[test]
    fn no_wake_is_missed_by_a_thread_that_falls_asleep() {
        const WANTED: u32 = 20_000;
        let mut ports = mesh(2);
        let mut receiver = ports.pop().unwrap();
        let mut sender = ports.pop().unwrap();
        let wakeup = Wakeup::new().unwrap();
        receiver.wake_by(wakeup.waker());
        let other = std::thread::spawn(move || {
            let mut rng = Rng::from_seed([2; 16]);
            let mut told = 0;
            while told < WANTED {
                sender.tell(1, note(&mut rng));
                sender.flush();
                // A lane that is full loses the parcel, and the one note in it.
                if std::mem::take(&mut sender.any_owed) {
                    std::thread::yield_now();
                } else {
                    told += 1;
                }
            }
        });
        let mut waiter = Waiter::new(&[wakeup.fd().clone()]);
        let (mut came, mut naps) = (0_usize, 0);
        while came < WANTED as usize {
            receiver.receive(|parcel| came += parcel.notes().len());
            if came < WANTED as usize && receiver.fall_asleep() {
                naps += 1;
                let ready = waiter.wait(Some(Duration::from_secs(20))).unwrap().count();
                assert!(ready == 1, "nobody woke it after {came} notes and {naps} naps");
                wakeup.clear();
                receiver.wake_up();
            }
        }
        other.join().unwrap();
    }
}
