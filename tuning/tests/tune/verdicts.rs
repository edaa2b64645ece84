//! What is found on hosts of which every file is known.

use std::fs;

use kdht_tune::Verdict::{Cannot, Change, Ok, Unknown};
use kdht_tune::{Check, Finding, Host, HostError, Profile, Root};

use crate::trees::{changed, check, files, host, make_read_only, tree};

fn found<'a>(check: &'a Check, item: &str) -> &'a Finding {
    check.items.iter().find(|found| found.item == item).unwrap_or_else(|| panic!("no {item}"))
}

#[test]
fn a_server_with_two_nodes_is_judged_file_by_file() {
    let server = tree("server");
    let check = check(server.path(), "4-7", Profile::Latency);
    for (item, verdict, current) in [
        ("cores-allowed", Ok, "0-15"),
        ("isolcpus", Change, "none"),
        ("nohz-full", Change, "none"),
        ("rcu-nocbs", Change, "none"),
        ("smt-siblings", Change, "12-15 are online and not isolated"),
        ("numa-node", Ok, "node 1"),
        ("epp", Change, "balance_performance"),
        ("governor", Change, "powersave"),
        ("idle-states", Change, "C6 133"),
        ("clocksource", Change, "hpet"),
        ("irqbalance", Change, "running as 812"),
        ("irq-default", Change, "0-15"),
        ("irq-others", Change, "on the cores: 16, 30, 60"),
        ("irq-nic", Change, "4-7,12-15"),
        ("rss-queues", Ok, "8"),
        ("rps", Ok, "off"),
        ("xps", Change, "off"),
        ("udp-hash", Unknown, "run ethtool -n eth1 rx-flow-hash udp4"),
        ("napi-defer", Ok, "0"),
        ("busy-poll", Change, "0"),
        ("rmem-max", Change, "212992"),
        ("udp-mem", Change, "3072 4096 6144"),
        ("thp", Change, "always"),
        ("thp-defrag", Change, "always"),
        ("io-uring", Change, "2"),
        ("memlock", Change, "65536"),
        ("nofile", Ok, "1024"),
    ] {
        let finding = found(&check, item);
        assert_eq!((finding.verdict, &*finding.current), (verdict, current), "{item}");
    }
    assert!(!check.holds);
    let plan = check.plan();
    assert_eq!(plan.reboot, ["isolcpus=managed_irq,domain,4-7", "nohz_full=4-7", "rcu_nocbs=4-7"]);
    let new = |path: &str| {
        let write = plan.writes.iter().find(|write| write.path == path);
        write.unwrap_or_else(|| panic!("{path} is not written")).new.clone()
    };
    for (path, value) in [
        ("/proc/irq/default_smp_affinity", "0000ff0f"),
        ("/proc/irq/30/smp_affinity_list", "0-3,8-15"),
        ("/proc/irq/61/smp_affinity_list", "4"),
        ("/proc/irq/66/smp_affinity_list", "5"),
        ("/sys/class/net/eth1/queues/tx-2/xps_cpus", "00000040"),
        ("/proc/sys/net/ipv4/udp_mem", "3072\t16384\t24576"),
        ("/sys/devices/system/cpu/cpu5/cpuidle/state2/disable", "1"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"),
        ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
    ] {
        assert_eq!(new(path), value, "{path}");
    }
    let untouched = "/sys/devices/system/cpu/cpu5/cpuidle/state1/disable";
    assert!(plan.writes.iter().all(|write| write.path != untouched));
}

#[test]
fn cores_far_from_the_interface_or_on_one_another_are_named() {
    let server = tree("server");
    let far = check(server.path(), "3-4", Profile::Throughput);
    assert_eq!(found(&far, "numa-node").current, "eth1 on node 1, cores 3 elsewhere");
    let twins = check(server.path(), "4,12", Profile::Throughput);
    assert_eq!(found(&twins, "smt-siblings").current, "4,12 are threads of one core");
}

#[test]
fn a_guest_is_asked_for_nothing_that_its_hypervisor_decides() {
    let vm = tree("vm");
    let check = check(vm.path(), "1", Profile::Vm);
    let mut open: Vec<_> = check.items.iter().filter(|found| found.verdict != Ok).collect();
    open.retain(|found| !found.elsewhere);
    let open: Vec<&str> = open.iter().map(|found| found.item).collect();
    let expected = ["idle-governor", "clocksource", "backlog", "rmem-max", "wmem-max"];
    let more = ["udp-rmem-min", "swappiness"];
    let mut expected: Vec<&str> = expected.into_iter().chain(more).collect();
    let mut sorted = open.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(found(&check, "clocksource").writes[0].new, "kvm-clock");
    let asked = |item: &str| check.items.iter().any(|found| found.item == item);
    for item in ["governor", "epp", "idle-states", "isolcpus", "numa-node"] {
        assert!(!asked(item), "{item}");
    }
}

#[test]
fn where_everything_is_read_only_nothing_is_planned_and_each_item_says_why() {
    let container = tree("container");
    make_read_only(container.path());
    let check = check(container.path(), "2-3", Profile::Latency);
    assert!(check.plan().writes.is_empty());
    for item in ["rmem-max", "clocksource", "thp", "swappiness", "rps", "stat-interval"] {
        let finding = found(&check, item);
        assert_eq!(finding.verdict, Cannot, "{item}");
        assert!(finding.advice.as_ref().unwrap().starts_with("read-only here"), "{item}");
    }
    assert_eq!(found(&check, "governor").verdict, Cannot);
    assert_eq!(found(&check, "cores-allowed").verdict, Ok);
    for item in ["busy-poll", "irq-others", "workqueues", "smt-siblings"] {
        assert_eq!(found(&check, item).verdict, Unknown, "{item}");
    }
    let outside = crate::trees::check(container.path(), "0", Profile::Latency);
    assert_eq!(found(&outside, "cores-allowed").verdict, Change);
}

#[test]
fn what_apply_writes_is_what_the_next_check_finds_ok() {
    for profile in Profile::ALL {
        let server = tree("server");
        let before = check(server.path(), "4-7", profile);
        let host = host(server.path(), "4-7");
        let state = host.root.path(kdht_tune::STATE_DIR);
        kdht_tune::apply(&host.root, &state, profile.name(), &before.plan().writes).unwrap();
        let after = check(server.path(), "4-7", profile);
        // Where an interrupt really comes to is for a kernel to tell.
        let written = before.items.iter().filter(|found| found.item != "irq-others");
        for finding in written.filter(|found| !found.writes.is_empty()) {
            assert_eq!(found(&after, finding.item).verdict, Ok, "{profile} {}", finding.item);
        }
    }
}

#[test]
fn checking_and_planning_write_nothing() {
    for name in ["server", "vm", "container"] {
        let tree = tree(name);
        let before = files(tree.path());
        for profile in Profile::ALL {
            let _ = check(tree.path(), "", profile).plan();
        }
        assert!(changed(&before, &files(tree.path())).is_empty(), "{name}");
        assert!(!tree.path().join("var").exists());
    }
}

#[test]
fn the_counts_of_the_line_and_of_the_json_are_those_of_the_items() {
    let server = tree("server");
    for profile in Profile::ALL {
        let check = check(server.path(), "4-7", profile);
        let json = serde_json::to_value(&check).unwrap();
        let items = json["items"].as_array().unwrap();
        let mut line = format!("tune profile={profile}");
        for verdict in ["ok", "change", "cannot", "unknown"] {
            let count = items.iter().filter(|item| item["verdict"] == verdict).count();
            assert_eq!(json[verdict], count, "{profile} {verdict}");
            line = format!("{line} {verdict}={count}");
        }
        assert_eq!(check.line(), line);
        assert!(check.text().ends_with(&line));
    }
}

#[test]
fn a_host_with_all_that_is_wanted_holds_even_if_only_ethtool_could_tell_more() {
    let vm = tree("vm");
    let host = host(vm.path(), "1");
    let writes = check(vm.path(), "1", Profile::Vm).plan().writes;
    kdht_tune::apply(&host.root, &vm.path().join("var"), "vm", &writes).unwrap();
    let after = kdht_tune::check(&host, Profile::Vm);
    assert!(after.holds, "{}", after.text());
    assert_eq!((after.change, after.cannot, after.unknown), (0, 0, 1));
    // A file that is missing is not excused so.
    fs::remove_file(vm.path().join("proc/sys/vm/swappiness")).unwrap();
    assert!(!kdht_tune::check(&host, Profile::Vm).holds);
}

#[test]
fn cores_and_interfaces_that_do_not_exist_are_refused_by_name() {
    let server = tree("server");
    let root = || Root::new(server.path());
    let cores = Host::new(root(), Some("4,16".parse().unwrap()), None).unwrap_err();
    assert!(cores.to_string().contains("16 not online"), "{cores}");
    for name in ["eth7", "..", "", "eth1/queues"] {
        let nic = Host::new(root(), None, Some(name.to_owned())).unwrap_err();
        assert!(matches!(nic, HostError::Nic(..)), "{name}");
    }
}
