// SPDX-License-Identifier: GPL-2.0
/* Lookups of the module's own: whom they begin with, and how they go on and end. */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "attach.h"
#include "discovery.h"

/* A far bucket is cut into 2 to the power of this many parts at most (engine/core/src/parts.rs) */
#define PART_BITS_MAX	2

/**
 * kdht_part_bits() - into how many parts, as a power of two, a far bucket is cut in a join
 * @discovery: the node's
 */
u8 kdht_part_bits(const struct kdht_discovery *discovery)
{
	u8 bits = min_t(u8, fls(discovery->buckets[0].bucket_size) - 1, PART_BITS_MAX);

	return bits - min_t(u8, bits, discovery->b - 1);
}

static struct kdht_search **find(struct kdht_discovery *discovery, u32 number)
{
	unsigned int place;

	for (place = 0; place < KDHT_SEARCHES_MAX; place++) {
		struct kdht_search *search = discovery->searches[place];

		if (search && search->number == number)
			return &discovery->searches[place];
	}
	return NULL;
}

/* Asks whom the lookup wants asked, and ends it when it is done */
static void advance(struct kdht_discovery *discovery, struct kdht_search **place)
{
	struct kdht_search *search = *place;
	struct kdht_lookup *lookup = &search->lookup;
	const struct kdht_candidate *candidate;
	u8 audience = search->audience;
	bool is_found;

	while ((candidate = kdht_lookup_next(lookup))) {
		const struct kdht_request request = {
			.endpoint = candidate->endpoint,
			.expected = candidate->id,
			.kind = KDHT_KIND_FIND_NODE,
			.purpose = KDHT_SEARCH,
			.search = search->number,
		};

		if (!kdht_discovery_ask(discovery, &request, &lookup->target))
			kdht_lookup_failed(lookup, &request.expected, &request.endpoint);
	}
	if (!kdht_lookup_is_done(lookup))
		return;
	is_found = kdht_lookup_has_answers(lookup);
	*place = NULL;
	kvfree(search);
	if (audience != KDHT_FOR_REFRESH)
		kdht_join_search_ended(discovery, is_found);
}

static void learn_candidates(struct kdht_discovery *discovery, struct kdht_lookup *lookup)
{
	const struct kdht_peer *nearest[KDHT_K_MAX];
	int family;
	u8 i, count;

	for (family = 0; family < KDHT_FAMILY_COUNT; family++) {
		if (!discovery->socks[family])
			continue;
		count = kdht_buckets_candidates(&discovery->buckets[family], &lookup->target,
						discovery->buckets[family].bucket_size, nearest);
		for (i = 0; i < count; i++) {
			struct kdht_contact contact = kdht_peer_contact(nearest[i]);

			kdht_lookup_learn(lookup, &contact);
		}
	}
}

/**
 * kdht_search_begin() - begin a lookup
 * @discovery: the node's
 * @target: what is looked up
 * @audience: what for
 *
 * It may end at once.
 *
 * Context: process; under the lock.
 * Return: false if too many are under way, or there is no memory.
 */
bool kdht_search_begin(struct kdht_discovery *discovery, const struct kdht_id *target,
		       u8 audience)
{
	u8 alpha = discovery->alpha, k = discovery->buckets[0].bucket_size;
	struct kdht_search **place, *search;
	int family;

	for (place = discovery->searches; *place; place++)
		if (place == &discovery->searches[KDHT_SEARCHES_MAX - 1])
			return false;
	search = kvmalloc(sizeof(*search), GFP_KERNEL_ACCOUNT);
	if (!search)
		return false;
	if (audience == KDHT_FOR_WALK) {
		alpha = 1;
		k >>= kdht_part_bits(discovery);
	}
	search->number = ++discovery->search_number;
	search->audience = audience;
	kdht_lookup_init(&search->lookup, target, &discovery->instance->node.id, alpha, k,
			 &discovery->caps);
	learn_candidates(discovery, &search->lookup);
	if (audience != KDHT_FOR_REFRESH && discovery->join.is_reached)
		kdht_lookup_learn(&search->lookup, &discovery->join.reached);
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		kdht_buckets_touch(&discovery->buckets[family], target, ktime_get_ns());
	*place = search;
	advance(discovery, place);
	return true;
}

/**
 * kdht_search_answered() - a request of a lookup was answered
 * @discovery: the node's
 * @request: the request
 * @contacts: whom the answer names
 * @count: how many
 *
 * Context: process; under the lock.
 */
void kdht_search_answered(struct kdht_discovery *discovery, const struct kdht_request *request,
			  const struct kdht_contact *contacts, u8 count)
{
	struct kdht_search **place = find(discovery, request->search);

	if (!place)
		return;
	kdht_lookup_answered(&(*place)->lookup, &request->expected, &request->endpoint, contacts,
			     count);
	advance(discovery, place);
}

/**
 * kdht_search_slow() - a request of a lookup is overdue
 * @discovery: the node's
 * @request: the request
 *
 * Context: process; under the lock.
 */
void kdht_search_slow(struct kdht_discovery *discovery, const struct kdht_request *request)
{
	struct kdht_search **place = find(discovery, request->search);

	if (!place)
		return;
	kdht_lookup_slow(&(*place)->lookup, &request->expected, &request->endpoint);
	advance(discovery, place);
}

/**
 * kdht_search_failed() - a request of a lookup has failed, or was refused
 * @discovery: the node's
 * @request: the request
 *
 * Context: process; under the lock.
 */
void kdht_search_failed(struct kdht_discovery *discovery, const struct kdht_request *request)
{
	struct kdht_search **place = find(discovery, request->search);

	if (!place)
		return;
	kdht_lookup_failed(&(*place)->lookup, &request->expected, &request->endpoint);
	advance(discovery, place);
}

/**
 * kdht_search_count() - lookups under way for one purpose
 * @discovery: the node's
 * @audience: the purpose
 */
unsigned int kdht_search_count(const struct kdht_discovery *discovery, u8 audience)
{
	unsigned int place, count = 0;

	for (place = 0; place < KDHT_SEARCHES_MAX; place++)
		count += discovery->searches[place] &&
			 discovery->searches[place]->audience == audience;
	return count;
}

/**
 * kdht_search_end_join() - forget the lookups of a join, and tell nobody
 * @discovery: the node's
 */
void kdht_search_end_join(struct kdht_discovery *discovery)
{
	unsigned int place;

	for (place = 0; place < KDHT_SEARCHES_MAX; place++) {
		struct kdht_search *search = discovery->searches[place];

		if (!search || search->audience == KDHT_FOR_REFRESH)
			continue;
		kvfree(search);
		discovery->searches[place] = NULL;
	}
}

/**
 * kdht_search_end_all() - forget all lookups, and tell nobody
 * @discovery: the node's
 */
void kdht_search_end_all(struct kdht_discovery *discovery)
{
	unsigned int place;

	for (place = 0; place < KDHT_SEARCHES_MAX; place++) {
		kvfree(discovery->searches[place]);
		discovery->searches[place] = NULL;
	}
}
