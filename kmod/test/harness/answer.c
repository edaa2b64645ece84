// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: a node anew: its id, cookie secret, throttle (slots, units a second, units kept),
 * longest value, k, ring, monotonic nanoseconds. Record 1: a contact to tell others of.
 * Record 3: no value is held under any key but those to come. Record 4: a key, monotonic
 * nanoseconds, all records under the key.
 * Record 2: peer, monotonic nanoseconds, Unix seconds, a datagram. Line: the verdict, why it
 * was not served, which kind of request it was, and the reply
 */
#include <linux/time64.h>

#include "../../answer.h"
#include "../../endpoint.h"
#include "harness.h"

#define REFUSAL_NAME(name, text) [KDHT_REFUSED_##name] = text,
static const char *const names[] = {
	KDHT_REFUSALS(REFUSAL_NAME)
	[KDHT_REFUSED_NOT] = "-",
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

static void judge(const u8 *record, size_t len)
{
	const struct kdht_endpoint *peer = (const void *)next(&record, &len, sizeof(*peer));
	const struct kdht_hot *hot;
	struct kdht_answer answer;
	size_t i, reply_len, buf_len;
	struct kdht_now now;
	u8 *buf;

	now.mono_ns = next_u64(&record, &len);
	now.unix_s = next_u32(&record, &len);
	if (kdht_is_for_daemon(&node, &config, now.mono_ns / NSEC_PER_SEC, record, len, &hot)) {
		printf("pass - 0\n");
		return;
	}
	kdht_answer(&node, &config, peer, &now, record, len, hot, &answer);
	printf("%s %s %u", answer.verdict == KDHT_REPLY ? "reply" : "drop", names[answer.refusal],
	       answer.request_kind);
	if (answer.verdict == KDHT_REPLY) {
		/* Just as much as was asked for, so that a byte more is found */
		buf_len = kdht_answer_len_max(&config, &answer);
		buf = malloc(buf_len);
		reply_len = kdht_answer_emit(&config, &answer, buf);
		printf(" ");
		for (i = 0; i < reply_len; i++)
			printf("%02x", buf[i]);
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
