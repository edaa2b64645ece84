// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Which buckets split, and the caps of IP groups, by the rules of
 * engine/core/src/table/neighbourhood.rs: the bucket around the own id splits, those that
 * accelerated lookups want finer, and those of the own neighbourhood. The contacts that share
 * exactly d leading bits with the own id are called class d; once the bucket around the own id
 * has split, each bucket lies within one class.
 */
#include <linux/minmax.h>

#include "buckets.h"

/* How deep the buckets of a class are split whatever is in them */
static unsigned int plain_depth(const struct kdht_buckets *table, unsigned int class)
{
	unsigned int b = table->split_bits;

	return min_t(unsigned int, (class + b) / b * b, KDHT_ID_BITS);
}

static unsigned int class_of(const struct kdht_buckets *table, const struct kdht_bucket *bucket)
{
	return kdht_id_shared(&bucket->start, &table->own);
}

static unsigned int verified_in(const struct kdht_buckets *table,
				const struct kdht_bucket *bucket)
{
	unsigned int count = 0;
	u8 i;

	for (i = 0; i < bucket->member_count; i++)
		count += table->peers[bucket->members[i]].is_verified;
	return count;
}

/*
 * Whether a class belongs to the smallest subtree around the own id that holds k: whether fewer
 * than k verified contacts share more bits with the own id. They stand in the buckets next to it.
 */
static bool is_near(const struct kdht_buckets *table, unsigned int class)
{
	int own = kdht_bucket_of(table, &table->own), at;
	unsigned int closer = 0;

	if (own < 0)
		return true;
	closer += verified_in(table, &table->buckets[own]);
	for (at = own - 1; at >= 0 && closer < table->bucket_size; at--) {
		if (class_of(table, &table->buckets[at]) <= class)
			break;
		closer += verified_in(table, &table->buckets[at]);
	}
	for (at = own + 1; at < table->bucket_count && closer < table->bucket_size; at++) {
		if (class_of(table, &table->buckets[at]) <= class)
			break;
		closer += verified_in(table, &table->buckets[at]);
	}
	return closer < table->bucket_size;
}

/**
 * kdht_would_fit() - whether splitting a full bucket makes room, however often it takes
 * @table: the table
 * @bucket: the bucket that @id belongs to
 * @id: a newcomer's id
 *
 * It does not where all that are in it would go to the same side as @id, so that a bucket that
 * has not split yet keeps just what it would keep if it had.
 */
bool kdht_would_fit(const struct kdht_buckets *table, const struct kdht_bucket *bucket,
		    const struct kdht_id *id)
{
	unsigned int class = kdht_id_shared(id, &table->own), splits_to, near;
	u8 i;

	if (bucket->depth >= KDHT_ID_BITS || class >= KDHT_ID_BITS)
		return false;
	splits_to = plain_depth(table, class);
	near = min_t(unsigned int, class + 1 + KDHT_NEIGHBOURHOOD_SPLITS_MAX, KDHT_ID_BITS);
	if (bucket->depth < near && is_near(table, class))
		splits_to = max(splits_to, near);
	for (i = 0; i < bucket->member_count; i++)
		if (kdht_id_shared(&table->peers[bucket->members[i]].id, id) < splits_to)
			return true;
	return false;
}

/**
 * kdht_range_of() - the buckets that share a range that would be one bucket but for the
 *		     neighbourhood
 * @table: the table
 * @at: the number of one of them
 * @first: set to the first one's number
 * @after: set to the number behind the last one's
 */
void kdht_range_of(const struct kdht_buckets *table, unsigned int at, unsigned int *first,
		   unsigned int *after)
{
	const struct kdht_bucket *bucket = &table->buckets[at], *other;
	unsigned int depth;

	*first = at;
	*after = at + 1;
	if (kdht_bucket_covers(bucket, &table->own))
		return;
	depth = plain_depth(table, class_of(table, bucket));
	for (; *first > 0; (*first)--) {
		other = &table->buckets[*first - 1];
		if (other->depth <= depth ||
		    kdht_id_shared(&other->start, &bucket->start) < depth)
			break;
	}
	for (; *after < table->bucket_count; (*after)++) {
		other = &table->buckets[*after];
		if (other->depth <= depth ||
		    kdht_id_shared(&other->start, &bucket->start) < depth)
			break;
	}
}

/**
 * kdht_is_bucket_full() - whether a bucket takes no more members
 * @table: the table
 * @at: its number
 *
 * It has k; or it is a part of a range that has, and was split while it was of the
 * neighbourhood, which it is no longer.
 */
bool kdht_is_bucket_full(const struct kdht_buckets *table, unsigned int at)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	unsigned int class, first, after, count = 0;

	if (bucket->member_count >= table->bucket_size)
		return true;
	if (kdht_bucket_covers(bucket, &table->own))
		return false;
	class = class_of(table, bucket);
	if (bucket->depth <= plain_depth(table, class))
		return false;
	kdht_range_of(table, at, &first, &after);
	for (; first < after; first++)
		count += table->buckets[first].member_count;
	return count >= table->bucket_size && !is_near(table, class);
}

/* Contacts of a group, and the first of them that was never verified */
struct counted {
	unsigned int count;
	const struct kdht_peer *unverified;
};

static void count_peer(struct counted *counted, const struct kdht_peer *peer, u64 group)
{
	if (kdht_group_of(&peer->endpoint) != group)
		return;
	counted->count++;
	if (!peer->is_verified && !counted->unverified)
		counted->unverified = peer;
}

static void count_places(const struct kdht_buckets *table, struct counted *counted,
			 const u16 *places, u8 count, unsigned int class, u64 group)
{
	u8 i;

	for (i = 0; i < count; i++) {
		const struct kdht_peer *peer = &table->peers[places[i]];

		if (kdht_id_shared(&peer->id, &table->own) == class)
			count_peer(counted, peer, group);
	}
}

/* Whether one more may be held where there are @counted of at most @max: else it is counted */
static bool make_group_room(struct kdht_buckets *table, const struct counted *counted, u16 max,
			    const struct kdht_peer *peer, u64 *unkept)
{
	struct kdht_id id;

	if (counted->count < max)
		return true;
	if (!counted->unverified || !peer->is_verified) {
		(*unkept)++;
		return false;
	}
	id = counted->unverified->id;
	kdht_buckets_forget(table, &id);
	return true;
}

/**
 * kdht_admit() - whether a contact may be held as far as the caps of its IP group go
 * @table: the table
 * @at: the number of its bucket
 * @peer: the contact
 *
 * If it may not, it is counted. A verified one takes the place of one of its group that never
 * answered, so that forged sources keep no node out.
 */
bool kdht_admit(struct kdht_buckets *table, unsigned int at, const struct kdht_peer *peer)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	unsigned int class = kdht_id_shared(&peer->id, &table->own);
	struct counted counted = { 0 };
	u64 group;
	u16 i;

	if (!kdht_caps_apply(&table->caps, &peer->endpoint))
		return true;
	group = kdht_group_of(&peer->endpoint);
	count_places(table, &counted, bucket->members, bucket->member_count, class, group);
	count_places(table, &counted, bucket->waiting, bucket->waiting_count, class, group);
	if (!make_group_room(table, &counted, table->caps.bucket_max, peer,
			     &table->unkept.bucket_group))
		return false;
	if (kdht_groups_at_most(&table->groups, group) < table->caps.table_max)
		return true;
	memset(&counted, 0, sizeof(counted));
	for (i = 0; i < table->peer_count; i++)
		if (table->peers[i].is_held)
			count_peer(&counted, &table->peers[i], group);
	return make_group_room(table, &counted, table->caps.table_max, peer,
			       &table->unkept.table_group);
}
