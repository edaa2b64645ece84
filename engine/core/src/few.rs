//! A few contacts, of which the nearest to a target are wanted.

use kdht_wire::Id;

pub(crate) use crate::planes::FEW_MAX;
use crate::planes::{Best, GROUP, Planes, Prefixes};

/// At most 64 contacts that share their first bits, numbered as they are added.
#[derive(Debug)]
pub(crate) struct Few {
    /// The first 64 bits of their ids.
    groups: [[u64; GROUP]; FEW_MAX / GROUP],
    len: usize,
    /// The first 64 bits of the target.
    aim: u64,
    /// How many bits they share with each other at least.
    shared: u32,
    /// A bit for each that is not wanted, the lowest for the first.
    unwanted: u64,
    /// How many are wanted.
    wanted: usize,
}

impl Few {
    /// No contacts yet; those to come share their first `shared` bits with each other.
    pub(crate) fn new(target: &Id, shared: u32) -> Self {
        let (groups, aim) = ([[0; GROUP]; FEW_MAX / GROUP], target.prefix());
        Self { groups, len: 0, aim, shared, unwanted: 0, wanted: 0 }
    }

    /// As new.
    pub(crate) fn restart(&mut self, target: &Id, shared: u32) {
        (self.len, self.unwanted, self.wanted) = (0, 0, 0);
        (self.aim, self.shared) = (target.prefix(), shared);
    }

    /// Contacts added.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Contacts added that are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Adds a contact by the first 64 bits of its id. Whether there was room.
    pub(crate) fn add(&mut self, prefix: u64, is_wanted: bool) -> bool {
        self.add_all(&[prefix], u64::from(!is_wanted))
    }

    /// Adds contacts; `unwanted` has a bit for each that is not wanted, the lowest for the first.
    /// Whether there was room; if not, none is added.
    #[inline(always)]
    pub(crate) fn add_all(&mut self, prefixes: &[u64], unwanted: u64) -> bool {
        let (first, end) = (self.len, self.len + prefixes.len());
        let Some(places) = self.groups.as_flattened_mut().get_mut(first..end) else { return false };
        places.copy_from_slice(prefixes);
        let unwanted = unwanted & first_bits(prefixes.len());
        if unwanted != 0 {
            self.unwanted |= unwanted << first;
        }
        self.wanted += prefixes.len() - unwanted.count_ones() as usize;
        self.len = end;
        true
    }

    /// The contact `id`, if it is there, is not wanted. `id_of` tells the id of a number.
    pub(crate) fn strike<'a>(&mut self, id: &Id, id_of: impl Fn(usize) -> &'a Id) {
        if let Some(number) = (0..self.len).find(|number| id_of(*number) == id) {
            self.wanted -= usize::from(self.unwanted >> number & 1 == 0);
            self.unwanted |= 1 << number;
        }
    }

    /// The `k` nearest to `target` of those that are wanted, or all if they are no more: a bit
    /// for each, the lowest for the first. Where the bits looked at do not tell which is nearer,
    /// `id_of` does, by their numbers.
    #[inline(always)]
    pub(crate) fn nearest<'a>(
        &self,
        planes: impl Planes,
        target: &Id,
        k: usize,
        id_of: impl Fn(usize) -> &'a Id,
    ) -> u64 {
        let among = first_bits(self.len) & !self.unwanted;
        if k == 0 {
            return 0;
        }
        if self.wanted <= k {
            return among;
        }
        match planes.nearest(&self.prefixes(self.shared), among, k) {
            None => self.nearest_of_alike(among, k),
            nearest => nearest,
        }
        .unwrap_or_else(|| sorted(among, target, k, id_of))
    }

    /// Where the bits behind those that are known to be shared do not tell: a few may share more
    /// than they were chosen by.
    #[cold]
    fn nearest_of_alike(&self, among: u64, k: usize) -> Option<u64> {
        let prefixes = &self.groups.as_flattened()[..self.len];
        let differing = prefixes.iter().fold(0, |bits, prefix| bits | (prefix ^ prefixes[0]));
        let common = differing.leading_zeros();
        if common > self.shared { Best.nearest(&self.prefixes(common), among, k) } else { None }
    }

    fn prefixes(&self, shared: u32) -> Prefixes<'_> {
        let groups = &self.groups[..self.len.div_ceil(GROUP)];
        Prefixes { groups, aim: self.aim, shared: shared.min(u64::BITS - 1) }
    }
}

/// A bit for each of the first `len` (at most 64) contacts.
pub(crate) fn first_bits(len: usize) -> u64 {
    if len == 0 { 0 } else { u64::MAX >> (FEW_MAX - len) }
}

/// Of the contacts `among`, more than `k`, the `k` nearest to `target`, by all bits of all ids.
#[cold]
pub(crate) fn sorted<'a>(
    among: u64,
    target: &Id,
    k: usize,
    id_of: impl Fn(usize) -> &'a Id,
) -> u64 {
    let (mut numbers, mut len) = ([0; FEW_MAX], 0);
    for number in numbers_of(among) {
        numbers[len] = number;
        len += 1;
    }
    numbers[..len].sort_unstable_by_key(|number| id_of(*number).distance(target));
    numbers[..len.min(k)].iter().fold(0, |picked, number| picked | 1 << number)
}

/// The numbers whose bits are set, in their order.
#[inline(always)]
pub(crate) fn numbers_of(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(
        #[inline(always)]
        move || {
            let rest = bits & bits.checked_sub(1)?;
            Some(core::mem::replace(&mut bits, rest).trailing_zeros() as usize)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planes::Best;
    use crate::rng::Rng;

    #[test]
    fn the_nearest_are_those_of_a_full_sort_however_long_the_common_prefix() {
        for seed in 0..200_u8 {
            let mut rng = Rng::from_seed([seed; 16]);
            for depth in [0, 1, 7, 31, 32, 33, 63, 64, 65, 95, 127, 140, 152] {
                let (base, target) = (rng.id(), rng.id());
                let count = usize::try_from(rng.below(65)).unwrap();
                let mut ids: Vec<(Id, bool)> = Vec::new();
                while ids.len() < count {
                    let random = rng.id();
                    // Some share more bits than are looked at together.
                    let shared = if rng.below(4) == 0 { depth.max(100) } else { depth };
                    let id = (0..shared).fold(random, |id, bit| id.with_bit(bit, base.bit(bit)));
                    if ids.iter().all(|(known, _)| *known != id) {
                        ids.push((id, rng.below(5) > 0));
                    }
                }
                // Fewer shared bits than there are may be told of.
                let shared = u32::try_from(rng.below(u64::from(depth) + 1)).unwrap();
                let mut few = Few::new(&target, shared);
                let mut ids_in_one = ids.clone();
                ids_in_one.iter_mut().for_each(|(_, is_wanted)| *is_wanted = true);
                for (ids, at_once) in [(&ids, false), (&ids_in_one, true), (&ids, true)] {
                    few.restart(&target, shared);
                    let prefixes: Vec<u64> = ids.iter().map(|(id, _)| id.prefix()).collect();
                    if at_once {
                        let unwanted = ids.iter().zip(0..).filter(|((_, wanted), _)| !wanted);
                        let unwanted = unwanted.fold(0, |bits, (_, at)| bits | 1 << at);
                        let (first, rest) = prefixes.split_at(prefixes.len() / 3);
                        // What is above the bits of those that are added may be any.
                        assert!(few.add_all(first, unwanted));
                        let unwanted = unwanted >> first.len() | !first_bits(rest.len());
                        assert!(few.add_all(rest, unwanted));
                    } else {
                        assert!(ids.iter().all(|(id, wanted)| few.add(id.prefix(), *wanted)));
                    }
                    let id_of = |number: usize| &ids[number].0;
                    let struck = ids.first().map_or(target, |(id, _)| *id);
                    if rng.below(2) == 0 {
                        few.strike(&struck, id_of);
                    } else {
                        few.strike(&rng.id(), id_of);
                    }
                    let was_struck = few.unwanted & 1 == 1;
                    let mut sorted: Vec<Id> = ids
                        .iter()
                        .filter(|(id, wanted)| *wanted && !(was_struck && *id == struck))
                        .map(|(id, _)| *id)
                        .collect();
                    assert_eq!(few.wanted(), sorted.len());
                    sorted.sort_by_key(|id| id.distance(&target));
                    for k in [0, 1, 8, 20, 64] {
                        let picked = numbers_of(few.nearest(Best, &target, k, id_of));
                        let mut got: Vec<Id> = picked.map(|number| ids[number].0).collect();
                        got.sort_by_key(|id| id.distance(&target));
                        let nearest = &sorted[..k.min(sorted.len())];
                        assert_eq!(got, nearest, "seed {seed}, depth {depth}, k {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn there_is_room_for_64() {
        let mut few = Few::new(&Id::ZERO, 0);
        assert!(!few.add_all(&[1; 65], 0) && few.len() == 0);
        assert_eq!((0..70).filter(|prefix| few.add(*prefix, true)).count(), FEW_MAX);
        assert!(!few.add_all(&[1], 0));
        few.restart(&Id::ZERO, 0);
        assert!(few.add(7, true) && few.len() == 1);
    }
}
