/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The iterative lookup (Kademlia, section 2.3): whom to ask next, and when it is over. */
#ifndef KDHT_LOOKUP_H
#define KDHT_LOOKUP_H

#include <linux/types.h>

#include "groups.h"
#include "id.h"
#include "kdht_wire.h"

/* The numbers are those of engine/core/src/lookup.rs */

/* Candidates kept: the nearest; the rest is forgotten */
#define KDHT_CANDIDATES_MAX	256
/* Of them at one endpoint, and at one globally routable address, whatever their ports */
#define KDHT_SAME_ENDPOINT_MAX	2
#define KDHT_SAME_IP_MAX	4
/* Endpoints of one id: who names a node falsely does not hide it */
#define KDHT_SAME_ID_MAX	2
/* Requests of one lookup, whatever its answers name */
#define KDHT_ASKED_MAX		512

/* Where a candidate stands */
enum kdht_standing {
	/* Known, not asked */
	KDHT_KNOWN,
	/* Asked, and expected to answer yet */
	KDHT_ASKED,
	/* Asked, and overdue: set aside until it answers or fails */
	KDHT_SLOW,
	/* Answered */
	KDHT_ANSWERED,
	/* Did not answer until the final timeout, or refused */
	KDHT_FAILED,
};

struct kdht_candidate {
	struct kdht_id id;
	struct kdht_endpoint endpoint;
	u8 standing;
};

/**
 * struct kdht_lookup - candidates, and progress
 * @target: what is looked for
 * @own: the own id, which never becomes a candidate
 * @caps: for IP groups: no more candidates of one than a table holds
 * @alpha: requests in flight, but for rounds without progress
 * @k: how many of the nearest have answered in the end
 * @count: candidates
 * @asked: requests sent
 * @without_progress: answers since one brought a candidate nearer than all before
 * @candidates: nearest first
 *
 * Pure bookkeeping: it sends nothing and knows no time. As that of the engine with one path.
 */
struct kdht_lookup {
	struct kdht_id target;
	struct kdht_id own;
	struct kdht_caps caps;
	u8 alpha;
	u8 k;
	u16 count;
	u16 asked;
	u16 without_progress;
	struct kdht_candidate candidates[KDHT_CANDIDATES_MAX];
};

void kdht_lookup_init(struct kdht_lookup *lookup, const struct kdht_id *target,
		      const struct kdht_id *own, u8 alpha, u8 k, const struct kdht_caps *caps);
bool kdht_lookup_learn(struct kdht_lookup *lookup, const struct kdht_contact *contact);
const struct kdht_candidate *kdht_lookup_next(struct kdht_lookup *lookup);
void kdht_lookup_answered(struct kdht_lookup *lookup, const struct kdht_id *id,
			  const struct kdht_endpoint *endpoint,
			  const struct kdht_contact *contacts, u8 count);
void kdht_lookup_slow(struct kdht_lookup *lookup, const struct kdht_id *id,
		      const struct kdht_endpoint *endpoint);
void kdht_lookup_failed(struct kdht_lookup *lookup, const struct kdht_id *id,
			const struct kdht_endpoint *endpoint);
bool kdht_lookup_is_done(const struct kdht_lookup *lookup);
bool kdht_lookup_has_answers(const struct kdht_lookup *lookup);

#endif /* KDHT_LOOKUP_H */
