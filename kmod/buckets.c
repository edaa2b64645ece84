// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The k-buckets, by the rules of engine/core/src/table.rs: whoever merely sent something is
 * unverified and displaces nobody, a member that was silent for a minute is pinged before it
 * loses its place, and only after two pings at least two seconds apart went unanswered, and
 * only to a contact that answered.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "buckets.h"

/* Where a contact stands: in which list of a bucket, and at which index of it */
struct found {
	bool is_member;
	u8 index;
	u16 place;
};

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

/* The first bucket covers all ids. Whether there is one */
static bool cover_space(struct kdht_buckets *table)
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

static bool find(const struct kdht_buckets *table, unsigned int at, const struct kdht_id *id,
		 struct found *found)
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

static bool locate(const struct kdht_buckets *table, const struct kdht_id *id, int *at,
		   struct found *found)
{
	*at = kdht_bucket_of(table, id);
	return *at >= 0 && find(table, *at, id, found);
}

static u16 take_out(u16 *places, u8 *count, u8 index)
{
	u16 place = places[index];

	memmove(places + index, places + index + 1, (*count - index - 1) * sizeof(*places));
	(*count)--;
	return place;
}

static u16 take_member(struct kdht_bucket *bucket, u8 index)
{
	return take_out(bucket->members, &bucket->member_count, index);
}

static u16 take_waiting(struct kdht_bucket *bucket, u8 index)
{
	return take_out(bucket->waiting, &bucket->waiting_count, index);
}

static void add_member(struct kdht_bucket *bucket, u16 place)
{
	bucket->members[bucket->member_count++] = place;
}

static void add_waiting(struct kdht_bucket *bucket, u16 place)
{
	bucket->waiting[bucket->waiting_count++] = place;
}

/* What others are told may be different now, if @peer is one that they may be told of */
static void note_change(struct kdht_buckets *table, const struct kdht_peer *peer)
{
	table->is_changed |= kdht_peer_is_good(peer);
}

/* A place for @peer; -1 if the table is full */
static int hold(struct kdht_buckets *table, const struct kdht_peer *peer)
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
	note_change(table, peer);
	kdht_groups_add(&table->groups, kdht_group_of(&peer->endpoint));
	return place;
}

static void release(struct kdht_buckets *table, u16 place)
{
	struct kdht_peer *peer = &table->peers[place];

	note_change(table, peer);
	kdht_groups_remove(&table->groups, kdht_group_of(&peer->endpoint));
	peer->is_held = false;
	table->free[table->free_count++] = place;
}

/* A member loses its place */
static void evict(struct kdht_buckets *table, u16 place)
{
	kdht_trace_evict(&table->peers[place]);
	table->evicted++;
	release(table, place);
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

/* A place became free: the most recent replacement takes it */
static void refill(struct kdht_buckets *table, unsigned int at)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	u16 place;

	if (!bucket->waiting_count || kdht_is_bucket_full(table, at))
		return;
	place = take_waiting(bucket, bucket->waiting_count - 1);
	add_member(bucket, place);
	note_change(table, &table->peers[place]);
}

/**
 * kdht_buckets_forget() - forget a contact; a waiting one takes its place
 * @table: the table
 * @id: its id
 */
void kdht_buckets_forget(struct kdht_buckets *table, const struct kdht_id *id)
{
	struct found found;
	int at;

	if (!locate(table, id, &at, &found))
		return;
	if (!found.is_member) {
		release(table, take_waiting(&table->buckets[at], found.index));
		return;
	}
	evict(table, take_member(&table->buckets[at], found.index));
	refill(table, at);
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
			release(table, take_waiting(bucket, index));
			return;
		}
	}
	for (at = 0; at < table->bucket_count; at++) {
		bucket = &table->buckets[at];
		index = unverified_among(table, bucket->members, bucket->member_count);
		if (index >= 0) {
			evict(table, take_member(bucket, index));
			refill(table, at);
			return;
		}
	}
	for (at = 0; at < table->bucket_count; at++) {
		bucket = &table->buckets[at];
		if (bucket->waiting_count) {
			release(table, take_waiting(bucket, 0));
			return;
		}
	}
}

/*
 * Remembers a contact that found its bucket full; the oldest unverified one makes room, or the
 * oldest
 */
static void cache(struct kdht_buckets *table, unsigned int at, const struct kdht_peer *peer)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	int place;

	if (bucket->waiting_count >= min_t(u8, KDHT_REPLACEMENTS_MAX, table->bucket_size)) {
		int oldest = unverified_among(table, bucket->waiting, bucket->waiting_count);

		if (oldest < 0 && !peer->is_verified)
			return;
		release(table, take_waiting(bucket, max(oldest, 0)));
	}
	place = hold(table, peer);
	if (place >= 0)
		add_waiting(bucket, place);
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

		add_member(&halves[kdht_id_bit(&peer->id, old.depth)], old.members[i]);
	}
	for (i = 0; i < old.waiting_count; i++) {
		const struct kdht_peer *peer = &table->peers[old.waiting[i]];
		struct kdht_bucket *half = &halves[kdht_id_bit(&peer->id, old.depth)];

		/* A half has the room that the other half's members left */
		if (half->member_count < table->bucket_size) {
			add_member(half, old.waiting[i]);
			note_change(table, peer);
		} else {
			add_waiting(half, old.waiting[i]);
		}
	}
	return true;
}

static void insert_verified(struct kdht_buckets *table, const struct kdht_peer *peer)
{
	int at, index, place;
	bool splits;

	if (!cover_space(table))
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
			cache(table, at, peer);
			return;
		}
		evict(table, take_member(&table->buckets[at], index));
	}
	place = hold(table, peer);
	if (place >= 0)
		add_member(&table->buckets[at], place);
}

/*
 * A replacement answered: it takes a free place, the place of a member that may be displaced,
 * or splits the bucket; else it becomes the most recent replacement
 */
static void promote(struct kdht_buckets *table, unsigned int at, u8 index)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	u16 place = bucket->waiting[index];
	struct kdht_peer peer = table->peers[place];

	take_waiting(bucket, index);
	if (kdht_is_bucket_full(table, at) && !kdht_would_fit(table, bucket, &peer.id) &&
	    displaceable(table, at, false) < 0) {
		add_waiting(bucket, place);
		return;
	}
	release(table, place);
	insert_verified(table, &peer);
}

/* A newcomer met a full bucket: whom to ping (Kademlia, section 2.2) */
static void contest(const struct kdht_buckets *table, unsigned int at,
		    const struct kdht_contact *newcomer, u32 now_s, struct kdht_advice *advice)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	const struct kdht_peer *oldest;
	bool may_probe, is_silent;

	if (!bucket->member_count)
		return;
	oldest = &table->peers[bucket->members[0]];
	is_silent = now_s > oldest->seen_s && now_s - oldest->seen_s > KDHT_FRESH_S;
	may_probe = oldest->probe_after_s <= now_s;
	if (may_probe && (kdht_peer_is_displaceable(oldest) || is_silent))
		advice->probes[advice->count++] = kdht_peer_contact(oldest);
	if (kdht_peer_is_displaceable(oldest))
		advice->probes[advice->count++] = *newcomer;
}

static void insert_unverified(struct kdht_buckets *table, const struct kdht_peer *peer,
			      u32 now_s, struct kdht_advice *advice)
{
	struct kdht_contact newcomer = kdht_peer_contact(peer);
	int at, place;

	if (!cover_space(table))
		return;
	at = kdht_bucket_of(table, &peer->id);
	if (!kdht_admit(table, at, peer))
		return;
	if (!kdht_is_bucket_full(table, at)) {
		place = hold(table, peer);
		if (place < 0)
			return;
		add_member(&table->buckets[at], place);
	} else if (!kdht_would_fit(table, &table->buckets[at], &peer->id)) {
		cache(table, at, peer);
		contest(table, at, &newcomer, now_s, advice);
		return;
	}
	/*
	 * Where it would fit it splits the bucket and displaces nobody, once it is verified;
	 * until then nothing is to be remembered of it
	 */
	advice->probes[advice->count++] = newcomer;
}

static void sighted_again(struct kdht_buckets *table, unsigned int at, const struct found *found,
			  const struct kdht_endpoint *endpoint, u32 now_s,
			  struct kdht_advice *advice)
{
	struct kdht_peer *peer = &table->peers[found->place];
	struct kdht_bucket *bucket = &table->buckets[at];
	bool may_probe = peer->probe_after_s <= now_s;

	if (memcmp(&peer->endpoint, endpoint, sizeof(*endpoint))) {
		struct kdht_contact known = kdht_peer_contact(peer);

		/*
		 * Another endpoint changes nothing by itself. If the known one is silent, it
		 * is asked; the other is asked once the known one has failed twice.
		 */
		if (kdht_peer_is_displaceable(peer)) {
			known.endpoint = *endpoint;
			advice->probes[advice->count++] = known;
		} else if (may_probe && now_s > peer->seen_s &&
			   now_s - peer->seen_s > KDHT_FRESH_S) {
			advice->probes[advice->count++] = known;
		}
		return;
	}
	peer->seen_s = now_s;
	if (may_probe && !kdht_peer_is_good(peer))
		advice->probes[advice->count++] = kdht_peer_contact(peer);
	if (found->is_member)
		add_member(bucket, take_member(bucket, found->index));
	else
		add_waiting(bucket, take_waiting(bucket, found->index));
}

/**
 * kdht_buckets_sighted() - a message came, not in answer to a request of ours
 * @table: the table of the endpoint's family
 * @id: its sender
 * @endpoint: where it came from
 * @now_ns: monotonic time
 * @advice: set to whom to ping
 *
 * Context: process; may sleep.
 */
void kdht_buckets_sighted(struct kdht_buckets *table, const struct kdht_id *id,
			  const struct kdht_endpoint *endpoint, u64 now_ns,
			  struct kdht_advice *advice)
{
	struct kdht_peer newcomer;
	struct found found;
	int at;

	advice->count = 0;
	if (kdht_id_is_same(id, &table->own) || kdht_id_is_zero(id))
		return;
	if (locate(table, id, &at, &found)) {
		sighted_again(table, at, &found, endpoint, kdht_seconds(now_ns), advice);
		return;
	}
	kdht_peer_init(&newcomer, id, endpoint, now_ns);
	insert_unverified(table, &newcomer, kdht_seconds(now_ns), advice);
}

/* Holds what is known of a contact under the endpoint that it moved to, if caps let it */
static bool relocate(struct kdht_buckets *table, unsigned int at, u16 place,
		     const struct kdht_peer *peer)
{
	u64 from = kdht_group_of(&table->peers[place].endpoint);
	u64 to = kdht_group_of(&peer->endpoint);

	if (from != to && !kdht_admit(table, at, peer))
		return false;
	kdht_groups_remove(&table->groups, from);
	kdht_groups_add(&table->groups, to);
	note_change(table, &table->peers[place]);
	table->peers[place] = *peer;
	note_change(table, peer);
	return true;
}

/**
 * kdht_buckets_answered() - a request of ours was answered
 * @table: the table of the endpoint's family
 * @id: who answered
 * @endpoint: from where
 * @told: what the answer tells
 * @now_ns: when it came, in monotonic time
 *
 * Context: process; may sleep.
 * Return: whether it is held, and was not verified before.
 */
bool kdht_buckets_answered(struct kdht_buckets *table, const struct kdht_id *id,
			   const struct kdht_endpoint *endpoint, const struct kdht_told *told,
			   u64 now_ns)
{
	struct kdht_peer peer, *known;
	bool was_verified;
	struct found found;
	int at;

	if (kdht_id_is_same(id, &table->own) || kdht_id_is_zero(id))
		return false;
	kdht_peer_init(&peer, id, endpoint, now_ns);
	kdht_peer_answered(&peer, told, now_ns);
	if (!locate(table, id, &at, &found)) {
		insert_verified(table, &peer);
		return locate(table, id, &at, &found);
	}
	known = &table->peers[found.place];
	was_verified = known->is_verified;
	if (!memcmp(&known->endpoint, endpoint, sizeof(*endpoint))) {
		bool was_good = kdht_peer_is_good(known);

		kdht_peer_answered(known, told, now_ns);
		table->is_changed |= !was_good;
	} else if (!kdht_peer_is_displaceable(known) ||
		   /* The old endpoint failed two pings and the new one answered */
		   !relocate(table, at, found.place, &peer)) {
		return false;
	}
	/* Another of its group may have made room */
	if (!find(table, at, id, &found))
		return false;
	if (found.is_member)
		add_member(&table->buckets[at], take_member(&table->buckets[at], found.index));
	else
		promote(table, at, found.index);
	return !was_verified;
}

/* Gives the place of a member to the most recent verified replacement, if there is one */
static bool swap_in_verified(struct kdht_buckets *table, unsigned int at, u8 index)
{
	struct kdht_bucket *bucket = &table->buckets[at];
	int chosen = bucket->waiting_count;
	u16 place;

	while (--chosen >= 0)
		if (kdht_peer_is_good(&table->peers[bucket->waiting[chosen]]))
			break;
	if (chosen < 0)
		return false;
	place = take_waiting(bucket, chosen);
	evict(table, take_member(bucket, index));
	add_member(bucket, place);
	note_change(table, &table->peers[place]);
	return true;
}

/* The most recent replacement that has not answered yet and may be asked */
static void advise_waiting(const struct kdht_buckets *table, unsigned int at, u32 now_s,
			   struct kdht_advice *advice)
{
	const struct kdht_bucket *bucket = &table->buckets[at];
	int i;

	for (i = bucket->waiting_count - 1; i >= 0; i--) {
		const struct kdht_peer *peer = &table->peers[bucket->waiting[i]];

		if (!kdht_peer_is_good(peer) && peer->probe_after_s <= now_s) {
			advice->probes[advice->count++] = kdht_peer_contact(peer);
			return;
		}
	}
}

/**
 * kdht_buckets_failed() - a request of ours was left unanswered until its final timeout
 * @table: the table of the endpoint's family
 * @id: who was asked
 * @endpoint: where
 * @sent_ns: when, in monotonic time
 * @now_ns: monotonic time
 * @advice: set to whom to ping, so that a replacement can be verified
 *
 * Unverified contacts that fail twice are forgotten; one that may be displaced is replaced if a
 * verified replacement waits.
 *
 * Context: process; may sleep.
 */
void kdht_buckets_failed(struct kdht_buckets *table, const struct kdht_id *id,
			 const struct kdht_endpoint *endpoint, u64 sent_ns, u64 now_ns,
			 struct kdht_advice *advice)
{
	struct kdht_bucket *bucket;
	struct kdht_peer *peer;
	struct found found;
	int at;

	advice->count = 0;
	if (!locate(table, id, &at, &found))
		return;
	bucket = &table->buckets[at];
	peer = &table->peers[found.place];
	if (memcmp(&peer->endpoint, endpoint, sizeof(*endpoint)))
		return;
	note_change(table, peer);
	kdht_peer_failed(peer, sent_ns, now_ns);
	if (!found.is_member) {
		if (peer->failures > 1 || !peer->is_verified)
			release(table, take_waiting(bucket, found.index));
		return;
	}
	if (!peer->is_verified && peer->failures > 1) {
		evict(table, take_member(bucket, found.index));
		refill(table, at);
		return;
	}
	if (kdht_peer_is_displaceable(peer) && swap_in_verified(table, at, found.index))
		return;
	advise_waiting(table, at, kdht_seconds(now_ns), advice);
}

/**
 * kdht_buckets_peer() - what is known of a contact, member or replacement
 * @table: the table
 * @id: its id
 *
 * Return: NULL if it is not known.
 */
const struct kdht_peer *kdht_buckets_peer(const struct kdht_buckets *table,
					  const struct kdht_id *id)
{
	struct found found;
	int at;

	return locate(table, id, &at, &found) ? &table->peers[found.place] : NULL;
}
