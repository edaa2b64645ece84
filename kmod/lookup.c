// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * One lookup, by the rules of engine/core/src/lookup.rs. Unlike in the paper, requests are not
 * sent in rounds: up to alpha are in flight at all times; alpha answers in a row that bring
 * nothing closer count as a round without progress, and lift the limit to k until there is
 * progress again.
 */
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "endpoint.h"
#include "lookup.h"

/**
 * kdht_lookup_init() - a lookup that knows nobody yet
 * @lookup: to be filled in
 * @target: what is looked for
 * @own: the own id
 * @alpha: requests in flight, at least one
 * @k: it ends when so many of the nearest have answered, at least one
 * @caps: for IP groups
 */
void kdht_lookup_init(struct kdht_lookup *lookup, const struct kdht_id *target,
		      const struct kdht_id *own, u8 alpha, u8 k, const struct kdht_caps *caps)
{
	lookup->target = *target;
	lookup->own = *own;
	lookup->caps = *caps;
	lookup->alpha = max_t(u8, alpha, 1);
	lookup->k = max_t(u8, k, 1);
	lookup->count = 0;
	lookup->asked = 0;
	lookup->without_progress = 0;
}

static bool is_same_endpoint(const struct kdht_endpoint *one, const struct kdht_endpoint *other)
{
	return !memcmp(one, other, sizeof(*one));
}

/* The first candidate that is not nearer than @id */
static u16 place_of(const struct kdht_lookup *lookup, const struct kdht_id *id)
{
	u16 low = 0, high = lookup->count;

	while (low < high) {
		u16 middle = low + (high - low) / 2;

		if (kdht_id_is_nearer(&lookup->candidates[middle].id, id, &lookup->target))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct kdht_candidate *find(struct kdht_lookup *lookup, const struct kdht_id *id,
				   const struct kdht_endpoint *endpoint)
{
	u16 at;

	for (at = place_of(lookup, id); at < lookup->count; at++) {
		struct kdht_candidate *candidate = &lookup->candidates[at];

		if (!kdht_id_is_same(&candidate->id, id))
			return NULL;
		if (is_same_endpoint(&candidate->endpoint, endpoint))
			return candidate;
	}
	return NULL;
}

/*
 * Whether as many candidates as may be stand at this endpoint, or at its address where that is
 * globally routable, or in its IP group
 */
static bool is_crowded(const struct kdht_lookup *lookup, const struct kdht_endpoint *endpoint)
{
	bool is_local = kdht_is_loopback(endpoint) || kdht_is_private(endpoint);
	bool is_counted = kdht_caps_apply(&lookup->caps, endpoint);
	unsigned int same_endpoint = 0, same_ip = 0, same_group = 0;
	u64 group = kdht_group_of(endpoint);
	u16 i;

	for (i = 0; i < lookup->count; i++) {
		const struct kdht_endpoint *other = &lookup->candidates[i].endpoint;

		same_endpoint += is_same_endpoint(other, endpoint);
		same_ip += !memcmp(other->ip, endpoint->ip, sizeof(other->ip));
		same_group += is_counted && kdht_group_of(other) == group;
	}
	return same_endpoint >= KDHT_SAME_ENDPOINT_MAX ||
	       (same_ip >= KDHT_SAME_IP_MAX && !is_local) ||
	       same_group >= lookup->caps.table_max;
}

/*
 * Makes room for one that is nearer than all from place @behind on, if there is none. The
 * farthest goes: not who answered, as liars name more nodes, and nearer ones, than there are
 * places; nor one to whom a request is under way, whose answer must still find it.
 */
static bool make_room(struct kdht_lookup *lookup, u16 behind)
{
	struct kdht_candidate *candidates = lookup->candidates;
	u16 at = lookup->count;

	if (lookup->count < KDHT_CANDIDATES_MAX)
		return true;
	while (at-- > behind) {
		if (candidates[at].standing == KDHT_ASKED ||
		    candidates[at].standing == KDHT_ANSWERED)
			continue;
		memmove(candidates + at, candidates + at + 1,
			(lookup->count - at - 1) * sizeof(*candidates));
		lookup->count--;
		return true;
	}
	return false;
}

/**
 * kdht_lookup_learn() - add a node that is known, or was named
 * @lookup: the lookup
 * @contact: the node
 *
 * Return: whether it is nearer than every candidate before it.
 */
bool kdht_lookup_learn(struct kdht_lookup *lookup, const struct kdht_contact *contact)
{
	struct kdht_candidate *candidates = lookup->candidates;
	u16 at, same_id = 0;

	if (kdht_id_is_same(&contact->id, &lookup->own) || kdht_id_is_zero(&contact->id) ||
	    !kdht_is_reachable(&contact->endpoint))
		return false;
	at = place_of(lookup, &contact->id);
	for (; at < lookup->count && kdht_id_is_same(&candidates[at].id, &contact->id); at++) {
		if (is_same_endpoint(&candidates[at].endpoint, &contact->endpoint))
			return false;
		same_id++;
	}
	if (same_id >= KDHT_SAME_ID_MAX || is_crowded(lookup, &contact->endpoint) ||
	    !make_room(lookup, at))
		return false;
	memmove(candidates + at + 1, candidates + at, (lookup->count - at) * sizeof(*candidates));
	lookup->count++;
	candidates[at].id = contact->id;
	candidates[at].endpoint = contact->endpoint;
	candidates[at].standing = KDHT_KNOWN;
	return !at;
}

static u16 count_of(const struct kdht_lookup *lookup, u8 standing)
{
	u16 count = 0, i;

	for (i = 0; i < lookup->count; i++)
		count += lookup->candidates[i].standing == standing;
	return count;
}

/* Whether it has answered or may do so before long */
static bool is_hopeful(const struct kdht_candidate *candidate)
{
	return candidate->standing != KDHT_FAILED && candidate->standing != KDHT_SLOW;
}

/**
 * kdht_lookup_next() - the next node to ask, which counts as asked then
 * @lookup: the lookup
 *
 * Return: NULL while enough are in flight, or if none is left among the nearest.
 */
const struct kdht_candidate *kdht_lookup_next(struct kdht_lookup *lookup)
{
	bool is_stalled = lookup->without_progress >= lookup->alpha;
	u8 limit = is_stalled ? max(lookup->k, lookup->alpha) : lookup->alpha;
	u8 seen = 0;
	u16 i;

	if (count_of(lookup, KDHT_ASKED) >= limit || lookup->asked >= KDHT_ASKED_MAX)
		return NULL;
	for (i = 0; i < lookup->count && seen < lookup->k; i++) {
		struct kdht_candidate *candidate = &lookup->candidates[i];

		if (!is_hopeful(candidate))
			continue;
		seen++;
		if (candidate->standing != KDHT_KNOWN)
			continue;
		candidate->standing = KDHT_ASKED;
		lookup->asked++;
		return candidate;
	}
	return NULL;
}

/**
 * kdht_lookup_answered() - a candidate answered and named others
 * @lookup: the lookup
 * @id: its id
 * @endpoint: where it was asked
 * @contacts: whom it named
 * @count: how many
 */
void kdht_lookup_answered(struct kdht_lookup *lookup, const struct kdht_id *id,
			  const struct kdht_endpoint *endpoint,
			  const struct kdht_contact *contacts, u8 count)
{
	struct kdht_candidate *candidate = find(lookup, id, endpoint);
	bool is_nearer = false;

	if (!candidate || candidate->standing == KDHT_ANSWERED)
		return;
	candidate->standing = KDHT_ANSWERED;
	for (; count; count--, contacts++)
		is_nearer |= kdht_lookup_learn(lookup, contacts);
	if (is_nearer)
		lookup->without_progress = 0;
	else if (lookup->without_progress < U16_MAX)
		lookup->without_progress++;
}

/**
 * kdht_lookup_slow() - a candidate is overdue: set it aside and let another branch begin
 * @lookup: the lookup
 * @id: its id
 * @endpoint: where it was asked
 */
void kdht_lookup_slow(struct kdht_lookup *lookup, const struct kdht_id *id,
		      const struct kdht_endpoint *endpoint)
{
	struct kdht_candidate *candidate = find(lookup, id, endpoint);

	if (candidate && candidate->standing == KDHT_ASKED)
		candidate->standing = KDHT_SLOW;
}

/**
 * kdht_lookup_failed() - a candidate did not answer until its final timeout, or refused
 * @lookup: the lookup
 * @id: its id
 * @endpoint: where it was asked
 *
 * A late failure does not take back an answer.
 */
void kdht_lookup_failed(struct kdht_lookup *lookup, const struct kdht_id *id,
			const struct kdht_endpoint *endpoint)
{
	struct kdht_candidate *candidate = find(lookup, id, endpoint);

	if (candidate && candidate->standing != KDHT_ANSWERED)
		candidate->standing = KDHT_FAILED;
}

/**
 * kdht_lookup_is_done() - whether it is over
 * @lookup: the lookup
 *
 * Return: whether the k nearest of those neither failed nor set aside have answered, or no more
 * may be asked. Where fewer have answered, those set aside are waited for, too.
 */
bool kdht_lookup_is_done(const struct kdht_lookup *lookup)
{
	bool have_all_answered = true;
	u8 seen = 0;
	u16 i;

	for (i = 0; i < lookup->count && seen < lookup->k; i++) {
		if (!is_hopeful(&lookup->candidates[i]))
			continue;
		seen++;
		have_all_answered &= lookup->candidates[i].standing == KDHT_ANSWERED;
	}
	if (!have_all_answered &&
	    (lookup->asked < KDHT_ASKED_MAX || count_of(lookup, KDHT_ASKED)))
		return false;
	return count_of(lookup, KDHT_ANSWERED) >= lookup->k || !count_of(lookup, KDHT_SLOW);
}

/**
 * kdht_lookup_has_answers() - whether anybody answered
 * @lookup: the lookup
 */
bool kdht_lookup_has_answers(const struct kdht_lookup *lookup)
{
	return count_of(lookup, KDHT_ANSWERED);
}
