/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Requests that travel on to a node closer to what they ask for (wire/FORMAT.md, section 8.3). */
#ifndef KDHT_FORWARD_H
#define KDHT_FORWARD_H

#include "answer.h"

/**
 * struct kdht_hop - where a request goes on to
 * @next: the next hop
 * @forward: what the request carries, but for the stamp
 * @at: byte of the request at which its forward extension has its data; 0 if it has none yet
 */
struct kdht_hop {
	struct kdht_endpoint next;
	struct kdht_forward forward;
	u16 at;
};

/**
 * kdht_is_forward() - whether a datagram may be forwarded
 * @data: UDP payload, at least @len linear bytes, any alignment
 * @len: payload length in bytes
 *
 * For whoever has seen that it is not answered as any other.
 */
static inline bool kdht_is_forward(const void *data, size_t len)
{
	const struct kdht_head *head = data;
	u16 flags;

	if (len < sizeof(*head) || (head->kind != KDHT_KIND_FIND_NODE &&
				    head->kind != KDHT_KIND_FIND_VALUE))
		return false;
	flags = kdht_flags(head);
	return (flags & (KDHT_FLAG_REPLY | KDHT_FLAG_RECURSE | KDHT_FLAG_FORWARD)) ==
	       KDHT_FLAG_FORWARD;
}

bool kdht_forward_is_here(struct kdht_node *node, const struct kdht_config *config, u32 now_s,
			  const void *data, size_t len, const struct kdht_hot **hot);
void kdht_forward(struct kdht_node *node, const struct kdht_config *config,
		  const struct kdht_endpoint *peer, const struct kdht_endpoint *own,
		  const struct kdht_now *now, const void *data, size_t len,
		  const struct kdht_hot *hot, struct kdht_answer *answer, struct kdht_hop *hop);
size_t kdht_forward_len(const struct kdht_hop *hop, size_t len);
size_t kdht_forward_emit(const struct kdht_node *node, const struct kdht_config *config,
			 u32 unix_s, const struct kdht_hop *hop, void *buf, size_t len);

#endif /* KDHT_FORWARD_H */
