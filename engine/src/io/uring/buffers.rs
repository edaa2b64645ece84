//! Memory that is lent to the kernel buffer by buffer, to receive into.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::super::control::CONTROL_LEN;
use super::super::mmsg::RECEIVE_LEN_MAX;
use super::super::name::NAME_LEN;

/// Bytes of `struct io_uring_recvmsg_out`: four lengths and flags.
pub(super) const HEAD_LEN: usize = 16;

/// Bytes before the payload: the head, the peer's address, control messages.
pub(super) const PAYLOAD_AT: usize = HEAD_LEN + NAME_LEN as usize + CONTROL_LEN;

/// Bytes of one buffer that the kernel may write.
const BUFFER_LEN: usize = PAYLOAD_AT + RECEIVE_LEN_MAX;

/// The same as the kernel is told it.
const TOLD_LEN: u32 = 2156;

/// Distance of buffers. An odd number of cache lines, so that the heads of a batch spread
/// over all sets of the cache.
const STRIDE: usize = 35 * 64;

const _: () = assert!(STRIDE >= BUFFER_LEN && BUFFER_LEN == TOLD_LEN as usize);

/// A group of buffers, and the ring by which they go to the kernel (`io_uring_buf_ring`).
///
/// Each buffer is the kernel's or ours. It becomes ours by [`Buffers::take`], which its
/// completion allows, and the kernel's again by [`Buffers::give`].
pub(super) struct Buffers {
    memory: NonNull<u8>,
    memory_layout: Layout,
    entries: NonNull<BufRingEntry>,
    entries_layout: Layout,
    /// Which buffers are ours.
    ours: Box<[bool]>,
    /// Buffers given so far, modulo 2^16; told to the kernel by `publish`.
    tail: u16,
    /// The kernel may still write: keep the memory for ever.
    is_leaked: bool,
}

// SAFETY: both allocations are owned by this value alone and are reached only through it;
// the kernel's writes do not depend on the thread that holds it.
unsafe impl Send for Buffers {}

impl Buffers {
    /// `count` buffers, a power of two up to 32,768, all of them given to the kernel.
    pub(super) fn new(count: u16) -> Self {
        assert!(count.is_power_of_two(), "a ring of {count} buffers");
        let fits = "a few megabytes fit the address space";
        let layout = Layout::from_size_align(usize::from(count) * STRIDE, 64).expect(fits);
        let entries_len = usize::from(count) * size_of::<BufRingEntry>();
        let entries_layout = Layout::from_size_align(entries_len, page_len()).expect(fits);
        let mut buffers = Self {
            memory: allocate(layout),
            memory_layout: layout,
            entries: allocate(entries_layout).cast(),
            entries_layout,
            ours: vec![true; usize::from(count)].into(),
            tail: 0,
            is_leaked: false,
        };
        for id in 0..count {
            buffers.give(id);
        }
        buffers.publish();
        buffers
    }

    /// Where the kernel finds the ring. It must have forgotten it, or be unable to write,
    /// before this value is dropped, unless it is leaked.
    pub(super) fn entries_addr(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// Buffers.
    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.ours.len()).unwrap_or(u16::MAX)
    }

    /// The kernel has named buffer `id` in a completion: it is ours.
    ///
    /// # Panics
    /// If it was ours already, which a correct kernel cannot cause.
    pub(super) fn take(&mut self, id: u16) {
        let is_ours = &mut self.ours[usize::from(id)];
        assert!(!*is_ours, "the kernel filled buffer {id}, which it did not have");
        *is_ours = true;
    }

    /// Gives buffer `id` back to the kernel, from the next [`Buffers::publish`] on.
    ///
    /// # Panics
    /// If it is the kernel's.
    pub(super) fn give(&mut self, id: u16) {
        let place = usize::from(id);
        assert!(self.ours[place], "buffer {id} is the kernel's already");
        self.ours[place] = false;
        let entry_idx = usize::from(self.tail) % self.ours.len();
        // SAFETY: `id` is below the count (indexed just above) and so is `entry_idx`, so
        // both addresses lie in their allocations, made in `new` for that many. Entries are
        // integers, valid when zeroed; the kernel reads them and never writes, and reads
        // none beyond the tail it was last told, which this one is.
        unsafe {
            let buffer = self.memory.add(place * STRIDE);
            let entry = self.entries.add(entry_idx).as_mut();
            entry.set_addr(buffer.as_ptr() as u64);
            entry.set_len(TOLD_LEN);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Tells the kernel of the buffers given.
    pub(super) fn publish(&self) {
        // SAFETY: `entries` points to at least one zeroed entry, which is what `tail` asks;
        // the place it names is an aligned u16 inside it that only this store and the
        // kernel's loads touch (`give` sets the entry's other fields), atomically as the
        // kernel's interface wants it.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        // Release: the entries are there before their number is.
        tail.store(self.tail, Ordering::Release);
    }

    /// The bytes of buffer `id`.
    ///
    /// # Panics
    /// If it is the kernel's.
    pub(super) fn bytes(&self, id: u16) -> &[u8] {
        let place = usize::from(id);
        assert!(self.ours[place], "buffer {id} is the kernel's");
        // SAFETY: the buffer lies in `memory` (indexed just above), which was zeroed when it
        // was allocated, and is ours: the kernel writes none that it has handed out and not
        // been given back, and to give it back takes `&mut self`.
        unsafe { slice::from_raw_parts(self.memory.add(place * STRIDE).as_ptr(), BUFFER_LEN) }
    }

    /// Keeps the memory for ever, since the kernel has not confirmed that it is done.
    pub(super) fn leak(&mut self) {
        self.is_leaked = true;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.is_leaked {
            return;
        }
        // SAFETY: both were allocated in `new` with these layouts, and nothing else frees
        // them; the ring that knew them is quiet by now, or they would have been leaked.
        unsafe {
            dealloc(self.memory.as_ptr(), self.memory_layout);
            dealloc(self.entries.as_ptr().cast(), self.entries_layout);
        }
    }
}

/// Zeroed memory.
fn allocate(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0);
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

/// The host's page in bytes: where a ring of buffers must begin.
fn page_len() -> usize {
    // SAFETY: `sysconf` has no conditions.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).unwrap_or(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_buffer_is_the_kernels_or_ours_and_never_both() {
        let mut buffers = Buffers::new(4);
        for round in 0..100_u16 {
            let id = round % 4;
            buffers.take(id);
            assert_eq!(buffers.bytes(id).len(), BUFFER_LEN);
            buffers.give(id);
            buffers.publish();
        }
        assert_eq!(buffers.tail, 104);
    }

    #[test]
    #[should_panic(expected = "is the kernel's")]
    fn the_kernels_buffers_cannot_be_read() {
        let _ = Buffers::new(4).bytes(3);
    }

    #[test]
    #[should_panic(expected = "did not have")]
    fn a_buffer_filled_twice_is_a_broken_kernel() {
        let mut buffers = Buffers::new(4);
        buffers.take(1);
        buffers.take(1);
    }
}
