/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Who has which place in the routing table; for the files of the table itself. */
#ifndef KDHT_PLACES_H
#define KDHT_PLACES_H

#include <linux/string.h>
#include <linux/types.h>

#include "buckets.h"

/* Where a contact stands: in which list of a bucket, and at which index of it */
struct kdht_found {
	bool is_member;
	u8 index;
	u16 place;
};

static inline u16 kdht_take_out(u16 *places, u8 *count, u8 index)
{
	u16 place = places[index];

	memmove(places + index, places + index + 1, (*count - index - 1) * sizeof(*places));
	(*count)--;
	return place;
}

/* The place of a member or a replacement, which it has no longer */
static inline u16 kdht_take_member(struct kdht_bucket *bucket, u8 index)
{
	return kdht_take_out(bucket->members, &bucket->member_count, index);
}

static inline u16 kdht_take_waiting(struct kdht_bucket *bucket, u8 index)
{
	return kdht_take_out(bucket->waiting, &bucket->waiting_count, index);
}

static inline void kdht_add_member(struct kdht_bucket *bucket, u16 place)
{
	bucket->members[bucket->member_count++] = place;
}

static inline void kdht_add_waiting(struct kdht_bucket *bucket, u16 place)
{
	bucket->waiting[bucket->waiting_count++] = place;
}

/* What others are told may be different now, if @peer is one that they may be told of */
static inline void kdht_note_change(struct kdht_buckets *table, const struct kdht_peer *peer)
{
	table->is_changed |= kdht_peer_is_good(peer);
}

bool kdht_cover_space(struct kdht_buckets *table);
bool kdht_place_find(const struct kdht_buckets *table, unsigned int at, const struct kdht_id *id,
		     struct kdht_found *found);
bool kdht_place_locate(const struct kdht_buckets *table, const struct kdht_id *id, int *at,
		       struct kdht_found *found);
int kdht_place_hold(struct kdht_buckets *table, const struct kdht_peer *peer);
void kdht_place_release(struct kdht_buckets *table, u16 place);
void kdht_place_evict(struct kdht_buckets *table, u16 place);
void kdht_place_refill(struct kdht_buckets *table, unsigned int at);
void kdht_place_cache(struct kdht_buckets *table, unsigned int at, const struct kdht_peer *peer);
void kdht_place_verified(struct kdht_buckets *table, const struct kdht_peer *peer);
void kdht_place_promote(struct kdht_buckets *table, unsigned int at, u8 index);

#endif /* KDHT_PLACES_H */
