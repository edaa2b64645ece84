//! Interrupts and the kernel's own work: which cores they come to.

use super::Item;
use super::Want::{Holds, Nothing};
use crate::judge::{Probe, interrupts};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "irqbalance",
        reads: "/proc/*/comm",
        wants: [
            Holds("not running, or the cores banned"),
            Holds("not running, or the cores banned"),
            Nothing,
            Nothing,
        ],
        why: "it moves interrupts back onto the node's cores",
        risk: "interrupts of other devices then stay where they are",
        source: "irqbalance(1)",
        probe: Probe::Judge(interrupts::irqbalance),
    },
    Item {
        name: "irq-default",
        reads: "/proc/irq/default_smp_affinity",
        wants: [Holds("not the cores"), Holds("not the cores"), Nothing, Nothing],
        why: "interrupts of devices that are found later stay off the node's cores",
        risk: "none, if one other CPU is left",
        source: "Documentation/core-api/irq/irq-affinity.rst",
        probe: Probe::Judge(interrupts::default_affinity),
    },
    Item {
        name: "irq-others",
        reads: "/proc/irq/*/effective_affinity_list",
        wants: [Holds("not the cores"), Holds("not the cores"), Nothing, Nothing],
        why: "a disk's interrupt costs the node some µs each time",
        risk: "the other CPUs get them; those that the kernel manages cannot be moved",
        source: "Documentation/core-api/irq/irq-affinity.rst",
        probe: Probe::Judge(interrupts::others),
    },
    Item {
        name: "irq-nic",
        reads: "/proc/irq/*/smp_affinity_list",
        wants: [
            Holds("queue n on the n-th core, in turn"),
            Holds("queue n on the n-th core, in turn"),
            Nothing,
            Nothing,
        ],
        why: "a datagram is received on the core that answers it, in its cache",
        risk: "other traffic of the interface is received there too",
        source: "Documentation/networking/scaling.rst",
        probe: Probe::Judge(interrupts::nic),
    },
    Item {
        name: "workqueues",
        reads: "/sys/devices/virtual/workqueue/cpumask",
        wants: [Holds("not the cores"), Nothing, Nothing, Nothing],
        why: "the kernel's deferred work that is bound to no core runs elsewhere",
        risk: "none, if one other CPU is left",
        source: "Documentation/core-api/workqueue.rst",
        probe: Probe::Judge(interrupts::workqueues),
    },
];
