//! Runs: datagrams to one peer that leave as one, which the kernel cuts apart (UDP_SEGMENT, Linux
//! 4.18). What a datagram costs on its way through the kernel, a run costs once.

use rustix::io::Errno;

use super::datapath::DatapathCounters;
use super::drain::Refusal;
use super::messages::SendSlot;
use super::socket::Socket;

/// Most datagrams of a run, by the limit of the first kernels that cut (`UDP_MAX_SEGMENTS`).
pub(super) const COUNT_MAX: usize = 64;

/// Most payload bytes of a run: they are one IP packet until they are cut.
pub(super) const LEN_MAX: usize = 65_000;

/// Whether what leaves together leaves in runs.
pub(super) struct Runs {
    /// All sockets are to, and no host has said that it cannot.
    is_on: bool,
    /// One was refused in this flush.
    is_paused: bool,
    /// The first datagram of a run that was refused in this flush for no reason that would keep a
    /// datagram by itself.
    suspect_idx: Option<usize>,
}

impl Runs {
    /// As `sockets` were bound to do.
    pub(super) fn of(sockets: &[Socket]) -> Self {
        let is_on = sockets.iter().all(Socket::segments);
        Self { is_on, is_paused: false, suspect_idx: None }
    }

    /// What follows is another flush.
    pub(super) fn begin(&mut self) {
        (self.is_paused, self.suspect_idx) = (false, None);
    }

    /// Datagrams are to leave in runs.
    pub(super) fn are_made(&self) -> bool {
        self.is_on && !self.is_paused
    }

    /// The kernel refused the run that begins with datagram `first_idx`: until the next flush all
    /// are to be offered one by one.
    pub(super) fn note_refused(
        &mut self,
        errno: Errno,
        first_idx: usize,
        counters: &mut DatapathCounters,
    ) {
        counters.runs_refused += 1;
        self.is_paused = true;
        if Refusal::of(errno) == Refusal::Other {
            self.suspect_idx.get_or_insert(first_idx);
        }
    }

    /// Datagram `idx` left by itself. If a run that it began was refused, the host does not cut (a
    /// device that adds no checksums, IPsec), and is not asked again. Were it refused, too, it would
    /// be for where it goes, of which a peer may have its say.
    pub(super) fn note_sent(&mut self, idx: usize) {
        self.is_on &= self.suspect_idx != Some(idx);
    }
}

/// The datagrams that begin with `first` and can be cut out of one: all as long as it is, but for
/// the last, which may be shorter.
pub(super) struct Run<'a> {
    first: SendSlot<'a>,
    count: usize,
    len: usize,
    /// The last is as long as the first.
    is_open: bool,
}

impl<'a> Run<'a> {
    pub(super) fn of(first: SendSlot<'a>) -> Self {
        let len = first.bytes.len();
        // A piece of no bytes cannot be cut.
        Self { first, count: 1, len, is_open: len > 0 }
    }

    /// Takes in `next`, if it can be of this run.
    pub(super) fn takes(&mut self, next: &SendSlot<'_>) -> bool {
        let Self { first, count, len, is_open } = self;
        let next_len = next.bytes.len();
        let takes = *is_open
            && (1..=first.bytes.len()).contains(&next_len)
            && next.leaves_as(first)
            && *count < COUNT_MAX
            && *len + next_len <= LEN_MAX;
        if takes {
            *count += 1;
            *len += next_len;
            *is_open = next_len == first.bytes.len();
        }
        takes
    }

    /// Datagrams of the run.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn first(&self) -> &SendSlot<'a> {
        &self.first
    }
}
