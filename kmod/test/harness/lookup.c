// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Record 0: a lookup anew: target, own id, alpha, k, caps (bucket, table, whether private
 * addresses are exempt). 1: a contact is known. 2: whom to ask next. 3: an id at an endpoint
 * answered, and named the contacts that follow. 4: it is slow. 5: it failed. Line: whether it was
 * nearer than all, or who is asked; the candidates and where they stand; whether it is done
 */
#include "../../lookup.h"
#include "harness.h"

static struct kdht_lookup lookup;

static void print_bytes(const void *data, size_t len)
{
	const u8 *at = data;

	for (; len; len--)
		printf("%02x", *at++);
}

static void print_lookup(void)
{
	u64 digest = 0xcbf29ce484222325ULL;
	u16 i;

	for (i = 0; i < lookup.count; i++) {
		const u8 *at = (const u8 *)&lookup.candidates[i];
		size_t len = KDHT_ID_LEN + sizeof(struct kdht_endpoint);

		for (; len; len--)
			digest = (digest ^ *at++) * 0x100000001b3ULL;
		digest = (digest ^ lookup.candidates[i].standing) * 0x100000001b3ULL;
	}
	printf(" %u %u %016llx %d\n", lookup.count, lookup.asked, (unsigned long long)digest,
	       kdht_lookup_is_done(&lookup));
}

static void create(const u8 *record, size_t len)
{
	const struct kdht_id *target = (const void *)next(&record, &len, sizeof(*target));
	const struct kdht_id *own = (const void *)next(&record, &len, sizeof(*own));
	u8 alpha = next_u8(&record, &len), k = next_u8(&record, &len);
	struct kdht_caps caps;

	caps.bucket_max = next_u32(&record, &len);
	caps.table_max = next_u32(&record, &len);
	caps.is_private_exempt = next_u8(&record, &len);
	kdht_lookup_init(&lookup, target, own, alpha, k, &caps);
}

void do_lookup(const u8 *record, size_t len)
{
	u8 operation = next_u8(&record, &len);
	const struct kdht_candidate *asked;
	const struct kdht_contact *of;

	if (!operation) {
		create(record, len);
	} else if (operation == 2) {
		asked = kdht_lookup_next(&lookup);
		if (asked) {
			print_bytes(&asked->id, sizeof(asked->id));
			print_bytes(&asked->endpoint, sizeof(asked->endpoint));
		}
	} else {
		of = (const void *)next(&record, &len, sizeof(*of));
		if (operation == 1)
			printf("%d", kdht_lookup_learn(&lookup, of));
		else if (operation == 3)
			kdht_lookup_answered(&lookup, &of->id, &of->endpoint,
					     (const void *)record, len / sizeof(*of));
		else if (operation == 4)
			kdht_lookup_slow(&lookup, &of->id, &of->endpoint);
		else
			kdht_lookup_failed(&lookup, &of->id, &of->endpoint);
	}
	print_lookup();
}
