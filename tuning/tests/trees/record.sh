#!/bin/sh
# Prints what `kdht tune` reads of this host as a tree for its tests: a line for each file,
# its path, a tab, and what it holds with \n and \t for line ends and tabs.
#   sh record.sh eth0 > my-host.tree
set -eu
nic=${1:?name the network interface}

for path in \
	/proc/cmdline /proc/stat /proc/self/cgroup /proc/self/limits /proc/net/route \
	/proc/sys/kernel/random/boot_id /proc/sys/kernel/sched_autogroup_enabled \
	/proc/sys/kernel/numa_balancing /proc/sys/kernel/io_uring_disabled \
	/proc/sys/vm/swappiness /proc/sys/vm/stat_interval \
	/proc/sys/net/core/busy_poll /proc/sys/net/core/busy_read \
	/proc/sys/net/core/rmem_max /proc/sys/net/core/wmem_max \
	/proc/sys/net/core/netdev_max_backlog /proc/sys/net/core/netdev_budget \
	/proc/sys/net/ipv4/udp_mem /proc/sys/net/ipv4/udp_rmem_min \
	/proc/sys/net/ipv4/udp_early_demux \
	/proc/irq/default_smp_affinity /proc/irq/[0-9]*/smp_affinity_list \
	/proc/irq/[0-9]*/effective_affinity_list \
	/sys/fs/cgroup/cpuset.cpus.effective /sys/fs/cgroup/cpuset.cpus.isolated \
	/sys/devices/system/cpu/online /sys/devices/system/cpu/isolated \
	/sys/devices/system/cpu/nohz_full /sys/devices/system/cpu/cpuidle/current_governor \
	/sys/devices/system/cpu/cpuidle/available_governors \
	/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list \
	/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor \
	/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_available_governors \
	/sys/devices/system/cpu/cpu[0-9]*/cpufreq/energy_performance_* \
	/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state*/name \
	/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state*/latency \
	/sys/devices/system/cpu/cpu[0-9]*/cpuidle/state*/disable \
	/sys/devices/system/clocksource/clocksource0/current_clocksource \
	/sys/devices/system/clocksource/clocksource0/available_clocksource \
	/sys/devices/system/node/node*/cpulist /sys/devices/virtual/workqueue/cpumask \
	/sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/mm/transparent_hugepage/defrag \
	/sys/class/net/"$nic"/device/numa_node /sys/class/net/"$nic"/device/msi_irqs/* \
	/sys/class/net/"$nic"/napi_defer_hard_irqs /sys/class/net/"$nic"/gro_flush_timeout \
	/sys/class/net/"$nic"/queues/rx-*/rps_cpus /sys/class/net/"$nic"/queues/tx-*/xps_cpus
do
	cat "$path" >/dev/null 2>&1 || continue
	# Only the first line of /proc/stat is read of it.
	text=$(case $path in /proc/stat) head -n 1 ;; *) cat ;; esac <"$path" 2>/dev/null |
		sed 's/\\/\\\\/g; s/\t/\\t/g; s/$/\\n/' | tr -d '\n') || continue
	printf '%s\t%s\n' "$path" "$text"
done
# Who handles an interrupt is a directory's name: a path that ends with a slash.
for path in /proc/irq/[0-9]*/*/; do
	[ -d "$path" ] && printf '%s\t\n' "$path"
done
