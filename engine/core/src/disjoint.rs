//! Disjoint paths (S/Kademlia, Baumgart & Mies 2007): d lookups of one target that share no
//! node, so that whoever meets a liar on one path is not misled on the others.
//!
//! The contacts that a lookup begins with are dealt out to its paths; whom an answer names
//! stands on the path of the answer, and on those whose answers named it before. It belongs
//! to the path that asks it first: a liar who names a node takes it from nobody. Each path
//! has one request in flight, so that it goes through as few nodes as it can, and its own
//! progress, candidates and end: what liars name crowds out nobody elsewhere. It ends when its
//! k/d nearest have answered. When all have, what they found is merged, and whoever of the k
//! nearest of all was not asked yet is, all at once.

use crate::lookup::ASKED_MAX;

/// Most paths of one lookup.
pub const PATHS_MAX: u8 = 8;
/// Candidates of each path where there are more than one: as many as the requests of one of
/// eight, so that whoever answered there keeps its place.
pub(crate) const PATH_CANDIDATES_MAX: usize = 64;
const _: () = assert!(PATH_CANDIDATES_MAX >= ASKED_MAX as usize / PATHS_MAX as usize);

/// One path's progress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    /// Answers since one brought a candidate nearer than all before.
    pub(crate) answers_without_progress: usize,
    /// Requests sent.
    pub(crate) asked: u32,
    /// Whether it came to its end once.
    pub(crate) has_ended: bool,
}

/// The paths of one lookup.
#[derive(Debug)]
pub(crate) struct Paths {
    paths: [Path; PATHS_MAX as usize],
    count: u8,
    /// Contacts dealt out so far.
    dealt: usize,
}

impl Paths {
    /// `count` paths, 1 to 8.
    pub(crate) fn new(count: u8) -> Self {
        let count = count.clamp(1, PATHS_MAX);
        Self { paths: [Path::default(); PATHS_MAX as usize], count, dealt: 0 }
    }

    pub(crate) fn is_one(&self) -> bool {
        self.count == 1
    }

    /// How many of the `k` nearest each path looks for.
    pub(crate) fn share_of(&self, k: usize) -> usize {
        k.div_ceil(usize::from(self.count))
    }

    pub(crate) fn all(&self) -> core::ops::Range<u8> {
        0..self.count
    }

    pub(crate) fn of(&self, path: u8) -> &Path {
        &self.paths[usize::from(path % PATHS_MAX)]
    }

    pub(crate) fn of_mut(&mut self, path: u8) -> &mut Path {
        &mut self.paths[usize::from(path % PATHS_MAX)]
    }

    /// Requests of one path in flight, before answers without progress lift the limit;
    /// `alone` if it is the only one.
    pub(crate) fn alpha(&self, alone: usize) -> usize {
        if self.count > 1 { 1 } else { alone }
    }

    /// The path that the next contact of the table is dealt to.
    pub(crate) fn next_to_deal(&self) -> u8 {
        // Below the count, which is 8 at most.
        u8::try_from(self.dealt % usize::from(self.count)).unwrap_or(0)
    }

    pub(crate) fn dealt(&mut self) {
        self.dealt += 1;
    }

    /// Requests of one path, whatever its answers name: colluders on one do not use up what
    /// the others need.
    pub(crate) fn asked_max(&self) -> u32 {
        ASKED_MAX / u32::from(self.count)
    }

    /// Candidates of one path; `alone` if it is the only one.
    pub(crate) fn candidates_max(&self, alone: usize) -> usize {
        if self.count > 1 { PATH_CANDIDATES_MAX } else { alone }
    }
}
