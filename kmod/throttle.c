// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The throttle, with the verdicts of engine/core/src/throttle.rs. A newcomer takes the slot
 * of the source whose allowance is nearest to whole, which loses the least by being forgotten.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "endpoint.h"
#include "throttle.h"

/**
 * kdht_throttle_init() - an empty throttle, which allows nothing before its allowance is set
 * @throttle: to be filled in
 * @key: a secret of its own
 * @slots: sources remembered at once, rounded up to a power of two; zero turns it off
 *
 * Context: process; may sleep.
 * Return: 0, -EINVAL for more than KDHT_THROTTLE_SLOTS_MAX, or -ENOMEM.
 */
int kdht_throttle_init(struct kdht_throttle *throttle, const siphash_key_t *key, u32 slots)
{
	unsigned int i;

	memset(throttle, 0, sizeof(*throttle));
	throttle->key = *key;
	for (i = 0; i < KDHT_THROTTLE_LOCKS; i++)
		spin_lock_init(&throttle->locks[i]);
	if (!slots)
		return 0;
	if (slots > KDHT_THROTTLE_SLOTS_MAX)
		return -EINVAL;
	throttle->slot_count = max_t(u32, roundup_pow_of_two(slots), KDHT_THROTTLE_WAYS);
	throttle->slots = kvcalloc(throttle->slot_count, sizeof(*throttle->slots),
				   GFP_KERNEL_ACCOUNT);
	return throttle->slots ? 0 : -ENOMEM;
}

/**
 * kdht_throttle_free() - give back what kdht_throttle_init() took
 * @throttle: not in use by anybody any more
 */
void kdht_throttle_free(struct kdht_throttle *throttle)
{
	kvfree(throttle->slots);
	throttle->slots = NULL;
}

/**
 * kdht_throttle_set_allowance() - change what each source may ask
 * @throttle: the node's
 * @rate_per_s: units that a source earns per second
 * @burst: units that a source keeps at most
 *
 * What a source has spent stays spent.
 */
void kdht_throttle_set_allowance(struct kdht_throttle *throttle, u32 rate_per_s, u32 burst)
{
	u64 unit_ns = NSEC_PER_SEC / max_t(u32, rate_per_s, 1);

	WRITE_ONCE(throttle->unit_ns, unit_ns);
	WRITE_ONCE(throttle->burst_ns, unit_ns * burst);
}

/**
 * kdht_throttle_allow() - spend a source's allowance, if it has it
 * @throttle: the node's
 * @source: from kdht_throttle_source()
 * @weight: units that the request costs
 * @now_ns: monotonic time; an earlier one earns nothing
 *
 * Context: softirq, or with softirqs off; neither sleeps nor allocates. Takes the lock of one
 * set.
 * Return: whether the request may be served.
 */
bool kdht_throttle_allow(struct kdht_throttle *throttle, u64 source, u32 weight, u64 now_ns)
{
	struct kdht_throttle_slot *set, *slot = NULL;
	spinlock_t *lock;
	u64 whole_at_ns;
	u32 first, i;

	if (!throttle->slots)
		return true;
	first = (u32)source & (throttle->slot_count - 1) & ~(KDHT_THROTTLE_WAYS - 1);
	set = &throttle->slots[first];
	lock = &throttle->locks[first / KDHT_THROTTLE_WAYS % KDHT_THROTTLE_LOCKS];

	spin_lock(lock);
	for (i = 0; i < KDHT_THROTTLE_WAYS && !slot; i++)
		if (set[i].tag == source)
			slot = &set[i];
	if (!slot) {
		slot = set;
		for (i = 1; i < KDHT_THROTTLE_WAYS; i++)
			if (set[i].whole_at_ns < slot->whole_at_ns)
				slot = &set[i];
		slot->tag = source;
		slot->whole_at_ns = now_ns;
	}
	/* A unit is at most a second: the sums stay below 2^64 for centuries of now_ns */
	whole_at_ns = max(slot->whole_at_ns, now_ns) + READ_ONCE(throttle->unit_ns) * weight;
	if (whole_at_ns - now_ns > READ_ONCE(throttle->burst_ns)) {
		spin_unlock(lock);
		return false;
	}
	slot->whole_at_ns = whole_at_ns;
	spin_unlock(lock);
	return true;
}

/**
 * kdht_throttle_source() - name the source of a datagram
 * @throttle: the node's
 * @peer: its endpoint
 * @is_exempt: many nodes share an address by design (loopback; private ranges in a keyed
 *             network), so the whole endpoint is the source
 *
 * The IPv4 address or the IPv6 /64, hashed. The engine groups endpoints just so, but by a
 * hash and a key of its own: the names themselves mean nothing outside.
 */
u64 kdht_throttle_source(const struct kdht_throttle *throttle, const struct kdht_endpoint *peer,
			 bool is_exempt)
{
	size_t len = kdht_is_v4(peer) ? 16 : 8;

	return siphash(peer, is_exempt ? sizeof(*peer) : len, &throttle->key);
}
