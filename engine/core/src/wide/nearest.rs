//! Who is closest, read outwards from the target's place.
//!
//! In the order of ids, those that share exactly `d` bits with the target are side by side:
//! all above it or all below it, and farther out the smaller `d` is. So two walks from the
//! target's place meet the groups in the order of their distance. Of a small group the
//! nearest are picked; of a large one, which has more than enough, only the part near the
//! target is read: the bits in which the group as a whole differs from the target do not order
//! it, so the search begins anew at the target with those bits replaced by the group's.

use kdht_wire::{Contact, Endpoint, Id};

use super::Wide;
use super::bits::{HIGHEST, blend};
use super::chunk::Entry;
use super::walk::Walk;
use crate::bucket::MEMBERS_MAX;
use crate::closest::{Closest, Hear};
use crate::few::{FEW_MAX, Few, numbers_of};
use crate::planes::{self, Best, Planes, Task};
use crate::window::{NEAR_MAX, closest_of};

// A group larger than can be chosen from is sure to have the rest of the answer.
const _: () = assert!(FEW_MAX >= MEMBERS_MAX);
/// Most searches for one answer. Each goes on at a bit at which its ids branch, one side of
/// them being the target's, so the next group stands apart at a later bit and branches
/// behind that: two bits deeper at least.
const SEARCHES_MAX: u8 = Id::BITS / 2 + 1;

/// Where a search begins.
#[derive(Clone, Copy)]
struct Aim {
    /// The target, its first `depth` bits replaced by those of the ids searched.
    id: Id,
    /// Only ids that share so many bits with `id` are searched.
    depth: u8,
}

/// The answer so far, and what it took.
pub(super) struct Search<'a> {
    k: usize,
    asker: &'a Id,
    pub(super) out: Closest,
    /// Good contacts of one group.
    group: [Contact; FEW_MAX],
    few: Few,
    /// Contacts read.
    pub(super) looked_at: usize,
}

/// [`Wide::fetch`] as a task.
pub(super) struct Fetch<'a> {
    pub(super) wide: &'a Wide,
    pub(super) target: &'a Id,
    pub(super) k: usize,
    pub(super) before: usize,
}

impl Task for Fetch<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, planes: impl Planes) {
        self.wide.directory.fetch(planes, self.target, self.k, self.before);
    }
}

impl Wide {
    /// The `k` (at most 20) good contacts nearest to `target`, in any order, without `asker`.
    /// Fewer only if fewer are known. Never the own id. Exact.
    ///
    /// Cost: O(log contacts + k) for ids as hashes give them, mostly in one chunk; in any
    /// crowd of ids with a common prefix at most one seek of the crowd more. Each contact in
    /// the way that failed is read, but for whole chunks of such. Ids chosen to be in the
    /// way cost a search of three seeks and 65 good contacts, and of those in the way that
    /// failed, for each second bit at which they branch: 81 searches at most.
    #[must_use]
    pub fn closest(&self, target: &Id, k: usize, asker: &Id) -> Closest {
        let mut out = Closest::empty();
        self.tell_closest(target, k, asker, &mut out);
        out
    }

    /// Tells those of [`Wide::closest`].
    #[inline(always)]
    pub(crate) fn tell_closest(&self, target: &Id, k: usize, asker: &Id, to: &mut impl Hear) {
        let (k, runs) = (k.min(MEMBERS_MAX), &self.directory);
        if let Err(told) = closest_of(runs, target, asker, k, to) {
            to.hear(self.searched(target, k, asker).as_slice().iter().skip(told));
        }
    }

    /// Those of [`Wide::closest`], where they are not in a few windows.
    #[cold]
    fn searched(&self, target: &Id, k: usize, asker: &Id) -> Closest {
        self.search(target, k, asker).out
    }

    /// Whether its contacts are too many for the processor's own caches.
    pub(crate) fn is_far(&self) -> bool {
        self.len() > NEAR_MAX
    }

    /// As [`Directory::fetch`](super::directory::Directory::fetch), where that is worth it.
    pub(crate) fn fetch(&self, target: &Id, k: usize, before: usize) {
        if self.is_far() {
            planes::run(Fetch { wide: self, target, k, before });
        }
    }

    pub(super) fn search<'a>(&'a self, target: &Id, k: usize, asker: &'a Id) -> Search<'a> {
        let (k, out) = (k.min(MEMBERS_MAX), Closest::empty());
        let none = Contact::new(Id::ZERO, Endpoint::NONE);
        let (group, few) = ([none; FEW_MAX], Few::new(target, 0));
        let mut search = Search { k, asker, out, group, few, looked_at: 0 };
        let mut aim = Aim { id: *target, depth: 0 };
        for _ in 0..SEARCHES_MAX {
            match self.search_around(aim, &mut search) {
                Some(next) => aim = next,
                None => break,
            }
        }
        search.out = search.out.sorted(target);
        search
    }

    /// Adds group after group. Returns where to go on if one is too large.
    fn search_around<'a>(&'a self, aim: Aim, search: &mut Search<'a>) -> Option<Aim> {
        let (Ok(place) | Err(place)) = self.directory.seek(&aim.id);
        let mut below = self.directory.backward(place);
        let mut above = self.directory.forward(place);
        let depth_of = |entry: Entry| aim.id.shared_prefix(&entry.contact.id);
        let mut depth_below = below.peek().map(depth_of);
        let mut depth_above = above.peek().map(depth_of);
        while search.out.as_slice().len() < search.k {
            // They are equal only where both are at their end.
            let depth = depth_below.max(depth_above).filter(|depth| *depth >= aim.depth)?;
            let is_whole = if depth_above == Some(depth) {
                let is_whole = search.add_group(&aim.id, depth, &mut above);
                depth_above = above.peek().map(depth_of);
                is_whole
            } else {
                let is_whole = search.add_group(&aim.id, depth, &mut below);
                depth_below = below.peek().map(depth_of);
                is_whole
            };
            if !is_whole {
                return self.aim_into(&aim.id, depth);
            }
        }
        None
    }

    /// Where to search those that share exactly `depth` bits with `aim`.
    fn aim_into(&self, aim: &Id, depth: u8) -> Option<Aim> {
        if depth >= Id::BITS {
            return None;
        }
        let inside = aim.with_bit(depth, !aim.bit(depth));
        let lowest = blend(&inside, &Id::ZERO, depth + 1);
        let highest = blend(&inside, &HIGHEST, depth + 1);
        let first = self.directory.from(&lowest).peek()?.contact.id;
        let last = match self.directory.seek(&highest) {
            Ok(_) => highest,
            Err(place) => self.directory.backward(place).peek()?.contact.id,
        };
        // Their common prefix is longer than `depth`, and orders none of them.
        let common = first.shared_prefix(&last);
        Some(Aim { id: blend(&first, aim, common), depth: common })
    }
}

impl<'a> Search<'a> {
    /// Reads those that share exactly `depth` bits with `aim` and adds the nearest of them
    /// to the answer; or, if they are too many, nothing, and returns false.
    fn add_group(&mut self, aim: &Id, depth: u8, walk: &mut impl Walk) -> bool {
        // Those that share exactly so many bits with it share one more with each other.
        self.few.restart(aim, u32::from(depth) + 1);
        loop {
            walk.skip_failing(aim, depth);
            let Some(entry) =
                walk.peek().filter(|entry| aim.shared_prefix(&entry.contact.id) == depth)
            else {
                break;
            };
            self.looked_at += 1;
            if entry.is_good() && entry.contact.id != *self.asker {
                let number = self.few.len();
                if !self.few.add(entry.contact.id.prefix(), true) {
                    return false;
                }
                self.group[number] = entry.contact;
            }
            walk.step();
        }
        let group = &self.group;
        let id_of = |number: usize| &group[number].id;
        let left = self.k - self.out.as_slice().len();
        let nearest = numbers_of(self.few.nearest(Best, aim, left, id_of));
        for number in nearest {
            self.out.push(&group[number]);
        }
        true
    }
}
