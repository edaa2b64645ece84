// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Memory and places of the routing table: who is held where, who makes room for whom, and how a
 * bucket splits. By the rules of engine/core/src/table.rs.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "places.h"

/**
 * kdht_buckets_init() - an empty table; memory is taken as contacts come
 * @table: to be filled in; its caps are to be set
 * @own: the own id
 * @bucket_size: k, 1 to KDHT_K_MAX
 * @split_bits: b, 1 to KDHT_SPLIT_BITS_MAX
 * @peers_max: contacts kept at most
 */
void kdht_buckets_init(struct kdht_buckets *table, const struct kdht_id *own, u8 bucket_size,
		       u8 split_bits, u16 peers_max)
{
	memset(table, 0, sizeof(*table));
	table->own = *own;
	table->bucket_size = bucket_size;
	table->split_bits = split_bits;
	table->peers_max = peers_max;
}

/**
 * kdht_buckets_free() - forget all contacts and give back all memory
 * @table: the table, which may be used again
 */
void kdht_buckets_free(struct kdht_buckets *table)
{
	kvfree(table->buckets);
	kvfree(table->peers);
	kvfree(table->free);
	table->buckets = NULL;
	table->peers = NULL;
	table->free = NULL;
	table->bucket_count = 0;
	table->bucket_room = 0;
	table->peer_count = 0;
	table->peer_room = 0;
	table->free_count = 0;
	memset(&table->groups, 0, sizeof(table->groups));
	table->is_changed = true;
}

/* Memory for @room items of @size bytes, with the first @count of @old in it */
static void *grow(void *old, u16 count, u16 room, size_t size)
{
	void *new = kvcalloc(room, size, GFP_KERNEL_ACCOUNT);

	if (new && count)
		memcpy(new, old, count * size);
	if (new)
		kvfree(old);
	return new;
}

static bool make_bucket_room(struct kdht_buckets *table)
{
	u16 room = min_t(u32, max_t(u32, 16, table->bucket_room * 2), KDHT_BUCKETS_MAX);
	void *new;

	if (table->bucket_count < table->bucket_room)
		return true;
	if (table->bucket_count == KDHT_BUCKETS_MAX)
		return false;
	new = grow(table->buckets, table->bucket_count, room, sizeof(*table->buckets));
	if (!new)
		return false;
	table->buckets = new;
	table->bucket_room = room;
	return true;
}

static bool make_peer_room(struct kdht_buckets *table)
{
	u16 room = min_t(u32, max_t(u32, 32, table->peer_room * 2), table->peers_max);
	void *peers, *free;

	if (table->peer_count < table->peer_room)
		return true;
	if (table->peer_count >= table->peers_max)
		return false;
	free = grow(table->free, table->free_count, room, sizeof(*table->free));
	if (!free)
		return false;
	/* Of more places than the rest for the moment, which does no harm */
	table->free = free;
	peers = grow(table->peers, table->peer_count, room, sizeof(*table->peers));
	if (!peers)
		return false;
	table->peers = peers;
	table->peer_room = room;
	return true;
}

/**
 * kdht_cover_space() - make the first bucket, which covers all ids, if there is none
 * @table: the table
 *
 * Return: whether there is one.
 */
bool kdht_cover_space(struct kdht_buckets *table)
{
	if (!table->bucket_count && make_bucket_room(table)) {
		memset(table->buckets, 0, sizeof(*table->buckets));
		table->bucket_count = 1;
	}
	return table->bucket_count;
}

/**
 * kdht_bucket_covers() - whether an id lies in a bucket's range
 * @bucket: the bucket
 * @id: the id
 */
bool kdht_bucket_covers(const struct kdht_bucket *bucket, const struct kdht_id *id)
{
	return kdht_id_shared(&bucket->start, id) >= bucket->depth;
}

/**
 * kdht_bucket_of() - the number of the bucket that an id belongs to
 * @table: the table
 * @id: the id
 *
 * Return: its number, or -1 if there are no buckets yet.
 */
int kdht_bucket_of(const struct kdht_buckets *table, const struct kdht_id *id)
{
	unsigned int low = 0, high = table->bucket_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (kdht_id_order(&table->buckets[middle].start, id) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return (int)low - 1;
}

static int index_of(const struct kdht_buckets *table, const u16 *places, u8 count,
		    const struct kdht_id *id)
{
	u8 i;

	for (i = 0; i < count; i++)
		if (kdht_id_is_same(&table->peers[places[i]].id, id))
			return i;
	return -1;
}

/**
 * kdht_place_find() - where a contact stands in a bucket
 * @table: the table
 * @at: the bucket's number
 * @id: the contact's id
 * @found: set to it
 *
 * Return: whether it is there.
 */
bool kdht_place_find(const struct kdht_buckets *table, unsigned int at, const struct kdht_id *id,
		     struct kdht_found *found)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	int index = index_of(table, bucket->members, bucket->member_count, id);

	found->is_member = index >= 0;
	if (!found->is_member)
		index = index_of(table, bucket->waiting, bucket->waiting_count, id);
	if (index < 0)
		return false;
	found->index = index;
	found->place = found->is_member ? bucket->members[index] : bucket->waiting[index];
	return true;
}

/**
 * kdht_place_locate() - where a contact stands
 * @table: the table
 * @id: its id
 * @at: set to the number of the bucket that it belongs to; -1 if there is none
 * @found: set to where in it
 *
 * Return: whether it is there.
 */
bool kdht_place_locate(const struct kdht_buckets *table, const struct kdht_id *id, int *at,
		       struct kdht_found *found)
{
	*at = kdht_bucket_of(table, id);
	return *at >= 0 && kdht_place_find(table, *at, id, found);
}

/**
 * kdht_place_hold() - remember a contact
 * @table: the table
 * @peer: what is known of it
 *
 * Return: its place, for a bucket to name; -1 if the table is full.
 */
int kdht_place_hold(struct kdht_buckets *table, const struct kdht_peer *peer)
{
	u16 place;

	if (table->free_count) {
		place = table->free[--table->free_count];
	} else {
		if (!make_peer_room(table)) {
			table->unkept.full++;
			return -1;
		}
		place = table->peer_count++;
	}
	table->peers[place] = *peer;
	kdht_note_change(table, peer);
	kdht_groups_add(&table->groups, kdht_group_of(&peer->endpoint));
	return place;
}

/**
 * kdht_place_release() - forget a contact that no bucket names
 * @table: the table
 * @place: its place
 */
void kdht_place_release(struct kdht_buckets *table, u16 place)
{
	struct kdht_peer *peer = &table->peers[place];

	kdht_note_change(table, peer);
	kdht_groups_remove(&table->groups, kdht_group_of(&peer->endpoint));
	peer->is_held = false;
	table->free[table->free_count++] = place;
}

/**
 * kdht_place_evict() - forget a contact that was a member
 * @table: the table
 * @place: its place, which its bucket does not name any more
 */
void kdht_place_evict(struct kdht_buckets *table, u16 place)
{
	kdht_trace_evict(&table->peers[place]);
	table->evicted++;
	kdht_place_release(table, place);
}

static bool is_full(const struct kdht_buckets *table)
{
	return !table->free_count && table->peer_count >= table->peers_max;
}

/* The first index of a contact that was never verified; -1 if there is none */
static int unverified_among(const struct kdht_buckets *table, const u16 *places, u8 count)
{
	u8 i;

	for (i = 0; i < count; i++)
		if (!table->peers[places[i]].is_verified)
			return i;
	return -1;
}

/*
 * The member that a verified newcomer may displace: one that never answered, else, unless the
 * bucket @splits, the least recently seen that failed twice. -1 if there is none
 */
static int displaceable(const struct kdht_buckets *table, unsigned int at, bool splits)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	int index = unverified_among(table, bucket->members, bucket->member_count);

	if (index >= 0 || splits)
		return index;
	for (index = 0; index < bucket->member_count; index++)
		if (kdht_peer_is_displaceable(&table->peers[bucket->members[index]]))
			return index;
	return -1;
}

/**
 * kdht_place_refill() - a place became free: the most recent replacement takes it
 * @table: the table
 * @at: the bucket's number
 */
void kdht_place_refill(struct kdht_buckets *table, unsigned int at)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	u16 place;

	if (!bucket->waiting_count || kdht_is_bucket_full(table, at))
		return;
	place = kdht_take_waiting(bucket, bucket->waiting_count - 1);
	kdht_add_member(bucket, place);
	kdht_note_change(table, &table->peers[place]);
}

/**
 * kdht_buckets_forget() - forget a contact; a waiting one takes its place
 * @table: the table
 * @id: its id
 */
void kdht_buckets_forget(struct kdht_buckets *table, const struct kdht_id *id)
{
	struct kdht_found found;
	int at;

	if (!kdht_place_locate(table, id, &at, &found))
		return;
	if (!found.is_member) {
		kdht_place_release(table, kdht_take_waiting(&table->buckets[at], found.index));
		return;
	}
	kdht_place_evict(table, kdht_take_member(&table->buckets[at], found.index));
	kdht_place_refill(table, at);
}

/*
 * Makes room for a verified newcomer that has a bucket's free place: an unverified replacement
 * goes, else an unverified member, else any replacement
 */
static void forget_somebody(struct kdht_buckets *table)
{
	struct kdht_bucket *bucket;
	unsigned int at;
	int index;

	for (at = 0; at < table->bucket_count; at++) {
		bucket = &table->buckets[at];
		index = unverified_among(table, bucket->waiting, bucket->waiting_count);
		if (index >= 0) {
			kdht_place_release(table, kdht_take_waiting(bucket, index));
			return;
		}
	}
	for (at = 0; at < table->bucket_count; at++) {
		bucket = &table->buckets[at];
		index = unverified_among(table, bucket->members, bucket->member_count);
		if (index >= 0) {
			kdht_place_evict(table, kdht_take_member(bucket, index));
			kdht_place_refill(table, at);
			return;
		}
	}
	for (at = 0; at < table->bucket_count; at++) {
		bucket = &table->buckets[at];
		if (bucket->waiting_count) {
			kdht_place_release(table, kdht_take_waiting(bucket, 0));
			return;
		}
	}
}

/**
 * kdht_place_cache() - remember a contact that found its bucket full
 * @table: the table
 * @at: the bucket's number
 * @peer: the contact
 *
 * The oldest unverified replacement makes room, or the oldest.
 */
void kdht_place_cache(struct kdht_buckets *table, unsigned int at, const struct kdht_peer *peer)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	int place;

	if (bucket->waiting_count >= min_t(u8, KDHT_REPLACEMENTS_MAX, table->bucket_size)) {
		int oldest = unverified_among(table, bucket->waiting, bucket->waiting_count);

		if (oldest < 0 && !peer->is_verified)
			return;
		kdht_place_release(table, kdht_take_waiting(bucket, max(oldest, 0)));
	}
	place = kdht_place_hold(table, peer);
	if (place >= 0)
		kdht_add_waiting(bucket, place);
}

/* Halves a bucket. Whether there was memory for one more */
static bool split(struct kdht_buckets *table, unsigned int at)
{
	struct kdht_bucket *halves, old;
	u8 i;

	if (!make_bucket_room(table))
		return false;
	halves = &table->buckets[at];
	old = *halves;
	memmove(halves + 2, halves + 1, (table->bucket_count - at - 1) * sizeof(*halves));
	table->bucket_count++;
	for (i = 0; i < 2; i++) {
		memset(&halves[i], 0, sizeof(halves[i]));
		halves[i].start = old.start;
		kdht_id_set_bit(&halves[i].start, old.depth, i);
		halves[i].depth = old.depth + 1;
		halves[i].touched_s = old.touched_s;
	}
	for (i = 0; i < old.member_count; i++) {
		const struct kdht_peer *peer = &table->peers[old.members[i]];

		kdht_add_member(&halves[kdht_id_bit(&peer->id, old.depth)], old.members[i]);
	}
	for (i = 0; i < old.waiting_count; i++) {
		const struct kdht_peer *peer = &table->peers[old.waiting[i]];
		struct kdht_bucket *half = &halves[kdht_id_bit(&peer->id, old.depth)];

		/* A half has the room that the other half's members left */
		if (half->member_count < table->bucket_size) {
			kdht_add_member(half, old.waiting[i]);
			kdht_note_change(table, peer);
		} else {
			kdht_add_waiting(half, old.waiting[i]);
		}
	}
	return true;
}

/**
 * kdht_place_verified() - find a place for a contact that answered
 * @table: the table
 * @peer: the contact, which has none
 *
 * A free one, or that of a member that may be displaced, or by splits of its bucket; else it
 * becomes a replacement.
 */
void kdht_place_verified(struct kdht_buckets *table, const struct kdht_peer *peer)
{
	int at, index, place;
	bool splits;

	if (!kdht_cover_space(table))
		return;
	/* Each turn either ends or deepens the bucket by a bit */
	for (;;) {
		at = kdht_bucket_of(table, &peer->id);
		splits = kdht_would_fit(table, &table->buckets[at], &peer->id);
		if (!splits || !kdht_is_bucket_full(table, at) ||
		    displaceable(table, at, true) >= 0 || !split(table, at))
			break;
	}
	if (!kdht_admit(table, at, peer))
		return;
	if (!kdht_is_bucket_full(table, at)) {
		if (is_full(table))
			forget_somebody(table);
	} else {
		index = displaceable(table, at, splits);
		if (index < 0) {
			kdht_place_cache(table, at, peer);
			return;
		}
		kdht_place_evict(table, kdht_take_member(&table->buckets[at], index));
	}
	place = kdht_place_hold(table, peer);
	if (place >= 0)
		kdht_add_member(&table->buckets[at], place);
}

/**
 * kdht_place_promote() - a replacement answered
 * @table: the table
 * @at: its bucket's number
 * @index: which replacement
 *
 * It takes a free place, the place of a member that may be displaced, or splits the bucket; else
 * it becomes the most recent replacement.
 */
void kdht_place_promote(struct kdht_buckets *table, unsigned int at, u8 index)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	u16 place = bucket->waiting[index];
	struct kdht_peer peer = table->peers[place];

	kdht_take_waiting(bucket, index);
	if (kdht_is_bucket_full(table, at) && !kdht_would_fit(table, bucket, &peer.id) &&
	    displaceable(table, at, false) < 0) {
		kdht_add_waiting(bucket, place);
		return;
	}
	kdht_place_release(table, place);
	kdht_place_verified(table, &peer);
}
