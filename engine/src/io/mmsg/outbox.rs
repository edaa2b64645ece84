//! What leaves: slots to lay datagrams into, emptied by sendmmsg.

use std::os::fd::AsFd;

use kdht_core::{Outbox, Route};
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

use super::super::control::Control;
use super::super::datapath::{DatapathCounters, SharedFd};
use super::super::drain::drain;
use super::super::messages::{Messages, SendSlot};
use super::super::name::Name;
use super::super::socket::Socket;

/// Distance of slots. An odd number of cache lines, so that the heads of a batch spread
/// over all sets of the cache.
const STRIDE: usize = 21 * 64;

const _: () = assert!(STRIDE >= DATAGRAM_LEN_MAX);

/// The outbox of an [`Mmsg`](super::Mmsg).
///
/// There is always a slot: when all are taken they are flushed first, and what the kernel
/// has no room for is dropped and counted.
pub struct MmsgOutbox {
    exits: Box<[Exit]>,
    /// Slots of `STRIDE`.
    memory: Box<[u8]>,
    drafts: Box<[Draft]>,
    /// Slots committed since the last flush.
    used_count: usize,
    open: Open,
    messages: Messages,
    /// Those of the whole datapath: kept here, since they count while a batch is lent.
    pub(super) counters: DatapathCounters,
}

/// A socket to leave by.
struct Exit {
    fd: SharedFd,
    v4: bool,
    /// Slots that leave here, in order of commitment.
    slot_idxs: Vec<usize>,
}

/// All of a datagram that leaves but its bytes.
#[derive(Clone, Copy)]
struct Draft {
    len: usize,
    name: Name,
    name_len: libc::socklen_t,
    control: Control,
    control_len: usize,
}

impl Draft {
    const EMPTY: Self =
        Self { len: 0, name: Name::EMPTY, name_len: 0, control: Control::EMPTY, control_len: 0 };
}

/// What the slot last handed out is for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Open {
    /// No slot is handed out.
    Nothing,
    /// A datagram that leaves by this exit.
    Exit(usize),
    /// A datagram for which there is no exit. Its slot is handed out all the same, since
    /// to the core a refused slot means that no datagram can be laid at all.
    Nowhere,
}

impl MmsgOutbox {
    pub(super) fn new(slot_count: usize, sockets: &[Socket]) -> Self {
        let exit = |socket: &Socket| Exit {
            fd: socket.fd().clone(),
            v4: socket.local_addr().is_ipv4(),
            slot_idxs: Vec::with_capacity(slot_count),
        };
        Self {
            exits: sockets.iter().map(exit).collect(),
            memory: vec![0; slot_count * STRIDE].into(),
            drafts: vec![Draft::EMPTY; slot_count].into(),
            used_count: 0,
            open: Open::Nothing,
            messages: Messages::new(slot_count),
            counters: DatapathCounters::default(),
        }
    }

    /// Addresses the next free draft along `route`.
    fn address(&mut self, route: &Route) -> Open {
        let v4 = route.peer.is_v4();
        let asked_idx = usize::from(route.local.socket);
        let exit_idx = match self.exits.get(asked_idx) {
            Some(exit) if exit.v4 == v4 => asked_idx,
            _ => match self.exits.iter().position(|exit| exit.v4 == v4) {
                Some(idx) => idx,
                None => return Open::Nowhere,
            },
        };
        let draft = &mut self.drafts[self.used_count];
        (draft.name, draft.name_len) = Name::of(&route.peer);
        draft.control_len = 0;
        let local = Endpoint { ip: route.local.ip, ..Endpoint::NONE };
        if local.ip != Endpoint::NONE.ip {
            if local.is_v4() != v4 {
                return Open::Nowhere;
            }
            (draft.control, draft.control_len) = Control::source(&local.ip, v4);
        }
        Open::Exit(exit_idx)
    }

    /// Hands what is committed to the kernel, each exit's in one call unless some are
    /// refused, and frees all slots.
    pub(super) fn flush(&mut self) {
        // A slot handed out but not committed lies behind those that leave; its place
        // changes, so it must be asked for again.
        self.open = Open::Nothing;
        for exit in &mut self.exits {
            let idxs = &exit.slot_idxs;
            let drafts = &self.drafts;
            let mut outgoing = self.messages.lay(idxs.iter().map(|&idx| SendSlot {
                bytes: &self.memory[idx * STRIDE..][..drafts[idx].len],
                name: &drafts[idx].name,
                name_len: drafts[idx].name_len,
                control: &drafts[idx].control,
                control_len: drafts[idx].control_len,
            }));
            drain(outgoing.count(), &mut self.counters, |first, counters| {
                let taken = outgoing.send(exit.fd.as_fd(), first)?;
                counters.datagrams_out += taken as u64;
                counters.bytes_out +=
                    idxs[first..][..taken].iter().map(|&idx| drafts[idx].len as u64).sum::<u64>();
                Ok(taken)
            });
            exit.slot_idxs.clear();
        }
        self.used_count = 0;
    }
}

impl Outbox for MmsgOutbox {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        if self.used_count == self.drafts.len() {
            self.counters.outbox_full += 1;
            self.flush();
        }
        self.open = self.address(route);
        Some(&mut self.memory[self.used_count * STRIDE..][..DATAGRAM_LEN_MAX])
    }

    /// # Panics
    /// If no slot was handed out since the last commit or flush, or `len` exceeds
    /// [`DATAGRAM_LEN_MAX`].
    fn commit(&mut self, len: usize) {
        assert!(len <= DATAGRAM_LEN_MAX, "a datagram of {len} bytes does not fit its slot");
        assert!(self.open != Open::Nothing, "no slot was handed out");
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Exit(idx) => {
                self.drafts[self.used_count].len = len;
                self.exits[idx].slot_idxs.push(self.used_count);
                self.used_count += 1;
            }
            Open::Nowhere | Open::Nothing => self.counters.send_errors_unreachable += 1,
        }
    }
}
