//! Connections counted by where they come from.

use std::collections::HashMap;

use kdht_wire::Endpoint;

/// Connections of each IPv4 address or IPv6 /64; no more entries than connections.
#[derive(Debug, Default)]
pub(super) struct Groups {
    counts: HashMap<[u8; 16], usize>,
}

/// The group of an endpoint; nothing where many nodes share an address by design: loopback,
/// and private addresses in a keyed network.
pub(super) fn group_of(peer: &Endpoint, is_keyed: bool) -> Option<[u8; 16]> {
    if peer.is_loopback() || is_keyed && peer.is_private() {
        return None;
    }
    let mut group = peer.ip;
    if !peer.is_v4() {
        group[8..].fill(0);
    }
    Some(group)
}

impl Groups {
    /// Counts one more, unless there are `max`.
    pub(super) fn enter(&mut self, group: [u8; 16], max: usize) -> bool {
        let count = self.counts.entry(group).or_default();
        let fits = *count < max;
        *count += usize::from(fits);
        if *count == 0 {
            self.counts.remove(&group);
        }
        fits
    }

    /// Counts one less.
    pub(super) fn leave(&mut self, group: &[u8; 16]) {
        let Some(count) = self.counts.get_mut(group) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(addr: &str, is_keyed: bool) -> Option<[u8; 16]> {
        group_of(&Endpoint::from(addr.parse::<std::net::SocketAddr>().unwrap()), is_keyed)
    }

    #[test]
    fn a_group_is_an_address_or_a_64_and_loopback_has_none() {
        assert_eq!(group("192.0.2.1:1", false), group("192.0.2.1:2", false));
        assert_ne!(group("192.0.2.1:1", false), group("192.0.2.2:1", false));
        assert_eq!(group("[2001:db8::1]:1", false), group("[2001:db8::2]:1", false));
        assert_ne!(group("[2001:db8::1]:1", false), group("[2001:db8:0:1::1]:1", false));
        assert_eq!(group("127.0.0.9:1", false), None);
        assert_eq!(group("[::1]:1", false), None);
        assert!(group("10.0.0.1:1", false).is_some());
        assert_eq!(group("10.0.0.1:1", true), None);
    }

    #[test]
    fn no_more_enter_than_may_and_nothing_is_kept_of_those_that_left() {
        let mut groups = Groups::default();
        let group = [3; 16];
        assert!(!groups.enter(group, 0));
        assert!(groups.counts.is_empty());
        assert!(groups.enter(group, 2) && groups.enter(group, 2) && !groups.enter(group, 2));
        assert!(groups.enter([4; 16], 2));
        groups.leave(&group);
        assert!(groups.enter(group, 2));
        groups.leave(&group);
        groups.leave(&group);
        groups.leave(&[4; 16]);
        groups.leave(&[5; 16]);
        assert!(groups.counts.is_empty());
    }
}
