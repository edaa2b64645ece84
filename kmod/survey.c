// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Looking over a whole routing table: how full it is, whom to probe, what to refresh. As
 * engine/core/src/table/survey.rs does it.
 */
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/random.h>
#include <linux/string.h>

#include "buckets.h"

/* Names a contact to be probed, if there is room for it */
static void name(const struct kdht_peer *peer, struct kdht_contact **probes, unsigned int *room)
{
	if (!*room)
		return;
	*(*probes)++ = kdht_peer_contact(peer);
	(*room)--;
}

/**
 * kdht_buckets_unsettled() - name contacts that failed, or never answered, and may be asked
 * @table: the table
 * @now_ns: monotonic time
 * @probes: filled with at most *@room of them, bucket by bucket
 * @room: less by what was filled in
 *
 * Return: whether any contact is not good, due or not.
 */
bool kdht_buckets_unsettled(const struct kdht_buckets *table, u64 now_ns,
			    struct kdht_contact *probes, unsigned int *room)
{
	u32 now_s = kdht_seconds(now_ns);
	bool is_any = false;
	u16 at;
	u8 i;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		for (i = 0; i < bucket->member_count + bucket->waiting_count; i++) {
			const struct kdht_peer *peer = &table->peers[i < bucket->member_count ?
				bucket->members[i] : bucket->waiting[i - bucket->member_count]];

			if (kdht_peer_is_good(peer))
				continue;
			is_any = true;
			/* What was heard of just now is being probed already */
			if (peer->probe_after_s <= now_s && peer->seen_s + 1ULL < now_s)
				name(peer, &probes, room);
		}
	}
	return is_any;
}

/**
 * kdht_buckets_silent_since() - name good members not heard of for long
 * @table: the table
 * @before_s: since before this second of monotonic time
 * @probes: filled with at most *@room of them
 * @room: less by what was filled in
 *
 * Return: whether there are any, named or not.
 */
bool kdht_buckets_silent_since(const struct kdht_buckets *table, u32 before_s,
			       struct kdht_contact *probes, unsigned int *room)
{
	bool is_any = false;
	u16 at;
	u8 i;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		for (i = 0; i < bucket->member_count; i++) {
			const struct kdht_peer *peer = &table->peers[bucket->members[i]];

			if (!kdht_peer_is_good(peer) || peer->seen_s >= before_s)
				continue;
			is_any = true;
			name(peer, &probes, room);
		}
	}
	return is_any;
}

/**
 * kdht_buckets_fill() - how full a table is
 * @table: the table
 * @fill: to be filled in
 */
void kdht_buckets_fill(const struct kdht_buckets *table, struct kdht_fill *fill)
{
	u16 at;
	u8 i;

	memset(fill, 0, sizeof(*fill));
	fill->buckets = table->bucket_count;
	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		for (i = 0; i < bucket->member_count; i++)
			fill->of_liveness[kdht_peer_liveness(&table->peers[bucket->members[i]])]++;
		fill->replacements += bucket->waiting_count;
	}
}

/**
 * kdht_buckets_good() - the contacts that others may be told of
 * @table: the table
 * @good: room for as many as there are places; filled, sorted by id
 *
 * Return: how many.
 */
u16 kdht_buckets_good(const struct kdht_buckets *table, struct kdht_contact *good)
{
	u16 at, count = 0, first, place;
	u8 i;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		/* Buckets are in order; within each, the few are put in order as they come */
		first = count;
		for (i = 0; i < bucket->member_count; i++) {
			const struct kdht_peer *peer = &table->peers[bucket->members[i]];

			if (!kdht_peer_is_good(peer))
				continue;
			for (place = count++; place > first; place--) {
				if (kdht_id_order(&good[place - 1].id, &peer->id) < 0)
					break;
				good[place] = good[place - 1];
			}
			good[place] = kdht_peer_contact(peer);
		}
	}
	return count;
}

/* Puts @peer in its place among the @count nearest; how many they are then, at most @k */
static u8 rank(const struct kdht_peer **nearest, u8 count, u8 k, const struct kdht_peer *peer,
	       const struct kdht_id *target)
{
	u8 at;

	if (count < k)
		at = count++;
	else if (kdht_id_is_nearer(&peer->id, &nearest[k - 1]->id, target))
		at = k - 1;
	else
		return count;
	for (; at > 0 && kdht_id_is_nearer(&peer->id, &nearest[at - 1]->id, target); at--)
		nearest[at] = nearest[at - 1];
	nearest[at] = peer;
	return count;
}

/**
 * kdht_buckets_candidates() - whom a lookup begins with
 * @table: the table
 * @target: what is looked up
 * @k: how many are wanted, 1 to KDHT_K_MAX
 * @out: filled with the nearest, nearest first
 *
 * Verified members that are not stale; all others if there is none, as after an outage of our
 * own. Whoever never answered is pinged first: its address may be a victim's. Cost: each member.
 *
 * Return: how many.
 */
u8 kdht_buckets_candidates(const struct kdht_buckets *table, const struct kdht_id *target, u8 k,
			   const struct kdht_peer **out)
{
	u8 fresh = 0, others = 0, i;
	const struct kdht_peer *rest[KDHT_K_MAX];
	u16 at;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		for (i = 0; i < bucket->member_count; i++) {
			const struct kdht_peer *peer = &table->peers[bucket->members[i]];

			if (peer->is_verified && peer->failures < KDHT_STALE_FAILURES)
				fresh = rank(out, fresh, k, peer, target);
			else if (!fresh)
				others = rank(rest, others, k, peer, target);
		}
	}
	if (fresh)
		return fresh;
	memcpy(out, rest, others * sizeof(*rest));
	return others;
}

/**
 * kdht_buckets_touch() - an id is being looked up: the range of its bucket is not idle
 * @table: the table
 * @target: the id
 * @now_ns: monotonic time
 */
void kdht_buckets_touch(struct kdht_buckets *table, const struct kdht_id *target, u64 now_ns)
{
	int at = kdht_bucket_of(table, target);
	unsigned int first, after;

	if (at < 0)
		return;
	kdht_range_of(table, at, &first, &after);
	for (; first < after; first++)
		table->buckets[first].touched_s = kdht_seconds(now_ns);
}

static unsigned int idlest(const struct kdht_buckets *table)
{
	unsigned int at, found = 0;

	for (at = 1; at < table->bucket_count; at++)
		if (table->buckets[at].touched_s < table->buckets[found].touched_s)
			found = at;
	return found;
}

/**
 * kdht_buckets_idlest_s() - since when nothing was looked up in the range idle for longest
 * @table: the table
 * @touched_s: set to the second of monotonic time
 *
 * Return: false if no contact is known.
 */
bool kdht_buckets_idlest_s(const struct kdht_buckets *table, u32 *touched_s)
{
	u16 at;

	for (at = 0; at < table->bucket_count; at++) {
		if (table->buckets[at].member_count) {
			*touched_s = table->buckets[idlest(table)].touched_s;
			return true;
		}
	}
	return false;
}

/* An id in the range of @bucket, by chance */
static void random_in(const struct kdht_bucket *bucket, struct kdht_id *id)
{
	unsigned int bit;

	get_random_bytes(id, sizeof(*id));
	for (bit = 0; bit < bucket->depth; bit++)
		kdht_id_set_bit(id, bit, kdht_id_bit(&bucket->start, bit));
}

/**
 * kdht_buckets_idlest_target() - a random id in the range that was idle for longest
 * @table: a table with contacts
 * @target: set to the id
 */
void kdht_buckets_idlest_target(const struct kdht_buckets *table, struct kdht_id *target)
{
	unsigned int first, after;
	u32 chance;

	kdht_range_of(table, idlest(table), &first, &after);
	/* Of a range in parts, any part: all are touched together */
	get_random_bytes(&chance, sizeof(chance));
	random_in(&table->buckets[first + chance % (after - first)], target);
}

/**
 * kdht_buckets_refresh_targets() - what is looked up after a join (Kademlia, section 2.3)
 * @table: the table
 * @targets: filled with a random id in the range of each bucket that is farther than the
 *	     closest neighbour's, the farthest bucket first
 * @max: at most so many
 *
 * Return: how many.
 */
unsigned int kdht_buckets_refresh_targets(const struct kdht_buckets *table,
					  struct kdht_id *targets, unsigned int max)
{
	unsigned int depth, shared = 0, count = 0;
	u16 at;
	u8 i;

	for (at = 0; at < table->bucket_count; at++) {
		const struct kdht_bucket *bucket = &table->buckets[at];

		for (i = 0; i < bucket->member_count; i++)
			shared = max(shared, kdht_id_shared(&table->peers[bucket->members[i]].id,
							    &table->own));
	}
	for (depth = 0; depth <= KDHT_ID_BITS; depth++) {
		for (at = 0; at < table->bucket_count && count < max; at++) {
			const struct kdht_bucket *bucket = &table->buckets[at];

			if (bucket->depth == depth &&
			    kdht_id_shared(&bucket->start, &table->own) < shared)
				random_in(bucket, &targets[count++]);
		}
	}
	return count;
}
