// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The verdict on one request that may be forwarded: passed on, answered to its origin, or as any
 * other, as engine/core/src/forward.rs decides it. Nothing is kept of what was passed on.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "endpoint.h"
#include "forward.h"

/* Contacts among which the next hop is chosen: one of them may be the origin */
#define NEXT_HOPS	2

/* Bytes that a first hop adds */
#define ADDED_LEN	(sizeof(struct kdht_ext) + sizeof(struct kdht_forward))

/* One request while it is judged */
struct passing {
	struct kdht_node *node;
	const struct kdht_config *config;
	const struct kdht_now *now;
	const struct kdht_message *message;
	const struct kdht_hot *hot;
};

/* What vouches that a first hop checked the origin's cookie */
static __le64 stamp_of(const struct kdht_forward *forward, const struct kdht_network_key *key)
{
	u8 input[sizeof(forward->tx_id) + sizeof(forward->origin) + sizeof(forward->epoch_s)];
	u8 *at = input;

	memcpy(at, &forward->tx_id, sizeof(forward->tx_id));
	at += sizeof(forward->tx_id);
	memcpy(at, &forward->origin, sizeof(forward->origin));
	at += sizeof(forward->origin);
	memcpy(at, &forward->epoch_s, sizeof(forward->epoch_s));
	return kdht_mac(key, input, sizeof(input));
}

/* Whether this node holds values that are asked for: what is published is all that it holds */
static bool holds_asked(const struct passing *passing)
{
	const struct kdht_hot *hot = passing->hot;
	const struct kdht_record *record;
	size_t at;

	if (!hot)
		return false;
	for (at = 0; at < hot->len; at += kdht_record_len(record)) {
		record = (const void *)(hot->records + at);
		if (kdht_record_passes(record, passing->message->body))
			return true;
	}
	return false;
}

/*
 * The good contact nearest to the target, neither the sender nor at the origin's endpoint; NULL
 * unless it is nearer than this node, and may be told of the origin
 */
static const struct kdht_contact *next_hop(const struct passing *passing,
					   const struct kdht_endpoint *origin)
{
	const struct kdht_head *head = passing->message->head;
	const struct kdht_contact *next = NULL, *contact;
	enum kdht_family family = kdht_is_v4(origin) ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6;
	struct kdht_closest closest;
	u8 i;
	u16 j;

	kdht_table_closest(&passing->node->tables[family], &head->target, NEXT_HOPS, NEXT_HOPS,
			   &head->sender, &closest);
	for (i = 0; i < closest.run_count; i++) {
		for (j = 0; j < closest.runs[i].count; j++) {
			contact = closest.runs[i].contacts + j;
			if (memcmp(&contact->endpoint, origin, sizeof(*origin)) &&
			    (!next || kdht_id_is_nearer(&contact->id, &next->id, &head->target)))
				next = contact;
		}
	}
	if (!next || !kdht_id_is_nearer(&next->id, &passing->node->id, &head->target))
		return NULL;
	/* Else it would be refused there */
	return kdht_is_loopback(&next->endpoint) || !kdht_is_loopback(origin) ? next : NULL;
}

/* Lets the request go on, if it may and there is whom to */
static bool pass_on(const struct passing *passing, struct kdht_answer *answer,
		    struct kdht_hop *hop)
{
	const struct kdht_contact *next;

	if (holds_asked(passing))
		return false;
	next = next_hop(passing, &hop->forward.origin);
	if (!next)
		return false;
	hop->next = next->endpoint;
	answer->verdict = KDHT_FORWARD;
	return true;
}

/* Whether a request without the extension goes on; else it is answered as any other */
static bool pass_first(const struct passing *passing, const struct kdht_endpoint *peer,
		       size_t len, struct kdht_answer *answer, struct kdht_hop *hop)
{
	const struct kdht_message *message = passing->message;
	u64 fresh;

	if (len + ADDED_LEN > KDHT_DATAGRAM_LEN_MAX ||
	    message->extensions_count >= KDHT_EXTENSIONS_MAX || !kdht_is_reachable(peer) ||
	    !kdht_cookie_check(&passing->node->cookies, peer, le64_to_cpu(message->head->cookie),
			       passing->now->mono_ns, &fresh))
		return false;
	memset(&hop->forward, 0, sizeof(hop->forward));
	hop->forward.tx_id = message->head->tx_id;
	hop->forward.origin = *peer;
	hop->forward.hops = KDHT_HOPS_MAX;
	hop->forward.epoch_s = cpu_to_le32(passing->now->unix_s);
	hop->at = 0;
	return pass_on(passing, answer, hop);
}

/* Whether a member stamped it lately for an origin that may be answered */
static bool is_sound(const struct passing *passing, const struct kdht_endpoint *peer,
		     const struct kdht_endpoint *own)
{
	const struct kdht_forward *given = passing->message->forward;
	const struct kdht_endpoint *origin = &given->origin;
	const struct kdht_network_key *key;
	s32 age_s = (s32)(passing->now->unix_s - le32_to_cpu(given->epoch_s));

	key = kdht_ring_named(&passing->config->ring, passing->message->head->key_id);
	return key && given->stamp == stamp_of(given, key) &&
	       age_s <= KDHT_TIME_SKEW_S_MAX && age_s >= -KDHT_TIME_SKEW_S_MAX &&
	       kdht_is_reachable(origin) && kdht_is_v4(origin) == kdht_is_v4(peer) &&
	       /* Nobody's requests reach what listens on this host only */
	       (kdht_is_loopback(peer) || !kdht_is_loopback(origin)) &&
	       memcmp(origin, own, sizeof(*origin));
}

/**
 * kdht_forward_is_here() - whether what may be forwarded is judged here
 * @node: the node that got it
 * @config: what the daemon told of it
 * @now_s: monotonic second
 * @data: UDP payload, of which kdht_is_forward() holds
 * @len: payload length in bytes
 * @hot: set to the values that it asks for, if they are published
 *
 * Not in an open network, nor if the daemon may hold what is asked for.
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock(). Neither sleeps nor allocates.
 */
bool kdht_forward_is_here(struct kdht_node *node, const struct kdht_config *config, u32 now_s,
			  const void *data, size_t len, const struct kdht_hot **hot)
{
	const struct kdht_head *head = data;

	*hot = NULL;
	if (!config->does_answer || !config->ring.count || len > KDHT_DATAGRAM_LEN_MAX ||
	    head->magic[0] != KDHT_MAGIC_0 || head->version < KDHT_VERSION_MIN ||
	    head->version > KDHT_VERSION)
		return false;
	if (head->kind == KDHT_KIND_FIND_NODE)
		return true;
	*hot = kdht_values_find(&node->values, &head->target, now_s);
	return *hot || kdht_filter_proves_absent(rcu_dereference(node->filter), &head->target);
}

/**
 * kdht_forward() - judge one request that may be forwarded
 * @node: the node that got it
 * @config: what the daemon told of it
 * @peer: where it came from
 * @own: where it came to
 * @now: both clocks
 * @data: UDP payload, at least @len linear bytes, any alignment; not kept
 * @len: payload length in bytes
 * @hot: from kdht_forward_is_here()
 * @answer: what it gets; a verdict of KDHT_FORWARD is for kdht_forward_emit(), and a reply goes
 *	    to @answer->observed, which need not be @peer
 * @hop: filled in for KDHT_FORWARD
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock(), which must hold as long as
 * @answer is read. Neither sleeps nor allocates.
 */
void kdht_forward(struct kdht_node *node, const struct kdht_config *config,
		  const struct kdht_endpoint *peer, const struct kdht_endpoint *own,
		  const struct kdht_now *now, const void *data, size_t len,
		  const struct kdht_hot *hot, struct kdht_answer *answer, struct kdht_hop *hop)
{
	struct kdht_message message;
	struct passing passing = { node, config, now, &message, hot };
	const struct kdht_forward *given;
	const struct kdht_head *head;

	if (kdht_check_sound(config, now->unix_s, data, len, &message) != KDHT_REFUSED_NOT)
		goto answer;
	head = message.head;
	given = message.forward;
	/*
	 * The throttle comes after the search here, since what it took for a request that is
	 * answered as any other it would take again
	 */
	if (kdht_id_is_same(&head->sender, &node->id) ||
	    (!given && !pass_first(&passing, peer, len, answer, hop)))
		goto answer;
	answer->refusal = KDHT_REFUSED_NOT;
	answer->request_kind = 0;
	if (!kdht_is_in_allowance(node, config, peer, now)) {
		answer->verdict = KDHT_DROP;
		answer->refusal = KDHT_REFUSED_THROTTLED;
		return;
	}
	answer->request_kind = head->kind;
	answer->is_client = kdht_flags(head) & KDHT_FLAG_CLIENT;
	answer->asker = head->sender;
	if (!given)
		return;
	if (!is_sound(&passing, peer, own)) {
		/* Without a FAULT: the reply would be the origin's, not the sender's */
		answer->verdict = KDHT_DROP;
		answer->refusal = KDHT_REFUSED_FORWARD;
		return;
	}
	hop->forward = *given;
	hop->forward.hops--;
	hop->at = (const u8 *)given - (const u8 *)data;
	if (!given->hops || !pass_on(&passing, answer, hop))
		kdht_answer_origin(node, config, given, now, &message, hot, answer);
	return;

answer:
	kdht_answer(node, config, peer, now, data, len, hot, answer);
}

/**
 * kdht_forward_len() - bytes of a request when it is passed on
 * @hop: where to
 * @len: bytes that it came with
 */
size_t kdht_forward_len(const struct kdht_hop *hop, size_t len)
{
	return hop->at ? len : len + ADDED_LEN;
}

/**
 * kdht_forward_emit() - make the next hop's request of the one that came
 * @node: the node that got it
 * @config: as it was judged by
 * @unix_s: seconds since 1970, modulo 2^32
 * @hop: where to
 * @buf: the request, with room for kdht_forward_len() bytes
 * @len: bytes that it came with
 *
 * Its body stays where it stands; head and MAC are this node's.
 *
 * Return: its length in bytes; 0 if there is none.
 */
size_t kdht_forward_emit(const struct kdht_node *node, const struct kdht_config *config,
			 u32 unix_s, const struct kdht_hop *hop, void *buf, size_t len)
{
	const struct kdht_network_key *key = kdht_signing(&config->ring);
	struct kdht_ext ext = {
		.kind = cpu_to_le16(KDHT_EXT_FORWARD),
		.len = cpu_to_le16(sizeof(hop->forward)),
	};
	struct kdht_forward forward = hop->forward;
	struct kdht_head head, came;
	struct kdht_emit emit;

	memcpy(&came, buf, sizeof(came));
	kdht_head_init(&head, came.kind, KDHT_FLAG_FORWARD |
		       (kdht_flags(&came) & (KDHT_FLAG_WANT4 | KDHT_FLAG_WANT6)));
	head.time_s = cpu_to_le32(unix_s);
	head.tx_id = forward.tx_id;
	head.target = came.target;
	head.sender = node->id;
	forward.stamp = stamp_of(&forward, key);
	if (!kdht_emit_begin(&emit, &head, key, buf, kdht_forward_len(hop, len)))
		return 0;
	emit.len = len - KDHT_MAC_LEN;
	if (hop->at) {
		memcpy(emit.buf + hop->at, &forward, sizeof(forward));
	} else {
		kdht_emit_body(&emit, &ext, sizeof(ext));
		kdht_emit_body(&emit, &forward, sizeof(forward));
	}
	return kdht_emit_finish(&emit);
}
