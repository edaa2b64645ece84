//! Memory, limits, and what the kernel lets a process do.

use super::Item;
use super::Want::{AtLeast, AtMost, Is, Nothing, OneOf};
use crate::judge::{Absent, File, Probe};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "thp",
        reads: "/sys/kernel/mm/transparent_hugepage/enabled",
        wants: [
            Is("madvise"),
            OneOf(&["madvise", "always"]),
            Nothing,
            OneOf(&["madvise", "always"]),
        ],
        why: "the node asks for huge pages, and a table of a million contacts answers in half the \
              time with them; for who did not ask, making them stalls whoever touches memory",
        risk: "`always` uses more memory, of every program",
        source: "Documentation/admin-guide/mm/transhuge.rst",
        probe: Probe::File(File {
            path: "/sys/kernel/mm/transparent_hugepage/enabled",
            options: None,
            absent: Absent::Ok("the kernel has no transparent huge pages"),
        }),
    },
    Item {
        name: "thp-defrag",
        reads: "/sys/kernel/mm/transparent_hugepage/defrag",
        wants: [
            OneOf(&["madvise", "defer", "defer+madvise", "never"]),
            OneOf(&["defer", "defer+madvise", "madvise", "never"]),
            Nothing,
            Nothing,
        ],
        why: "a page fault never waits until memory has been compacted",
        risk: "fewer large pages for other programs",
        source: "Documentation/admin-guide/mm/transhuge.rst",
        probe: Probe::File(File {
            path: "/sys/kernel/mm/transparent_hugepage/defrag",
            options: None,
            absent: Absent::Ok("the kernel has no transparent huge pages"),
        }),
    },
    Item {
        name: "numa-balancing",
        reads: "/proc/sys/kernel/numa_balancing",
        wants: [Is("0"), Is("0"), Nothing, Nothing],
        why: "pinned threads need no page faults that find out where memory is used",
        risk: "programs that are not pinned may keep remote memory",
        source: "Documentation/admin-guide/sysctl/kernel.rst",
        probe: Probe::File(File {
            path: "/proc/sys/kernel/numa_balancing",
            options: None,
            absent: Absent::Ok("the kernel does not balance memory between nodes"),
        }),
    },
    Item {
        name: "swappiness",
        reads: "/proc/sys/vm/swappiness",
        wants: [AtMost(10), AtMost(10), Nothing, AtMost(10)],
        why: "a value that was swapped out takes milliseconds to answer with",
        risk: "the page cache shrinks earlier instead",
        source: "Documentation/admin-guide/sysctl/vm.rst",
        probe: Probe::File(File {
            path: "/proc/sys/vm/swappiness",
            options: None,
            absent: Absent::Unknown,
        }),
    },
    Item {
        name: "io-uring",
        reads: "/proc/sys/kernel/io_uring_disabled",
        wants: [Is("0"), Is("0"), Nothing, Is("0")],
        why: "the datapath `uring` needs it; without it the node takes `mmsg`",
        risk: "every program on the host may use io_uring",
        source: "Documentation/admin-guide/sysctl/kernel.rst",
        probe: Probe::File(File {
            path: "/proc/sys/kernel/io_uring_disabled",
            options: None,
            absent: Absent::Ok("a kernel before 6.6 has no such switch"),
        }),
    },
    Item {
        name: "memlock",
        reads: "/proc/self/limits",
        wants: [AtLeast(524_288), AtLeast(524_288), AtLeast(524_288), AtLeast(524_288)],
        why: "bytes that `uring` locks for its rings of buffers",
        risk: "a program may keep that much from being swapped",
        source: "getrlimit(2)",
        probe: Probe::Limit {
            line: "Max locked memory",
            advice: "the limit of the shell that asked; a service has LimitMEMLOCK= of its unit \
                     (kdht.service has it), a shell `ulimit -l 512`",
        },
    },
    Item {
        name: "nofile",
        reads: "/proc/self/limits",
        wants: [AtLeast(1_024), AtLeast(1_024), AtLeast(1_024), AtLeast(1_024)],
        why: "sockets, rings and control connections of up to 255 shards",
        risk: "none",
        source: "getrlimit(2)",
        probe: Probe::Limit {
            line: "Max open files",
            advice: "the limit of the shell that asked; a service has LimitNOFILE= of its unit \
                     (kdht.service has it), a shell `ulimit -n 1024`",
        },
    },
];
