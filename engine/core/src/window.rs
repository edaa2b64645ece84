//! Who is closest, of contacts that lie sorted by id.
//!
//! Ids that share their first bits with the target lie side by side, and each of them is
//! closer than any other. So the closest k are in the window of ids that share as many bits
//! with the target as k of them do; and all in the window are put in order at once. How many
//! bits that may be is guessed from how dense ids lie around the target.

use core::cmp::Ordering;

use kdht_wire::Id;

use crate::order::{ORDER_MAX, Order};

/// Most windows for one answer.
const FILLS_MAX: usize = 64;
/// Most runs of a window.
const RUNS_MAX: usize = 3;

const NO_STARTS: [usize; RUNS_MAX] = [0, ORDER_MAX, ORDER_MAX];

/// What lies sorted by id.
pub(crate) trait Sorted {
    fn id(&self) -> &Id;
}

/// Contacts that lie side by side, sorted by id.
#[derive(Debug)]
pub(crate) struct Run<'a, T> {
    /// The first 64 bits of each one's id.
    pub(crate) prefixes: &'a [u64],
    /// As many.
    pub(crate) contacts: &'a [T],
    /// Whether all are known to be wanted.
    pub(crate) is_clean: bool,
}

/// Where the contact with this id is among sorted ones, or would be; `prefixes` are the first
/// 64 bits of their ids. O(log contacts), and of those that share 64 bits with it, each once.
pub(crate) fn find<T: Sorted>(prefixes: &[u64], contacts: &[T], id: &Id) -> Result<usize, usize> {
    let prefix = id.prefix();
    let lower = prefixes.partition_point(|other| *other < prefix);
    let same = prefixes[lower..].iter().take_while(|other| **other == prefix).count();
    let found = contacts[lower..lower + same].binary_search_by(|contact| contact.id().cmp(id));
    found.map(|at| lower + at).map_err(|at| lower + at)
}

/// Contacts sorted by id, in one run or in several.
pub(crate) trait Runs {
    type Contact: Sorted;
    /// Where a run is.
    type At: Copy;

    /// The run in which `id` is, or would be; none if there are no contacts.
    fn locate(&self, id: &Id) -> Option<Self::At>;
    fn run(&self, at: Self::At) -> Run<'_, Self::Contact>;
    /// The run of the next lower ids, which is not empty.
    fn before(&self, at: Self::At) -> Option<Self::At>;
    /// The run of the next higher ids, which is not empty.
    fn after(&self, at: Self::At) -> Option<Self::At>;
}

/// Calls `take` with the `k` contacts nearest to `target` that are `wanted` and not `but`,
/// nearest first. If there are more than 64 where the windows would have to be (with 63
/// bits in common, or most of them unwanted), or they lie in more than 3 runs, it ends early
/// and the error is how many it called `take` for: the nearest ones.
///
/// Where ids that share d + 1 bits with the target are too few and those that share d too
/// many for one window, the rest of the answer is among those that share exactly d; they are
/// read in the same way, around the target with its bit d turned over.
///
/// Cost: O(k + log contacts) where ids are as hashes or k-buckets have them. With ids chosen
/// to be in the way at most 64 windows are tried.
pub(crate) fn closest_of<'a, R: Runs>(
    runs: &'a R,
    target: &Id,
    but: &Id,
    k: usize,
    wanted: impl Fn(&R::Contact) -> bool,
    mut take: impl FnMut(&'a R::Contact),
) -> Result<(), usize> {
    let mut left = k;
    let Some(mut at) = runs.locate(target).filter(|_| k > 0) else { return Ok(()) };
    let mut window = Window::new(target);
    let mut aim = *target;
    // Only ids that share so many bits with the aim are still to be read.
    let mut least = 0;
    let mut shared = shared_around(runs.run(at).prefixes, aim.prefix(), left);
    let mut too_many = None;
    for _ in 0..FILLS_MAX {
        if !window.fill(runs, at, &aim, shared, &wanted) {
            too_many = Some(shared);
            shared += 1;
            if shared == u64::BITS {
                break;
            }
            continue;
        }
        let is_enough = match window.order.wanted().cmp(&left) {
            Ordering::Greater => true,
            // A bucket may have just as many.
            Ordering::Equal => !window.order.has(but.prefix()),
            Ordering::Less => false,
        };
        if is_enough || shared == least {
            window.tell(&aim, but, &mut left, &mut take);
            // Of those beyond `least` others have been told, unless they are all.
            return if left == 0 || least == 0 { Ok(()) } else { Err(k - left) };
        }
        if too_many.is_none_or(|too_many| too_many + 1 < shared) {
            shared -= 1;
            continue;
        }
        window.tell(&aim, but, &mut left, &mut take);
        let Ok(bit) = u8::try_from(shared - 1) else { break };
        aim = aim.with_bit(bit, !aim.bit(bit));
        (least, too_many) = (shared, None);
        let Some(next) = runs.locate(&aim).filter(|_| left > 0) else { break };
        at = next;
        shared = shared_around(runs.run(at).prefixes, aim.prefix(), left).max(least);
    }
    if left == 0 { Ok(()) } else { Err(k - left) }
}

/// Bits that are shared with `aim` by about `need` ids, or up to twice as many, as far as
/// the `prefixes` around it tell.
fn shared_around(prefixes: &[u64], aim: u64, need: usize) -> u32 {
    let around = if prefixes.len() <= ORDER_MAX {
        prefixes
    } else {
        let place = prefixes.partition_point(|prefix| *prefix < aim);
        let from = place.saturating_sub(ORDER_MAX / 2).min(prefixes.len() - ORDER_MAX);
        &prefixes[from..from + ORDER_MAX]
    };
    let [first, .., last] = around else { return 0 };
    let gap = (last - first) / (around.len() as u64 - 1);
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
    order: Order,
}

impl<'a, T: Sorted> Window<'a, T> {
    fn new(target: &Id) -> Self {
        let order = Order::new(target, 0);
        Self { runs: [&[]; RUNS_MAX], starts: NO_STARTS, count: 0, order }
    }

    /// Takes in the contacts that share `shared` bits (at most 63) with `target`. Whether
    /// there was room.
    fn fill<R: Runs<Contact = T>>(
        &mut self,
        runs: &'a R,
        at: R::At,
        target: &Id,
        shared: u32,
        wanted: &impl Fn(&T) -> bool,
    ) -> bool {
        (self.count, self.starts) = (0, NO_STARTS);
        self.order.restart(target, shared);
        let rest = u64::MAX >> shared;
        let (lowest, highest) = (target.prefix() & !rest, target.prefix() | rest);
        let from = |run: &Run<'_, T>| run.prefixes.partition_point(|prefix| *prefix < lowest);
        let to = |run: &Run<'_, T>| run.prefixes.partition_point(|prefix| *prefix <= highest);
        let run = runs.run(at);
        let (first, end) = (from(&run), to(&run));
        if !self.add(&run, first, end, wanted) {
            return false;
        }
        let mut before = if first == 0 { runs.before(at) } else { None };
        while let Some(at) = before {
            let run = runs.run(at);
            let first = from(&run);
            if !self.add(&run, first, run.prefixes.len(), wanted) {
                return false;
            }
            before = if first == 0 { runs.before(at) } else { None };
        }
        let mut after = if end == run.prefixes.len() { runs.after(at) } else { None };
        while let Some(at) = after {
            let run = runs.run(at);
            let end = to(&run);
            if !self.add(&run, 0, end, wanted) {
                return false;
            }
            after = if end == run.prefixes.len() { runs.after(at) } else { None };
        }
        true
    }

    fn add(
        &mut self,
        run: &Run<'a, T>,
        first: usize,
        end: usize,
        wanted: &impl Fn(&T) -> bool,
    ) -> bool {
        if first == end {
            return true;
        }
        let Some(place) = self.runs.get_mut(self.count) else { return false };
        let (prefixes, contacts) = (&run.prefixes[first..end], &run.contacts[first..end]);
        *place = contacts;
        self.starts[self.count] = self.order.len();
        self.count += 1;
        if run.is_clean {
            return self.order.add_all(prefixes);
        }
        let mut both = prefixes.iter().zip(contacts);
        both.all(|(prefix, contact)| self.order.add(*prefix, wanted(contact)))
    }

    /// Calls `take` with those that are wanted and not `but`, nearest to `aim` first, as long
    /// as some are `left`.
    fn tell(&self, aim: &Id, but: &Id, left: &mut usize, take: &mut impl FnMut(&'a T)) {
        self.order.nearest(
            aim,
            |number| self.contact(number).map_or(&Id::ZERO, Sorted::id),
            |number| {
                let Some(contact) = self.contact(number) else { return false };
                // Mostly the first bits tell that it is another.
                if contact.id().prefix() != but.prefix() || contact.id() != but {
                    take(contact);
                    *left -= 1;
                }
                *left > 0
            },
        );
    }

    /// The contact of a number of its order.
    fn contact(&self, number: usize) -> Option<&'a T> {
        // Added up, and not searched for: which run it is cannot be guessed.
        let run = usize::from(number >= self.starts[1]) + usize::from(number >= self.starts[2]);
        self.runs[run].get(number - self.starts[run])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    struct Known {
        id: Id,
        is_wanted: bool,
    }

    impl Sorted for Known {
        fn id(&self) -> &Id {
            &self.id
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

        fn locate(&self, id: &Id) -> Option<usize> {
            Some(self.runs.partition_point(|run| run.1[0].id <= *id).saturating_sub(1))
        }

        fn run(&self, at: usize) -> Run<'_, Known> {
            let (prefixes, contacts) = &self.runs[at];
            let is_clean = contacts.iter().all(|known| known.is_wanted);
            Run { prefixes, contacts, is_clean }
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
                let mut got = Vec::new();
                let wanted = |known: &Known| known.is_wanted;
                let told = closest_of(&cut, &target, &but, k, wanted, |known| got.push(known.id));
                if seed % 7 < 5 {
                    asked += 1;
                    answered += usize::from(told.is_ok());
                }
                let all = cut.runs.iter().flat_map(|run| &run.1);
                let wanted = all.filter(|known| known.is_wanted && known.id != but);
                let mut wanted: Vec<Id> = wanted.map(|known| known.id).collect();
                wanted.sort_by_key(|id| id.distance(&target));
                wanted.truncate(told.err().unwrap_or(k));
                assert_eq!(got, wanted, "seed {seed}, k {k}");
            }
        }
        assert!(answered * 100 >= asked * 99, "{answered} of {asked} answered");
    }
}
