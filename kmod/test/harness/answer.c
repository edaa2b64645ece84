// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: a node anew: its id, cookie secret, throttle (slots, units a second, units kept),
 * longest value, k, ring, monotonic nanoseconds. Record 1: a contact to tell others of.
 * Record 3: no value is held under any key but those to come. Record 4: a key, monotonic
 * nanoseconds, all records under the key.
 * Record 2: peer, monotonic nanoseconds, Unix seconds, a datagram. Line: the verdict, why it
 * was not served, which kind of request it was, and what is sent; "to" whom, if not to the peer
 */
#include <linux/time64.h>

#include "../../answer.h"
#include "../../endpoint.h"
#include "../../forward.h"
#include "harness.h"

#define REFUSAL_NAME(name, text) [KDHT_REFUSED_##name] = text,
static const char *const names[] = {
	KDHT_REFUSALS(REFUSAL_NAME)
	[KDHT_REFUSED_NOT] = "-",
};

static const char *const verdicts[] = {
	[KDHT_DROP] = "drop",
	[KDHT_REPLY] = "reply",
	[KDHT_FORWARD] = "forward",
};

static struct kdht_node node;
static struct kdht_config config;

const char *refusal_name(enum kdht_refusal refusal)
{
	return names[refusal];
}

static void create(const u8 *record, size_t len)
{
	const siphash_key_t throttle_key = { { 5, 5 } };
	siphash_key_t master;
	u32 slots, rate;
	int family;

	kdht_throttle_free(&node.throttle);
	kdht_filter_free(node.filter);
	node.filter = NULL;
	kdht_values_free(&node.values);
	kdht_values_init(&node.values, &throttle_key);
	memcpy(&node.id, next(&record, &len, KDHT_ID_LEN), KDHT_ID_LEN);
	for (family = 0; family < KDHT_FAMILY_COUNT; family++) {
		kdht_table_free(&node.tables[family]);
		kdht_table_init(&node.tables[family], &node.id);
	}
	master = kdht_secret(next(&record, &len, KDHT_SECRET_LEN));
	slots = next_u32(&record, &len);
	if (kdht_throttle_init(&node.throttle, &throttle_key, slots))
		abort();
	rate = next_u32(&record, &len);
	kdht_throttle_set_allowance(&node.throttle, rate, next_u32(&record, &len));
	config.value_len_max = next_u32(&record, &len);
	config.k = next_u8(&record, &len);
	config.does_answer = true;
	next_ring(&record, &len, &config.ring);
	kdht_cookies_init(&node.cookies, &master, next_u64(&record, &len));
	printf("ok\n");
}

static void print_bytes(const void *data, size_t len)
{
	const u8 *bytes = data;
	size_t i;

	for (i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

static void print_sent(const void *data, size_t len, const struct kdht_endpoint *to,
		       const struct kdht_endpoint *peer)
{
	printf(" ");
	print_bytes(data, len);
	if (!memcmp(to, peer, sizeof(*to)))
		return;
	printf(" to ");
	print_bytes(to, sizeof(*to));
}

static void judge(const u8 *record, size_t len)
{
	const struct kdht_endpoint *peer = (const void *)next(&record, &len, sizeof(*peer));
	const struct kdht_endpoint nowhere = { 0 };
	const struct kdht_hot *hot;
	struct kdht_answer answer;
	size_t out_len, buf_len;
	struct kdht_hop hop;
	struct kdht_now now;
	u32 now_s;
	u8 *buf;

	now.mono_ns = next_u64(&record, &len);
	now.unix_s = next_u32(&record, &len);
	now_s = now.mono_ns / NSEC_PER_SEC;
	if (!kdht_is_for_daemon(&node, &config, now_s, record, len, &hot)) {
		kdht_answer(&node, &config, peer, &now, record, len, hot, &answer);
	} else if (kdht_is_forward(record, len) &&
		   kdht_forward_is_here(&node, &config, now_s, record, len, &hot)) {
		kdht_forward(&node, &config, peer, &nowhere, &now, record, len, hot, &answer,
			     &hop);
	} else {
		printf("pass - 0\n");
		return;
	}
	printf("%s %s %u", verdicts[answer.verdict], names[answer.refusal], answer.request_kind);
	if (answer.verdict == KDHT_REPLY) {
		/* Just as much as was asked for, so that a byte more is found */
		buf_len = kdht_answer_len_max(&config, &answer);
		buf = malloc(buf_len);
		out_len = kdht_answer_emit(&config, &answer, buf);
		print_sent(buf, out_len, &answer.observed, peer);
		free(buf);
	} else if (answer.verdict == KDHT_FORWARD) {
		buf_len = kdht_forward_len(&hop, len);
		buf = malloc(buf_len);
		memcpy(buf, record, len);
		out_len = kdht_forward_emit(&node, &config, now.unix_s, &hop, buf, len);
		print_sent(buf, out_len, &hop.next, peer);
		free(buf);
	}
	printf("\n");
}

static void publish(const u8 *record, size_t len)
{
	const struct kdht_id *key = (const void *)next(&record, &len, sizeof(*key));
	u32 now_s = next_u64(&record, &len) / NSEC_PER_SEC;

	printf("%d\n", kdht_values_publish(&node.values, key, record, len, now_s));
}

void do_answer(const u8 *record, size_t len)
{
	const struct kdht_contact *contact;
	int family;

	switch (next_u8(&record, &len)) {
	case 0:
		create(record, len);
		break;
	case 1:
		contact = (const void *)next(&record, &len, sizeof(*contact));
		family = kdht_is_v4(&contact->endpoint) ? KDHT_FAMILY_V4 : KDHT_FAMILY_V6;
		printf("%d\n", kdht_table_add(&node.tables[family], contact, 1));
		break;
	case 2:
		judge(record, len);
		break;
	case 4:
		publish(record, len);
		break;
	default:
		kdht_filter_free(node.filter);
		node.filter = kdht_filter_new(&node.cookies.master, KDHT_FILTER_BITS_DEFAULT);
		kdht_filter_complete(node.filter);
		printf("ok\n");
	}
}

/* Record: a number. Line: the name of that refusal */
void do_refusals(const u8 *record, size_t len)
{
	u8 number = next_u8(&record, &len);

	printf("%s\n", number <= KDHT_REFUSAL_COUNT ? names[number] : "none");
}
