//! What shards with a wide table tell each other: see [`crate::cells`].

use alloc::vec::Vec;

use kdht_wire::Id;

use super::Sharding;
use crate::cells::{Cells, NEIGHBOURS_MAX, PRIVATE_FROM, PRIVATE_TO};
use crate::contact::Liveness;
use crate::note::{Addressee, Note};
use crate::wide::{Change, Wide};

/// What one family's wide table needs to be divided.
#[derive(Debug)]
pub(crate) struct Division {
    pub(crate) cells: Cells,
    /// Good contacts in each cell that is this shard's.
    good: Vec<u32>,
    /// Good contacts in the own neighbourhood, if it is this shard's.
    neighbours: usize,
    contacts_max: usize,
    /// What each shard holds, as it last told.
    held: Vec<u32>,
}

/// How many contacts come or go until a shard tells the others how many it holds: the node
/// may hold so many too many for each shard.
const HELD_STEP: usize = 64;

impl Division {
    pub(crate) fn new(own: Id, shards: u8, contacts_max: usize) -> Self {
        Self {
            cells: Cells::new(own, shards),
            good: alloc::vec![0; 256],
            neighbours: 0,
            contacts_max,
            held: alloc::vec![0; usize::from(shards)],
        }
    }

    /// How many contacts this shard may hold.
    pub(crate) fn contacts_max(&self, shard: u8) -> usize {
        let others = self.held.iter().enumerate().filter(|(at, _)| *at != usize::from(shard));
        let held: usize = others.map(|(_, held)| *held as usize).sum();
        self.contacts_max.saturating_sub(held)
    }

    pub(crate) fn set_held(&mut self, shard: u8, held: u32) {
        if let Some(known) = self.held.get_mut(usize::from(shard)) {
            *known = held;
        }
    }
}

impl Sharding {
    /// Tells the others what they are to know of a change in this shard's part of the
    /// table. Whether there was one.
    pub(super) fn tell_change(&mut self, family: usize, wide: &Wide, change: Change) -> bool {
        let (id, added) = match change {
            Change::None => return false,
            Change::Added(contact) => (contact.id, Some(contact)),
            Change::Removed(id) => (id, None),
        };
        self.tell_held(family, wide);
        let cell = Cells::of(&id);
        if cell == Cells::of(&self.own) {
            self.change_neighbourhood(family, wide, &id, added.is_some());
        } else {
            self.change_cell(family, wide, cell, added.is_some());
        }
        let Some(division) = &self.divisions[family] else { return true };
        if division.cells.is_shared(&id) {
            let known = wide.get(&id).map(|entry| entry.contact);
            let note = match (added, known) {
                (Some(contact), _) => Some(Note::Standing(contact, Liveness::Good)),
                (None, known) => known.map(Note::Gone),
            };
            if let Some(note) = note {
                self.note(Addressee::Others, note);
            }
        }
        true
    }

    fn tell_held(&mut self, family: usize, wide: &Wide) {
        let (shard, held) = (usize::from(self.shard), wide.len());
        let Some(division) = self.divisions[family].as_mut() else { return };
        if held.abs_diff(division.held[shard] as usize) >= HELD_STEP {
            division.held[shard] = u32::try_from(held).unwrap_or(u32::MAX);
            let note = Note::Held { is_v4: family == 0, count: division.held[shard] };
            self.note(Addressee::Others, note);
        }
    }

    fn change_cell(&mut self, family: usize, wide: &Wide, cell: u8, is_more: bool) {
        let Some(division) = self.divisions[family].as_mut() else { return };
        let good = &mut division.good[usize::from(cell)];
        *good = if is_more { good.saturating_add(1) } else { good.saturating_sub(1) };
        let (good, was_private) = (*good as usize, division.cells.is_private(cell));
        let is_private = if was_private { good >= PRIVATE_TO } else { good >= PRIVATE_FROM };
        if is_private == was_private {
            return;
        }
        division.cells.set_private(cell, is_private);
        self.note(Addressee::Others, Note::Cell { is_v4: family == 0, cell, is_private });
        if !is_private {
            self.tell_cell(wide, cell);
        }
    }

    fn change_neighbourhood(&mut self, family: usize, wide: &Wide, id: &Id, is_more: bool) {
        let own = self.own;
        let Some(division) = self.divisions[family].as_mut() else { return };
        let (mut depth, was_crowded) = division.cells.neighbourhood();
        if own.shared_prefix(id) < depth {
            return;
        }
        let count = &mut division.neighbours;
        *count = if is_more { *count + 1 } else { count.saturating_sub(1) };
        let old_depth = depth;
        while *count > NEIGHBOURS_MAX && depth < Id::BITS {
            depth += 1;
            *count = wide.range(own, depth).filter(|entry| entry.is_good()).count();
        }
        let is_crowded = if was_crowded { *count >= PRIVATE_TO } else { *count >= PRIVATE_FROM };
        if (depth, is_crowded) != (old_depth, was_crowded) {
            division.cells.set_neighbourhood(depth, is_crowded);
            let note = Note::Neighbourhood { is_v4: family == 0, depth, is_crowded };
            self.note(Addressee::Others, note);
        }
    }

    fn tell_cell(&mut self, wide: &Wide, cell: u8) {
        let mut prefix = Id::ZERO;
        prefix.0[0] = cell;
        for entry in wide.range(prefix, 8).filter(|entry| entry.is_good()) {
            self.note(Addressee::Others, Note::Standing(entry.contact, Liveness::Good));
        }
    }

    /// All that another shard needs to know of this one's part of a table.
    pub(super) fn retell_wide(&self, family: usize, wide: &Wide, mut note: impl FnMut(Note)) {
        let Some(division) = &self.divisions[family] else { return };
        let (is_v4, cells) = (family == 0, &division.cells);
        note(Note::Held { is_v4, count: division.held[usize::from(self.shard)] });
        for cell in (0..=u8::MAX).filter(|cell| cells.owner(*cell) == self.shard) {
            if cell == Cells::of(&self.own) {
                let (depth, is_crowded) = cells.neighbourhood();
                note(Note::Neighbourhood { is_v4, depth, is_crowded });
            } else {
                note(Note::Cell { is_v4, cell, is_private: cells.is_private(cell) });
            }
        }
        let shared =
            wide.iter().filter(|entry| entry.is_good() && cells.is_shared(&entry.contact.id));
        shared.for_each(|entry| note(Note::Standing(entry.contact, Liveness::Good)));
    }

    /// A cell, or what is known of the own one, changed: forgets what is known here no more.
    pub(super) fn forget_private(&mut self, family: usize) {
        let Some(division) = &self.divisions[family] else { return };
        let cells = &division.cells;
        self.replicas[family].retain(|id| cells.is_shared(id));
    }
}
