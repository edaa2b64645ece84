/* SPDX-License-Identifier: GPL-2.0 */
/* What one node counted, processor by processor. */
#ifndef KDHT_STATS_H
#define KDHT_STATS_H

#include <linux/skbuff.h>
#include <linux/types.h>
#include <linux/u64_stats_sync.h>

#include "kdht_wire.h"
#include "refusal.h"

/**
 * struct kdht_counts - plain numbers
 * @datagrams_in: datagrams that came in, passed ones too
 * @bytes_in: their bytes of UDP payload
 * @datagrams_out: replies and forwarded requests handed to the network
 * @bytes_out: their bytes of UDP payload
 * @passed: datagrams left to the daemon
 * @requests_in: by kind, requests that parsed and were allowed
 * @replies_out: by kind, replies handed to the network
 * @refused: by reason
 * @forwarded: requests passed on to a closer node
 */
struct kdht_counts {
	u64 datagrams_in;
	u64 bytes_in;
	u64 datagrams_out;
	u64 bytes_out;
	u64 passed;
	u64 requests_in[KDHT_KIND_FAULT];
	u64 replies_out[KDHT_KIND_FAULT];
	u64 refused[KDHT_REFUSAL_COUNT];
	u64 forwarded;
};

struct kdht_stats {
	struct u64_stats_sync sync;
	struct kdht_counts counts;
};

struct kdht_discovered;

struct kdht_stats __percpu *kdht_stats_alloc(void);
void kdht_stats_sum(struct kdht_stats __percpu *stats, struct kdht_counts *sum);
u64 kdht_stats_heard(struct kdht_stats __percpu *stats);
int kdht_stats_put(struct sk_buff *msg, const struct kdht_counts *counts,
		   const struct kdht_discovered *discovered);

#endif /* KDHT_STATS_H */
