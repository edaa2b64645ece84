//! IP groups: how many contacts may stand at addresses that one owner is likely to have.

use alloc::boxed::Box;
use alloc::vec;

use kdht_wire::Endpoint;

/// How many contacts of one IP group (an IPv4 /24, an IPv6 /64) a table keeps, so that
/// whoever has one network cannot fill it (geth has the same numbers).
///
/// Replacements count like members: a group's share of the replacement cache is its share
/// of the bucket to come. Loopback is exempt, and so are private addresses in a keyed
/// network unless [`crate::Config::caps_private`] says otherwise: there many nodes share
/// an address by design.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caps {
    /// Contacts of one group in one bucket.
    pub bucket_max: u16,
    /// Contacts of one group in one table.
    pub table_max: u16,
    /// Whether private addresses count for nothing.
    pub exempt_private: bool,
}

impl Caps {
    /// No limit.
    pub const NONE: Self = Self { bucket_max: u16::MAX, table_max: u16::MAX, exempt_private: true };

    /// The group that `endpoint` counts for; nothing if it is exempt.
    pub(crate) fn group_of(&self, endpoint: &Endpoint) -> Option<Group> {
        let exempt = endpoint.is_loopback() || self.exempt_private && endpoint.is_private();
        (!exempt).then(|| Group::of(endpoint))
    }
}

/// One IP group. The families have tables of their own, so none is mistaken for another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Group(u64);

impl Group {
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let mut prefix = [0; 8];
        if endpoint.is_v4() {
            prefix[..3].copy_from_slice(&endpoint.ip[12..15]);
        } else {
            prefix.copy_from_slice(&endpoint.ip[..8]);
        }
        Self(u64::from_le_bytes(prefix))
    }
}

/// How many contacts of each group a table holds at most: counts by a hash of the group, so
/// that the table is searched only where a count says that a cap may be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupCounts {
    /// None, or a power of two of them. A count at 255 stays there, and says nothing.
    counts: Box<[u8]>,
}

/// Counts to begin with.
const COUNTS_MIN: usize = 16;

impl GroupCounts {
    /// No fewer than the group's contacts.
    pub(crate) fn at_most(&self, group: Group) -> usize {
        match self.slot(group).map(|slot| self.counts[slot]) {
            None => 0,
            Some(u8::MAX) => usize::MAX,
            Some(count) => usize::from(count),
        }
    }

    /// Whether there are too few counts for `contacts`, so that [`GroupCounts::rebuild`]
    /// is due.
    pub(crate) fn is_outgrown_by(&self, contacts: usize) -> bool {
        contacts > 4 * self.counts.len()
    }

    /// Counts all `groups` anew, of as many contacts.
    pub(crate) fn rebuild(&mut self, contacts: usize, groups: impl Iterator<Item = Group>) {
        let len = (contacts.next_power_of_two() / 2).max(COUNTS_MIN);
        self.counts = vec![0; len].into_boxed_slice();
        groups.for_each(|group| self.add(group));
    }

    pub(crate) fn add(&mut self, group: Group) {
        if let Some(slot) = self.slot(group) {
            self.counts[slot] = self.counts[slot].saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, group: Group) {
        if let Some(slot) = self.slot(group).filter(|slot| self.counts[*slot] < u8::MAX) {
            self.counts[slot] = self.counts[slot].saturating_sub(1);
        }
    }

    /// Collisions cost a search and nothing else, so the hash needs no key.
    fn slot(&self, group: Group) -> Option<usize> {
        let mask = self.counts.len().checked_sub(1)?;
        let mixed = group.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        // The mask keeps it inside.
        Some(usize::try_from(mixed).unwrap_or(0) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(ip: &str) -> Option<Group> {
        let addr: core::net::SocketAddr = ip.parse().unwrap();
        let caps = Caps { bucket_max: 2, table_max: 10, exempt_private: true };
        caps.group_of(&addr.into())
    }

    #[test]
    fn a_group_is_a_24_or_a_64_of_addresses_that_are_not_exempt() {
        assert_eq!(group("20.1.2.3:1"), group("20.1.2.200:9"));
        assert_ne!(group("20.1.2.3:1"), group("20.1.3.3:1"));
        assert_eq!(group("[2001:db8:1:2::1]:1"), group("[2001:db8:1:2:ff::9]:1"));
        assert_ne!(group("[2001:db8:1:2::1]:1"), group("[2001:db8:1:3::1]:1"));
        for exempt in ["127.0.0.1:1", "[::1]:1", "10.0.0.1:1", "192.168.3.4:1", "[fd00::1]:1"] {
            assert_eq!(group(exempt), None, "{exempt}");
        }
        let counted = Caps { exempt_private: false, ..Caps::NONE };
        let addr: core::net::SocketAddr = "10.0.0.1:1".parse().unwrap();
        assert!(counted.group_of(&addr.into()).is_some());
    }

    #[test]
    fn counts_are_never_below_the_truth() {
        let mut counts = GroupCounts::default();
        let groups: Vec<Group> = (0..2_000_u64).map(|at| Group(at % 7 * 0x0100)).collect();
        counts.rebuild(40, groups[..40].iter().copied());
        groups[40..].iter().for_each(|group| counts.add(*group));
        groups[..300].iter().for_each(|group| counts.remove(*group));
        for group in &groups[..7] {
            let truth = groups[300..].iter().filter(|other| *other == group).count();
            assert!(counts.at_most(*group) >= truth);
        }
    }
}
