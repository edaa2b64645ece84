//! Slots in which datagrams are laid and addressed until they leave, by whatever call.

use kdht_core::Route;
use kdht_wire::{DATAGRAM_LEN_MAX, Endpoint};

use super::control::Control;
use super::messages::SendSlot;
use super::name::Name;
use super::socket::Socket;

/// Distance of slots. An odd number of cache lines, so that the heads of a batch spread
/// over all sets of the cache.
const STRIDE: usize = 21 * 64;

const _: () = assert!(STRIDE >= DATAGRAM_LEN_MAX);

/// Memory for what leaves.
pub(super) struct Drafts {
    exits: Box<[Exit]>,
    /// Slots of `STRIDE`.
    memory: Box<[u8]>,
    drafts: Box<[Draft]>,
    /// Slots committed since the last clear.
    used_count: usize,
    open: Open,
}

/// What is to be known of a socket to leave by.
struct Exit {
    is_v4: bool,
    /// The address that it sends from unasked; zeros for whichever the host chooses.
    bound_ip: [u8; 16],
}

/// All of a datagram that leaves but its bytes.
#[derive(Clone, Copy)]
struct Draft {
    len: usize,
    exit_idx: usize,
    name: Name,
    name_len: libc::socklen_t,
    control: Control,
    control_len: usize,
}

impl Draft {
    const EMPTY: Self = Self {
        len: 0,
        exit_idx: 0,
        name: Name::EMPTY,
        name_len: 0,
        control: Control::EMPTY,
        control_len: 0,
    };
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

impl Drafts {
    /// `slot_count` free slots for datagrams that leave by `sockets`.
    pub(super) fn new(slot_count: usize, sockets: &[Socket]) -> Self {
        Self {
            exits: sockets.iter().map(Exit::of).collect(),
            memory: vec![0; slot_count * STRIDE].into(),
            drafts: vec![Draft::EMPTY; slot_count].into(),
            used_count: 0,
            open: Open::Nothing,
        }
    }

    /// No slot is free.
    pub(super) fn is_full(&self) -> bool {
        self.used_count == self.drafts.len()
    }

    /// Committed datagrams.
    pub(super) fn count(&self) -> usize {
        self.used_count
    }

    /// The next free slot, addressed along `route`.
    ///
    /// # Panics
    /// If none is free.
    pub(super) fn slot(&mut self, route: &Route) -> &mut [u8] {
        self.open = self.address(route);
        &mut self.memory[self.used_count * STRIDE..][..DATAGRAM_LEN_MAX]
    }

    /// Commits the slot last handed out, and names the socket by which it leaves. None:
    /// there is no such socket, and the slot is free again.
    ///
    /// # Panics
    /// If no slot was handed out since the last commit, or `len` exceeds
    /// [`DATAGRAM_LEN_MAX`].
    pub(super) fn commit(&mut self, len: usize) -> Option<usize> {
        assert!(len <= DATAGRAM_LEN_MAX, "a datagram of {len} bytes does not fit its slot");
        assert!(self.open != Open::Nothing, "no slot was handed out");
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Exit(idx) => {
                let draft = &mut self.drafts[self.used_count];
                (draft.len, draft.exit_idx) = (len, idx);
                self.used_count += 1;
                Some(idx)
            }
            Open::Nowhere | Open::Nothing => None,
        }
    }

    /// Takes back the slot handed out but not committed, if there is one.
    pub(super) fn close(&mut self) {
        self.open = Open::Nothing;
    }

    /// Committed datagram `idx`.
    pub(super) fn send_slot(&self, idx: usize) -> SendSlot<'_> {
        let draft = &self.drafts[idx];
        SendSlot {
            bytes: &self.memory[idx * STRIDE..][..draft.len],
            exit_idx: draft.exit_idx,
            name: &draft.name,
            name_len: draft.name_len,
            control: &draft.control,
            control_len: draft.control_len,
        }
    }

    /// Payload bytes of committed datagram `idx`.
    pub(super) fn datagram_len(&self, idx: usize) -> u64 {
        self.drafts[idx].len as u64
    }

    /// Frees all slots.
    pub(super) fn clear(&mut self) {
        self.used_count = 0;
    }

    /// Addresses the next free draft along `route`.
    fn address(&mut self, route: &Route) -> Open {
        let v4 = route.peer.is_v4();
        let asked_idx = usize::from(route.local.socket);
        let exit_idx = match self.exits.get(asked_idx) {
            Some(exit) if exit.is_v4 == v4 => asked_idx,
            _ => match self.exits.iter().position(|exit| exit.is_v4 == v4) {
                Some(idx) => idx,
                None => return Open::Nowhere,
            },
        };
        let draft = &mut self.drafts[self.used_count];
        (draft.name, draft.name_len) = Name::of(&route.peer);
        draft.control_len = 0;
        let local = Endpoint { ip: route.local.ip, ..Endpoint::NONE };
        if local.ip != Endpoint::NONE.ip && local.ip != self.exits[exit_idx].bound_ip {
            if local.is_v4() != v4 {
                return Open::Nowhere;
            }
            (draft.control, draft.control_len) = Control::source(&local.ip, v4);
        }
        Open::Exit(exit_idx)
    }
}

impl Exit {
    fn of(socket: &Socket) -> Self {
        Self { is_v4: socket.local_addr().is_ipv4(), bound_ip: socket.bound_ip() }
    }
}
