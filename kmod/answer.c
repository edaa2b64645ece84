// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The verdict on one datagram. What is decided here is decided as engine/core decides it
 * (node.rs, serve.rs): same checks, same order, same bytes. What only the daemon can answer is
 * passed to it untouched, so that each datagram meets one of the two.
 */
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "answer.h"
#include "endpoint.h"
#include "wire.h"

static const u8 refusal_of_parse[] = {
	[KDHT_PARSE_OK] = KDHT_REFUSED_NOT,
	[KDHT_PARSE_SHORT] = KDHT_REFUSED_SHORT,
	[KDHT_PARSE_OVERSIZE] = KDHT_REFUSED_OVERSIZE,
	[KDHT_PARSE_MAGIC] = KDHT_REFUSED_MAGIC,
	[KDHT_PARSE_VERSION] = KDHT_REFUSED_VERSION,
	[KDHT_PARSE_RESERVED] = KDHT_REFUSED_RESERVED,
	[KDHT_PARSE_LENGTH] = KDHT_REFUSED_LENGTH,
	[KDHT_PARSE_KIND] = KDHT_REFUSED_KIND,
	[KDHT_PARSE_FAULT_REQUEST] = KDHT_REFUSED_FAULT_FORM,
	[KDHT_PARSE_FAULT_CODE] = KDHT_REFUSED_FAULT_FORM,
	[KDHT_PARSE_BODY] = KDHT_REFUSED_BODY,
	[KDHT_PARSE_ITEMS] = KDHT_REFUSED_ITEMS,
	[KDHT_PARSE_FILTER] = KDHT_REFUSED_FILTER,
	[KDHT_PARSE_VALUE_KIND] = KDHT_REFUSED_VALUE,
	[KDHT_PARSE_VALUE_LENGTH] = KDHT_REFUSED_VALUE,
	[KDHT_PARSE_STORE] = KDHT_REFUSED_VALUE,
	[KDHT_PARSE_EXTENSION] = KDHT_REFUSED_EXTENSION,
	[KDHT_PARSE_EXTENSION_COUNT] = KDHT_REFUSED_EXTENSION,
	[KDHT_PARSE_PADDING] = KDHT_REFUSED_EXTENSION,
};

static const u8 refusal_of_mac[] = {
	[KDHT_MAC_OK] = KDHT_REFUSED_NOT,
	[KDHT_MAC_SHORT] = KDHT_REFUSED_SHORT,
	[KDHT_MAC_MISSING] = KDHT_REFUSED_MAC_MISSING,
	[KDHT_MAC_UNEXPECTED] = KDHT_REFUSED_MAC_UNEXPECTED,
	[KDHT_MAC_UNKNOWN_KEY] = KDHT_REFUSED_MAC_KEY,
	[KDHT_MAC_WRONG] = KDHT_REFUSED_MAC_WRONG,
	[KDHT_MAC_STALE] = KDHT_REFUSED_STALE,
};

/* One datagram while it is judged */
struct asked {
	struct kdht_node *node;
	const struct kdht_config *config;
	const struct kdht_endpoint *peer;
	const struct kdht_now *now;
	size_t len;
	struct kdht_answer *answer;
};

static void drop(struct asked *asked, enum kdht_refusal refusal)
{
	asked->answer->verdict = KDHT_DROP;
	asked->answer->refusal = refusal;
}

static bool is_allowed(struct asked *asked)
{
	return kdht_is_in_allowance(asked->node, asked->config, asked->peer, asked->now);
}

/* Lays out the head of a reply to @tx_id about @target, and lets it be sent */
static void begin_reply(struct asked *asked, u8 kind, __le64 tx_id, const struct kdht_id *target,
			u64 cookie)
{
	struct kdht_answer *answer = asked->answer;

	kdht_head_init(&answer->head, kind, KDHT_FLAG_REPLY);
	answer->head.time_s = cpu_to_le32(asked->now->unix_s);
	answer->head.tx_id = tx_id;
	answer->head.cookie = cpu_to_le64(cookie);
	answer->head.target = *target;
	answer->head.sender = asked->node->id;
	answer->observed = *asked->peer;
	answer->verdict = KDHT_REPLY;
}

/* Refuses what did not parse, if it was a request and is as long as a FAULT */
static void refuse_unparsed(struct asked *asked, const struct kdht_head *head,
			    enum kdht_refusal refusal)
{
	const struct kdht_config *config = asked->config;
	struct kdht_fault_detail detail = {
		.version_min = KDHT_VERSION_MIN,
		.version_max = KDHT_VERSION,
		.kinds = cpu_to_le16(BIT(KDHT_KIND_PING) | BIT(KDHT_KIND_FIND_NODE) |
				     BIT(KDHT_KIND_FIND_VALUE) | BIT(KDHT_KIND_STORE) |
				     BIT(KDHT_KIND_FAULT)),
		.value_len_max = cpu_to_le32(config->value_len_max),
	};
	struct kdht_id target;
	u64 fresh;
	u8 fault;

	drop(asked, refusal);
	switch (refusal) {
	case KDHT_REFUSED_SHORT:
	case KDHT_REFUSED_OVERSIZE:
	case KDHT_REFUSED_MAGIC:
	case KDHT_REFUSED_FAULT_FORM:
		return;
	case KDHT_REFUSED_VERSION:
		fault = KDHT_FAULT_VERSION;
		break;
	case KDHT_REFUSED_KIND:
		fault = KDHT_FAULT_KIND;
		break;
	default:
		fault = KDHT_FAULT_MALFORMED;
		break;
	}
	/* Of these fields the place is the same in every version */
	if ((kdht_flags(head) & KDHT_FLAG_REPLY) || !is_allowed(asked))
		return;
	if (asked->len < sizeof(*head) + kdht_mac_len(&config->ring))
		return;
	kdht_cookie_check(&asked->node->cookies, asked->peer, 0, asked->now->mono_ns, &fresh);
	memcpy(&target, &detail, sizeof(target));
	begin_reply(asked, KDHT_KIND_FAULT, head->tx_id, &target, fresh);
	asked->answer->head.arg = fault;
	asked->answer->len_max = asked->len;
}

/* How many contacts there is room for in the reply */
static u8 fitting(const struct asked *asked)
{
	size_t len_max = min_t(size_t, asked->answer->len_max, KDHT_DATAGRAM_LEN_MAX);
	size_t rest = sizeof(struct kdht_head) + sizeof(struct kdht_reply) +
		      kdht_mac_len(&asked->config->ring);

	if (len_max <= rest)
		return 0;
	return min_t(size_t, (len_max - rest) / sizeof(struct kdht_contact), KDHT_K_MAX);
}

/* Of both families. Apart, so that who wants one does not pay for its frame */
static noinline void find_of_both(struct asked *asked, const struct kdht_head *head,
				  const struct kdht_table *own, const struct kdht_table *other)
{
	struct kdht_closest of_own, of_other;
	u8 k = asked->config->k;

	kdht_table_closest(own, &head->target, k, k, &head->sender, &of_own);
	kdht_table_closest(other, &head->target, k, k, &head->sender, &of_other);
	kdht_closest_merge(&of_own, &of_other, &head->target, k, fitting(asked),
			   &asked->answer->closest);
}

/* The closest contacts of the families that @head wants, or of the asker's own */
static __always_inline void find_closest(struct asked *asked, const struct kdht_head *head)
{
	u16 wanted = kdht_flags(head) & (KDHT_FLAG_WANT4 | KDHT_FLAG_WANT6);
	bool is_v4 = kdht_is_v4(asked->peer);
	const struct kdht_table *own, *other;

	own = &asked->node->tables[is_v4 ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6];
	other = &asked->node->tables[is_v4 ? KDHT_FAMILY_V6 : KDHT_FAMILY_V4];
	if (wanted == (KDHT_FLAG_WANT4 | KDHT_FLAG_WANT6))
		return find_of_both(asked, head, own, other);
	if (wanted && wanted != (is_v4 ? KDHT_FLAG_WANT4 : KDHT_FLAG_WANT6))
		own = other;
	kdht_table_closest(own, &head->target, asked->config->k, fitting(asked), &head->sender,
			   &asked->answer->closest);
}

/* The record at byte @at of what is published; NULL behind the last */
static const struct kdht_record *record_at(const struct kdht_hot *hot, size_t at)
{
	return at < hot->len ? (const void *)(hot->records + at) : NULL;
}

/* Which of the published values are wanted: if none is, it is as if none were held */
static void choose_values(struct kdht_answer *answer, const struct kdht_find_value *asked)
{
	const struct kdht_record *record;
	size_t at = 0;

	if (!answer->hot)
		return;
	answer->asked = *asked;
	for (; (record = record_at(answer->hot, at)); at += kdht_record_len(record))
		if (kdht_record_passes(record, asked))
			return;
	answer->hot = NULL;
}

/* Lets what is asked for be replied. Without a call: it would cost each request its frame */
static __always_inline void reply_to(struct asked *asked, const struct kdht_message *message,
				     __le64 tx_id, bool is_proven, u64 fresh)
{
	const struct kdht_head *head = message->head;

	begin_reply(asked, head->kind, tx_id, &head->target, fresh);
	asked->answer->is_proven = is_proven;
	asked->answer->len_max = is_proven ? KDHT_DATAGRAM_LEN_MAX :
					     asked->len * KDHT_UNPROVEN_FACTOR;
	asked->answer->closest.count = 0;
	asked->answer->closest.run_count = 0;
	asked->answer->closest.known = 0;
	if (head->kind == KDHT_KIND_FIND_VALUE)
		choose_values(asked->answer, message->body);
	/* Of a value that is not held, who is closer to it */
	if (head->kind != KDHT_KIND_PING && !asked->answer->hot)
		find_closest(asked, head);
}

static void serve(struct asked *asked, const struct kdht_message *message)
{
	const struct kdht_head *head = message->head;
	bool is_proven;
	u64 fresh;

	if (!memcmp(&head->sender, &asked->node->id, sizeof(head->sender)))
		return drop(asked, KDHT_REFUSED_OWN_ID);
	if (!is_allowed(asked))
		return drop(asked, KDHT_REFUSED_THROTTLED);
	asked->answer->request_kind = head->kind;
	asked->answer->is_client = kdht_flags(head) & KDHT_FLAG_CLIENT;
	asked->answer->asker = head->sender;
	is_proven = kdht_cookie_check(&asked->node->cookies, asked->peer,
				      le64_to_cpu(head->cookie), asked->now->mono_ns, &fresh);
	reply_to(asked, message, head->tx_id, is_proven, fresh);
}

/**
 * kdht_answer_origin() - answer a forwarded request that goes no further
 * @node: the node that got it
 * @config: what the daemon told of it
 * @forward: who is answered, and by which transaction
 * @now: both clocks
 * @message: the request, sound and allowed
 * @hot: the published values that it asks for; NULL if none are held
 * @answer: the reply, to @forward->origin; what tells of the sender stays as it is
 *
 * The first hop saw the origin's cookie, so that the reply may be of any length.
 *
 * Context: that of kdht_answer().
 */
void kdht_answer_origin(struct kdht_node *node, const struct kdht_config *config,
			const struct kdht_forward *forward, const struct kdht_now *now,
			const struct kdht_message *message, const struct kdht_hot *hot,
			struct kdht_answer *answer)
{
	struct asked asked = { node, config, &forward->origin, now, 0, answer };
	u64 fresh;

	answer->hot = hot;
	answer->now_s = (u32)div_u64(now->mono_ns, NSEC_PER_SEC);
	kdht_cookie_check(&node->cookies, &forward->origin, 0, now->mono_ns, &fresh);
	reply_to(&asked, message, forward->tx_id, true, fresh);
}

/**
 * kdht_pass_unread() - a datagram goes to the daemon that could not be looked into
 * @node: the node that got it
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock().
 */
void kdht_pass_unread(const struct kdht_node *node)
{
	struct kdht_filter *filter = rcu_dereference(node->filter);

	/* It may be a STORE, whose key is not known here */
	if (filter)
		kdht_filter_doubt(filter);
}

/* Whether the request in a whole head of a version spoken here is the daemon's */
static bool is_request_for_daemon(struct kdht_node *node, const struct kdht_config *config,
				  u32 now_s, const struct kdht_head *head,
				  const struct kdht_hot **hot)
{
	struct kdht_filter *filter = rcu_dereference(node->filter);

	switch (head->kind) {
	case KDHT_KIND_STORE:
		/* Before the daemon can hold the value, so that no asker finds its key absent */
		if (filter)
			kdht_filter_add(filter, &head->target);
		kdht_values_drop(&node->values, &head->target);
		return true;
	case KDHT_KIND_FIND_NODE:
		return kdht_flags(head) & (KDHT_FLAG_RECURSE | KDHT_FLAG_FORWARD);
	case KDHT_KIND_FIND_VALUE:
		if ((kdht_flags(head) & (KDHT_FLAG_RECURSE | KDHT_FLAG_FORWARD)) ||
		    !config->does_answer)
			return true;
		*hot = kdht_values_find(&node->values, &head->target, now_s);
		return !*hot && !kdht_filter_proves_absent(filter, &head->target);
	default:
		return false;
	}
}

/**
 * kdht_is_for_daemon() - whether a datagram is left to the daemon, untouched
 * @node: the node that got it
 * @config: what the daemon told of it
 * @now_s: monotonic second
 * @data: UDP payload, at least @len linear bytes, any alignment
 * @len: payload length in bytes
 * @hot: set to the values that it asks for, if they are published
 *
 * That is what only the daemon can answer: another format, replies to its own requests, values
 * that it may hold, lookups and what may be forwarded. What is unsound is not. The key of a
 * STORE is noted as one under which the daemon may hold values from now on, other ones than were
 * published.
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock(). Neither sleeps nor allocates.
 */
bool kdht_is_for_daemon(struct kdht_node *node, const struct kdht_config *config, u32 now_s,
			const void *data, size_t len, const struct kdht_hot **hot)
{
	const struct kdht_head *head = data;

	*hot = NULL;
	if (!len || *(const u8 *)data != KDHT_MAGIC_0)
		return true;
	if (len < sizeof(*head) || len > KDHT_DATAGRAM_LEN_MAX ||
	    head->version < KDHT_VERSION_MIN || head->version > KDHT_VERSION)
		return !config->does_answer;
	if (kdht_flags(head) & KDHT_FLAG_REPLY)
		return true;
	return is_request_for_daemon(node, config, now_s, head, hot) || !config->does_answer;
}

/**
 * kdht_answer() - judge one datagram that is not for the daemon
 * @node: the node that got it
 * @config: what the daemon told of it
 * @peer: where it came from
 * @now: both clocks
 * @data: UDP payload, at least @len linear bytes, any alignment; not kept
 * @len: payload length in bytes
 * @hot: from kdht_is_for_daemon()
 * @answer: what it gets
 *
 * Context: softirq, or with softirqs off, within rcu_read_lock(), which must hold as long as
 * @answer is read. Neither sleeps nor allocates.
 */
void kdht_answer(struct kdht_node *node, const struct kdht_config *config,
		 const struct kdht_endpoint *peer, const struct kdht_now *now,
		 const void *data, size_t len, const struct kdht_hot *hot,
		 struct kdht_answer *answer)
{
	struct asked asked = { node, config, peer, now, len, answer };
	struct kdht_message message;
	enum kdht_parse parse;
	enum kdht_mac mac;

	answer->refusal = KDHT_REFUSED_NOT;
	answer->request_kind = 0;
	answer->hot = hot;
	answer->now_s = (u32)div_u64(now->mono_ns, NSEC_PER_SEC);
	/* As ever, the parser comes last but for what the MAC's check leans on */
	parse = kdht_parse(data, len, &message);
	if (parse == KDHT_PARSE_OVERSIZE || parse == KDHT_PARSE_MAGIC || len < KDHT_OUTLINE_LEN)
		return drop(&asked, refusal_of_parse[parse]);
	mac = kdht_ring_verify(&config->ring, data, len, now->unix_s);
	if (mac)
		return drop(&asked, refusal_of_mac[mac]);
	if (parse)
		return refuse_unparsed(&asked, data, refusal_of_parse[parse]);
	serve(&asked, &message);
}

/**
 * kdht_check_sound() - whether a datagram is of this network, and sound
 * @config: what the daemon told of the node
 * @unix_s: seconds since 1970, modulo 2^32
 * @data: UDP payload, at least @len linear bytes, any alignment
 * @len: payload length in bytes
 * @message: filled in if it is
 *
 * For what is not answered here, but read. Context: any; neither sleeps nor allocates.
 * Return: KDHT_REFUSED_NOT, or why not.
 */
enum kdht_refusal kdht_check_sound(const struct kdht_config *config, u32 unix_s,
				   const void *data, size_t len, struct kdht_message *message)
{
	enum kdht_parse parse = kdht_parse(data, len, message);
	enum kdht_mac mac;

	if (parse == KDHT_PARSE_OVERSIZE || parse == KDHT_PARSE_MAGIC || len < KDHT_OUTLINE_LEN)
		return refusal_of_parse[parse];
	mac = kdht_ring_verify(&config->ring, data, len, unix_s);
	return mac ? refusal_of_mac[mac] : refusal_of_parse[parse];
}

/**
 * kdht_answer_len_max() - bytes that the reply will have at most
 * @config: as it was judged by
 * @answer: a verdict of KDHT_REPLY
 *
 * No less than kdht_answer_emit() returns, and never over KDHT_DATAGRAM_LEN_MAX.
 */
size_t kdht_answer_len_max(const struct kdht_config *config, const struct kdht_answer *answer)
{
	size_t whole = sizeof(answer->head) + kdht_mac_len(&config->ring);

	if (answer->head.kind != KDHT_KIND_FAULT)
		whole += sizeof(struct kdht_reply) +
			 answer->closest.count * sizeof(struct kdht_contact);
	if (answer->head.kind == KDHT_KIND_FIND_VALUE && answer->hot)
		whole = min_t(size_t, whole + answer->hot->len, KDHT_DATAGRAM_LEN_MAX);
	return min(whole, answer->len_max);
}

/**
 * kdht_answer_is_sighting() - whether the asker is a node that the daemon may get to know
 * @config: as it was judged by
 * @answer: a verdict of KDHT_REPLY
 * @out_len: bytes of the reply
 *
 * Not a client, nor whoever cannot be sent to. Who is new is pinged, twice before it is
 * forgotten: that counts as drawn by the request, too, which must have paid for it.
 */
bool kdht_answer_is_sighting(const struct kdht_config *config, const struct kdht_answer *answer,
			     size_t out_len)
{
	size_t ping_len = sizeof(answer->head) + kdht_mac_len(&config->ring);

	return answer->request_kind && !answer->is_client &&
	       kdht_is_reachable(&answer->observed) &&
	       (answer->is_proven || out_len + 2 * ping_len <= answer->len_max);
}

/* Lays out as many of the wanted values as fit, from the wanted position on */
static void emit_values(struct kdht_emit *emit, const struct kdht_answer *answer)
{
	struct kdht_reply reply = { .observed = answer->observed };
	const struct kdht_hot *hot = answer->hot;
	const struct kdht_record *record;
	size_t at;
	u16 total = 0;

	for (at = 0; (record = record_at(hot, at)); at += kdht_record_len(record))
		total += kdht_record_passes(record, &answer->asked);
	reply.total = cpu_to_le16(total);
	kdht_emit_body(emit, &reply, sizeof(reply));
	for (at = 0; (record = record_at(hot, at)); at += kdht_record_len(record)) {
		if (!kdht_record_passes(record, &answer->asked) ||
		    le16_to_cpu(record->cursor) < le16_to_cpu(answer->asked.cursor))
			continue;
		if (!kdht_emit_record(emit, record, kdht_record_len(record),
				      answer->now_s - hot->published_s)) {
			emit->head.flags |= cpu_to_le16(KDHT_FLAG_MORE);
			return;
		}
	}
}

/**
 * kdht_answer_emit() - lay out the reply
 * @config: as it was judged by
 * @answer: a verdict of KDHT_REPLY
 * @buf: kdht_answer_len_max() bytes; may be where the request stood
 *
 * Context: the read-side section of kdht_answer().
 * Return: the reply's length in bytes; 0 if there is none.
 */
size_t kdht_answer_emit(const struct kdht_config *config, const struct kdht_answer *answer,
			void *buf)
{
	struct kdht_reply reply = { .observed = answer->observed };
	struct kdht_emit emit;
	u8 i;

	if (!kdht_emit_begin(&emit, &answer->head, kdht_signing(&config->ring), buf,
			     kdht_answer_len_max(config, answer)))
		return 0;
	if (answer->head.kind == KDHT_KIND_FAULT)
		return kdht_emit_finish(&emit);
	if (answer->head.kind == KDHT_KIND_FIND_VALUE && answer->hot) {
		emit_values(&emit, answer);
		return kdht_emit_finish(&emit);
	}
	if (answer->head.kind == KDHT_KIND_FIND_NODE)
		reply.total = cpu_to_le16(answer->closest.known);
	/* Three times the shortest request holds it */
	kdht_emit_body(&emit, &reply, sizeof(reply));
	for (i = 0; i < answer->closest.run_count; i++)
		kdht_emit_contacts(&emit, answer->closest.runs[i].contacts,
				   answer->closest.runs[i].count);
	if (answer->closest.count < answer->closest.known)
		emit.head.flags |= cpu_to_le16(KDHT_FLAG_MORE);
	return kdht_emit_finish(&emit);
}
