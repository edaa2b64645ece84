/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* How much one source may ask: fixed memory, whatever the number of sources. */
#ifndef KDHT_THROTTLE_H
#define KDHT_THROTTLE_H

#include <linux/siphash.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "kdht_wire.h"

/* Slots of a set: a source is looked for in one set only */
#define KDHT_THROTTLE_WAYS	4
/* Most sources remembered at once; 16 bytes each */
#define KDHT_THROTTLE_SLOTS_MAX	(1 << 20)
/* Locks of a throttle: so many processors may be in it, if they meet in no set */
#define KDHT_THROTTLE_LOCKS	64

struct kdht_throttle_slot {
	u64 tag;
	/* When the source's allowance will be whole again, in monotonic time */
	u64 whole_at_ns;
};

/**
 * struct kdht_throttle - per-source allowance: a hash table of four-way sets without chains
 * @key: keeps strangers from choosing which sources share a set
 * @slots: a power of two of them; NULL turns the throttle off
 * @slot_count: how many
 * @unit_ns: time in which a source earns one unit
 * @burst_ns: what a source keeps at most
 * @locks: each guards the sets whose number is its own, modulo KDHT_THROTTLE_LOCKS
 */
struct kdht_throttle {
	siphash_key_t key;
	struct kdht_throttle_slot *slots;
	u32 slot_count;
	u64 unit_ns;
	u64 burst_ns;
	spinlock_t locks[KDHT_THROTTLE_LOCKS];
};

int kdht_throttle_init(struct kdht_throttle *throttle, const siphash_key_t *key, u32 slots);
void kdht_throttle_free(struct kdht_throttle *throttle);
void kdht_throttle_set_allowance(struct kdht_throttle *throttle, u32 rate_per_s, u32 burst);
bool kdht_throttle_allow(struct kdht_throttle *throttle, u64 source, u32 weight, u64 now_ns);
u64 kdht_throttle_source(const struct kdht_throttle *throttle, const struct kdht_endpoint *peer,
			 bool is_exempt);

#endif /* KDHT_THROTTLE_H */
