//! The way from the wire to the socket.

use super::Item;
use super::Want::{AtLeast, Holds, Is, Nothing};
use crate::judge::{Absent, File, Probe, network};

/// Bytes that the node asks for a socket's buffer, each way.
const SOCKET_BUFFER: u64 = 4 << 20;

/// A number of the host's network.
const fn sysctl(path: &'static str) -> Probe {
    Probe::File(File { path, options: None, absent: Absent::Unknown })
}

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "rss-queues",
        reads: "/sys/class/net/*/queues/",
        wants: [
            Holds("a receive queue for each core"),
            Holds("a receive queue for each core"),
            Nothing,
            Nothing,
        ],
        why: "the interface spreads datagrams over the cores by itself",
        risk: "the link goes down for a moment when it is changed",
        source: "Documentation/networking/scaling.rst",
        probe: Probe::Judge(network::rss_queues),
    },
    Item {
        name: "rps",
        reads: "/sys/class/net/*/queues/rx-*/rps_cpus",
        wants: [
            Holds("off, or the cores where they outnumber the queues"),
            Holds("off, or the cores where they outnumber the queues"),
            Nothing,
            Holds("off, or the cores where they outnumber the queues"),
        ],
        why: "an interface with few queues loads one core; the kernel can spread instead",
        risk: "an interrupt between cores for each batch",
        source: "Documentation/networking/scaling.rst",
        probe: Probe::Judge(network::rps),
    },
    Item {
        name: "xps",
        reads: "/sys/class/net/*/queues/tx-*/xps_cpus",
        wants: [
            Holds("queue n for the n-th core, in turn"),
            Holds("queue n for the n-th core, in turn"),
            Nothing,
            Nothing,
        ],
        why: "each core sends through a queue that no other core locks",
        risk: "CPUs that no queue names choose one by hash",
        source: "Documentation/networking/scaling.rst",
        probe: Probe::Judge(network::xps),
    },
    Item {
        name: "udp-hash",
        reads: "ethtool -n NIC rx-flow-hash udp4",
        wants: [
            Holds("addresses and ports: sdfn"),
            Holds("addresses and ports: sdfn"),
            Nothing,
            Holds("addresses and ports: sdfn"),
        ],
        why: "many interfaces spread UDP by addresses alone, so one busy asker loads one core",
        risk: "fragments of one datagram may come to different queues",
        source: "ethtool(8)",
        probe: Probe::Ethtool {
            shows: "ethtool -n {nic} rx-flow-hash udp4",
            sets: "ethtool -N {nic} rx-flow-hash udp4 sdfn (and udp6)",
        },
    },
    Item {
        name: "ring-size",
        reads: "ethtool -g NIC",
        wants: [
            Holds("receive rings of 1024 or more"),
            Holds("receive rings of the maximum"),
            Nothing,
            Nothing,
        ],
        why: "datagrams wait in the ring while the core is away, instead of being dropped",
        risk: "a ring larger than the cache makes each datagram dearer",
        source: "ethtool(8)",
        probe: Probe::Ethtool { shows: "ethtool -g {nic}", sets: "ethtool -G {nic} rx N" },
    },
    Item {
        name: "coalescing",
        reads: "ethtool -c NIC",
        wants: [
            Holds("not adaptive, rx-usecs at most 5"),
            Holds("adaptive, or rx-usecs of 20 to 60"),
            Nothing,
            Nothing,
        ],
        why: "interrupts at once answer sooner; fewer interrupts answer more",
        risk: "at once: an interrupt for each datagram; fewer: that many µs of delay",
        source: "ethtool(8)",
        probe: Probe::Ethtool {
            shows: "ethtool -c {nic}",
            sets: "ethtool -C {nic} adaptive-rx off rx-usecs N",
        },
    },
    Item {
        name: "udp-offload",
        reads: "ethtool -k NIC",
        wants: [Nothing, Holds("tx-udp-segmentation on"), Nothing, Nothing],
        why: "replies to one asker can leave as one large datagram that the interface cuts",
        risk: "none known; a driver that lies about it sends garbage",
        source: "ethtool(8)",
        probe: Probe::Ethtool {
            shows: "ethtool -k {nic} (lines tx-udp-segmentation, generic-receive-offload)",
            sets: "ethtool -K {nic} tx-udp-segmentation on",
        },
    },
    Item {
        name: "napi-defer",
        reads: "/sys/class/net/*/napi_defer_hard_irqs",
        wants: [Is("0"), AtLeast(2), Nothing, Nothing],
        why: "empty polls before the interrupt is armed again: fewer interrupts under load, a \
              delay without",
        risk: "with gro-flush: up to that time of delay for a lone datagram",
        source: "Documentation/networking/napi.rst",
        probe: Probe::File(File {
            path: "/sys/class/net/{nic}/napi_defer_hard_irqs",
            options: None,
            absent: Absent::Cannot("the kernel is older than 5.8"),
        }),
    },
    Item {
        name: "gro-flush",
        reads: "/sys/class/net/*/gro_flush_timeout",
        wants: [Is("0"), Is("20000"), Nothing, Nothing],
        why: "ns between those polls",
        risk: "up to that time of delay for a lone datagram",
        source: "Documentation/networking/napi.rst",
        probe: Probe::File(File {
            path: "/sys/class/net/{nic}/gro_flush_timeout",
            options: None,
            absent: Absent::Unknown,
        }),
    },
    Item {
        name: "busy-poll",
        reads: "/proc/sys/net/core/busy_poll",
        wants: [AtLeast(50), Nothing, Nothing, Nothing],
        why: "µs that poll looks into the interface's queue itself before it sleeps",
        risk: "every program's poll on sockets spins that long",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/busy_poll"),
    },
    Item {
        name: "busy-read",
        reads: "/proc/sys/net/core/busy_read",
        wants: [AtLeast(50), Nothing, Nothing, Nothing],
        why: "the same for reads, of sockets that are opened afterwards",
        risk: "every program's blocking read of a socket spins that long",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/busy_read"),
    },
    Item {
        name: "rmem-max",
        reads: "/proc/sys/net/core/rmem_max",
        wants: [AtLeast(SOCKET_BUFFER); 4],
        why: "bytes that the node asks for a socket; less drops datagrams in a pause",
        risk: "any program may let the kernel hold that much for each of its sockets",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/rmem_max"),
    },
    Item {
        name: "wmem-max",
        reads: "/proc/sys/net/core/wmem_max",
        wants: [AtLeast(SOCKET_BUFFER); 4],
        why: "bytes that the node asks for a socket; less refuses replies in a burst",
        risk: "any program may let the kernel hold that much for each of its sockets",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/wmem_max"),
    },
    Item {
        name: "backlog",
        reads: "/proc/sys/net/core/netdev_max_backlog",
        wants: [Nothing, AtLeast(10_000), Nothing, AtLeast(5_000)],
        why: "datagrams that wait for a core when rps, loopback or veth hand them over",
        risk: "they wait longer before they are dropped",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/netdev_max_backlog"),
    },
    Item {
        name: "budget",
        reads: "/proc/sys/net/core/netdev_budget",
        wants: [Nothing, AtLeast(600), Nothing, Nothing],
        why: "datagrams that one softirq takes from the interfaces",
        risk: "the node's thread waits longer for the softirq on its core",
        source: "Documentation/admin-guide/sysctl/net.rst",
        probe: sysctl("/proc/sys/net/core/netdev_budget"),
    },
    Item {
        name: "udp-mem",
        reads: "/proc/sys/net/ipv4/udp_mem",
        wants: [Holds("room for every socket's buffers, 16 MiB each core, before pressure"); 4],
        why: "pages that all UDP sockets may hold together; past it datagrams are dropped",
        risk: "the kernel may hold that much memory for UDP",
        source: "Documentation/networking/ip-sysctl.rst",
        probe: Probe::Judge(network::udp_mem),
    },
    Item {
        name: "udp-rmem-min",
        reads: "/proc/sys/net/ipv4/udp_rmem_min",
        wants: [AtLeast(65_536), AtLeast(65_536), Nothing, AtLeast(65_536)],
        why: "bytes that each UDP socket may hold even under memory pressure",
        risk: "that many bytes for each UDP socket of the host",
        source: "Documentation/networking/ip-sysctl.rst",
        probe: sysctl("/proc/sys/net/ipv4/udp_rmem_min"),
    },
    Item {
        name: "udp-early-demux",
        reads: "/proc/sys/net/ipv4/udp_early_demux",
        wants: [Is("0"), Is("0"), Nothing, Nothing],
        why: "the node's sockets are not connected, so the early look for a socket is in vain",
        risk: "connected UDP sockets of other programs, such as QUIC, lose its gain",
        source: "Documentation/networking/ip-sysctl.rst",
        probe: sysctl("/proc/sys/net/ipv4/udp_early_demux"),
    },
];
