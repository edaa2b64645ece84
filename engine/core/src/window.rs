//! Who is closest, of contacts that lie sorted by id.
//!
//! Ids that share their first bits with the target lie side by side, and each of them is
//! closer than any other. So where the run that the target belongs to is known to be all that
//! share some bits, and k of them are wanted, the closest k are in it. Else they are in the
//! window of ids that share as many bits with the target as k of them do: how many that may be,
//! the ids around the target tell; few of them give a guess. Of all in the run or the window the
//! nearest are picked at once.

use core::cmp::Ordering;
use core::ops::Range;

use kdht_wire::Id;

use crate::closest::{Hear, Told};
use crate::few::{FEW_MAX, Few, first_bits, sorted};
use crate::planes::{self, Planes, SlicedKeys, Task, key};

/// Most windows for one answer.
const FILLS_MAX: usize = 64;
/// Most runs of a window.
const RUNS_MAX: usize = 3;

/// Most contacts that a processor's own caches are likely to hold: half a megabyte.
pub(crate) const NEAR_MAX: usize = 8_192;

const NO_STARTS: [usize; RUNS_MAX] = [0, FEW_MAX, FEW_MAX];

/// Contacts that lie side by side, sorted by id.
#[derive(Debug)]
pub(crate) struct Run<'a, T> {
    /// The first 64 bits of each one's id.
    pub(crate) prefixes: &'a [u64],
    /// As many.
    pub(crate) contacts: &'a [T],
    /// What is known if they are all contacts that share some bits.
    pub(crate) subtree: Option<Subtree<'a>>,
}

/// All contacts that share some bits: at most 64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subtree<'a> {
    /// How many bits they share.
    pub(crate) depth: u8,
    /// The bits behind these, but for bits behind the first 64.
    pub(crate) keys: &'a SlicedKeys,
}

impl Subtree<'_> {
    /// How many bits its contacts share before their keys, as far as 64 bits tell.
    pub(crate) fn shared(depth: u8) -> u32 {
        u32::from(depth).min(u64::BITS - 1)
    }
}

/// Where the contact with this id is among sorted ones, or would be; `prefixes` are the first
/// 64 bits of their ids. O(log contacts), and of those that share 64 bits with it, each once.
pub(crate) fn find<T: Told>(prefixes: &[u64], contacts: &[T], id: &Id) -> Result<usize, usize> {
    let prefix = id.prefix();
    let lower = prefixes.partition_point(|other| *other < prefix);
    let same = prefixes[lower..].iter().take_while(|other| **other == prefix).count();
    let found = contacts[lower..lower + same].binary_search_by(|contact| contact.id().cmp(id));
    found.map(|at| lower + at).map_err(|at| lower + at)
}

/// Contacts sorted by id, in one run or in several.
pub(crate) trait Runs {
    type Contact: Told;
    /// Where a run is.
    type At: Copy;

    /// Contacts in all.
    fn len(&self) -> usize;
    /// The run to which `id` belongs; none if there are no contacts.
    fn locate(&self, id: &Id) -> Option<Self::At>;
    fn run(&self, at: Self::At) -> Run<'_, Self::Contact>;
    /// A bit for each in the `range` (at most 64) of the run that is not wanted, the lowest for
    /// the first; the bits above may be any.
    fn unwanted(&self, at: Self::At, range: Range<usize>) -> u64;
    /// The run of the next lower ids, which is not empty.
    fn before(&self, at: Self::At) -> Option<Self::At>;
    /// The run of the next higher ids, which is not empty.
    fn after(&self, at: Self::At) -> Option<Self::At>;
}

/// Tells `to` of the `k` contacts nearest to `target` that are wanted and not `but`, in any
/// order. If there are more than 64 where the windows would have to be (with 63 bits in
/// common, or most of them unwanted), or they lie in more than 3 runs, it ends early and the
/// error is how many it told: the nearest ones.
///
/// Cost: O(k + log contacts) where ids are as hashes or k-buckets have them. With ids chosen
/// to be in the way at most 64 windows are tried.
#[inline(always)]
pub(crate) fn closest_of<R: Runs>(
    runs: &R,
    target: &Id,
    but: &Id,
    k: usize,
    to: &mut impl Hear,
) -> Result<(), usize> {
    planes::run(Search { runs, target, but, k, to })
}

/// What [`closest_of`] was asked.
struct Search<'a, R, H> {
    runs: &'a R,
    target: &'a Id,
    but: &'a Id,
    k: usize,
    to: &'a mut H,
}

impl<R: Runs, H: Hear> Task for Search<'_, R, H> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn run(mut self, planes: impl Planes) -> Result<(), usize> {
        let at = self.runs.locate(self.target).filter(|_| self.k > 0);
        let Some(at) = at else { return Ok(()) };
        if self.tell_of_subtree(at) {
            return Ok(());
        }
        self.tell_of_windows(planes, at)
    }
}

impl<R: Runs, H: Hear> Search<'_, R, H> {
    /// Tells of the nearest if they are known to be in the run at `at`, to which the target
    /// belongs. Whether they are.
    #[inline(always)]
    fn tell_of_subtree(&mut self, at: R::At) -> bool {
        let Self { runs, target, but, k, .. } = *self;
        let Run { contacts, subtree, .. } = runs.run(at);
        let Some(Subtree { depth, keys }) = subtree else { return false };
        let (len, shared) = (contacts.len(), Subtree::shared(depth));
        if len < k || len > FEW_MAX {
            return false;
        }
        let mut among = first_bits(len) & !runs.unwanted(at, 0..len);
        if (but.prefix() ^ target.prefix()).leading_zeros() >= shared {
            let struck = contacts.iter().position(|contact| contact.id() == but);
            among &= !struck.map_or(0, |number| 1 << number);
        }
        let nearest = match (among.count_ones() as usize).cmp(&k) {
            Ordering::Less => return false,
            Ordering::Equal => among,
            Ordering::Greater => {
                let id_of = |number: usize| contacts.get(number).map_or(&Id::ZERO, Told::id);
                let nearest = keys.nearest(key(target.prefix(), shared), among, k);
                nearest.unwrap_or_else(|| sorted(among, target, k, id_of))
            }
        };
        self.to.hear_picked(contacts, nearest);
        true
    }

    /// Tells of the nearest, window by window around the run at `at`.
    ///
    /// Where ids that share d + 1 bits with the target are too few and those that share d too
    /// many for one window, the rest of the answer is among those that share exactly d; they are
    /// read in the same way, around the target with its bit d turned over.
    #[inline(always)]
    fn tell_of_windows(self, planes: impl Planes, mut at: R::At) -> Result<(), usize> {
        let Self { runs, target, but, k, to } = self;
        let is_far = runs.len() > NEAR_MAX;
        let mut left = k;
        let mut window = Window::new(target);
        let mut aim = *target;
        // Only ids that share so many bits with the aim are still to be read.
        let mut least = 0;
        let prefixes = runs.run(at).prefixes;
        if is_far && prefixes.len() <= FEW_MAX {
            planes.fetch(prefixes);
        }
        let mut shared = shared_around(prefixes, aim.prefix(), left);
        let mut too_many = None;
        for _ in 0..FILLS_MAX {
            if !window.fill(planes, runs, at, &aim, shared) {
                too_many = Some(shared);
                shared += 1;
                if shared == u64::BITS {
                    break;
                }
                continue;
            }
            if is_far {
                window.runs[..window.count].iter().for_each(|contacts| planes.fetch(contacts));
            }
            if (but.prefix() ^ aim.prefix()).leading_zeros() >= shared {
                window.strike(but);
            }
            if window.few.wanted() >= left || shared == least {
                left -= window.tell(planes, &aim, left, to);
                // Of those beyond `least` others have been told, unless they are all.
                return if left == 0 || least == 0 { Ok(()) } else { Err(k - left) };
            }
            if too_many.is_none_or(|too_many| too_many + 1 < shared) {
                shared -= 1;
                continue;
            }
            left -= window.tell(planes, &aim, left, to);
            let Ok(bit) = u8::try_from(shared - 1) else { break };
            aim = aim.with_bit(bit, !aim.bit(bit));
            (least, too_many) = (shared, None);
            let Some(next) = runs.locate(&aim).filter(|_| left > 0) else { break };
            at = next;
            shared = shared_around(runs.run(at).prefixes, aim.prefix(), left).max(least);
        }
        if left == 0 { Ok(()) } else { Err(k - left) }
    }
}

/// How many bits at least `need` of the ids with these `prefixes` share with `aim`, or about as
/// many: of few ids it is guessed from how dense they are, since others lie beyond them.
#[inline(always)]
fn shared_around(prefixes: &[u64], aim: u64, need: usize) -> u32 {
    if prefixes.len() > FEW_MAX {
        let place = prefixes.partition_point(|prefix| *prefix < aim);
        let (first, last) = (place.saturating_sub(need), place.min(prefixes.len() - need));
        // Of ids side by side the outermost ones share the fewest bits.
        let ends = prefixes[first..=last].iter().zip(&prefixes[first + need - 1..]);
        let farthest = ends.map(|(low, high)| (low ^ aim) | (high ^ aim)).min();
        return farthest.unwrap_or(0).leading_zeros().min(u64::BITS - 1);
    }
    let [first, .., last] = prefixes else { return 0 };
    let gap = (last - first) / (prefixes.len() as u64 - 1);
    gap.saturating_mul(need as u64).leading_zeros().min(u64::BITS - 1)
}

/// The contacts that share a number of bits with the target.
struct Window<'a, T> {
    runs: [&'a [T]; RUNS_MAX],
    /// The number of the first contact of each run; no contact's where there is no run, but
    /// for the first.
    starts: [usize; RUNS_MAX],
    count: usize,
    /// All of them, in the order of runs.
    few: Few,
}

impl<'a, T: Told> Window<'a, T> {
    #[inline(always)]
    fn new(target: &Id) -> Self {
        Self { runs: [&[]; RUNS_MAX], starts: NO_STARTS, count: 0, few: Few::new(target, 0) }
    }

    /// Takes in the contacts that share `shared` bits (at most 63) with `target`. Whether
    /// there was room.
    #[inline(always)]
    fn fill<R: Runs<Contact = T>>(
        &mut self,
        planes: impl Planes,
        runs: &'a R,
        at: R::At,
        target: &Id,
        shared: u32,
    ) -> bool {
        (self.count, self.starts) = (0, NO_STARTS);
        self.few.restart(target, shared);
        let rest = u64::MAX >> shared;
        let (lowest, highest) = (target.prefix() & !rest, target.prefix() | rest);
        let from = |run: &Run<'_, T>| planes.rank(run.prefixes, |prefix| prefix < lowest);
        let to = |run: &Run<'_, T>| planes.rank(run.prefixes, |prefix| prefix <= highest);
        let run = runs.run(at);
        let (first, end) = (from(&run), to(&run));
        if !self.add(runs, at, first..end) {
            return false;
        }
        let mut before = if first == 0 { runs.before(at) } else { None };
        while let Some(at) = before {
            let run = runs.run(at);
            let first = from(&run);
            if !self.add(runs, at, first..run.prefixes.len()) {
                return false;
            }
            before = if first == 0 { runs.before(at) } else { None };
        }
        let mut after = if end == run.prefixes.len() { runs.after(at) } else { None };
        while let Some(at) = after {
            let run = runs.run(at);
            let end = to(&run);
            if !self.add(runs, at, 0..end) {
                return false;
            }
            after = if end == run.prefixes.len() { runs.after(at) } else { None };
        }
        true
    }

    #[inline(always)]
    fn add<R: Runs<Contact = T>>(&mut self, runs: &'a R, at: R::At, range: Range<usize>) -> bool {
        if range.is_empty() {
            return true;
        }
        let (Some(place), true) = (self.runs.get_mut(self.count), range.len() <= FEW_MAX) else {
            return false;
        };
        let run = runs.run(at);
        *place = &run.contacts[range.clone()];
        self.starts[self.count] = self.few.len();
        self.count += 1;
        self.few.add_all(&run.prefixes[range.clone()], runs.unwanted(at, range))
    }

    /// The contact `id` is not wanted.
    fn strike(&mut self, id: &Id) {
        let Self { runs, starts, few, .. } = self;
        few.strike(id, |number| contact(runs, starts, number).map_or(&Id::ZERO, Told::id));
    }

    /// Tells the `k` nearest to `aim` of those that are wanted, or all if they are fewer.
    /// How many they are.
    #[inline(always)]
    fn tell(&self, planes: impl Planes, aim: &Id, k: usize, to: &mut impl Hear) -> usize {
        let Self { runs, starts, few, .. } = self;
        let id_of = |number| contact(runs, starts, number).map_or(&Id::ZERO, Told::id);
        let nearest = few.nearest(planes, aim, k, id_of);
        for (contacts, start) in runs.iter().zip(starts).take(self.count) {
            // The bits of the next runs are behind its last contact.
            let own = nearest.checked_shr(u32::try_from(*start).unwrap_or(0)).unwrap_or(0);
            to.hear_picked(contacts, own & first_bits(contacts.len()));
        }
        few.wanted().min(k)
    }
}

/// The contact of a number, of runs whose first ones' numbers are `starts`.
fn contact<'a, T>(
    runs: &[&'a [T]; RUNS_MAX],
    starts: &[usize; RUNS_MAX],
    number: usize,
) -> Option<&'a T> {
    // Added up, and not searched for: which run it is cannot be guessed.
    let run = usize::from(number >= starts[1]) + usize::from(number >= starts[2]);
    runs[run].get(number - starts[run])
}

#[cfg(test)]
mod tests {
    use kdht_wire::{Contact, Endpoint};

    use super::*;
    use crate::few::numbers_of;
    use crate::rng::Rng;

    struct Known {
        id: Id,
        is_wanted: bool,
    }

    impl Told for Known {
        fn id(&self) -> &Id {
            &self.id
        }

        fn tell(&self, place: &mut Contact) {
            *place = Contact::new(self.id, Endpoint::NONE);
        }
    }

    #[derive(Default)]
    struct Heard(Vec<Id>);

    impl Hear for Heard {
        fn hear<'c, C: Told + 'c>(&mut self, contacts: impl Iterator<Item = &'c C>) {
            self.0.extend(contacts.map(Told::id));
        }

        fn hear_picked<C: Told>(&mut self, contacts: &[C], picked: u64) {
            self.0.extend(numbers_of(picked).map(|number| contacts[number].id()));
        }
    }

    fn below(rng: &mut Rng, end: usize) -> usize {
        usize::try_from(rng.below(end as u64)).unwrap()
    }

    /// Sorted contacts, cut into runs.
    struct Cut {
        runs: Vec<(Vec<u64>, Vec<Known>)>,
    }

    impl Runs for Cut {
        type Contact = Known;
        type At = usize;

        fn len(&self) -> usize {
            self.runs.iter().map(|run| run.1.len()).sum()
        }

        fn locate(&self, id: &Id) -> Option<usize> {
            Some(self.runs.partition_point(|run| run.1[0].id <= *id).saturating_sub(1))
        }

        fn run(&self, at: usize) -> Run<'_, Known> {
            let (prefixes, contacts) = &self.runs[at];
            Run { prefixes, contacts, subtree: None }
        }

        fn unwanted(&self, at: usize, range: Range<usize>) -> u64 {
            let unwanted = self.runs[at].1[range].iter().map(|known| !known.is_wanted);
            unwanted.zip(0..).fold(0, |bits, (is, number)| bits | u64::from(is) << number)
        }

        fn before(&self, at: usize) -> Option<usize> {
            at.checked_sub(1)
        }

        fn after(&self, at: usize) -> Option<usize> {
            Some(at + 1).filter(|at| *at < self.runs.len())
        }
    }

    /// How ids lie: `seed` of seven ways, the first five of them as tables have them.
    fn shaped_ids(rng: &mut Rng, centre: &Id, seed: u8) -> Vec<Id> {
        let shared = |id: Id, bits| (0..bits).fold(id, |id, bit| id.with_bit(bit, centre.bit(bit)));
        let mut ids: Vec<Id> = (0..usize::from(seed) * 2 + 1)
            .map(|number| match seed % 7 {
                0 => rng.id(),
                1 => shared(rng.id(), 5),
                2 => shared(rng.id(), if number % 10 == 0 { 0 } else { 12 }),
                // As buckets of 8 or of 20 hold them.
                way @ (3 | 4) => {
                    let depth = u8::try_from(number / if way == 3 { 8 } else { 20 }).unwrap();
                    shared(rng.id(), depth).with_bit(depth, !centre.bit(depth))
                }
                5 => shared(rng.id(), [63, 64, 70, 155][below(rng, 4)]),
                _ => shared(rng.id(), 155),
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    #[test]
    fn the_closest_are_those_of_a_full_sort_or_it_is_said_how_many_are() {
        let (mut asked, mut answered) = (0, 0);
        for seed in 0..=255_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            let centre = rng.id();
            let ids = shaped_ids(&mut rng, &centre, seed);
            let (mut runs, mut rest) = (Vec::new(), &ids[..]);
            while !rest.is_empty() {
                let (run, after) = rest.split_at(rest.len().min(24 + below(&mut rng, 41)));
                let unwanted = [0, 10][below(&mut rng, 2)];
                let known = |id: &Id| Known { id: *id, is_wanted: rng.below(100) >= unwanted };
                let contacts: Vec<Known> = run.iter().map(known).collect();
                runs.push((run.iter().map(Id::prefix).collect::<Vec<u64>>(), contacts));
                rest = after;
            }
            let cut = Cut { runs };
            for _ in 0..20 {
                let any = ids[below(&mut rng, ids.len())];
                let depth = u8::try_from(below(&mut rng, 30)).unwrap();
                let near = (0..depth).fold(rng.id(), |id, bit| id.with_bit(bit, centre.bit(bit)));
                let target = [any, near, rng.id()][below(&mut rng, 3)];
                let but = if rng.below(2) == 0 { any } else { rng.id() };
                let k = below(&mut rng, 21);
                let mut got = Heard::default();
                let told = closest_of(&cut, &target, &but, k, &mut got);
                if seed % 7 < 5 {
                    asked += 1;
                    answered += usize::from(told.is_ok());
                }
                let all = cut.runs.iter().flat_map(|run| &run.1);
                let wanted = all.filter(|known| known.is_wanted && known.id != but);
                let mut wanted: Vec<Id> = wanted.map(|known| known.id).collect();
                let mut got = got.0;
                got.sort_by_key(|id| id.distance(&target));
                wanted.sort_by_key(|id| id.distance(&target));
                wanted.truncate(told.err().unwrap_or(k));
                assert_eq!(got, wanted, "seed {seed}, k {k}");
            }
        }
        assert!(answered * 100 >= asked * 99, "{answered} of {asked} answered");
    }
}
