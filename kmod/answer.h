/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What a datagram gets: left to the daemon, dropped, or answered. */
#ifndef KDHT_ANSWER_H
#define KDHT_ANSWER_H

#include <linux/types.h>

#include "cookie.h"
#include "emit.h"
#include "endpoint.h"
#include "filter.h"
#include "kdht_wire.h"
#include "mac.h"
#include "refusal.h"
#include "table.h"
#include "throttle.h"
#include "values.h"
#include "wire.h"

/* What a request that is answered here costs its source, in units of the throttle */
#define KDHT_WEIGHT	1

/**
 * struct kdht_config - what the daemon told of a node; replaced as a whole
 * @rcu: for whoever frees it
 * @ring: the network's keys
 * @value_len_max: longest value that the daemon holds, for FAULTs
 * @k: contacts in a reply, 1 to KDHT_K_MAX
 * @does_answer: whether anything is answered here; else all is passed to the daemon
 */
struct kdht_config {
	struct rcu_head rcu;
	struct kdht_ring ring;
	u32 value_len_max;
	u8 k;
	bool does_answer;
};

/* Address families, by the place of their tables */
enum kdht_family {
	KDHT_FAMILY_V4,
	KDHT_FAMILY_V6,
	KDHT_FAMILY_COUNT,
};

/**
 * struct kdht_node - what one node answers from
 * @id: its id
 * @cookies: its cookies
 * @throttle: its sources' allowances
 * @tables: contacts by family
 * @values: what the daemon published
 * @filter: keys under which the daemon may hold values; NULL until it is begun, then there
 */
struct kdht_node {
	struct kdht_id id;
	struct kdht_cookies cookies;
	struct kdht_throttle throttle;
	struct kdht_table tables[KDHT_FAMILY_COUNT];
	struct kdht_values values;
	struct kdht_filter __rcu *filter;
};

/* Both clocks, read once per datagram */
struct kdht_now {
	/* For intervals */
	u64 mono_ns;
	/* For the wire: seconds since 1970, modulo 2^32 */
	u32 unix_s;
};

enum kdht_verdict {
	/* Nothing is sent in answer */
	KDHT_DROP,
	/* To be answered by kdht_answer_emit() */
	KDHT_REPLY,
	/* To be passed on by kdht_forward_emit(); never of kdht_answer() */
	KDHT_FORWARD,
};

/**
 * struct kdht_answer - what a datagram gets
 * @verdict: which of them
 * @refusal: why it was not served; KDHT_REFUSED_NOT if it was
 * @request_kind: of a request that parsed and was allowed its kind, else 0
 * @is_proven: the asker's cookie proves its endpoint
 * @is_client: the asker says that it serves nobody
 * @asker: its id
 * @head: of the reply
 * @observed: the endpoint of whom it is for, for the reply
 * @len_max: bytes that the reply may have
 * @now_s: monotonic second
 * @hot: values for the reply; NULL if there are none
 * @asked: which of them are wanted
 * @closest: contacts for a reply without values
 */
struct kdht_answer {
	enum kdht_verdict verdict;
	enum kdht_refusal refusal;
	u8 request_kind;
	bool is_proven;
	bool is_client;
	struct kdht_id asker;
	struct kdht_head head;
	struct kdht_endpoint observed;
	size_t len_max;
	u32 now_s;
	const struct kdht_hot *hot;
	struct kdht_find_value asked;
	struct kdht_closest closest;
};

bool kdht_is_for_daemon(struct kdht_node *node, const struct kdht_config *config, u32 now_s,
			const void *data, size_t len, const struct kdht_hot **hot);
void kdht_pass_unread(const struct kdht_node *node);
void kdht_answer(struct kdht_node *node, const struct kdht_config *config,
		 const struct kdht_endpoint *peer, const struct kdht_now *now,
		 const void *data, size_t len, const struct kdht_hot *hot,
		 struct kdht_answer *answer);
void kdht_answer_origin(struct kdht_node *node, const struct kdht_config *config,
			const struct kdht_forward *forward, const struct kdht_now *now,
			const struct kdht_message *message, const struct kdht_hot *hot,
			struct kdht_answer *answer);
enum kdht_refusal kdht_check_sound(const struct kdht_config *config, u32 unix_s,
				   const void *data, size_t len, struct kdht_message *message);
size_t kdht_answer_len_max(const struct kdht_config *config, const struct kdht_answer *answer);
bool kdht_answer_is_sighting(const struct kdht_config *config, const struct kdht_answer *answer,
			     size_t out_len);
size_t kdht_answer_emit(const struct kdht_config *config, const struct kdht_answer *answer,
			void *buf);

/* Takes what a request costs its source; false if it may ask no more */
static inline bool kdht_is_in_allowance(struct kdht_node *node, const struct kdht_config *config,
					const struct kdht_endpoint *peer,
					const struct kdht_now *now)
{
	bool is_exempt = kdht_is_loopback(peer) || (config->ring.count && kdht_is_private(peer));
	u64 source = kdht_throttle_source(&node->throttle, peer, is_exempt);

	return kdht_throttle_allow(&node->throttle, source, KDHT_WEIGHT, now->mono_ns);
}

#endif /* KDHT_ANSWER_H */
