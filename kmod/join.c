// SPDX-License-Identifier: GPL-2.0
/*
 * Entering the network (Kademlia, section 2.3) as engine/core/src/join.rs does: reach somebody,
 * look up the own id, look up ids in every bucket farther than the closest neighbour's, in far
 * ones by walks to each part of theirs (engine/core/src/parts.rs).
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/time64.h>

#include "attach.h"
#include "discovery.h"
#include "endpoint.h"
#include "netlink.h"

/* First pause before trying again; it doubles */
#define RETRY_MS	1000
#define RETRY_MS_MAX	60000
/* Walks under way at once */
#define WALKING_MAX	16
/* Walks of one join */
#define WALKS_MAX	256
/* Buckets of one table that are looked up */
#define TARGETS_MAX	160

/**
 * kdht_join_forget() - no join is under way, and nobody is to be asked
 * @discovery: the node's
 */
void kdht_join_forget(struct kdht_discovery *discovery)
{
	kvfree(discovery->join.aims);
	memset(&discovery->join, 0, sizeof(discovery->join));
}

/**
 * kdht_join_begin() - enter the network through whichever seed answers
 * @discovery: the node's
 * @seeds: where to ask
 * @count: how many; none ends a join under way
 *
 * Context: process; under the lock.
 * Return: 0, or -ENOSPC for more than KDHT_SEEDS_MAX.
 */
int kdht_join_begin(struct kdht_discovery *discovery, const struct kdht_endpoint *seeds,
		    u16 count)
{
	struct kdht_join *join = &discovery->join;

	if (count > KDHT_SEEDS_MAX)
		return -ENOSPC;
	kdht_join_forget(discovery);
	kdht_search_end_join(discovery);
	discovery->join_number++;
	if (!count)
		return 0;
	memcpy(join->seeds, seeds, count * sizeof(*seeds));
	join->seed_count = count;
	join->state = KDHT_JOIN_WAITING;
	join->at_ns = ktime_get_ns();
	return 0;
}

static void failed(struct kdht_discovery *discovery)
{
	struct kdht_join *join = &discovery->join;
	u32 retry_ms = min_t(u32, RETRY_MS << min_t(u8, join->attempts, 6), RETRY_MS_MAX);

	if (join->attempts < U8_MAX)
		join->attempts++;
	join->state = KDHT_JOIN_WAITING;
	join->at_ns = ktime_get_ns() + (u64)retry_ms * NSEC_PER_MSEC;
	kdht_netlink_tell_join_failed(discovery->net, &discovery->instance->node.id, retry_ms);
}

/**
 * kdht_join_continue() - try to reach somebody, if it is time
 * @discovery: the node's
 * @now_ns: monotonic time
 *
 * Context: process; under the lock.
 */
void kdht_join_continue(struct kdht_discovery *discovery, u64 now_ns)
{
	struct kdht_join *join = &discovery->join;
	u16 i;

	if (join->state != KDHT_JOIN_WAITING || now_ns < join->at_ns)
		return;
	join->state = KDHT_JOIN_CONTACTING;
	join->waiting = 0;
	for (i = 0; i < join->seed_count; i++) {
		const struct kdht_request ping = {
			.endpoint = join->seeds[i],
			.kind = KDHT_KIND_PING,
			.purpose = KDHT_SEEDING,
			.search = discovery->join_number,
		};

		if (kdht_is_reachable(&join->seeds[i]))
			join->waiting += kdht_discovery_ask(discovery, &ping,
							    &discovery->instance->node.id);
	}
	if (!join->waiting)
		failed(discovery);
}

/**
 * kdht_join_seed_answered() - a seed answered
 * @discovery: the node's
 * @number: of the join that asked it
 * @contact: who it is
 *
 * Context: process; under the lock.
 */
void kdht_join_seed_answered(struct kdht_discovery *discovery, u32 number,
			     const struct kdht_contact *contact)
{
	struct kdht_join *join = &discovery->join;

	if (join->state != KDHT_JOIN_CONTACTING || number != discovery->join_number)
		return;
	join->reached = *contact;
	join->is_reached = true;
	join->state = KDHT_JOIN_FINDING;
	if (!kdht_search_begin(discovery, &discovery->instance->node.id, KDHT_FOR_JOIN))
		failed(discovery);
}

/**
 * kdht_join_seed_failed() - a seed did not answer
 * @discovery: the node's
 * @number: of the join that asked it
 *
 * Context: process; under the lock.
 */
void kdht_join_seed_failed(struct kdht_discovery *discovery, u32 number)
{
	struct kdht_join *join = &discovery->join;

	if (number != discovery->join_number)
		return;
	if (join->state == KDHT_JOIN_CONTACTING && join->waiting && !--join->waiting)
		failed(discovery);
}

/* How many bits the own id shares with the k-th nearest of those a lookup of it begins with */
static unsigned int neighbourhood(struct kdht_discovery *discovery)
{
	const struct kdht_id *own = &discovery->instance->node.id;
	u8 k = discovery->buckets[0].bucket_size, taken = 0, i = 0, j = 0;
	const struct kdht_peer *v4[KDHT_K_MAX], *v6[KDHT_K_MAX], *next = NULL;
	u8 v4_count, v6_count;

	v4_count = kdht_buckets_candidates(&discovery->buckets[KDHT_FAMILY_V4], own, k, v4);
	v6_count = kdht_buckets_candidates(&discovery->buckets[KDHT_FAMILY_V6], own, k, v6);
	for (; taken < k && (i < v4_count || j < v6_count); taken++) {
		if (j == v6_count ||
		    (i < v4_count && kdht_id_is_nearer(&v4[i]->id, &v6[j]->id, own)))
			next = v4[i++];
		else
			next = v6[j++];
	}
	return taken == k ? kdht_id_shared(&next->id, own) : 0;
}

/* How deep the buckets of a target's class are split whatever is in them */
static unsigned int depth_of(const struct kdht_discovery *discovery,
			     const struct kdht_id *target)
{
	unsigned int class = kdht_id_shared(target, &discovery->instance->node.id);

	return (class + discovery->b) / discovery->b * discovery->b;
}

/* A random id in part @part of the range of a far bucket's target */
static void aim_at_part(struct kdht_aim *aim, const struct kdht_id *bucket, unsigned int depth,
			unsigned int part, u8 bits)
{
	unsigned int bit;

	get_random_bytes(&aim->target, sizeof(aim->target));
	for (bit = 0; bit < depth; bit++)
		kdht_id_set_bit(&aim->target, bit, kdht_id_bit(bucket, bit));
	/*
	 * The low bit of the number goes first, so that what was reached by the time that a
	 * bucket is full lies evenly in its range
	 */
	for (bit = 0; bit < bits; bit++)
		kdht_id_set_bit(&aim->target, depth + bit, part >> bit & 1);
	aim->part = depth + bits;
}

/*
 * Every lookup after that of the own id: walks to one part of each far bucket after the other,
 * then whole lookups, the last one first. Where there is no memory, buckets fill by traffic.
 */
static void take_aims(struct kdht_discovery *discovery)
{
	const struct kdht_id *own = &discovery->instance->node.id;
	unsigned int near_from = neighbourhood(discovery), count = 0, i, part;
	struct kdht_join *join = &discovery->join;
	u8 bits = kdht_part_bits(discovery);
	struct kdht_id *targets;
	struct kdht_aim *aims;
	int family;

	targets = kvmalloc_array(KDHT_FAMILY_COUNT * TARGETS_MAX, sizeof(*targets),
				 GFP_KERNEL_ACCOUNT);
	aims = kvmalloc_array(KDHT_AIMS_MAX, sizeof(*aims), GFP_KERNEL_ACCOUNT);
	join->aim_count = 0;
	if (!targets || !aims) {
		kvfree(aims);
		goto free_targets;
	}
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		count += kdht_buckets_refresh_targets(&discovery->buckets[family],
						      targets + count, TARGETS_MAX);
	for (part = 0; bits && part < 1U << bits; part++) {
		for (i = 0; i < count && join->aim_count < WALKS_MAX; i++) {
			unsigned int depth = depth_of(discovery, &targets[i]);

			if (kdht_id_shared(&targets[i], own) + 1 < near_from &&
			    depth + bits <= KDHT_ID_BITS)
				aim_at_part(&aims[join->aim_count++], &targets[i], depth, part,
					    bits);
		}
	}
	for (i = 0; i < count; i++) {
		if (bits && kdht_id_shared(&targets[i], own) + 1 < near_from &&
		    depth_of(discovery, &targets[i]) + bits <= KDHT_ID_BITS)
			continue;
		aims[join->aim_count].target = targets[i];
		aims[join->aim_count++].part = 0;
	}
	for (i = 0; i < join->aim_count / 2; i++)
		swap(aims[i], aims[join->aim_count - 1 - i]);
	kvfree(join->aims);
	join->aims = aims;
free_targets:
	kvfree(targets);
}

/* Whether a contact is known in the part that a walk is aimed at, in the table of each family */
static bool is_covered(struct kdht_discovery *discovery, const struct kdht_aim *aim)
{
	const struct kdht_peer *nearest;
	int family;

	if (!aim->part)
		return false;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++) {
		if (!discovery->socks[family])
			continue;
		if (!kdht_buckets_candidates(&discovery->buckets[family], &aim->target, 1,
					     &nearest) ||
		    !kdht_peer_is_good(nearest) ||
		    kdht_id_shared(&nearest->id, &aim->target) < aim->part)
			return false;
	}
	return true;
}

static void joined(struct kdht_discovery *discovery)
{
	struct kdht_join *join = &discovery->join;
	struct kdht_fill fills[KDHT_FAMILY_COUNT];
	int family;

	kvfree(join->aims);
	join->aims = NULL;
	join->state = KDHT_JOIN_JOINED;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_buckets_fill(&discovery->buckets[family], &fills[family]);
	kdht_netlink_tell_joined(discovery->net, &discovery->instance->node.id,
				 fills[KDHT_FAMILY_V4].of_liveness[KDHT_GOOD],
				 fills[KDHT_FAMILY_V6].of_liveness[KDHT_GOOD]);
}

/*
 * Keeps alpha lookups running, or walks for as many requests in flight, and ends the join when
 * none is left. One that ends as soon as it begins does not begin the next one: whoever began it
 * does, so that the stack holds one of them.
 */
static void search_next(struct kdht_discovery *discovery)
{
	struct kdht_join *join = &discovery->join;
	u8 alpha = discovery->alpha;

	while (join->state == KDHT_JOIN_REFRESHING && join->aim_count) {
		struct kdht_aim aim = join->aims[join->aim_count - 1];
		unsigned int running_max = aim.part ? min(alpha * alpha, WALKING_MAX) : alpha;
		bool has_begun;

		if (join->running >= running_max)
			return;
		join->aim_count--;
		if (is_covered(discovery, &aim))
			continue;
		join->running++;
		join->is_beginning = true;
		has_begun = kdht_search_begin(discovery, &aim.target,
					      aim.part ? KDHT_FOR_WALK : KDHT_FOR_JOIN);
		join->is_beginning = false;
		if (!has_begun) {
			/* Where there is no place for it, farther buckets fill by traffic */
			join->running--;
			join->aim_count = 0;
		}
	}
	if (join->state == KDHT_JOIN_REFRESHING && !join->running)
		joined(discovery);
}

/**
 * kdht_join_search_ended() - one of the join's lookups ended
 * @discovery: the node's
 * @is_found: whether anybody answered
 *
 * Context: process; under the lock.
 */
void kdht_join_search_ended(struct kdht_discovery *discovery, bool is_found)
{
	struct kdht_join *join = &discovery->join;

	if (join->state == KDHT_JOIN_FINDING) {
		if (!is_found) {
			failed(discovery);
			return;
		}
		take_aims(discovery);
		join->state = KDHT_JOIN_REFRESHING;
		join->running = 0;
		search_next(discovery);
	} else if (join->state == KDHT_JOIN_REFRESHING) {
		join->running -= !!join->running;
		if (!join->is_beginning)
			search_next(discovery);
	}
}
