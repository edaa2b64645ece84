//! One bucket: which contacts share a prefix, least recently seen first.

use kdht_wire::Id;

/// Most members of a bucket: the largest k.
pub const MEMBERS_MAX: usize = 20;
/// Most contacts in a bucket's replacement cache.
pub const REPLACEMENTS_MAX: usize = 8;

/// Places in the table's contact array, in an order of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<const N: usize> {
    places: [u16; N],
    len: u8,
}

impl<const N: usize> List<N> {
    pub(crate) const EMPTY: Self = Self { places: [0; N], len: 0 };

    pub(crate) fn as_slice(&self) -> &[u16] {
        &self.places[..usize::from(self.len)]
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Adds a place at the tail. The caller has seen that there is room.
    pub(crate) fn push(&mut self, place: u16) {
        self.places[self.len()] = place;
        self.len += 1;
    }

    /// Takes out the place at `at` and closes the gap.
    pub(crate) fn remove(&mut self, at: usize) -> u16 {
        let place = self.places[at];
        self.places.copy_within(at + 1..usize::from(self.len), at);
        self.len -= 1;
        place
    }

    pub(crate) fn move_to_tail(&mut self, at: usize) {
        let place = self.remove(at);
        self.push(place);
    }
}

/// The contacts whose ids begin with `start`'s first `depth` bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// The lowest id of the range.
    pub(crate) start: Id,
    pub(crate) depth: u8,
    /// When an id in its range was looked up last, in seconds of monotonic time,
    /// little-endian so that it takes no padding.
    touched_s: [u8; 4],
    /// Least recently seen first.
    pub(crate) members: List<MEMBERS_MAX>,
    /// Oldest first; the most recent is the first to be promoted.
    pub(crate) replacements: List<REPLACEMENTS_MAX>,
}

impl Bucket {
    pub(crate) const fn whole_space() -> Self {
        Self {
            start: Id::ZERO,
            depth: 0,
            touched_s: [0; 4],
            members: List::EMPTY,
            replacements: List::EMPTY,
        }
    }

    /// Whether `id` lies in the bucket's range.
    pub(crate) fn covers(&self, id: &Id) -> bool {
        self.start.shared_prefix(id) >= self.depth
    }

    /// Since which second nothing was looked up in its range.
    pub(crate) fn touched_s(&self) -> u32 {
        u32::from_le_bytes(self.touched_s)
    }

    /// An id in its range is being looked up.
    pub(crate) fn touch(&mut self, now_s: u32) {
        self.touched_s = now_s.to_le_bytes();
    }

    /// Halves the range; both halves are empty.
    pub(crate) fn halves(&self) -> [Self; 2] {
        [false, true].map(|bit| Self {
            start: self.start.with_bit(self.depth, bit),
            depth: self.depth + 1,
            touched_s: self.touched_s,
            members: List::EMPTY,
            replacements: List::EMPTY,
        })
    }
}
