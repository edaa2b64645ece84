// SPDX-License-Identifier: GPL-2.0
/* Counters: summed over the processors, and put into messages. */
#include <linux/percpu.h>
#include <net/netlink.h>

#include "discovery.h"
#include "kdht_netlink.h"
#include "stats.h"

/* Counters stand side by side, so that their sum is a loop */
#define COUNTS (sizeof(struct kdht_counts) / sizeof(u64))

/**
 * kdht_stats_alloc() - counters at zero
 *
 * Context: process; may sleep.
 * Return: to be given back by free_percpu(); NULL if there is no memory.
 */
struct kdht_stats __percpu *kdht_stats_alloc(void)
{
	struct kdht_stats __percpu *stats = alloc_percpu_gfp(struct kdht_stats, GFP_KERNEL_ACCOUNT);
	int cpu;

	if (stats)
		for_each_possible_cpu(cpu)
			u64_stats_init(&per_cpu_ptr(stats, cpu)->sync);
	return stats;
}

/**
 * kdht_stats_sum() - what all processors counted
 * @stats: the node's
 * @sum: to be filled in
 */
void kdht_stats_sum(struct kdht_stats __percpu *stats, struct kdht_counts *sum)
{
	u64 *out = (u64 *)sum;
	int cpu;
	size_t i;

	BUILD_BUG_ON(sizeof(struct kdht_counts) % sizeof(u64));
	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct kdht_stats *of = per_cpu_ptr(stats, cpu);
		const u64 *in = (const u64 *)&of->counts;

		for (i = 0; i < COUNTS; i++) {
			unsigned int start;
			u64 count;

			do {
				start = u64_stats_fetch_begin(&of->sync);
				count = READ_ONCE(in[i]);
			} while (u64_stats_fetch_retry(&of->sync, start));
			out[i] += count;
		}
	}
}

/**
 * kdht_stats_heard() - messages of the node's network that came in and were judged here
 * @stats: the node's
 *
 * What is passed nobody has looked at yet: it may be anybody's noise.
 */
u64 kdht_stats_heard(struct kdht_stats __percpu *stats)
{
	struct kdht_counts sum;
	u64 heard;
	int i;

	kdht_stats_sum(stats, &sum);
	heard = sum.datagrams_in - sum.passed;
	for (i = KDHT_REFUSED_SHORT; i <= KDHT_REFUSED_STALE; i++)
		heard -= sum.refused[i];
	return heard;
}

/* Puts @count counters under one nest, numbered from 1; there 0 is what aligns them */
static int put_nest(struct sk_buff *msg, int attr, const u64 *counts, unsigned int count)
{
	struct nlattr *nest = nla_nest_start(msg, attr);
	unsigned int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = 0; i < count; i++)
		if (nla_put_u64_64bit(msg, i + 1, counts[i], 0))
			return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

/**
 * kdht_stats_put() - put counters into a message
 * @msg: the message
 * @counts: from kdht_stats_sum()
 * @discovered: what the module's own requests led to
 *
 * Return: 0, or -EMSGSIZE if they do not fit.
 */
int kdht_stats_put(struct sk_buff *msg, const struct kdht_counts *counts,
		   const struct kdht_discovered *discovered)
{
	struct nlattr *nest = nla_nest_start(msg, KDHT_A_NODE_STATS);

	if (!nest ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_DATAGRAMS_IN, counts->datagrams_in,
			      KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_BYTES_IN, counts->bytes_in, KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_DATAGRAMS_OUT, counts->datagrams_out,
			      KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_BYTES_OUT, counts->bytes_out, KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_PASSED, counts->passed, KDHT_A_STATS_PAD) ||
	    put_nest(msg, KDHT_A_STATS_REQUESTS_IN, counts->requests_in, KDHT_KIND_FAULT) ||
	    put_nest(msg, KDHT_A_STATS_REPLIES_OUT, counts->replies_out, KDHT_KIND_FAULT) ||
	    put_nest(msg, KDHT_A_STATS_REFUSED, counts->refused, KDHT_REFUSAL_COUNT) ||
	    put_nest(msg, KDHT_A_STATS_REQUESTS_OUT, discovered->requests_out, KDHT_KIND_FAULT) ||
	    put_nest(msg, KDHT_A_STATS_REPLIES_IN, discovered->replies_in, KDHT_KIND_FAULT) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_TIMEOUTS, discovered->timeouts,
			      KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_CONTACTS_UNREACHABLE,
			      discovered->contacts_unreachable, KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_OUTAGES, discovered->outages,
			      KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_FAILURES_FORGIVEN,
			      discovered->failures_forgiven, KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_REFRESHES, discovered->refreshes,
			      KDHT_A_STATS_PAD) ||
	    nla_put_u64_64bit(msg, KDHT_A_STATS_FORWARDED, counts->forwarded, KDHT_A_STATS_PAD))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}
