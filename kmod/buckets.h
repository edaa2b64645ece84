/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The routing table of one address family: k-buckets, split around the own id. */
#ifndef KDHT_BUCKETS_H
#define KDHT_BUCKETS_H

#include <linux/types.h>

#include "groups.h"
#include "id.h"
#include "peer.h"
#include "table.h"

/* Most contacts in a bucket's replacement cache */
#define KDHT_REPLACEMENTS_MAX		8
/* A contact heard from within so many seconds counts as alive without a ping */
#define KDHT_FRESH_S			60
/* Largest b of accelerated lookups (Kademlia, section 4.2) */
#define KDHT_SPLIT_BITS_MAX		5
/* How often the range of one class is halved so that all of the own neighbourhood is kept */
#define KDHT_NEIGHBOURHOOD_SPLITS_MAX	3
/* Most buckets: of each class 2 to the power of b - 1, and the one around the own id */
#define KDHT_BUCKETS_MAX		(KDHT_ID_BITS * 16 + 1)

/**
 * struct kdht_bucket - the contacts whose ids begin with the first bits of @start
 * @start: the lowest id of the range
 * @depth: how many bits they share
 * @member_count: of @members
 * @waiting_count: of @waiting
 * @touched_s: since which second of monotonic time nothing was looked up in the range
 * @members: places in the table's contacts, the least recently seen first
 * @waiting: the replacement cache, the oldest first
 */
struct kdht_bucket {
	struct kdht_id start;
	u8 depth;
	u8 member_count;
	u8 waiting_count;
	u32 touched_s;
	u16 members[KDHT_K_MAX];
	u16 waiting[KDHT_REPLACEMENTS_MAX];
};

/* Contacts that were not kept, and why */
struct kdht_unkept {
	u64 bucket_group;
	u64 table_group;
	u64 full;
};

/**
 * struct kdht_buckets - the contacts of one address family, and what is known of them
 * @own: the own id, which is never in it
 * @bucket_size: k
 * @split_bits: b: how many bits of distance one step of a lookup gains at least
 * @peers_max: contacts kept at most, replacements included
 * @caps: for IP groups
 * @buckets: sorted by their starts; together they cover all ids
 * @bucket_count: how many; none before the first contact
 * @bucket_room: and for how many there is memory
 * @peers: contacts, in no order; buckets name them by place
 * @peer_count: places that were ever taken
 * @peer_room: and for how many there is memory
 * @free: places that are not taken any more
 * @free_count: how many
 * @groups: contacts of each IP group
 * @unkept: contacts that were not kept
 * @evicted: members that lost their place
 * @is_changed: others are to be told of other contacts than before
 *
 * Whoever changes it holds a mutex: all changes are made in process context, in batches, so
 * that there is nothing to be gained by a lock for each bucket. Datagrams are answered from a
 * copy of the good contacts (struct kdht_table), which is read without locks.
 */
struct kdht_buckets {
	struct kdht_id own;
	u8 bucket_size;
	u8 split_bits;
	u16 peers_max;
	struct kdht_caps caps;
	struct kdht_bucket *buckets;
	u16 bucket_count;
	u16 bucket_room;
	struct kdht_peer *peers;
	u16 peer_count;
	u16 peer_room;
	u16 *free;
	u16 free_count;
	struct kdht_groups groups;
	struct kdht_unkept unkept;
	u64 evicted;
	bool is_changed;
};

/**
 * struct kdht_advice - whom to ping after a message was seen
 * @count: how many
 * @probes: the contacts; of two, the first may have to make room for the second
 */
struct kdht_advice {
	u8 count;
	struct kdht_contact probes[2];
};

/* How full a table is */
struct kdht_fill {
	u32 buckets;
	u32 of_liveness[KDHT_STALE + 1];
	u32 replacements;
};

void kdht_buckets_init(struct kdht_buckets *table, const struct kdht_id *own, u8 bucket_size,
		       u8 split_bits, u16 peers_max);
void kdht_buckets_free(struct kdht_buckets *table);
void kdht_buckets_sighted(struct kdht_buckets *table, const struct kdht_id *id,
			  const struct kdht_endpoint *endpoint, u64 now_ns,
			  struct kdht_advice *advice);
bool kdht_buckets_answered(struct kdht_buckets *table, const struct kdht_id *id,
			   const struct kdht_endpoint *endpoint, const struct kdht_told *told,
			   u64 now_ns);
void kdht_buckets_failed(struct kdht_buckets *table, const struct kdht_id *id,
			 const struct kdht_endpoint *endpoint, u64 sent_ns, u64 now_ns,
			 struct kdht_advice *advice);
const struct kdht_peer *kdht_buckets_peer(const struct kdht_buckets *table,
					  const struct kdht_id *id);
void kdht_trace_evict(const struct kdht_peer *peer);

/* Looking over the whole table (survey.c) */
bool kdht_buckets_unsettled(const struct kdht_buckets *table, u64 now_ns,
			    struct kdht_contact *probes, unsigned int *room);
bool kdht_buckets_silent_since(const struct kdht_buckets *table, u32 before_s,
			       struct kdht_contact *probes, unsigned int *room);
void kdht_buckets_fill(const struct kdht_buckets *table, struct kdht_fill *fill);
u16 kdht_buckets_good(const struct kdht_buckets *table, struct kdht_contact *good);
u8 kdht_buckets_candidates(const struct kdht_buckets *table, const struct kdht_id *target, u8 k,
			   const struct kdht_peer **out);
void kdht_buckets_touch(struct kdht_buckets *table, const struct kdht_id *target, u64 now_ns);
bool kdht_buckets_idlest_s(const struct kdht_buckets *table, u32 *touched_s);
void kdht_buckets_idlest_target(const struct kdht_buckets *table, struct kdht_id *target);
unsigned int kdht_buckets_refresh_targets(const struct kdht_buckets *table,
					  struct kdht_id *targets, unsigned int max);

/* For the files of the table itself */
int kdht_bucket_of(const struct kdht_buckets *table, const struct kdht_id *id);
bool kdht_bucket_covers(const struct kdht_bucket *bucket, const struct kdht_id *id);
bool kdht_would_fit(const struct kdht_buckets *table, const struct kdht_bucket *bucket,
		    const struct kdht_id *id);
bool kdht_is_bucket_full(const struct kdht_buckets *table, unsigned int at);
void kdht_range_of(const struct kdht_buckets *table, unsigned int at, unsigned int *first,
		   unsigned int *after);
bool kdht_admit(struct kdht_buckets *table, unsigned int at, const struct kdht_peer *peer);
void kdht_buckets_forget(struct kdht_buckets *table, const struct kdht_id *id);

#endif /* KDHT_BUCKETS_H */
