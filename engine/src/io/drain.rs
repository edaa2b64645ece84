//! How a queue of datagrams is handed to a kernel that may refuse any of them: apart from
//! the system call, so that every refusal can be played.

use rustix::io::Errno;

use super::datapath::DatapathCounters;

/// What a refusal means for the datagram at the queue's head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Not this datagram's fault: an error left over from an earlier one, or a signal.
    Leftover,
    /// The kernel has no room, and would not have it for those behind either.
    Full,
    /// This datagram found no room; those behind may leave by another interface.
    NoRoom,
    /// No way to this peer from the address asked.
    Unreachable,
    /// The host forbids this datagram.
    Denied,
    /// Anything else that ails this datagram alone.
    Other,
}

impl Refusal {
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::CONNREFUSED | Errno::INTR => Self::Leftover,
            Errno::AGAIN => Self::Full,
            Errno::NOBUFS | Errno::NOMEM => Self::NoRoom,
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::ADDRNOTAVAIL => Self::Unreachable,
            Errno::PERM | Errno::ACCESS => Self::Denied,
            _ => Self::Other,
        }
    }

    /// Counts `dropped` datagrams as dropped for this reason.
    pub(super) fn count(self, dropped: usize, counters: &mut DatapathCounters) {
        *match self {
            Self::Full | Self::NoRoom => &mut counters.send_errors_would_block,
            Self::Unreachable | Self::Leftover => &mut counters.send_errors_unreachable,
            Self::Denied => &mut counters.send_errors_denied,
            Self::Other => &mut counters.send_errors_other,
        } += dropped as u64;
    }
}

/// Hands datagrams `0..count` to `send`, in order, and counts each exactly once: as sent by
/// the caller's `send`, or here as dropped for one reason.
///
/// `send(first)` offers `first..count` to the kernel and says how many, at least one, it
/// took from the front. A refused datagram does not keep those behind it from leaving,
/// unless the kernel is full; then all of them are dropped, for waiting would stall the
/// shard. At most two calls of `send` per datagram.
pub(super) fn drain(
    count: usize,
    counters: &mut DatapathCounters,
    mut send: impl FnMut(usize, &mut DatapathCounters) -> Result<usize, Errno>,
) {
    let mut first = 0;
    // Leftover errors are cleared by being told, so one more try is enough; the bound is
    // for a kernel that tells the same error for ever.
    let mut retried = false;
    while first < count {
        counters.send_syscalls += 1;
        let refusal = match send(first, counters) {
            // A kernel that takes none and tells no error would loop for ever.
            Ok(0) => Refusal::Other,
            Ok(taken) => {
                first += taken;
                retried = false;
                continue;
            }
            Err(errno) => Refusal::of(errno),
        };
        let dropped = match refusal {
            Refusal::Leftover if !retried => {
                retried = true;
                continue;
            }
            Refusal::Full => count - first,
            _ => 1,
        };
        refusal.count(dropped, counters);
        first += dropped;
        retried = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny seeded generator (splitmix64).
    struct Rng(u64);

    impl Rng {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
        }
    }

    /// What becomes of each datagram in a played kernel.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Fate {
        Taken,
        TakenAfterALeftover,
        Refused(Errno),
    }

    #[test]
    fn each_datagram_is_sent_or_counted_once_and_none_behind_a_refusal_is_lost() {
        let refusals =
            [Errno::PERM, Errno::NETUNREACH, Errno::NOBUFS, Errno::INVAL, Errno::MSGSIZE];
        for seed in 0..2000 {
            let mut rng = Rng(seed);
            let mut fates: Vec<Fate> = (0..rng.below(20))
                .map(|_| match rng.below(6) {
                    0 => Fate::Refused(refusals[rng.below(refusals.len())]),
                    1 => Fate::TakenAfterALeftover,
                    2 => Fate::Refused(Errno::CONNREFUSED),
                    _ => Fate::Taken,
                })
                .collect();
            let expected: Vec<usize> =
                (0..fates.len()).filter(|&i| !matches!(fates[i], Fate::Refused(_))).collect();
            let refused = (fates.len() - expected.len()) as u64;

            let mut sent = Vec::new();
            let mut counters = DatapathCounters::default();
            let count = fates.len();
            drain(count, &mut counters, |first, _| {
                // As sendmmsg does: an error is told only if nothing was taken before it.
                let mut taken = 0;
                for (idx, fate) in fates.iter_mut().enumerate().skip(first) {
                    match *fate {
                        Fate::Taken => {
                            sent.push(idx);
                            taken += 1;
                        }
                        _ if taken > 0 => break,
                        Fate::TakenAfterALeftover => {
                            *fate = Fate::Taken;
                            return Err(Errno::CONNREFUSED);
                        }
                        Fate::Refused(errno) => return Err(errno),
                    }
                }
                Ok(taken)
            });

            assert_eq!(sent, expected, "seed {seed}");
            let counted = counters.send_errors_would_block
                + counters.send_errors_unreachable
                + counters.send_errors_denied
                + counters.send_errors_other;
            assert_eq!(counted, refused, "seed {seed}");
            assert!(counters.send_syscalls <= 2 * count as u64, "seed {seed}");
        }
    }

    #[test]
    fn a_full_kernel_drops_the_rest_at_once() {
        let mut counters = DatapathCounters::default();
        drain(100, &mut counters, |first, _| if first == 0 { Ok(40) } else { Err(Errno::AGAIN) });
        assert_eq!(counters.send_errors_would_block, 60);
        assert_eq!(counters.send_syscalls, 2);
    }
}
