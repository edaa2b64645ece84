//! After construction, moving datagrams, waiting and waking take no memory.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use kdht::io::{
    Datapath, Mmsg, MmsgOptions, Moment, SharedFd, Socket, SocketOptions, Uring, UringOptions,
    Waiter, Wakeup, bind, uring_available,
};
use kdht_core::{Outbox, Route};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to `System` unchanged, which upholds the contract; the count
// is a plain cell that neither allocates nor is ever destroyed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System` by the function above, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes on this thread.
fn allocations_in(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn the_count_sees_an_allocation() {
    assert_eq!(allocations_in(|| drop(std::hint::black_box(Box::new(1_u64)))), 1);
}

#[test]
fn no_turn_of_mmsg_allocates_whether_it_succeeds_or_fails() {
    let sizes = MmsgOptions { batch_count: 4, slot_count: 4 };
    let [v4, v6] = sockets();
    let to = [v4.local_addr(), v6.local_addr()];
    turns_allocate_nothing(Mmsg::new(vec![v4, v6], &sizes).unwrap(), to);
}

#[test]
fn no_turn_of_uring_allocates_whether_it_succeeds_or_fails() {
    if let Err(reason) = uring_available() {
        eprintln!("not tested: {reason}");
        return;
    }
    // So few buffers that they run out.
    let sizes = UringOptions { batch_count: 4, slot_count: 4, buffer_count: 4 };
    let [v4, v6] = sockets();
    let to = [v4.local_addr(), v6.local_addr()];
    turns_allocate_nothing(Uring::new(vec![v4, v6], &sizes).unwrap(), to);
}

fn sockets() -> [Socket; 2] {
    ["127.0.0.1:0", "[::1]:0"]
        .map(|addr| bind(addr.parse().unwrap(), &SocketOptions::default()).unwrap())
}

fn turns_allocate_nothing(mut datapath: impl Datapath, [to_v4, to_v6]: [SocketAddr; 2]) {
    let wakeup = Wakeup::new().unwrap();
    let waker = wakeup.waker();
    let fds: Vec<SharedFd> = datapath.fds().iter().chain([wakeup.fd()]).cloned().collect();
    let mut waiter = Waiter::new(&fds);
    let (v4, v6) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
    let broadcast = Route::to("255.255.255.255:9".parse::<SocketAddr>().unwrap().into());

    let mut echoed = 0;
    let count = allocations_in(|| {
        for _ in 0..50 {
            for len in [0, 1, 1232, 1233, 5000] {
                v4.send_to(&[7; 5000][..len], to_v4).unwrap();
                v6.send_to(&[7; 5000][..len], to_v6).unwrap();
            }
            waker.wake();
            let _now = Moment::now();
            assert!(waiter.wait(Some(Duration::from_secs(5))).unwrap().count() > 0);
            wakeup.clear();
            loop {
                let received = datapath.receive();
                let (batch, outbox) = datapath.split();
                for datagram in batch {
                    let len = datagram.bytes.len().min(1232);
                    if let Some(slot) = outbox.slot(datagram.route) {
                        slot[..len].copy_from_slice(&datagram.bytes[..len]);
                        outbox.commit(len);
                        echoed += 1;
                    }
                }
                if outbox.slot(&broadcast).is_some() {
                    outbox.commit(9);
                }
                datapath.flush();
                if !received.more && datapath.announce() {
                    break;
                }
            }
        }
    });
    assert_eq!(count, 0);
    assert_eq!(echoed, 500);
    assert_eq!(datapath.counters().datagrams_out, 500);
    assert!(datapath.counters().outbox_full > 0);
}
