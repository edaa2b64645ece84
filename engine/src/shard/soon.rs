//! The datagrams of a batch that come next: what they ask for can be on its way from memory
//! while others are handled.

use crate::io::Datagram;

/// How many datagrams ahead the farthest is: a step of [`kdht_core::Node::fetch`] each.
const AHEAD: usize = 3;

/// A walk of the batch for each step, so many datagrams ahead.
pub(super) struct Soon<B>(Option<[B; AHEAD]>);

impl<'a, B: Iterator<Item = Datagram<'a>> + Clone> Soon<B> {
    /// Those behind the first of `batch`; none unless they are `wanted`.
    pub(super) fn of(batch: &B, wanted: bool) -> Self {
        let ahead = |step| {
            let mut ahead = batch.clone();
            ahead.nth(step);
            ahead
        };
        Self(wanted.then(|| std::array::from_fn(ahead)))
    }

    /// To be called before each datagram of the batch is handled: calls `each` with those that
    /// come next, and after how many.
    pub(super) fn step(&mut self, mut each: impl FnMut(usize, Datagram<'a>)) {
        for (ahead, before) in self.0.iter_mut().flatten().zip(1..) {
            if let Some(datagram) = ahead.next() {
                each(before, datagram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kdht_core::Route;

    use super::*;

    #[test]
    fn each_datagram_is_named_as_many_before_it_as_there_are_up_to_three() {
        let route = Route::default();
        let bytes = [[0], [1], [2], [3], [4]];
        for len in 0..=bytes.len() {
            let batch = bytes[..len].iter().map(|bytes| Datagram { bytes, route: &route });
            let mut soon = Soon::of(&batch, true);
            for at in 0..len {
                let mut named = Vec::new();
                soon.step(|before, datagram| named.push((before, usize::from(datagram.bytes[0]))));
                let wanted: Vec<(usize, usize)> =
                    (1..=3).map(|before| (before, at + before)).filter(|it| it.1 < len).collect();
                assert_eq!(named, wanted, "{len} datagrams, at {at}");
            }
            Soon::of(&batch, false).step(|_, _| panic!("none is wanted"));
        }
    }
}
