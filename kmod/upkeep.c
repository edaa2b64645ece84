// SPDX-License-Identifier: GPL-2.0
/*
 * What a node does by itself, whatever arrives: it probes contacts that are not good, looks up
 * ranges that were idle for long, and tells an outage of its own from those of others. As
 * maintain.rs, refresh.rs and outage.rs in engine/core/src.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/time64.h>

#include "attach.h"
#include "discovery.h"

/* Pause between two looks at the contacts that are not good */
#define LOOK_NS		NSEC_PER_SEC
/* Refreshing lookups under way at once, and the least pause between two; up to twice that */
#define REFRESHING_MAX	4
#define PAUSE_MS	1000
/* Contacts asked at once whether anybody is there */
#define WITNESSES	4
/* Other good contacts that it takes to suspect ourselves rather than the one that failed */
#define OTHERS_MIN	2
/* First pause between two rounds of witnesses; it doubles */
#define ROUND_MS	5000
#define ROUND_MS_MAX	60000

static u32 below(u32 bound)
{
	u32 number;

	get_random_bytes(&number, sizeof(number));
	return (u64)number * bound >> 32;
}

/**
 * kdht_upkeep_plan_refresh() - contacts are known: their ranges are to be refreshed some time
 * @discovery: the node's
 * @now_ns: monotonic time
 */
void kdht_upkeep_plan_refresh(struct kdht_discovery *discovery, u64 now_ns)
{
	u32 interval_s = discovery->refresh_s;

	if (discovery->refresh_at_ns == U64_MAX && interval_s)
		discovery->refresh_at_ns = now_ns + (interval_s - below(interval_s / 8 + 1)) *
						    (u64)NSEC_PER_SEC;
}

/* The family with the range idle for longest. False if no contact is known */
static bool idlest_family(const struct kdht_discovery *discovery, int *family, u32 *touched_s)
{
	bool is_found = false;
	u32 since_s;
	int i;

	for (i = 0; i < KDHT_FAMILY_COUNT; i++) {
		if (!kdht_buckets_idlest_s(&discovery->buckets[i], &since_s) ||
		    (is_found && since_s >= *touched_s))
			continue;
		is_found = true;
		*family = i;
		*touched_s = since_s;
	}
	return is_found;
}

/* Looks up an id in the range that was idle for longest, if it was for long enough */
static void continue_refresh(struct kdht_discovery *discovery, u64 now_ns)
{
	u32 interval_s = discovery->refresh_s, touched_s;
	struct kdht_id target;
	u64 due_ns;
	int family;

	if (now_ns < discovery->refresh_at_ns)
		return;
	discovery->refresh_at_ns = now_ns + (PAUSE_MS + below(PAUSE_MS)) * (u64)NSEC_PER_MSEC;
	if (discovery->silence_rounds ||
	    kdht_search_count(discovery, KDHT_FOR_REFRESH) >= REFRESHING_MAX)
		return;
	if (!interval_s || !idlest_family(discovery, &family, &touched_s)) {
		discovery->refresh_at_ns = U64_MAX;
		return;
	}
	due_ns = ((u64)touched_s + interval_s - below(interval_s / 8 + 1)) * NSEC_PER_SEC;
	if (due_ns > now_ns) {
		discovery->refresh_at_ns = max(discovery->refresh_at_ns, due_ns);
		return;
	}
	kdht_buckets_idlest_target(&discovery->buckets[family], &target);
	if (kdht_search_begin(discovery, &target, KDHT_FOR_REFRESH))
		discovery->counts.refreshes++;
}

/**
 * kdht_upkeep_look_over_soon() - contacts may need probes: look them over before long
 * @discovery: the node's
 * @now_ns: monotonic time
 */
void kdht_upkeep_look_over_soon(struct kdht_discovery *discovery, u64 now_ns)
{
	if (discovery->probe_at_ns == U64_MAX && !discovery->silence_rounds)
		discovery->probe_at_ns = now_ns + LOOK_NS;
}

static void look_over(struct kdht_discovery *discovery, u64 now_ns)
{
	unsigned int room, left, i;
	struct kdht_contact due[KDHT_PROBES_MAX];
	bool is_any = false;
	int family;

	if (now_ns < discovery->probe_at_ns)
		return;
	discovery->probe_at_ns = U64_MAX;
	/* Who does not answer now says nothing; the end of the silence leads back here */
	if (discovery->silence_rounds)
		return;
	room = KDHT_PROBES_MAX - min_t(u16, discovery->requests.probes, KDHT_PROBES_MAX);
	left = room;
	for (family = 0; family < KDHT_FAMILY_COUNT; family++)
		is_any |= kdht_buckets_unsettled(&discovery->buckets[family], now_ns,
						 due + room - left, &left);
	if (discovery->verify_before_s) {
		bool is_unsure = false;

		for (family = 0; family < KDHT_FAMILY_COUNT; family++)
			is_unsure |= kdht_buckets_silent_since(&discovery->buckets[family],
							       discovery->verify_before_s,
							       due + room - left, &left);
		is_any |= is_unsure;
		if (!is_unsure)
			discovery->verify_before_s = 0;
	}
	if (is_any)
		discovery->probe_at_ns = now_ns + LOOK_NS;
	for (i = 0; i < room - left; i++)
		kdht_discovery_probe(discovery, &due[i]);
}

/* When the next witnesses are asked */
static void plan_round(struct kdht_discovery *discovery, u64 now_ns)
{
	u64 pause_ms = min_t(u64, (u64)ROUND_MS << min_t(u8, discovery->silence_rounds, 8),
			     ROUND_MS_MAX);

	if (discovery->silence_rounds < U8_MAX)
		discovery->silence_rounds++;
	discovery->silence_at_ns = now_ns + pause_ms * NSEC_PER_MSEC;
}

/**
 * kdht_upkeep_is_own_outage() - whether a failed request is to be blamed on ourselves
 * @discovery: the node's
 * @request: a request that was not answered
 * @now_ns: monotonic time
 *
 * Silence from everybody says something of us, not of them: then others are asked, and the
 * failure does not count.
 *
 * Context: process; under the lock.
 */
bool kdht_upkeep_is_own_outage(struct kdht_discovery *discovery,
			       const struct kdht_request *request, u64 now_ns)
{
	enum kdht_family family = kdht_family_of(&request->endpoint);
	struct kdht_contact others[WITNESSES], failed = {
		.id = request->expected,
		.endpoint = request->endpoint,
	};
	const struct kdht_peer *peer;
	u8 count, i;

	if (discovery->heard != request->heard)
		return false;
	peer = kdht_buckets_peer(&discovery->buckets[family], &failed.id);
	if (peer && memcmp(&peer->endpoint, &failed.endpoint, sizeof(failed.endpoint)))
		peer = NULL;
	if (!discovery->silence_rounds) {
		/* Whoever failed before is not the one to doubt ourselves for */
		if (!peer || !kdht_peer_is_good(peer))
			return false;
		kdht_discovery_good(discovery, &failed.id, WITNESSES, &failed.id, others, &count);
		if (count < OTHERS_MIN)
			return false;
		discovery->silence_heard = discovery->heard;
		plan_round(discovery, now_ns);
		kdht_discovery_probe(discovery, &failed);
		for (i = 0; i < count; i++)
			kdht_discovery_probe(discovery, &others[i]);
	}
	if (!peer || !peer->is_verified)
		return false;
	discovery->counts.failures_forgiven++;
	return true;
}

/* Asks the next witnesses, or sees that the silence is over */
static void continue_silence(struct kdht_discovery *discovery, u64 now_ns)
{
	struct kdht_contact others[WITNESSES];
	struct kdht_id target, nobody = { 0 };
	u8 count, i;

	if (!discovery->silence_rounds)
		return;
	if (discovery->heard != discovery->silence_heard) {
		/* Where the first witnesses answered there was no outage */
		if (discovery->silence_rounds > 1) {
			discovery->counts.outages++;
			discovery->verify_before_s = kdht_seconds(now_ns);
		}
		discovery->silence_rounds = 0;
		kdht_upkeep_look_over_soon(discovery, now_ns);
		return;
	}
	if (now_ns < discovery->silence_at_ns)
		return;
	plan_round(discovery, now_ns);
	get_random_bytes(&target, sizeof(target));
	kdht_discovery_good(discovery, &target, WITNESSES, &nobody, others, &count);
	for (i = 0; i < count; i++)
		kdht_discovery_probe(discovery, &others[i]);
}

/**
 * kdht_upkeep_continue() - do what is due
 * @discovery: the node's
 * @now_ns: monotonic time
 *
 * Context: process; under the lock.
 */
void kdht_upkeep_continue(struct kdht_discovery *discovery, u64 now_ns)
{
	continue_silence(discovery, now_ns);
	continue_refresh(discovery, now_ns);
	look_over(discovery, now_ns);
}

/**
 * kdht_upkeep_next() - when kdht_upkeep_continue() has something to do
 * @discovery: the node's
 *
 * Context: process; under the lock.
 * Return: monotonic time; U64_MAX: never.
 */
u64 kdht_upkeep_next(const struct kdht_discovery *discovery)
{
	u64 next_ns = min(discovery->probe_at_ns, discovery->refresh_at_ns);

	return discovery->silence_rounds ? min(next_ns, discovery->silence_at_ns) : next_ns;
}
