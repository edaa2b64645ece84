// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The k-buckets, by the rules of engine/core/src/table.rs: whoever merely sent something is
 * unverified and displaces nobody, a member that was silent for a minute is pinged before it
 * loses its place, and only after two pings at least two seconds apart went unanswered, and
 * only to a contact that answered.
 */
#include <linux/string.h>

#include "places.h"

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

	if (!kdht_cover_space(table))
		return;
	at = kdht_bucket_of(table, &peer->id);
	if (!kdht_admit(table, at, peer))
		return;
	if (!kdht_is_bucket_full(table, at)) {
		place = kdht_place_hold(table, peer);
		if (place < 0)
			return;
		kdht_add_member(&table->buckets[at], place);
	} else if (!kdht_would_fit(table, &table->buckets[at], &peer->id)) {
		kdht_place_cache(table, at, peer);
		contest(table, at, &newcomer, now_s, advice);
		return;
	}
	/*
	 * Where it would fit it splits the bucket and displaces nobody, once it is verified;
	 * until then nothing is to be remembered of it
	 */
	advice->probes[advice->count++] = newcomer;
}

static void sighted_again(struct kdht_buckets *table, unsigned int at,
			  const struct kdht_found *found, const struct kdht_endpoint *endpoint,
			  u32 now_s, struct kdht_advice *advice)
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
		kdht_add_member(bucket, kdht_take_member(bucket, found->index));
	else
		kdht_add_waiting(bucket, kdht_take_waiting(bucket, found->index));
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
	struct kdht_found found;
	int at;

	advice->count = 0;
	if (kdht_id_is_same(id, &table->own) || kdht_id_is_zero(id))
		return;
	if (kdht_place_locate(table, id, &at, &found)) {
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
	kdht_note_change(table, &table->peers[place]);
	table->peers[place] = *peer;
	kdht_note_change(table, peer);
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
	struct kdht_bucket *bucket;
	bool was_verified;
	struct kdht_found found;
	int at;

	if (kdht_id_is_same(id, &table->own) || kdht_id_is_zero(id))
		return false;
	kdht_peer_init(&peer, id, endpoint, now_ns);
	kdht_peer_answered(&peer, told, now_ns);
	if (!kdht_place_locate(table, id, &at, &found)) {
		kdht_place_verified(table, &peer);
		return kdht_place_locate(table, id, &at, &found);
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
	if (!kdht_place_find(table, at, id, &found))
		return false;
	bucket = &table->buckets[at];
	if (found.is_member)
		kdht_add_member(bucket, kdht_take_member(bucket, found.index));
	else
		kdht_place_promote(table, at, found.index);
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
	place = kdht_take_waiting(bucket, chosen);
	kdht_place_evict(table, kdht_take_member(bucket, index));
	kdht_add_member(bucket, place);
	kdht_note_change(table, &table->peers[place]);
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
	struct kdht_found found;
	int at;

	advice->count = 0;
	if (!kdht_place_locate(table, id, &at, &found))
		return;
	bucket = &table->buckets[at];
	peer = &table->peers[found.place];
	if (memcmp(&peer->endpoint, endpoint, sizeof(*endpoint)))
		return;
	kdht_note_change(table, peer);
	kdht_peer_failed(peer, sent_ns, now_ns);
	if (!found.is_member) {
		if (peer->failures > 1 || !peer->is_verified)
			kdht_place_release(table, kdht_take_waiting(bucket, found.index));
		return;
	}
	if (!peer->is_verified && peer->failures > 1) {
		kdht_place_evict(table, kdht_take_member(bucket, found.index));
		kdht_place_refill(table, at);
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
	struct kdht_found found;
	int at;

	return kdht_place_locate(table, id, &at, &found) ? &table->peers[found.place] : NULL;
}
